# SPDX-License-Identifier: GPL-3.0-or-later
"""The SigMF recording of one event's samples: its name, its annotation, and room for it in its folder."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .. import keys
from ..recordings import DATA_SUFFIX, META_SUFFIX
from ..recordings.sigmf_writer import write_encoded
from .sigmf_annotator import EXTENSION, annotation_of


def write_snippet(folder: Path, max_bytes: float, event: dict, start: int, samples: np.ndarray, samp_rate: float,
                  center_freq_hz: float | None) -> None:
    """Writes the samples around an event; the oldest snippets in the folder are deleted for it.

    Args:
        max_bytes: of all samples in the folder. start: the number that the first of the samples, complex64 (n,), has in the
            event's own count. samp_rate, center_freq_hz: Hz; None: not known.
    """
    data = samples.astype("<c8").tobytes()
    _make_room(folder, max_bytes - len(data))
    note = annotation_of(event, -start)
    note["core:sample_count"] = max(1, min(note["core:sample_count"], len(samples) - note["core:sample_start"]))
    name, moment = file_name(event, (start - event[keys.SAMPLE_START]) / samp_rate)
    write_encoded(folder / name, data, samp_rate, "cf32_le", description="samples around an event",
                  center_freq_hz=center_freq_hz, datetime=None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",
                  annotations=[note], extra={"core:recorder": "gr-spectrumencoder", "core:extensions": [EXTENSION]})


def _make_room(folder: Path, max_bytes: float):
    """Deletes the oldest snippets until the others take max_bytes at most."""
    files = sorted((f for f in folder.glob(f"event-*{DATA_SUFFIX}")), key=lambda f: f.stat().st_mtime)
    total = sum(f.stat().st_size for f in files)
    for file in files:
        if total <= max_bytes:
            break
        total -= file.stat().st_size
        with contextlib.suppress(FileNotFoundError):
            file.with_suffix(META_SUFFIX).unlink()
        file.unlink()


def file_name(event: dict, after_s: float = 0.0) -> tuple[str, datetime | None]:
    """The name of an event's snippet, which begins `after_s` later, and its time; None: not stated.

    Raises:
        TypeError, ValueError, OverflowError, OSError: the event's time is none.
    """
    timestamp = event.get(keys.TIMESTAMP)
    moment = None if timestamp is None else datetime.fromtimestamp(timestamp + after_s, UTC)
    identity = re.sub(r"[^\w.-]", "_", str(event[keys.EVENT_ID]))[:100]
    return f"event-{moment or datetime.fromtimestamp(0, UTC):%Y%m%dT%H%M%S}-{identity}", moment
