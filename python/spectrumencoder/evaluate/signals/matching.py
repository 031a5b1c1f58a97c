# SPDX-License-Identifier: GPL-3.0-or-later
"""Found boxes held against true ones, and the average precision that follows.

In frequency: a scene is cut into stretches of ``STRETCH`` frames. A stretch's true boxes are the places of the emitters that are
on in it, its found boxes those of the signals that were found on in it, one each. A found box is right if its intersection over
union in frequency with a true one of the same stretch is ``MIN_IOU`` or more, and if no surer box has that one. In time and
frequency: the same with whole boxes of bursts, whose area is bins times frames.

True boxes that are covered do not count, nor do found boxes that have one.

A box narrower than ``MIN_BINS``, the resolution of the window (6 dB), counts as so wide about its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .boxes import FoundBox
from .scenes import TrueBox

STRETCH = 8  # frames
MIN_IOU = 0.5
MIN_BINS = 3.0


@dataclass(frozen=True)
class Match:
    """Pairs of one stretch, or of one scene.

    Attributes:
        found, true: boxes that count. partner: (found,) number of the true box that each found one has; -1: none.
    """

    found: list[FoundBox]
    true: list[TrueBox]
    partner: list[int]


def stretches(found: Sequence[FoundBox], true: Sequence[TrueBox], frames: int) -> list[Match]:
    """Matches in frequency, of each stretch."""
    out = []
    for begin in range(0, frames, STRETCH):
        end = min(begin + STRETCH, frames) - 1
        mine = _one_each([box for box in found if box.first <= end and begin <= box.last], lambda box: box.signal)
        its = _one_each([box for box in true if box.first <= end and begin <= box.last], lambda box: box.emitter)
        out.append(_counted(mine, its, matched(mine, its, in_time=False)))
    return out


def whole(found: Sequence[FoundBox], true: Sequence[TrueBox]) -> Match:
    """The match in time and frequency of a scene."""
    return _counted(list(found), list(true), matched(found, true, in_time=True))


def _counted(found: list[FoundBox], true: list[TrueBox], partner: list[int]) -> Match:
    """The match without what is covered."""
    number = np.cumsum([not box.covered for box in true]) - 1
    kept = [n for n, p in enumerate(partner) if p < 0 or not true[p].covered]
    return Match([found[n] for n in kept], [box for box in true if not box.covered],
                 [int(number[partner[n]]) if partner[n] >= 0 else -1 for n in kept])


def _one_each(boxes: list, key) -> list:
    """The first box of each key."""
    chosen: dict = {}
    for box in boxes:
        chosen.setdefault(key(box), box)
    return list(chosen.values())


def matched(found: Sequence[FoundBox], true: Sequence[TrueBox], in_time: bool) -> list[int]:
    """Numbers of the true boxes that found ones (in their order) have, -1 for none; the surest found box chooses first."""
    partner = [-1] * len(found)
    if not found or not true:
        return partner
    iou = overlaps(found, true, in_time)
    for n in sorted(range(len(found)), key=lambda n: -found[n].score):
        best = int(iou[n].argmax())
        if iou[n, best] >= MIN_IOU:
            partner[n] = best
            iou[:, best] = 0.0
    return partner


def overlaps(found: Sequence[FoundBox], true: Sequence[TrueBox], in_time: bool) -> np.ndarray:
    """(found, true) intersection over union."""
    a, b = _edges(found), _edges(true)
    common = np.maximum(np.minimum(a[:, None, 1], b[None, :, 1]) - np.maximum(a[:, None, 0], b[None, :, 0]), 0.0)
    sizes = (a[:, 1] - a[:, 0])[:, None], (b[:, 1] - b[:, 0])[None, :]
    if in_time:
        c, d = (np.array([(box.first, box.last + 1) for box in boxes], float) for boxes in (found, true))
        common = common * np.maximum(np.minimum(c[:, None, 1], d[None, :, 1]) - np.maximum(c[:, None, 0], d[None, :, 0]), 0.0)
        sizes = sizes[0] * (c[:, 1] - c[:, 0])[:, None], sizes[1] * (d[:, 1] - d[:, 0])[None, :]
    return common / (sizes[0] + sizes[1] - common)


def _edges(boxes: Sequence) -> np.ndarray:
    edges = np.array([(box.low, box.high) for box in boxes], float)
    middle, half = edges.mean(axis=1), np.maximum(np.diff(edges, axis=1)[:, 0], MIN_BINS) / 2
    return np.stack([middle - half, middle + half], axis=1)


def average_precision(score: np.ndarray, right: np.ndarray, n_true: int) -> float:
    """Area under precision over recall (all points, precision made falling), of found boxes; NaN without true ones.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge, 2010, section 4.2, with every point.
    """
    if not n_true:
        return float("nan")
    order = np.argsort(-np.asarray(score, float), kind="stable")
    hits = np.cumsum(np.asarray(right, bool)[order])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1] if len(hits) else np.zeros(0)
    recall = np.concatenate([[0.0], hits / n_true])
    return float((np.diff(recall) * precision).sum())
