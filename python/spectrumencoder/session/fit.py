# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a run that depend on its source: spectra per frame, and the signal that is learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..settings import EMITTERS
from ..tokens.average import AUTO, auto_average
from .stretches import fitting_average, in_words, mostly_short, stretches

if TYPE_CHECKING:
    from ..emitters.band_file import BandFile
    from ..recordings import Recording
    from .flowgraph import RunSettings
    from .pipe import Source


def spectra_per_frame(source: Source, settings: RunSettings, fft_size: int,
                      average_range: tuple[int, int]) -> tuple[int, tuple[str, ...]]:
    """``average`` of a run as a number, and notes that say so if the user did not state it. average_range: of the model."""
    if settings.average == AUTO:
        average = auto_average(source.samp_rate, fft_size, settings.overlap, average_range)
        return average, (f"average auto: {average} spectra per frame at {source.samp_rate:g} samples/s",)
    average = cast(int, settings.average)  # the monitor checks it
    if not settings.fit_average or source.recording is None or settings.detector != EMITTERS:
        return average, ()
    lengths, hop = stretches(source.recording), round(fft_size * (1 - settings.overlap))
    band = _known(settings)
    if band is not None and _unknown_share(source.recording, band, average, hop) < 1.0:
        return average, ()
    frame, fitting = fft_size + (average - 1) * hop, fitting_average(lengths, fft_size, hop)
    if fitting is None or not average_range[0] <= fitting < average or not mostly_short(lengths, frame):
        return average, ()
    return fitting, (f"{in_words(lengths, frame)}: --average {fitting} is taken",)


def seconds_to_learn(source: Source, settings: RunSettings, fft_size: int, average: int) -> float:
    """``learn_s`` of a run: at most half of a recording, of what whole frames hold of it, teaches the other half.

    What the band file knows is not learned again: half of the rest teaches.
    """
    if settings.detector != EMITTERS or source.recording is None:
        return settings.learn_s
    known_s, band, unknown = 0.0, _known(settings), 1.0
    heard_s, hop = source.recording.duration_s, round(fft_size * (1 - settings.overlap))
    lengths = stretches(source.recording)
    if band is not None:
        unknown = _unknown_share(source.recording, band, average, hop)
        if not unknown:
            return settings.learn_s
        known_s = _begun_s(band, source.recording)
    if len(lengths) > 1:  # what lies behind the last whole frame of each is not learned
        windows = sum(max(0, (length - fft_size) // hop + 1) // average * average for length in lengths)
        heard_s = windows * hop / source.samp_rate
    return min(settings.learn_s, known_s + heard_s * unknown / 2)


def _known(settings: RunSettings) -> BandFile | None:
    """What the band file holds; None without one."""
    from ..emitters.band_file import load
    return load(settings.band_file) if settings.band_file and Path(settings.band_file).exists() else None


def _begun_s(band: BandFile, recording: Recording) -> float:
    """Seconds that the last run has learned of what this one goes on with."""
    begun = [tuning for tuning in band.tunings if not tuning.learned]
    here = any(abs(tuning.freq_hz - (capture.frequency_hz or 0.0)) < 1.0 for tuning in begun for capture in recording.captures)
    return (band.learning_s or 0.0) if not band.complete and (here or len(begun) == len(band.tunings)) else 0.0


def _unknown_share(recording: Recording, band: BandFile, average: int, hop: int) -> float:
    """Share of a recording at tunings that a band does not know. hop: samples from spectrum to spectrum."""
    starts = [min(capture.sample_start, recording.n_samples) for capture in recording.captures]
    lengths = [stop - start for start, stop in zip(starts, [*starts[1:], recording.n_samples], strict=True)]
    unknown = sum(length for capture, length in zip(recording.captures, lengths, strict=True) if not band.knows(
        capture.frequency_hz or 0.0, recording.samp_rate, average * hop, average))
    return unknown / max(sum(lengths), 1)
