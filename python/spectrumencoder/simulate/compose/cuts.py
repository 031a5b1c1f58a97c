# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts cut out of recordings: each without the receiver's offset, at 0 Hz, filtered to its own occupied band.

A cut is held as the part of its spectrum that it occupies. So it takes little memory, and one inverse transform brings it to the
plan's rate and to its frequency.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import fft

from ...recordings import find_recordings
from ...training.corpus import Source, open_source
from ..signal import occupied_band, power_spectrum, ramp
from ..waveforms import WAVEFORMS
from .checks import PlanError
from .plan import EmitterPlan

MAX_RECORDINGS = 24     # per emitter, evenly out of those that match
MAX_BURSTS = 12         # per recording, evenly out of those that are marked
MAX_BURST_S = 4.0
MAX_PIECE = 1 << 22     # samples at the plan's rate of a piece of a continuous signal
MIN_SHARE = 0.2         # min length of a burst, as a share of the longest of its recording: shorter ones are fragments
MIN_SNR_DB = 6.0        # over the recording's own noise, in the burst's own band
BLEND_S = 4e-4          # continuous pieces blend over this time
WAVEFORM_PIECES = 6     # bursts that are made of a waveform
_BINS = 1024
_WITHIN = 0.99          # share of the power in excess of the noise that the band encloses
_OVER_NOISE = 2.0
_UNDER_PEAK = 10**-2.5  # weaker bins than this share of the highest do not count
_MAX_FILL = 0.95        # a marked burst that fills more of its recording's rate is noise
_WIDE = 0.2             # share of the recording's rate from which on a signal is wide
_FLICKER = 0.01         # reach of a receiver's flicker noise around 0 Hz, as a share of the rate
_FLICKER_PARTS = 80
_ROOM = 0.1             # share of the band that the filter leaves at each side, in which it falls off


class NothingThere(Exception):
    """No burst stands out of a recording."""


@dataclass(frozen=True)
class Cut:
    """A burst for one sample rate.

    Attributes:
        label: class of its recording, or the waveform's name.
        source: name of the recording.
        spectrum: complex64 (2h + 1,), the bins -h..h of a transform of ``size`` samples.
        lead, count: sample at which the burst begins, and its length; before and after it fades.
        width_hz: occupied bandwidth.
    """

    label: str
    source: str
    samp_rate: float
    spectrum: np.ndarray
    size: int
    lead: int
    count: int
    width_hz: float

    @property
    def length(self) -> int:
        """Samples in all."""
        return min(self.size, self.count + 2 * self.lead)

    @cached_property
    def power(self) -> float:
        """Mean power while on."""
        return float(np.vdot(self.spectrum, self.spectrum).real) / (self.size * self.count)

    def at(self, offset_hz: float) -> np.ndarray:
        """complex64 (length,) at this frequency, to the nearest bin of its transform. Beyond half the rate it is cut off."""
        half = len(self.spectrum) // 2
        place = round(offset_hz / self.samp_rate * self.size) + np.arange(-half, half + 1)
        inside = np.abs(place) < self.size / 2
        full = np.zeros(self.size, np.complex64)
        full[place[inside] % self.size] = self.spectrum[inside]
        return fft.ifft(full, overwrite_x=True)[:self.length]


