# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of a conformal table for a frame: by its band, tuning and overlap, and by how it was encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..encoder import features as layout
from ..encoder.model_file import alike_key, table_key
from ..tokens.band_plan import UNKNOWN
from .events import Segment
from .notices import GENERAL_TABLE, UNCALIBRATED, Notices
from .table import Table, Tuning, scores_needed

_KEY_PARTS = ("model variant", "band", "tokens kept", "average", "dropout policy", "dtype")
MAX_REMEMBERED = 1024  # tunings and settings whose table is remembered


class Rates(NamedTuple):
    """False alarms that are allowed: share of normal frames, and events per hour."""

    false_alarm_rate: float
    false_events_per_hour: float


class Choice(NamedTuple):
    """A table, its key, and the scores above which a frame is flagged and an event opens. table None: none holds."""

    key: str
    table: Table | None
    threshold: float = np.inf
    opening: float = np.inf


class TableChoice:
    """Chooses tables, and remembers what it has chosen for a tuning and a setting of the encoder.

    Args:
        contract: of the model file. tables: by table key. notices: hears why a band's own table is not used.
    """

    def __init__(self, contract: dict, tables: Mapping[str, Table], notices: Notices):
        self._contract, self._tables, self._notices = contract, tables, notices
        self._rates: Rates | None = None
        self._chosen: dict[tuple, Choice] = {}  # with those rates
        self._whole_seen = False  # a frame of a segment's full average has come

    def choose(self, segment: Segment, frame: np.ndarray, rates: Rates) -> Choice:
        """The choice for a frame. frame: (256,) its features.

        Raises:
            ValueError: features name a variant, policy or number format that the model lacks.
        """
        if rates != self._rates:
            self._rates, self._chosen = rates, {}
        asked = (segment.rx_freq, segment.rx_rate, segment.band, segment.frame_hop, segment.frame_average,
                 frame[layout.VARIANT], frame[layout.POLICY], frame[layout.DTYPE], frame[layout.K_KEPT], frame[layout.K_EFF])
        chosen = self._chosen.get(asked)
        if chosen is None:
            if len(self._chosen) >= MAX_REMEMBERED:
                self._chosen = {}
            chosen = self._chosen[asked] = self._look_up(segment, frame, rates)
        return chosen

    def forget(self):
        """Looks every table up again, with its notice."""
        self._chosen = {}

    def _look_up(self, segment: Segment, frame: np.ndarray, rates: Rates) -> Choice:
        """Finds the table, with a notice the first time if it is not the band's own.

        A band without a table of this overlap and tuning is judged by the general table of the band `unknown`, if the file has
        one that holds. Tables of fp32 and bf16 stand in for each other. After whole frames a shorter one, such as the last of
        a recording, is no reason for a notice.
        """
        short = frame[layout.K_EFF] < segment.frame_average
        give = (lambda *notice: None) if short and self._whole_seen else self._notices.give
        self._whole_seen |= not short
        key, general = self._key(segment.band, frame), self._key(UNKNOWN, frame)
        tuning, window_hop = Tuning(segment.rx_freq, segment.rx_rate), segment.frame_hop / segment.frame_average
        reasons = []
        for found in dict.fromkeys((key, alike_key(key), general, alike_key(general))):
            table = self._tables.get(found)
            reason = f"no conformal table for {found}" if table is None else table.misfit(tuning, window_hop)
            if not reason:
                break
            if table is not None or found == key:
                reasons.append(reason if table is None else f"the table {found} {reason}")
        why = "; ".join(reasons)
        cure = self._other_settings(key) or "`spectrumencoder calibrate` learns this band"
        if reason:
            give(UNCALIBRATED, key, f"uncalibrated: {why}: no p-values and no events from these frames; {cure}")
            return Choice(key, None)
        threshold = table.threshold(rates.false_alarm_rate)
        if not np.isfinite(threshold):
            needed = scores_needed(rates.false_alarm_rate)
            give(UNCALIBRATED, found, f"uncalibrated: the table {found} holds {table.n} scores, a false-alarm rate of "
                 f"{rates.false_alarm_rate:g} needs {needed}: no events; calibrate with more frames")
            return Choice(key, None)
        if found not in (key, alike_key(key)):
            give(GENERAL_TABLE, key, f"general table: {why}; judged by {found}, whose false-alarm rate holds for a mixture of "
                 f"recordings, so that few events open (raise false_events_per_hour for more); {cure}")
        return Choice(found, table, threshold, table.opening(*rates, segment.frame_s))

    def _other_settings(self, key: str) -> str:
        """The cure if the band was calibrated with other settings than those of `key`; "" if it was not."""
        asked = key.split("/")
        own = [table for table in (found.split("/") for found in self._tables) if table[1] == asked[1] != UNKNOWN]
        if not own:
            return ""
        nearest = max(own, key=lambda table: sum(a == b for a, b in zip(table, asked, strict=True)))
        differs = [f"{name} {was}, here it is {now}" for name, was, now in zip(_KEY_PARTS, nearest, asked, strict=True)
                   if was != now and {was, now} != {"fp32", "bf16"}]
        return f"this band was calibrated with {', and '.join(differs)}" if differs else ""

    def _key(self, band: str, frame: np.ndarray) -> str:
        try:
            return table_key(self._contract, band, frame)
        except IndexError as error:
            raise ValueError(f"features name variant {frame[layout.VARIANT]:g}, policy {frame[layout.POLICY]:g}, type "
                             f"{frame[layout.DTYPE]:g}, which the model {self._contract['name']} lacks; give the encoder and "
                             "the detector the same model") from error
