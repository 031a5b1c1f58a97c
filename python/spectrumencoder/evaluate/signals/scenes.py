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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...atomic_file import make_folder
from ...encoder.token_classes import UNKNOWN_SIGNAL
from ...recordings.sample_format import SampleFormat
from ...recordings.sigmf_writer import encode
from ...signals.signal_list import HOLD_S
from ...simulate.compose.band import Band
from ...simulate.compose.checks import PlanError
from ...simulate.compose.cuts import Cut, Library
from ...simulate.compose.emitters import EMITTER, SNR, SOURCE, noise_density, traffic
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
VISIBLE = 1.0  # of the noise's power per Hz
_TAIL = 0.005  # of the power that can be seen, outside a box at each side
COVERS_DB = 3.0
JOIN_S = HOLD_S  # the bursts of an emitter with shorter gaps are one box
NO_BOX = ("GNSS", "noise")
LEFT_OUT = ("LRPT",)  # their recordings show the receiver's filter, so that a cut is wider than the signal
CONTINUOUS = ("LTE", "GSM", "NXDN")
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
        covered: more than half of it lies under what is at least ``COVERS_DB`` stronger. It does not count, found or not.
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
    covered: bool = False

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
    return [source for source in sources if label_of(source.cls) not in NO_BOX and source.cls not in LEFT_OUT]


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
        make_folder(folder, lambda draft: _write(sources, folders, seed, frames, draft))
    about = json.loads((folder / "scene.json").read_text())
    truth = [TrueBox(*row) for row in about["truth"]]
    return Scene(seed, about["rate_hz"], np.load(folder / "items.npy", mmap_mode="r"), truth, about["recordings"])


def _write(sources: Sequence[Source], folders: Sequence[Path], seed: int, frames: int, folder: Path) -> None:
    plan, library = draw_plan(sources, folders, seed, frames)
    band = Band(plan, folders)
    form, items = SampleFormat(plan.datatype), []
    for iq in band.stream(16 * HOP):
        received = form.decode(encode(iq, plan.datatype).view(np.uint8))
        items.append(tokenize(received, plan.rate_hz, fft_size=N_BINS, stride=STRIDE, average=AVERAGE, window=WINDOW, flush=False,
                              keep_constant=True).items)
    made = np.concatenate(items)[:frames]
    truth = true_boxes(plan, library, len(made))
    np.save(folder / "items.npy", made)
    (folder / "scene.json").write_text(json.dumps({"rate_hz": plan.rate_hz, "truth": truth,
                                                   "recordings": sorted({box.source for box in truth})}))


def true_boxes(plan: Plan, library: Library, frames: int) -> list[TrueBox]:
    """The boxes of what a plan's emitters send. A box begins in the frame that holds its first sample.

    Its edges are those of the occupied band, or if a part of that lies under the noise, of the part that can be seen: 99 % of the
    power of those bins in which the signal has at least ``VISIBLE`` of the noise's power per Hz. Bursts of an emitter with gaps
    below ``JOIN_S`` are one box.
    """
    busy, bin_hz = traffic(plan, library), plan.rate_hz / N_BINS
    noise = noise_density(plan)
    boxes: list[TrueBox] = []
    for note in sorted(busy.truth, key=lambda note: note["core:sample_start"]):
        start, stop = note["core:sample_start"], note["core:sample_start"] + note["core:sample_count"]
        low_hz, high_hz = (note[f"core:freq_{side}_edge"] - plan.freq_hz for side in ("lower", "upper"))
        mine = [burst for burst in busy.bursts if start <= burst.first + burst.cut.lead < stop
                and low_hz < burst.offset_hz < high_hz and burst.cut.source == note[SOURCE]]
        seen = [visible(burst.cut, abs(burst.gain) ** 2 / noise) for burst in mine] or [(low_hz - high_hz, high_hz - low_hz)]
        offset = mine[0].offset_hz if mine else 0.5 * (low_hz + high_hz)
        low_hz, high_hz = max(low_hz, offset + min(a for a, _ in seen)), min(high_hz, offset + max(b for _, b in seen))
        first, last = max(start, 0) // HOP, min((max(stop, 1) - 1) // HOP, frames - 1)
        if first > last:
            continue
        box = TrueBox(low_hz / bin_hz + N_BINS / 2 + 0.5, high_hz / bin_hz + N_BINS / 2 + 0.5, first, last,
                      label_of(note["core:label"]), note["core:label"], note[SNR], note[SOURCE], note[EMITTER])
        before = next((b for b in reversed(boxes) if b.emitter == box.emitter), None)
        if before is not None and (first - before.last - 1) * HOP / plan.rate_hz <= JOIN_S:
            boxes.remove(before)
            box = box._replace(low=min(box.low, before.low), high=max(box.high, before.high), first=before.first,
                               last=max(last, before.last), snr_db=max(box.snr_db, before.snr_db))
        boxes.append(box)
    boxes = [box._replace(covered=_covered(box, boxes)) for box in boxes]
    return sorted(boxes, key=lambda box: (box.first, box.low))


