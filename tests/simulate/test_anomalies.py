# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of anomaly: its level as measured in the samples, its bins and samples, the same again by seed, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import find_recordings, open_recording
from gnuradio.spectrumencoder.simulate.anomalies import ANOMALY_KINDS, AUTHENTIC_SNR_DB, SCORED_KINDS
from gnuradio.spectrumencoder.simulate.anomaly_draws import draw_anomaly
from gnuradio.spectrumencoder.simulate.anomaly_rendering import apply_anomaly
from gnuradio.spectrumencoder.simulate.injections import power_in_band
from gnuradio.spectrumencoder.simulate.occupancy import channels_of, free_place
from gnuradio.spectrumencoder.simulate.receivers import Receiver
from gnuradio.spectrumencoder.simulate.scenes import Emitter, Scene, held_out_seed
from gnuradio.spectrumencoder.simulate.signal import power_spectrum

RATE, N, FIRST, SEEDS = 4e6, 1 << 19, 700_000, 5
GNSS_DB = -15.0
BURSTS = ("dclass", "detshift", "jam_pulsed")
AT_FREE_PLACES = ("tone", "scont", "pulse", "hopper")
FROM_RECORDINGS = [k for k in ANOMALY_KINDS if k not in ("spoof", "stealth")]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Five channels of 12 to 244 kHz, one of them a GNSS signal below the noise."""
    emitters = [Emitter.create("gmsk", RATE, -1.2e6, 18, seed=1, symbol_rate=1625e3 / 6, bt=0.3, duty=1.0),
                Emitter.create("lora", RATE, -3e5, 12, seed=1, spreading_factor=8, bandwidth_hz=125e3, duty=0.9),
                Emitter.create("gmsk", RATE, 7e5, 6, seed=2, symbol_rate=1625e3 / 6, bt=0.3, duty=1.0),
                Emitter.create("fm_voice", RATE, 1.3e6, 15, seed=3, deviation_hz=5e3, talk_share=1.0),
                Emitter.create("cdma_noise", RATE, 0.0, GNSS_DB, seed=3, satellites=8)]
    return Scene(held_out_seed(3), RATE, emitters, noise_dbfs=-40)


@pytest.fixture(scope="module")
def clean(scene):
    return scene.render(FIRST, N)


@pytest.fixture(scope="module")
def recorded(clean):
    """The scene as an 8-bit receiver records it: samples of which no plan is known."""
    return Receiver(passband=0.95, rolloff=0.05, stop_db=20, bits=8, gain_db=15, seed=1).apply(clean)


def level_of(kind: str, seed: int) -> float | None:
    return None if kind in ("spoof", "stealth") else float(np.random.default_rng(seed).uniform(0, 20))


def draw(kind, background, seed, n=N, **more):
    more = {"level_db": level_of(kind, seed), "first_sample": FIRST} | more
    return draw_anomaly(np.random.default_rng([seed, 7]), kind, background, RATE, n, **more)


def db(ratio: float) -> float:
    return 10 * float(np.log10(ratio))


def power_while_on(iq: np.ndarray) -> float:
    """Of bursts: mean power where the envelope, smoothed over 64 samples, is over a tenth of its usual one."""
    power = np.abs(iq.astype(np.complex128)) ** 2
    smooth = np.convolve(power, np.full(64, 1 / 64), "same")
    return float(power[smooth > 0.1 * np.quantile(smooth, 0.95)].mean())


def share_within(iq: np.ndarray, center_hz: float, width_hz: float) -> float:
    """Share of the power within the band and a bin of a frame on either side."""
    psd = power_spectrum(iq, 1024)
    freq = (np.arange(len(psd)) - len(psd) // 2) * RATE / len(psd)
    return float(psd[np.abs(freq - center_hz) <= width_hz / 2 + 1.5 * RATE / 1024].sum() / psd.sum())


def without_emitter(scene, clean, anomaly):
    """The samples as they would be if the anomaly's emitter had fallen silent."""
    return apply_anomaly(clean, RATE, replace(anomaly, kind="missing"), scene=scene, first_sample=FIRST)[0]


