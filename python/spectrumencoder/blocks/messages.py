# SPDX-License-Identifier: GPL-3.0-or-later
"""PMT messages to and from plain Python dicts: what every message port of the project speaks.

A message is a bare dict or a PDU, ``cons(dict, uniform vector)``; both are accepted wherever one is read.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
import pmt

MAX_DEPTH = 32  # of nested dicts and lists
MAX_VALUES = 1 << 20  # in one message: a list that leads back to itself has no end
_UNIFORM = [(getattr(pmt, f"is_{kind}vector"), getattr(pmt, f"{kind}vector_elements"))
            for kind in ("f32", "f64", "u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "c32", "c64")]


class MalformedMessage(ValueError):
    """A message that a port cannot use. It is counted and logged by the block, and is never a failure."""


def to_pmt(value: Any) -> Any:
    """A PMT of a Python value.

    Args:
        value: None, bool, str, real number, or a dict, list or tuple of those; or an array: float64 becomes an f64vector, any
            other type an f32vector.

    Raises:
        TypeError: the value is of another kind.
    """
    if type(value) is float:  # first, as the commonest type
        return pmt.from_double(value)
    if value is None:
        return pmt.PMT_NIL
    if isinstance(value, (bool, np.bool_)):
        return pmt.from_bool(bool(value))
    if isinstance(value, str):
        return pmt.intern(value)
    if isinstance(value, numbers.Integral):
        value = int(value)
        return pmt.from_long(value) if -2**63 <= value < 2**63 else pmt.from_uint64(value)
    if isinstance(value, numbers.Real):
        return pmt.from_double(float(value))
    if isinstance(value, dict):
        result = pmt.make_dict()
        for key, item in value.items():
            result = pmt.dict_add(result, pmt.intern(str(key)), to_pmt(item))
        return result
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return pmt.init_f64vector(value.size, value.ravel().tolist())
    if isinstance(value, np.ndarray):
        return pmt.init_f32vector(value.size, np.asarray(value, np.float32).ravel().tolist())
    if isinstance(value, (list, tuple)):
        result = pmt.make_vector(len(value), pmt.PMT_NIL)
        for index, item in enumerate(value):
            pmt.vector_set(result, index, to_pmt(item))
        return result
    raise TypeError(f"no PMT for {type(value).__name__} {value!r}")


def pdu(metadata: dict, values: Any = ()) -> Any:
    """The PDU ``cons(metadata, f32vector)``."""
    values = np.asarray(values, np.float32)
    return pmt.cons(to_pmt(metadata), pmt.init_f32vector(values.size, values.tolist()))


def bytes_pdu(metadata: dict, data: bytes) -> Any:
    """The PDU ``cons(metadata, u8vector)``."""
    return pmt.cons(to_pmt(metadata), pmt.init_u8vector(len(data), list(data)))


def pdu_bytes(message: Any) -> bytes:
    """The bytes of a PDU's u8vector.

    Raises:
        MalformedMessage: the message is not a PDU of bytes.
    """
    if not pmt.is_pair(message) or not pmt.is_u8vector(pmt.cdr(message)):
        raise MalformedMessage(f"wants a PDU of bytes (u8vector), got {kind(message)}")
    return bytes(pmt.u8vector_elements(pmt.cdr(message)))


def to_python(value: Any) -> Any:
    """The Python value of a PMT: vectors, tuples and lists as lists, keys of dicts as str.

    Raises:
        MalformedMessage: the PMT is of a kind that no message of the project holds (a blob of another block's type), holds
            text that is not UTF-8, nests deeper than MAX_DEPTH, or holds more than MAX_VALUES values.
    """
    return _to_python(value, 0, [MAX_VALUES])


def _to_python(value: Any, depth: int, left: list[int]) -> Any:
    """left: the number of values that may still come."""
    if depth > MAX_DEPTH:
        raise MalformedMessage(f"a PMT that nests deeper than {MAX_DEPTH}")
    left[0] -= 1
    if pmt.is_null(value):
        return None
    try:
        if pmt.is_dict(value):
            entries = reversed(list(_items(value, left)))  # PMT lists the newest first
            return {str(_to_python(pmt.car(entry), depth + 1, left)): _to_python(pmt.cdr(entry), depth + 1, left)
                    for entry in entries}
        if pmt.is_vector(value):
            return [_to_python(pmt.vector_ref(value, index), depth + 1, left) for index in range(pmt.length(value))]
        if pmt.is_tuple(value):
            return [_to_python(pmt.tuple_ref(value, index), depth + 1, left) for index in range(pmt.length(value))]
        if pmt.is_uniform_vector(value):
            return list(next(elements for is_kind, elements in _UNIFORM if is_kind(value))(value))
        if pmt.is_pair(value):
            return [_to_python(item, depth + 1, left) for item in _items(value, left)]
        return pmt.symbol_to_string(value) if pmt.is_symbol(value) else pmt.to_python(value)
    except MalformedMessage:
        raise
    except (ValueError, TypeError, RuntimeError, StopIteration) as error:  # UnicodeDecodeError is a ValueError
        raise MalformedMessage(f"a PMT that has no Python value ({str(error)[:100]})") from error


def _items(pair: Any, left: list[int]) -> Iterator[Any]:
    """The elements of a list, or of a chain of pairs that does not end in nil; of a dict its (key . value) pairs."""
    while pmt.is_pair(pair):
        left[0] -= 1
        if left[0] < 0:
            raise MalformedMessage(f"a PMT with more than {MAX_VALUES} values")
        yield pmt.car(pair)
        pair = pmt.cdr(pair)
    if not pmt.is_null(pair):
        yield pair


def metadata(message: Any) -> dict:
    """The dict of a message.

    Args:
        message: a PMT: a PDU, or a bare dict.

    Raises:
        MalformedMessage: the message is neither, is empty, or holds a value that ``to_python`` refuses.
    """
    if pmt.is_pdu(message):
        message = pmt.car(message)
    if not pmt.is_dict(message) or pmt.is_null(message):
        raise MalformedMessage(f"wants a PDU or a dict, got {kind(message)}")
    return to_python(message)


def whole(fields: dict, key: str, default: int = 0) -> int:
    """The whole number that a message's dict has under a key.

    Raises:
        MalformedMessage: it is no number, or one that 64 bits do not hold.
    """
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -2.0**63 <= value < 2.0**63:
        raise MalformedMessage(f"{key} {str(value)[:40]!r} is not a whole number")
    return int(value)


def tag_key(tag: Any) -> str:
    """The key of a stream tag; "" if it is not text, and so not one of ours."""
    try:
        return pmt.symbol_to_string(tag.key)
    except ValueError:  # pmt's wrong_type, or UnicodeDecodeError
        return ""


def kind(message: Any) -> str:
    """A description of a PMT, cut to the length of a log line; never raises, whatever its depth."""
    try:
        text = pmt.write_string(message) if _is_shallow(message) else "a PMT of many pairs or levels"
    except Exception as error:  # noqa: BLE001 (any PMT can be described)
        text = f"a PMT that cannot be written out ({type(error).__name__})"
    return text if len(text) <= 60 else text[:57] + "..."


def _is_shallow(message: Any, limit: int = 1000) -> bool:
    """Whether it has at most `limit` pairs and elements: C++ writes a PMT out by recursion, which a deep one overflows."""
    waiting = [message]
    while waiting:
        limit -= 1
        value = waiting.pop()
        if pmt.is_pair(value):
            waiting += [pmt.cdr(value), pmt.car(value)]
        elif pmt.is_vector(value) or pmt.is_tuple(value):
            refer = pmt.vector_ref if pmt.is_vector(value) else pmt.tuple_ref
            waiting += [refer(value, index) for index in range(min(pmt.length(value), limit + 1))]
        if limit < 0:
            return False
    return True
