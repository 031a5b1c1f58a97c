# SPDX-License-Identifier: GPL-3.0-or-later
"""ADS-B replies, GNSS codes, narrowband FM voice, a carrier, and shaped noise."""

from __future__ import annotations

import numpy as np

from .signal import LONG, Emission, emission, frequency_modulate, paint, phasor, resample, schedule, smooth

_ADSB_RATE_HZ = 20e6
_CRC_POLYNOMIAL = 0xFFF409  # Mode S parity, ICAO Annex 10 volume IV 3.1.2.3.3
_CHIP_RATE_HZ = 1.023e6
_BLEND = 2048  # samples
# G2 taps of PRN 1 to 32 (IS-GPS-200, table 3-Ia)
_G2_TAPS = [(2, 6), (3, 7), (4, 8), (5, 9), (1, 9), (2, 10), (1, 8), (2, 9), (3, 10), (2, 3), (3, 4), (5, 6), (6, 7),
            (7, 8), (8, 9), (9, 10), (1, 4), (2, 5), (3, 6), (4, 7), (5, 8), (6, 9), (1, 3), (4, 6), (5, 7), (6, 8),
            (7, 9), (8, 10), (1, 6), (2, 7), (3, 8), (4, 9)]


def mode_s_message(rng: np.random.Generator, address: int, long: bool) -> np.ndarray:
    """Bits of an extended squitter (DF17, 112 bits) or an acquisition squitter (DF11, 56 bits), with right parity."""
    head = [(17 if long else 11) << 3 | 5, *address.to_bytes(3, "big")]
    bits = np.unpackbits(np.array([*head, *rng.integers(0, 256, 7 if long else 0)], np.uint8))
    remainder = 0
    for bit in bits:
        top = (remainder >> 23) ^ int(bit)
        remainder = ((remainder << 1) & 0xFFFFFF) ^ (_CRC_POLYNOMIAL if top else 0)
    return np.concatenate([bits, (remainder >> np.arange(23, -1, -1)) & 1])


def ppm_adsb(rng: np.random.Generator, n: int, samp_rate: float, *, messages_per_s: float, aircraft: int,
             level_spread_db: float, long_share: float, fleet: int) -> Emission:
    """Mode S squitters at random times: 8 us preamble, 56 or 112 bits of pulse position at 1 Mb/s, pulses of 0.5 us.

    Each of the ``aircraft`` in a ``fleet`` (a seed) has its own address, level and carrier (within 200 kHz; 1 MHz is allowed).
    """
    crew = np.random.default_rng(fleet)
    addresses, levels = crew.integers(1, 2 ** 24, aircraft), crew.uniform(-level_spread_db, 0, aircraft)
    offsets = crew.uniform(-2e5, 2e5, aircraft)
    half = int(_ADSB_RATE_HZ * 0.5e-6)
    preamble = np.zeros(16)
    preamble[[0, 2, 7, 9]] = 1
    out, on = np.zeros(n, np.complex64), []
    count = rng.poisson(messages_per_s * (n / samp_rate + 120e-6))
    for start_s in np.sort(rng.uniform(-120e-6, n / samp_rate, count)):
        plane = int(rng.integers(aircraft))
        bits = mode_s_message(rng, int(addresses[plane]), rng.uniform() < long_share)
        halves = np.concatenate([preamble, np.stack([bits, 1 - bits], axis=1).ravel()])
        late = int(rng.integers(0, max(1, round(_ADSB_RATE_HZ / samp_rate))))  # position within an output sample
        pulses = np.concatenate([np.zeros(4 + late), np.repeat(halves, half), np.zeros(4)])
        envelope = smooth(pulses, 0.1e-6 * _ADSB_RATE_HZ) * 10 ** (levels[plane] / 20)
        carrier = phasor(offsets[plane] / _ADSB_RATE_HZ * np.arange(len(envelope)) + rng.uniform())
        burst = resample((envelope * carrier).astype(np.complex64), _ADSB_RATE_HZ, samp_rate)
        on.append(paint(out, int(start_s * samp_rate), burst))
    return emission(out, on)


def gold_code(prn: int) -> np.ndarray:
    """GPS C/A code for PRN 1..32 as +-1 (1023,)."""
    g1, g2, chips = [1] * 10, [1] * 10, []
    first, second = _G2_TAPS[prn - 1]
    for _ in range(1023):
        chips.append(g1[9] ^ g2[first - 1] ^ g2[second - 1])
        g1 = [g1[2] ^ g1[9], *g1[:9]]
        g2 = [g2[1] ^ g2[2] ^ g2[5] ^ g2[7] ^ g2[8] ^ g2[9], *g2[:9]]
    return 1.0 - 2.0 * np.array(chips)


