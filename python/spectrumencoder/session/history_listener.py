# SPDX-License-Identifier: GPL-3.0-or-later
"""The listener that writes the history of a site; the room ``history`` does the work."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import keys
from ..display.history import Tuning
from ..history.recorder import Recorder
from ..history.run import Source
from .listening import FollowedRun, Listener, News
from .radio_states import LOST


class HistoryListener(Listener):
    """Writes runs into a history; see ``Recorder`` for the arguments."""

    def __init__(self, path: Path, max_days: float, max_mb: float, say: Callable[[str], None]):
        self._recorder, self.history = Recorder(path, max_days, max_mb, say), path

    def begin(self, run: FollowedRun) -> None:
        band = run.asked.get("band_file") or ""
        row = {keys.SOURCE: run.name, "band": str(Path(band).resolve()) if band else "", "samp_rate": run.samp_rate,
               keys.FREQ_CENTER_HZ: None if math.isnan(run.center_freq_hz) else run.center_freq_hz, "fft_size": run.fft_size,
               "average": run.average, keys.MODEL: run.model, "is_radio": run.is_radio, "settings": _stated(run.asked)}
        self._recorder.begin(Source(row, run.samp_rate, run.average, run.asked["usable"], run.scan_span_hz,
                                    lambda: (run.health(), run.emitters())))
        self._run = run

    def frames(self, psd: np.ndarray, tuning: Tuning, posix_s: float, frame_s: float) -> None:
        self._recorder.frames(psd, tuning, posix_s, frame_s)

    def take(self, news: News) -> None:
        for port, fields in news.messages:
            if port == keys.EVENTS:
                self._recorder.alert(fields)
            elif port == keys.STATUS and fields.get(keys.RADIO) == LOST:
                self._recorder.radio_lost(fields[keys.RADIO_LOST], fields[keys.WHY])

    def end(self, notes: Sequence[str]) -> None:
        self._recorder.end(self._run.ending or "ended", notes)

    def close(self) -> None:
        self._recorder.close()

    def summary(self) -> dict[str, Any]:
        recorder = self._recorder
        return {"history": {"file": str(recorder.path), "lost_alerts": recorder.lost_alerts,
                            "lost_minutes": recorder.lost_minutes, "lost_frames": recorder.lost_frames,
                            "failed_commits": recorder.failures}}

    def lines(self) -> list[str]:
        recorder = self._recorder
        lost = [f"{count} {what}" for count, what in ((recorder.lost_alerts, "messages of alerts"),
                                                      (recorder.lost_minutes, "minutes of occupancy"),
                                                      (recorder.lost_frames, "frames")) if count]
        return [f"the history {recorder.path} lacks {' and '.join(lost)}: it could not be written in time; make room on its disk"
                ] if lost else []


def _stated(asked: dict) -> dict:
    """The settings as a history keeps them."""
    return {key: value for key, value in asked.items() if isinstance(value, (str, int, float, bool)) and value != ""}
