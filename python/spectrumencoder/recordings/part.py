# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a recording as a recording: so many seconds of it, from so many seconds on."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .recording import Annotation, Capture, Recording, RecordingArgumentError, iso_time
from .stated import Stated, add_seconds


def part_of(recording: Recording, stated: Stated, path: Path) -> Recording:
    """The stated part of a recording that ``complete`` has seen; the recording itself if none is stated.

    Args:
        path: the file that the user named, for messages.

    Raises:
        RecordingArgumentError: the part lies behind the end, or holds no sample, or the rate is not known.
    """
    if not stated.skip_s and stated.seconds is None:
        return recording
    if not recording.samp_rate:
        raise RecordingArgumentError(f"{path}: skip and seconds count by the rate, which is not known; give its rate in Hz")
    first = math.floor(stated.skip_s * recording.samp_rate + 0.5)
    if first >= recording.n_samples:
        raise RecordingArgumentError(f"{path}: skip {stated.skip_s:g} s is all of it: the recording has "
                                     f"{recording.duration_s:.6g} s")
    count = recording.n_samples - first
    if stated.seconds is not None:
        count = min(count, math.floor(stated.seconds * recording.samp_rate + 0.5))
    if count < 1:
        raise RecordingArgumentError(f"{path}: seconds {stated.seconds:g} hold no sample at {recording.samp_rate:g} Hz")
    return Part(recording, first, count)


class Part(Recording):
    """Samples [first, first + count) of a recording. Its sample numbers count from there; ``offset`` leads back to the file's.

    ``sigmf_meta`` is that of the whole recording, for annotations beside its samples; ``own_meta`` is of the part alone.
    """

    def __init__(self, whole: Recording, first: int, count: int):
        super().__init__(whole.name, whole.samp_rate, count, _captures(whole, first, count), _annotations(whole, first, count),
                         path=whole.path, datatype=whole.datatype, data_paths=whole.data_paths)
        self.whole, self.first = whole, first
        self.offset = whole.offset + first
        self.origins, self.notes = whole.origins, whole.notes
        for name in ("format_name", "n_channels", "channel", "license", "size_bytes"):
            setattr(self, name, getattr(whole, name))

    @property
    def data_path(self) -> Path | None:
        """The file with the samples, if there is one that holds nothing else; as of ``FileRecording``."""
        return getattr(self.whole, "data_path", None)

    def _read_samples(self, start: int, out: np.ndarray) -> None:
        self.whole.read_into(self.first + start, out)

    def verify(self) -> bool:
        return self.whole.verify()

    def sigmf_meta(self, path: Path) -> dict:
        return self.whole.sigmf_meta(path)

    def own_meta(self, path: Path) -> dict:
        """Metadata of the part: ``core:offset`` is its place, from which captures and annotations count."""
        meta = copy.deepcopy(self.whole.sigmf_meta(path))
        given = {item.get("core:sample_start", 0): item for item in meta["captures"]}
        begun = self.whole.capture_at(self.first).sample_start + self.whole.offset
        captures = []
        for capture in self.captures:
            place = capture.sample_start + self.offset
            item: dict[str, Any] = dict(given.get(place if place in given else begun, {}))
            if "core:global_index" in item:
                item["core:global_index"] += max(0, place - item.get("core:sample_start", place))
            item["core:sample_start"] = place
            if capture.time_parts is not None:
                item["core:datetime"] = iso_time(capture.time_parts)
            captures.append(item)
        meta["captures"] = captures
        meta["annotations"] = [item for item in meta["annotations"] if _overlaps(
            item.get("core:sample_start", 0) - self.offset, item.get("core:sample_count"), self.n_samples)]
        meta["global"]["core:offset"] = self.offset
        return meta


def _captures(whole: Recording, first: int, count: int) -> list[Capture]:
    begun = whole.capture_at(first)
    moved_s = (first - begun.sample_start) / whole.samp_rate
    time = None if begun.time_parts is None else add_seconds(begun.time_parts, moved_s)
    return [Capture(0, begun.frequency_hz, time), *(
        replace(c, sample_start=c.sample_start - first) for c in whole.captures if first < c.sample_start < first + count)]


def _annotations(whole: Recording, first: int, count: int) -> list[Annotation]:
    marks = []
    for mark in whole.annotations:
        low, high = max(mark.sample_start - first, 0), min(mark.sample_start + mark.sample_count - first, count)
        if high > low:
            marks.append(replace(mark, sample_start=low, sample_count=high - low))
    return marks


def _overlaps(start: int, n_samples: int | None, count: int) -> bool:
    return start < count and (n_samples is None or start + n_samples > 0)
