# SPDX-License-Identifier: GPL-3.0-or-later
"""OFDM waveforms: 802.11a/g bursts and the LTE downlink."""

from __future__ import annotations

import numpy as np

from .signal import Emission, emission, paint, resample, schedule

# IEEE 802.11-2020, 17.3.3 (preamble), carriers -26..26
_STF = np.sqrt(13 / 6) * (1 + 1j) * np.array(
    [0, 0, 1, 0, 0, 0, -1, 0, 0, 0, 1, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0, 1, 0, 0, 0, 0,
     0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0])
_LTF = np.array(
    [1, 1, -1, -1, 1, 1, -1, 1, -1, 1, 1, 1, 1, 1, 1, -1, -1, 1, 1, -1, 1, -1, 1, 1, 1, 1, 0,
     1, -1, -1, 1, 1, -1, 1, -1, 1, -1, -1, -1, -1, -1, 1, 1, -1, -1, 1, -1, 1, -1, 1, 1, 1, 1])
_WIFI_CARRIERS = np.arange(-26, 27)
_WIFI_PILOTS, _WIFI_PILOT_SIGNS = np.array([-21, -7, 7, 21]), np.array([1, 1, 1, -1])
_WIFI_DATA = np.setdiff1d(_WIFI_CARRIERS, [0, *_WIFI_PILOTS])
WIFI_RATE_HZ = 20e6
LTE_SPACING_HZ = 15e3
_TDD_DOWNLINK = {1: (0, 1, 4, 5, 6, 9), 2: (0, 1, 3, 4, 5, 6, 8, 9)}  # TS 36.211 table 4.2-2, with special subframes


