# SPDX-License-Identifier: GPL-3.0-or-later
"""The detector: frames of psd, residual and features in; scores, p-values and events out, in the order of the frames.

The block, the evaluation and the tests run this same class. The result for a frame follows from that frame and the earlier
ones, never from how frames were batched. ``scorer`` says how anomalous a frame is, ``events`` makes events of the flagged ones.

Shape letters: F frames, N bins.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import keys
from ..encoder import features as layout
from ..encoder.model_file import ModelFile
from ..settings import DEFAULTS, SETTINGS
from ..tokens.layout import usable_bins
from .events import BURST_EVENTS, EVENTS_PER_S, Emitted, EventBuilder, Frame, Segment, Sighting
from .frame_batch import FrameBatch, FrameInputs, used_frames
from .judge import Judge, Judgement, judge_fixed
from .notices import RATE_LIMITED, Notice, Notices
from .scorer import Scorer
from .table import Table, check_false_alarm_rate, read_tables
from .table_choice import Rates
from .threat_types import shipped

CALIBRATED, QUANTILE, FIXED = SETTINGS["threshold_mode"].choices


@dataclass
class Result:
    """The results of a batch of F frames.

    Attributes:
        scores: (F,) float32, NaN if a frame was not judged (skipped, or no table).
        p_values: (F,) float64, NaN likewise, and with the fixed threshold.
        flagged: (F,) bool.
        emitted: events, in order.
        notices: lines for the user, one for each table and reason, each only once.
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
        threshold_mode: "calibrated", by the tables ("far" is its old name); "quantile": by the last scores on the band, which
            begin with the table's (``rolling``); or "fixed": mean-square residual above `threshold`, without calibration.
        threshold: of the fixed mode. The residual is in units of the model's own deviation, so that normal frames have a
            mean square of about 1; 0.05 and 0.1 are what the rule is quoted with for spectra scaled to 0..1.
        false_events_per_hour: how many events an hour may be false on a calibrated band, as far as the tail of its table tells:
            an event opens at scores as rare as that. inf: each flagged frame may open one.
        hold: frames that an event may be unseen before it closes.
        usable: share of the band's width, around its middle, that is judged, (0, 1]. No event opens outside it, and scores
            ignore the other bins, with two exceptions: the noise floor and the label of a frame are of the whole band. The
            anomaly head, which sees whole frames, does not count if the share is less than 1.
        models: names of those that may have answered, in the order of `features.ANSWERED_BY`; the contract's alone when empty.
        drift_db_per_s: how fast the floor's slow track may move.

    Raises:
        ValueError: an argument is out of range, or a table does not fit the model.
    """

    def __init__(self, contract: dict, tables: Mapping[str, Table], *, false_alarm_rate: float = DEFAULTS.false_alarm_rate,
                 threshold_mode: str = DEFAULTS.threshold_mode, threshold: float = DEFAULTS.threshold,
                 hold: int = DEFAULTS.hold, false_events_per_hour: float = DEFAULTS.false_events_per_hour,
                 usable: float = DEFAULTS.usable, models: Sequence[str] = (), drift_db_per_s: float = 0.05):
        encoder = contract["encoder"]
        self.contract, self.tables = contract, dict(tables)
        self._models = tuple(models) or (contract["name"],)
        self.n_bins = int(encoder["fft_size"])
        self._n_tokens = self.n_bins // int(encoder["stride"])
        for key, table in self.tables.items():
            if table.band is not None and len(table.band.mean) != self.n_bins:
                raise ValueError(f"conformal table {key} is of {len(table.band.mean)} bins, the model of {self.n_bins}; "
                                 "calibrate again")
        self.usable = SETTINGS["usable"].check(usable)
        self._judged = usable_bins(self.n_bins, self.usable)
        if self.usable < 1:
            self.tables = {key: table.within(self._judged) for key, table in self.tables.items()}
        self._labels = list(contract["labels"]) if contract["heads"].get("classes", True) else []
        self.tracker = EventBuilder(self.n_bins, enbw_bins=window_enbw(encoder["window"], self.n_bins), model=contract["name"],
                                    types=shipped())
        self._inputs = FrameInputs(drift_db_per_s)
        self.reset()
        self.set_false_alarm_rate(false_alarm_rate)
        self.set_threshold_mode(threshold_mode)
        self.set_threshold(threshold)
        self.set_hold(hold)
        self.set_false_events_per_hour(false_events_per_hour)

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
        self._notices = Notices()
        self._scorer = Scorer(self.contract, self.tables, self.n_bins, self._notices, self._judged)
        self._inputs.reset()
        self.tracker.reset()

    def copy(self) -> Detector:
        """A detector in the present state, which goes on by itself; contract and tables, which do not change, are shared."""
        fixed = [self.contract, *self.tables.values()]
        return deepcopy(self, {id(one): one for one in fixed})

    # -- settings, which may change between batches

    def set_false_alarm_rate(self, false_alarm_rate: float) -> None:
        """Sets the share of normal frames that may be flagged. Raises ValueError: `false_alarm_rate` is outside (0, 0.5]."""
        self.false_alarm_rate = self.tracker.false_alarm_rate = check_false_alarm_rate(false_alarm_rate)
        self._scorer.repeat_notices()

    def set_threshold_mode(self, threshold_mode: str) -> None:
        """Sets how the threshold is found. Raises ValueError: `threshold_mode` is none of its choices in settings.py."""
        self.threshold_mode = SETTINGS["threshold_mode"].check(threshold_mode)

    def set_threshold(self, threshold: float) -> None:
        """Sets the mean-square residual of the fixed mode. Raises ValueError: `threshold` is not positive."""
        if not 0.0 < threshold < np.inf:
            raise ValueError(f"threshold {threshold} (mean-square residual) must be positive")
        self.threshold = float(threshold)

    def set_false_events_per_hour(self, false_events_per_hour: float) -> None:
        """Sets how many events an hour may be false. Raises ValueError: `false_events_per_hour` is not positive."""
        if not false_events_per_hour > 0:
            raise ValueError(f"false_events_per_hour {false_events_per_hour} must be positive")
        self.false_events_per_hour = float(false_events_per_hour)

    def set_hold(self, hold: int) -> None:
        """Sets for how many frames an event may be unseen. Raises ValueError: `hold` is not whole, or out of range."""
        self.tracker.hold = int(SETTINGS["hold"].check(hold))

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
        began, used = time.perf_counter(), used_frames(features)
        residual = self._usable_part(residual)
        batch = self._inputs.batch(psd, residual, features, used, segment.frame_s, (segment.rx_freq, segment.rx_rate))
        self.n_frames += batch.n_frames
        self.n_skipped += batch.n_frames - len(used)
        if self.threshold_mode == FIXED:
            judgement = judge_fixed(residual[:, self._judged], used, self.threshold)
        else:
            judgement = self._scorer.score(batch, used, segment, Rates(self.false_alarm_rate, self.false_events_per_hour),
                                           rolling=self.threshold_mode == QUANTILE, events_open=self.tracker.n_open > 0)
        judged = np.isfinite(judgement.scores).nonzero()[0]
        n_flagged = int(np.count_nonzero(judgement.flagged))
        result = Result(judgement.scores, judgement.p_values, judgement.flagged)
        if self.tracker.n_open or (n_flagged and judgement.speaks.any()):  # otherwise no event changes
            self._follow(batch, sample_start, segment, used, judged, judgement, result.emitted, began)
        self.n_uncalibrated += judgement.n_uncalibrated
        self.n_judged += len(judged)
        self.n_flagged += n_flagged
        self._age += len(used)
        if self.tracker.n_open:
            result.emitted += _timed(self.tracker.expire(self._age), began)
        if self.tracker.n_suppressed:
            self._notices.give(RATE_LIMITED, "", f"rate limited: more than {BURST_EVENTS} events at once and {EVENTS_PER_S:g} a "
                               "second since: further ones are counted and not reported until there are fewer; if the band has "
                               "changed, calibrate again")
        result.notices = self._notices.take()
        return result

    def discontinuity(self) -> list[Emitted]:
        """Time or tuning has jumped: closes what is open, and forgets the boxes of the frames before. Each tuning keeps its own
        floor track."""
        self._scorer.discontinuity()
        return _timed(self.tracker.close_all(), time.perf_counter())

    def flush(self) -> list[Emitted]:
        """The end of the stream: closes what is open."""
        return self.discontinuity()

    # -- parts

    def _follow(self, batch: FrameBatch, sample_start: np.ndarray, segment: Segment, used: np.ndarray, judged: np.ndarray,
                judgement: Judgement, emitted: list[Emitted], began: float) -> None:
        """Gives the event builder the frames of which an event may open, and those that come while one is open."""
        ages = self._age + np.searchsorted(used, judged)  # frames without a table age an event, skipped ones do not
        flagged, speaks = judgement.flagged[judged], judgement.speaks[judged]
        position = 0
        while position < len(judged):
            if not self.tracker.n_open and not speaks[position]:  # nothing to follow: on to the next that speaks
                ahead = speaks[position:].argmax()
                if not ahead:
                    break
                position += int(ahead)
            number = int(judged[position])
            judge = judgement.judge_of(number)
            frame = self._frame(batch, number, int(ages[position]), int(sample_start[number]), segment, judge)
            sightings = self._within(judge.locate(frame, float(judgement.scores[number]))) if flagged[position] else []
            emitted += _timed(self.tracker.see(frame, sightings, segment), began)
            position += 1

    def _frame(self, batch: FrameBatch, number: int, age: int, start: int, segment: Segment, judge: Judge) -> Frame:
        assert batch.psd is not None  # `process` gives it
        psd, residual, row = batch.psd[number], batch.residual[number], batch.features[number]
        span = round(segment.frame_hop * min(float(row[layout.K_EFF]) / segment.frame_average, 1.0)) or segment.frame_hop
        probabilities = row[layout.PROBABILITIES][:len(self._labels)]
        best = int(probabilities.argmax()) if len(probabilities) else None
        answered_by = int(row[layout.ANSWERED_BY])
        if not 0 <= answered_by < len(self._models):
            raise ValueError(f"features say that model {answered_by} of an ensemble has answered, the detector knows "
                             f"{', '.join(self._models)}; give the encoder and the detector the same model")
        floor, deviation = float(row[layout.FLOOR_DBFS]), float(batch.floor_deviation[number])
        standard = self._usable_part(judge.deviation(residual, psd - floor))
        return Frame(age, start, start + span, psd, residual, standard, floor, floor - deviation,
                     None if best is None else self._labels[best], None if best is None else float(probabilities[best]),
                     1.0 - float(row[layout.K_KEPT]) / self._n_tokens, judge.threshold, judge.opening,
                     self._models[answered_by], judge.occupied())

    def _usable_part(self, values: np.ndarray) -> np.ndarray:
        """Values of each bin, (..., N), with 0 in those that are not judged."""
        if self.usable == 1:
            return values
        kept = np.zeros_like(values)
        kept[..., self._judged] = values[..., self._judged]
        return kept

    def _within(self, sightings: list[Sighting]) -> list[Sighting]:
        """The parts of the regions that lie in the bins that are judged."""
        first, last = self._judged.start, self._judged.stop - 1
        return [Sighting(region._replace(low=max(region.low, first), high=min(region.high, last)), p_value)
                for region, p_value in sightings if region.low <= last and region.high >= first]


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
    taps = window_taps(window, n_bins)
    return float(n_bins * np.sum(taps**2) / np.sum(taps) ** 2)


def window_taps(window: str, n_bins: int) -> np.ndarray:
    """The tokenizer's window, float64 (n_bins,).

    Raises:
        ValueError: no such window.
    """
    if window not in _COSINES:
        raise ValueError(f"window {window!r} is none of {', '.join(_COSINES)}")
    angle = 2.0 * np.pi / n_bins * np.arange(n_bins) - np.pi
    return np.asarray(sum(share * np.cos(order * angle) for order, share in enumerate(_COSINES[window])))


def _timed(emitted: list[Emitted], began: float) -> list[Emitted]:
    """Puts into each event the time from its frames' arrival to its leaving, ms."""
    for event in emitted:
        event.fields[keys.LATENCY_MS] = (time.perf_counter() - began) * 1e3
    return emitted


__all__ = ["CALIBRATED", "FIXED", "QUANTILE", "Detector", "Notice", "Result", "window_enbw"]
