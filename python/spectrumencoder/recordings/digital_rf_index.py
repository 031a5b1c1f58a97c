# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the samples of a Digital RF channel lie: in which HDF5 files, at which bytes, with which gaps.

A file states in `rf_data_index` which samples it holds. One that was written as continuous states that it holds all samples of
its second, and has fill values (-32768, NaN) where none were written, as at both ends of a recording: these are found and left
out. In a large file PROBES places are looked at, so that a hole of that share of the file is found. Holes shorter than
MIN_FILL samples are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .recording import RecordingError

PROBES = 256
_EXACT_ROWS = 1 << 16  # a file of no more is looked at as a whole
MIN_FILL = 64  # as many fill values in a row are no samples
DAMAGED = (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, MemoryError)
_KINDS = {("i", 1): "i8", ("i", 2): "i16", ("i", 4): "i32", ("u", 1): "u8", ("u", 2): "u16", ("u", 4): "u32", ("f", 4): "f32",
          ("f", 8): "f64"}


class Piece(NamedTuple):
    """Samples [first, first + n_samples) since 1970, in rows [row, row + n_samples) of a file.

    byte: of row 0 in the file; None if its data are compressed or have a checksum.
    """

    first: int
    n_samples: int
    file: Path
    row: int
    byte: int | None


class Layout(NamedTuple):
    """What all files of a channel share: data type by SigMF's names, subchannels, and the bytes of a fill value."""

    datatype: str
    n_subchannels: int
    fill: bytes


def channel_files(channel: Path) -> list[Path]:
    """The data files of a channel's folder; those that are still being written have another name."""
    return sorted(channel.glob("*/rf@*.h5"))


def index_file(h5py: Any, file: Path, is_continuous: bool) -> tuple[Layout, list[Piece]]:
    """What a data file holds.

    Raises:
        RecordingError: it is damaged.
    """
    try:
        with h5py.File(file, "r") as data:
            rows, index = data["rf_data"], data["rf_data_index"]
            if len(rows.shape) != 2 or not 0 < index.shape[0] <= rows.shape[0] or index.shape[1:] != (2,):
                raise ValueError(f"rf_data of shape {rows.shape} and rf_data_index of shape {index.shape}")
            layout = _layout(rows)
            pieces = [Piece(int(first), int(stop) - int(row), file, int(row), None) for (first, row), stop in
                      zip(index[:], [*index[1:, 1], rows.shape[0]], strict=True)]
            if pieces[0].row != 0 or any(piece.n_samples <= 0 for piece in pieces):
                raise ValueError("rf_data_index does not ascend")
            if is_continuous:
                pieces = [Piece(piece.first + low - piece.row, high - low, file, low, None) for piece in pieces
                          for low, high in _filled(rows, layout, piece.row, piece.row + piece.n_samples)]
            byte = _first_byte(rows, file.stat().st_size)
            return layout, [piece._replace(byte=byte) for piece in pieces]
    except DAMAGED as error:
        raise RecordingError(f"{file}: is damaged ({one_line(error)})") from error


def one_line(error: Exception) -> str:
    """The first line of an error of HDF5, which has many."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


def _layout(rows: Any) -> Layout:
    dtype, part = rows.dtype, "r"
    if dtype.names is not None:
        if dtype.names != ("r", "i") or dtype["r"] != dtype["i"] or dtype.itemsize != 2 * dtype["r"].itemsize:
            raise ValueError(f"samples of type {dtype}")
        dtype, part = dtype["r"], "c"
    elif dtype.kind == "c":
        dtype, part = np.dtype(f"{dtype.byteorder}f{dtype.itemsize // 2}"), "c"
    if (dtype.kind, dtype.itemsize) not in _KINDS:
        raise ValueError(f"samples of type {dtype}")
    order = "" if dtype.itemsize == 1 else "_be" if dtype.str[0] == ">" else "_le"
    return Layout(part + _KINDS[dtype.kind, dtype.itemsize] + order, rows.shape[1],
                  np.asarray(rows.fillvalue, rows.dtype).tobytes())


def _first_byte(rows: Any, file_bytes: int) -> int | None:
    """Where the rows begin in the file, if they lie there as they are."""
    byte = rows.id.get_offset()
    if byte is None and rows.id.get_create_plist().get_nfilters() == 0 and rows.chunks is not None \
            and rows.chunks[0] >= rows.shape[0] and rows.chunks[1] == rows.shape[1]:
        byte = rows.id.get_chunk_info_by_coord((0, 0)).byte_offset
    n_bytes = rows.shape[0] * rows.shape[1] * rows.dtype.itemsize
    return byte if byte is not None and 0 < byte <= file_bytes - n_bytes else None


def _filled(rows: Any, layout: Layout, low: int, high: int) -> list[tuple[int, int]]:
    """The parts of rows [low, high) that were written."""
    fill = np.frombuffer(layout.fill * layout.n_subchannels, np.uint8)

    def is_fill(first: int, last: int, step: int = 1) -> np.ndarray:
        data = np.ascontiguousarray(rows[first:last:step])
        return (data.view(np.uint8).reshape(len(data), -1) == fill).all(1)

    if high - low <= _EXACT_ROWS:
        holes = [(low + first, low + last) for first, last in true_runs(is_fill(low, high))]
    else:
        holes, step = [], (high - low) // PROBES
        places = [*range(low, high, step), high]
        states = [*is_fill(low, high, step).tolist(), bool(is_fill(high - 1, high)[0])]
        for first, last, state, then in zip(places, places[1:], states, states[1:], strict=False):
            if state and then and is_fill(first, min(last, first + MIN_FILL)).all():
                found = [(first, last)]
            elif state or then:
                found = [(first + begin, first + end) for begin, end in true_runs(is_fill(first, last))]
            else:
                continue
            if holes and found and found[0][0] == holes[-1][1]:
                found[0] = (holes.pop()[0], found[0][1])
            holes += found
    holes = [(first, last) for first, last in holes if last - first >= min(MIN_FILL, high - low)]
    edges = [low, *(edge for hole in holes for edge in hole), high]
    return [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if last > first]


def true_runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Where a mask (n,) is True: first, and behind the last, of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
