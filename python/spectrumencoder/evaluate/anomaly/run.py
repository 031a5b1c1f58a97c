# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of injected anomalies at a given false-alarm rate: the module's detector, classical ones and the clairvoyant bound.

Simulated scenes have K = 16. Each draws a channel plan of its own. Its first clean frames calibrate. Later windows of 16
frames are judged, clean and with an anomaly of 0 to 20 dB INR. Recordings have K = 4. The first half calibrates, the second is
judged. Those of a band are calibrated together, as `calibrate` does with a folder, since most are too short for a table of
their own.

The module's detector is the one that runs: tokenizer, ``Engine``, ``learn_bands``, ``Detector``. Its state at a window with an
anomaly is its state at the same window without. Every detector judges the same windows by its largest frame score. Every
detector learns from the same calibration frames; the baselines leave out the last quarter of them.

Every detector's threshold, ours too, is then set alike by its own scores of clean frames that it was not fitted on (see
``figures``). In a scene these are of clean windows kept for that, next after the calibration. Recordings have none to spare.
There the last quarter of the calibration frames gives each detector its scale (median 0 in the recording, 99 % quantile 1 in
its band), and thresholds come from other recordings. A frame that a detector did not judge has no part in the scale. A window
of such frames alone counts as not found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ... import keys
from ...detector.calibrate import TooFewFrames
from ...detector.detector import CALIBRATED, FIXED, Detector, Result
from ...detector.events import CLOSE, OPEN, Segment
from ...detector.learn_band import learn_bands
from ...detector.table import Table, read_tables
from ...emitters.watcher import EmitterDetector
from ...encoder.engine import Engine
from ...measure.provenance import commit
from ...simulate.anomalies import SCORED_KINDS
from .baselines import Baseline, make_baselines
from .bound import bin_correlation, inr_for_half, likelihood_ratio_pd
from .figures import MAIN, OURS, RATES, Trials, figures
from .windows import INR_DB, WINDOW_FRAMES, Injected, Unit, draw_scene, find_units, recorded_unit, scene_unit

BOXES = "boxes"  # the detector of the release before
_SCALE_SHARE = 0.25  # of the calibration frames, the last ones
_MIN_SPREAD = 1e-6


class AnomalyError(Exception):
    """An evaluation that cannot be run; one line."""


@dataclass(frozen=True)
class Sizes:
    """How much is judged: scenes, their calibration frames, clean windows kept for thresholds, clean windows judged and windows
    with each kind of anomaly; recordings (None: all) and windows with each kind in each; draws of the bootstrap."""

    scenes: int = 20
    calibration: int = 2000
    kept: int = 100
    windows: int = 50
    per_kind: int = 12
    files: int | None = None
    per_kind_file: int = 2
    draws: int = 1000


QUICK = Sizes(scenes=2, calibration=640, kept=100, windows=8, per_kind=2, files=4, per_kind_file=1, draws=50)


