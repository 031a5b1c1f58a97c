# SPDX-License-Identifier: GPL-3.0-or-later
"""Polymorphic types of GNU Radio as ``pmt::serialize`` writes them, read without GNU Radio: a byte that states the type, then
the value, big endian."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NULL, _PAIR, _VECTOR, _DICT, _UNIFORM, _TUPLE = 6, 7, 8, 9, 10, 12
_NUMBERS = {3: ">i", 4: ">d", 5: ">dd", 11: ">Q", 13: ">q"}
_ELEMENTS = ("u1", "i1", ">u2", ">i2", ">u4", ">i4", ">u8", ">i8", ">f4", ">f8", ">c8", ">c16")
_MAX_DEPTH, _MAX_ITEMS = 16, 4096


def read_pmt(data: bytes, at: int = 0, depth: int = 0) -> tuple[Any, int]:
    """The value that begins at byte `at`, and the byte behind it.

    Symbols are str, dictionaries dict, pairs and tuples tuple, vectors list, uniform vectors NumPy arrays, the empty list None.

    Raises:
        ValueError: the bytes are none, or end too early.
    """
    if depth > _MAX_DEPTH or at >= len(data):
        raise ValueError("too deep" if at < len(data) else "ends too early")
    tag, at = data[at], at + 1
    try:
        if tag in (0, 1):
            return tag == 0, at
        if tag == _NULL:
            return None, at
        if tag == 2:
            n = struct.unpack_from(">H", data, at)[0]
            if at + 2 + n > len(data):
                raise ValueError("ends too early")
            return data[at + 2:at + 2 + n].decode("utf-8", "replace"), at + 2 + n
        if tag in _NUMBERS:
            values = struct.unpack_from(_NUMBERS[tag], data, at)
            return complex(*values) if tag == 5 else values[0], at + struct.calcsize(_NUMBERS[tag])
        if tag == _PAIR:
            first, at = read_pmt(data, at, depth + 1)
            second, at = read_pmt(data, at, depth + 1)
            return (first, second), at
        if tag in (_VECTOR, _TUPLE):
            n = struct.unpack_from(">I", data, at)[0]
            items, at = [], at + 4
            for _ in range(min(n, len(data))):  # each takes a byte at least
                item, at = read_pmt(data, at, depth + 1)
                items.append(item)
            return items if tag == _VECTOR else tuple(items), at
        if tag == _UNIFORM:
            kind, n, n_pad = struct.unpack_from(">BIB", data, at)
            dtype = np.dtype(_ELEMENTS[kind])
            start = at + 6 + n_pad
            if start + n * dtype.itemsize > len(data):
                raise ValueError("ends too early")
            return np.frombuffer(data, dtype, n, start), start + n * dtype.itemsize
    except (struct.error, IndexError) as error:
        raise ValueError("ends too early") from error
    if tag != _DICT:
        raise ValueError(f"tag {tag} is not known")
    return _read_dict(data, at - 1, depth)


def _read_dict(data: bytes, at: int, depth: int) -> tuple[dict, int]:
    """A dictionary is a list of pairs, each behind a tag, up to an empty list."""
    found: dict = {}
    for _ in range(_MAX_ITEMS):
        if at >= len(data):
            raise ValueError("ends too early")
        if data[at] != _DICT:
            end, at = read_pmt(data, at, depth + 1)
            if end is not None:
                raise ValueError("a dictionary does not end")
            return found, at
        pair, at = read_pmt(data, at + 1, depth + 1)
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], (str, int, bool)):
            raise ValueError("a dictionary holds what is no pair")
        found.setdefault(pair[0], pair[1])
    raise ValueError("a dictionary is too long")