def cdma_noise(rng: np.random.Generator, n: int, samp_rate: float, *, satellites: int, level_spread_db: float) -> Emission:
    """GPS C/A: several satellites' 1.023 Mchip/s codes with 50 b/s data, Doppler up to 5 kHz and separate levels.

    Received off the air, it lies about 20 dB below the noise: set a negative SNR.
    """
    over = max(1, int(np.ceil(8 * _CHIP_RATE_HZ / samp_rate)))
    rate = samp_rate * over
    time = np.arange(n * over) / rate
    total = np.zeros(n * over, np.complex64)
    levels = 10 ** (rng.uniform(-level_spread_db, 0, satellites) / 20)
    levels /= np.sqrt(np.sum(levels ** 2))
    for prn, level in zip(rng.choice(np.arange(1, 33), satellites, replace=False), levels, strict=True):
        doppler = rng.uniform(-5e3, 5e3)
        chip = _CHIP_RATE_HZ * (1 + doppler / 1575.42e6) * time + rng.uniform(0, 1023)
        data = rng.choice([-1.0, 1.0], int(n / samp_rate * 50) + 2)
        level = level * data[(time * 50 + rng.uniform()).astype(int)]
        code = gold_code(int(prn))[chip.astype(np.int64) % 1023]
        total += (code * level).astype(np.float32) * phasor(doppler * time + rng.uniform())
    return emission(resample(total, rate, samp_rate, n), [(0, n)])


def fm_voice(rng: np.random.Generator, n: int, samp_rate: float, *, deviation_hz: float, talk_share: float) -> Emission:
    """Narrowband FM with speech-like audio (300-3000 Hz: pitch harmonics and hiss with syllables).

    It is push-to-talk with transmissions of 2 to 8 s; talk_share 1 has no pause.
    """
    audio_rate = 16e3
    out, on = np.zeros(n, np.complex64), []
    for start_s, length_s in schedule(rng, n / samp_rate, lambda: rng.uniform(2, 8), talk_share):
        first, count = int(start_s * samp_rate), int(length_s * samp_rate)
        begin, stop = max(0, first), min(n, first + count)
        if begin >= stop:
            continue
        n_audio = max(int((stop - begin) / samp_rate * audio_rate) + 2, 4096)
        moments = np.arange(stop - begin) * (audio_rate / samp_rate)
        moments += rng.uniform() * (n_audio - 1 - moments[-1])
        frequency = np.interp(moments, np.arange(n_audio), _speech(rng, n_audio, audio_rate)) * deviation_hz
        out[begin:stop] += frequency_modulate(frequency, samp_rate, rng.uniform(0, 2 * np.pi))
        on.append((begin, stop))
    return emission(out, on)


def _speech(rng: np.random.Generator, n: int, rate: float) -> np.ndarray:
    """Speech-like audio (n,) within -1..1."""
    steps = np.arange(0, n + 1600, 1600)
    pitch = 110 * 2 ** rng.uniform(0, 1) * (1 + 0.1 * np.interp(np.arange(n), steps, rng.normal(size=len(steps))))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voiced = sum(np.sin(k * phase + k) / k ** 0.7 for k in range(3, 22))
    spectrum = np.fft.rfft(voiced + 0.7 * rng.normal(size=n))
    freq = np.fft.rfftfreq(n, 1 / rate)
    formants = sum(np.exp(-((freq - f) / w) ** 2) for f, w in ((500, 300), (1500, 500), (2500, 400))) + 0.1
    spectrum *= formants * (freq > 300) * (freq < 3000)
    audio = np.fft.irfft(spectrum, n)
    steps = np.arange(0, n + 2400, 2400)                                  # syllables of about 150 ms
    audio *= np.clip(np.interp(np.arange(n), steps, rng.uniform(-0.3, 1.0, len(steps))), 0, 1)
    return np.clip(audio / (3 * audio.std() + 1e-12), -1, 1)


def tone(rng: np.random.Generator, n: int, samp_rate: float, *, phase: float) -> Emission:
    """A carrier with constant level and phase (radians)."""
    return emission(np.full(n, np.exp(1j * phase), np.complex64), [(0, n)])


def band_noise(rng: np.random.Generator, n: int, samp_rate: float, *, bandwidth_hz: float, rolloff: float) -> Emission:
    """Gaussian noise with a raised-cosine spectrum, ``bandwidth_hz`` wide between the 6 dB points: any dense modulation.

    If longer than ``LONG``, it is made in pieces that blend with constant power.
    """
    out, edge = np.zeros(n, np.complex64), np.sin(np.pi / 2 * (np.arange(_BLEND, dtype=np.float32) + 0.5) / _BLEND)
    for first in range(0, n, LONG - _BLEND):
        count = min(LONG, n - first)
        piece = _band_noise(rng, count, samp_rate, bandwidth_hz, rolloff)
        if first:
            piece[:_BLEND] *= edge[:count]
        if first + count < n:
            piece[-_BLEND:] *= edge[::-1]
        out[first:first + count] += piece
        if first + count == n:
            break
    return emission(out, [(0, n)])


def _band_noise(rng: np.random.Generator, n: int, samp_rate: float, bandwidth_hz: float, rolloff: float) -> np.ndarray:
    size = 1 << int(np.ceil(np.log2(max(n, 1024))))
    distance = np.abs(np.fft.fftfreq(size, 1 / samp_rate)) / (bandwidth_hz / 2)
    response = np.clip((1 + rolloff - distance) / (2 * rolloff), 0, 1) if rolloff > 0 else (distance <= 1).astype(float)
    white = rng.normal(size=(2, size)).astype(np.float32)
    shaped = np.fft.ifft(np.fft.fft(white[0] + 1j * white[1]) * np.sin(np.pi / 2 * response))
    return shaped[:n].astype(np.complex64)