class Library:
    """The cuts of the recordings in some folders, for one sample rate (Hz).

    Raises:
        RecordingError: a folder holds no recording.
    """

    def __init__(self, folders: Sequence[Path], samp_rate: float):
        self.samp_rate, self._folders = samp_rate, list(folders)
        self._paths = {path.stem: path for folder in folders for path in find_recordings(folder)}
        self._cuts: dict[tuple, list[Cut]] = {}

    def of_recordings(self, patterns: tuple[str, ...], where: str, *, join_s: float = 0.05,
                      continuous: bool = False) -> list[Cut]:
        """Cuts of the recordings whose names match.

        Raises:
            PlanError: a pattern matches nothing, or no burst stands out of the noise. CorpusError: a recording has no class.
        """
        names: set[str] = set()
        for pattern in patterns:
            found = fnmatch.filter(self._paths, pattern)
            if not found:
                raise PlanError(f"{where} recordings = {pattern!r}: matches none of the {len(self._paths)} recordings in "
                                f"{', '.join(map(str, self._folders)) or 'no folder'}; name their folder with --corpus")
            names.update(found)
        cuts = [cut for name in evenly(sorted(names), MAX_RECORDINGS) for cut in self._of(name, join_s, continuous)]
        if not cuts:
            raise PlanError(f"{where} recordings = {', '.join(patterns)!r}: no burst stands out of their noise; name others")
        return cuts

    def of_emitter(self, plan: EmitterPlan, where: str, rng: np.random.Generator) -> list[Cut]:
        """Cuts of an emitter's recordings or waveform.

        Raises:
            PlanError: as for ``of_recordings``, or the waveform does not fit the rate.
        """
        if plan.waveform is None:
            return self.of_recordings(plan.recordings, where, join_s=plan.join_s, continuous=plan.continuous)
        return [self._made(plan, where, rng) for _ in range(WAVEFORM_PIECES)]

    def _of(self, name: str, join_s: float, continuous: bool) -> list[Cut]:
        kind = (name, join_s, continuous)
        if kind not in self._cuts:
            source, cuts = open_source(self._paths[name]), []
            longest = MAX_PIECE / self.samp_rate if continuous else MAX_BURST_S
            for start, count in evenly(bursts_of(source, join_s, longest), MAX_BURSTS):
                try:
                    cuts.append(cut(source, start, count, self.samp_rate, continuous))
                except NothingThere:
                    continue
            source.__dict__.pop("iq", None)  # the samples are not needed again
            self._cuts[kind] = cuts
        return self._cuts[kind]

    def _made(self, plan: EmitterPlan, where: str, rng: np.random.Generator) -> Cut:
        """A burst of a waveform, made at a lower rate if it is narrow."""
        assert plan.waveform is not None
        waveform, seconds = WAVEFORMS[plan.waveform], float(rng.uniform(*plan.length_s))
        params = waveform.draw(rng) | (plan.params or {})
        rate = self.samp_rate
        while rate / 2 > 4 * max(waveform.width_of(params), 5e3):
            rate /= 2
        try:
            made = waveform.emit(rng, max(64, round(seconds * rate)), rate, **params)
        except (ValueError, TypeError) as error:
            raise PlanError(f"{where} waveform = {plan.waveform!r}: {error}; choose other params or another rate_hz") from error
        if not made.on:
            raise PlanError(f"{where} waveform = {plan.waveform!r}: is silent for {seconds:g} s; give a longer length_s")
        band = occupied_band(np.concatenate([made.iq[a:b] for a, b in made.on]), rate, _WITHIN)
        return _cut(made.iq, rate, self.samp_rate, 0, len(made.iq), band, waveform.label or waveform.name, waveform.name,
                    plan.continuous)


