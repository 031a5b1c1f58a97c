# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of composed bands, with their truth. IQ is composed, received, rounded and tokenised in a stream; only frames are kept.

A band has three parts: a time to learn, a quiet one in which nothing is wrong, and one with the anomalies of its plan. Frames are
kept on disk under a hash of all that made them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from ...atomic_file import make_folder
from ...encoder import features
from ...encoder.engine import EncodedFrames, Engine
from ...recordings import find_recordings
from ...recordings.sample_format import SampleFormat
from ...recordings.sigmf_writer import encode
from ...simulate.compose.band import Band
from ...simulate.compose.plan import Plan
from ...tokens.band_plan import band_of
from ...tokens.layout import FLOOR_DBFS, K_EFF, FrameLayout
from ...tokens.tokenize import tokenize

N_BINS, STRIDE, AVERAGE, WINDOW = 1024, 8, 16, "blackmanharris"
HOP = N_BINS * AVERAGE
LAYOUT = FrameLayout(N_BINS, STRIDE)
BLOCK = 1024  # frames that are read at a time
_COMPOSED = 16  # frames that are composed at a time
_PSD, _EXTRAS, _ABOUT = "psd.npy", "extras.npy", "band.json"


@dataclass(frozen=True)
class Times:
    """Seconds of the three parts of a band."""

    learn_s: float = 120.0
    quiet_s: float = 600.0
    anomalous_s: float = 300.0

    @property
    def total_s(self) -> float:
        return self.learn_s + self.quiet_s + self.anomalous_s


