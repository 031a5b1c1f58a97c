# SPDX-License-Identifier: GPL-3.0-or-later
"""Waveforms: unit power, their width, and what makes each the real thing: its symbols, codes and timing, received back."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.simulate import ofdm, other_services, short_range
from gnuradio.spectrumencoder.simulate.signal import LONG, occupied_band, power_spectrum, schedule
from gnuradio.spectrumencoder.simulate.waveforms import WAVEFORMS
from scipy import signal

# name -> (rate Hz, samples, parameters, 99 % width in Hz and its tolerance)
CASES = {
    "ofdm_wifi": (25e6, 400_000, {"duty": 0.5}, 16.4e6, 0.05),
    "ofdm_lte": (1.92e6, 200_000, {"n_rb": 6, "load": 0.9, "tdd": 0}, 1.09e6, 0.05),
    "gfsk_ble": (4e6, 400_000, {"duty": 0.5}, 1.05e6, 0.1),
    "oqpsk_154": (8e6, 400_000, {"duty": 0.5}, 2.3e6, 0.1),
    "lora": (1e6, 600_000, {"spreading_factor": 8, "bandwidth_hz": 125e3, "duty": 0.6}, 125e3, 0.05),
    "ppm_adsb": (4e6, 400_000, {"messages_per_s": 1000, "level_spread_db": 3}, 2.5e6, 0.35),
    "ook_sensor": (250e3, 300_000, {"coding": "ppm", "unit_s": 5e-4, "duty": 0.9}, 21e3, 0.2),
    "fsk_sensor": (250e3, 400_000, {"symbol_rate": 9600, "deviation_hz": 30e3, "duty": 0.9}, 75e3, 0.2),
    "cdma_noise": (8e6, 200_000, {}, 5e6, 0.5),
    "gmsk": (1e6, 200_000, {"symbol_rate": 1625e3 / 6, "bt": 0.3, "duty": 1.0, "burst_symbols": 148}, 245e3, 0.1),
    "tone": (250e3, 50_000, {}, 200.0, 0.5),
    "fm_voice": (48e3, 200_000, {"deviation_hz": 2.5e3, "talk_share": 1.0}, 8e3, 0.4),
    "band_noise": (1e6, 200_000, {"bandwidth_hz": 100e3, "rolloff": 0.2}, 107e3, 0.1),
}


def on_samples(made):
    return np.concatenate([made.iq[a:b] for a, b in made.on])


@pytest.mark.parametrize("name", WAVEFORMS)
def test_power_width_and_seed(name):
    rate, n, params, width, tolerance = CASES[name]
    made = WAVEFORMS[name].emit(np.random.default_rng(3), n, rate, **params)
    assert made.iq.dtype == np.complex64
    assert made.iq.shape == (n,)
    on = on_samples(made)
    assert np.mean(np.abs(on) ** 2) == pytest.approx(1, rel=1e-4)
    low, high = occupied_band(on, rate)
    assert high - low == pytest.approx(width, rel=tolerance)
    again = WAVEFORMS[name].function(np.random.default_rng(3), n, rate, **params)
    np.testing.assert_array_equal(made.iq, again)


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("seed", range(3))
def test_any_draw_at_odd_rates(name, seed):
    """Parameters as drawn, at a rate that no symbol rate divides, over stretches down to one sample."""
    waveform, rng = WAVEFORMS[name], np.random.default_rng(seed)
    params = waveform.draw(rng)
    rate = max(waveform.width_of(params), 100e3) * 1.3717
    for n in (1, 777, 20_000):
        made = waveform.emit(rng, n, rate, **params)
        assert made.iq.shape == (n,)
        assert np.isfinite(made.iq).all()
        assert all(0 <= a < b <= n for a, b in made.on)


@pytest.mark.parametrize("name", ["ofdm_wifi", "gfsk_ble", "oqpsk_154", "lora", "ppm_adsb", "fsk_sensor"])
def test_silent_between_bursts(name):
    rate, n, params, _, _ = CASES[name]
    made = WAVEFORMS[name].emit(np.random.default_rng(3), n, rate, **params)
    off = np.ones(n, bool)
    for a, b in made.on:
        off[a:b] = False
    assert off.any()
    assert np.abs(made.iq[off]).max() < 1e-3


def test_long_noise_is_made_in_pieces_of_equal_power():
    """Where pieces of a million samples meet it is as strong, and as wide, as elsewhere."""
    rate, rng = 1e6, np.random.default_rng(1)
    iq = WAVEFORMS["band_noise"].function(rng, 2_500_000, rate, bandwidth_hz=300e3, rolloff=0.2)
    seam = LONG - 2048
    seams = np.concatenate([iq[at:at + 2048] for at in (seam, 2 * seam)])
    assert 10 * np.log10(np.mean(np.abs(seams) ** 2)) == pytest.approx(0, abs=0.5)
    for part in (seams, iq[:200_000], iq[-200_000:]):
        low, high = occupied_band(part, rate, fft_size=512)
        assert high - low == pytest.approx(300e3, rel=0.1)
    assert not np.array_equal(iq[:100], iq[seam + 2048:seam + 2148])


def test_power_spectrum_of_pieces():
    """Of what is longer than a piece the mean over pieces: noise with a carrier, the same as by one transform of all."""
    rng, n = np.random.default_rng(2), 2 * LONG + 5
    iq = (rng.standard_normal(n) + 1j * rng.standard_normal(n) + np.exp(2j * np.pi * 0.2 * np.arange(n))).astype(np.complex64)
    _, wanted = signal.welch(iq, nperseg=256, return_onesided=False, detrend=False, scaling="spectrum")
    wanted = np.fft.fftshift(wanted) * (np.mean(np.abs(iq) ** 2) / wanted.sum())
    found = power_spectrum(iq, 256)
    np.testing.assert_allclose(found, wanted, rtol=0.03)  # other segments: 16,000 of them, each exponentially distributed
    assert found.sum() == pytest.approx(np.mean(np.abs(iq) ** 2), rel=1e-4) and found.argmax() == wanted.argmax()


def test_rate_too_low_is_refused():
    with pytest.raises(ValueError, match="ofdm_wifi is 1.7e.07 Hz wide"):
        WAVEFORMS["ofdm_wifi"].emit(np.random.default_rng(1), 1000, 10e6)
    with pytest.raises(ValueError, match="n is 0"):
        WAVEFORMS["tone"].emit(np.random.default_rng(1), 0, 1e6)
    with pytest.raises(TypeError):
        WAVEFORMS["tone"].emit(np.random.default_rng(1), 10, 1e6, colour="red")


def test_schedule_keeps_its_duty():
    rng = np.random.default_rng(1)
    bursts = schedule(rng, 400.0, lambda: rng.uniform(0.01, 0.03), 0.3)
    assert sum(length for _, length in bursts) / 400 == pytest.approx(0.3, rel=0.05)
    assert all(a + la <= b + 1e-9 for (a, la), (b, _) in zip(bursts, bursts[1:], strict=False))
    with pytest.raises(ValueError, match="duty 0"):
        schedule(rng, 1.0, 0.1, 0)


def test_wifi_preamble_and_carriers():
    """The short field repeats every 0.8 us, the long one is known, and a data symbol has 52 carriers, none at 0."""
    burst = ofdm.wifi_burst(np.random.default_rng(1), 10, 4)
    assert len(burst) == 320 + 11 * 80
    np.testing.assert_allclose(burst[:144], burst[16:160], atol=1e-6)
    np.testing.assert_allclose(burst[192:256], burst[256:320], atol=1e-6)
    data = np.fft.fftshift(np.fft.fft(burst[320 + 80 + 16:320 + 160]))
    used = np.abs(data) > 0.1
    assert used.sum() == 52
    assert not used[32]
    pilots = data[ofdm._WIFI_PILOTS + 32]
    np.testing.assert_allclose(pilots, [1, 1, 1, -1], atol=1e-4)  # p_1 = +1


def test_lte_primary_synchronisation_is_found():
    """Correlation with the cell's Zadoff-Chu sequence peaks every 5 ms, and only for the root of the cell."""
    rate = 1.92e6
    iq = WAVEFORMS["ofdm_lte"].function(np.random.default_rng(2), 40_000, rate, n_rb=6, load=0.5, tdd=0, cell=4)
    peaks = {}
    for identity, root in enumerate((25, 29, 34)):
        spectrum = np.zeros(128, complex)
        spectrum[np.r_[-31:0, 1:32]] = ofdm._zadoff_chu(root)
        height = np.abs(np.correlate(iq, np.fft.ifft(spectrum), "valid"))
        peaks[identity] = height.max() / np.median(height)
        if identity == 4 % 3:
            found = np.flatnonzero(height > 0.8 * height.max())
    assert peaks[1] > 1.5 * max(peaks[0], peaks[2])
    gaps = np.diff(found)
    np.testing.assert_array_equal(gaps[gaps > 100], 9600)