def check_new_signal(new, background, rows, level_db):
    """New samples (n,) over the background (n,): the level over all rows, and that nothing lies elsewhere."""
    parts = [slice(t.sample_start, t.sample_start + t.sample_count) for t in rows]
    own = np.mean([power_while_on(new[p]) if rows[0].kind in BURSTS else np.mean(np.abs(new[p]) ** 2) for p in parts])
    below = np.mean([power_in_band(background[p], RATE, t.freq_center_hz, t.bandwidth_hz, 8192)
                     for p, t in zip(parts, rows, strict=True)])
    assert db(own / below) == pytest.approx(level_db, abs=0.5)
    for p, t in zip(parts, rows, strict=True):
        assert share_within(new[p], t.freq_center_hz, t.bandwidth_hz) > 0.97
    outside = np.ones(len(new), bool)
    for p in parts:
        outside[p] = False
    assert not new[outside].any()


def test_the_scored_kinds():
    assert SCORED_KINDS == ("tone", "scont", "pulse", "wpulse", "wideband", "chirp", "hopper", "detshift", "dclass", "missing")
    assert set(SCORED_KINDS) < set(ANOMALY_KINDS)


@pytest.mark.parametrize("kind", [k for k in ANOMALY_KINDS if k not in ("missing", "spoof", "stealth")])
def test_inr_place_and_time(scene, clean, kind):
    for seed in range(SEEDS):
        anomaly = draw(kind, scene, seed)
        out, rows = apply_anomaly(clean, RATE, anomaly, scene=scene, first_sample=FIRST)
        background = without_emitter(scene, clean, anomaly) if kind in ("detshift", "dclass") else clean
        new = out - background
        if kind in ("detshift", "dclass"):      # rounding of the signal that went, 1e-7 of it, is not the anomaly
            new[np.abs(new) < 1e-6] = 0
        check_new_signal(new, background, rows, rows[0].level_db)
        assert len(rows) == max(1, len(anomaly.dwells))
        if kind != "dclass":
            assert rows[0].level_db == level_of(kind, seed)


def test_missing_is_silent_and_its_snr_is_stated(scene, clean):
    for seed in range(SEEDS):
        anomaly = draw("missing", scene, seed)
        out, (truth,) = apply_anomaly(clean, RATE, anomaly, scene=scene, first_sample=FIRST)
        stretch = slice(truth.sample_start + 64, truth.sample_start + truth.sample_count - 64)
        emitter = scene.emitters[anomaly.params["emitter"]]
        gone = (clean - out)[stretch]
        noise = power_in_band(scene.noise(FIRST, N)[stretch], RATE, truth.freq_center_hz, truth.bandwidth_hz, 2048)
        assert db(power_while_on(gone) / noise) == pytest.approx(truth.level_db, abs=0.5)
        assert truth.level_db == pytest.approx(emitter.snr_db, abs=1.5)
        left = power_in_band(out[stretch], RATE, truth.freq_center_hz, truth.bandwidth_hz, 2048)
        assert db(left / noise) == pytest.approx(0, abs=0.5)
        np.testing.assert_array_equal(out[:truth.sample_start], clean[:truth.sample_start])
        np.testing.assert_array_equal(out[truth.sample_start + truth.sample_count:],
                                      clean[truth.sample_start + truth.sample_count:])


def test_spoof_is_stronger_than_the_authentic_signal(scene, clean):
    for seed in range(SEEDS):
        anomaly = draw("spoof", scene, seed, level_db=1.0 + seed)
        out, (truth,) = apply_anomaly(clean, RATE, anomaly, scene=scene, first_sample=FIRST)
        stretch = slice(truth.sample_start, truth.sample_start + truth.sample_count)
        new, authentic = (out - clean)[stretch], scene.emit(4, FIRST, N).iq[stretch]
        assert db(np.mean(np.abs(new) ** 2) / np.mean(np.abs(authentic) ** 2)) == pytest.approx(1 + seed, abs=0.5)
        assert truth.details["to_noise_db"] == pytest.approx(GNSS_DB + 1 + seed, abs=1.0)
        assert share_within(new, truth.freq_center_hz, truth.bandwidth_hz) > 0.95
        # the same code: at the stated delay it correlates, once the stated carrier offset is taken off
        first, last = truth.details["carrier_offset_hz"]
        time = np.arange(len(new)) / RATE
        turn = np.exp(-2j * np.pi * (first * time + (last - first) * time ** 2 / (2 * time[-1])))
        lag = round(truth.details["delay_s"] * RATE)
        match = [abs(np.vdot(np.roll(authentic, k), new * turn)) for k in (0, lag)]
        match = np.array(match) / (np.linalg.norm(new) * np.linalg.norm(authentic))
        assert match[1] > 0.9