def evenly(items: list, count: int) -> list:
    """Max ``count`` of the items, evenly spread."""
    return items if len(items) <= count else [items[i * len(items) // count] for i in range(count)]


def bursts_of(source: Source, join_s: float, longest_s: float = MAX_BURST_S) -> list[tuple[int, int]]:
    """Bursts (start, count) of a recording: the marked ones, else the stretches of a bursty one that are on, else all of it.

    Bursts with gaps up to join_s are one. Fragments are left out, and long bursts end after longest_s.
    """
    if source.bursts:
        marks = sorted(source.bursts)
    elif source.bursty:
        edges = np.flatnonzero(np.diff(source.on.astype(int), prepend=0, append=0)) * 128
        marks = list(zip(edges[::2].tolist(), (edges[1::2] - edges[::2]).tolist(), strict=True))
    else:
        marks = [(0, len(source.iq))]
    joined: list[list[int]] = []
    for start, count in marks:
        if joined and start - joined[-1][1] <= join_s * source.samp_rate:
            joined[-1][1] = max(joined[-1][1], start + count)
        else:
            joined.append([start, start + count])
    longest = max(stop - start for start, stop in joined)
    most = int(longest_s * source.samp_rate)
    return [(a, min(b - a, most)) for a, b in joined if b - a >= max(MIN_SHARE * longest, 16)]


def cut(source: Source, start: int, count: int, samp_rate: float, continuous: bool = False) -> Cut:
    """A burst of a recording, for another sample rate.

    Raises:
        NothingThere: it does not stand out of the recording's noise.
    """
    quiet = quiet_samples(source)
    offset = np.complex64((quiet if len(quiet) >= 4 * _BINS else source.iq).mean())
    margin = 0 if continuous else min(start, len(source.iq) - start - count, round(5e-4 * source.samp_rate))
    iq = source.iq[start - margin:start + count + margin] - offset
    band = occupied(iq[margin:margin + count], source.samp_rate, quiet - offset)
    if source.bursts and band[1] - band[0] > _MAX_FILL * source.samp_rate:
        raise NothingThere
    if band[1] - band[0] > _WIDE * source.samp_rate:
        iq = without_flicker(iq)
    return _cut(iq, source.samp_rate, samp_rate, margin, count, band, source.cls, source.name, continuous)


def occupied(iq: np.ndarray, samp_rate: float, quiet: np.ndarray) -> tuple[float, float]:
    """Edges in Hz of the band in which a burst stands out of the noise: of ``quiet``, or if that is short, of its own free bins.

    Raises:
        NothingThere: it does not stand out.
    """
    size = min(_BINS, 1 << (len(iq).bit_length() - 2))
    psd = power_spectrum(iq, size)
    size, middle = len(psd), len(psd) // 2
    # What is left of the offset at 0 Hz
    psd[middle - 1:middle + 2] = np.minimum(psd[middle - 1:middle + 2], max(psd[middle - 2], psd[middle + 2]))
    noise = power_spectrum(quiet, size) if len(quiet) >= 16 * size else np.full(size, 0.0)
    noise = np.maximum(noise, np.quantile(np.convolve(psd, np.full(5, 0.2), "same"), 0.05))
    excess = np.where((psd > _OVER_NOISE * noise) & (psd > _UNDER_PEAK * psd.max()), psd - noise, 0.0)
    if not excess.sum() > 0:
        raise NothingThere
    share = np.cumsum(excess) / excess.sum()
    low, high = np.searchsorted(share, [(1 - _WITHIN) / 2, (1 + _WITHIN) / 2])
    high = min(high, size - 1)
    if excess[low:high + 1].sum() < 10 ** (MIN_SNR_DB / 10) * noise[low:high + 1].sum():
        raise NothingThere
    step = samp_rate / size
    return float((low - middle - 0.5) * step), float((high - middle + 0.5) * step)


def without_flicker(iq: np.ndarray) -> np.ndarray:
    """A wide signal without the receiver's flicker noise: within 1 % of the rate around 0 Hz no more power than beside that."""
    bins, freq = fft.fft(iq), np.abs(np.fft.fftfreq(len(iq)))
    power = np.abs(bins) ** 2
    allowed = float(np.median(power[(freq > _FLICKER) & (freq < 3 * _FLICKER)])) / np.log(2)  # mean of exponential powers
    near = np.flatnonzero(freq <= _FLICKER)
    for part in np.array_split(near[np.argsort(np.fft.fftfreq(len(iq))[near])], min(_FLICKER_PARTS, max(1, len(near) // 8))):
        bins[part] *= np.float32(min(1.0, np.sqrt(allowed / max(float(power[part].mean()), 1e-30))))
    return fft.ifft(bins, overwrite_x=True)


def quiet_samples(source: Source) -> np.ndarray:
    """The samples between the marked bursts, max 2^18; none if no bursts are marked."""
    if not source.bursts:
        return np.zeros(0, np.complex64)
    free = np.ones(len(source.iq), bool)
    for start, count in source.bursts:
        free[max(0, start - count // 8):start + count + count // 8] = False
    return source.iq[free][:1 << 18]


def _cut(iq: np.ndarray, rate_in: float, rate_out: float, margin: int, count: int, band: tuple[float, float], label: str,
         source: str, continuous: bool) -> Cut:
    """A cut of samples at rate_in, of which [margin, margin + count) is the burst."""
    width = band[1] - band[0]
    ratio = rate_out / rate_in
    iq = _blended(iq, round(BLEND_S * rate_in)) if continuous else ramp(iq, max(margin, min(8, count // 16)))
    size = fft.next_fast_len(int(np.ceil(len(iq) * ratio)) + 64)
    padded = max(len(iq), round(size / ratio))
    bins = fft.fft(iq.astype(np.complex64), padded)
    half = min(int(np.ceil(width * (0.5 + _ROOM) / rate_in * padded)) + 1, (padded - 1) // 2)
    place = np.arange(-half, half + 1)
    middle = round((band[0] + band[1]) / 2 / rate_in * padded)
    fall = np.clip((half + 1 - np.abs(place)) / max(1.0, half * _ROOM / (0.5 + _ROOM)), 0, 1)
    spectrum = bins[(middle + place) % padded] * (np.sin(np.pi / 2 * fall) * size / padded).astype(np.float32)
    lead = round(margin * ratio)
    return Cut(label, source, rate_out, spectrum.astype(np.complex64), size, lead, max(1, round(count * ratio)), float(width))


def _blended(iq: np.ndarray, samples: int) -> np.ndarray:
    """Ends that rise and fall so that overlapping pieces keep their power."""
    samples = max(1, min(samples, len(iq) // 4))
    edge = np.sin(np.pi / 2 * (np.arange(samples, dtype=np.float32) + 0.5) / samples)
    out = iq.copy()
    out[:samples] *= edge
    out[-samples:] *= edge[::-1]
    return out
