# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF recordings: NAME.sigmf-meta, and its samples in NAME.sigmf-data (SigMF specification 1.2).

Sample numbers count from the first sample in the file, that is, ``core:offset`` is subtracted from captures and
annotations. Header bytes before captures and trailing bytes are skipped; part of a sample at the end of a file is left
out. Checksums are verified only on request (``verify``), since they take a pass over the whole file.
"""

from __future__ import annotations

import codecs
import copy
import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .raw import FileRecording, Run, SampleFile
from .recording import Annotation, Capture, RecordingError, parse_time

META_SUFFIX, DATA_SUFFIX, ARCHIVE_SUFFIX = ".sigmf-meta", ".sigmf-data", ".sigmf"


class SigmfRecording(FileRecording):
    """A SigMF recording. Opening reads the metadata only; ``read`` reads the samples.

    Attributes: meta (the metadata as it stands in the file), meta_path; besides those of ``FileRecording``.

    Raises:
        RecordingError: the metadata is not valid, or the samples do not go with it.
    """

    def __init__(self, meta: dict, meta_path: Path, data_path: Path, *, channel: int | None = None):
        self.meta, self.meta_path = meta, meta_path
        where = str(meta_path)
        head = _member(meta, "global", dict, where)
        datatype = str(_member(head, "core:datatype", str, where))
        samp_rate = _number(head, "core:sample_rate", where)
        if samp_rate is not None and not 0 < samp_rate < math.inf:
            raise RecordingError(f"{where}: core:sample_rate is {head.get('core:sample_rate')!r}; state it in Hz in "
                                 "the metadata's global part (it is needed to place signals in frequency)")
        n_channels = _count(head, "core:num_channels", where, 1)
        if not 0 <= (channel or 0) < n_channels:
            raise RecordingError(f"{where}: channel {channel} is asked for; the file has {n_channels}, counted from 0")
        self.offset = _count(head, "core:offset", where, 0)
        self.license = str(head.get("core:license", ""))
        stated = sorted(_members(meta, "captures", where), key=lambda c: _count(c, "core:sample_start", where, 0))
        early: list[str] = []  # times before 1970, which are those of a clock that was never set
        captures = [self._capture(c, where, early) for c in stated] or [Capture(0)]
        headers = [_count(c, "core:header_bytes", where, 0) for c in stated]
        samples = SampleFile(data_path, datatype, n_channels=n_channels, channel=channel or 0)
        samples.runs = _runs(samples, captures, headers or [0], _count(head, "core:trailing_bytes", where, 0), where)
        annotations = [self._annotation(a, samples.n_samples, where) for a in _members(meta, "annotations", where)]
        super().__init__(meta_path.stem, samples, samp_rate or 0.0, captures, annotations, path=meta_path)
        self.origins |= {"datatype": "core:datatype", "channels": "core:num_channels" if "core:num_channels" in head else "SigMF"}
        self.origins |= {} if samp_rate is None else {"samp_rate": "core:sample_rate"}
        self.origins |= {key: name for key, name, known in (
            ("frequency", "core:frequency", any(c.frequency_hz is not None for c in captures)),
            ("time", "core:datetime", any(c.time_parts is not None for c in captures))) if known}
        if early:
            self.notes.append(f"core:datetime {early[0]} is before 1970, a clock that was never set; it is taken as "
                              "not stated")

    def verify(self) -> bool:
        stated = self.meta["global"].get("core:sha512")
        if not stated:
            return False
        with self.data_path.open("rb") as file:
            found = hashlib.file_digest(file, "sha512").hexdigest()
        if found != str(stated).lower():
            raise RecordingError(f"{self.data_path}: sha512 is {found[:12]}..., the metadata states "
                                 f"{str(stated)[:12]}...; the file is truncated or was changed: fetch it again")
        return True

    def sigmf_meta(self, path: Path) -> dict:
        """The metadata, pointing at its samples if these do not have the name of the file at `path`."""
        meta = copy.deepcopy(self.meta)
        if path.parent.resolve() != self.data_path.parent.resolve():
            meta["global"]["core:metadata_only"] = True
        elif path.with_suffix(DATA_SUFFIX).name != self.data_path.name:
            meta["global"]["core:dataset"] = self.data_path.name
        meta["annotations"] = meta.get("annotations") or []
        meta.setdefault("captures", [])
        return meta

    def _capture(self, raw: dict, where: str, early: list[str]) -> Capture:
        start = _count(raw, "core:sample_start", where, 0) - self.offset
        if start < 0:
            raise RecordingError(f"{where}: a capture starts {-start} samples before core:offset {self.offset}; "
                                 "correct either")
        moment = _time_parts(raw.get("core:datetime"), where)
        if moment is not None and moment[0] < 0:
            early.append(str(raw["core:datetime"]))
            moment = None
        return Capture(start, _number(raw, "core:frequency", where), moment)

    def _annotation(self, raw: dict, n_samples: int, where: str) -> Annotation:
        start = max(0, _count(raw, "core:sample_start", where, 0) - self.offset)
        count = _count(raw, "core:sample_count", where, max(0, n_samples - start))
        return Annotation(start, count, str(raw.get("core:label", "")), _number(raw, "core:freq_lower_edge", where),
                          _number(raw, "core:freq_upper_edge", where), str(raw.get("core:comment", "")))


def find_sigmf(path: Path) -> Path | None:
    """NAME.sigmf-meta of a path that is it, NAME.sigmf-data, or NAME if it exists; an archive itself; else None."""
    if path.suffix in (META_SUFFIX, DATA_SUFFIX):
        return path.with_suffix(META_SUFFIX)
    if path.is_dir():
        return None
    if path.suffix == ARCHIVE_SUFFIX:
        return path
    meta_path = path.with_name(path.name + META_SUFFIX)
    return meta_path if meta_path.is_file() else None


def is_sigmf(path: Path, head: bytes) -> bool:
    """True if the first bytes of a file are those of SigMF metadata."""
    return head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{") and b'"core:' in head


def open_sigmf(meta_path: Path, *, channel: int | None = None) -> SigmfRecording:
    """Opens NAME.sigmf-meta. channel: of an interleaved file with several; None is the first.

    Raises:
        RecordingError: missing, truncated or invalid.
    """
    if meta_path.suffix == ARCHIVE_SUFFIX:
        raise RecordingError(f"{meta_path}: is a SigMF archive; unpack it (tar -xf) and name its {META_SUFFIX} file")
    try:
        meta = json.loads(meta_path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise RecordingError(f"{meta_path}: cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:
        raise RecordingError(f"{meta_path}: not valid JSON ({error}); damaged, or not SigMF metadata") from error
    if not isinstance(meta, dict):
        raise RecordingError(f"{meta_path}: holds a JSON {type(meta).__name__}; SigMF metadata is an object")
    head = _member(meta, "global", dict, str(meta_path))
    named = head.get("core:dataset")
    data_path = meta_path.with_suffix(DATA_SUFFIX)
    if named and not data_path.is_file():
        data_path = meta_path.parent / str(named)
    if not data_path.is_file():
        only = " (core:metadata_only is set)" if head.get("core:metadata_only") else ""
        raise RecordingError(f"{meta_path}: its samples are missing{only}; put {data_path.name} beside it")
    return SigmfRecording(meta, meta_path, data_path, channel=channel)


def _runs(samples: SampleFile, captures: list[Capture], headers: list[int], trailing_bytes: int, where: str) -> list[Run]:
    """Where each capture's samples lie. headers: bytes before each capture."""
    n_samples = samples.whole_samples(samples.size - sum(headers) - trailing_bytes)
    late = captures[-1].sample_start
    if late and late >= n_samples:
        raise RecordingError(f"{where}: a capture starts at sample {late}, the file holds {n_samples}; it is "
                             "truncated (fetch it again) or its core:datatype is wrong")
    starts = [c.sample_start for c in captures]
    runs = [Run(0, starts[0], 0)] if starts[0] else []
    position = starts[0] * samples.stride_bytes
    for first, last, header in zip(starts, [*starts[1:], n_samples], headers, strict=True):
        position += header
        runs.append(Run(first, last, position))
        position += (last - first) * samples.stride_bytes
    return runs


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
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RecordingError(f"{where}: {key} is {value!r}; it must be a number")
    return float(value)


def _count(mapping: dict, key: str, where: str, default: int) -> int:
    """A whole number that is not negative. 180000.0, as some programs write it, is one."""
    value = mapping.get(key, default)
    valid = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not valid or value < 0 or value != math.floor(value):
        raise RecordingError(f"{where}: {key} is {value!r}; it must be a whole number, not negative")
    return int(value)


def _time_parts(text: object, where: str) -> tuple[int, float] | None:
    """ISO 8601 -> (whole seconds, fraction) since 1970 UTC: a float of the sum could not keep the fraction's digits."""
    if text is None:
        return None
    try:
        return parse_time(str(text))
    except ValueError as error:
        raise RecordingError(f"{where}: core:datetime is {text!r}; it must read like 2026-01-31T12:00:00.5Z") from error