def test_stealth_lies_below_the_floor(scene, clean):
    for seed in range(SEEDS):
        level = -2.0 - 2 * seed
        anomaly = draw("stealth", scene, seed, level_db=level)
        out, (truth,) = apply_anomaly(clean, RATE, anomaly, scene=scene, first_sample=FIRST)
        stretch = slice(truth.sample_start, truth.sample_start + truth.sample_count)
        middle = (truth.freq_center_hz, 0.8 * truth.bandwidth_hz)
        own = power_in_band((out - clean)[stretch], RATE, *middle)
        assert db(own / power_in_band(scene.noise(FIRST, N)[stretch], RATE, *middle)) == pytest.approx(level, abs=0.5)
        assert share_within((out - clean)[stretch], truth.freq_center_hz, truth.bandwidth_hz) > 0.97
        by_samples, _ = apply_anomaly(clean, RATE, anomaly)          # the floor measured instead of known
        assert db(power_in_band((by_samples - clean)[stretch], RATE, *middle) / own) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("kind", FROM_RECORDINGS)
def test_into_a_recording_without_a_plan(recorded, kind):
    psd = power_spectrum(recorded, 1024)
    for seed in range(SEEDS):
        anomaly = draw(kind, psd, seed)
        assert "emitter" not in anomaly.params
        out, rows = apply_anomaly(recorded, RATE, anomaly)
        background = recorded
        if kind in ("dclass", "missing"):
            background, (gone,) = apply_anomaly(recorded, RATE, replace(anomaly, kind="missing"))
            stretch = slice(gone.sample_start + 64, gone.sample_start + gone.sample_count - 64)
            low, high, floor = (anomaly.params[k] for k in ("low_hz", "high_hz", "floor_density"))
            center, width = (low + high) / 2, high - low
            left = power_in_band(background[stretch], RATE, center, 0.9 * width, 2048) / (0.9 * width)
            assert db(left / floor) == pytest.approx(0, abs=0.5)
            was = power_in_band(recorded[stretch], RATE, center, width, 2048) / (width * floor)
            assert gone.level_db == pytest.approx(db(was - 1), abs=0.5)
        if kind == "missing":
            np.testing.assert_array_equal(out, background)
            continue
        check_new_signal(out - background, background, rows, rows[0].level_db)


def test_spoof_and_stealth_in_a_recording(recorded):
    psd = power_spectrum(recorded, 1024)
    for seed in range(SEEDS):
        out, (truth,) = apply_anomaly(recorded, RATE, draw("spoof", psd, seed, level_db=6.0))
        stretch = slice(truth.sample_start, truth.sample_start + truth.sample_count)
        new = (out - recorded)[stretch]
        below = power_in_band(recorded[stretch], RATE, 0.0, truth.bandwidth_hz, 2048)
        assert db(np.mean(np.abs(new) ** 2) / below) == pytest.approx(AUTHENTIC_SNR_DB + 6, abs=0.5)
        out, (truth,) = apply_anomaly(recorded, RATE, draw("stealth", psd, seed, level_db=-4.0))
        new = (out - recorded)[truth.sample_start:truth.sample_start + truth.sample_count]
        floor = np.median(psd[100:-100]) * len(psd) / RATE
        width = 0.8 * truth.bandwidth_hz
        assert db(power_in_band(new, RATE, truth.freq_center_hz, width) / width / floor) == pytest.approx(-4, abs=0.5)


