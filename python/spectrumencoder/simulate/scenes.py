# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded scenes: emitters with a constant channel plan over white noise.

A scene is a function of time: ``render(start, count)`` gives the same samples however it is cut into blocks. Each emitter is
made in blocks of ``Waveform.block_s`` from (seed, emitter, block), which blend over 2048 samples with constant power. Noise is
made the same way. The channel plan does not depend on ``Scene.seed``. So ``with_seed`` gives the same plan with other traffic and
noise, like the band on another day.

Training draws its scenes from seeds below FIRST_HELD_OUT_SEED. Tests of a model use the seeds from there on (``held_out_seed``).
So no training has seen a channel plan that a model is tested with.

SNR is the signal's mean power while on, over the noise power within its own 99 % occupied bandwidth. That bandwidth is at least
one bin of a 1024-bin frame, so the SNR of a carrier is finite. ``tests/simulate`` measures it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from .signal import TILE, Emission, emission, mix, occupied_band, power_while_on, tiles
from .waveforms import CHANNELS_HZ, WAVEFORMS, Waveform

_BLEND = 2048
_NOISE_BLOCK = 1 << 16
_MAX_BLOCK = 1 << 21
_STREAMED = 1 << 18
_EPOCH = 1 << 31          # makes block numbers before sample 0 positive
_FRAME_BINS = 1024
_MEASURED_SHARE = 0.99
FIRST_HELD_OUT_SEED = 1 << 31
WATCHED_S = 8.0           # first seconds of a scene that show the usual pauses of its emitters


@dataclass(frozen=True)
class Emitter:
    """One transmitter of a scene.

    Attributes:
        waveform: key of WAVEFORMS.
        freq_offset_hz: offset from the scene's centre.
        bandwidth_hz: 99 % occupied bandwidth.
        snr_db: see the module.
        params: all parameters of the waveform.
        activity: share of its blocks in which it transmits at all.
        gain: factor from the waveform's own level to unit mean power while on.
    """

    waveform: str
    freq_offset_hz: float
    bandwidth_hz: float
    snr_db: float
    params: dict = field(default_factory=dict)
    activity: float = 1.0
    gain: float = 1.0

    @classmethod
    def create(cls, waveform: str, samp_rate: float, freq_offset_hz: float = 0.0, snr_db: float = 20.0, *,
               activity: float = 1.0, seed: int = 0, **params) -> Emitter:
        """Make an emitter, with width and level measured on a stretch of its own waveform.

        Raises:
            ValueError: there is no such waveform; it does not fit into the band; it never came on; activity is not in (0, 1].
        """
        if waveform not in WAVEFORMS:
            raise ValueError(f"waveform {waveform!r} is none of {', '.join(WAVEFORMS)}")
        if not 0 < activity <= 1:
            raise ValueError(f"activity {activity} is outside (0, 1]")
        kind, rng = WAVEFORMS[waveform], np.random.default_rng([seed, 0x5CE4E])
        full = {**kind.draw(rng), **params}
        for _ in range(10):
            made = kind.emit(rng, _block_samples(kind, samp_rate), samp_rate, normalise=False, **full)
            power = power_while_on(made)
            if power > 0:
                break
        else:
            raise ValueError(f"{waveform} with {full} is never on within {10 * kind.block_s} s; give it a higher duty")
        on = np.concatenate([made.iq[a:b] for a, b in made.on])
        low, high = occupied_band(on, samp_rate, _MEASURED_SHARE)
        width = max(high - low, samp_rate / _FRAME_BINS)
        if abs(freq_offset_hz) + width / 2 > samp_rate / 2 * 1.001:
            raise ValueError(f"{waveform}, {width:g} Hz wide, does not fit at {freq_offset_hz:g} Hz in {samp_rate:g} Hz")
        return cls(waveform, float(freq_offset_hz), float(width), float(snr_db), full, activity, power ** -0.5)


class _Block(NamedTuple):
    """A block of an emitter: its samples without the pauses, in pieces (start, complex64), and its intervals."""

    count: int
    pieces: list[tuple[int, np.ndarray]]
    on: list[tuple[int, int]]

    @classmethod
    def of(cls, iq: np.ndarray, on: list[tuple[int, int]]) -> _Block:
        loud = np.array([False, *(iq[tile].any() for tile in tiles(len(iq))), False])
        edges = TILE * np.flatnonzero(loud[1:] != loud[:-1])
        runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
        return cls(len(iq), [(a, iq if (a, b) == (0, len(iq)) else iq[a:b].copy()) for a, b in runs], on)


