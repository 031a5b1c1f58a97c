# SPDX-License-Identifier: GPL-3.0-or-later
"""The detector: frames of psd, residual and features in; scores, p-values and events out, in the order of the frames.

The block, the calibration and the tests run this same class. What it gives for a frame follows from that frame and the
earlier ones, never from how frames were batched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .. import keys
from ..encoder import features as layout
from ..encoder.model_file import ModelFile, alike_key, table_key
from ..tokens.band_plan import UNKNOWN
from .band_drift import BandDrift
from .box_search import HISTORY, BoxRows, band_rows
from .calibrate import Table, Tuning, check_false_alarm_rate, scores_needed
from .events import BURST_EVENTS, EVENTS_PER_S, Emitted, EventBuilder, Frame, Segment
from .judge import MARGIN, FixedJudge, Judge, Part, Parts
from .rolling import Rolling
from .scores import FloorTrack, channel_values, mean_square
from .threat_types import shipped

FAR, FIXED, QUANTILE = "far", "fixed", "quantile"
THRESHOLD_MODES = (FAR, FIXED, QUANTILE)
_KEY_COLUMNS = [layout.VARIANT, layout.K_KEPT, layout.K_EFF, layout.POLICY, layout.DTYPE]  # what table_key reads
_KEY_SPAN = slice(min(_KEY_COLUMNS), max(_KEY_COLUMNS) + 1)  # the columns from the first to the last of them, and where they are
_KEY_PLACES = [column - _KEY_SPAN.start for column in _KEY_COLUMNS]
_MOST_AT_ONCE = 32  # frames: their boxes fit the second cache of a core
_MOST_CHOSEN = 1024  # tunings and settings whose table is remembered
_LEVEL = np.zeros(1, np.float32)  # the curve of a band that none was learned of


# states of a notice
UNCALIBRATED, GENERAL_TABLE, RATE_LIMITED, RECALIBRATE = "uncalibrated", "general_table", "rate_limited", "recalibrate"


class Notice(NamedTuple):
    """A line to tell the user. state: ``UNCALIBRATED`` (frames are not judged), ``GENERAL_TABLE`` (they are, by that one),
    ``RATE_LIMITED`` (events are counted, no longer reported) or ``RECALIBRATE`` (the table no longer holds)."""

    state: str
    text: str


@dataclass
class Result:
    """What a batch of F frames gave.

    Attributes:
        scores: (F,) float32, NaN where a frame was not judged (skipped, or no table).
        p_values: (F,) float64, NaN likewise, and with the fixed threshold.
        flagged: (F,) bool.
        emitted: events, in order.
        notices: what to tell the user, one for each table and reason, each only once.
    """

    scores: np.ndarray
    p_values: np.ndarray
    flagged: np.ndarray
    emitted: list[Emitted] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    @property
    def events(self) -> list[dict]:
        """The fields of each emitted event."""
        return [e.fields for e in self.emitted]


class Detector:
    """Judges frames by the conformal tables of a model file.

    Args:
        contract: of the model file: names, labels, window, heads.
        tables: table key -> Table. A frame without one has no p-value, no score and no event: it is `uncalibrated`.
        false_alarm_rate: share of normal frames that may be flagged, (0, 0.5].
        threshold_mode: "far", by the tables; "quantile": by the last scores on the band, which begin with the table's
            (``rolling``); or "fixed": mean-square residual above `threshold`, without calibration.
        threshold: of the fixed mode. The residual is in units of the model's own deviation, so that normal frames have a
            mean square of about 1; 0.05 and 0.1 are what the rule is quoted with for spectra scaled to 0..1.
        false_events_per_hour: how many events an hour may be false on a calibrated band, as far as the tail of its table tells:
            an event opens at scores as rare as that. inf: each flagged frame may open one.
        hold: frames that an event may be unseen before it closes.
        models: names of those that may have answered, in the order of `features.ANSWERED_BY`; the contract's alone when empty.
        drift_db_per_s: how fast the floor's slow track may move.

    Raises:
        ValueError: an argument is out of range, or a table does not fit the model.
    """

    def __init__(self, contract: dict, tables: Mapping[str, Table], *, false_alarm_rate: float = 0.01,
                 threshold_mode: str = FAR, threshold: float = 0.1, hold: int = 4,
                 false_events_per_hour: float = 1.0, models: Sequence[str] = (), drift_db_per_s: float = 0.05):
        encoder = contract["encoder"]
        self.contract, self.tables = contract, dict(tables)
        self._models = tuple(models) or (contract["name"],)
        self.n_bins = int(encoder["fft_size"])
        self._n_tokens = self.n_bins // int(encoder["stride"])
        for key, table in self.tables.items():
            if table.band is not None and len(table.band.mean) != self.n_bins:
                raise ValueError(f"conformal table {key} is of {len(table.band.mean)} bins, the model of {self.n_bins}; "
                                 "calibrate again")
        self._labels = list(contract["labels"]) if contract["heads"].get("classes", True) else []
        self.tracker = EventBuilder(self.n_bins, enbw_bins=window_enbw(encoder["window"], self.n_bins), model=contract["name"],
                                    types=shipped())
        self.floor_track = FloorTrack(drift_db_per_s)
        self.set_false_alarm_rate(false_alarm_rate)
        self.set_threshold_mode(threshold_mode)
        self.set_threshold(threshold)
        self.set_hold(hold)
        self.set_false_events_per_hour(false_events_per_hour)
        self.reset()

    @classmethod
    def from_model(cls, model: ModelFile, **settings: Any) -> Detector:
        """A detector with the contract and the tables of a model file.

        Args:
            model: a loaded file, such as ``Engine.file``.
            settings: keyword arguments of the constructor.

        Raises:
            ValueError: as the constructor, or a table of the file is damaged.
        """
        return cls(model.contract, read_tables(model), **settings)

    def reset(self) -> None:
        """Forgets all frames so far, counters included; keeps the settings."""
        self.n_frames = self.n_judged = self.n_flagged = self.n_uncalibrated = self.n_skipped = 0
        self._age = 0  # of the stream in frames that were not skipped
        self._told: set[tuple[str, str]] = set()  # (state, table key) of the notices so far
        self._chosen: dict[tuple, tuple[str, Table | None, float, float]] = {}  # what `_choose` has found
        self._rows: tuple[str, BoxRows] | None = None  # table, and the last rows of its band's boxes
        self._seen = False  # whether they are of the frames right before the next ones
        self._levels = np.empty((_MOST_AT_ONCE, self.n_bins), np.float32)
        self._drifts: dict[str, BandDrift] = {}  # by table
        self._rolling: dict[str, Rolling] = {}
        self.floor_track.reset()
        self.tracker.reset()

    def copy(self) -> Detector:
        """A detector in the present state, which goes on by itself; contract and tables, which do not change, are shared."""
        fixed = [self.contract, *self.tables.values()]
        return deepcopy(self, {id(one): one for one in fixed})

    # -- settings, which may change between batches

    def set_false_alarm_rate(self, false_alarm_rate: float) -> None:
        """Sets the share of normal frames that may be flagged. Raises ValueError: `false_alarm_rate` is outside (0, 0.5]."""
        self.false_alarm_rate = self.tracker.false_alarm_rate = check_false_alarm_rate(false_alarm_rate)
        self._told, self._chosen = set(), {}

    def set_threshold_mode(self, threshold_mode: str) -> None:
        """Sets how the threshold is found. Raises ValueError: `threshold_mode` is not one of THRESHOLD_MODES."""
        if threshold_mode not in THRESHOLD_MODES:
            raise ValueError(f"threshold_mode {threshold_mode!r} is not one of {', '.join(THRESHOLD_MODES)}")
        self.threshold_mode = threshold_mode

    def set_threshold(self, threshold: float) -> None:
        """Sets the mean-square residual of the fixed mode. Raises ValueError: `threshold` is not positive."""
        if not 0.0 < threshold < np.inf:
            raise ValueError(f"threshold {threshold} (mean-square residual) must be positive")
        self.threshold = float(threshold)

    def set_false_events_per_hour(self, false_events_per_hour: float) -> None:
        """Sets how many events an hour may be false. Raises ValueError: `false_events_per_hour` is not positive."""
        if not false_events_per_hour > 0:
            raise ValueError(f"false_events_per_hour {false_events_per_hour} must be positive")
        self.false_events_per_hour, self._chosen = float(false_events_per_hour), {}

    def set_hold(self, hold: int) -> None:
        """Sets for how many frames an event may be unseen. Raises ValueError: `hold` is not whole, or outside 0..1000000."""
        if hold != int(hold) or not 0 <= hold <= 1_000_000:
            raise ValueError(f"hold {hold} is not a whole number of frames in 0..1000000")
        self.tracker.hold = int(hold)

    @property
    def hold(self) -> int:
        """Frames that an event may be unseen before it closes."""
        return self.tracker.hold

    # -- frames

    def process(self, psd: np.ndarray, residual: np.ndarray, features: np.ndarray, sample_start: np.ndarray,
                segment: Segment) -> Result:
        """Judges the next frames, all of one segment.

        Args:
            psd: (F, N) dBFS. residual: (F, N) standardised. features: (F, 256), layout ``encoder.features``.
            sample_start: (F,) number of each frame's first sample.
            segment: tuning, rate and time of these frames.

        Returns:
            Scores, p-values and flags of the F frames, and the events that they opened, updated or closed.

        Raises:
            ValueError: a residual or logit is not finite, or features name a variant that the model lacks.
        """
        began, count = time.perf_counter(), len(psd)
        used = (features[:, layout.SKIPPED] == 0).nonzero()[0]
        result = Result(np.empty(count, np.float32), np.empty(count), np.zeros(count, bool))
        result.scores.fill(np.nan)
        result.p_values.fill(np.nan)
        self.n_frames += count
        self.n_skipped += count - len(used)
        deviation = np.zeros(count, np.float32)
        place = (segment.rx_freq, segment.rx_rate)
        deviation[used] = self.floor_track.deviations(features[_run(used), layout.FLOOR_DBFS], segment.frame_s, place)
        speaks = np.zeros(count, bool)  # flagged frames of which an event may open
        if self.threshold_mode == FIXED:
            judge_of = self._judge_fixed(residual, used, result, speaks)
        else:
            judge_of = self._judge_by_tables(psd, residual, features, deviation, used, segment, result, speaks)
        judged = np.isfinite(result.scores).nonzero()[0]
        n_flagged = int(np.count_nonzero(result.flagged))
        if self.tracker.n_open or (n_flagged and speaks.any()):  # else there is nothing to tell of these frames
            self._follow(psd, residual, features, deviation, sample_start, segment, used, judged, judge_of, result, speaks, began)
        self.n_judged += len(judged)
        self.n_flagged += n_flagged
        self._age += len(used)
        if self.tracker.n_open:
            result.emitted += _timed(self.tracker.expire(self._age), began)
        if self.tracker.n_suppressed:
            self._tell(result.notices, RATE_LIMITED, "", f"rate limited: more than {BURST_EVENTS} events at once and "
                       f"{EVENTS_PER_S:g} a second since: further ones are counted and not reported until there are fewer; if "
                       "the band has changed, calibrate again")
        return result

    def discontinuity(self) -> list[Emitted]:
        """Time or tuning has jumped: closes what is open. Each tuning keeps its own floor track; what the frames before have
        shown is forgotten."""
        self._seen = False
        return _timed(self.tracker.close_all(), time.perf_counter())

    def flush(self) -> list[Emitted]:
        """The end of the stream: closes what is open."""
        return self.discontinuity()

    # -- parts

    def _follow(self, psd, residual, features, deviation, sample_start, segment, used, judged, judge_of, result, speaks,
                began):
        """Shows the tracker the frames of which an event may open, and those that come while one is open."""
        ages = self._age + np.searchsorted(used, judged)  # frames without a table age an event, skipped ones do not
        flagged, speaks = result.flagged[judged], speaks[judged]
        position = 0
        while position < len(judged):
            if not self.tracker.n_open and not speaks[position]:  # nothing to follow: on to the next that speaks
                ahead = speaks[position:].argmax()
                if not ahead:
                    break
                position += int(ahead)
            f = int(judged[position])
            judge = judge_of(f)
            frame = self._frame(int(ages[position]), psd[f], residual[f], features[f], float(deviation[f]),
                                int(sample_start[f]), segment, judge)
            sightings = judge.locate(frame, float(result.scores[f])) if flagged[position] else []
            result.emitted += _timed(self.tracker.see(frame, sightings, segment), began)
            position += 1

    def _judge_fixed(self, residual: np.ndarray, used: np.ndarray, result: Result, speaks: np.ndarray) -> Callable[[int], Judge]:
        result.scores[used] = mean_square(residual[used])
        _check_finite(result.scores[used])
        result.flagged[used] = speaks[used] = result.scores[used] > self.threshold
        judge = FixedJudge(self.threshold)
        return lambda frame: judge

    def _judge_by_tables(self, psd: np.ndarray, residual: np.ndarray, features: np.ndarray, deviation: np.ndarray,
                         used: np.ndarray, segment: Segment, result: Result, speaks: np.ndarray) -> Callable[[int], Judge]:
        """Judges the frames `used`; gives what tells how the frame of a number was judged."""
        parts = Parts()
        for rows, key, table, threshold, opening in self._groups(features, used, segment, result.notices):
            if table is None:
                self.n_uncalibrated += len(rows)
                continue
            if table.band is not None and key not in self._drifts:
                self._drifts[key] = BandDrift(table.band)
            drift = self._drifts.get(key)
            while len(rows):
                taken = rows[:min(_MOST_AT_ONCE, len(rows) if drift is None else drift.left())]
                rows = rows[len(taken):]
                some = _run(taken)
                level, shown = self._show(key, table, psd[some], features[some, layout.FLOOR_DBFS])
                curve = _LEVEL if drift is None else drift.curve
                scores = table.largest(channel_values(residual[some], features[some, layout.LOGIT], deviation[some], table.scan,
                                                      shown))
                _check_finite(scores)
                p_values, thresholds = table.p_values(scores), np.full(len(scores), threshold)
                if self.threshold_mode == QUANTILE:
                    if key not in self._rolling:
                        self._rolling[key] = Rolling(table.scores)
                    p_values, thresholds = self._rolling[key].judge(scores, self.false_alarm_rate, opening)
                result.scores[some], result.p_values[some] = scores, p_values
                flagged = scores > thresholds
                kept = {}
                if flagged.any():
                    result.flagged[some] = flagged
                    speaks[some] = flagged & (scores > opening - MARGIN * abs(opening))
                    if shown is not None and (self.tracker.n_open or speaks.any()):  # else nobody asks where
                        kept = {place: shown[place:place + HISTORY + 1].copy() for place in flagged.nonzero()[0].tolist()}
                parts.append(Part(taken, thresholds, opening, table, kept, curve))
                if drift is not None and level is not None:
                    drift.take(level, ~flagged, segment.frame_s)
                    if drift.watch(p_values[scores <= opening], table.effective_n / table.n):
                        self._tell(result.notices, RECALIBRATE, key, "recalibrate: frames are no longer like those that the "
                                   f"table {key} was learned from, and no event explains it: the band or the receiver has "
                                   "changed; run `spectrumencoder calibrate` again")
        return parts.judge_of

    def _groups(self, features, used, segment, notices):
        """The frames that were encoded alike: numbers, and as of `_choose`."""
        if not len(used):
            return
        settings = features[_run(used), _KEY_SPAN]
        if len(used) == 1 or (settings == settings[0])[:, _KEY_PLACES].all():  # nearly always
            groups = [used]
        else:
            group_of = np.unique(settings[:, _KEY_PLACES], axis=0, return_inverse=True)[1]
            groups = sorted((used[group_of == group] for group in range(group_of.max() + 1)), key=lambda rows: rows[0])
        for rows in groups:
            yield rows, *self._choose(segment, features[rows[0]], notices)

    def _show(self, key: str, table: Table, psd: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Levels over the floor (F, N) of these frames, and the rows (HISTORY + F, P) of the band's boxes; None where no band was
        learned. Both hold until the next call."""
        if table.scan is None or table.band is None:
            self._seen = False
            _check_finite(psd.sum(axis=1) + floor)
            return None, None
        if self._rows is None:
            self._rows = key, BoxRows(table.scan)
        elif self._rows[0] != key or not self._seen:
            self._rows[1].restart(table.scan)
            self._rows = key, self._rows[1]
        self._seen = True
        level, rows = self._levels[:len(psd)], self._rows[1].extend(len(psd))
        _check_none(band_rows(psd, floor, self._drifts[key].curve, table.band, level, rows[HISTORY:]))
        return level, rows

    def _key(self, band: str, frame: np.ndarray) -> str:
        try:
            return table_key(self.contract, band, frame)
        except IndexError as error:
            raise ValueError(f"features name variant {frame[layout.VARIANT]:g}, policy {frame[layout.POLICY]:g}, type "
                             f"{frame[layout.DTYPE]:g}, which the model {self.contract['name']} lacks; give the encoder and "
                             "the detector the same model") from error

    def _choose(self, segment: Segment, frame: np.ndarray, notices: list[Notice]) -> tuple[str, Table | None, float, float]:
        """As `_table`, and the score above which an event opens; looked up once for a tuning and a setting of the encoder."""
        asked = (segment.rx_freq, segment.rx_rate, segment.band, segment.frame_hop, segment.frame_average,
                 frame[layout.VARIANT], frame[layout.POLICY], frame[layout.DTYPE], frame[layout.K_KEPT], frame[layout.K_EFF])
        chosen = self._chosen.get(asked)
        if chosen is None:
            key, table, threshold = self._table(segment, frame, notices)
            opening = np.inf if table is None else \
                table.opening(self.false_alarm_rate, self.false_events_per_hour, segment.frame_s)
            if len(self._chosen) >= _MOST_CHOSEN:
                self._chosen = {}
            chosen = self._chosen[asked] = key, table, threshold, opening
        return chosen

    def _table(self, segment: Segment, frame: np.ndarray, notices: list[Notice]) -> tuple[str, Table | None, float]:
        """The table for a frame, its key and its threshold; None, with a notice the first time, where none holds for it and the
        rate.

        A band that nobody has calibrated, or not with this overlap or at this tuning, is judged by the general table of
        the band `unknown`, where the file has one that holds. Tables of fp32 and bf16 stand in for each other.
        """
        key, general = self._key(segment.band, frame), self._key(UNKNOWN, frame)
        tuning, window_hop = Tuning(segment.rx_freq, segment.rx_rate), segment.frame_hop / segment.frame_average
        reasons = []
        for found in dict.fromkeys((key, alike_key(key), general, alike_key(general))):
            table = self.tables.get(found)
            reason = f"no conformal table for {found}" if table is None else table.misfit(tuning, window_hop)
            if not reason:
                break
            if table is not None or found == key:
                reasons.append(reason if table is None else f"the table {found} {reason}")
        why = "; ".join(reasons)
        if reason or table is None:
            self._tell(notices, UNCALIBRATED, key, f"uncalibrated: {why}: no p-values and no events from these frames until "
                       "`spectrumencoder calibrate` has learned this band with these settings")
            return key, None, np.inf
        threshold = table.threshold(self.false_alarm_rate)
        if not np.isfinite(threshold):
            self._tell(notices, UNCALIBRATED, found, f"uncalibrated: the table {found} holds {table.n} scores, a "
                       f"false-alarm rate of {self.false_alarm_rate:g} needs {scores_needed(self.false_alarm_rate)}: no "
                       "events; calibrate with more frames")
            return key, None, np.inf
        if found not in (key, alike_key(key)):
            self._tell(notices, GENERAL_TABLE, key, f"general table: {why}; judged by {found}, whose false-alarm rate "
                       "holds for a mixture of recordings, so that few events open (raise false_events_per_hour for more); "
                       "`spectrumencoder calibrate` learns this band")
        return found, table, threshold

    def _tell(self, notices: list[Notice], state: str, key: str, text: str) -> None:
        if (state, key) not in self._told:
            self._told.add((state, key))
            notices.append(Notice(state, text))

    def _frame(self, index: int, psd: np.ndarray, residual: np.ndarray, row: np.ndarray, deviation: float, start: int,
               segment: Segment, judge: Judge) -> Frame:
        span = round(segment.frame_hop * min(float(row[layout.K_EFF]) / segment.frame_average, 1.0)) or segment.frame_hop
        probabilities = row[layout.PROBABILITIES][:len(self._labels)]
        best = int(probabilities.argmax()) if len(probabilities) else None
        answered_by = int(row[layout.ANSWERED_BY])
        if not 0 <= answered_by < len(self._models):
            raise ValueError(f"features say that model {answered_by} of an ensemble has answered, the detector knows "
                             f"{', '.join(self._models)}; give the encoder and the detector the same model")
        floor = float(row[layout.FLOOR_DBFS])
        return Frame(index, start, start + span, psd, residual, judge.deviation(residual, psd - floor), floor, floor - deviation,
                     None if best is None else self._labels[best], None if best is None else float(probabilities[best]),
                     1.0 - float(row[layout.K_KEPT]) / self._n_tokens, judge.threshold, judge.opening,
                     self._models[answered_by], judge.occupied())