def test_into_real_recordings(corpus):
    """Each kind goes into some of them at its level; where it cannot, one line says why."""
    done = dict.fromkeys(FROM_RECORDINGS, 0)
    for path in find_recordings(corpus)[::20]:
        recording = open_recording(path)
        iq = recording.read(0, 1 << 17)
        if len(iq) < 1 << 17:
            continue
        psd = power_spectrum(iq, 1024)
        for seed, kind in enumerate(FROM_RECORDINGS):
            try:
                anomaly = draw_anomaly(np.random.default_rng(seed), kind, psd, recording.samp_rate, len(iq), level_db=10)
                out, rows = apply_anomaly(iq, recording.samp_rate, anomaly, center_freq_hz=recording.frequency_hz or 0.0)
            except ValueError as error:
                assert "\n" not in str(error)
                assert kind in ("detshift", "dclass", "missing")
                continue
            done[kind] += 1
            assert np.isfinite(out).all()
            if kind in ("scont", "wpulse", "chirp", "jam_broadband"):
                t = rows[0]
                stretch = slice(t.sample_start, t.sample_start + t.sample_count)
                freq = np.fft.fftfreq(len(iq), 1 / recording.samp_rate)
                inside = np.abs(freq - anomaly.freq_offset_hz) <= t.bandwidth_hz / 2
                below = np.mean(np.abs(np.fft.ifft(np.fft.fft(iq) * inside)[stretch]) ** 2)
                assert db(np.mean(np.abs((out - iq)[stretch]) ** 2) / below) == pytest.approx(10, abs=0.5)
    assert min(done.values()) > 0


@pytest.mark.parametrize("kind", ANOMALY_KINDS)
def test_the_same_by_seed(scene, clean, kind):
    short = clean[:1 << 16]
    a, b = draw(kind, scene, 3, len(short)), draw(kind, scene, 3, len(short))
    assert a == b
    made = [apply_anomaly(short, RATE, x, scene=scene, first_sample=FIRST) for x in (a, b)]
    np.testing.assert_array_equal(made[0][0], made[1][0])
    assert made[0][1] == made[1][1]
    assert draw(kind, scene, 4, len(short)) != a
    before = short.copy()
    apply_anomaly(short, RATE, a, scene=scene, first_sample=FIRST)
    np.testing.assert_array_equal(short, before)


@pytest.mark.parametrize("kind", AT_FREE_PLACES)
def test_new_signals_lie_at_free_places(kind):
    for number in range(8):
        plan = Scene.random(held_out_seed(number), 2e6, (3, 6))
        anomaly = draw_anomaly(np.random.default_rng(number), kind, plan, 2e6, 1 << 16, level_db=10)
        width = anomaly.params.get("dwell_width_hz", anomaly.bandwidth_hz)
        for offset in [o for *_, o in anomaly.dwells] or [anomaly.freq_offset_hz]:
            assert abs(offset) + width / 2 <= 0.4 * 2e6
            for e in plan.emitters:
                assert abs(offset - e.freq_offset_hz) > (width + e.bandwidth_hz) / 2
        parts = anomaly.dwells or [(anomaly.sample_start, anomaly.sample_count, 0.0)]
        assert all(0 <= start and start + count <= 1 << 16 for start, count, _ in parts)


def test_a_wide_pulse_covers_several_channels(scene):
    for seed in range(SEEDS):
        a = draw("wpulse", scene, seed)
        inside = [e for e in scene.emitters[:4] if abs(e.freq_offset_hz - a.freq_offset_hz) < a.bandwidth_hz / 2]
        assert len(inside) >= 2
        assert a.sample_count <= N / 8


def test_a_replacement_fits_the_channel(scene):
    for seed in range(SEEDS):
        a = draw("dclass", scene, seed)
        emitter = scene.emitters[a.params["emitter"]]
        assert a.params["waveform"] != emitter.waveform
        assert 0.4 <= a.bandwidth_hz / emitter.bandwidth_hz <= 1.2
        assert a.level_db == emitter.snr_db


def test_missing_takes_what_is_always_about():
    """An emitter that pauses by itself for longer than the anomaly is not missed."""
    rare = Emitter.create("ook_sensor", 1e6, 0.0, 20, seed=1, duty=0.2, activity=0.5)
    with pytest.raises(ValueError, match="missing takes an emitter of the plan that is regularly on"):
        draw_anomaly(np.random.default_rng(1), "missing", Scene(1, 1e6, [rare]), 1e6, 1 << 16, level_db=20)


def test_a_pause_is_looked_for_beyond_the_anomaly():
    """An emitter of long bursts and pauses: on throughout the stretch, and yet not missed when it is off as long elsewhere."""
    bursts = Emitter.create("ook_sensor", 1e6, 0.0, 20, seed=1, activity=0.5)
    scene = Scene(3, 1e6, [bursts, Emitter.create("fm_voice", 1e6, 2e5, 20, seed=1)])
    assert scene.pauses(0, 1 << 16) and not scene.pauses(1, 1 << 16)
    assert not Scene(3, 1e6, [bursts]).pauses(0, 9_000_000)  # longer than is watched
    silent = [n for n in range(0, 8_000_000, 1 << 18) if not scene.emit(0, n, 1 << 18).on]
    assert silent and scene.pauses(0, 1 << 18)
    a = draw_anomaly(np.random.default_rng(1), "missing", scene, 1e6, 1 << 17, level_db=20)
    assert a.params["emitter"] == 1


