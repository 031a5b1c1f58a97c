# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of bytes in a history: the channels of a minute, and the levels of its emitters. docs/contracts.md has the layout.

Shape letters: C channels, E emitters.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

STEP_DB, LOWEST_DB = 0.5, -10.0  # a level is a byte: from -10 to 117.5 dB over the floor
_SHARE = 65535.0
_LEVELS = np.dtype([("emitter_id", "<u4"), ("share", "<u2"), ("mean", "u1"), ("max", "u1")])


class Channels(NamedTuple):
    """Channels that follow each other; arrays (C,).

    frames: number of frames. occupancy: share of them that was above the floor, 0 to 1. mean_db, max_db: of the strongest bin,
    dB over the floor, NaN in channels without frames.
    """

    frames: np.ndarray
    occupancy: np.ndarray
    mean_db: np.ndarray
    max_db: np.ndarray


def pack_channels(channels: Channels) -> bytes:
    """Bytes of channels: levels in steps of 0.5 dB, shares in 1/65535, but none that was occupied reads 0."""
    parts = (channels.frames.astype("<u4"), _shares(channels.occupancy), _levels(channels.mean_db), _levels(channels.max_db))
    return zlib.compress(b"".join(part.tobytes() for part in parts), 6)


def unpack_channels(content: bytes) -> Channels:
    """Inverse of ``pack_channels``."""
    plain = zlib.decompress(content)
    n = len(plain) // 8
    frames = np.frombuffer(plain, "<u4", n)
    levels = np.frombuffer(plain, "u1", 2 * n, 6 * n)
    mean_db, max_db = np.where(frames > 0, LOWEST_DB + STEP_DB * levels.reshape(2, n), np.nan)
    return Channels(frames, np.frombuffer(plain, "<u2", n, 4 * n) / _SHARE, mean_db, max_db)


def pack_levels(rows: list[tuple[int, float, float, float]]) -> bytes:
    """Bytes of emitters' levels: emitter_id, share of the frames, mean and max level in dB over the floor."""
    content = np.zeros(len(rows), _LEVELS)
    if rows:
        ids, shares, means, highest = zip(*rows, strict=True)
        content["emitter_id"], content["share"] = ids, _shares(np.array(shares))
        content["mean"], content["max"] = _levels(np.array(means)), _levels(np.array(highest))
    return content.tobytes()


def unpack_levels(content: bytes | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Inverse of ``pack_levels``: four arrays (E,)."""
    rows = np.frombuffer(content or b"", _LEVELS)
    return (rows["emitter_id"], rows["share"] / _SHARE, LOWEST_DB + STEP_DB * rows["mean"], LOWEST_DB + STEP_DB * rows["max"])


def _shares(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, np.clip(np.rint(values * _SHARE), 1, _SHARE), 0).astype("<u2")


def _levels(values_db: np.ndarray) -> np.ndarray:
    return np.clip(np.rint((np.nan_to_num(values_db, nan=LOWEST_DB) - LOWEST_DB) / STEP_DB), 0, 255).astype("u1")
