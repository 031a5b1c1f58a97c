# SPDX-License-Identifier: GPL-3.0-or-later
"""Any recording to SigMF: the samples in the type that they have, with captures, times, marks and what else is known.

Samples of a type that SigMF has are copied byte for byte. Integers of 24 bits become 32 bits, times 256, which keeps their
numbers and full scale.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .raw import FileRecording, SampleFile
from .recording import Annotation, Recording, RecordingError
from .sample_format import SampleFormat
from .sigmf_meta import DATA_SUFFIX, META_SUFFIX
from .sigmf_writer import encode, write_whole

_BLOCK = 1 << 20  # samples written at a time
_ENCODED = {"ci16_le", "ci8", "cu8"}  # of recordings whose bytes do not lie in one file
_OF_A_FILE = ("core:dataset", "core:metadata_only", "core:trailing_bytes", "core:sha512")  # what is said anew


def convert(recording: Recording, out: str | Path, *, overwrite: bool = False,
            progress: Callable[[int], None] = lambda done: None) -> tuple[Path, list[str]]:
    """Writes NAME.sigmf-data, then NAME.sigmf-meta, each whole or not at all.

    Args:
        recording: one channel of it, as it was opened.
        out: NAME, with or without .sigmf-meta.
        overwrite: take the place of a recording of this name. Its metadata go first, so that old ones never describe new samples.
        progress: called with the number of samples written.

    Returns:
        The path of the metadata, and notes.

    Raises:
        RecordingError: it exists, cannot be written, or its metadata are not valid SigMF.
    """
    out = Path(out)
    stem = out.name.removesuffix(META_SUFFIX).removesuffix(DATA_SUFFIX)
    meta_path, data_path = (out.with_name(stem + suffix) for suffix in (META_SUFFIX, DATA_SUFFIX))
    _check_free(recording, meta_path, data_path, overwrite)
    datatype, blocks, notes = _bytes_of(recording)
    meta = _metadata(recording, meta_path, datatype)
    _check_valid(meta, meta_path)
    digest = hashlib.sha512()

    def write(file: BinaryIO) -> None:
        done = 0
        for block, n_samples in blocks:
            digest.update(block)
            file.write(block)
            done += n_samples
            progress(done)
    if overwrite:
        meta_path.unlink(missing_ok=True)
    write_whole(data_path, write)
    meta["global"]["core:sha512"] = digest.hexdigest()
    write_whole(meta_path, (json.dumps(meta, indent=4, allow_nan=False) + "\n").encode())
    return meta_path, notes


def _check_free(recording: Recording, meta_path: Path, data_path: Path, overwrite: bool) -> None:
    sources = [path for path in (recording.path, *recording.data_paths) if path is not None and path.exists()]
    for path in (path for path in (meta_path, data_path) if path.exists()):
        if any(path.samefile(source) for source in sources):
            raise RecordingError(f"{path}: is of the recording itself; name another")
        if not overwrite:
            raise RecordingError(f"{path}: exists; name another, or --overwrite it")


def _metadata(recording: Recording, meta_path: Path, datatype: str) -> dict:
    meta = copy.deepcopy(recording.own_meta(meta_path))
    head = meta["global"]
    for key in _OF_A_FILE:
        head.pop(key, None)
    head |= {"core:datatype": datatype, "core:sample_rate": recording.samp_rate, "core:version": "1.2.0", "core:num_channels": 1}
    head.setdefault("core:description", f"converted from {recording.format_name} {recording.path.name if recording.path else ''}"
                    .strip())
    if recording.license:
        head["core:license"] = recording.license
    if isinstance(head.get("core:extensions"), dict):  # as drafts of SigMF had it
        head["core:extensions"] = [{"name": name, "version": str(version), "optional": True}
                                   for name, version in head["core:extensions"].items()]
    firsts = {capture.sample_start + recording.offset for capture in recording.captures}  # others tell of bytes between samples
    meta["captures"] = [{key: value for key, value in capture.items() if key != "core:header_bytes"} for capture in sorted(
        meta["captures"], key=lambda c: c.get("core:sample_start", 0)) if capture.get("core:sample_start", 0) in firsts] or [
        {"core:sample_start": recording.offset}]
    meta["annotations"] = sorted(meta["annotations"] or map(_annotation, recording.annotations),
                                 key=lambda a: a.get("core:sample_start", 0))
    return meta


def _annotation(mark: Annotation) -> dict:
    edges = {} if mark.freq_lower_hz is None or mark.freq_upper_hz is None else {
        "core:freq_lower_edge": mark.freq_lower_hz, "core:freq_upper_edge": mark.freq_upper_hz}
    return {"core:sample_start": mark.sample_start, "core:sample_count": mark.sample_count, **edges,
            **({"core:label": mark.label} if mark.label else {}), **({"core:comment": mark.comment} if mark.comment else {})}


def _check_valid(meta: dict, meta_path: Path) -> None:
    import sigmf
    try:
        sigmf.SigMFFile(metadata=copy.deepcopy(meta)).validate()
    except Exception as error:
        said = " ".join(str(error).split())[:160]
        raise RecordingError(f"{meta_path}: its metadata would not be valid SigMF ({said}); correct the source's") from error


def _bytes_of(recording: Recording) -> tuple[str, Iterator[tuple[bytes, int]], list[str]]:
    """The data type to write, the samples in it by blocks with their number, and notes, complete when all are written."""
    notes: list[str] = []
    form = SampleFormat(recording.datatype)
    if isinstance(recording, FileRecording):
        if form.name[1:].startswith("i24"):
            datatype = f"{form.name[0]}i32{form.name[-3:]}"
            notes.append(f"{form.name} is written as {datatype}, times 256: the same numbers and full scale")
            return datatype, _widened(recording, form), notes
        endian = "_le" if form.component.itemsize > 1 and "_" not in form.name else ""
        return form.name + endian, _copied(recording.samples), notes
    datatype = recording.datatype if recording.datatype in _ENCODED else "cf32_le"
    if datatype != recording.datatype:
        notes.append(f"{recording.datatype} is written as {datatype}, full scale = 1.0")
    return datatype, _encoded(recording, datatype, notes), notes


def _copied(samples: SampleFile) -> Iterator[tuple[bytes, int]]:
    """The bytes of each sample, as they lie in the file."""
    twin: Any = copy.copy(samples)
    twin.format = _AsBytes()
    for start in range(0, samples.n_samples, _BLOCK):
        out = np.empty((min(_BLOCK, samples.n_samples - start), samples.format.sample_bytes), np.uint8)
        twin.read_into(start, out)
        yield out.tobytes(), len(out)


class _AsBytes:
    """Takes the place of a SampleFormat: bytes stay bytes."""

    def decode_into(self, raw: np.ndarray, out: np.ndarray) -> None:
        out.reshape(-1)[:] = raw


def _widened(recording: FileRecording, form: SampleFormat) -> Iterator[tuple[bytes, int]]:
    """24 bits, in three bytes or in four, as 32 bits."""
    big = form.name.endswith("_be")
    for block, n_samples in _copied(recording.samples):
        if "in32" in form.name:
            wide = np.frombuffer(block, ">i4" if big else "<i4")
            yield (wide << 8).astype(wide.dtype).tobytes(), n_samples
        else:
            raw = np.frombuffer(block, np.uint8).reshape(-1, 3)
            out = np.zeros((len(raw), 4), np.uint8)
            out[:, slice(0, 3) if big else slice(1, 4)] = raw
            yield out.tobytes(), n_samples


def _encoded(recording: Recording, datatype: str, notes: list[str]) -> Iterator[tuple[bytes, int]]:
    """Samples that a reader gives as numbers. What is no number is written as 0 in a type that has nothing else for it."""
    lost = 0
    for start in range(0, recording.n_samples, _BLOCK):
        iq = recording.read(start, _BLOCK)
        if datatype != "cf32_le":
            bad = ~np.isfinite(iq)
            if bad.any():
                iq, lost = np.where(bad, np.complex64(0), iq), lost + int(np.count_nonzero(bad))
        yield encode(iq, datatype).tobytes(), len(iq)
    if lost:
        notes.append(f"{lost} samples that are missing in the source are written as 0")
