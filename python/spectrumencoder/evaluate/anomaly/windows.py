# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows with and without an injected anomaly, from simulated scenes and from recordings, to judge detectors on.

A unit is one scene or one recording. It has frames to calibrate with, then successive clean windows of ``WINDOW_FRAMES``
frames. The first of them may be kept for thresholds. The others come again with an anomaly in them. Scenes draw a channel plan
of their own from seeds above all that training can draw.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...encoder.engine import Engine
from ...recordings import MemoryRecording, Recording, RecordingError, find_recordings, open_recording
from ...simulate.anomalies import SCORED_KINDS
from ...simulate.anomaly_draws import draw_anomaly
from ...simulate.anomaly_rendering import apply_anomaly
from ...simulate.injections import Truth
from ...simulate.scenes import FIRST_HELD_OUT_SEED, Scene
from ...simulate.signal import power_spectrum
from ...tokens.band_plan import UNKNOWN, band_of
from ...tokens.tokenize import Frames, tokenize

WINDOW_FRAMES = 16
INR_DB = (0.0, 20.0)
SCENE_RATE_HZ = 2.4e6
LEAST_FRAMES = 32  # of a recording
_OCCUPIED = 0.005  # share of an anomaly's power left out at each end of its bins
_TINY = np.complex64(1e-12)  # keeps the spectrum of silence finite


@dataclass(frozen=True)
class Injected:
    """A clean window with an anomaly in it. F = WINDOW_FRAMES.

    Attributes:
        base: number of the clean window. frames: as the tokenizer gives them. truth: the anomaly that was put in.
        change: (F, N) its addition to the mean linear power of each bin; negative if it takes power away.
        low, high: first and last of its bins (99 % of its power).
        onset: first frame that it touches. fullest: first of the frames that hold the largest part of it.
    """

    base: int
    frames: Frames
    truth: Truth
    change: np.ndarray
    low: int
    high: int
    onset: int
    fullest: int


@dataclass
class Unit:
    """A scene or a recording.

    Attributes:
        recording: its calibration part, as `calibrate` would get it. calibration: the frames of that.
        kept: frames of the clean windows kept for thresholds (none: no frames). clean: frames of those to judge, after them.
        injected: see there. average: K. trained_on: by the model.
        n_skipped: injections that were not possible (no channel, or no room for it).
    """

    name: str
    recording: Recording
    calibration: Frames
    kept: Frames
    clean: Frames
    average: int
    band: str
    freq_hz: float = 0.0
    trained_on: bool = False
    injected: list[Injected] = field(default_factory=list)
    n_skipped: int = 0

    @property
    def samp_rate(self) -> float:
        return self.recording.samp_rate

    @property
    def n_windows(self) -> int:
        return len(self.clean) // WINDOW_FRAMES

    @property
    def hours(self) -> float:
        """Of the clean windows and those kept for thresholds."""
        return (len(self.clean) + len(self.kept)) * self.clean.frame_hop / self.samp_rate / 3600.0

    def clean_power(self, window: int) -> np.ndarray:
        """(N,) mean linear power of a clean window's bins."""
        rows = slice(window * WINDOW_FRAMES, (window + 1) * WINDOW_FRAMES)
        return np.mean(10.0 ** (self.clean.psd[rows].astype(np.float64) / 10.0), axis=0)


# -- the one place where an anomaly is put into a window


def inject_window(iq: np.ndarray, samp_rate: float, kind: str, rng: np.random.Generator, inr_db: float,
                  background: Scene | np.ndarray, first_sample: int = 0) -> tuple[np.ndarray, Truth]:
    """Samples (n,) of a window with an anomaly of a drawn place, width and time in it, and its truth.

    The truth's frequency is from the centre; a hopper's is from its first dwell to its last.

    Args:
        background: the scene, whose window begins at first_sample; for a recording its power spectrum.

    Raises:
        ValueError: the plan has no channel or no room for it, or there is no power that its level could relate to.
    """
    scene = background if isinstance(background, Scene) else None
    plan = draw_anomaly(rng, kind, background, samp_rate, len(iq), level_db=inr_db, first_sample=first_sample)
    made, rows = apply_anomaly(iq, samp_rate, plan, scene=scene, first_sample=first_sample)
    start, end = min(r.sample_start for r in rows), max(r.sample_start + r.sample_count for r in rows)
    return made, replace(rows[0], sample_start=start, sample_count=end - start)


# -- units


def draw_scene(number: int, seed: int = 0) -> Scene:
    """A scene of 2 to 5 emitters of any band at 5 to 25 dB on channels of their own, 2.4 MS/s."""
    attempt = FIRST_HELD_OUT_SEED + (seed << 24) + (number << 8)
    while True:
        try:
            return Scene.random(attempt, SCENE_RATE_HZ, (2, 5), snr_db=(5.0, 25.0))
        except ValueError:  # an emitter that does not fit, or is never on
            attempt += 1


def scene_unit(engine: Engine, scene: Scene, number: int = 0, *, average: int, n_calibration: int, n_kept: int, n_windows: int,
               per_kind: int, kinds: tuple[str, ...] = SCORED_KINDS, seed: int = 0) -> Unit:
    """A simulated scene.

    Args:
        number: of the scene, for its name and its anomalies.
        n_calibration: frames, the first ones. n_kept, n_windows: clean windows after them.
        per_kind: windows with each kind of anomaly.
    """
    hop = average * engine.n_bins
    iq = scene.render(0, (n_calibration + (n_kept + n_windows) * WINDOW_FRAMES) * hop)
    names = "+".join(e.waveform for e in scene.emitters) or "noise"
    whole = MemoryRecording(f"scene {number}: {names}", iq, scene.samp_rate)
    return _unit(engine, whole, n_calibration, n_kept, n_windows, average, per_kind * len(kinds), kinds,
                 np.random.default_rng([seed, 0xA40, number]), scene)


