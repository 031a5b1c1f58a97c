# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF metadata, and the recording that they describe (SigMF specification 1.2).

Sample numbers count from the first sample in the file, that is, ``core:offset`` is subtracted from captures and
annotations. Header bytes before captures and trailing bytes are skipped; part of a sample at the end of a file is left
out. Checksums are verified only on request (``verify``), since they take a pass over the whole file.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from .binary import after_samples, pick_channel
from .raw import FileRecording, Run, SampleFile
from .recording import END_OF_TIME, Annotation, Capture, RecordingError, iso_time, parse_time

META_SUFFIX, DATA_SUFFIX = ".sigmf-meta", ".sigmf-data"
_BY_INDEX = " and core:global_index"
_HASHED_BYTES = 1 << 20  # read at a time
_MAX_COUNT = 1 << 63


class Part(NamedTuple):
    """Bytes [start, start + n_bytes) of a file, in which a dataset lies."""

    path: Path
    start: int
    n_bytes: int


class SigmfRecording(FileRecording):
    """A SigMF recording. Opening reads the metadata only; ``read`` reads the samples.

    Args:
        meta: the metadata as it stands in the file.
        path: of the file that names the recording.
        data: where the dataset lies; or its samples, if it is a container that a reader of its own has opened.
        channel: of several; None is the first.
        name: of the recording; that of `path` if it is empty.

    Attributes: meta; embedded: the dataset is part of a file that holds more; besides those of ``FileRecording``.

    Raises:
        RecordingError: the metadata is not valid, or the samples do not go with it.
    """

    def __init__(self, meta: dict, path: Path, data: Part | SampleFile, *, channel: int | None = None, name: str = ""):
        self.meta = meta
        where = str(path)
        head = _member(meta, "global", dict, where)
        datatype = str(_member(head, "core:datatype", str, where))
        samp_rate = _number(head, "core:sample_rate", where)
        if samp_rate is not None and not 0 < samp_rate < math.inf:
            raise RecordingError(f"{where}: core:sample_rate is {head.get('core:sample_rate')!r}; state it in Hz in "
                                 "the metadata's global part (it is needed to place signals in frequency)")
        n_channels = _count(head, "core:num_channels", where, 1)
        if n_channels < 1:
            raise RecordingError(f"{where}: core:num_channels is {n_channels}; it is 1 at least")
        channel = pick_channel(path, channel, n_channels)
        self.offset = _count(head, "core:offset", where, 0)
        self.license = str(head.get("core:license", ""))
        stated = sorted(_members(meta, "captures", where), key=lambda c: _count(c, "core:sample_start", where, 0))
        early: list[str] = []  # times before 1970, which are those of a clock that was never set
        captures = [self._capture(c, where, early) for c in stated] or [Capture(0)]
        headers = [_count(c, "core:header_bytes", where, 0) for c in stated]
        if isinstance(data, SampleFile):
            samples, self._part = data, Part(data.path, 0, data.size)
            _check_late(captures, samples.n_samples, where)
        else:
            samples, self._part = SampleFile(data.path, datatype, n_channels=n_channels, channel=channel, byte_start=data.start,
                                             byte_stop=data.start + data.n_bytes), data
            samples.runs = _runs(samples, data, captures, headers or [0], _count(head, "core:trailing_bytes", where, 0), where)
        annotations = [self._annotation(a, samples.n_samples, where) for a in _members(meta, "annotations", where)]
        super().__init__(name or path.name.removesuffix(META_SUFFIX), samples, samp_rate or 0.0, captures, annotations, path=path)
        self.keeps: list[Any] = []  # what must live as long as the recording
        self.embedded = isinstance(data, SampleFile) or data.start > 0
        self.size_bytes, self._opened = self._part.n_bytes, (captures, annotations)
        self._indices = _indices(stated, where)
        self.origins |= {"datatype": "core:datatype", "channels": "core:num_channels" if "core:num_channels" in head else "SigMF"}
        self.origins |= {} if samp_rate is None else {"samp_rate": "core:sample_rate"}
        self.origins |= {key: name for key, name, known in (
            ("frequency", "core:frequency", any(c.frequency_hz is not None for c in captures)),
            ("time", "core:datetime", any(c.time_parts is not None for c in captures))) if known}
        if early:
            self.notes.append(f"core:datetime {early[0]} is the time of a clock that was never set; it is taken as "
                              "not stated")

    def verify(self) -> bool:
        stated = self.meta["global"].get("core:sha512")
        if not stated:
            return False
        found = self._digest()
        if found != str(stated).lower():
            raise RecordingError(f"{self._part.path}: sha512 is {found[:12]}..., the metadata states "
                                 f"{str(stated)[:12]}...; the file is truncated or was changed: fetch it again")
        return True

    def _digest(self) -> str:
        digest, left = hashlib.sha512(), self._part.n_bytes
        with self._part.path.open("rb") as file:
            file.seek(self._part.start)
            while left and (piece := file.read(min(left, _HASHED_BYTES))):
                digest.update(piece)
                left -= len(piece)
        return digest.hexdigest()

    def timed_captures(self) -> list[Capture]:
        """The captures. One without a time has that of another, and the samples between them by ``core:global_index``."""
        known = [(capture, index) for capture, index in zip(self.captures, self._indices, strict=False)
                 if index is not None and capture.time_parts is not None]
        if not known:
            return self.captures
        captures = list(self.captures)
        for i, index in enumerate(self._indices):
            if index is not None and captures[i].time_parts is None:
                earlier = [pair for pair in known if pair[1] <= index]
                near, near_index = earlier[-1] if earlier else known[0]
                captures[i] = replace(captures[i], time_parts=self._after(near.time_parts, index - near_index))
                self.origins["time"] = f"{self.origins.get('time', 'stated').removesuffix(_BY_INDEX)}{_BY_INDEX}"
        return captures

    def _after(self, time: tuple[int, float], n_samples: int) -> tuple[int, float] | None:
        """The time so many samples later; None if no calendar has it."""
        try:
            moment = after_samples(time, n_samples, self.samp_rate)
        except OverflowError:  # of a tiny rate
            return None
        return moment if 0 <= moment[0] < END_OF_TIME else None

    def sigmf_meta(self, path: Path) -> dict:
        """The metadata with what was stated since, pointing at its samples if these have another name than the file at `path`."""
        meta = _finite(self.meta)
        if self.samp_rate != meta["global"].get("core:sample_rate"):
            meta["global"]["core:sample_rate"] = self.samp_rate
        meta["annotations"] = meta.get("annotations") or []
        meta["captures"] = meta.get("captures") or [{"core:sample_start": self.offset} for c in self.captures if c != Capture(0)]
        in_order = sorted(meta["captures"], key=lambda capture: capture.get("core:sample_start", 0))
        for raw, capture, before in zip(in_order, self.captures, self._opened[0], strict=False):
            if capture.frequency_hz != before.frequency_hz:
                raw["core:frequency"] = capture.frequency_hz
            if capture.time_parts is not None and capture.time_parts != before.time_parts:
                raw["core:datetime"] = iso_time(capture.time_parts)
        for raw, mark, was in zip(meta["annotations"], self.annotations, self._opened[1], strict=False):
            for key, edge, old in (("core:freq_lower_edge", mark.freq_lower_hz, was.freq_lower_hz),
                                   ("core:freq_upper_edge", mark.freq_upper_hz, was.freq_upper_hz)):
                if edge != old:
                    raw[key] = edge
        self._point_at_samples(meta, path)
        return meta

    def _point_at_samples(self, meta: dict, path: Path) -> None:
        """States where the samples lie, seen from a file at `path`."""
        head, data_path = meta["global"], self.data_path
        if data_path is None:
            head.pop("core:dataset", None)
            head["core:metadata_only"] = True
        elif self.embedded:
            whole = super().sigmf_meta(path)
            raws = {raw.get("core:sample_start", 0): raw for raw in meta["captures"]}
            meta["captures"] = [{**raws.get(c["core:sample_start"] + self.offset, {}), **c,
                                 "core:sample_start": c["core:sample_start"] + self.offset} for c in whole["captures"]]
            for key in ("core:dataset", "core:trailing_bytes", "core:metadata_only"):
                head.pop(key, None)
            head |= {key: value for key, value in whole["global"].items() if key.startswith("core:") and key not in (
                "core:version", "core:sample_rate", "core:num_channels")}
        elif path.parent.resolve() != data_path.parent.resolve():
            head["core:metadata_only"] = True
        elif path.with_suffix(DATA_SUFFIX).name != data_path.name:
            head["core:dataset"] = data_path.name

    def _capture(self, raw: dict, where: str, early: list[str]) -> Capture:
        start = _count(raw, "core:sample_start", where, 0) - self.offset
        if start < 0:
            raise RecordingError(f"{where}: a capture starts {-start} samples before core:offset {self.offset}; "
                                 "correct either")
        moment = _time_parts(raw.get("core:datetime"), where)
        if moment is not None and (moment[0] < 0 or moment == (0, 0.0)):
            early.append(str(raw["core:datetime"]))
            moment = None
        return Capture(start, _number(raw, "core:frequency", where), moment)

    def _annotation(self, raw: dict, n_samples: int, where: str) -> Annotation:
        start = max(0, _count(raw, "core:sample_start", where, 0) - self.offset)
        count = _count(raw, "core:sample_count", where, max(0, n_samples - start))
        return Annotation(start, count, str(raw.get("core:label", "")), _number(raw, "core:freq_lower_edge", where),
                          _number(raw, "core:freq_upper_edge", where), str(raw.get("core:comment", "")))


