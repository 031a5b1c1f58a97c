# SPDX-License-Identifier: GPL-3.0-or-later
"""A labelled corpus: folders of SigMF recordings, their classes, and the stretches that really hold the signal.

The first annotation of a recording covers the whole file (`core:comment` has `family=` and `class=`); the others mark bursts.
A whole-file label on a bursty file does not mean that every window holds the signal. So windows are chosen by the marked bursts.
If none are marked, windows are chosen by their power over the file's own quiet level.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..recordings import Recording, RecordingError, find_recordings, open_recording
from ..tokens.band_plan import band_of

CLASSES = ("ADS-B", "LTE", "GNSS", "LoRa", "BLE", "802.15.4", "WiFi-OFDM", "ISM-sensor-OOK", "ISM-sensor-FSK", "noise")
ALIASES = {"LTE-20MHz": "LTE", "noise-only": "noise"}
BLOCK = 128  # samples per power reading
BURSTY_RATIO = 2.0  # min ratio of the 95th to the 10th percentile of block power for a bursty file, if no bursts are marked
ON_RATIO = 2.0  # a block is on if its power exceeds the quiet level by this factor
GAP_RATIO = 1.3


class CorpusError(Exception):
    """A corpus folder cannot be used. The message is one line."""


@dataclass
class Source:
    """One labelled recording.

    `label`: one of CLASSES, or None for a class that is not scored. `bursts`: marked (start, count), in samples.
    """

    recording: Recording
    label: str | None
    cls: str
    family: str
    bursts: list[tuple[int, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.recording.name

    @property
    def samp_rate(self) -> float:
        return self.recording.samp_rate

    @property
    def band(self) -> str:
        return band_of(self.recording.captures[0].frequency_hz if self.recording.captures else None)

    @cached_property
    def iq(self) -> np.ndarray:
        """All samples, complex64, full scale 1."""
        return self.recording.read(0, self.recording.n_samples)

    @cached_property
    def _block_power(self) -> np.ndarray:
        n = len(self.iq) // BLOCK * BLOCK
        x = self.iq[:n].reshape(-1, BLOCK)
        x = x - self.iq.mean()  # a receiver's DC offset is not a signal
        return np.einsum("ij,ij->i", x.real, x.real) + np.einsum("ij,ij->i", x.imag, x.imag)

    @cached_property
    def quiet_power(self) -> float:
        """10th percentile of block power: the level between bursts."""
        return float(np.quantile(self._block_power, 0.10)) + 1e-12

    @cached_property
    def bursty(self) -> bool:
        if self.bursts:
            return True
        if self.label in (None, "noise", "GNSS", "LTE") or len(self._block_power) < 8:
            return False
        return float(np.quantile(self._block_power, 0.95)) > BURSTY_RATIO * self.quiet_power

    @cached_property
    def on(self) -> np.ndarray:
        """(n // BLOCK,) bool: blocks that hold the signal."""
        if not self.bursty:
            return np.ones(len(self._block_power), bool)
        on = np.zeros(len(self._block_power), bool)
        if self.bursts:
            for start, count in self.bursts:
                on[start // BLOCK:-(-(start + count) // BLOCK)] = True
            return on
        return self._block_power > ON_RATIO * self.quiet_power

    def holds_signal(self, start: int, count: int) -> bool:
        """True if the window holds at least half of a burst, or if signal fills at least a tenth of it."""
        if not self.bursty:
            return self.label != "noise"
        if self.bursts:
            overlap = [max(0, min(start + count, s + n) - max(start, s)) for s, n in self.bursts]
            return any(o >= 0.5 * n for o, (_, n) in zip(overlap, self.bursts, strict=True)) or sum(overlap) >= 0.1 * count
        window = self.on[start // BLOCK:max(start // BLOCK + 1, (start + count) // BLOCK)]
        return bool(window.mean() >= 0.1) if len(window) else False

    def is_gap(self, start: int, count: int) -> bool:
        """True if the window lies between bursts and nothing in it exceeds the quiet level."""
        if self.label == "noise":
            return True
        if not self.bursty or self.label in (None, "ADS-B"):  # ADS-B: only frames with a right checksum are marked
            return False
        margin = count // 8
        if any(start - margin < s + n and s < start + count + margin for s, n in self.bursts):
            return False
        window = self._block_power[start // BLOCK:-(-(start + count) // BLOCK)]
        return bool(len(window) and np.mean(window) < GAP_RATIO * self.quiet_power
                    and window.max() < 2.0 * GAP_RATIO * self.quiet_power)


def open_source(path: Path) -> Source:
    """Read one labelled recording.

    Raises:
        CorpusError: there is no whole-file annotation with a class.
    """
    try:
        recording = open_recording(path)
    except RecordingError as error:
        raise CorpusError(str(error)) from error
    whole = next((a for a in recording.annotations if "class=" in (a.comment or "")), None)
    if whole is None:
        raise CorpusError(f"{path} has no annotation whose comment holds class=; label it as the corpus is")
    facts = dict(re.findall(r"(family|class)=([^;]+)", whole.comment))
    cls = facts["class"].strip()
    label = ALIASES.get(cls, cls)
    bursts = [(a.sample_start, a.sample_count) for a in recording.annotations if a is not whole]
    return Source(recording, label if label in CLASSES else None, cls, facts.get("family", "").strip(), bursts)


def load_corpus(folders: list[Path]) -> list[Source]:
    """All labelled recordings of the folders, sorted by name.

    Raises:
        CorpusError: a folder holds no recording.
    """
    sources = []
    for folder in folders:
        paths = find_recordings(Path(folder))
        if not paths:
            raise CorpusError(f"{folder} holds no .sigmf-meta file; give the folder of the corpus")
        sources += [open_source(p) for p in paths]
    return sorted(sources, key=lambda s: s.name)


def split(sources: list[Source], holdout: list[str]) -> tuple[list[Source], list[Source]]:
    """Split into (training, held out): a source is held out if its name matches one of the shell patterns.

    Raises:
        CorpusError: a pattern matches nothing. Otherwise a typing error would silently train on the test recordings.
    """
    for pattern in holdout:
        if not any(fnmatch.fnmatch(s.name, pattern) for s in sources):
            raise CorpusError(f"holdout pattern {pattern!r} matches no recording of the corpus")
    out = [any(fnmatch.fnmatch(s.name, p) for p in holdout) for s in sources]
    return [s for s, o in zip(sources, out, strict=True) if not o], [s for s, o in zip(sources, out, strict=True) if o]
