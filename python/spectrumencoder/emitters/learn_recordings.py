# SPDX-License-Identifier: GPL-3.0-or-later
"""Learns a band file from whole recordings: what ``calibrate`` does for the detector "emitters"."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..detector.events import Segment
from ..detector.learn_band import FrameGrid, Stretch, blocks_of, stretches_of
from ..encoder.engine import Engine
from ..recordings import Recording
from ..tokens.tokenize import tokenize
from .band_file import BandFile
from .watcher import EmitterDetector

MIN_S = 1.0  # of signal at a tuning


def learn_recordings(recordings: list[Recording], engine: Engine, *, average: int = 16, overlap: float = 0.0, band: str = "auto",
                     progress: Callable[[int, int], None] = lambda done, total: None) -> BandFile:
    """The band that recordings show, in which all belongs. Each tuning gets a background, all tunings share the emitters.

    Args:
        recordings: in order of time. average, overlap, band: see ``detector.learn_band.learn_bands``.
        progress: called with frames done and frames in all.

    Raises:
        ValueError: average or band is none of the model's, or there is too little signal. RecordingError: see there.
    """
    low, high = engine.contract["average"][0], engine.contract["average"][-1]
    if not low <= average <= high:
        raise ValueError(f"average {average} is outside {low}..{high}, what the model {engine.model_name} was trained for")
    if band != "auto" and band not in engine.bands:
        raise ValueError(f"band {band!r} is none of the model's; use auto, {', '.join(engine.bands)}")
    frame = FrameGrid(engine.n_bins, average, overlap)
    stretches = [s for r in recordings for s in stretches_of(r, frame, engine, band)]
    total = sum(s.n_frames for s in stretches)
    seconds = sum(s.n_frames * frame.hop / s.recording.samp_rate for s in stretches)
    if seconds < MIN_S:
        held = sum(recording.duration_s for recording in recordings)
        if seconds < held / 2:
            raise ValueError(f"whole frames hold {seconds:.3g} s of {held:.3g} s of signal, and {MIN_S:g} s are the minimum: "
                             f"captures are shorter than a frame of {frame.span} samples; a smaller --average helps")
        raise ValueError(f"{seconds:.3g} s of signal teach nothing: {MIN_S:g} s are the minimum, minutes are better")
    detector, done, first, time_s = EmitterDetector(engine.contract, learn_s=1e9), 0, 0, 0.0
    for stretch in stretches:
        rate = stretch.recording.samp_rate
        time_s = _time_of(stretch) or time_s
        segment = Segment(stretch.freq_hz, rate, stretch.band, frame.hop, average, (time_s, first))
        for iq in blocks_of(stretch, frame):
            frames = tokenize(iq, rate, fft_size=engine.n_bins, stride=engine.layout.stride, average=average, overlap=overlap,
                              window=engine.config.window, flush=False)
            encoded = engine.encode(frames.items, stretch.band)
            detector.process(frames.psd, encoded.residual, encoded.features, first + frame.hop * np.arange(len(frames)), segment)
            first += frame.hop * len(frames)
            done += len(frames)
            progress(done, total)
        detector.discontinuity()
        time_s += (stretch.stop - stretch.start) / rate
    detector.finish_learning()
    return detector.band_file()


def _time_of(stretch: Stretch) -> float | None:
    """POSIX time of its first sample; None if the recording states none."""
    capture = stretch.recording.capture_at(stretch.start)
    return None if capture.posix_time is None else capture.posix_time + (
        stretch.start - capture.sample_start) / stretch.recording.samp_rate
