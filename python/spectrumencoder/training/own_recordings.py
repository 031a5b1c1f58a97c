# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings of one class of the user's own: of any format, all of them of that class; some are kept back to judge it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..recordings import Recording, RecordingError, find_recordings, open_recording
from ..recordings.part import Part
from .corpus import CorpusError, Source

WHOLE = 0.95  # share of a recording from which on an annotation is about all of it, and marks no burst
MIN_RECORDINGS = 3  # from which on whole recordings are kept back; of fewer, the last part of each
KEPT_BACK = 3  # one in so many
MAX_SAMPLES = 1 << 26  # of a recording, which is held in memory


class OwnRecordings(NamedTuple):
    """Recordings that are learned from, and those that judge what was learned."""

    learned: list[Source]
    kept_back: list[Source]


def load_own(folder: Path, name: str, min_samples: int) -> OwnRecordings:
    """The recordings of a folder, as those of the class `name`.

    Annotations mark its bursts. A recording without any is searched for them by power; one of even power is on all the time.

    Args:
        min_samples: of a frame: a recording, or the part that is kept back, must hold more.

    Raises:
        CorpusError: there is no recording, or one is too short or too long. RecordingError: one cannot be read.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder; name the one that holds the recordings of {name}")
    try:
        paths = find_recordings(folder)
    except RecordingError as error:
        raise CorpusError(f"{folder} holds no recording of {name} ({error})") from error
    recordings = [open_recording(path) for path in paths]
    for recording in recordings:
        if recording.n_samples > MAX_SAMPLES:
            raise CorpusError(f"{recording.path}: holds {recording.n_samples} samples, more than {MAX_SAMPLES}; cut the part "
                              "with the signal out of it: spectrumencoder convert FILE OUT --skip S --seconds S")
    if len(recordings) >= MIN_RECORDINGS:
        back = recordings[KEPT_BACK - 1::KEPT_BACK]
        parts = [r for r in recordings if r not in back], back
    else:
        parts = ([_part(r, 0, 1 - 1 / KEPT_BACK) for r in recordings], [_part(r, 1 - 1 / KEPT_BACK, 1) for r in recordings])
    for part in (*parts[0], *parts[1]):
        if part.n_samples < min_samples:
            raise CorpusError(f"{part.path}: {part.n_samples} samples, of {len(recordings)} recordings, are fewer than a frame "
                              f"of {min_samples}; give longer recordings")
    return OwnRecordings(*([_source(recording, name) for recording in side] for side in parts))


def _part(recording: Recording, begin: float, end: float) -> Recording:
    first = int(begin * recording.n_samples)
    return Part(recording, first, max(int(end * recording.n_samples) - first, 1))


def _source(recording: Recording, name: str) -> Source:
    bursts = [(mark.sample_start, mark.sample_count) for mark in recording.annotations
              if mark.sample_count < WHOLE * recording.n_samples]
    return Source(recording, name, name, "", bursts)
