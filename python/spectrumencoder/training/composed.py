# SPDX-License-Identifier: GPL-3.0-or-later
"""Composed frames: 1 to 12 signals of real recordings, and of the simulator, placed anywhere in one spectrum, with the truth for
each token.

A signal is cut out of its recording, filtered to its occupied band and brought to the frame's rate, place and level. So a frame
has signals of several receivers, and none of their noise. All recordings of a frame come from groups that no split parts.

Shape letters: M tokens, N bins, n samples of a frame.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from scipy import fft

from ..simulate.compose.cuts import NothingThere, bursts_of, evenly, occupied, quiet_samples, without_flicker
from ..simulate.waveforms import WAVEFORMS
from ..tokens.layout import FrameLayout
from . import augment
from .corpus import CLASSES, CorpusError, Source
from .spread import strange, untypical

UNKNOWN = len(CLASSES)  # number of the class `unknown signal`
EMPTY = CLASSES.index("noise")
UNSURE = -1  # a token from which nothing is learned
MAX_EMITTERS = 12
_COUNT_WEIGHTS = np.array([0.34, 0.17, 0.12, 0.09, 0.07, 0.05, 0.04, 0.03, 0.03, 0.02, 0.02, 0.02])
_NOT_COMPOSED = ("GNSS", "noise")  # these are noise: there is nothing to cut out
_FILL_THEIR_RATE = ("ADS-B", "LTE")  # recordings of these may have no free bin beside the signal
_PIECES = 10  # per recording
_LONGEST = 1 << 20  # samples of a piece at the recording's rate
_ROOM = 0.1  # share of the band that the filter leaves at each side, in which it falls off
_WIDE = 0.2  # share of the recording's rate from which on a signal is wide
_MAX_FILL = 0.95  # a marked burst that fills more of its recording's rate is noise
_UNKNOWN_WEIGHT = 2.0  # unknown signals are as frequent as this many classes
_SIMULATED_SHARE = 0.3
_KEPT, _NEW = 24, 0.12  # simulated signals of a class that are kept, and share that is new
_MIN_SAMPLES = 24  # of a piece in a frame: fewer say nothing of a signal
_MIN_TOKENS = 3  # of a signal that gives the whole frame its class: fewer are alike
_CONVERTER = 0.003  # noise of the converter, over that of the receiver within its passband
_SURE, _SURE_PEAK, _NOTHING = 3.0, 12.0, 0.3  # deviations of the mean; power of one spectrum; deviations: see truth_of


@dataclass(frozen=True)
class Piece:
    """A burst at 0 Hz, filtered to its own band, with unit mean power. cls: number of its class. source: number of its recording,
    -1 for none."""

    iq: np.ndarray
    samp_rate: float
    width_hz: float
    cls: int
    source: int


@dataclass(frozen=True)
class Placed:
    """A signal in a frame: fine bins of its spectrum (first one and values), class, recording, share of the frame that is on, and
    whether what a model reconstructs should hold it."""

    first: int
    spectrum: np.ndarray
    cls: int
    source: int
    share: float
    expected: bool


def groups_of(names: list[str], folds: Path | None) -> list[set[str]]:
    """Sets of recordings that may share a frame: those that no fold holds out, with those of one fold.

    Args:
        folds: TOML file of folds (recipes/train/folds.toml). None: all may share a frame.

    Raises:
        CorpusError: the file cannot be read, or is no file of folds.
    """
    if folds is None:
        return [set(names)]
    try:
        patterns = [list(fold["holdout"]) for fold in tomllib.loads(folds.read_text(encoding="utf-8")).values()]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise CorpusError(f"folds = {str(folds)!r} of [data]: is no readable file of folds ({' '.join(str(error).split())}); "
                          "name one by its path from this folder") from error
    held = [{n for n in names if any(fnmatch(n, p) for p in fold)} for fold in patterns]
    free = set(names) - set().union(*held)
    return [free | fold for fold in held]


def pieces_of(source: Source, number: int, classes: Sequence[str] = CLASSES) -> list[Piece]:
    """The bursts of a recording that stand out of its noise; none for classes that are noise. classes: that are named."""
    if source.label in _NOT_COMPOSED or source.cls in _NOT_COMPOSED:
        return []
    cls = _number(source.label, classes)
    quiet, pieces = quiet_samples(source), []
    offset = np.complex64((quiet if len(quiet) >= 4096 else source.iq).mean())
    for start, count in evenly(bursts_of(source, 0.05), _PIECES):
        iq = source.iq[start:start + min(count, _LONGEST)] - offset
        fills = source.label in _FILL_THEIR_RATE
        try:
            band = occupied(iq, source.samp_rate, quiet - offset)
        except NothingThere:
            if not fills:
                continue
            band = (-0.45 * source.samp_rate, 0.45 * source.samp_rate)
        width = band[1] - band[0]
        if source.bursts and width > _MAX_FILL * source.samp_rate and not fills:
            continue
        if width > _WIDE * source.samp_rate:
            iq = without_flicker(iq)
        pieces.append(Piece(*_filtered(iq, source.samp_rate, band), width, cls, number))
    return pieces


def _number(label: str | None, classes: Sequence[str]) -> int:
    """Number of a class; that of `unknown signal` for one that is not named."""
    return classes.index(label) if label in classes else len(classes)


def _filtered(iq: np.ndarray, samp_rate: float, band: tuple[float, float]) -> tuple[np.ndarray, float]:
    """The samples within the band, at 0 Hz and unit mean power, at the lowest rate that holds them; and that rate."""
    size = fft.next_fast_len(len(iq))
    bins = fft.fft(iq.astype(np.complex64), size)
    half = max(2, min(int(np.ceil((band[1] - band[0]) * (0.5 + _ROOM) / samp_rate * size)) + 1, (size - 1) // 2))
    place = np.arange(-half, half + 1)
    fall = np.clip((half + 1 - np.abs(place)) / max(1.0, half * _ROOM / (0.5 + _ROOM)), 0, 1)
    kept = bins[(round((band[0] + band[1]) / 2 / samp_rate * size) + place) % size] * np.sin(np.pi / 2 * fall).astype(np.float32)
    small = fft.next_fast_len(2 * half + 2)
    spectrum = np.zeros(small, np.complex64)
    spectrum[place % small] = kept
    made = fft.ifft(spectrum)[:max(1, len(iq) * small // size)]
    return made / np.float32(np.sqrt(np.mean(np.abs(made) ** 2)) + 1e-20), samp_rate * small / size


class Composer:
    """Draws composed frames.

    Args:
        sources: recordings; a frame carries their numbers in this list.
        folds: see groups_of.
        classes: names of the classes, in the order of their numbers; the number after the last one is `unknown signal`.
        fill: classes without recordings come from the simulator alone; otherwise they do not come.
    """

    def __init__(self, sources: list[Source], layout: FrameLayout, folds: Path | None, classes: Sequence[str] = CLASSES,
                 fill: bool = False):
        self.layout, self.classes, self._fill = layout, classes, fill
        numbers = {s.name: n for n, s in enumerate(sources)}
        self._sources, self._pieces = sources, {}
        self.groups = []
        for names in groups_of(list(numbers), folds):
            by_class: dict[int, dict[str, list[int]]] = {}
            for name in sorted(names):
                source = sources[numbers[name]]
                if source.label in _NOT_COMPOSED or source.cls in _NOT_COMPOSED:
                    continue
                cls = _number(source.label, classes)
                session = source.cls + name.rsplit("_", 2)[0]
                by_class.setdefault(cls, {}).setdefault(session, []).append(numbers[name])
            self.groups.append(by_class)
        self.begin()
        self.simulated: dict[int, list[str]] = {}
        for name, waveform in WAVEFORMS.items():
            if waveform.label not in _NOT_COMPOSED:
                self.simulated.setdefault(_number(waveform.label, classes), []).append(name)

    def draw(self, rng: np.random.Generator, average: int) -> tuple[np.ndarray, np.ndarray, float, dict] | None:
        """One frame of `average` windows, or None if nothing was found to fit.

        Returns:
            iq (n,) complex64 with unit noise power, the same without the signals that no reconstruction should hold, samp_rate,
            and the truth: token_label (M,), boundary (M,), label, sources.
        """
        group = self.groups[rng.integers(len(self.groups))]
        first = self._piece(rng, group, None, None)
        if first is None:
            return None
        rate = self._rate(rng, first)
        count = average * self.layout.fft_size
        wanted = 1 + rng.choice(MAX_EMITTERS, p=_COUNT_WEIGHTS)
        placed, piece = [], first
        for attempt in range(4 * wanted):
            if attempt:
                piece = self._piece(rng, group, rate, count)
            if piece is not None and (got := self._place(rng, piece, rate, count)) is not None:
                placed.append(got)
                if len(placed) == wanted:
                    break
        if not placed:
            return None
        noise = rng.standard_normal(2 * count, np.float32).view(np.complex64) * np.float32(np.sqrt(count / 2))
        channel = augment.Channel.draw(rng, max_resample=1.0, max_shift=0.0, plain=0.3)
        gain = fft.fftshift(channel.gain(count))
        spectrum, ordinary = noise.copy(), None
        if not all(p.expected for p in placed):
            ordinary = noise.copy()
        for p in placed:
            spectrum[p.first:p.first + len(p.spectrum)] += p.spectrum
            if ordinary is not None and p.expected:
                ordinary[p.first:p.first + len(p.spectrum)] += p.spectrum
        iq = fft.ifft(fft.ifftshift(spectrum * gain))
        clean = iq if ordinary is None else fft.ifft(fft.ifftshift(ordinary * gain))
        passed = (gain**2).reshape(self.layout.fft_size, average).mean(axis=1)
        return iq, clean, rate, truth_of(placed, self.layout, average, passed / (passed + _CONVERTER), self.classes)

    def _rate(self, rng, piece: Piece) -> float:
        """A sample rate at which a signal fills 0.4 % to 110 % of the spectrum."""
        low, high = np.log(max(piece.width_hz / 1.1, 100e3)), np.log(min(max(piece.width_hz / 0.004, 200e3), 30e6))
        return float(np.exp(rng.uniform(min(low, high), high)))

    def _piece(self, rng, group, rate, count) -> Piece | None:
        """A signal that fits the rate and length of a frame."""
        classes, unknown = sorted({*group, *self.simulated} if self._fill else group), len(self.classes)
        weight = np.array([_UNKNOWN_WEIGHT if c == unknown else 1.0 for c in classes])
        for _ in range(8):
            cls = int(rng.choice(classes, p=weight / weight.sum()))
            share = 1.0 if cls not in group else 0.6 if cls == unknown else _SIMULATED_SHARE
            simulated = rng.random() < share and cls in self.simulated
            piece = self._simulated(rng, cls, rate, count) if simulated else self._cut(rng, group[cls])
            if piece is None:
                continue
            if rate is None or (piece.width_hz < 1.2 * rate and count / rate * piece.samp_rate >= _MIN_SAMPLES):
                return piece
        return None

    def _cut(self, rng, sessions: dict[str, list[int]]) -> Piece | None:
        names = list(sessions)
        weight = np.sqrt([len(sessions[n]) for n in names])
        session = sessions[names[rng.choice(len(names), p=weight / weight.sum())]]
        number = session[rng.integers(len(session))]
        if number not in self._pieces:
            source = self._sources[number]
            self._pieces[number] = pieces_of(source, number, self.classes)
        pieces = self._pieces[number]
        return pieces[rng.integers(len(pieces))] if pieces else None

    def begin(self) -> None:
        """Forget the simulated signals, so that a shard's frames do not depend on the shards before."""
        self._kept: dict[int, list[Piece]] = {}

    def _simulated(self, rng, cls: int, rate: float | None, count: int | None) -> Piece | None:
        """A signal of the simulator. Most are used again in other places: to make one takes longer than all else."""
        kept = self._kept.setdefault(cls, [])
        if len(kept) >= _KEPT and rng.random() > _NEW:
            return kept[rng.integers(len(kept))]
        piece = self._made(rng, cls, rate, count)
        if piece is not None:
            if len(kept) >= _KEPT:
                kept.pop(int(rng.integers(len(kept))))
            kept.append(piece)
        return piece

    def _made(self, rng, cls: int, rate: float | None, count: int | None) -> Piece | None:
        """A signal of the simulator: labelled waveforms with the spread of training, or one of no class."""
        names = self.simulated[cls]
        waveform = WAVEFORMS[names[rng.integers(len(names))]]
        params = {**waveform.draw(rng), **untypical(rng, waveform.name), **strange(rng, waveform.name)}
        width = max(waveform.width_of(params), 20.0)
        own = max(1.3 * width, 2e3)
        seconds = count / rate if rate is not None else 0.02
        n = int(np.clip(1.5 * seconds * own, 64, 1 << 17))
        for _ in range(6):
            try:
                made = waveform.emit(rng, n, own, **params)
            except (ValueError, TypeError):
                return None
            if made.on and sum(b - a for a, b in made.on) > 0.05 * n:
                return Piece(made.iq, own, width, cls, -1)
        return None

    def _place(self, rng, piece: Piece, rate: float, count: int) -> Placed | None:
        speed = float(2.0 ** rng.uniform(-0.35, 0.35)) if rng.random() < 0.5 else 1.0
        n = max(2, round(count / rate * piece.samp_rate * speed))
        width = piece.width_hz / speed
        part, share = np.zeros(n, np.complex64), 1.0
        if len(piece.iq) >= n:
            start = int(rng.integers(0, len(piece.iq) - n + 1))
            part[:] = piece.iq[start:start + n]
        else:
            start = int(rng.integers(-(len(piece.iq) // 2), n - len(piece.iq) // 2))
            low, high = max(start, 0), min(start + len(piece.iq), n)
            part[low:high] = piece.iq[low - start:high - start]
            share = (high - low) / n
        power = float(np.vdot(part, part).real) / n / share
        if not power > 0.02:  # a pause
            return None
        noise = min(max(width / rate, 1 / self.layout.fft_size), 1.0)  # in the signal's band, at least one bin
        level = np.sqrt(10 ** (rng.uniform(-2, 28) / 10) * noise / power)
        spectrum = fft.fftshift(fft.fft(part)) * np.float32(level * count / n)
        half = min(int(width * 0.65 / rate * count) + 2, n // 2)
        spectrum = spectrum[n // 2 - half:n // 2 + half]
        if rng.random() < 0.5:
            spectrum = np.conj(spectrum[::-1])
        if piece.width_hz > 500e3 and rng.random() < 0.4:
            spectrum = spectrum * augment.paths(rng, np.arange(len(spectrum)) * (rate / count))
        room = max(0.5 - 0.5 * width / rate, 0.02) if rng.random() < 0.93 else 0.5
        middle = round((0.5 + rng.uniform(-room, room)) * count)
        low, high = middle - half, middle + half
        spectrum = spectrum[max(0, -low):len(spectrum) - max(0, high - count)]
        if not len(spectrum):
            return None
        return Placed(max(low, 0), spectrum.astype(np.complex64), piece.cls, piece.source, share, piece.width_hz > 50.0)


def truth_of(placed: list[Placed], layout: FrameLayout, average: int, kept: np.ndarray,
             classes: Sequence[str] = CLASSES) -> dict:
    """Class and boundary of each token.

    A token holds a signal if its highest bin stands `_SURE` deviations of the frame's noise over that, or if it must in one of
    the spectra. It is empty if all of its bins are under `_NOTHING` deviations. In between, and where two signals of different
    classes are within 4 dB, it is UNSURE.

    Args:
        kept: (N,) share of the ratio of signal to noise that the receiver's filter and converter leave.
        classes: names of the classes, which have `noise`.

    Returns:
        token_label (M,) int8: a class, UNKNOWN, EMPTY or UNSURE. boundary (M,) int8: 1 if the token and the one before it hold
        different signals, 0 if the same one, UNSURE else. label: the class of the whole frame or UNSURE. sources: numbers of
        the recordings.
    """
    count, n_bins = average * layout.fft_size, layout.fft_size
    power = np.zeros((len(placed), n_bins))  # over the noise
    for row, p in zip(power, placed, strict=True):
        edges = (np.arange(p.first, p.first + len(p.spectrum)) // average)
        np.add.at(row, edges, (np.abs(p.spectrum) ** 2) / (average * count))
    power *= kept
    by_token = power.reshape(len(placed), layout.n_tokens, -1)
    top = by_token.max(axis=2)
    deviation = 1.0 / np.sqrt(average)
    share = np.array([max(p.share, 1.0 / average) for p in placed])[:, None]
    seen = (top > np.maximum(_SURE * deviation, 0.5)) | (top / share > _SURE_PEAK)
    nothing = (top.sum(axis=0) < _NOTHING * deviation) & (top / share < 2.0).all(axis=0)
    total = by_token.sum(axis=2)
    chief = total.argmax(axis=0)
    across = np.arange(layout.n_tokens)
    cls = np.array([p.cls for p in placed])
    label = np.where(seen[chief, across], cls[chief], UNSURE)
    rivals = (total > 0.4 * total[chief, across]) & (cls[:, None] != cls[chief])
    label[rivals.any(axis=0)] = UNSURE
    empty = classes.index("noise")
    label[nothing] = empty
    boundary = np.full(layout.n_tokens, UNSURE)
    both = (label[1:] >= 0) & (label[:-1] >= 0) & (label[1:] != empty) & (label[:-1] != empty)
    boundary[1:][both] = (chief[1:] != chief[:-1])[both]
    visible = set(label[(label >= 0) & (label != empty)].tolist())
    hidden = {p.cls for p, s in zip(placed, seen, strict=True) if s.any()}
    plain = len(visible) == 1 and len(hidden) == 1 and (label[label >= 0] != empty).sum() >= _MIN_TOKENS
    whole = visible.pop() if plain else UNSURE
    return {"token_label": label.astype(np.int8), "boundary": boundary.astype(np.int8),
            "label": whole if whole != len(classes) else UNSURE, "sources": sorted({p.source for p in placed} - {-1})}