def test_lte_is_always_on_unless_tdd():
    fdd = WAVEFORMS["ofdm_lte"].emit(np.random.default_rng(2), 40_000, 1.92e6, n_rb=6, tdd=0)
    assert fdd.on == [(0, 40_000)]
    tdd = WAVEFORMS["ofdm_lte"].emit(np.random.default_rng(2), 192_000, 1.92e6, n_rb=6, tdd=1)
    assert sum(b - a for a, b in tdd.on) / 192_000 == pytest.approx(0.54, abs=0.04)  # 4 + 2 x 10/14 of 10 subframes


def test_ble_bits_come_back():
    """A frequency discriminator reads the advertising access address 0x8E89BED6 after the preamble."""
    made = WAVEFORMS["gfsk_ble"].emit(np.random.default_rng(5), 40_000, 4e6, duty=0.3, advertising=True, index=0.5)
    start, _ = next((a, b) for a, b in made.on if a > 0)
    frequency = np.diff(np.unwrap(np.angle(made.iq[start:start + 400])))
    bits = (frequency[2::4] > 0).astype(int)
    address = [(0x8E89BED6 >> k) & 1 for k in range(32)]
    np.testing.assert_array_equal(bits[:8], [0, 1] * 4)
    np.testing.assert_array_equal(bits[8:40], address)
    assert np.abs(frequency).max() * 4e6 / (2 * np.pi) == pytest.approx(250e3, rel=0.05)