def _runs(samples: SampleFile, part: Part, captures: list[Capture], headers: list[int], trailing_bytes: int,
          where: str) -> list[Run]:
    """Where each capture's samples lie. headers: bytes before each capture."""
    n_samples = samples.whole_samples(part.n_bytes - sum(headers) - trailing_bytes)
    _check_late(captures, n_samples, where)
    starts = [c.sample_start for c in captures]
    runs = [Run(0, starts[0], part.start)] if starts[0] else []
    position = part.start + starts[0] * samples.stride_bytes
    for first, last, header in zip(starts, [*starts[1:], n_samples], headers, strict=True):
        position += header
        runs.append(Run(first, last, position))
        position += (last - first) * samples.stride_bytes
    return runs


def _check_late(captures: list[Capture], n_samples: int, where: str) -> None:
    late = captures[-1].sample_start
    if late and late >= n_samples:
        raise RecordingError(f"{where}: a capture starts at sample {late}, the file holds {n_samples}; it is "
                             "truncated (fetch it again) or its core:datatype is wrong")


def _finite(value: Any) -> Any:
    """A copy of metadata without members that are NaN or infinite, which Python reads and JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items() if not isinstance(item, float) or math.isfinite(item)}
    return [_finite(item) for item in value if not isinstance(item, float) or math.isfinite(item)] \
        if isinstance(value, list) else value


def _indices(captures: list[dict], where: str) -> list[int | None]:
    """Places of the captures in the stream that was recorded. Before the first that is stated nothing is lost."""
    found = [None if c.get("core:global_index") is None else _count(c, "core:global_index", where, 0) for c in captures]
    stated = next((i for i, index in enumerate(found) if index is not None), 0)
    return [_count(c, "core:sample_start", where, 0) for c in captures[:stated]] + found[stated:]


def _member(mapping: dict, key: str, kind: type, where: str) -> Any:
    value = mapping.get(key)
    if not isinstance(value, kind):
        raise RecordingError(f"{where}: {key} is {'missing' if value is None else repr(value)[:40]}; SigMF requires it "
                             f"to be {'an object' if kind is dict else 'a text'}")
    return value


def _members(meta: dict, key: str, where: str) -> Iterable[dict]:
    value = meta.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RecordingError(f"{where}: {key} must be a list of objects")
    return value


def _number(mapping: dict, key: str, where: str) -> float | None:
    value = mapping.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise RecordingError(f"{where}: {key} is {str(value)[:80]}; it must be a number")
    return float(value)


def _count(mapping: dict, key: str, where: str, default: int) -> int:
    """A whole number that is not negative. 180000.0, as some programs write it, is one."""
    value = mapping.get(key, default)
    valid = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT
    if not valid or value != math.floor(value):
        raise RecordingError(f"{where}: {key} is {str(value)[:80]}; it must be a whole number, not negative, below 2^63")
    return int(value)


def _time_parts(text: object, where: str) -> tuple[int, float] | None:
    """ISO 8601 -> (whole seconds, fraction) since 1970 UTC: a float of the sum could not keep the fraction's digits."""
    if text is None or not str(text).strip():
        return None
    try:
        return parse_time(str(text))
    except ValueError as error:
        raise RecordingError(f"{where}: core:datetime is {text!r}; it must read like 2026-01-31T12:00:00.5Z") from error
