# SPDX-License-Identifier: GPL-3.0-or-later
"""safetensors files from bytes in memory: every size in the header is checked before a tensor is made, and a checksum covers all.

The file is read once, from one descriptor. A file that is replaced, cut or rewritten meanwhile is an error, and no fault of a
memory map. Format: https://huggingface.co/docs/safetensors, a header's length (u64), the header (JSON), the tensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from pathlib import Path

import numpy as np

from ..atomic_file import write_file

SEAL = "spectrumencoder_sha256"  # header key: hash of everything else, see ``seal``
MAX_BYTES = 1 << 32
_MAX_HEADER = 100_000_000  # as the format says
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U64": "<u8",
          "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}


def read_bytes(path: Path) -> bytes:
    """A whole file, of one moment as far as its size says.

    Raises:
        OSError: it cannot be read. ValueError: it is too large, or changed while it was read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(f"{size} bytes are more than the {MAX_BYTES} that a model may have")
        data = file.read(size)
        if len(data) != size or os.fstat(file.fileno()).st_size != size:
            raise ValueError("it changed while it was read")
    return data


def parse(data: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """(entries of the header, tensors by name) of a safetensors file.

    Raises:
        ValueError: it is none, a size does not fit, or it does not match its checksum; a few words that say what.
    """
    if len(data) < 8:
        raise ValueError("it has no header")
    length = struct.unpack("<Q", data[:8])[0]
    if length > min(len(data) - 8, _MAX_HEADER):
        raise ValueError(f"its header states a length of {length} bytes")
    try:
        header = json.loads(data[8:8 + length].decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its header's entries are not text")
    body, end, tensors = memoryview(data)[8 + length:], 0, {}
    for name, row in sorted(header.items(), key=lambda item: _offsets(*item)):
        kind, shape, begin, stop = _checked(name, row)
        if begin != end or stop > len(body):
            raise ValueError(f"tensor {name} lies at {begin}..{stop}, which does not fit a file of {len(body)} bytes")
        tensors[name], end = np.frombuffer(body[begin:stop], kind).reshape(shape).copy(), stop
    if end != len(body):
        raise ValueError(f"{len(body) - end} bytes follow its tensors")
    if SEAL in metadata and metadata[SEAL] != seal(metadata, tensors):
        raise ValueError("it does not match its checksum")
    return metadata, {name: tensors[name] for name in header}


def write(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes a file with its checksum, atomically."""
    write_file(path, to_bytes(tensors, metadata | {SEAL: seal(metadata, tensors)}))


def to_bytes(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """The same bytes for the same content: the package safetensors puts the header's entries in an order that changes.

    Raises:
        ValueError: a tensor is of a type that the format does not have.
    """
    names = {kind: name for name, kind in _TYPES.items()}
    arrays = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    header: dict[str, object] = {"__metadata__": metadata}
    end, parts = 0, []
    for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name)):  # each begins at a multiple of its item
        value = arrays[name]
        if value.dtype.newbyteorder("<").str not in names:
            raise ValueError(f"tensor {name} is of type {value.dtype}, which safetensors files do not have")
        parts.append(value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes())
        header[name] = {"dtype": names[value.dtype.newbyteorder("<").str], "shape": list(value.shape),
                        "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def seal(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> str:
    """sha256 over the header's entries, and over the tensors with their names, types and shapes."""
    digest = hashlib.sha256()
    for key in sorted(metadata.keys() - {SEAL}):
        digest.update(json.dumps([key, metadata[key]]).encode())
    for name in sorted(tensors):
        value = np.asarray(tensors[name], order="C")
        digest.update(json.dumps([name, value.dtype.str, list(value.shape)]).encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _offsets(name: str, row: object) -> tuple[int, int]:
    _, _, begin, stop = _checked(name, row)
    return begin, stop


def _checked(name: str, row: object) -> tuple[str, list[int], int, int]:
    """(NumPy type, shape, begin, end in bytes) of a tensor in the header."""
    fields = [row.get(key) if isinstance(row, dict) else None for key in ("dtype", "shape", "data_offsets")]
    kind, shape, offsets = fields
    if not isinstance(kind, str) or kind not in _TYPES or not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name} has no valid type, shape and place: {fields}"[:160])
    begin, stop = offsets
    if len(shape) > 32 or math.prod(shape) * int(_TYPES[kind][2:]) != stop - begin:
        raise ValueError(f"tensor {name} of shape {shape} does not take {stop - begin} bytes"[:160])
    return _TYPES[kind], shape, begin, stop


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 63 for n in value)
