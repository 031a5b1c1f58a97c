# SPDX-License-Identifier: GPL-3.0-or-later
"""Short-range and mobile single-carrier waveforms: Bluetooth LE, 802.15.4, LoRa, OOK and FSK sensors, GMSK."""

from __future__ import annotations

import numpy as np

from .signal import (
    Emission,
    emission,
    frequency_modulate,
    paint,
    ramp,
    resample,
    schedule,
    shaped_symbols,
    smooth,
    tiles,
)

BLE_RATE_HZ = 1e6
CHIP_RATE_154_HZ = 2e6
_BLE_ADVERTISING_ADDRESS = 0x8E89BED6
_CHIPS_154 = np.array([int(c) for c in "11011001110000110101001000101110"])  # symbol 0 (IEEE 802.15.4-2020, 12.2.4)


def _internal_rate(symbol_rate: float, samp_rate: float) -> tuple[float, int]:
    """(rate, samples per symbol): samp_rate itself if it has a whole number (min 4) per symbol; otherwise 8 per symbol."""
    per_symbol = samp_rate / symbol_rate
    whole = int(per_symbol) if per_symbol == int(per_symbol) and per_symbol >= 4 else 8
    return symbol_rate * whole, whole


def _bits(value: int, count: int) -> np.ndarray:
    """Least significant bit first."""
    return (value >> np.arange(count)) & 1


def gfsk_ble(rng: np.random.Generator, n: int, samp_rate: float, *, duty: float, advertising: bool,
             index: float) -> Emission:
    """Bluetooth LE 1M: GFSK with modulation index 0.45-0.55, BT 0.5; packets of 80-380 us, longer in data channels.

    Bluetooth Core 5.4, volume 6, parts A (3.1) and B (2.1): preamble, access address, header, payload, CRC.
    """
    rate, per_symbol = _internal_rate(BLE_RATE_HZ, samp_rate)
    address = _BLE_ADVERTISING_ADDRESS if advertising else int(rng.integers(1, 2 ** 32))
    out, on = np.zeros(n, np.complex64), []

    def length():
        octets = int(rng.integers(8, 38))
        if not advertising and rng.uniform() < 0.3:
            octets = int(rng.choice([0, 27, rng.integers(38, 251)]))
        return 8e-6 * (1 + 4 + 2 + octets + 3)

    for start_s, length_s in schedule(rng, n / samp_rate, length, duty, min_gap_s=150e-6):
        n_bits = round(length_s * 1e6)
        head = np.concatenate([(np.arange(8) + (address & 1)) % 2, _bits(address, 32)])
        bits = np.concatenate([head, rng.integers(0, 2, n_bits - 40)])  # the rest is whitened
        deviation = shaped_symbols(2 * bits - 1, per_symbol, 0.5) * (index * BLE_RATE_HZ / 2)
        burst = ramp(frequency_modulate(deviation, rate, rng.uniform(0, 2 * np.pi)), 2e-6 * rate)
        on.append(paint(out, int(start_s * samp_rate), resample(burst, rate, samp_rate)))
    return emission(out, on)


def chips_154() -> np.ndarray:
    """The 16 spreading sequences (16, 32) of the 2.4 GHz O-QPSK PHY."""
    low = np.stack([np.roll(_CHIPS_154, 4 * k) for k in range(8)])
    high = low.copy()
    high[:, 1::2] ^= 1
    return np.concatenate([low, high])


def oqpsk_154(rng: np.random.Generator, n: int, samp_rate: float, *, duty: float, octets_max: int) -> Emission:
    """IEEE 802.15.4 at 2.4 GHz: 2 Mchip/s half-sine O-QPSK of its 16 sequences; frames and acknowledgements."""
    rate, per_chip = _internal_rate(CHIP_RATE_154_HZ, samp_rate)
    table = chips_154()
    pulse = np.sin(np.pi * (np.arange(2 * per_chip) + 0.5) / (2 * per_chip))
    out, on = np.zeros(n, np.complex64), []

    def burst(octets):
        payload = rng.integers(0, 16, 2 * octets)
        symbols = np.concatenate([[0] * 8, [7, 10], [octets & 15, octets >> 4], payload])  # preamble, delimiter, length
        chips = table[symbols].ravel() * 2.0 - 1
        rails = np.zeros((2, (len(chips) + 2) * per_chip))
        for rail in (0, 1):
            spikes = np.zeros(len(chips) * per_chip + 1 - per_chip)
            spikes[rail * per_chip::2 * per_chip] = chips[rail::2]
            shaped = np.convolve(spikes, pulse)
            rails[rail, :len(shaped)] = shaped
        turned = (rails[0] + 1j * rails[1]) * np.exp(1j * rng.uniform(0, 2 * np.pi))
        return resample(turned.astype(np.complex64), rate, samp_rate)

    def length():
        return 32e-6 * (6 + int(rng.integers(9, octets_max + 1)))

    for start_s, length_s in schedule(rng, n / samp_rate, length, duty, min_gap_s=600e-6 if duty < 1 else 0.0):
        frame = burst(round(length_s / 32e-6) - 6)
        on.append(paint(out, int(start_s * samp_rate), frame))
        if duty < 0.6 and rng.uniform() < 0.6:
            on.append(paint(out, int((start_s + length_s + 192e-6) * samp_rate), burst(5)))
    return emission(out, on)