def find_units(engine: Engine, folder: Path, *, average: int,
               max_files: int | None = None) -> dict[str, list[tuple[Path, int]]]:
    """Recordings of a folder long enough to judge, by band: band -> [(path, number)]. `recorded_unit` reads one.

    Args:
        max_files: largest number of files, spread evenly over the folder; None: all.

    Raises:
        RecordingError: there is none.
    """
    found = []
    for number, path in enumerate(find_recordings(folder)):
        recording = open_recording(path)
        if _first_capture(recording) // (average * engine.n_bins) >= LEAST_FRAMES:
            found.append((path, number, _band(engine, recording)))
    if not found:
        raise RecordingError(f"{folder} holds no recording of {LEAST_FRAMES} frames of {average * engine.n_bins} samples; give "
                             "longer ones")
    if max_files is not None and len(found) > max_files:
        found = [found[i] for i in np.linspace(0, len(found) - 1, max_files).astype(int)]
    return {band: [(p, n) for p, n, b in found if b == band] for band in dict.fromkeys(b for _, _, b in found)}


def recorded_unit(engine: Engine, path: Path, number: int, *, average: int, per_kind: int, kinds: tuple[str, ...] = SCORED_KINDS,
                  seed: int = 0) -> Unit:
    """A recording: its first half calibrates, the whole windows of its second half are judged."""
    recording = open_recording(path)
    n_frames = _first_capture(recording) // (average * engine.n_bins)
    half = n_frames // 2
    return _unit(engine, recording, half, 0, (n_frames - half) // WINDOW_FRAMES, average, per_kind * len(kinds), kinds,
                 np.random.default_rng([seed, 0xA41, number]))


def _unit(engine, recording, n_calibration, n_kept, n_windows, average, n_injected, kinds, rng, scene=None) -> Unit:
    hop = average * engine.n_bins
    first = copy(recording)
    first.n_samples = n_calibration * hop
    freq = recording.frequency_hz or 0.0
    settings = dict(fft_size=engine.n_bins, stride=engine.layout.stride, average=average, window=engine.config.window,
                    center_freq=freq, flush=False, keep_constant=True)
    span = WINDOW_FRAMES * hop
    kept = recording.read(n_calibration * hop, n_kept * span)
    iq = recording.read(n_calibration * hop + n_kept * span, n_windows * span)
    usual = recording.read(0, n_calibration * hop)
    background = power_spectrum(usual, engine.n_bins) if scene is None else scene
    parts = [tokenize(part, recording.samp_rate, **settings) for part in (usual, kept, iq)]
    if sum(map(len, parts)) != n_calibration + (n_kept + n_windows) * WINDOW_FRAMES:
        raise RecordingError(f"{recording.name}: holds samples that are not finite; leave it out")
    unit = Unit(recording.name, first, *parts, average, _band(engine, recording), freq, recording.name in engine.trained_on)
    order = np.concatenate([rng.permutation(n_windows) for _ in range(-(-n_injected // n_windows))])  # each base as often
    for number in range(n_injected):
        base = int(order[number])
        stretch = iq[base * span:(base + 1) * span]
        try:
            place = background, (n_calibration + (n_kept + base) * WINDOW_FRAMES) * hop
            unit.injected.append(_injected(unit, stretch, base, kinds[number % len(kinds)], rng, settings, place))
        except ValueError:
            unit.n_skipped += 1
    return unit


def _injected(unit: Unit, iq: np.ndarray, base: int, kind: str, rng: np.random.Generator, settings: dict,
              place: tuple[Scene | np.ndarray, int]) -> Injected:
    made, truth = inject_window(iq, unit.samp_rate, kind, rng, float(rng.uniform(*INR_DB)), *place)
    frames = tokenize(made, unit.samp_rate, **settings)
    change = 10.0 ** (tokenize(made - iq + _TINY, unit.samp_rate, **settings).psd.astype(np.float64) / 10.0)
    before, after = unit.clean_power(base), np.mean(10.0 ** (frames.psd.astype(np.float64) / 10.0), axis=0)
    sign = np.where(after < 0.7 * before, -1.0, 1.0)  # where the spectrum has fallen, power was taken away
    energy = np.cumsum(change.sum(axis=0))
    low, high = np.searchsorted(energy / energy[-1], (_OCCUPIED, 1.0 - _OCCUPIED))
    begin, end = np.arange(WINDOW_FRAMES) * frames.frame_hop, np.arange(1, WINDOW_FRAMES + 1) * frames.frame_hop
    filled = np.clip(np.minimum(end, truth.sample_start + truth.sample_count) - np.maximum(begin, truth.sample_start), 0, None)
    return Injected(base, frames, truth, sign * change, int(low), int(high), int(np.argmax(filled > 0)), int(np.argmax(filled)))


def _first_capture(recording: Recording) -> int:
    """Samples up to the second capture: a retune or a gap."""
    later = [c.sample_start for c in recording.captures if 0 < c.sample_start < recording.n_samples]
    return min([recording.n_samples, *later])


def _band(engine: Engine, recording: Recording) -> str:
    band = band_of(recording.frequency_hz)
    return band if band in engine.bands else UNKNOWN
