# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says of one recording: a row of its table and of its page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .. import keys
from .outcome import Outcome

if TYPE_CHECKING:
    from .archive_journal import Item

STATUSES = FINISHED, FAILED, WAITING = "finished", "failed", "waiting"


def recording_row(item: Item, outcome: Outcome, events: list[dict]) -> dict:
    """The row of a finished recording. events: its messages."""
    strongest = max((event for event in events if event.get(keys.SNR_DB) is not None and event.get(keys.ALERT) not in (
        "receiver", "raised floor")), key=lambda event: event[keys.SNR_DB], default={})
    labels = Counter(str(row.get(keys.LABEL)) for row in outcome.signals or [])
    return {**stated_row(item), "status": FINISHED, "frames": outcome.n_frames, "dropped_frames": outcome.n_dropped,
            "events": outcome.n_events, "alerts": outcome.n_alerts, "alerts_by_kind": dict(sorted(outcome.alerts.items())),
            "receiver": dict(sorted(outcome.receiver.items())), "emitters": outcome.emitters,
            "signals": None if outcome.signals is None else len(outcome.signals),
            "signals_by_label": dict(sorted(labels.items())),
            "strongest_snr_db": strongest.get(keys.SNR_DB), "strongest_freq_hz": strongest.get(keys.FREQ_CENTER_HZ),
            "strongest_label": strongest.get(keys.LABEL), "strongest_alert": strongest.get(keys.ALERT),
            "notes": list(outcome.notes), "error": outcome.fault or None}


def other_row(item: Item, error: str | None) -> dict:
    """The row of a recording that failed, for the reason `error`, or was not run yet (None)."""
    return {**stated_row(item), "status": WAITING if error is None else FAILED, "error": error}


def stated_row(item: Item) -> dict:
    """What the recording states of itself."""
    return {"recording": item.name, "start": item.start, "duration_s": item.duration_s, "rate_hz": item.rate_hz,
            "freq_center_hz": item.freq_center_hz}