def qam(rng: np.random.Generator, bits: int, shape) -> np.ndarray:
    """Random points with unit mean power: BPSK (bits = 1) or square QAM with 2^bits points."""
    if bits == 1:
        return rng.integers(0, 2, shape) * 2.0 - 1
    levels = 2 ** (bits // 2)
    points = rng.integers(0, levels, (2, *np.atleast_1d(shape))) * 2 - levels + 1
    return (points[0] + 1j * points[1]) / np.sqrt(2 * (levels ** 2 - 1) / 3)


def _pilot_polarity(count: int) -> np.ndarray:
    """802.11 scrambler x^7 + x^4 + 1 from all ones; 0 -> +1, 1 -> -1 (17.3.5.10)."""
    state, signs = [1] * 7, []
    for _ in range(127):
        bit = state[6] ^ state[3]
        state = [bit, *state[:6]]
        signs.append(1 - 2 * bit)
    return np.resize(signs, count)


def wifi_burst(rng: np.random.Generator, n_symbols: int, bits: int) -> np.ndarray:
    """One 802.11a PPDU at 20 MS/s: short and long training fields, SIGNAL, ``n_symbols`` DATA symbols of 2^bits QAM."""
    def to_time(spectrum):
        return np.fft.ifft(np.fft.ifftshift(spectrum, axes=-1), axis=-1)

    fields = np.zeros((2, 64), complex)
    fields[0, _WIFI_CARRIERS + 32], fields[1, _WIFI_CARRIERS + 32] = _STF, _LTF
    short, long = to_time(fields)
    spectrum = np.zeros((n_symbols + 1, 64), complex)
    spectrum[0, _WIFI_DATA + 32] = qam(rng, 1, 48)
    spectrum[1:, _WIFI_DATA + 32] = qam(rng, bits, (n_symbols, 48))
    spectrum[:, _WIFI_PILOTS + 32] = _WIFI_PILOT_SIGNS * _pilot_polarity(n_symbols + 1)[:, None]
    symbols = to_time(spectrum)
    cyclic = np.concatenate([symbols[:, -16:], symbols], axis=1)
    # Windowing over 100 ns (17.3.2.5): every symbol is one sample longer, halved in the overlap
    after = symbols[:, 0]
    cyclic[1:, 0] = (cyclic[1:, 0] + after[:-1]) / 2
    return np.concatenate([np.resize(short, 160), long[-32:], long, long, cyclic.ravel()]).astype(np.complex64)


def ofdm_wifi(rng: np.random.Generator, n: int, samp_rate: float, *, duty: float, bits: int,
              symbols_max: int) -> Emission:
    """802.11a/g, 20 MHz: bursts of 5 to ``symbols_max`` symbols of 4 us, most acknowledged 16 us later.

    Args:
        duty: share of time; 1 is back to back, without acknowledgements.
        bits: bits per carrier, 1, 2, 4 or 6.
    """
    out, on = np.zeros(n, np.complex64), []

    def add(start_s, count, order, gain=1.0):
        burst = gain * resample(wifi_burst(rng, count, order), WIFI_RATE_HZ, samp_rate)
        on.append(paint(out, int(start_s * samp_rate), burst))

    def length():
        return (4 * int(np.exp(rng.uniform(np.log(5), np.log(max(symbols_max, 6))))) + 20) * 1e-6

    for start_s, length_s in schedule(rng, n / samp_rate, length, duty, min_gap_s=70e-6 if duty < 1 else 0.0):
        count = round((length_s * 1e6 - 20) / 4)
        add(start_s, count, bits)
        if duty < 1 and rng.uniform() < 0.8:
            add(start_s + length_s + 16e-6, rng.integers(3, 8), 2, gain=10 ** rng.uniform(-0.3, 0.0))
    return emission(out, on)


def _zadoff_chu(root: int) -> np.ndarray:
    """Primary synchronisation signal (TS 36.211 section 6.11.1), 62 values."""
    index = np.arange(62)
    return np.exp(-1j * np.pi * root * np.where(index < 31, index * (index + 1), (index + 1) * (index + 2)) / 63)


def _lte_subframe(rng, cell: dict, number: int, load: float) -> np.ndarray:
    """Resource grid (14 symbols, 12 n_rb carriers) of a downlink subframe 0..9 (TS 36.211 chapter 6)."""
    n_carriers = 12 * cell["n_rb"]
    grid = np.zeros((14, n_carriers), complex)
    control = 2 if cell["n_rb"] <= 10 else int(rng.integers(1, 4))
    groups = rng.uniform(size=(control, n_carriers // 4 + 1)) < 0.25 + 0.7 * load  # resource element groups in use
    grid[:control] = qam(rng, 2, (control, n_carriers)) * np.repeat(groups, 4, axis=1)[:, :n_carriers]
    taken = np.repeat(rng.uniform(size=cell["n_rb"]) < load, 12)
    power = np.repeat(10 ** (rng.uniform(-3, 3, cell["n_rb"]) / 20), 12)  # per block, as the scheduler sets it
    grid[control:] = qam(rng, int(rng.choice([2, 4, 6])), (14 - control, n_carriers)) * taken * power
    middle = slice(n_carriers // 2 - 36, n_carriers // 2 + 36)
    if number == 0:
        grid[7:11, middle] = qam(rng, 2, (4, 72))                       # broadcast channel
    if number in (0, 5):                                                # synchronisation, five guard carriers each side
        grid[5:7, middle] = 0
        used = slice(n_carriers // 2 - 31, n_carriers // 2 + 31)
        grid[6, used], grid[5, used] = cell["pss"], cell["sss"][number // 5]
    for symbol in (0, 4, 7, 11):                                        # cell reference signals, ports 0 and 1
        for port in range(cell["ports"]):
            first = (cell["shift"] + 3 * ((symbol % 7 != 0) ^ port)) % 6
            grid[symbol, first::6] = qam(rng, 2, len(grid[symbol, first::6])) * (cell["boost"] if port == 0 else 0.5)
    return grid


def ofdm_lte(rng: np.random.Generator, n: int, samp_rate: float, *, n_rb: int, load: float, ports: int, boost_db: float,
             tdd: int, cell: int) -> Emission:
    """LTE downlink of ``n_rb`` resource blocks (6: 1.4 MHz, 100: 20 MHz), 3GPP TS 36.211 chapter 6.

    It has synchronisation, broadcast and reference signals, and data in a share of blocks that varies around ``load``.
    tdd = 1 or 2: only the downlink subframes of that TDD configuration; 0: FDD, always on. cell: physical cell identity.

    If samp_rate is under the channel's width, only the carriers that fit are made: the middle of a wider channel.
    """
    half = min(6 * n_rb, int(0.49 * samp_rate / LTE_SPACING_HZ))
    size = 128 * -(-(2 * half + 2) // 128)
    if samp_rate % (128 * LTE_SPACING_HZ) == 0:
        size = max(size, int(samp_rate / LTE_SPACING_HZ))  # samp_rate is a multiple of 1.92 MS/s: no resampling
    rate = size * LTE_SPACING_HZ
    station = {"n_rb": n_rb, "ports": ports, "boost": 10 ** (boost_db / 20), "shift": cell % 6,
               "pss": _zadoff_chu((25, 29, 34)[cell % 3]), "sss": qam(np.random.default_rng(cell), 1, (2, 62))}
    carriers = np.concatenate([np.arange(-6 * n_rb, 0), np.arange(1, 6 * n_rb + 1)])  # no carrier at 0
    keep = np.abs(carriers) <= half
    prefix = np.array([10 if s % 7 == 0 else 9 for s in range(14)]) * size // 128
    per_subframe = 14 * size + prefix.sum()
    count = int(np.ceil(n / samp_rate * 1000)) + 2
    first = int(rng.integers(10))
    pieces, on, level = [], [], load
    offset = int(rng.integers(per_subframe))
    for index in range(count):
        level = float(np.clip(level + 0.3 * (load - level) + rng.normal(0, 0.15), 0.0, 1.0))
        number = (first + index) % 10
        piece = np.zeros(per_subframe, np.complex64)
        if tdd == 0 or number in _TDD_DOWNLINK[tdd]:
            grid = _lte_subframe(rng, station, number, level)
            symbols = 10 if tdd and number in (1, 6) else 14             # special subframe: downlink part only
            spectrum = np.zeros((symbols, size), complex)
            spectrum[:, carriers[keep] % size] = grid[:symbols, keep]
            time = np.fft.ifft(spectrum, axis=1) * np.sqrt(size)
            parts = [np.concatenate([row[size - p:], row]) for row, p in zip(time, prefix, strict=False)]
            body = np.concatenate(parts)
            piece[:len(body)] = body
            begin = (index * per_subframe - offset) / rate
            on.append((round(begin * samp_rate), round((begin + len(body) / rate) * samp_rate)))
        pieces.append(piece)
    iq = resample(np.concatenate(pieces)[offset:], rate, samp_rate, n)
    return emission(iq, on if tdd else [(0, n)])