def _covered(box: TrueBox, boxes: Sequence[TrueBox]) -> bool:
    """Whether more than half of a box lies under stronger ones."""
    size = max(round(box.width), 1), box.last - box.first + 1
    under = np.zeros(size, bool)
    for other in boxes:
        if other.emitter != box.emitter and other.snr_db >= box.snr_db + COVERS_DB:
            low, high = round(other.low - box.low), round(other.high - box.low)
            under[max(low, 0):max(high, 0), max(other.first - box.first, 0):max(other.last - box.first + 1, 0)] = True
    return bool(under.mean() > 0.5)


def visible(cut: Cut, over_noise: float) -> tuple[float, float]:
    """Edges in Hz from the middle of a cut of the band in which it can be seen.

    Args:
        over_noise: 1 / (noise power per Hz) times the square of the cut's gain.
    """
    half, step = len(cut.spectrum) // 2, cut.samp_rate / cut.size
    density = np.abs(cut.spectrum.astype(np.complex128)) ** 2 / (cut.size * cut.count * step) * over_noise
    width = max(1, round(cut.samp_rate / N_BINS / step))
    smooth = np.convolve(density, np.full(width, 1.0 / width), "same")
    share = np.cumsum(np.where(smooth >= VISIBLE, smooth, 0.0))
    if not share[-1] > 0.0:
        return -cut.width_hz / 2, cut.width_hz / 2
    first, last = np.searchsorted(share, [_TAIL * share[-1], (1.0 - _TAIL) * share[-1]]).tolist()
    low, high = (first - half - 0.5) * step, (min(last, len(share) - 1) - half + 0.5) * step
    return max(float(low), -cut.width_hz / 2), min(float(high), cut.width_hz / 2)


def draw_plan(sources: Sequence[Source], folders: Sequence[Path], seed: int, frames: int = FRAMES) -> tuple[Plan, Library]:
    """The plan of a scene, and the cuts that it was drawn from.

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
    may_collide = (rng.uniform(size=wanted) < _COLLISIONS).tolist()
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
        place = _placed(rng, cuts, rate, plan.receiver.passband, taken, may_collide[len(emitters)])
        if place is None:
            continue
        emitters.append(_emitter(rng, source.name, len(emitters), place, continuous, plan.seconds, cuts))
    if not emitters:
        return draw_plan(sources, folders, seed + 1_000_003, frames)
    return replace(plan, emitters=tuple(emitters)), library


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
            taken: list[tuple[float, float]], free: bool) -> float | None:
    """An offset (Hz) for cuts of these widths, which is taken then; None if there is none. free: it may collide."""
    width = max(cut.width_hz for cut in cuts)
    room = 0.5 * (min(passband, 0.95) * rate - width)
    if width > MAX_SHARE * rate or room < 0:
        return None
    guard = _GUARD * rate / N_BINS
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