def test_what_is_given_is_taken(scene):
    a = draw("scont", scene, 1, freq_offset_hz=1e5, bandwidth_hz=2e4, sample_start=1000, sample_count=5000)
    assert (a.freq_offset_hz, a.bandwidth_hz, a.sample_start, a.sample_count) == (1e5, 2e4, 1000, 5000)


@pytest.mark.parametrize(("kind", "kwargs", "words"), [
    ("hum", {}, "'hum' is none of"), ("tone", {"n": 100}, "100 samples are too few"),
    ("tone", {"bandwidth_hz": 1e3}, "own width"), ("scont", {"bandwidth_hz": 5e6}, "bandwidth_hz 5e.06 is outside"),
    ("scont", {"sample_start": N}, "outside 0"), ("scont", {"freq_offset_hz": 2e6}, "does not fit"),
    ("chirp", {"sample_count": 10}, "10 samples is too short"),
    ("scont", {"bandwidth_hz": 3e6}, "no free place of 3e.06"), ("hopper", {"freq_offset_hz": 0.0}, "every dwell"),
    ("wideband", {"freq_offset_hz": 1.0}, "must be 0"), ("missing", {"freq_offset_hz": 1.0}, "plan determines the place"),
    ("stealth", {"level_db": 1.0}, "level of 1 dB must be negative"),
])
def test_draws_refused(scene, kind, kwargs, words):
    with pytest.raises(ValueError, match=words) as error:
        draw(kind, scene, 1, **kwargs)
    assert "\n" not in str(error.value)


def test_where_there_is_no_channel_or_no_room():
    noise = power_spectrum(Scene(1, 1e6, []).render(0, 1 << 18), 1024)
    for kind in ("detshift", "dclass", "missing"):
        with pytest.raises(ValueError, match=f"{kind} takes a channel"):
            draw_anomaly(np.random.default_rng(1), kind, noise, 1e6, 1 << 16)
        with pytest.raises(ValueError, match=f"{kind} takes an emitter"):
            draw_anomaly(np.random.default_rng(1), kind, Scene(1, 1e6, []), 1e6, 1 << 16)
    with pytest.raises(ValueError, match="rate of 1e.06 Hz is too low"):
        draw_anomaly(np.random.default_rng(1), "spoof", noise, 1e6, 1 << 16)
    with pytest.raises(ValueError, match="the scene has 1e.06 Hz, the samples 2e.06"):
        draw_anomaly(np.random.default_rng(1), "tone", Scene(1, 1e6, []), 2e6, 1 << 16)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        channels_of(np.ones(3), 1e6)
    full = Scene(1, 1e6, [Emitter.create("band_noise", 1e6, 0, 10, seed=1, bandwidth_hz=800e3)])
    with pytest.raises(ValueError, match="leaves no free place"):
        draw_anomaly(np.random.default_rng(1), "scont", full, 1e6, 1 << 16)
    assert free_place(np.random.default_rng(1), channels_of(full, 1e6), 1e6, 1e3) is None


def test_applying_refused(scene, clean):
    with pytest.raises(ValueError, match="give apply_anomaly that scene"):
        apply_anomaly(clean, RATE, draw("missing", scene, 1))
    with pytest.raises(ValueError, match="outside 0..1000"):
        apply_anomaly(clean[:1000], RATE, draw("chirp", scene, 1))
    with pytest.raises(ValueError, match="INR is not defined"):
        apply_anomaly(np.zeros(N, np.complex64), RATE, draw("chirp", scene, 1))


def test_a_recorded_channel_that_is_silent_already(recorded):
    """A burst early in a recording: nothing is missing later on."""
    a = draw("missing", power_spectrum(recorded, 1024), 1)
    noise = np.random.default_rng(1).normal(0, np.sqrt(a.params["floor_density"] * RATE / 2), (N, 2)) @ [1, 1j]
    with pytest.raises(ValueError, match="silent in samples"):
        apply_anomaly(noise.astype(np.complex64), RATE, a)
