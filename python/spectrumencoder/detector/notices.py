# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices: what the user should know of the detector's state, each said once."""

from __future__ import annotations

from typing import NamedTuple

# states of a notice
UNCALIBRATED, GENERAL_TABLE, RATE_LIMITED, RECALIBRATE = "uncalibrated", "general_table", "rate_limited", "recalibrate"
LEARN_AGAIN, OTHER_MODEL, OTHER_GAIN = "learn_again", "other_model", "other_gain"


class Notice(NamedTuple):
    """A line for the user.

    Attributes:
        state: ``UNCALIBRATED`` (frames are not judged), ``GENERAL_TABLE`` (they are, by that one), ``RATE_LIMITED`` (events are
            counted, no longer reported) or ``RECALIBRATE`` (the table no longer holds). Of a band file: ``LEARN_AGAIN`` (a tuning
            is learned that it does not know), ``OTHER_MODEL`` and ``OTHER_GAIN`` (than it was learned with).
        text: what was found, and the cure.
    """

    state: str
    text: str


class Notices:
    """Collects notices: one for each state and table key."""

    def __init__(self):
        self._given: set[tuple[str, str]] = set()
        self._waiting: list[Notice] = []

    def give(self, state: str, key: str, text: str):
        """Adds a notice, unless one of this state and table key was given before."""
        if (state, key) not in self._given:
            self._given.add((state, key))
            self._waiting.append(Notice(state, text))

    def take(self) -> list[Notice]:
        """The notices since the last call."""
        taken, self._waiting = self._waiting, []
        return taken

    def repeat(self):
        """Lets every notice be given again."""
        self._given = set()
