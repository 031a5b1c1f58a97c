# SPDX-License-Identifier: GPL-3.0-or-later
"""False events in hours on simulated bands in which nothing is wrong, and anomalies after them that open an event.

The detector has its defaults. Each scene has a channel plan of its own, as in ``anomaly``. Its first seconds are learned: by the
detector of emitters the last ones of them, by ``boxes`` as `spectrumencoder calibrate` does. Several lengths of learning watch
the same frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.stats import chi2

from ... import keys
from ...detector.detector import Detector, Result
from ...detector.events import OPEN, Segment
from ...detector.learn_band import learn_bands
from ...emitters.watcher import EmitterDetector
from ...encoder.engine import Engine
from ...measure.page import command_block, markdown_table, measured_at, paragraph
from ...measure.provenance import commit
from ...recordings import Capture, Recording
from ...settings import BOXES, DEFAULTS
from ...simulate.anomalies import SCORED_KINDS
from ...simulate.scenes import Scene
from ...tokens.band_plan import UNKNOWN
from ...tokens.tokenize import Frames, tokenize
from .windows import INR_DB, WINDOW_FRAMES, draw_scene, inject_window

TITLE = "A long watch"
_AT_ONCE = 1024  # frames
_REPORTED = (keys.FREQ_CENTER_HZ, keys.BANDWIDTH_HZ, keys.ANOMALY_SCORE, keys.ANALYSIS_TYPE)


@dataclass(frozen=True)
class Sizes:
    """How much is watched."""

    scenes: int = 8
    hours: float = 2.0  # of clean frames, of all scenes together
    calibration_s: tuple[float, ...] = (14.0, 120.0)  # a detector for each
    per_kind: int = 6  # anomalies of each kind in each scene
    average: int = 16  # K


class SceneRecording(Recording):
    """The first seconds of a scene, which read as a recording does and are made as they are read."""

    def __init__(self, scene: Scene, seconds: float):
        super().__init__("scene", scene.samp_rate, int(seconds * scene.samp_rate), [Capture(0, scene.center_freq_hz)])
        self._scene = scene

    def _read_samples(self, start: int, out: np.ndarray) -> None:
        out[:] = self._scene.render(start, len(out))


@dataclass
class _Watcher:
    """A detector, and what it has opened. `anomalies`: (kind, INR in dB, whether an event opened)."""

    detector: Detector | EmitterDetector
    false_events: list[dict] = field(default_factory=list)
    anomalies: list[tuple[str, float, bool]] = field(default_factory=list)


def watch(model: str = "base", *, sizes: Sizes = Sizes(), dropout_rate: float = 0.25, seed: int = 0,
          detector: str = DEFAULTS.detector,
          progress: Callable[[float, float, str], None] = lambda done, total, name: None) -> dict:
    """Watches the scenes with a detector for each length of calibration.

    Args:
        detector: "emitters" or "boxes". progress: called with (hours done, hours in all, the scene's name).

    Returns:
        Under `by_calibration`, for each length (s): `false_events_per_hour` with its exact 95 % Poisson interval, `event_pd`,
        both over all scenes, and scene, hour and fields of each false event.
    """
    engine = Engine(model, dropout_rate=dropout_rate, pad_batch=64)
    per_scene, watched = sizes.hours / sizes.scenes, {}
    for number in range(sizes.scenes):
        name = f"scene {number}"
        progress(number * per_scene, sizes.hours, f"{name}: calibrates")
        for seconds, watcher in _watch_scene(
                engine, detector, draw_scene(number, seed), sizes, per_scene, np.random.default_rng([seed, 0x3A7C, number]),
                lambda hours, name=name, before=number * per_scene: progress(before + hours, sizes.hours, name)).items():
            watched.setdefault(seconds, []).append(watcher)
    progress(sizes.hours, sizes.hours, "done")
    return {"model": engine.model_name, "weights_sha256": engine.contract["weights_sha256"], "commit": commit(), "seed": seed,
            "settings": asdict(sizes) | {"detector": detector, "dropout_rate": engine.dropout_rate, "inr_db": list(INR_DB),
                                         "kinds": list(SCORED_KINDS)},
            "by_calibration": {f"{seconds:g}": _figures(of_scenes, sizes.hours) for seconds, of_scenes in watched.items()}}


def _watch_scene(engine: Engine, kind: str, scene: Scene, sizes: Sizes, hours: float, rng: np.random.Generator,
                 progress: Callable[[float], None]) -> dict[float, _Watcher]:
    hop = sizes.average * engine.n_bins
    segment = Segment(scene.center_freq_hz or 0.0, scene.samp_rate, UNKNOWN, hop, sizes.average)
    watchers = {}
    for seconds in sizes.calibration_s:
        if kind == BOXES:
            tables = learn_bands([SceneRecording(scene, seconds)], engine, average=sizes.average)
            watchers[seconds] = _Watcher(Detector(engine.contract, tables))
        else:
            watchers[seconds] = _Watcher(EmitterDetector(engine.contract, learn_s=1e9))
    first = int(max(sizes.calibration_s) * scene.samp_rate / hop)

    def frames_of(iq: np.ndarray) -> Frames:
        return tokenize(iq, scene.samp_rate, fft_size=engine.n_bins, stride=engine.layout.stride, average=sizes.average,
                        window=engine.config.window, flush=False)

    def judged(iq: np.ndarray, start: int, detectors: list) -> Iterator[Result]:
        frames = frames_of(iq)
        made = engine.encode(frames.items, segment.band)
        for detector in detectors:
            yield detector.process(frames.psd, made.residual, made.features, (start + np.arange(len(frames))) * hop, segment)

    for seconds, watcher in watchers.items() if kind != BOXES else ():
        begin = first - int(seconds * scene.samp_rate / hop)
        for start in range(begin, first, _AT_ONCE):
            count = min(_AT_ONCE, first - start)
            for _ in judged(scene.render(start * hop, count * hop), start, [watcher.detector]):
                pass
        watcher.detector.finish_learning()
    stop = first + round(hours * 3600.0 / segment.frame_s)
    for start in range(first, stop, _AT_ONCE):
        count = min(_AT_ONCE, stop - start)
        results = judged(scene.render(start * hop, count * hop), start, [w.detector for w in watchers.values()])
        for watcher, result in zip(watchers.values(), results, strict=True):
            watcher.false_events += [{"hour": (e[keys.SAMPLE_START] / hop - first) * segment.frame_s / 3600.0}
                                     | {k: e[k] for k in _REPORTED} for e in _opened(result)]
        progress((start + count - first) * segment.frame_s / 3600.0)
    for number in range(sizes.per_kind * len(SCORED_KINDS)):
        kind, inr_db, start = SCORED_KINDS[number % len(SCORED_KINDS)], float(rng.uniform(*INR_DB)), stop + number * WINDOW_FRAMES
        clean = scene.render(start * hop, WINDOW_FRAMES * hop)
        try:
            made, _ = inject_window(clean, scene.samp_rate, kind, rng, inr_db, scene, start * hop)
        except ValueError:  # no room or no channel for it
            made = None
        if made is not None:
            results = judged(made, start, [w.detector.copy() for w in watchers.values()])
            for watcher, result in zip(watchers.values(), results, strict=True):
                watcher.anomalies.append((kind, inr_db, bool(_opened(result))))
        for _ in judged(clean, start, [w.detector for w in watchers.values()]):
            pass
    return watchers


def _figures(of_scenes: list[_Watcher], hours: float) -> dict:
    events = [{"scene": number} | event for number, watcher in enumerate(of_scenes) for event in watcher.false_events]
    trials = [trial for watcher in of_scenes for trial in watcher.anomalies]
    count = len(events)
    low, high = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, chi2.ppf(0.975, 2 * count + 2) / 2
    of_kind = {kind: [opened for k, _, opened in trials if k == kind] for kind in SCORED_KINDS}
    per_type = {kind: float(np.mean(opened)) for kind, opened in of_kind.items() if opened}
    return {"false_events": count, "hours": hours,
            "false_events_per_hour": {"mean": count / hours, "low": low / hours, "high": high / hours},
            "event_pd": float(np.mean(list(per_type.values()))) if per_type else None, "event_pd_per_type": per_type,
            "n_anomalies": len(trials), "events": events}


def report(result: dict, command: str) -> str:
    """The figures as Markdown: false events and anomalies found by length of calibration, the command."""
    settings, kinds = result["settings"], result["settings"]["kinds"]
    rates = {seconds: row["false_events_per_hour"] for seconds, row in result["by_calibration"].items()}
    return "\n".join([paragraph(
        f"{settings['scenes']} simulated scenes at 2.4 MS/s, K = {settings['average']}, model `{result['model']}`, dropout "
        f"{settings['dropout_rate']:g}, the detector's defaults (an event opens at scores as rare as one an hour). The "
        f"calibration is followed by {settings['hours']:g} hours in which nothing is wrong, of all scenes together. Then come "
        f"anomalies of {settings['inr_db'][0]:g} to {settings['inr_db'][1]:g} dB INR, each within 16 frames. All lengths of "
        "calibration watch the same frames. Brackets hold the exact 95 % Poisson interval.") + "\n",
        markdown_table(["calibration", "false events", "an hour", "anomalies that open an event (mean of kinds)"], [
            [f"{seconds} s", row["false_events"], f"{rates[seconds]['mean']:.2f} [{rates[seconds]['low']:.2f}, "
             f"{rates[seconds]['high']:.2f}]", f"{row['event_pd']:.3f} of {row['n_anomalies']}"]
            for seconds, row in result["by_calibration"].items()]),
        "Share of the anomalies that open an event, by kind:\n",
        markdown_table(["calibration", *kinds], [
            [f"{seconds} s", *(f"{row['event_pd_per_type'][k]:.2f}" if k in row["event_pd_per_type"] else "-" for k in kinds)]
            for seconds, row in result["by_calibration"].items()]),
        command_block(command), measured_at(result)]) + "\n"


def _opened(result: Result) -> list[dict]:
    return [e.fields for e in result.emitted if e.fields[keys.STATE] == OPEN and e.fields[keys.IS_ANOMALY]]
