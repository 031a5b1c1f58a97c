# SPDX-License-Identifier: GPL-3.0-or-later
"""Entropy coder for small whole numbers: range asymmetric numeral systems (Duda, arXiv:1311.2540) with adaptive Laplace tables.

The coder turns a matrix of coefficients (R rows, D places), mostly zeros, into bytes; the decoder returns the same matrix.
Three things determine the expected magnitude of a coefficient:

* a prior per place: its mean magnitude in training;
* the magnitudes at the same and the neighbouring places in earlier rows (`parents`);
* how the places just coded in the same row compare with their own expectations.

The expectation picks one of `N_TABLES` two-sided geometric distributions. All values that decoder and encoder must agree on are
whole numbers, or come from correctly rounded IEEE 754 operations alone. So a stream decodes on any machine.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

UNIT = 1024  # expectations are counted in 1/1024
MAX_MAGNITUDE = 1 << 20  # magnitudes below this can be coded
_BITS = 15  # a table's frequencies sum to 2^_BITS
_TOTAL = 1 << _BITS
_LOW = 1 << 16  # the coder's state lies in [_LOW, 2^32); words of 16 bits leave it
_WINDOW = 64  # number of preceding places that a gain is computed from
_MIN_EXPECTATION = 1  # expectation of the first table, in 1/UNIT
N_TABLES = 25 * 4 + 1  # a quarter of an octave apart
_EXACT = 16  # magnitudes below have a symbol each; above four symbols share an octave


class EntropyError(ValueError):
    """The bytes hold no coded matrix."""


def _chunk(n_places: int) -> int:
    """Number of places that share a gain: few in a short row, more in a long one, so that decoding is quick."""
    return 8 if n_places <= 256 else 32


def _buckets() -> tuple[np.ndarray, np.ndarray]:
    """First magnitude of each symbol, and the number of extra bits that locate a magnitude within it."""
    first, extra = list(range(_EXACT)), [0] * _EXACT
    for octave in range(4, 20):
        for quarter in range(4):
            first.append((4 + quarter) << (octave - 2))
            extra.append(octave - 2)
    return np.array(first), np.array(extra)


_FIRST, _EXTRA = _buckets()
_N_SYMBOLS = len(_FIRST)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Lower expectation limit of each table (N_TABLES,), in 1/UNIT, and frequencies (N_TABLES, symbols) that sum to _TOTAL.

    P(0) = (1 - rho) / (1 + rho) and P(|q| = n) = 2 P(0) rho^n, with rho such that E|q| is the expectation. Only products,
    quotients and square roots are used: these are the same on every machine.
    """
    quarter = np.sqrt(np.sqrt(2.0))
    start, frequency, mean = [], [], _MIN_EXPECTATION / UNIT
    for _ in range(N_TABLES):
        start.append(mean * UNIT)
        rho = (np.sqrt(1.0 + mean * mean) - 1.0) / mean
        tail = np.empty(_N_SYMBOLS)  # P(|q| >= first magnitude of the symbol)
        power, exponent = 1.0, 0
        powers = [rho]
        for _ in range(20):
            powers.append(powers[-1] * powers[-1])
        for symbol, first in enumerate(_FIRST):
            power = 1.0
            for bit in range(20):
                if int(first) >> bit & 1:
                    power = power * powers[bit]
            tail[symbol] = 2.0 / (1.0 + rho) * power
        tail[0] = 1.0
        share = tail - np.append(tail[1:], 0.0)
        counts = 1 + np.floor(np.maximum(share, 0.0) * (_TOTAL - _N_SYMBOLS)).astype(np.int64)
        counts[np.argmax(counts)] += _TOTAL - counts.sum()
        frequency.append(counts)
        mean, exponent = mean * quarter, exponent + 1
    return np.array(start), np.array(frequency)


_START, _FREQUENCY = _tables()
_THRESHOLD = np.ceil(_START[1:]).astype(np.int64)  # expectation -> table by searchsorted
_CUMULATIVE = np.concatenate((np.zeros((N_TABLES, 1), np.int64), np.cumsum(_FREQUENCY, axis=1)), axis=1)
_COST = np.log2(_TOTAL) - np.log2(_FREQUENCY)  # bits of each symbol
_CUMULATIVE_LISTS = _CUMULATIVE.tolist()