def test_154_sequences():
    """Orthogonality of the standard's table, two rows word for word, and the preamble's symbol 0 received back."""
    table = short_range.chips_154()
    assert "".join(map(str, table[1])) == "11101101100111000011010100100010"
    assert "".join(map(str, table[8])) == "10001100100101100000011101111011"
    signs = 2 * table - 1
    cross = signs @ signs.T
    assert (np.diag(cross) == 32).all()
    assert np.abs(cross - 32 * np.eye(16)).max() <= 8
    made = WAVEFORMS["oqpsk_154"].emit(np.random.default_rng(5), 40_000, 8e6, duty=0.5, octets_max=30)
    start = next(a for a, _ in made.on if a > 0)
    symbol = made.iq[start:start + 128]                     # 32 chips of 4 samples; preamble: eight times symbol 0
    following = made.iq[start + 128:start + 256]
    similar = np.abs(np.vdot(symbol[8:], following[8:])) / np.linalg.norm(symbol[8:]) / np.linalg.norm(following[8:])
    assert similar > 0.99


@pytest.mark.parametrize("spreading_factor", [7, 10])
def test_lora_preamble_dechirps_to_a_tone(spreading_factor):
    bandwidth, rate = 125e3, 500e3
    made = WAVEFORMS["lora"].emit(np.random.default_rng(1), 900_000, rate, spreading_factor=spreading_factor,
                                  bandwidth_hz=bandwidth, duty=0.3, symbols_max=12)
    start = next(a for a, _ in made.on if a > 0)
    size = int(2 ** spreading_factor / bandwidth * rate)
    time = np.arange(size) / rate
    down = np.exp(-1j * np.pi * (bandwidth ** 2 / 2 ** spreading_factor * time ** 2 - bandwidth * time))
    for symbol in range(1, 8):
        spectrum = np.abs(np.fft.fft(made.iq[start + symbol * size:start + (symbol + 1) * size] * down)) ** 2
        assert spectrum.max() / spectrum.sum() > 0.8