@dataclass(frozen=True)
class FieldBand:
    """F frames of N bins.

    Attributes:
        name, seed: of its plan.
        learn, quiet: frame at which learning ends, and frame at which the quiet part ends.
        psd: float32 (F, N), dBFS, on disk.
        extras: float32 (F, 2 M + 2): what the tokens say beside the levels, two numbers each; the frame's share of samples at
            full scale, and its floor in dBFS. A frame that the tokenizer drops (lost samples) repeats the one before it.
        truth: SigMF annotations.
    """

    name: str
    seed: int
    rate_hz: float
    freq_hz: float
    learn: int
    quiet: int
    psd: np.ndarray
    extras: np.ndarray
    truth: list[dict]

    def __len__(self) -> int:
        return len(self.psd)

    @property
    def frame_s(self) -> float:
        """Seconds from frame to frame."""
        return HOP / self.rate_hz

    @property
    def band(self) -> str:
        """Its name in the band plan."""
        return band_of(self.freq_hz)

    def blocks(self, first: int, stop: int, size: int = BLOCK) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the first frame, psd (f, N)) of frames [first, stop), ``size`` at a time."""
        for low in range(first, stop, size):
            yield low, np.asarray(self.psd[low:min(low + size, stop)])

    def items(self, first: int, stop: int) -> np.ndarray:
        """Frames [first, stop) as the tokenizer gave them, float32 (f, item_size)."""
        psd, extras = np.asarray(self.psd[first:stop]), np.asarray(self.extras[first:stop])
        items = np.zeros((len(psd), LAYOUT.item_size), np.float32)
        tokens, side = LAYOUT.split(items)
        floor = extras[:, -1]
        tokens[:, :, :STRIDE] = (psd - floor[:, None]).reshape(len(psd), -1, STRIDE)
        tokens[:, :, STRIDE:] = extras[:, :-2].reshape(len(psd), -1, 2)
        LAYOUT.clipped_share(items)[:] = extras[:, -2]
        side[:, FLOOR_DBFS], side[:, K_EFF], side[:, 2] = floor, AVERAGE, np.float32(self.rate_hz / N_BINS)
        return items

    def features(self, first: int, stop: int) -> np.ndarray:
        """What the encoder would pass on of frames [first, stop) without encoding them, float32 (f, N_FEATURES)."""
        extras = np.asarray(self.extras[first:stop])
        rows = np.zeros((len(extras), features.N_FEATURES), np.float32)
        rows[:, features.K_EFF], rows[:, features.FLOOR_DBFS] = AVERAGE, extras[:, -1]
        rows[:, features.CLIPPED_SHARE] = extras[:, -2]
        return rows

    def encoded(self, engine: Engine, first: int, stop: int) -> Iterator[tuple[int, np.ndarray, EncodedFrames]]:
        """(number of the first frame, psd, what the encoder makes of it), ``BLOCK`` frames at a time.

        Raises:
            ValueError: the model is of other frames.
        """
        given = engine.n_bins, engine.layout.stride, engine.config.window
        if given != (N_BINS, STRIDE, WINDOW):
            raise ValueError(f"model {engine.model_name} is of {given[0]} bins, stride {given[1]}, window {given[2]}; these "
                             f"bands are of {N_BINS}, {STRIDE}, {WINDOW}; choose another model")
        name = self.band if self.band in engine.bands else "unknown"
        for low, psd in self.blocks(first, stop):
            yield low, psd, engine.encode(self.items(low, low + len(psd)), name)


def field_plan(plan: Plan, seed: int, times: Times) -> Plan:
    """The plan for these times: its anomalies begin after the quiet part, and it has none if there is no time for them."""
    begin = times.learn_s + times.quiet_s
    anomalies = tuple(replace(a, from_s=begin) for a in plan.anomalies) if times.anomalous_s else ()
    return replace(plan, seed=seed, seconds=times.total_s, anomalies=anomalies)


def band_key(plan: Plan, folders: Sequence[Path]) -> str:
    """A hash of all that makes a band's frames: plan, recordings (names and sizes), and the sources that compose."""
    found = sorted((path.name, path.stat().st_size) for folder in folders for path in find_recordings(folder))
    text = json.dumps([asdict(plan), found, [N_BINS, STRIDE, AVERAGE, WINDOW], _sources()], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def make_band(plan: Plan, folders: Sequence[Path], seed: int, times: Times, cache: Path,
              progress: Callable[[int, int], None] = lambda done, total: None) -> FieldBand:
    """The band of a plan: read if its frames are kept in ``cache``, else composed and kept.

    Args:
        folders: of recordings. progress: called with frames made and frames in all.

    Raises:
        PlanError: a pattern matches nothing, or an anomaly finds no place.
        CorpusError, RecordingError: a recording is unreadable.
    """
    plan = field_plan(plan, seed, times)
    folder = cache / f"{plan.name}_{seed}_{band_key(plan, folders)[:16]}"
    if not (folder / _ABOUT).is_file():
        make_folder(folder, lambda draft: _write(plan, folders, times, draft, progress))
    about = json.loads((folder / _ABOUT).read_text())
    return FieldBand(**about, psd=np.load(folder / _PSD, mmap_mode="r"), extras=np.load(folder / _EXTRAS, mmap_mode="r"))


def _write(plan: Plan, folders: Sequence[Path], times: Times, folder: Path, progress: Callable[[int, int], None]) -> None:
    band, count = Band(plan, folders), plan.n_samples // HOP
    psd = np.lib.format.open_memmap(folder / _PSD, "w+", np.float32, (count, N_BINS))
    extras = np.lib.format.open_memmap(folder / _EXTRAS, "w+", np.float32, (count, 2 * LAYOUT.n_tokens + 2))
    done, form = 0, SampleFormat(plan.datatype)
    for iq in band.stream(_COMPOSED * HOP):
        received = form.decode(encode(iq, plan.datatype).view(np.uint8))
        frames = tokenize(received, plan.rate_hz, fft_size=N_BINS, stride=STRIDE, average=AVERAGE, window=WINDOW, flush=False)
        tokens, side = LAYOUT.split(frames.items)
        whole = len(iq) // HOP
        if not whole:
            break
        known = np.full(whole, -1)
        known[frames.frame_start.astype(int) // HOP] = np.arange(len(frames))
        known = np.maximum.accumulate(known)  # a dropped frame repeats the one before it
        more = np.concatenate([tokens[:, :, STRIDE:].reshape(len(frames), -1), LAYOUT.clipped_share(frames.items)[:, None],
                               side[:, FLOOR_DBFS, None]], axis=1)
        for number, place in enumerate(known.tolist(), done):
            psd[number] = frames.psd[place] if place >= 0 else psd[max(number - 1, 0)]
            extras[number] = more[place] if place >= 0 else extras[max(number - 1, 0)]
        done += whole
        progress(done, count)
    psd.flush()
    extras.flush()
    about = {"name": plan.name, "seed": plan.seed, "rate_hz": plan.rate_hz, "freq_hz": plan.freq_hz,
             "learn": int(times.learn_s * plan.rate_hz / HOP),
             "quiet": int((times.learn_s + times.quiet_s) * plan.rate_hz / HOP), "truth": band.truth}
    (folder / _ABOUT).write_text(json.dumps(about))


@cache
def _sources() -> str:
    """A hash of the simulator's source texts. A commit would change with every page of the docs."""
    room = Path(__file__).resolve().parents[2] / "simulate"
    digest = hashlib.sha256()
    for path in sorted(room.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