@dataclass
class Scene:
    """Emitters over white noise.

    Attributes:
        seed: seed for the emitters' traffic and the noise.
        samp_rate: Hz.
        center_freq_hz: Hz; None if not stated.
        noise_dbfs: noise power over the whole rate; a full-scale complex tone has 0 dBFS.
    """

    seed: int
    samp_rate: float
    emitters: list[Emitter]
    noise_dbfs: float = -40.0
    center_freq_hz: float | None = None

    def __post_init__(self):
        self._cache: OrderedDict[tuple, _Block] = OrderedDict()
        # emitter -> samples examined, longest pause in them, end of the last burst
        self._watched: dict[int, tuple[int, int, int]] = {}

    @classmethod
    def random(cls, seed: int, samp_rate: float, n_emitters: tuple[int, int] = (1, 5), *, band: str | None = None,
               snr_db: tuple[float, float] = (0.0, 25.0), noise_dbfs: float = -40.0,
               center_freq_hz: float | None = None) -> Scene:
        """A channel plan drawn from the seed: fitting emitters of the band (None: any), side by side if there is room.

        With a centre frequency, the emitters are those used there, on their usual channels (``waveforms.CHANNELS_HZ``). Their
        number is drawn from n_emitters, both ends included; a full band has fewer.
        """
        rng = np.random.default_rng([seed, 0x9A4])
        kinds = [w for w in WAVEFORMS.values()
                 if w.name not in ("band_noise", "tone") and (band is None or w.band in (band, None))]
        emitters: list[Emitter] = []
        wanted = int(rng.integers(n_emitters[0], n_emitters[1] + 1))
        for attempt in range(20 * wanted):
            if len(emitters) == wanted:
                break
            kind = kinds[int(rng.integers(len(kinds)))]
            params = kind.draw(rng)
            width = kind.width_of(params)
            if width > 0.8 * samp_rate:
                continue
            reach = 0.45 * samp_rate - width / 2
            offset = float(rng.uniform(-1, 1) * reach)
            if center_freq_hz is not None:
                offsets = [f - center_freq_hz for f in CHANNELS_HZ.get(kind.name, ()) if abs(f - center_freq_hz) <= reach]
                if not offsets:
                    continue
                offset = float(rng.choice(offsets))
            if any(abs(offset - e.freq_offset_hz) < (width + e.bandwidth_hz) / 2 for e in emitters):
                continue
            level = float(rng.uniform(-25, -15) if kind.name == "cdma_noise" else rng.uniform(*snr_db))
            activity = float(rng.choice([1.0, 1.0, 0.5]))
            emitters.append(Emitter.create(kind.name, samp_rate, offset, level, activity=activity,
                                           seed=seed * 1000 + attempt, **params))
        return cls(seed, float(samp_rate), emitters, noise_dbfs, center_freq_hz)

    def with_seed(self, seed: int) -> Scene:
        """The same channel plan with other traffic and other noise."""
        return replace(self, seed=seed)

    @property
    def noise_power(self) -> float:
        return 10 ** (self.noise_dbfs / 10)

    def amplitude(self, emitter: Emitter) -> float:
        """Factor on the waveform's own level for the emitter's SNR."""
        noise_in_band = self.noise_power * min(1.0, emitter.bandwidth_hz / self.samp_rate)
        return float(emitter.gain * np.sqrt(10 ** (emitter.snr_db / 10) * noise_in_band))

    def render(self, start: int, count: int) -> np.ndarray:
        """Samples [start, start + count) as complex64 (count,), full scale = 1.0 (not clipped). start may be negative."""
        out = self.noise(start, count)
        for index in range(len(self.emitters)):
            out += self.emit(index, start, count).iq
        return out

    def stream(self, start: int, count: int) -> Iterator[np.ndarray]:
        """The samples of ``render``, in blocks. Intermediate blocks are freed as soon as possible."""
        for first in range(start, start + count, _STREAMED):
            stop = min(first + _STREAMED, start + count)
            out = self.noise(first, stop - first)
            for index, emitter in enumerate(self.emitters):
                out += self.emit(index, first, stop - first).iq
                size = _block_samples(WAVEFORMS[emitter.waveform], self.samp_rate)
                for key in [k for k in self._cache if k[0] == index and (k[1] + 1) * size + _BLEND <= stop]:
                    del self._cache[key]
            yield out
        self._cache.clear()

    def noise(self, start: int, count: int) -> np.ndarray:
        """The scene's noise alone, complex64 (count,)."""
        out = np.empty(count, np.complex64)
        done = 0
        while done < count:
            block, skip = divmod(start + done, _NOISE_BLOCK)
            take = min(_NOISE_BLOCK - skip, count - done)
            rng = np.random.default_rng([self.seed, 0xA0, block + _EPOCH])
            out[done:done + take] = _white(rng, _NOISE_BLOCK, self.noise_power)[skip:skip + take]
            done += take
        return out

    def emit(self, index: int, start: int, count: int) -> Emission:
        """Emitter ``index`` alone, at its frequency and level, over [start, start + count); intervals count from start."""
        emitter = self.emitters[index]
        size = _block_samples(WAVEFORMS[emitter.waveform], self.samp_rate)
        out, on = np.zeros(count, np.complex64), []
        for block in range((start - _BLEND) // size, (start + count - 1) // size + 1):
            made, first = self._block(index, block, size), block * size - start
            if max(0, first) < min(count, first + made.count):
                on += [(a + first, b + first) for a, b in made.on]
            for place, iq in made.pieces:
                low, high = max(0, first + place), min(count, first + place + len(iq))
                if low < high:
                    out[low:high] += iq[low - first - place:high - first - place]
        return emission(out, on)

    def pauses(self, index: int, count: int) -> bool:
        """Whether emitter ``index`` is ever silent for ``count`` samples in a row in the scene's first ``WATCHED_S`` seconds."""
        seen, longest, last_on = self._watched.get(index, (0, 0, 0))
        end, step = round(WATCHED_S * self.samp_rate), 1 << 18
        while longest < count and seen < end:
            for low, high in sorted(self.emit(index, seen, step).on):
                longest, last_on = max(longest, seen + low - last_on), max(last_on, seen + high)
            seen += step
            longest = max(longest, seen - last_on)  # a pause that has not ended yet
        self._watched[index] = seen, longest, last_on
        return longest >= count

    def _block(self, index: int, block: int, size: int) -> _Block:
        """Samples [block * size, (block + 1) * size + _BLEND) at their place in frequency, faded in and out.

        Level and frequency are applied here, to whole blocks. So rounding does not depend on the caller's cuts.
        """
        key = (index, block)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        emitter = self.emitters[index]
        rng = np.random.default_rng([self.seed, index, block + _EPOCH])
        if rng.uniform() >= emitter.activity:
            made = _Block(0, [], [])
        else:
            made = WAVEFORMS[emitter.waveform].emit(rng, size + _BLEND, self.samp_rate, normalise=False, **emitter.params)
            angle = np.pi / 2 * (np.arange(_BLEND, dtype=np.float32) + 0.5) / _BLEND
            steady = emitter.waveform == "tone"        # the same carrier on both sides: amplitudes add, not powers
            iq = made.iq  # this block's own array: it may be changed in place
            iq *= np.float32(self.amplitude(emitter))
            iq[:_BLEND] *= np.sin(angle) ** (2 if steady else 1)
            iq[size:] *= np.cos(angle) ** (2 if steady else 1)
            made = _Block.of(mix(iq, emitter.freq_offset_hz, self.samp_rate, block * size, out=iq), made.on)
        self._cache[key] = made
        while len(self._cache) > 2 * len(self.emitters):
            self._cache.popitem(last=False)
        return made


def held_out_seed(number: int) -> int:
    """Seed for ``Scene.random`` that training never draws, by its number 0..2^31 - 1.

    Raises:
        ValueError: number is out of range.
    """
    if not 0 <= number < FIRST_HELD_OUT_SEED:
        raise ValueError(f"held-out seed number {number} is outside 0..{FIRST_HELD_OUT_SEED - 1}")
    return FIRST_HELD_OUT_SEED + number


def monte_carlo(scene: Scene, n_frames: int, frame_samples: int, seed: int, *,
                block_frames: int = 256) -> Iterator[np.ndarray]:
    """Independent frames of a scene: blocks (<= block_frames, frame_samples) complex64, n_frames rows in all.

    Each frame has its own moment in every emitter's traffic, its own data and its own noise. The channel plan and the levels are
    the scene's. The frames do not depend on block_frames.
    """
    levels = [scene.amplitude(e) for e in scene.emitters]
    for first in range(0, n_frames, block_frames):
        rows = range(first, min(first + block_frames, n_frames))
        out = np.empty((len(rows), frame_samples), np.complex64)
        for row, frame in enumerate(rows):
            rng = np.random.default_rng([seed, 0x3C, frame])
            out[row] = _white(rng, frame_samples, scene.noise_power)
            for emitter, level in zip(scene.emitters, levels, strict=True):
                if rng.uniform() >= emitter.activity:
                    continue
                made = WAVEFORMS[emitter.waveform].emit(rng, frame_samples, scene.samp_rate, normalise=False,
                                                        **emitter.params)
                moment = int(rng.integers(1 << 20))
                for low, high in made.on:
                    part = made.iq[low:high] * np.float32(level)
                    out[row, low:high] += mix(part, emitter.freq_offset_hz, scene.samp_rate, moment + low)
        yield out


def _white(rng: np.random.Generator, count: int, power: float) -> np.ndarray:
    """Circular complex Gaussian noise (count,) with this mean power."""
    white = rng.standard_normal(2 * count, dtype=np.float32)
    white *= np.float32(np.sqrt(power / 2))
    return white.view(np.complex64)


def _block_samples(kind: Waveform, samp_rate: float) -> int:
    return int(min(max(kind.block_s * samp_rate, 4 * _BLEND), _MAX_BLOCK))