def lora(rng: np.random.Generator, n: int, samp_rate: float, *, spreading_factor: int, bandwidth_hz: float, duty: float,
         symbols_max: int) -> Emission:
    """LoRa packets: 8 up-chirps, two sync symbols, 2.25 down-chirps, then data chirps of 2^SF starting frequencies."""
    count = 2 ** spreading_factor
    symbol_s = count / bandwidth_hz
    out, on = np.zeros(n, np.complex64), []

    def length():
        return symbol_s * (12.25 + int(rng.integers(8, symbols_max + 1)))

    for start_s, length_s in schedule(rng, n / samp_rate, length, duty):
        first = int(start_s * samp_rate)
        begin, stop = max(0, first), min(n, first + int(length_s * samp_rate))
        if begin >= stop:
            continue
        n_symbols = int(np.ceil(length_s / symbol_s)) + 1
        values = rng.integers(0, count, n_symbols) / count
        values[:8], values[8:10] = 0, np.array([24, 32]) / count           # sync word 0x34
        values[10:13] = 0
        before = max(first, begin - 1)
        frequency = np.empty(stop - before)
        for tile in tiles(len(frequency)):
            position = np.arange(before + tile.start, before + tile.stop) - start_s * samp_rate
            position = np.maximum(position, 0) / (samp_rate * symbol_s)    # in symbols
            data = position >= 12.25
            turn = np.where(data, position - 12.25, position)              # data symbols begin at a quarter
            whole = np.floor(turn)
            index = np.where(data, 13 + whole, whole).astype(int)
            place = values[np.minimum(index, n_symbols - 1)] + (turn - whole)
            place -= np.floor(place) + 0.5
            frequency[tile] = np.where((position >= 10) & ~data, -place, place) * bandwidth_hz
        burst = frequency_modulate(frequency, samp_rate, rng.uniform(0, 2 * np.pi))[-(stop - begin):]
        on.append(paint(out, begin, ramp(burst, 20e-6 * samp_rate)))
    return emission(out, on)


def ook_sensor(rng: np.random.Generator, n: int, samp_rate: float, *, coding: str, unit_s: float, bits: int, repeats: int,
               duty: float, drift_hz: float, pull_hz: float = 0.0, linewidth_hz: float = 0.0) -> Emission:
    """On-off keyed remote controls and weather sensors: a packet of ``bits``, sent ``repeats`` times.

    Coded as pulse width ("pwm": 1 and 3 units, PT2262), pulse distance ("ppm": 1 unit, then 2, 4 or 9 units of gap) or
    "manchester"; the oscillator drifts by ``drift_hz`` while it warms up. It starts each pulse ``pull_hz`` off and settles
    within it. Its Lorentzian line is ``linewidth_hz`` wide (cheap ones have no crystal). A packet with its gaps is one interval.
    """
    data = rng.integers(0, 2, bits)
    if coding == "pwm":
        pulses = [(3, 1) if bit else (1, 3) for bit in data] + [(1, 31)]
    elif coding == "ppm":
        pulses = [(1, 4 if bit else 2) for bit in data] + [(1, 9)]
    elif coding == "manchester":
        pulses = [(1, 1)] * 8 + [pair for bit in data for pair in ([(1, 1)] if bit else [(0, 1), (1, 0)])] + [(0, 20)]
    else:
        raise ValueError(f"coding {coding!r} is none of pwm, ppm, manchester")
    units = np.concatenate([np.repeat([1.0, 0.0], pair) for pair in pulses])
    rise = np.maximum.accumulate(np.where((units > 0) & (np.roll(units, 1) == 0), np.arange(len(units)), 0))  # of the last pulse
    marks = len(units) - pulses[-1][1]
    packet_s = len(units) * unit_s
    out, on = np.zeros(n, np.complex64), []
    for start_s, length_s in schedule(rng, n / samp_rate, repeats * packet_s, duty):
        first = int(start_s * samp_rate)
        begin, stop = max(0, first), min(n, first + int(length_s * samp_rate))
        if begin >= stop:
            continue
        keyed, frequency = np.empty(stop - begin), np.empty(stop - begin)
        for tile in tiles(stop - begin):
            elapsed = (np.arange(begin + tile.start, begin + tile.stop) - first) / samp_rate
            unit = (elapsed / unit_s).astype(int) % len(units)
            keyed[tile], frequency[tile] = units[unit], drift_hz * np.exp(-elapsed / 0.02)
            if pull_hz:
                since = elapsed % packet_s - rise[unit] * unit_s
                frequency[tile] += pull_hz * np.exp(-np.maximum(since, 0) / (0.3 * unit_s))
        levels = smooth(keyed, 25e-6 * samp_rate)
        if linewidth_hz:  # a random walk of the phase
            frequency += rng.normal(0, np.sqrt(linewidth_hz * samp_rate / (2 * np.pi)), len(frequency))
        out[begin:stop] += levels * frequency_modulate(frequency, samp_rate, rng.uniform(0, 2 * np.pi))
        packets_s = start_s + packet_s * np.arange(repeats)
        on += [(int(t * samp_rate), int((t + marks * unit_s) * samp_rate)) for t in packets_s]
    return emission(out, on)


