# SPDX-License-Identifier: GPL-3.0-or-later
"""The band file: what is known of a band, in one file. Emitters, ignored ranges, and the background of each tuning.

It is JSON text, so that a person can read it; arrays are base64 of little-endian float32. It is written whole (``atomic_file``),
so that it is valid at every moment, also after a crash. docs/contracts.md lists its fields.

Shape letters: N bins.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_file import cannot_write, write_file
from .emitter import Emitter
from .registry import Registry

FORMAT, VERSION = "spectrumencoder band", 1
SUFFIX = ".band"
_CURE = "name another file, or delete it and learn the band again: run SOURCE --learn 120 --band-file FILE"


class BandFileError(Exception):
    """A band file that cannot be used; one line, with the cure."""


@dataclass
class Tuning:
    """What was learned at one tuning.

    Attributes:
        freq_hz: centre. samp_rate: Hz. frame_hop: samples from frame to frame. average: spectra in a frame.
        mean_db: (N,) float32, dBFS, usual power of each bin. frames: number of frames behind it.
        learned: whether learning was finished there.
    """

    freq_hz: float
    samp_rate: float
    frame_hop: int
    average: int
    mean_db: np.ndarray
    frames: int
    learned: bool = True

    @property
    def overlap(self) -> float:
        """Overlap of successive spectra."""
        return 1.0 - self.frame_hop / (self.average * len(self.mean_db))


@dataclass
class BandFile:
    """What is known of a band.

    Attributes:
        registry: emitters and ignored ranges.
        learned_s: signal that was learned, s. complete: learning was finished, so that a detector watches from its first frame.
        learning_s: part of learned_s, of the tunings that were learned last, in common.
        tunings: one for each centre frequency, rate and kind of frame.
        window, fft_size, model: of the frames that it was learned with.
        created_s, updated_s: POSIX time; 0 until the file is saved.
    """

    registry: Registry = field(default_factory=Registry)
    learned_s: float = 0.0
    complete: bool = False
    tunings: list[Tuning] = field(default_factory=list)
    window: str = ""
    fft_size: int = 0
    model: str = ""
    created_s: float = 0.0
    updated_s: float = 0.0
    learning_s: float | None = None  # None: all of learned_s

    def __post_init__(self):
        self.learning_s = self.learned_s if self.learning_s is None else self.learning_s

    def knows(self, freq_hz: float, samp_rate: float, frame_hop: int, average: int) -> bool:
        """Whether learning was finished at a tuning: freq_hz, samp_rate (Hz), frame_hop and average as of ``Tuning``."""
        return any(t.learned and (t.freq_hz, t.samp_rate, t.frame_hop, t.average) == (freq_hz, samp_rate, frame_hop, average)
                   for t in self.tunings)

    def check(self, window: str, fft_size: int) -> None:
        """Raises BandFileError if it was learned with frames of another window or fft_size."""
        if self.fft_size and (self.window, self.fft_size) != (window, fft_size):
            raise BandFileError(f"the band was learned with {self.fft_size} bins and the window {self.window}, the frames have "
                                f"{fft_size} and {window}; use the model {self.model}, or learn the band again")

    def save(self, path: Path | str) -> None:
        """Writes the file at path whole, and syncs it to disk.

        Raises:
            BandFileError: the folder is missing, full or read-only; the old file is untouched.
        """
        write(path, self.stamped().to_bytes())

    def stamped(self) -> BandFile:
        """The band itself, with the time of now."""
        self.updated_s = time.time()
        self.created_s = self.created_s or self.updated_s
        return self

    def to_bytes(self) -> bytes:
        """The content of the file."""
        content = {
            "format": FORMAT, "version": VERSION, "created_s": self.created_s, "updated_s": self.updated_s,
            "model": self.model, "window": self.window, "fft_size": self.fft_size, "learned_s": self.learned_s,
            "learning_s": self.learning_s, "complete": self.complete, "next_id": self.registry.next_id,
            "ignored": [list(ends) for ends in self.registry.ignored],
            "emitters": [emitter.as_dict() for emitter in self.registry.emitters.values()],
            "tunings": [{"freq_hz": t.freq_hz, "samp_rate": t.samp_rate, "frame_hop": t.frame_hop, "average": t.average,
                         "overlap": round(t.overlap, 6), "frames": t.frames, "learned": t.learned,
                         "mean_db": _text_of(t.mean_db)}
                        for t in self.tunings]}
        return (_lines(content) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, path: Path | str) -> BandFile:
        """The band that ``to_bytes`` wrote.

        Args:
            content: of the file. path: for the error's text.

        Raises:
            BandFileError: it is no band file, a damaged one, or one of a later version.
        """
        if content[8:9] == b"{" and b"__metadata__" in content[:4096]:
            raise BandFileError(f"{path} is a model file, not a band file: its tables are of the detector boxes; run with "
                                f"--model {path} --detector boxes, or learn anew: --learn 120 --band-file NAME{SUFFIX}")
        try:
            row = json.loads(content)
        except ValueError as error:
            raise BandFileError(f"{path} is no band file, or damaged ({error}); {_CURE}") from None
        if not isinstance(row, dict) or row.get("format") != FORMAT:
            raise BandFileError(f"{path} is no band file (it lacks the format \"{FORMAT}\"); {_CURE}")
        if row.get("version") != VERSION:
            raise BandFileError(f"{path} is a band file of version {row.get('version')}, this program reads {VERSION}; update "
                                "the program, or learn the band again")
        try:
            return cls._from_row(row)
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise BandFileError(f"{path} is damaged ({said}); {_CURE}") from None

    @classmethod
    def _from_row(cls, row: Mapping[str, Any]) -> BandFile:
        fft_size = int(row["fft_size"])
        emitters = [Emitter.from_dict(emitter) for emitter in row["emitters"]]
        complete = bool(row["complete"])
        tunings = [Tuning(float(t["freq_hz"]), float(t["samp_rate"]), int(t["frame_hop"]), int(t["average"]),
                          _array_of(t["mean_db"], fft_size), int(t["frames"]), bool(t.get("learned", complete)))
                   for t in row["tunings"]]  # a file of an earlier program knows one state of all
        learned_s = float(row["learned_s"])
        learning_s = float(row.get("learning_s", learned_s))
        if not (math.isfinite(learned_s) and math.isfinite(learning_s)):
            raise ValueError(f"learned_s is {learned_s}, learning_s {learning_s}")
        return cls(Registry.of(emitters, row["ignored"], int(row["next_id"])), learned_s, complete, tunings,
                   str(row["window"]), fft_size, str(row["model"]), float(row["created_s"]), float(row["updated_s"]), learning_s)


def forget_model(before: str, now: str, registry: Registry) -> str:
    """Prepares a registry for another model than it was learned with; says so, in a line, or returns "" if it is the same.

    Places, levels and backgrounds are of the spectrum alone. Classes are of a model: the next transmissions name an emitter, and
    a class of the other model's is no change of its waveform.
    """
    if before in ("", now):
        return ""
    for emitter in registry.emitters.values():
        total = sum(emitter.labels.values())
        for label in emitter.labels:
            emitter.labels[label] /= max(total, 1.0)
        emitter.waveform.forget_classes()
    return (f"the band file was learned with the model {before}, this is {now}: emitters and backgrounds hold, classes are named "
            "anew as emitters are heard")


def write(path: Path | str, content: bytes):
    """Writes the content of a band file. Raises BandFileError: see ``BandFile.save``."""
    try:
        write_file(path, content)
    except OSError as error:
        raise BandFileError(cannot_write(path, error)) from error


def load(path: Path | str) -> BandFile:
    """Reads a band file.

    Raises:
        BandFileError: it is missing, damaged, or no band file.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise BandFileError(f"there is no band file {path}; make it: run SOURCE --learn 120 --band-file {path}") from None
    except OSError as error:
        raise BandFileError(f"cannot read {path}: {error.strerror}; name a band file") from error
    return BandFile.from_bytes(content, path)


def _lines(content: dict) -> str:
    """JSON with a line for each key, emitter and tuning."""
    parts = []
    for key, value in content.items():
        if key in ("emitters", "tunings") and value:
            rows = ",\n".join("  " + json.dumps(row, allow_nan=False, separators=(",", ":")) for row in value)
            parts.append(f' "{key}": [\n{rows}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value, allow_nan=False)}')
    return "{\n" + ",\n".join(parts) + "\n}"


def _text_of(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _array_of(text: str, size: int) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if len(values) != size or not np.isfinite(values).all():
        raise ValueError(f"a background holds {len(values)} bins of {size}, or one that is not finite")
    return values
