# SPDX-License-Identifier: GPL-3.0-or-later
"""Composes the recording of a plan and writes it as SigMF, with the truth as annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import keys
from ...recordings.recording import iso_time
from ...recordings.sigmf_writer import write_recording
from ...tokens.band_plan import band_of
from ..injections import note
from .band import TILE, Band
from .plan import Plan

EXTENSION = {"name": keys.SIGMF_PREFIX.rstrip(":"), "version": "0.1.0", "optional": True}


@dataclass(frozen=True)
class Composed:
    """What was written: the metadata's path, the numbers of bursts and continuous signals, of anomalies, of samples."""

    path: Path
    n_bursts: int
    n_anomalies: int
    n_samples: int


def compose(plan: Plan, folders: Sequence[Path], out: str | Path, *, block: int = TILE,
            progress: Callable[[int], object] = lambda done: None) -> Composed:
    """Writes NAME.sigmf-data and NAME.sigmf-meta. The same plan and recordings give the same bytes, with any block.

    The memory for samples does not depend on the length. The truth takes about 1 kB per burst.

    Args:
        folders: of recordings that are labelled as the corpora are.
        out: NAME, with or without .sigmf-meta.
        block: samples that are written at a time.
        progress: called with the number of samples that are written.

    Raises:
        PlanError: a pattern matches nothing, or an anomaly finds no place.
        CorpusError, RecordingError: a recording cannot be read, or the files cannot be written.
    """
    band, n = Band(plan, folders), plan.n_samples
    whole = note(0, n, "composed", f"whole file; family={band_of(plan.freq_hz)}; class=composed")
    seconds = plan.start.timestamp()
    path = write_recording(out, _reported(band.stream(block), progress), plan.rate_hz, plan.datatype, center_freq_hz=plan.freq_hz,
                           datetime=iso_time((int(seconds // 1), seconds % 1)), annotations=[whole, *band.truth],
                           description=f"Composed, not off the air: {plan.about} Plan {plan.name}, seed {plan.seed}.",
                           extra={"core:extensions": [EXTENSION]})
    return Composed(path, band.n_bursts, band.n_anomalies, n)


def _reported(blocks: Iterator[np.ndarray], progress: Callable[[int], object]) -> Iterator[np.ndarray]:
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        progress(done)
