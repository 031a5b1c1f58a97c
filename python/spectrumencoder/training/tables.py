# SPDX-License-Identifier: GPL-3.0-or-later
"""General conformal tables: scores of frames from many different recordings, for a band without calibration.

They are learned on the unmodified recordings held out from training. Their key is the band `unknown`, the detector's fallback.
Their false-alarm rate holds for that mixture, not for one band: `spectrumencoder calibrate` learns a band's own.
"""

from __future__ import annotations

import numpy as np

from ..detector.calibrate import Calibrator, TooFewFrames
from ..encoder.engine import Engine
from ..encoder.model_file import ModelFile
from ..tokens.tokenize import tokenize
from .corpus import Source

AVERAGES = (1, 2, 4, 8, 16, 32)
CHUNK = 4  # consecutive frames per recording, so that the normalisers' part and the table's part see the same mixture
PLACES = 60  # max number of recordings (the floor track remembers 64)
RATE = 0.25


def general_tables(model: ModelFile, sources: list[Source], frames_per_recording: int,
                   false_alarm_rate: float = 0.01) -> dict[str, int]:
    """Add general tables to `model`: every K of AVERAGES and every k for its default variant, r = 0.25 for the others.

    Args:
        sources: held-out recordings.
        frames_per_recording: max number of frames from each, evenly spread over it.

    Returns:
        Table key -> number of scores. A K with too few frames gets no table.
    """
    sources = [sources[i] for i in np.unique(np.linspace(0, len(sources) - 1, min(PLACES, len(sources))).astype(int))]
    made = {}
    for average in AVERAGES:
        if not model.contract["average"][0] <= average <= model.contract["average"][1]:
            continue
        frames = None
        for number, variant in enumerate(model.contract["variants"]):
            engine = Engine(model, backend=variant["attention"] if variant["attention"] != "softmax" else "flash",
                            rope_mode=variant["rope"])
            frames = frames or _chunks(sources, engine, average, frames_per_recording)
            rates = model.contract["rates"] if number == 0 else [RATE]
            for rate in rates:
                engine.set_dropout_rate(rate)
                calibrator = Calibrator(sum(len(items) for _, items, _ in frames), head=model.contract["heads"]["anomaly"])
                for place, items, frame_s in frames:
                    encoded = engine.encode(items, sources[place].band)
                    calibrator.add(encoded.residual, encoded.features, frame_s, place)
                try:
                    table = calibrator.finish(false_alarm_rate)
                except TooFewFrames:
                    continue
                key = engine.table_key("unknown", average)
                model.set_table(key, table.to_tensors())
                made[key] = table.n
    return made


def _chunks(sources: list[Source], engine: Engine, average: int, max_frames: int) -> list[tuple[int, np.ndarray, float]]:
    """Frames of all recordings, a few in a row from each in turn: (recording's number, items, seconds per frame)."""
    parts = []
    for number, source in enumerate(sources):
        frames = tokenize(source.iq, source.samp_rate, fft_size=engine.n_bins, stride=engine.layout.stride, average=average,
                          window=engine.config.window, flush=False)
        chosen = np.unique(np.linspace(0, len(frames) - 1, min(max_frames, len(frames))).astype(int)) if len(frames) else []
        items = frames.items[chosen]
        frame_s = average * engine.n_bins / source.samp_rate
        parts += [(start / len(items), number, items[start:start + CHUNK], frame_s) for start in range(0, len(items), CHUNK)]
    return [part[1:] for part in sorted(parts, key=lambda p: p[:2])]
