# SPDX-License-Identifier: GPL-3.0-or-later
"""The detectors alone: ms of a frame, one at a time and in batches of 16, on a band that they have learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from ..detector.detector import Detector
from ..emitters.watcher import EmitterDetector
from ..measure.machine import head
from ..settings import BOXES, EMITTERS
from .band import BAND_HZ, calibrated_band
from .busy import conditions
from .engines import AVERAGE, open_model
from .rounds import statistics, take_turns

BATCH = 16


@dataclass(frozen=True)
class Sizes:
    """Rounds, calls in a turn, K."""

    rounds: int = 60
    calls: int = 10
    average: int = AVERAGE


QUICK = Sizes(3, 2, 4)


def detection(model: str = "base", *, sizes: Sizes = Sizes(), busy_neighbour: bool = False, seed: int = 0,
              progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the detector of emitters, and that of boxes.

    Returns:
        head; `times`: condition -> `one at a time`, `batches of 16`, or the same with `boxes, ` before it -> statistics of a
        call, with ms_per_frame.
    """
    result = head("detector", asdict(sizes) | {"model": model, "band_hz": BAND_HZ, "seed": seed})
    band = calibrated_band(open_model(model), sizes.average)
    frames = band.frames(8 * BATCH)
    made = band.engine.encode(frames.items, band.segment.band)

    def learned() -> EmitterDetector:
        detector = EmitterDetector(band.engine.contract, learn_s=1e9)
        detector.process(frames.psd, made.residual, made.features, frames.frame_start, band.segment)
        detector.finish_learning()
        return detector

    def caller(kind: str, step: int) -> Callable[[], object]:
        detector, at = Detector(band.engine.contract, band.tables) if kind == BOXES else learned(), [0]

        def call():
            rows = slice(at[0], at[0] + step)
            at[0] = (at[0] + step) % len(frames)
            return detector.process(frames.psd[rows], made.residual[rows], made.features[rows], frames.frame_start[rows],
                                    band.segment)
        return call

    kinds = {"one at a time": (EMITTERS, 1), f"batches of {BATCH}": (EMITTERS, BATCH), f"{BOXES}, one at a time": (BOXES, 1),
             f"{BOXES}, batches of {BATCH}": (BOXES, BATCH)}
    steps = {name: step for name, (_, step) in kinds.items()}
    with conditions(busy_neighbour) as (names, enter):
        turns = take_turns({name: caller(*kind) for name, kind in kinds.items()}, sizes.rounds, calls=sizes.calls, seed=seed,
                           conditions=names, enter=enter, progress=lambda done, total: progress(done, total, "detector"))
    result["times"] = {}
    for condition, arms in turns.items():
        rows = {name: statistics(t, steps[name]) for name, t in arms.items()}
        result["times"][condition] = {n: row | {"ms_per_frame": row["p50_ms"] / steps[n]} for n, row in rows.items()}
    return result
