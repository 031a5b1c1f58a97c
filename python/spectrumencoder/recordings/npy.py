# SPDX-License-Identifier: GPL-3.0-or-later
"""NumPy's .npy files: complex samples (n,), or I and Q as two columns (n, 2). The rate is for the user, or the name, to state.

The layout is that of the NEP 1 of NumPy, read by ``numpy.lib.format``; the samples stay in the file.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

from .raw import FileRecording, SampleFile
from .recording import RecordingError

MAGIC = b"\x93NUMPY"
_KINDS = {"f": "f", "i": "i", "u": "u", "c": "f"}


def is_npy(path: Path, head: bytes) -> bool:
    """True if the first bytes of a file are those of a .npy file."""
    return head.startswith(MAGIC)


def open_npy(path: Path, *, channel: int | None = None) -> FileRecording:
    """Opens a .npy file. Its rate is 0.0: it states none.

    Raises:
        RecordingError: it is damaged or truncated, or its array does not hold samples.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = reader(file, max_header_size=10_000)
            begun = file.tell()
    except KeyError as error:
        raise RecordingError(f"{path}: version {error} of .npy is not read; save it with numpy.save") from error
    except (ValueError, OSError, TokenError, SyntaxError, TypeError, RecursionError, MemoryError, EOFError) as error:
        raise RecordingError(f"{path}: no valid .npy header ({' '.join(str(error).split())[:80]}); it is damaged") from error
    n_samples, datatype = _layout(path, shape, fortran, dtype)
    if channel:
        raise RecordingError(f"{path}: channel {channel} is asked for; the array has one")
    samples = SampleFile(path, datatype, byte_start=begun)
    if samples.n_samples < n_samples:
        raise RecordingError(f"{path}: its header states {n_samples} samples, the file holds {samples.n_samples}; it is "
                             "truncated")
    samples.runs = [samples.runs[0]._replace(last=n_samples)]
    recording = FileRecording(path.stem, samples, 0.0)
    recording.origins |= {"datatype": "dtype of the array", "channels": "shape of the array"}
    return recording


def _layout(path: Path, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> tuple[int, str]:
    """Samples in the array, and their SigMF data type."""
    pairs = len(shape) == 2 and shape[1] == 2 and dtype.kind in "fiu" and not fortran
    flat = sum(n != 1 for n in shape) <= 1 and shape != () and dtype.kind in "cfiu"
    if not (pairs or flat) or dtype.itemsize > 16 or dtype.names:
        raise RecordingError(f"{path}: its array is {dtype} of shape {shape}{' in Fortran order' if fortran else ''}; give "
                             "complex samples of shape (n,), or I and Q of shape (n, 2)")
    n_samples = int(np.prod([int(n) for n in shape], dtype=object)) // (2 if pairs else 1)
    if n_samples < 1:
        raise RecordingError(f"{path}: its array is empty")
    bits = dtype.itemsize * 8 // (2 if dtype.kind == "c" else 1)
    endian = "" if bits == 8 else "_be" if dtype.byteorder == ">" else "_le"
    return n_samples, f"{'c' if pairs or dtype.kind == 'c' else 'r'}{_KINDS[dtype.kind]}{bits}{endian}"
