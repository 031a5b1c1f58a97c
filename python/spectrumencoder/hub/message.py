# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a message between a sensor and the hub, with a checksum.

    magic 2 | version 1 | kind 1 | run 8 | sequence (varint) | after (varint) | time 8 | length of the sensor's id 1 | id
    | payload | CRC-32 of everything before 4

`run` is a random number of a run of the sensor. `sequence` counts the messages of a run, from 1 on. `after` is the sequence of
the message that the sensor sent before this one; 0: it has none before it that waits. So the hub can tell a message that was lost
on the way (it is sent again) from one that the sensor has dropped for lack of room (it never comes). `time` is a double, POSIX s,
at which the sensor made the message. Little endian throughout. Payloads are the bytes of an `encoded` PDU, or JSON in UTF-8.
"""

from __future__ import annotations

import json
import re
import secrets
import struct
import zlib
from typing import Any, NamedTuple

from ..encoder.pdu import read_varint, varint
from ..lines_file import finite

MAGIC = b"\xd5H"
VERSION = 1
RUN_BYTES = 8
MAX_BYTES = 1 << 22  # of a message; a PDU of 256 frames takes some tens of kB
MAX_ID = 32
MAX_TIME_S = 1e11

# Kinds that a sensor sends: about itself and its run, spectra, an alert, a signal, health, a position or bearing, the run's end
ABOUT, SPECTRA, ALERT, SIGNAL, HEALTH, REPORT, END = range(1, 8)
KIND_NAMES = {ABOUT: "about", SPECTRA: "spectra", ALERT: "alert", SIGNAL: "signal", HEALTH: "health", REPORT: "report",
              END: "end"}
# Kinds that the hub answers: stored up to here; refused, with the reason; one before it is missing
STORED, REFUSED, MISSING = 32, 33, 34
_ANSWERS = (STORED, REFUSED, MISSING)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HEAD = struct.Struct("<2sBB8s")
_TIME = struct.Struct("<d")
_CRC = struct.Struct("<I")


class MessageError(ValueError):
    """Bytes that are no message, or a damaged one. The text is one line."""


class Message(NamedTuple):
    """A message. time_s: POSIX s at which it was made. after: see the module."""

    kind: int
    sensor: str
    run: bytes
    sequence: int
    time_s: float
    payload: bytes = b""
    after: int = 0


def new_run() -> bytes:
    """The number of a run."""
    return secrets.token_bytes(RUN_BYTES)


def check_id(sensor: str) -> str:
    """The id of a sensor, as it stands.

    Raises:
        ValueError: it has characters that a file name or a page should not have, or it is too long.
    """
    if not _ID.fullmatch(sensor) or len(sensor) > MAX_ID:
        raise ValueError(f"sensor {sensor[:40]!r} is no id: give 1 to {MAX_ID} letters, digits, '_', '-' or '.', such as roof-1")
    return sensor


def pack(message: Message) -> bytes:
    """The bytes of a message."""
    name = message.sensor.encode()
    start = b"".join((_HEAD.pack(MAGIC, VERSION, message.kind, message.run), varint(message.sequence), varint(message.after),
                      _TIME.pack(message.time_s), bytes((len(name),)), name, message.payload))
    return start + _CRC.pack(zlib.crc32(start))


def unpack(data: bytes) -> Message:
    """The message of these bytes.

    Raises:
        MessageError: they are no message of this version, or damaged.
    """
    if data[:len(MAGIC)] != MAGIC:
        raise MessageError(f"no message of a sensor: it begins with {data[:2].hex() or 'nothing'}, not {MAGIC.hex()}")
    if len(data) < _HEAD.size + _CRC.size or zlib.crc32(data[:-4]) != _CRC.unpack(data[-4:])[0]:
        raise MessageError(f"a message of {len(data)} bytes is damaged: its checksum is wrong")
    _, version, kind, run = _HEAD.unpack_from(data)
    if version != VERSION:
        raise MessageError(f"a message of version {version}; this program knows {VERSION}: update it")
    if kind not in KIND_NAMES and kind not in _ANSWERS:
        raise MessageError(f"a message of the unknown kind {kind}; a newer program has sent it: update this one")
    try:
        sequence, at = read_varint(data, _HEAD.size)
        after, at = read_varint(data, at)
        time_s, = _TIME.unpack_from(data, at)
        at += _TIME.size
        size = data[at]
        sensor = data[at + 1:at + 1 + size].decode("ascii")
        at += 1 + size
        if at > len(data) - _CRC.size:
            raise IndexError("it ends within its header")
        check_id(sensor)
    except (IndexError, struct.error, ValueError) as error:
        raise MessageError(f"a message of {len(data)} bytes makes no sense ({error}): another program has written it") from error
    if not (0 < sequence < 2**63 and after < sequence and 0 <= time_s < MAX_TIME_S):
        raise MessageError(f"a message states sequence {sequence} after {after} at {time_s:g} s: another program has written it")
    return Message(kind, sensor, run, sequence, time_s, data[at:-4], after)


def record(message: Message) -> bytes:
    """The bytes that a spool keeps of a message: without `after`, which depends on what else waits."""
    return pack(message._replace(after=0))


def json_bytes(fields: dict) -> bytes:
    """A dict as JSON without spaces. What is no finite number becomes null."""
    return json.dumps(finite(fields), separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=str).encode()


def read_json(payload: bytes) -> dict[str, Any]:
    """The dict of a payload.

    Raises:
        MessageError: it is no JSON object.
    """
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a payload of {len(payload)} bytes is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise MessageError("a payload is no JSON object")
    return finite(fields)
