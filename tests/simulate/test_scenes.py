# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes: SNR as stated (measured), the same samples however they are cut, independent Monte-Carlo frames."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.simulate.injections import power_in_band
from gnuradio.spectrumencoder.simulate.scenes import FIRST_HELD_OUT_SEED, Emitter, Scene, held_out_seed, monte_carlo
from gnuradio.spectrumencoder.simulate.signal import occupied_band

# waveform -> (rate, samples, parameters): long enough for 0.5 dB
CASES = {
    "ofdm_wifi": (25e6, 2_000_000, {"duty": 0.5}),
    "ofdm_lte": (1.92e6, 1_500_000, {"n_rb": 6, "load": 0.6, "tdd": 0}),
    "gfsk_ble": (4e6, 800_000, {"duty": 0.4}),
    "oqpsk_154": (6e6, 1_000_000, {"duty": 0.4}),
    "lora": (500e3, 1_500_000, {"spreading_factor": 9, "bandwidth_hz": 125e3, "duty": 0.5}),
    "ppm_adsb": (4e6, 1_000_000, {"messages_per_s": 2000, "aircraft": 5, "level_spread_db": 2}),
    "ook_sensor": (250e3, 500_000, {"duty": 0.6}),
    "fsk_sensor": (250e3, 500_000, {"duty": 0.6}),
    "cdma_noise": (5e6, 500_000, {}),
    "gmsk": (1e6, 400_000, {"duty": 0.9}),
    "tone": (250e3, 4_000_000, {}),
    "fm_voice": (48e3, 500_000, {"talk_share": 1.0}),
    "band_noise": (1e6, 500_000, {}),
}


@pytest.mark.parametrize("snr_db", [15.0, -5.0])
@pytest.mark.parametrize("waveform", CASES)
def test_snr_is_what_is_stated(waveform, snr_db):
    """Mean power while on over the noise in the 99 % occupied bandwidth, both measured, within 0.5 dB."""
    rate, n, params = CASES[waveform]
    emitter = Emitter.create(waveform, rate, 0.03 * rate, snr_db, seed=2, **params)
    scene = Scene(11, rate, [emitter], noise_dbfs=-37.0)
    made = scene.emit(0, 0, n)
    on = np.concatenate([made.iq[a:b] for a, b in made.on])
    low, high = occupied_band(on, rate)
    width = max(high - low, rate / 1024)
    noise = power_in_band(scene.noise(0, n), rate, (low + high) / 2, width)
    assert 10 * np.log10(np.mean(np.abs(on) ** 2) / noise) == pytest.approx(snr_db, abs=0.5)
    assert emitter.bandwidth_hz == pytest.approx(width, rel=0.1)


def test_noise_level():
    noise = Scene(3, 1e6, [], noise_dbfs=-37.0).render(0, 400_000)
    assert 10 * np.log10(np.mean(np.abs(noise) ** 2)) == pytest.approx(-37, abs=0.05)


