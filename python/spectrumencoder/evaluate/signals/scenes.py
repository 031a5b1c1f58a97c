# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes of 1 to 12 emitters, composed of recordings by the engine of field bands; their frames and truth, kept on disk.

GNSS and noise have no boxes: a GNSS signal lies below the noise, and its recording is the shape of a front end.

A scene is drawn by its seed alone: rate, receiver, recordings, levels, places. Recordings are drawn by class, so that classes
with many recordings do not fill the scenes. A recording is used at rates up to ``MAX_ZOOM`` times its own.

Shape letters: F frames, N bins, M tokens.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...recordings.sample_format import SampleFormat
from ...recordings.sigmf_writer import encode
from ...signals.emission import UNKNOWN_SIGNAL
from ...simulate.compose.band import Band
from ...simulate.compose.checks import PlanError
from ...simulate.compose.cuts import Cut, Library
from ...simulate.compose.emitters import EMITTER, SNR, SOURCE
from ...simulate.compose.plan import EmitterPlan, Plan, ReceiverPlan
from ...tokens.layout import FrameLayout
from ...tokens.tokenize import tokenize
from ...training.corpus import ALIASES, CLASSES, Source

N_BINS, STRIDE, AVERAGE, WINDOW = 1024, 8, 16, "blackmanharris"
HOP = N_BINS * AVERAGE
LAYOUT = FrameLayout(N_BINS, STRIDE)
FRAMES = 256
RATES = (250e3, 500e3, 1e6, 2e6, 2.4e6, 4e6, 10e6, 20e6)
MAX_EMITTERS = 12
SNR_DB = (0.0, 25.0)
MAX_ZOOM = 16.0  # times a recording's own rate
MAX_SHARE = 0.85  # of the rate, that a signal may occupy
NO_BOX = ("GNSS", "noise")
CONTINUOUS = ("LTE", "LRPT", "GSM", "NXDN")
_COLLISIONS = 0.1  # share of the emitters whose place may overlap another one's
_GUARD = 4  # bins between emitters that do not collide
_TRIES = 40  # places for an emitter
_BURSTS = (2.0, 12.0)  # of an emitter that comes and goes, in a scene
_FREQ_HZ = 1e9


class TrueBox(NamedTuple):
    """A burst as it was composed.

    Attributes:
        low, high: first and last bin, high included; parts of bins count. first, last: frames, last included.
        label: class of the model, or ``UNKNOWN_SIGNAL``. cls: class of the recording. snr_db: in its own band while on.
    """

    low: float
    high: float
    first: int
    last: int
    label: str
    cls: str
    snr_db: float
    source: str
    emitter: str

    @property
    def width(self) -> float:
        """Bins."""
        return self.high - self.low


@dataclass(frozen=True)
class Scene:
    """F frames: items (F, item_size) of the tokenizer, and the truth."""

    seed: int
    rate_hz: float
    items: np.ndarray
    truth: list[TrueBox]
    recordings: list[str]

    @property
    def frame_s(self) -> float:
        """Seconds from frame to frame."""
        return HOP / self.rate_hz


def label_of(cls: str) -> str:
    """The label of a recording's class; ``UNKNOWN_SIGNAL`` if models have none for it."""
    label = ALIASES.get(cls, cls)
    return label if label in CLASSES else UNKNOWN_SIGNAL


def with_boxes(sources: Iterable[Source]) -> list[Source]:
    """The recordings that a scene may hold."""
    return [source for source in sources if label_of(source.cls) not in NO_BOX]


def make_scene(sources: Sequence[Source], folders: Sequence[Path], seed: int, cache_dir: Path, frames: int = FRAMES) -> Scene:
    """A scene: read if it is kept in ``cache_dir``, else composed and kept.

    Args:
        sources: recordings that it may hold, of these folders.

    Raises:
        CorpusError, RecordingError: a recording is unreadable. ValueError: no recording fits.
    """
    names = sorted(source.name for source in sources)
    text = json.dumps([names, seed, frames, RATES, SNR_DB, MAX_ZOOM, _engine()])
    folder = cache_dir / f"scene_{seed}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not (folder / "scene.json").is_file():
        cache_dir.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=cache_dir, prefix=f"{folder.name}.part"))
        try:
            _write(sources, folders, seed, frames, draft)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    about = json.loads((folder / "scene.json").read_text())
    truth = [TrueBox(*row) for row in about["truth"]]
    return Scene(seed, about["rate_hz"], np.load(folder / "items.npy", mmap_mode="r"), truth, about["recordings"])


def _write(sources: Sequence[Source], folders: Sequence[Path], seed: int, frames: int, folder: Path) -> None:
    plan = draw_plan(sources, folders, seed, frames)
    band = Band(plan, folders)
    form, items = SampleFormat(plan.datatype), []
    for iq in band.stream(16 * HOP):
        received = form.decode(encode(iq, plan.datatype).view(np.uint8))
        items.append(tokenize(received, plan.rate_hz, fft_size=N_BINS, stride=STRIDE, average=AVERAGE, window=WINDOW, flush=False,
                              keep_constant=True).items)
    made = np.concatenate(items)[:frames]
    truth = truth_of(plan, band.truth, len(made))
    np.save(folder / "items.npy", made)
    (folder / "scene.json").write_text(json.dumps({"rate_hz": plan.rate_hz, "truth": truth,
                                                   "recordings": sorted({box.source for box in truth})}))