def read_tables(model: ModelFile) -> dict[str, Table]:
    """The conformal tables of a model file.

    Raises:
        ValueError: one is damaged; names it.
    """
    tables = {}
    for key, tensors in model.tables.items():
        try:
            tables[key] = Table.from_tensors(tensors)
        except ValueError as error:
            raise ValueError(f"{model.path or model.name}: table {key}: {error}") from error
    return tables


# Windows of the tokenizer as sums of cosines (Harris 1978; Nuttall 1981; flat top: D'Antona and Ferrero 2006)
_COSINES = {
    "blackman": (0.42, 0.5, 0.08), "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368), "hamming": (0.54, 0.46), "hann": (0.5, 0.5),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411), "rectangular": (1.0,),
}


def window_enbw(window: str, n_bins: int) -> float:
    """Equivalent noise bandwidth of a window in bins, N sum(w^2) / (sum w)^2 (Harris 1978, eq. 15).

    Raises:
        ValueError: no such window.
    """
    if window not in _COSINES:
        raise ValueError(f"window {window!r} is none of {', '.join(_COSINES)}")
    angle = 2.0 * np.pi / n_bins * np.arange(n_bins) - np.pi
    taps = sum(share * np.cos(order * angle) for order, share in enumerate(_COSINES[window]))
    return float(n_bins * np.sum(taps**2) / np.sum(taps) ** 2)


def _run(numbers: np.ndarray) -> slice | np.ndarray:
    """Ascending numbers as a slice where they follow each other, which they nearly always do: it takes no copies."""
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) and numbers[-1] - numbers[0] + 1 == len(numbers) \
        else numbers


def _check_finite(scores: np.ndarray) -> None:
    finite = np.isfinite(scores)
    if not finite.all():
        _check_none(int((~finite).sum()))


def _check_none(n_broken: int) -> None:
    if n_broken:
        raise ValueError(f"{n_broken} frames have a residual or logit that is not finite; the model or what feeds it is broken")


def _timed(emitted: list[Emitted], began: float) -> list[Emitted]:
    """Puts into each event how long after its frames' arrival it left, ms."""
    for event in emitted:
        event.fields[keys.LATENCY_MS] = (time.perf_counter() - began) * 1e3
    return emitted


__all__ = ["FAR", "FIXED", "GENERAL_TABLE", "QUANTILE", "RATE_LIMITED", "RECALIBRATE", "THRESHOLD_MODES", "UNCALIBRATED",
           "Detector", "Notice", "Result", "read_tables", "window_enbw"]
