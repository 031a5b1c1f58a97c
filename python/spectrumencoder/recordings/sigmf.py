# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF recordings and raw IQ files, read as complex64 with full scale = 1.0.

All SigMF data types are read (SigMF specification 1.2, "Sample Data Formats"): f64, f32, f16, i32, i16, i8, u32, u16,
u8, complex or real, little or big endian. Signed integers are divided by 2^(bits-1); unsigned ones are taken around
their middle, so that cu8 is (x - 127.5) / 127.5. Floats are taken as they stand. Real samples are taken as I with Q = 0:
their spectrum is symmetric, and what is seen below ``core:frequency`` mirrors what is above.

Sample numbers count from the first sample in the file, that is, ``core:offset`` is subtracted from captures and
annotations. Header bytes before captures and trailing bytes are skipped; part of a sample at the end of a file is left
out. Checksums are verified only on request (``verify``), since they take a pass over the whole file.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from ..tokens.tokenize import optional_native_module

META_SUFFIX, DATA_SUFFIX = ".sigmf-meta", ".sigmf-data"
_DATATYPE = re.compile(r"([cr])(f64|f32|f16|i32|i16|i8|u32|u16|u8)(_le|_be)?")
_DATATYPES_HELP = "cf32_le, ci16_le, ci8, cu8, ... (c or r, then f64 f32 f16 i32 i16 i8 u32 u16 u8, then _le or _be)"
_COMPILED = tuple(map(np.dtype, (np.int8, np.uint8, np.int16, np.uint16)))  # of these the compiled module makes numbers
_PIECE = 16384  # samples that are read at a time: what lies between file and result stays in the second cache of a core
_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d*)?\s*(Z|[+-]\d\d:?\d\d)?")


class RecordingError(Exception):
    """A recording that is missing, truncated or not valid; one line that says what is wrong and what to do."""


@dataclass(frozen=True)
class Capture:
    """A stretch of samples from ``sample_start`` on, at one centre frequency (None: not stated).

    ``time_parts`` is the time of its first sample as (whole seconds, fraction) since 1970 UTC, or None: not stated.
    """

    sample_start: int
    frequency_hz: float | None = None
    time_parts: tuple[int, float] | None = None

    @property
    def posix_time(self) -> float | None:
        return None if self.time_parts is None else self.time_parts[0] + self.time_parts[1]


@dataclass(frozen=True)
class Annotation:
    """A marked stretch of samples; ``sample_count`` reaches to the end of the file where the file states none."""

    sample_start: int
    sample_count: int
    label: str = ""
    freq_lower_hz: float | None = None
    freq_upper_hz: float | None = None
    comment: str = ""


