# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the samples of a Digital RF channel lie: in which HDF5 files, at which bytes, with which gaps.

A file states in `rf_data_index` which samples it holds. One that was written as continuous states that it holds all samples of
its second, and has fill values (-32768, NaN) where none were written, as at both ends of a recording: these are found and left
out. Within such a file PROBES places are looked at, so that a hole of that share of the file is found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .recording import RecordingError

PROBES = 256
MIN_FILL = 16  # as many fill values in a row are no samples
DAMAGED = (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, MemoryError)
_KINDS = {("i", 1): "i8", ("i", 2): "i16", ("i", 4): "i32", ("u", 1): "u8", ("u", 2): "u16", ("u", 4): "u32", ("f", 4): "f32",
          ("f", 8): "f64"}


class Piece(NamedTuple):
    """Samples [first, first + count) since 1970, which lie in rows [row, row + count) of a file.

    byte: of row 0 in the file; None if its data are compressed or have a checksum.
    """

    first: int
    count: int
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
            if pieces[0].row != 0 or any(piece.count <= 0 for piece in pieces):
                raise ValueError("rf_data_index does not ascend")
            if is_continuous:
                pieces = [Piece(piece.first + low - piece.row, high - low, file, low, None) for piece in pieces
                          for low, high in _filled(rows, layout, piece.row, piece.row + piece.count)]
            byte = _first_byte(rows, file.stat().st_size)
            return layout, [piece._replace(byte=byte) for piece in pieces]
    except DAMAGED as error:
        raise RecordingError(f"{file}: is damaged ({one_line(error)})") from error


def one_line(error: Exception) -> str:
    """The first line of an error of HDF5, which has many."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


def _layout(rows: Any) -> Layout:
    dtype, parts = rows.dtype, ("r",)
    if dtype.names is not None:
        if dtype.names != ("r", "i") or dtype["r"] != dtype["i"] or dtype.itemsize != 2 * dtype["r"].itemsize:
            raise ValueError(f"samples of type {dtype}")
        dtype, parts = dtype["r"], ("r", "i")
    elif dtype.kind == "c":
        dtype, parts = np.dtype(f"{dtype.byteorder}f{dtype.itemsize // 2}"), ("r", "i")
    if (dtype.kind, dtype.itemsize) not in _KINDS:
        raise ValueError(f"samples of type {dtype}")
    order = "" if dtype.itemsize == 1 else "_be" if dtype.str[0] == ">" else "_le"
    return Layout(("c" if len(parts) == 2 else "r") + _KINDS[dtype.kind, dtype.itemsize] + order, rows.shape[1],
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

    def edge(first: int, last: int, state: bool) -> int:
        """The first row after `first` with another state; `last` has it."""
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (middle, last) if bool(is_fill(middle, middle + 1)[0]) == state else (first, middle)
        return last

    def is_hole(place: int) -> bool:
        """True if the fill value at a place is one of many: one value of a receiver at full scale is none."""
        begin = max(low, place - MIN_FILL + 1)
        around = is_fill(begin, min(high, place + MIN_FILL)).tolist()
        below, above = around[:place - begin][::-1], around[place - begin:]
        run = (below.index(False) if False in below else len(below)) + (above.index(False) if False in above else len(above))
        return run >= min(MIN_FILL, high - low)

    step = max(1, (high - low) // PROBES)
    places = [*range(low, high, step), high - 1]
    states = [*is_fill(low, high, step).tolist(), bool(is_fill(high - 1, high)[0])]
    states = [state and is_hole(place) for state, place in zip(states, places, strict=True)]
    edges = [low] if not states[0] else []
    for before, after, state, then in zip(places, places[1:], states, states[1:], strict=False):
        if state != then:
            edges.append(edge(before, after, state))
    if len(edges) % 2:
        edges.append(high)
    return list(zip(edges[::2], edges[1::2], strict=True))
