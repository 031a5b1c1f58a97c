# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes samples as a valid SigMF recording.

Each file appears whole or not at all, and the metadata after the samples that it describes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..atomic_file import cannot_write, write_file
from .recording import RecordingError
from .sigmf import DATA_SUFFIX, META_SUFFIX

DATATYPES = ("cf32_le", "ci16_le", "ci8", "cu8")


def encode(iq: np.ndarray, datatype: str) -> np.ndarray:
    """Samples complex64 (n,), full scale = 1.0, -> I and Q in turn (2n,) in the type's own numbers, rounded and clipped.

    Raises:
        ValueError: the type is none of DATATYPES.
    """
    parts = np.ascontiguousarray(iq, np.complex64).view(np.float32)
    if datatype == "cf32_le":
        return parts.astype("<f4")
    if datatype == "cu8":
        return np.clip(np.rint(parts * 127.5 + 127.5), 0, 255).astype(np.uint8)
    if datatype in ("ci8", "ci16_le"):
        scale, kind = (128, "i1") if datatype == "ci8" else (32768, "<i2")
        return np.clip(np.rint(parts * scale), -scale, scale - 1).astype(kind)
    raise ValueError(f"datatype {datatype!r} cannot be written; use one of {', '.join(DATATYPES)}")


def write_recording(path: str | Path, iq: np.ndarray | Iterable[np.ndarray], samp_rate: float, datatype: str, *, description: str,
                    center_freq_hz: float | None = None, datetime: str | None = None, annotations: Sequence[dict] = (),
                    extra: dict | None = None) -> Path:
    """Writes NAME.sigmf-data and NAME.sigmf-meta; returns the path of the metadata.

    Args:
        path: NAME, with or without .sigmf-meta.
        iq: complex64 (n,), full scale = 1.0, whole or in blocks.
        samp_rate, center_freq_hz: Hz; None: not known.
        datatype: one of DATATYPES.
        datetime: ISO 8601, of the first sample.
        annotations: SigMF dicts.
        extra: more fields of the global part.

    Raises:
        RecordingError: the folder does not exist or cannot be written.
        ValueError: the type is none of DATATYPES.
        sigmf.error.SigMFError: the metadata is not valid.
    """
    blocks = (iq,) if isinstance(iq, np.ndarray) else iq
    return write_encoded(path, (encode(block, datatype).tobytes() for block in blocks), samp_rate, datatype,
                         description=description, center_freq_hz=center_freq_hz, datetime=datetime, annotations=annotations,
                         extra={"core:recorder": "gr-spectrumencoder simulator", **(extra or {})})


def write_encoded(path: str | Path, data: bytes | Iterable[bytes], samp_rate: float, datatype: str, *, description: str,
                  center_freq_hz: float | None = None, datetime: str | None = None, annotations: Sequence[dict] = (),
                  extra: dict | None = None) -> Path:
    """As ``write_recording``, for samples that already are bytes of any SigMF data type, whole or in pieces.

    Raises:
        RecordingError: the folder does not exist or cannot be written.
        sigmf.error.SigMFError: the metadata is not valid.
    """
    import sigmf

    path = Path(path)
    stem = path.with_name(path.name.removesuffix(META_SUFFIX).removesuffix(DATA_SUFFIX))
    capture: dict[str, object] = {"core:sample_start": 0}
    if center_freq_hz is not None:
        capture["core:frequency"] = float(center_freq_hz)
    if datetime is not None:
        capture["core:datetime"] = datetime
    # All at once: add_annotation sorts the whole list at each call
    file = sigmf.SigMFFile(metadata={"global": {
        "core:datatype": datatype, "core:sample_rate": float(samp_rate), "core:num_channels": 1,
        "core:sha512": hashlib.sha512().hexdigest(), "core:description": description, **(extra or {})}, "captures": [capture],
        "annotations": sorted(map(dict, annotations), key=lambda note: note["core:sample_start"])})
    file.set_global_field("core:version", "1.2.0")  # the library states its own
    file.validate()
    meta_path, digest = stem.with_name(stem.name + META_SUFFIX), hashlib.sha512()

    def write(out: BinaryIO) -> None:
        for piece in (data,) if isinstance(data, bytes | bytearray | memoryview) else data:
            digest.update(piece)
            out.write(piece)
    write_whole(stem.with_name(stem.name + DATA_SUFFIX), write)
    file.set_global_field("core:sha512", digest.hexdigest())
    write_whole(meta_path, (file.dumps(pretty=True) + "\n").encode())
    return meta_path


def write_whole(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Writes a file that appears on disk with all of its content, or not at all. content: as for ``atomic_file.write_file``.

    Raises:
        RecordingError: the folder does not exist or cannot be written.
    """
    try:
        write_file(path, content)
    except OSError as error:
        raise RecordingError(cannot_write(path, error)) from error