class Rows:
    """The order of rows, and each row's parents, for `n_frames` frames transformed along time in blocks of `block` frames.

    Rows come by temporal frequency, then by block: row (f, b) is frequency f of block b. Parents, nearest first: the three
    blocks before at the same frequency, and the three next lower frequencies (never 0) of the same block.
    Attributes: order (R,) place in the untransformed layout b * block + f; steady (R,) bool: f = 0; parents (R, 6), -1: none.
    """

    def __init__(self, n_frames: int, block: int):
        n_blocks = -(-n_frames // block)
        rows = [(f, b) for f in range(block) for b in range(n_blocks) if b * block + f < n_frames]
        place = {row: index for index, row in enumerate(rows)}
        self.order = np.array([b * block + f for f, b in rows], np.int64)
        self.steady = np.array([f == 0 for f, _ in rows])
        self.parents = np.array([[place.get((f, b - i), -1) for i in (1, 2, 3)]
                                 + [place.get((f - i, b), -1) if f > i else -1 for i in (1, 2, 3)] for f, b in rows])


def _smooth(magnitude: np.ndarray) -> np.ndarray:
    """(R, D) -> (R, D): twice each magnitude and once each neighbour's; that is, four times a local mean."""
    out = 2 * magnitude
    out[:, 1:] += magnitude[:, :-1]
    out[:, :-1] += magnitude[:, 1:]
    out[:, 0] += magnitude[:, 0]
    out[:, -1] += magnitude[:, -1]
    return out


def _expected(prior: np.ndarray, parents: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """(R, D) expectations in 1/UNIT from the prior (R, D) and the parents' smoothed magnitudes; parents (R, 6), -1: none."""
    there = parents >= 0
    total = prior.copy()
    for column in range(parents.shape[1]):
        chosen = there[:, column]
        if chosen.any():
            total[chosen] += (UNIT // 2) * smooth[parents[chosen, column]]  # weight 2, a quarter for the mean
    return total // (1 + 2 * there.sum(axis=1))[:, None]


def _gained(expected, seen, due):
    """Expectations times the gain (seen + 1) / (due + 1) of the preceding window, limited to a factor of 8 either way."""
    seen, due = UNIT * seen + UNIT, due + UNIT
    factor = np.clip(64 * seen // due, 8, 512)
    return np.clip(expected * factor // 64, _MIN_EXPECTATION, MAX_MAGNITUDE * UNIT)


def _chunked_gains(expected: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """`_gained` for all chunks of all rows at once. The decoder computes the same values one by one."""
    n_places = expected.shape[1]
    size = _chunk(n_places)
    begin = np.arange(0, n_places, size)
    low = np.maximum(0, begin - _WINDOW)
    zero = np.zeros((len(expected), 1), np.int64)
    seen = np.concatenate((zero, np.cumsum(magnitude, axis=1)), axis=1)
    due = np.concatenate((zero, np.cumsum(expected, axis=1)), axis=1)
    chunk = np.arange(n_places) // size
    return _gained(expected, (seen[:, begin] - seen[:, low])[:, chunk], (due[:, begin] - due[:, low])[:, chunk])


def _prior_rows(prior: np.ndarray, rows: Rows, block: int) -> np.ndarray:
    """(R, D) in 1/UNIT: steady rows grow with the root of the block length; changing rows have a fifth of one frame's prior."""
    if block == 1:
        return np.repeat(prior[None], len(rows.order), axis=0)
    steady = prior * round(64 * block**0.5) // 64
    return np.where(rows.steady[:, None], steady, prior // 5)


def prior_of(scale: np.ndarray, step: float) -> np.ndarray:
    """Expectations in 1/UNIT at a step, from the mean magnitudes (D,) in training, in the coefficients' unit."""
    return np.clip(np.rint(np.asarray(scale, np.float64) / step * UNIT), 1, MAX_MAGNITUDE * UNIT // 64).astype(np.int64)


def _modelled(q: np.ndarray, prior: np.ndarray, block: int):
    rows = Rows(len(q), block)
    coded = q[rows.order].astype(np.int64)
    magnitude = np.abs(coded)
    if magnitude.size and magnitude.max() >= MAX_MAGNITUDE:
        raise ValueError(f"a coefficient of {magnitude.max()} steps is too large to code (limit {MAX_MAGNITUDE}); "
                         "use a larger step")
    expected = _expected(_prior_rows(prior, rows, block), rows.parents, _smooth(magnitude))
    table = np.searchsorted(_THRESHOLD, _chunked_gains(expected, magnitude), side="right")
    symbol = np.searchsorted(_FIRST, magnitude, side="right") - 1
    return coded, magnitude, table, symbol


def cost_bits(q: np.ndarray, prior: np.ndarray, block: int) -> float:
    """Number of bits that `encode` will need, without coding. The coder adds less than 0.1 % and 4 bytes at the end."""
    _, _, table, symbol = _modelled(q, prior, block)
    return float(_COST[table, symbol].sum() + _EXTRA[symbol].sum() + (symbol > 0).sum())


def encode(q: np.ndarray, prior: np.ndarray, block: int) -> bytes:
    """Code a matrix.

    Args:
        q: (F, D) whole numbers, |q| < LARGEST; row b * block + f is temporal frequency f of block b.
        prior: (D,) int64 from `prior_of`.
        block: length of the time transform; 1 is none.

    Raises:
        ValueError: a coefficient is too large.
    """
    coded, magnitude, table, symbol = _modelled(q, prior, block)
    starts, frequencies = _CUMULATIVE[table, symbol], _FREQUENCY[table, symbol]
    extra, size = magnitude - _FIRST[symbol], _chunk(coded.shape[1])
    start, frequency = [], []
    for row in range(len(coded)):
        for begin in range(0, coded.shape[1], size):  # the symbols of a chunk, then signs and extra bits of those above 0
            part = slice(begin, begin + size)
            start += starts[row, part].tolist()
            frequency += frequencies[row, part].tolist()
            for place in np.flatnonzero(magnitude[row, part]) + begin:
                for value, bits in _raw(int(coded[row, place] < 0), int(extra[row, place]), int(_EXTRA[symbol[row, place]])):
                    frequency.append(_TOTAL >> bits)
                    start.append(value << (_BITS - bits))
    return _rans_encode(start, frequency)


def _raw(negative: int, extra: int, bits: int):
    """Sign and place in the bucket as (value, bits) of at most 12 bits each."""
    yield negative, 1
    while bits:
        take = min(bits, 12)
        bits -= take
        yield extra >> bits & ((1 << take) - 1), take


def _rans_encode(starts: list[int], frequencies: list[int]) -> bytes:
    state, words = _LOW, []
    shift = 32 - _BITS
    for start, frequency in zip(reversed(starts), reversed(frequencies), strict=True):
        if state >= frequency << shift:
            words.append(state & 0xFFFF)
            state >>= 16
        quotient, rest = divmod(state, frequency)
        state = (quotient << _BITS) + rest + start
    words += [state & 0xFFFF, state >> 16]
    return np.array(words[::-1], "<u2").tobytes()


class _Decoder:
    def __init__(self, data: bytes):
        if len(data) < 4 or len(data) % 2:
            raise EntropyError(f"{len(data)} bytes are no coded matrix")
        words = np.frombuffer(data, "<u2").tolist()
        self.words = iter(words[2:])
        self.state = words[0] << 16 | words[1]

    def symbols(self, tables: list[int]) -> list[int]:
        """One symbol of each table."""
        state, out, mask, following = self.state, [], _TOTAL - 1, self.words
        try:
            for table in tables:
                cumulative = _CUMULATIVE_LISTS[table]
                slot = state & mask
                symbol = bisect_right(cumulative, slot) - 1
                start = cumulative[symbol]
                state = (cumulative[symbol + 1] - start) * (state >> _BITS) + slot - start
                if state < _LOW:
                    state = state << 16 | next(following)
                out.append(symbol)
        except StopIteration:
            raise EntropyError("the coded matrix ends too early") from None
        self.state = state
        return out

    def bits(self, count: int) -> int:
        """Read a number of `count` bits, 1..12."""
        shift = _BITS - count
        value = (self.state & (_TOTAL - 1)) >> shift
        self.state = (self.state >> _BITS << shift) + (self.state & ((1 << shift) - 1))
        if self.state < _LOW:
            word = next(self.words, None)
            if word is None:
                raise EntropyError("the coded matrix ends too early")
            self.state = self.state << 16 | word
        return value

    def signed(self, symbol: int) -> int:
        """The coefficient of a symbol above 0."""
        negative, extra, bits = self.bits(1), 0, int(_EXTRA[symbol])
        while bits:
            take = min(bits, 12)
            bits -= take
            extra = extra << take | self.bits(take)
        value = int(_FIRST[symbol]) + extra
        return -value if negative else value

    def finish(self):
        if self.state != _LOW or next(self.words, None) is not None:
            raise EntropyError("the coded matrix is damaged: something is left over")


def decode(data: bytes, n_frames: int, prior: np.ndarray, block: int) -> np.ndarray:
    """Decode the bytes of `encode` into the matrix (n_frames, D) int64.

    Raises:
        EntropyError: the bytes end early, or bytes are left over.
    """
    rows, decoder, n_places, size = Rows(n_frames, block), _Decoder(data), len(prior), _chunk(len(prior))
    priors = _prior_rows(prior, rows, block)
    coded = np.zeros((n_frames, n_places), np.int64)
    smooth = np.zeros_like(coded)
    for row in range(n_frames):
        expected = _expected(priors[row:row + 1], rows.parents[row:row + 1], smooth)[0]
        due = np.concatenate(([0], np.cumsum(expected)))
        seen = [0]
        for begin in range(0, n_places, size):
            low = max(0, begin - _WINDOW)
            gained = _gained(expected[begin:begin + size], seen[begin] - seen[low], due[begin] - due[low])
            symbols = decoder.symbols(np.searchsorted(_THRESHOLD, gained, side="right").tolist())
            for place, symbol in enumerate(symbols, begin):
                value = decoder.signed(symbol) if symbol else 0
                if value:
                    coded[row, place] = value
                seen.append(seen[-1] + abs(value))
        smooth[row] = _smooth(np.abs(coded[row:row + 1]))[0]
    decoder.finish()
    out = np.empty_like(coded)
    out[rows.order] = coded
    return out