@pytest.mark.parametrize("seed", [3, 8])
def test_any_cut_gives_the_same_samples(seed):
    scene = Scene.random(seed, 400e3)
    whole = scene.render(-1000, 301_000)
    cuts = [-1000, 0, 1, 65_536, 99_999, 204_321, 300_000]
    parts = [scene.render(a, b - a) for a, b in zip(cuts, cuts[1:], strict=False)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    fresh = Scene.random(seed, 400e3)
    np.testing.assert_array_equal(fresh.render(150_000, 20_000), whole[151_000:171_000])


def test_a_stream_gives_the_same_samples():
    whole = Scene.random(8, 400e3).render(-1000, 900_000)
    streamed = list(Scene.random(8, 400e3).stream(-1000, 900_000))
    assert len(streamed) > 2
    np.testing.assert_array_equal(np.concatenate(streamed), whole)


def test_a_carrier_is_continuous_over_block_edges():
    """The steady tone keeps amplitude and phase where blocks of 0.1 s meet."""
    rate = 250e3
    scene = Scene(1, rate, [Emitter.create("tone", rate, 12_345.678, 30, seed=1)])
    iq = scene.emit(0, 0, 100_000).iq
    steps = iq[1:] / iq[:-1]
    np.testing.assert_allclose(np.abs(iq), np.abs(iq[0]), rtol=1e-4)
    np.testing.assert_allclose(np.angle(steps) * rate / (2 * np.pi), 12_345.678, atol=2)


def test_blending_keeps_the_power():
    rate = 1e6
    scene = Scene(1, rate, [Emitter.create("band_noise", rate, 0, 20, seed=1, bandwidth_hz=400e3)])
    power = np.abs(scene.emit(0, 0, 4_000_000).iq.reshape(40, 100_000)) ** 2
    edges, middles = power[1:, :2048].mean(), power[:, 20_000:80_000].mean()
    assert 10 * np.log10(edges / middles) == pytest.approx(0, abs=0.2)


def test_other_traffic_same_plan():
    scene = Scene.random(4, 2e6, band="ism", center_freq_hz=868.5e6)
    other = scene.with_seed(99)
    assert other.emitters == scene.emitters
    assert not np.array_equal(other.render(0, 1000), scene.render(0, 1000))


def test_plan_uses_real_channels():
    """Around 868.5 MHz there are LoRa and sensors on their channels, and no Bluetooth; they do not overlap."""
    for seed in range(2):
        scene = Scene.random(seed, 2e6, (4, 6), band="ism", center_freq_hz=868.5e6)
        assert scene.emitters
        for e in scene.emitters:
            assert e.waveform in ("lora", "fsk_sensor", "ook_sensor")
            assert abs(e.freq_offset_hz) + e.bandwidth_hz / 2 < 1e6


def test_what_is_refused():
    with pytest.raises(ValueError, match="'sonar'"):
        Emitter.create("sonar", 1e6)
    with pytest.raises(ValueError, match="activity 0"):
        Emitter.create("tone", 1e6, activity=0.0)
    with pytest.raises(ValueError, match="does not fit"):
        Emitter.create("lora", 1e6, 490e3, bandwidth_hz=125e3, spreading_factor=7, duty=0.9, symbols_max=10)


def test_monte_carlo_frames_are_independent_and_repeatable():
    """Frames do not depend on the size of blocks, differ from each other, and have the scene's noise and share on."""
    rate, frame = 1e6, 4096
    emitter = Emitter.create("band_noise", rate, 2e5, 10, seed=1, activity=0.5, bandwidth_hz=50e3)
    scene = Scene(1, rate, [emitter])
    frames = np.concatenate(list(monte_carlo(scene, 600, frame, seed=4)))
    assert frames.shape == (600, frame)
    np.testing.assert_array_equal(frames[:50], np.concatenate(list(monte_carlo(scene, 50, frame, seed=4, block_frames=7))))
    assert not np.array_equal(frames[:50], next(monte_carlo(scene, 50, frame, seed=5)))
    power = np.mean(np.abs(frames) ** 2, axis=1) / scene.noise_power
    on = power > 1 + 0.5 * 10 * emitter.bandwidth_hz / rate
    assert on.mean() == pytest.approx(0.5, abs=0.07)
    assert power[~on].mean() == pytest.approx(1, abs=0.01)
    unit = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    cross = np.abs(unit @ unit.conj().T - np.eye(600))
    assert cross.max() < 0.12


def test_seeds_for_judging_are_none_of_training():
    assert held_out_seed(0) == FIRST_HELD_OUT_SEED
    assert held_out_seed(FIRST_HELD_OUT_SEED - 1) < 1 << 32
    with pytest.raises(ValueError, match="-1 is outside"):
        held_out_seed(-1)
    assert Scene.random(held_out_seed(0), 2e6).emitters != Scene.random(0, 2e6).emitters
