# SPDX-License-Identifier: GPL-3.0-or-later
"""Learns bands: recordings go through tokenizer and encoder, in blocks, into one conformal table per band."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ..encoder.engine import Engine
from ..recordings import Recording
from ..recordings.breaks import stretch_starts
from ..tokens.band_plan import UNKNOWN, band_of
from ..tokens.tokenize import tokenize
from .calibrate import Calibrator, TooFewFrames, frames_needed
from .table import Table, Tuning

BLOCK_SAMPLES = 1 << 21  # read at a time, about


class Stretch(NamedTuple):
    """Samples [start, stop) of one recording at one tuning, and the whole frames in them."""

    recording: Recording
    start: int
    stop: int
    freq_hz: float
    band: str
    n_frames: int


def learn_bands(recordings: list[Recording], engine: Engine, *, average: int = 16, overlap: float = 0.0, band: str = "auto",
                false_alarm_rate: float = 0.01, per_bin: bool = True,
                progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Table]:
    """Conformal tables of the bands that the recordings show, by table key. The recordings must hold nothing abnormal.

    Args:
        recordings: normal signal of one or several bands.
        engine: encodes the frames, with the settings that will run.
        average, overlap: of the tokenizer, as the detector will run it.
        band: "auto" takes it from each capture's centre frequency; else one of the model's bands, for all.
        per_bin: learn what each bin does if all of a band's frames are of one tuning.
        false_alarm_rate: the smallest that the tables shall serve; it decides how many frames are needed.
        progress: called with frames done and frames in all.

    Returns:
        The tables that ``Detector`` takes.

    Raises:
        TooFewFrames: a band has fewer frames than the rate needs.
        ValueError: average or band is none of the model's. RecordingError: a recording cannot be read.
    """
    low, high = engine.contract["average"][0], engine.contract["average"][-1]
    if not low <= average <= high:
        raise ValueError(f"average {average} is outside {low}..{high}, what the model {engine.model_name} was trained for")
    if band != "auto" and band not in engine.bands:
        raise ValueError(f"band {band!r} is none of the model's; use auto, {', '.join(engine.bands)}")
    frame = FrameGrid(engine.n_bins, average, overlap)
    stretches = [s for r in recordings for s in stretches_of(r, frame, engine, band)]
    calibrators = {}
    for name in dict.fromkeys(s.band for s in stretches):
        mine = [s for s in stretches if s.band == name]
        count = sum(s.n_frames for s in mine)
        tunings = {Tuning(s.freq_hz, s.recording.samp_rate) for s in mine}
        needed = frames_needed(false_alarm_rate, per_bin and len(tunings) == 1)
        if count < needed:  # before hours of work, not after
            raise TooFewFrames(count, needed, false_alarm_rate)
        calibrators[name] = Calibrator(count, head=bool(engine.contract["heads"].get("anomaly", False)),
                                       tuning=tunings.pop() if per_bin and len(tunings) == 1 else None,
                                       window_hop=frame.window_hop)
    if not calibrators:
        raise TooFewFrames(0, frames_needed(false_alarm_rate), false_alarm_rate)
    total, done = sum(s.n_frames for s in stretches), 0
    for number, stretch in enumerate(stretches):
        for iq in blocks_of(stretch, frame):
            frames = tokenize(iq, stretch.recording.samp_rate, fft_size=engine.n_bins, stride=engine.layout.stride,
                              average=average, overlap=overlap, window=engine.config.window, flush=False)
            encoded = engine.encode(frames.items, stretch.band)
            calibrators[stretch.band].add(encoded.residual, encoded.features, frame.hop / stretch.recording.samp_rate, number,
                                          psd=frames.psd)
            done += frame.n_frames(len(iq))
            progress(done, total)
    return {engine.table_key(name, average): calibrator.finish(false_alarm_rate) for name, calibrator in calibrators.items()}


class FrameGrid:
    """Places of frames in samples: `hop` from one to the next, `span` from a frame's first sample to its last, `window_hop`
    from one averaged spectrum to the next."""

    def __init__(self, n_bins: int, average: int, overlap: float):
        self.window_hop = round(n_bins * (1.0 - overlap))
        self.hop, self.span = average * self.window_hop, (average - 1) * self.window_hop + n_bins

    def n_frames(self, n_samples: int) -> int:
        return 0 if n_samples < self.span else (n_samples - self.span) // self.hop + 1


def stretches_of(recording: Recording, frame: FrameGrid, engine: Engine, band: str) -> Iterator[Stretch]:
    """A capture that does not continue is a new tuning or a jump in time: no frame crosses it."""
    starts = stretch_starts(recording)
    for start, stop in zip(starts, [*starts[1:], recording.n_samples], strict=True):
        freq = recording.capture_at(start).frequency_hz or 0.0
        name = band_of(freq) if band == "auto" else band
        yield Stretch(recording, start, stop, freq, name if name in engine.bands else UNKNOWN, frame.n_frames(stop - start))


def blocks_of(stretch: Stretch, frame: FrameGrid) -> Iterator[np.ndarray]:
    """Samples of a stretch in blocks of whole frames."""
    per_block = max(1, BLOCK_SAMPLES // frame.hop)
    for first in range(0, stretch.n_frames, per_block):
        count = min(per_block, stretch.n_frames - first)
        yield stretch.recording.read(stretch.start + first * frame.hop, (count - 1) * frame.hop + frame.span)
