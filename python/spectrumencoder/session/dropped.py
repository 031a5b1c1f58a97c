# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames that the tokenizer dropped or cut short, in words: how many, why, and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .stretches import fitting_average, in_words, stretches

if TYPE_CHECKING:
    from ..recordings import Recording


@dataclass(frozen=True)
class Dropped:
    """Frames that were dropped, or cut short, for one reason.

    Attributes:
        n_frames: number of frames.
        reason: what they hold.
        cure: what the user can do.
        what: became of them: "dropped", or "are short" if they were sent with fewer windows.
    """

    n_frames: int
    reason: str
    cure: str
    what: str = "dropped"

    def note(self, n_left: int) -> str:
        """One line for a run with `n_left` other frames; with the cure if these are fewer."""
        cure = f"; {self.cure}" if self.n_frames > n_left else ""
        return f"{count(self.n_frames, 'frame')} {self.what}: {self.reason}{cure}"

    @property
    def short(self) -> bool:
        return self.what != "dropped"


def dropped_frames(tokenizer, recording: Recording | None, overlap: float, short: str = "are short") -> list[Dropped]:
    """What a run has lost, a row for each reason. A recording's few frames at its breaks are left out.

    Args:
        tokenizer: the block fft_tokenizer at the end of the run.
        recording: what was played; None: a radio.
        overlap: fraction of a window shared with the next one.
        short: what became of short frames.
    """
    constant, nonfinite = tokenizer.dropped_constant(), tokenizer.dropped_nonfinite()
    rows = [Dropped(constant, "constant samples (zeros for lost samples, a receiver that stands still, or far too little gain)",
                    "see whether the receiver runs, and raise its gain"),
            Dropped(nonfinite, "NaN or infinity among the samples (another data type than stated, or a header before them)",
                    "state the data type that the file has, and remove its header")]
    rows = [row for row in rows if row.n_frames]
    if recording is not None:
        rows += _by_captures(tokenizer, recording, round(tokenizer.fft_size() * (1 - overlap)), short)
    return rows


def _by_captures(tokenizer, recording: Recording, hop: int, short: str) -> list[Dropped]:
    """Frames that a new capture cut off, if these are more than whole ones. hop: samples from one window to the next."""
    n_lost = tokenizer.dropped_retune() + tokenizer.dropped_rate() + tokenizer.dropped_retag()
    n_short = tokenizer.short_frames()
    lengths = stretches(recording)
    fft_size = tokenizer.fft_size()
    frame = fft_size + (tokenizer.average() - 1) * hop
    if min(lengths) >= frame or len(lengths) == 1 or n_lost + n_short <= tokenizer.frames() - n_short:
        return []
    reason, fitting = in_words(lengths, frame), fitting_average(lengths, fft_size, hop)
    if fitting is None:
        return [Dropped(n_lost, reason, f"record captures of at least one FFT, {fft_size} samples")]
    cure = f"use --average {fitting}"
    return [Dropped(number, reason, cure, what) for number, what in ((n_short, short), (n_lost, "dropped")) if number]


def every_frame(dropped: list[Dropped]) -> str:
    """The error of a recording that gave no frame."""
    return "every frame was dropped: " + "; ".join(f"{one.n_frames} for {one.reason}; {one.cure}" for one in dropped)


def count(number: int, what: str) -> str:
    """"1 frame", "2 frames"."""
    return f"{number} {what}{'s' * (number != 1)}"