@dataclass(frozen=True)
class SampleFormat:
    """One SigMF data type: how bytes become numbers.

    Raises:
        RecordingError: no SigMF data type has this name. Names of more than 8 bits without _le or _be are taken as _le.
    """

    name: str

    def __post_init__(self):
        if not _DATATYPE.fullmatch(self.name):
            raise RecordingError(f"datatype {self.name!r} is not known; use one of {_DATATYPES_HELP}")

    @property
    def is_complex(self) -> bool:
        return self.name[0] == "c"

    @cached_property
    def component(self) -> np.dtype:
        """NumPy type of one I or Q value."""
        _, kind, endian = _DATATYPE.fullmatch(self.name).groups()
        return np.dtype(f"{'>' if endian == '_be' else '<'}{kind[0]}{int(kind[1:]) // 8}")

    @property
    def sample_bytes(self) -> int:
        return self.component.itemsize * (2 if self.is_complex else 1)

    def decode(self, raw: np.ndarray) -> np.ndarray:
        """Bytes (n * sample_bytes,) uint8 -> complex64 (n,), full scale = 1.0."""
        out = np.empty(len(raw) // self.sample_bytes, np.complex64)
        self.decode_into(raw, out)
        return out

    def decode_into(self, raw: np.ndarray, out: np.ndarray) -> None:
        """As ``decode``, into out (n,) complex64."""
        native = optional_native_module() if self.is_complex and self.component in _COMPILED else None
        if native is None:
            out[:] = self.decode_numpy(raw)
        else:
            native.to_full_scale(raw.view(self.component), out.view(np.float32))

    def decode_numpy(self, raw: np.ndarray) -> np.ndarray:
        """As ``decode``, bit for bit, without the compiled module."""
        component = self.component
        values = raw.view(component)
        if component.kind == "f":
            values = values.astype(np.float32)
        elif component.kind == "i":
            values = values.astype(np.float32) * np.float32(2.0 ** (1 - 8 * component.itemsize))
        else:
            middle = (2.0 ** (8 * component.itemsize) - 1) / 2
            wide = np.float32 if component.itemsize < 4 else np.float64
            values = ((values.astype(wide) - wide(middle)) / wide(middle)).astype(np.float32)
        return values.view(np.complex64) if self.is_complex else values.astype(np.complex64)


class Recording:
    """An IQ file with its metadata. Opening reads the metadata only; ``read`` reads the samples.

    Attributes: name, datatype, samp_rate (Hz), n_samples, captures, annotations, meta (the raw SigMF dict), meta_path
    (None for a raw file), data_path, offset (``core:offset``: add it to sample numbers when writing them back),
    n_channels, channel (of an interleaved multi-channel file, the one read).
    """

    def __init__(self, name: str, meta: dict, data_path: Path, *, meta_path: Path | None = None, channel: int = 0):
        self.name, self.meta, self.meta_path, self.data_path = name, meta, meta_path, Path(data_path)
        where = str(meta_path or data_path)
        head = _member(meta, "global", dict, where)
        self.datatype = str(_member(head, "core:datatype", str, where))
        self._format = SampleFormat(self.datatype)
        samp_rate = _number(head, "core:sample_rate", where)
        if samp_rate is None or not 0 < samp_rate < math.inf:
            raise RecordingError(f"{where}: core:sample_rate is {head.get('core:sample_rate')!r}; state it in Hz in "
                                 "the metadata's global part (it is needed to place signals in frequency)")
        self.samp_rate: float = samp_rate
        self.n_channels = _count(head, "core:num_channels", where, 1)
        if not 0 <= channel < self.n_channels:
            raise RecordingError(f"{where}: channel {channel} is asked for; the file has {self.n_channels}")
        self.channel = channel
        self.offset = _count(head, "core:offset", where, 0)
        captures = sorted(_members(meta, "captures", where), key=lambda c: _count(c, "core:sample_start", where, 0))
        self.captures = [self._capture(c, where) for c in captures] or [Capture(0)]
        headers = [_count(c, "core:header_bytes", where, 0) for c in captures]
        self._segments, self.n_samples = self._layout(headers, _count(head, "core:trailing_bytes", where, 0), where)
        self.annotations = [self._annotation(a, where) for a in _members(meta, "annotations", where)]

    @classmethod
    def open(cls, path: str | Path, *, channel: int = 0) -> Recording:
        """Opens NAME.sigmf-meta; its NAME.sigmf-data, or NAME, does as well.

        Raises:
            RecordingError: missing, truncated or invalid.
        """
        meta_path = _meta_path(Path(path))
        try:
            meta = json.loads(meta_path.read_bytes().decode("utf-8"))
        except OSError as error:
            raise RecordingError(f"{meta_path}: cannot be read ({error.strerror}); check its permissions") from error
        except ValueError as error:
            raise RecordingError(f"{meta_path}: not valid JSON ({error}); damaged, or not SigMF metadata") from error
        if not isinstance(meta, dict):
            raise RecordingError(f"{meta_path}: holds a JSON {type(meta).__name__} where SigMF metadata is an object")
        head = _member(meta, "global", dict, str(meta_path))
        named = head.get("core:dataset")
        data_path = meta_path.with_suffix(DATA_SUFFIX)
        if named and not data_path.is_file():
            data_path = meta_path.parent / str(named)
        if not data_path.is_file():
            only = " (core:metadata_only is set)" if head.get("core:metadata_only") else ""
            raise RecordingError(f"{meta_path}: its samples are missing{only}; put {data_path.name} beside it")
        return cls(meta_path.stem, meta, data_path, meta_path=meta_path, channel=channel)

    @classmethod
    def open_raw(cls, path: str | Path, samp_rate: float, datatype: str, *,
                 center_freq: float | None = None) -> Recording:
        """Opens a file of nothing but samples.

        Args:
            samp_rate: Hz. datatype: SigMF name such as "cf32_le", "ci16_le", "cu8". center_freq: Hz, where it is known.

        Raises:
            RecordingError: missing or empty, or the data type or rate is not valid.
        """
        path = Path(path)
        if not path.is_file():
            raise RecordingError(f"{path}: no such file; check the path")
        capture = {"core:sample_start": 0} | ({} if center_freq is None else {"core:frequency": float(center_freq)})
        meta = {"global": {"core:datatype": datatype, "core:sample_rate": samp_rate, "core:version": "1.2.0"},
                "captures": [capture], "annotations": []}
        return cls(path.stem, meta, path)

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.samp_rate

    @property
    def frequency_hz(self) -> float | None:
        """Centre frequency of the first capture."""
        return self.captures[0].frequency_hz

    def read(self, start: int = 0, count: int | None = None) -> np.ndarray:
        """Samples [start, start + count) as complex64 (n,), full scale = 1.0.

        Fewer where the file ends before; up to its end with count None.

        Raises:
            ValueError: start or count is negative.
            RecordingError: the file has become shorter or unreadable since it was opened.
        """
        if start < 0 or (count is not None and count < 0):
            raise ValueError(f"read({start}, {count}): start and count must not be negative")
        stop = self.n_samples if count is None else min(start + count, self.n_samples)
        out = np.empty(max(0, stop - start), np.complex64)
        if len(out):
            self.read_into(start, out)
        return out

    def read_into(self, start: int, out: np.ndarray) -> None:
        """As ``read``, into out (n,) complex64, contiguous: samples [start, start + n), all of which must exist.

        Raises:
            ValueError: start is negative, or there are fewer samples.
            RecordingError: as of ``read``.
        """
        if start < 0 or start + len(out) > self.n_samples:
            raise ValueError(f"read_into({start}) of {len(out)} samples: there are {self.n_samples}")
        for first, last, byte_start in self._segments:
            low, high = max(start, first), min(start + len(out), last)
            if low < high:
                self._read_run(byte_start + (low - first) * self._stride_bytes, out[low - start:high - start])

    def capture_at(self, sample: int) -> Capture:
        """The capture that holds a sample."""
        return next((c for c in reversed(self.captures) if c.sample_start <= sample), self.captures[0])

    def verify(self) -> bool:
        """Compares the file with its core:sha512; False where the metadata has none.

        Raises:
            RecordingError: the samples are not those that the metadata was written for.
        """
        stated = self.meta["global"].get("core:sha512")
        if not stated:
            return False
        with self.data_path.open("rb") as file:
            found = hashlib.file_digest(file, "sha512").hexdigest()
        if found != str(stated).lower():
            raise RecordingError(f"{self.data_path}: sha512 is {found[:12]}..., the metadata states "
                                 f"{str(stated)[:12]}...; the file is truncated or was changed: fetch it again")
        return True

    @property
    def _stride_bytes(self) -> int:
        return self._format.sample_bytes * self.n_channels

    def _read_run(self, byte_start: int, out: np.ndarray):
        raw = np.empty((min(len(out), _PIECE), self._stride_bytes), np.uint8)
        try:  # no memory map: one whose file is cut off kills the process
            with self.data_path.open("rb", buffering=0) as file:
                file.seek(byte_start)
                for done in range(0, len(out), _PIECE):
                    piece = raw[:len(out) - done]
                    if _read_all(file, memoryview(piece).cast("B")) < piece.nbytes:
                        raise RecordingError(f"{self.data_path}: has become shorter since it was opened; open it again")
                    if self.n_channels > 1:
                        piece = np.ascontiguousarray(piece.reshape(len(piece), self.n_channels, -1)[:, self.channel])
                    self._format.decode_into(piece.reshape(-1), out[done:done + len(piece)])
        except OSError as error:
            raise RecordingError(f"{self.data_path}: cannot be read ({error})") from error

    def _layout(self, headers: list[int], trailing_bytes: int, where: str) -> tuple[list[tuple[int, int, int]], int]:
        """Where each capture's samples lie: [(first sample, last + 1, first byte)], and how many samples there are."""
        size = self.data_path.stat().st_size
        n_samples = (size - sum(headers) - trailing_bytes) // self._stride_bytes
        if n_samples <= 0:
            raise RecordingError(f"{self.data_path}: no whole sample in its {size} bytes; it is empty or truncated")
        late = self.captures[-1].sample_start
        if late and late >= n_samples:
            raise RecordingError(f"{where}: a capture starts at sample {late}, the file holds {n_samples}; it is "
                                 "truncated (fetch it again) or its core:datatype is wrong")
        starts = [c.sample_start for c in self.captures]
        segments = [(0, starts[0], 0)] if starts[0] else []
        position = starts[0] * self._stride_bytes
        for first, last, header in zip(starts, [*starts[1:], n_samples], headers or [0], strict=True):
            position += header
            segments.append((first, last, position))
            position += (last - first) * self._stride_bytes
        return segments, n_samples

    def _capture(self, raw: dict, where: str) -> Capture:
        start = _count(raw, "core:sample_start", where, 0) - self.offset
        if start < 0:
            raise RecordingError(f"{where}: a capture starts {-start} samples before core:offset {self.offset}; "
                                 "correct either")
        return Capture(start, _number(raw, "core:frequency", where), _time_parts(raw.get("core:datetime"), where))

    def _annotation(self, raw: dict, where: str) -> Annotation:
        start = max(0, _count(raw, "core:sample_start", where, 0) - self.offset)
        count = _count(raw, "core:sample_count", where, max(0, self.n_samples - start))
        return Annotation(start, count, str(raw.get("core:label", "")), _number(raw, "core:freq_lower_edge", where),
                          _number(raw, "core:freq_upper_edge", where), str(raw.get("core:comment", "")))


def find_recordings(path: str | Path) -> list[Path]:
    """Metadata files of a recording (file) or of a folder (not its subfolders), sorted by name.

    Raises:
        RecordingError: there is none.
    """
    path = Path(path)
    if not path.is_dir():
        return [_meta_path(path)]
    found = sorted(path.glob(f"*{META_SUFFIX}"))
    if not found:
        raise RecordingError(f"{path}: holds no *{META_SUFFIX} file; name a folder of SigMF recordings")
    return found


def _read_all(file, into: memoryview) -> int:
    """Bytes read: fewer than there is room for only at the end of the file."""
    done = 0
    while done < len(into) and (more := file.readinto(into[done:])):
        done += more
    return done


def _meta_path(path: Path) -> Path:
    if path.suffix == ".sigmf" and path.is_file():
        raise RecordingError(f"{path}: is a SigMF archive; unpack it (tar -xf) and name its {META_SUFFIX} file")
    known = path.suffix in (META_SUFFIX, DATA_SUFFIX)
    meta_path = path.with_suffix(META_SUFFIX) if known else path.with_name(path.name + META_SUFFIX)
    if meta_path.is_file():
        return meta_path
    if path.is_file() and path.suffix != META_SUFFIX:
        raise RecordingError(f"{path}: has no {meta_path.name} beside it; open it as raw IQ with its rate and datatype")
    raise RecordingError(f"{path}: no such recording; name a {META_SUFFIX} file")


def _member(mapping: dict, key: str, kind: type, where: str):
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
    """A whole number that is not negative; 180000.0, as some programs write it, is one."""
    value = mapping.get(key, default)
    valid = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not valid or value < 0 or value != math.floor(value):
        raise RecordingError(f"{where}: {key} is {value!r}; it must be a whole number, not negative")
    return int(value)


def _time_parts(text: object, where: str) -> tuple[int, float] | None:
    """ISO 8601 -> (whole seconds, fraction) since 1970 UTC: a float of the sum could not keep the fraction's digits."""
    if text is None:
        return None
    match = _DATETIME.fullmatch(str(text).strip())
    try:
        zone = {None: "+00:00", "Z": "+00:00"}.get(match[3], match[3])
        moment = datetime.fromisoformat(f"{match[1].replace(' ', 'T')}{zone}").astimezone(UTC)
    except (TypeError, ValueError) as error:
        raise RecordingError(f"{where}: core:datetime is {text!r}; it must read like 2026-01-31T12:00:00.5Z") from error
    return int(moment.timestamp()), float(f"0{match[2]}" if match[2] and match[2] != "." else 0.0)
