# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunings of a detector, and how far they are learned.

Those that are heard first are learned together: their signal adds up to ``learn_s``. A tuning that comes later is learned by
itself, or with others that come meanwhile, while those that are known are watched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .background import Expected
from .band_file import BandFile, Tuning
from .emitter import Emitter
from .parts import mark
from .receiver import GainWatch
from .registry import Registry
from .tuning import TuningKey, TuningState, in_words


class Tunings:
    """The tunings of a detector.

    Args:
        make: makes a tuning's state. band: what is known. registry: of the band.
        learn_later: a tuning that comes when learning is over is learned, too; else it is watched from its first frames on.

    Attributes:
        learned_s: signal that was learned, s, at the tunings that were learned last. earlier_s: before that.
        gains: of each that was heard.
        known: some were learned before this learning, so that what is heard now comes to what is known.
    """

    def __init__(self, make: Callable[[TuningKey], TuningState], band: BandFile, registry: Registry, learn_later: bool):
        self._make, self._registry, self._learn_later = make, registry, learn_later
        self._states: dict[TuningKey, TuningState] = {}
        self.gains: dict[TuningKey, GainWatch] = {}
        self.learned_s = band.learned_s if band.complete or band.learning_s is None else band.learning_s
        self.earlier_s = band.learned_s - self.learned_s
        self.known = band.complete or any(tuning.learned for tuning in band.tunings)
        self._unfinished = not band.complete  # learning that the last run began
        self._counts: dict[int, int] = {}  # of emitters, when learning began again
        for tuning in band.tunings:
            key = TuningKey(tuning.freq_hz, tuning.samp_rate, tuning.frame_hop, tuning.average)
            state = self._states[key] = make(key)
            state.learned = tuning.learned
            state.restore(tuning.mean_db, tuning.frames)
            state.steady.find(tuning.mean_db, state.background.noise_db, registry, 0.0, 0.0)

    def __iter__(self) -> Iterator[TuningState]:
        return iter(self._states.values())

    def at(self, key: TuningKey, learned: bool) -> TuningState:
        """The tuning of a key. learned: a new one counts as learned, unless those that come later are learned, too."""
        if key not in self._states:
            state = self._make(key)
            state.learned = learned and not self._learn_later or state.is_covered(other for other in self if other.learned)
            self._states[key] = state
        self.gains.setdefault(key, GainWatch())
        return self._states[key]

    def begin_again(self, tuning: TuningState, learn_s: float) -> str:
        """A tuning is learned that is not known, for learn_s in all; says so, in a line. What the last run began there is gone on
        with."""
        if not (self._unfinished and tuning.background.ready):
            self.earlier_s, self.learned_s = self.earlier_s + self.learned_s, 0.0
        self.known, self._unfinished = True, False
        self._counts = {emitter.id: emitter.count for emitter in self._registry.emitters.values()}
        others = in_words([state.key for state in self if state.learned])
        return (f"what is known was learned at {others or 'no tuning'}; {in_words([tuning.key])} is learned now, "
                f"for {max(learn_s - self.learned_s, 0.0):.3g} s of signal")

    def mark_parts(self) -> None:
        """States in each emitter what it is a part of."""
        mark((one for number, tuning in enumerate(self) for one in tuning.steady.pieces(number)), self._registry.emitters)

    def end(self, tuning: TuningState) -> None:
        """Learning is over at a tuning. One that had too few frames is learned when it comes again, if others are, too."""
        self._unfinished = False
        tuning.learned = tuning.background.ready or not self._learn_later

    @property
    def fresh(self) -> list[TuningState]:
        """Those that are not learned."""
        return [tuning for tuning in self if not tuning.learned]

    def heard_at(self, tunings: Sequence[TuningState]) -> list[Emitter]:
        """The emitters that were heard while these were learned."""
        emitters = list(self._registry.emitters.values())
        if not self.known:
            return emitters
        steady, spans = {one.id for tuning in tunings for one in tuning.steady.emitters}, [t.judged_hz for t in tunings]
        return [one for one in emitters if one.id in steady or (one.count != self._counts.get(one.id) and any(
            low < last and first < high for low, high in one.places() for first, last in spans))]

    def expected(self) -> list[Expected]:
        """The usual spectrum of each tuning whose background is known, at the gain that it has now."""
        return [Expected(tuning.key.freq_hz, tuning.key.samp_rate,
                         tuning.background.mean_db + np.float32(tuning.usual_gain_db or 0.0), tuning.background.spectra)
                for tuning in self if tuning.background.ready]

    def saved(self) -> list[Tuning]:
        """As a band file holds them."""
        return [Tuning(*tuning.key, mean_db=tuning.background.mean_db.copy(), frames=tuning.background.frames,
                       learned=tuning.learned) for tuning in self if tuning.background.ready]