def anomaly(model: str = "base", corpus: Path | None = None, *, sizes: Sizes = Sizes(), kinds: tuple[str, ...] = SCORED_KINDS,
            dropout_rate: float = 0.25, seed: int = 0, quick: bool = False,
            progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Judges detectors on injected anomalies.

    Args:
        corpus: folder of SigMF recordings to inject into; None: simulated scenes only.
        kinds: of anomalies. quick: the sizes of ``QUICK``; its figures say nothing.

    Returns:
        The figures of the simulated scenes (see ``figures.figures``), `settings`, and under `recorded` the same figures for
        the recordings (None without them).

    Raises:
        AnomalyError: the model has no table for a setting. RecordingError, ModelError: as elsewhere.
    """
    sizes = QUICK if quick else sizes
    engine = Engine(model, dropout_rate=dropout_rate, pad_batch=64)
    found = find_units(engine, corpus, average=4, max_files=sizes.files) if corpus is not None else {}
    total = sizes.scenes + sum(len(files) for files in found.values())
    done = 0

    def reported(units: Iterator[Unit]) -> Iterator[Unit]:
        nonlocal done
        for unit in units:
            progress(done, total, unit.name[:24])
            yield unit
            done += 1

    scenes = (scene_unit(engine, draw_scene(n, seed), n, average=16, n_calibration=sizes.calibration, n_kept=sizes.kept,
                         n_windows=sizes.windows, per_kind=sizes.per_kind, kinds=kinds, seed=seed) for n in range(sizes.scenes))
    simulated = _Trials(kinds)
    for unit in reported(scenes):
        simulated.add([unit], engine, make_baselines(seed))
    result = {"model": engine.model_name, "weights_sha256": engine.contract["weights_sha256"], "variant": engine.variant,
              "commit": commit(), "seed": seed, "quick": quick,
              "settings": asdict(sizes) | {"kinds": list(kinds), "window_frames": WINDOW_FRAMES, "inr_db": list(INR_DB),
                                           "dropout_rate": engine.dropout_rate, "average": {"simulated": 16, "recorded": 4}},
              **figures(simulated.finish(), draws=sizes.draws, seed=seed), "recorded": None}
    if found:
        recorded = _Trials(kinds)
        for files in found.values():
            units = (recorded_unit(engine, path, number, average=4, per_kind=sizes.per_kind_file, kinds=kinds, seed=seed)
                     for path, number in files)
            recorded.add(list(reported(units)), engine, make_baselines(seed))
        result["recorded"] = figures(recorded.finish(), draws=sizes.draws, seed=seed)
    progress(total, total, "done")
    return result


class _Trials:
    """Collects the scores of detectors for units that share a calibration, group after group."""

    def __init__(self, kinds: tuple[str, ...]):
        self._kinds, self._parts = kinds, []
        self._calibrated_by: dict[str, str] = {}

    def add(self, units: list[Unit], engine: Engine, baselines: list[Baseline]):
        """Calibrates on all units together and judges the windows of each."""
        boxes, ours = CalibratedDetector(units, engine), LearningDetector(engine)
        self._calibrated_by |= {u.name: boxes.calibrated_by for u in units}
        encoded = [EncodedUnit(unit, engine) for unit in units]
        watched = [ours.watch(unit, one) for unit, one in zip(units, encoded, strict=True)]
        scores = {OURS: [w.scores for w in watched],
                  BOXES: [boxes.watch(unit, one).scores for unit, one in zip(units, encoded, strict=True)]}
        levels = [_Levels(unit) for unit in units]
        learn = np.concatenate([level.learn for level in levels])
        age = np.concatenate([np.linspace(0, 1, len(level.learn)) for level in levels])
        learn = learn[np.argsort(age, kind="stable")]  # the last third of them is then the last third of every recording
        for baseline in baselines:
            baseline.fit(learn)
            scores[baseline.name] = [level.scored(baseline) for level in levels]
        of_all = {name: scaled(of_units) for name, of_units in scores.items()}
        correlation = bin_correlation(engine.config.window, engine.n_bins)
        for number, (unit, seen) in enumerate(zip(units, watched, strict=True)):
            of_unit = {n: s[number] for n, s in of_all.items()}
            self._parts.append(trials_of(unit, seen, of_unit, self._calibrated_by[unit.name], correlation))

    def finish(self) -> Trials:
        return Trials.join(self._parts)


def trials_of(unit: Unit, seen: Watched, scores: dict[str, Scores], calibrated_by: str, correlation: float) -> Trials:
    """The scores of detectors on the windows of one unit, and the bound on them. seen: the result of our detector."""
    rows, injected = range(len(unit.injected)), unit.injected
    clean, of_all = [unit.clean_power(i.base) for i in injected], (unit.average, MAIN, correlation)
    bound = {rate: np.array([likelihood_ratio_pd(c, i.change, unit.average, rate, correlation)
                             for c, i in zip(clean, injected, strict=True)]) for rate in RATES}
    half = np.array([inr_for_half(c, i.change, i.truth.level_db, *of_all) for c, i in zip(clean, injected, strict=True)])
    one = np.array([likelihood_ratio_pd(c, i.change[i.fullest], *of_all) for c, i in zip(clean, injected, strict=True)])
    return Trials(
        [unit.name], [calibrated_by], np.array([unit.trained_on]), np.array([unit.hours]),
        np.array([seen.events]), {n: s.kept for n, s in scores.items()}, np.zeros(len(unit.kept) // WINDOW_FRAMES, int),
        {n: s.clean for n, s in scores.items()}, np.zeros(unit.n_windows, int), seen.flagged,
        np.zeros(len(injected), int), np.array([i.truth.kind for i in injected], object),
        np.array([i.truth.level_db for i in injected]), {n: s.injected.max(axis=1) for n, s in scores.items()},
        {n: s.injected[rows, [i.fullest for i in injected]] for n, s in scores.items()}, bound, one, half, seen.delay,
        seen.overlap, seen.opened, unit.n_skipped)


@dataclass(frozen=True)
class Scores:
    """Frame scores of a detector on a unit.

    `reference` (R,) is of the last quarter of calibration frames; `kept` (V, 16), `clean` (W, 16), `injected` (I, 16).
    """

    reference: np.ndarray
    kept: np.ndarray
    clean: np.ndarray
    injected: np.ndarray


@dataclass(frozen=True)
class Watched:
    """The result of the module's detector on a unit.

    `flagged` (W, 16) is on the clean windows. `events` opened on those and on the kept ones. `delay` (I,) is in frames from
    onset to the first flagged one. `overlap` (I,) is that of the strongest event's bins with the anomaly's. Both are NaN if
    there is none. `opened` (I,) bool: an event opened.
    """

    scores: Scores
    flagged: np.ndarray
    events: int
    delay: np.ndarray
    overlap: np.ndarray
    opened: np.ndarray


class CalibratedDetector:
    """The module's detector, calibrated on some units together as `calibrate` would.

    Args:
        per_bin: see ``learn_bands``. threshold_mode: of the detector; "fixed" takes no calibration, its score is the
            mean-square residual.
    """

    def __init__(self, units: list[Unit], engine: Engine, *, per_bin: bool = True, threshold_mode: str = CALIBRATED):
        self._engine, tables = engine, read_tables(engine.file)
        if threshold_mode == FIXED:
            self.calibrated_by, self.detector = "nothing", Detector(engine.contract, {}, threshold_mode=FIXED)
            return
        try:
            learned = learn_bands([u.recording for u in units], engine, average=units[0].average, per_bin=per_bin)
            self.calibrated_by = "own table"
        except TooFewFrames:
            learned: dict[str, Table] = {}
            self.calibrated_by = "general table of the model"
        self.detector = Detector(engine.contract, tables | learned, threshold_mode=threshold_mode)

    def watch(self, unit: Unit, encoded: EncodedUnit | None = None) -> Watched:
        """Runs through the calibration frames and the clean windows. From the state before a window it also runs through the
        windows with an anomaly that have it as their base. encoded: the unit, if it is encoded already.
        """
        detector, first = self.detector, len(unit.calibration)
        detector.reset()
        segment = Segment(unit.freq_hz, unit.samp_rate, unit.band, unit.calibration.frame_hop, unit.average)
        encoded = EncodedUnit(unit, self._engine) if encoded is None else encoded
        reference = encoded.judge(detector, "calibration", 0, segment).scores[-_n_reference(first):]
        self._after_calibration()
        before = encoded.judge(detector, "kept", first, segment)
        kept, events = before.scores.reshape(-1, WINDOW_FRAMES), _n_opened(before)
        first += len(unit.kept)
        clean, flagged, injected = [], [], {}
        for window in range(unit.n_windows):
            start = first + window * WINDOW_FRAMES
            for number, one in enumerate(unit.injected):
                if one.base == window:
                    state = detector.copy()
                    result = encoded.judge(state, ("injected", number), start, segment)
                    closed = [e.fields for e in [*result.emitted, *state.flush()] if e.fields[keys.STATE] == CLOSE]
                    injected[number] = (result.scores, _delay(result.flagged, one.onset),
                                        _overlap(closed, one, segment, self._engine.n_bins), _n_opened(result) > 0)
            result = encoded.judge(detector, ("clean", window), start, segment)
            clean.append(result.scores)
            flagged.append(result.flagged)
            events += _n_opened(result)
        ordered = [injected[number] for number in range(len(unit.injected))]
        return Watched(Scores(reference, kept, np.array(clean), np.array([o[0] for o in ordered]).reshape(-1, WINDOW_FRAMES)),
                        np.array(flagged), events, np.array([o[1] for o in ordered]), np.array([o[2] for o in ordered]),
                        np.array([o[3] for o in ordered], bool))


    def _after_calibration(self):
        self.detector.tracker.close_all()  # what is open ends here: events are counted on the windows


class LearningDetector(CalibratedDetector):
    """The module's detector of emitters. It learns each unit's calibration frames, and then watches."""

    def __init__(self, engine: Engine):
        self._engine, self.calibrated_by = engine, "own frames"

    def watch(self, unit: Unit, encoded: EncodedUnit | None = None) -> Watched:
        self.detector = EmitterDetector(self._engine.contract, learn_s=1e9)
        return super().watch(unit, encoded)

    def _after_calibration(self):
        self.detector.finish_learning()


class EncodedUnit:
    """All frames of a unit, encoded at once (a window alone would be padded to a whole batch), and where its parts are."""

    def __init__(self, unit: Unit, engine: Engine):
        parts = {"calibration": unit.calibration, "kept": unit.kept}
        windows = [("clean", n) for n in range(unit.n_windows)]
        sizes = [*(len(p) for p in parts.values()), *(WINDOW_FRAMES for _ in windows), *(len(i.frames) for i in unit.injected)]
        edges = np.cumsum([0, *sizes])
        names = [*parts, *windows, *(("injected", n) for n in range(len(unit.injected)))]
        self._rows = {name: slice(*edges[n:n + 2]) for n, name in enumerate(names)}
        frames = [*parts.values(), unit.clean, *(i.frames for i in unit.injected)]
        self._psd = np.concatenate([f.psd for f in frames])
        self._encoded = engine.encode(np.concatenate([f.items for f in frames]), unit.band)
        self._model = engine.model_name

    def judge(self, detector: Detector | EmitterDetector, part: str | tuple[str, int], start: int, segment: Segment) -> Result:
        """A part through a detector; `start`: number of its first frame."""
        rows = self._rows[part]
        sample = (start + np.arange(rows.stop - rows.start)) * segment.frame_hop
        result = detector.process(self._psd[rows], self._encoded.residual[rows], self._encoded.features[rows], sample, segment)
        if not np.isfinite(result.scores).all() and not isinstance(detector, EmitterDetector):
            why = "; ".join(n.text for n in result.notices) or "no table"
            raise AnomalyError(f"{self._model} cannot judge these frames: {why}")
        return result


class _Levels:
    """Frames of a unit as the baselines get them: dB over the median floor of its calibration frames."""

    def __init__(self, unit: Unit):
        _, side = unit.calibration.layout.split(unit.calibration.items)
        floor = np.median(side[:, 0])
        count = _n_reference(len(unit.calibration))
        self.learn, self.reference = unit.calibration.psd[:-count] - floor, unit.calibration.psd[-count:] - floor
        self._counts = np.cumsum([count, len(unit.kept), len(unit.clean)])
        self._rest = np.concatenate([self.reference, *(part - floor for part in (unit.kept.psd, unit.clean.psd)),
                                     *(i.frames.psd - floor for i in unit.injected)])

    def scored(self, baseline: Baseline) -> Scores:
        parts = np.split(baseline.score(self._rest), self._counts)
        return Scores(parts[0], *(part.reshape(-1, WINDOW_FRAMES) for part in parts[1:]))


def scaled(of_units: list[Scores]) -> list[Scores]:
    """Scores of units with one calibration on one scale: median 0 in each unit and 99 % quantile 1 in all. The scale is that of
    the kept windows, or of the reference frames if there are none.

    Frames that were not judged (NaN) leave the scale as it is, and score lowest of all: a window of such frames is not found. A
    unit of whose reference no frame was judged has the median of the others, in the middle.
    """
    reference = [np.fmax.reduce(s.kept, axis=1) if len(s.kept) else s.reference for s in of_units]
    reference = [r[np.isfinite(r)] for r in reference]
    medians = [float(np.median(r)) if r.size else np.nan for r in reference]
    known = [m for m in medians if np.isfinite(m)]
    if not known:
        return [Scores(*(_lowest_if_not_judged(part) for part in (s.reference, s.kept, s.clean, s.injected))) for s in of_units]
    spread = max(np.quantile(np.concatenate([r - m for r, m in zip(reference, medians, strict=True)]), 0.99), _MIN_SPREAD)
    medians = [m if np.isfinite(m) else float(np.median(known)) for m in medians]
    return [Scores(*(_lowest_if_not_judged((part - m) / spread) for part in (s.reference, s.kept, s.clean, s.injected)))
            for s, m in zip(of_units, medians, strict=True)]


def _lowest_if_not_judged(scores: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(scores), -np.inf, scores)


def _n_reference(n_calibration: int) -> int:
    return max(1, round(_SCALE_SHARE * n_calibration))


def _n_opened(result: Result) -> int:
    return sum(e.fields[keys.STATE] == OPEN for e in result.emitted)


def _delay(flagged: np.ndarray, onset: int) -> float:
    later = np.flatnonzero(flagged[onset:])
    return float(later[0]) if len(later) else np.nan


def _overlap(closed: list[dict], injected: Injected, segment: Segment, n_bins: int) -> float:
    """Bins in common of the strongest event and the anomaly over bins of either; NaN without an event."""
    if not closed:
        return np.nan
    event = max(closed, key=lambda e: e[keys.ANOMALY_SCORE])
    width = segment.rx_rate / n_bins
    count = round(event[keys.BANDWIDTH_HZ] / width)
    low = round((event[keys.FREQ_CENTER_HZ] - segment.rx_freq) / width + n_bins // 2 - (count - 1) / 2)
    common = min(low + count - 1, injected.high) - max(low, injected.low) + 1
    return max(0, common) / (count + injected.high - injected.low + 1 - max(0, common))