def truth_of(plan: Plan, notes: list[dict], frames: int) -> list[TrueBox]:
    """The boxes of a band's annotations. A box begins in the frame that holds its first sample."""
    boxes, bin_hz = [], plan.rate_hz / N_BINS
    for note in notes:
        if EMITTER not in note:
            continue
        start, stop = note["core:sample_start"], note["core:sample_start"] + note["core:sample_count"]
        first, last = max(start, 0) // HOP, min((max(stop, 1) - 1) // HOP, frames - 1)
        if first > last:
            continue
        low, high = ((note[f"core:freq_{side}_edge"] - plan.freq_hz) / bin_hz + N_BINS / 2 + 0.5 for side in ("lower", "upper"))
        boxes.append(TrueBox(low, high, first, last, label_of(note["core:label"]), note["core:label"], note[SNR], note[SOURCE],
                             note[EMITTER]))
    return sorted(boxes, key=lambda box: (box.first, box.low))


def draw_plan(sources: Sequence[Source], folders: Sequence[Path], seed: int, frames: int = FRAMES) -> Plan:
    """The plan of a scene.

    Raises:
        ValueError: no recording fits any of the rates.
    """
    rng = np.random.default_rng([seed, 0x51])
    usable = [s for s in sources if any(s.samp_rate * MAX_ZOOM >= rate for rate in RATES)]
    if not usable:
        raise ValueError(f"none of {len(sources)} recordings fits a scene; name a folder with other recordings")
    rate = float(rng.choice([r for r in RATES if any(s.samp_rate * MAX_ZOOM >= r for s in usable)]))
    plan = Plan(about="Emitters at drawn places.", rate_hz=rate, freq_hz=_FREQ_HZ, seconds=frames * HOP / rate, seed=seed,
                datatype=str(rng.choice(["ci8", "ci16_le"])), receiver=_receiver(rng), name=f"scene_{seed}")
    library, taken = Library(folders, rate), []
    emitters: list[EmitterPlan] = []
    wanted, tries = int(rng.integers(1, MAX_EMITTERS + 1)), 0
    while len(emitters) < wanted and tries < 4 * MAX_EMITTERS:
        tries += 1
        source = _drawn(rng, usable)
        continuous = source.cls in CONTINUOUS or label_of(source.cls) in CONTINUOUS
        if source.samp_rate * MAX_ZOOM < rate:
            continue
        try:
            cuts = library.of_recordings((source.name,), plan.name, continuous=continuous)
        except PlanError:
            continue
        place = _placed(rng, cuts, rate, plan.receiver.passband, taken)
        if place is None:
            continue
        emitters.append(_emitter(rng, source.name, len(emitters), place, continuous, plan.seconds, cuts))
    if not emitters:
        return draw_plan(sources, folders, seed + 1_000_003, frames)
    return replace(plan, emitters=tuple(emitters))


def _receiver(rng: np.random.Generator) -> ReceiverPlan:
    return ReceiverPlan(noise_dbfs=float(rng.uniform(-45, -32)), passband=float(rng.uniform(0.8, 1.0)),
                        rolloff=float(rng.uniform(0.02, 0.15)), stop_db=float(rng.uniform(10, 50)),
                        ripple_db=float(rng.uniform(0, 0.8)), tilt_db=float(rng.normal(0, 0.6)),
                        iq_image_db=float(rng.uniform(-55, -28)), dc_dbfs=float(rng.uniform(-70, -45)))


def _drawn(rng: np.random.Generator, sources: Sequence[Source]) -> Source:
    """A recording: of a drawn class."""
    classes = sorted({source.cls for source in sources})
    cls = classes[int(rng.integers(len(classes)))]
    mine = [source for source in sources if source.cls == cls]
    return mine[int(rng.integers(len(mine)))]


def _placed(rng: np.random.Generator, cuts: Sequence[Cut], rate: float, passband: float,
            taken: list[tuple[float, float]]) -> float | None:
    """An offset (Hz) for cuts of these widths, which is taken then; None if there is none."""
    width = max(cut.width_hz for cut in cuts)
    room = 0.5 * (min(passband, 0.95) * rate - width)
    if width > MAX_SHARE * rate or room < 0:
        return None
    guard, free = _GUARD * rate / N_BINS, rng.uniform() < _COLLISIONS
    for _ in range(_TRIES):
        offset = float(rng.uniform(-room, room))
        low, high = offset - width / 2 - guard, offset + width / 2 + guard
        if free or all(high <= a or b <= low for a, b in taken):
            taken.append((low, high))
            return offset
    return None


def _emitter(rng: np.random.Generator, name: str, number: int, offset: float, continuous: bool, seconds: float,
             cuts: Sequence[Cut]) -> EmitterPlan:
    longest = max(cut.count / cut.samp_rate for cut in cuts)
    interval = max(seconds / float(rng.uniform(*_BURSTS)), 1.3 * longest)
    return EmitterPlan(id=f"e{number:02d}", recordings=(name,), offset_hz=(offset,), snr_db=float(rng.uniform(*SNR_DB)),
                       burst_db=0.0 if continuous else 0.7, continuous=continuous, interval_s=None if continuous else interval,
                       timing=str(rng.choice(["random", "periodic"])))


@cache
def _engine() -> str:
    """A hash of the sources that compose. A commit would change with every page of the docs."""
    room = Path(__file__).resolve().parents[2] / "simulate"
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(room.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