def test_mode_s_parity_and_pulses():
    """The parity of a known message (DF17 from the literature: 8D4840D6202CC371C32CE0576098) and the preamble's pulses."""
    known = np.unpackbits(np.frombuffer(bytes.fromhex("8D4840D6202CC371C32CE0576098"), np.uint8))
    rng = np.random.default_rng(1)

    def remainder(bits):
        value = 0
        for bit in bits:
            value = ((value << 1) & 0x1FFFFFF) | int(bit)
            if value & 0x1000000:
                value ^= 0x1000000 | 0xFFF409
        return value

    assert remainder(known) == 0
    for long, length in ((True, 112), (False, 56)):
        message = other_services.mode_s_message(rng, 0x4840D6, long)
        assert len(message) == length
        assert remainder(message) == 0
    made = WAVEFORMS["ppm_adsb"].emit(rng, 400_000, 20e6, messages_per_s=400, aircraft=1, level_spread_db=0, long_share=1.0)
    start = next(a for a, b in made.on if a > 0 and b - a < 2500)
    envelope = np.abs(made.iq[start + 4:start + 4 + 160]).reshape(16, 10)[:, 2:8].mean(axis=1)
    high = envelope > 0.5 * envelope.max()
    np.testing.assert_array_equal(np.flatnonzero(high), [0, 2, 7, 9])


def test_gps_codes():
    """First ten chips of PRN 1 and 2 (IS-GPS-200: octal 1440 and 1620), balance and cross-correlation of Gold codes."""
    for prn, octal in ((1, 0o1440), (2, 0o1620)):
        chips = (1 - other_services.gold_code(prn)[:10]) / 2
        assert int("".join(str(int(c)) for c in chips), 2) == octal
    a, b = np.fft.fft(other_services.gold_code(3)), np.fft.fft(other_services.gold_code(30))
    assert set(np.rint(np.fft.ifft(a * b.conj()).real).astype(int)) <= {-65, -1, 63}


def test_ook_units():
    """Pulses are whole units long (pwm: 1 and 3)."""
    made = WAVEFORMS["ook_sensor"].emit(np.random.default_rng(4), 250_000, 250e3, coding="pwm", unit_s=4e-4, bits=24,
                                        repeats=5, duty=0.9)
    level = np.abs(made.iq) > 0.5 * np.abs(made.iq).max()
    edges = np.flatnonzero(np.diff(level.astype(int)))
    pulses = [(b - a) / 100 for a, b in zip(edges, edges[1:], strict=False) if level[a + 1] and a > 0]
    assert {round(p) for p in pulses} == {1, 3}
    assert max(abs(p - round(p)) for p in pulses) < 0.1
    with pytest.raises(ValueError, match="morse"):
        WAVEFORMS["ook_sensor"].emit(np.random.default_rng(4), 1000, 250e3, coding="morse")


def test_fsk_has_its_two_tones():
    made = WAVEFORMS["fsk_sensor"].emit(np.random.default_rng(4), 500_000, 250e3, symbol_rate=2400, deviation_hz=30e3,
                                        manchester=False, duty=0.8)
    on = on_samples(made)
    frequency = np.angle(on[1:] * np.conj(on[:-1])) * 250e3 / (2 * np.pi)
    frequency = frequency[np.abs(on[1:]) > 0.5]
    assert np.mean(np.abs(np.abs(frequency) - 30e3) < 1e3) > 0.7