def fsk_sensor(rng: np.random.Generator, n: int, samp_rate: float, *, symbol_rate: float, deviation_hz: float,
               octets: int, repeats: int, duty: float, manchester: bool) -> Emission:
    """2-FSK sensors and meters: alternating preamble, sync word 0x2DD4, data; the packet is sent ``repeats`` times."""
    sync = _bits(0x2DD4, 16)[::-1]
    bits = np.concatenate([np.tile([1, 0], 16), sync, rng.integers(0, 2, 8 * octets)])
    if manchester:
        bits = np.stack([bits, 1 - bits], axis=1).ravel()
    packet_s, pause_s = len(bits) / symbol_rate, 0.03
    out, on = np.zeros(n, np.complex64), []
    for start_s, _ in schedule(rng, n / samp_rate, repeats * packet_s + (repeats - 1) * pause_s, duty):
        for repeat in range(repeats):
            first = int((start_s + repeat * (packet_s + pause_s)) * samp_rate)
            if first >= n or first + packet_s * samp_rate <= 0:
                continue
            count, rise = int(packet_s * samp_rate), 0.3 * samp_rate / symbol_rate
            begin = max(0, -first - int(rise))                                # of the packet, what lies within
            stop = min(count, n - first + int(rise))
            index = (np.arange(begin, stop) * (symbol_rate / samp_rate)).astype(int)
            frequency = smooth((2.0 * bits[np.minimum(index, len(bits) - 1)] - 1) * deviation_hz, rise)
            burst = frequency_modulate(frequency, samp_rate, rng.uniform(0, 2 * np.pi))
            on.append(paint(out, first + begin, ramp(burst, 30e-6 * samp_rate)))
    return emission(out, on)


def gmsk(rng: np.random.Generator, n: int, samp_rate: float, *, symbol_rate: float, bt: float, duty: float,
         burst_symbols: int) -> Emission:
    """GMSK (index 0.5) in bursts; duty 1 has no pause.

    GSM: 270.833 kBd, BT 0.3, normal bursts of 148 symbols (3GPP TS 45.004). AIS: 9.6 kBd, BT 0.4, 256 symbols.
    """
    rate, per_symbol = _internal_rate(symbol_rate, samp_rate)

    def modulated(count):
        frequency = shaped_symbols(rng.integers(0, 2, count) * 2 - 1, per_symbol, bt) * (symbol_rate / 4)
        return frequency_modulate(frequency, rate, rng.uniform(0, 2 * np.pi))

    if duty == 1:
        count = int(np.ceil(n / samp_rate * symbol_rate)) + 8
        return emission(resample(modulated(count), rate, samp_rate, n), [(0, n)])
    out, on = np.zeros(n, np.complex64), []
    for start_s, _ in schedule(rng, n / samp_rate, burst_symbols / symbol_rate, duty, min_gap_s=8.25 / symbol_rate):
        burst = ramp(modulated(burst_symbols), 2 * per_symbol)
        on.append(paint(out, int(start_s * samp_rate), resample(burst, rate, samp_rate)))
    return emission(out, on)
