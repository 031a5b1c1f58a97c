# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of anomaly_detector that minds the registry: commands of the operator, and the band file."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from .. import keys
from ..emitters.band_file import BandFile, BandFileError
from ..emitters.band_keeper import LOOK_S, SAVE_S, BandKeeper, Decision
from ..emitters.listing import count, plain, rows_of
from ..lines_file import CannotWrite
from .messages import MalformedMessage

if TYPE_CHECKING:
    from .anomaly_detector import anomaly_detector

LEARNED, LEARNING, EMITTERS, UNSAVED, ON_AIR = "learned", "learning", "emitters", "unsaved", "on_air"  # states of `status`


class BandPart:
    """Commands and the band file of a block whose ``detector`` is an ``EmitterDetector``.

    Args:
        block: the anomaly_detector. lock: held by whoever uses its detector.
        path: the band file; "": none.

    Raises:
        BandFileError: the file cannot be written.
    """

    def __init__(self, block: anomaly_detector, lock: threading.Lock, path: str):
        self._block, self._lock = block, lock
        self._keeper = BandKeeper(path, lock) if path else None
        self._saver: threading.Thread | None = None
        self._save_at = self._look_at = 0.0
        self._saved_frames = -1  # number of frames when the file was written last
        self._unsaved = ""  # why the last save failed

    @property
    def kept(self) -> bool:
        """Whether there is a band file."""
        return self._keeper is not None

    def load(self) -> BandFile | None:
        """The band of the file; None if there is none. Raises BandFileError: it is damaged."""
        return self._keeper.load() if self._keeper is not None else None

    def tend(self):
        """Looks at the file and saves it, if it is time. Call it often, without the lock."""
        now = time.monotonic()
        if self._keeper is None or now < self._look_at:
            return
        self._look_at = now + LOOK_S
        try:
            self._keeper.look(self._carry_out, lambda: self._block.detector.registry)
        except BandFileError as error:
            self._say_unsaved(error)
        if not self._save_at:
            self._save_at = now + SAVE_S
        elif now >= self._save_at and not (self._saver is not None and self._saver.is_alive()):
            self._save_at = now + SAVE_S
            self._saver = threading.Thread(target=self.save, daemon=True)  # writing waits for the disk: no frame does
            self._saver.start()

    def save_soon(self):
        """Lets ``tend`` save the file when it looks next: somebody may decide on an emitter of which they have just read."""
        self._save_at = time.monotonic()

    def save(self, changed: bool = False):
        """Writes the file, if frames have come since it was written, or something else is `changed`. Call it without the lock."""
        if self._keeper is None or (self._saved_frames == self._block.detector.n_frames and not changed):
            return
        frames = self._block.detector.n_frames
        try:
            self._keeper.save(self._carry_out, self._block.detector.band_file)
        except BandFileError as error:
            self._unsaved = str(error)
            self._say_unsaved(error)
        except Exception as error:  # noqa: BLE001 (a thread of the block: the flowgraph must learn of it)
            self._block.fail("save", error)
        else:
            self._saved_frames, self._unsaved = frames, ""

    def finish(self):
        """The flowgraph stops: waits for a save that runs, and saves.

        Raises:
            CannotWrite: what was learned since the last save is lost.
        """
        if self._saver is not None:
            self._saver.join(10.0)
        self.save()
        if self._unsaved:
            raise CannotWrite(self._unsaved)

    def obey(self, commands: dict):
        """Carries out the commands of a message, and saves. Call it without the lock.

        Raises:
            MalformedMessage: a value is of the wrong type; then none of the commands counts.
            ValueError: no such emitter, or no range.
        """
        decisions = [decision for word, value in commands.items() if word != keys.LIST
                     for decision in [_decision(word, value)]]
        try:
            with self._lock:
                self._carry_out(decisions)
        finally:
            if decisions:
                self.save(changed=True)
        if decisions:
            self._block.publish_status("running", "; ".join(f"{d.command} {', '.join(map(str, d.arguments))}" for d in decisions))
        if commands.get(keys.LIST):
            self.list()

    def list(self):
        """Publishes all emitters on `status`."""
        rows, ignored = self.rows()
        self._block.publish_status(EMITTERS, count(len(rows), "emitter"), **{keys.EMITTERS: rows, keys.IGNORED: ignored})

    def rows(self) -> tuple[list[dict], list[list[float]]]:
        """All emitters as rows of ``listing.describe``, and the ignored ranges, Hz. Call it without the lock."""
        with self._lock:
            registry = self._block.detector.registry
            return ([self._described(row) for row in rows_of(registry)],
                    [list(ends) for ends in registry.ignored])

    def say_on_air(self):
        """Publishes what stands out of the noise while the band is learned, if there is something new."""
        waiting = self._block.detector.on_air.waiting
        while waiting:
            seconds, before, rows = waiting.pop(0)
            signals = count(len(rows), "more signal" if before else "signal")
            self._block.publish_status(ON_AIR, f"on the air after {plain(seconds)} s: {signals}",
                                       **{keys.EMITTERS: [self._described(row) for row in rows]})

    def say_learned(self):
        """Publishes what was heard while learning, and lets the file be saved soon. Call it with the lock held."""
        self._save_at = self._look_at = time.monotonic()
        detector = self._block.detector
        rows = [self._described(row) for row in detector.heard]
        learned = f"learned {plain(detector.learned_s)} s of signal, heard {count(len(rows), 'emitter')}"
        self._block.publish_status(LEARNED, learned, **{keys.EMITTERS: rows})

    def say_not_learned(self):
        """Publishes and logs that the stream ended before learning did: nothing was judged."""
        detector = self._block.detector
        text = (f"the signal ended while learning, after {detector.learned_s:.3g} s of {detector.learn_s:g} s: nothing was "
                "reported as new; give more of it, or a smaller learn_s")
        self._block.logger.warn(text)
        self._block.publish_status(LEARNING, text)

    def _described(self, row: dict) -> dict:
        """A row of ``listing.describe``, marked if its frequencies count from a centre that is not known."""
        return row | ({keys.FREQ_RELATIVE: True} if self._block.freq_relative else {})

    def _carry_out(self, decisions: list[Decision]):
        for command, arguments in decisions:
            getattr(self._block.detector, command)(*arguments)

    def _say_unsaved(self, error: BandFileError):
        if self._block.log_due(UNSAVED):
            self._block.logger.warn(str(error))
            self._block.publish_status(UNSAVED, str(error))


def _decision(word: str, value) -> Decision:
    """The decision of a command word and its value, checked."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    two = isinstance(value, list) and len(value) == 2
    ends = two and all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in value)
    if word == keys.ACCEPT and whole:
        return Decision("accept", (value,))
    if word == keys.IGNORE and whole:
        return Decision("ignore_emitter", (value,))
    if word in (keys.IGNORE, keys.UNIGNORE) and ends:
        return Decision(word, tuple(map(float, value)))
    if word == keys.NAME and two and isinstance(value[0], int) and isinstance(value[1], str):
        return Decision("name", tuple(value))
    wanted = {keys.ACCEPT: "the number of an emitter", keys.IGNORE: "the number of an emitter, or [low, high] in Hz",
              keys.UNIGNORE: "[low, high] in Hz", keys.NAME: "[number of an emitter, text]"}
    raise MalformedMessage(f"{word} is {value!r}, it takes {wanted[word]}")
