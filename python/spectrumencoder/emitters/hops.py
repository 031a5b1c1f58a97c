# SPDX-License-Identifier: GPL-3.0-or-later
"""Hop sets: emitters whose bursts follow one another on a set of frequencies are one emitter.

One burst follows another if it begins when that has ended, elsewhere, with a like width and level. Independent emitters do that
by chance, too. So a new one is taken for a hop only of an emitter that was not heard before its last burst, or that is known to
hop; and if the second of two hops comes by itself, they are two emitters. While learning, nearly all bursts of a set must have a
neighbour in it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from .activity import Heard
from .bursts import Burst
from .emitter import Emitter
from .registry import Registry, Sign

_GAP_FRAMES, _GAP_LENGTHS, _OVERLAP_FRAMES = 3, 1.2, 2  # silence between two dwells: frames, or lengths of the first; overlap
_MAX_DWELL_S = 1.0
_LIKE_LOG_WIDTH, _LIKE_DB, _LIKE_LOG_LENGTH = 0.35, 6.0, 0.6
_TRAIL = 32  # bursts of strangers that are remembered
_MAX_RUNS = 20000  # while learning
MIN_HOPS, _MIN_RUNS = 3, 10  # frequencies and dwells of a learned set
_LINKED, _TOGETHER = 0.9, 0.1  # share of its dwells that have a neighbour, and that overlap


class _Step(NamedTuple):
    emitter: Emitter
    burst: Burst
    sign: Sign


@dataclass
class _Run:
    """A dwell while learning."""

    emitter: Emitter
    start_s: float
    end_s: float
    level_db: float
    linked: bool = False

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


class Hops:
    """Finds hop sets among the emitters of a registry."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._trail: deque[_Step] = deque(maxlen=_TRAIL)
        self._runs: list[_Run] = []

    # -- new emitters

    def hopped_from(self, burst: Burst, sign: Sign, known: Emitter | None) -> Emitter | None:
        """The emitter that hops to where a stranger's burst is; the known one if the place is not new; None for another emitter.

        Args:
            sign: of the burst's first frames. known: the emitter whose bursts begin alike.
        """
        before = next((step for step in reversed(self._trail) if (known is None or step.emitter is known)
                       and self._may_hop(step, known) and _follows(step, burst, sign)), None)
        if known is None:
            if before is not None:
                self._registry.hops_to(before.emitter, sign)
                return before.emitter
        elif before is not None:
            known.hopped += 1
        elif known.hopped == 1 and known.hops_hz and not known.belongs and self._registry.is_second_hop(known, sign):
            self._registry.unhop(known)  # it came by itself: the two were no hop set
            return None
        return known

    def _may_hop(self, step: _Step, known: Emitter | None) -> bool:
        """Whether the emitter of a step hops, or has not been heard before that step."""
        emitter = step.emitter
        if emitter.belongs or emitter.id not in self._registry.emitters:
            return False
        return bool(emitter.hops_hz) or (known is None and step.burst.counted and emitter.count <= 1)

    def add(self, emitter: Emitter, burst: Burst, sign: Sign):
        """Remembers a burst of a stranger."""
        self._trail.append(_Step(emitter, burst, sign))

    # -- learned emitters

    def note(self, heard: Heard):
        """Takes a transmission that was heard while learning."""
        if len(self._runs) < _MAX_RUNS:
            self._runs += [_Run(heard.emitter, start_s, end_s, heard.level_db) for start_s, end_s in heard.runs]

    def settle(self, frame_s: float):
        """Learning is over: joins the emitters of each hop set."""
        runs = sorted((r for r in self._runs if r.emitter.id in self._registry.emitters), key=lambda run: run.start_s)
        self._runs = []
        links: dict[int, set[int]] = {}
        for n, run in enumerate(runs):
            earlier = (r for r in runs[max(n - _TRAIL, 0):n] if _run_follows(r, run, frame_s))
            before = max(earlier, key=lambda r: r.end_s, default=None)
            if before is not None:
                before.linked = run.linked = True
                links.setdefault(before.emitter.id, set()).add(run.emitter.id)
                links.setdefault(run.emitter.id, set()).add(before.emitter.id)
        while links:
            members, ahead = set(), [next(iter(links))]
            while ahead:
                number = ahead.pop()
                if number not in members:
                    members.add(number)
                    ahead += links.pop(number, set())
            self._settle_set(sorted(members), [r for r in runs if r.emitter.id in members])

    def _settle_set(self, members: list[int], runs: list[_Run]):
        """Joins emitters that follow one another, if they may be one."""
        counts = {number: [r.linked for r in runs if r.emitter.id == number] for number in members}
        members = [number for number in members if sum(counts[number]) >= _LINKED * len(counts[number])]
        runs = [r for r in runs if r.emitter.id in members]
        overlapping = sum(b.start_s < a.end_s - 0.25 * a.length_s for a, b in zip(runs, runs[1:], strict=False))
        if len(members) >= MIN_HOPS and len(runs) >= _MIN_RUNS and overlapping <= _TOGETHER * len(runs):
            self._registry.join_hops([self._registry.emitters[number] for number in members])


def _follows(step: _Step, burst: Burst, sign: Sign) -> bool:
    """Whether a burst is the next dwell after a step. What is known of it are its first frames."""
    before, length = step.burst, step.burst.last - step.burst.first + 1
    gap = burst.first - before.last - 1
    return (before is not burst and -_OVERLAP_FRAMES <= gap <= max(_GAP_FRAMES, _GAP_LENGTHS * length)
            and burst.first > before.first and length * sign.frame_s <= _MAX_DWELL_S
            and abs(math.log(sign.bandwidth_hz / step.sign.bandwidth_hz))
            < _LIKE_LOG_WIDTH + 1.5 * sign.bin_hz / sign.bandwidth_hz
            and abs(sign.level_db - step.sign.level_db) < _LIKE_DB
            and abs(sign.center_hz - step.sign.center_hz) > 0.5 * sign.bandwidth_hz)


def _run_follows(before: _Run, run: _Run, frame_s: float) -> bool:
    one, other = before.emitter, run.emitter
    gap_s = run.start_s - before.end_s
    return (one is not other and -_OVERLAP_FRAMES * frame_s < gap_s <= max(_GAP_FRAMES * frame_s, _GAP_LENGTHS * before.length_s)
            and before.length_s <= _MAX_DWELL_S and not one.steady and not other.steady
            and abs(one.log_width.mean - other.log_width.mean) < _LIKE_LOG_WIDTH
            and abs(before.level_db - run.level_db) < _LIKE_DB
            and abs(math.log(before.length_s / run.length_s)) < _LIKE_LOG_LENGTH + 1.5 * frame_s / run.length_s)
