# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run: in numbers, as a line for people, as JSON takes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from .. import keys
from .dropped import count

NOT_OF_EMITTERS = ("receiver", "burst")  # kinds of events that are no alert


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        name: name of the source.
        n_frames, n_dropped, n_events: frames encoded, frames that the tokenizer dropped (`health` says some reasons), events.
        seconds, wall_s: duration of the signal and of the run, s.
        interrupted: whether Ctrl-C ended it.
        notes: one line for each kind of message that the user should see.
        ensemble: accepted_frames, refined_frames and confidence_threshold of a speculative model, else empty.
        encoded_bytes: size of the compressed spectra written; None if they were not requested.
        health: the last status of the chain's health.
        fault: the reason if the source gave up, or if every frame of a recording was dropped; else "".
        hung: the blocks that did not end after a stop, else "". If any hung, leave the process with ``os._exit``.
        average: spectra per frame.
        suppressed_events: events that were counted and not reported, because too many came at once.
        alerts: number of alerts by kind. learned_s: signal that was learned, s. learned: whether learning was finished.
        emitters: number of emitters known at the end. The last three are None with the detector "boxes".
        news: lines for a person that nobody has printed: what was learned, and the alerts. Not in ``as_dict``.
        receiver: what the receiver, or a stronger signal, explains, by kind: gain step, impulses (frames), dc line, image,
            overload, skirt, sideline, splatter (bursts), drift; empty with the detector "boxes".
        on_air: what stood out of the noise while the band was learned, rows of ``listing.describe``.
        adaptive: with adaptive dropout, full_frames, few_frames, held_frames and mean_tokens, else empty.
        signals: rows of ``signals.watch.SignalWatch.table`` if signals were listed; else None.
        reconnects: losses of a radio that is opened again, rows of ``reopened_radio.gaps``; None for other sources.
    """

    name: str
    n_frames: int
    n_dropped: int
    n_events: int
    seconds: float
    wall_s: float
    interrupted: bool
    notes: tuple[str, ...] = ()
    ensemble: dict = field(default_factory=dict)
    encoded_bytes: int | None = None
    health: dict = field(default_factory=dict)
    fault: str = ""
    hung: str = ""
    average: int = 16
    suppressed_events: int = 0
    alerts: dict[str, int] = field(default_factory=dict)
    learned_s: float | None = None
    learned: bool | None = None
    emitters: int | None = None
    receiver: dict[str, int] = field(default_factory=dict)
    adaptive: dict = field(default_factory=dict)
    news: tuple[str, ...] = ()
    on_air: list[dict] = field(default_factory=list)
    signals: list[dict] | None = None
    reconnects: list[dict] | None = None

    @property
    def n_alerts(self) -> int:
        """Alerts of emitters: without events of the receiver, and without single bursts."""
        return sum(number for kind, number in self.alerts.items() if kind not in NOT_OF_EMITTERS)

    @property
    def real_time_factor(self) -> float:
        """seconds / wall_s."""
        return self.seconds / self.wall_s if self.wall_s > 0 else 0.0

    def as_dict(self) -> dict:
        """All fields and the real-time factor, as JSON takes them."""
        row = asdict(self) | {"notes": list(self.notes), "real_time_factor": self.real_time_factor}
        row.pop("news")
        for name in ("signals", "reconnects"):
            if row[name] is None:
                row.pop(name)
        return row | row.pop("ensemble") | row.pop("adaptive")

    def line(self) -> str:
        """One line for people."""
        from ..emitters.listing import plain
        dropped = f" ({self.n_dropped} dropped)" if self.n_dropped else ""
        overflows = self.health.get(keys.OVERFLOWS, 0)
        lost = f", {count(overflows, 'overflow')}" if overflows and self.health.get(keys.DEVICE) else ""
        unjudged = self.health.get(keys.SKIPPED_FRAMES, 0)
        late = f", {unjudged} not judged" if unjudged else ""
        refined = f", {self.ensemble[keys.REFINED_FRAMES]} refined" if self.ensemble else ""
        quiet = f", {self.adaptive[keys.FULL_FRAMES]} of interest ({self.adaptive[keys.MEAN_TOKENS]:.1f} tokens a frame)" \
            if self.adaptive else ""
        known = "" if self.emitters is None else f"{count(self.emitters, 'emitter')} known, "
        what, number = ("event", self.n_events) if self.emitters is None else ("alert", self.n_alerts)
        receiver = f" ({count(self.alerts['receiver'], 'event')} of the receiver)" if self.alerts.get("receiver") else ""
        more = f" ({self.suppressed_events} more not reported)" if self.suppressed_events else ""
        bytes_each = "" if not self.encoded_bytes else f" of {self.encoded_bytes / max(1, self.n_frames):.1f} bytes each"
        listed = "" if self.signals is None else f", {count(len(self.signals), 'signal')} listed"
        return (f"{self.name}: {count(self.n_frames, 'frame')}{bytes_each}{dropped}{lost}{late}{quiet}{refined}, "
                f"{known}{count(number, what)}{receiver}{more}{listed}, "
                f"{plain(self.seconds)} s of signal in {self.wall_s:.2f} s ({plain(self.real_time_factor, 2)}x real time)")
