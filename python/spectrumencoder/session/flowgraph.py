# SPDX-License-Identifier: GPL-3.0-or-later
"""One source through the flowgraph that GRC builds too: recording or radio -> spectrum_monitor -> event_log, sigmf_annotator."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .. import keys
from ..atomic_file import cannot_write
from ..detector.notices import OTHER_GAIN, OTHER_MODEL
from ..lines_file import lines_from
from ..settings import EMITTERS, RUN, SETTINGS, ChainSettings, of_command
from .band_part import BandPart
from .dropped import Dropped, count, dropped_frames, every_frame
from .errors import SessionError, SettingError
from .fit import seconds_to_learn, spectra_per_frame
from .news import news_lines
from .outcome import Outcome
from .pipe import Source
from .progress import Progress, no_progress
from .quiet_logs import quiet_logs
from .sinks import connect_sinks
from .sources import RecordingSource

if TYPE_CHECKING:
    from ..recordings import Recording

RECEIVER_STATE = "receiver"  # of a notice
REPORTED_STATES = ("uncalibrated", "general_table", "recalibrate", "rate_limited", RECEIVER_STATE, OTHER_MODEL, OTHER_GAIN,
                   "unsaved", "skipped", "refused", "malformed", "contradicted", "time_backward", "slow_subscriber")
GRACE_S = 1.5  # maximum time from Ctrl-C or a failure to the end of all blocks


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class RunSettings(ChainSettings):
    """Settings of a run, for any source.

    Attributes:
        model, compute, backend, dropout_rate, dropout_policy, adaptive_dropout, rope_mode, detector, learn_s, belongs_after,
            bursts, band_file, false_alarm_rate, threshold_mode, threshold, overlap, band, hold, false_events_per_hour, usable,
            dtype, runtime, confidence_threshold, encoded_step, encoded_group, settle_ms: see ``spectrum_monitor``; with the
            defaults that ``settings.py`` gives the command ``run``. A recording shorter than twice ``learn_s`` is learned to its
            half.
        average: spectra per frame, or "auto": chosen by the rate of each source.
        fit_average: fewer spectra per frame, if the captures of a recording are mostly shorter than a frame, with a note. Not
            if the band file knows the recording's frequency with ``average``, nor with the detector "boxes", which judges short
            frames.
        events: file of JSON lines to write; None writes none. events_max_mb: its size, and that of signals, tracks and sweeps,
            from which on a new one is begun, see ``event_log``; 0: they grow without limit.
        annotate: SigMF metadata file to write with the events as annotations; "" names it after the recording, None writes none.
        signals: file of JSON lines to write, one for each message of a signal; None writes none.
        annotate_signals: write all signals as annotations, too, into the file of ``annotate``; it needs none to be named.
        zmq: address to publish events at; "" publishes none.
        threads: number of threads that share long batches of the network (native runtime).
    """

    events: Path | None = None
    events_max_mb: float = 0.0
    annotate: str | None = None
    signals: Path | None = None
    annotate_signals: bool = False
    zmq: str = ""
    threads: int = field(default_factory=cores)
    fit_average: bool = False

    def of_chain(self) -> dict:
        """Those settings that are arguments of spectrum_monitor."""
        return {row.key: getattr(self, row.key) for row in of_command(RUN)}

    @property
    def asks_for_signals(self) -> bool:
        """Whether signals are written."""
        return self.signals is not None or self.annotate_signals


def run(recording: Recording, settings: RunSettings, *, append: bool = False, plot: Path | None = None,
        name_in_events: bool = False, encoded: Path | None = None, tracks: Path | None = None, survey: bool = False,
        band_plot: Path | None = None, watch: Callable[[Flowgraph], None] = lambda flowgraph: None,
        parts: Iterable[Callable[[Flowgraph], list]] = (), progress: Progress = no_progress) -> Outcome:
    """Runs one recording through spectrum_monitor to its end, as the command ``run`` does.

    Args:
        recording: from ``open_recording``.
        settings: of the chain, and the files that it writes.
        append: keep the lines that the files of events, signals and tracks already hold.
        plot: picture to draw at the end.
        name_in_events: put the recording's name into each event of the file.
        encoded, tracks: files to write the compressed spectra and the tracks to.
        survey: list all signals in the outcome, and say nothing of learning. A picture, and files of signals, list them, too.
        band_plot: picture of all signals to draw at the end of a survey.
        watch: called with the ``Flowgraph`` before it runs. parts: see ``run_source``.
        progress: called ten times a second with the recording's name, samples played and samples in all.

    Raises:
        SettingError: the model or the machine cannot serve a setting; the message names those it can.
        SessionError: the recording is too short for one frame, or a block failed; one line.
    """
    quiet_logs()
    return run_source(RecordingSource(recording), settings, append=append, plot=plot, name_in_events=name_in_events,
                      encoded=encoded, tracks=tracks, survey=survey, band_plot=band_plot, watch=watch,
                      parts=parts, progress=progress)


def run_source(source: Source, settings: RunSettings, *, append: bool = False, plot: Path | None = None,
               name_in_events: bool = False, encoded: Path | None = None, tracks: Path | None = None, survey: bool = False,
               band_plot: Path | None = None,
               watch: Callable[[Flowgraph], None] = lambda flowgraph: None,
               parts: Iterable[Callable[[Flowgraph], list]] = (),
               progress: Progress = no_progress) -> Outcome:
    """Runs a source to its end. Call ``quiet_logs`` before the source is made.

    Args:
        append: keep what the files of events, signals and tracks hold.
        plot: picture to draw at the end.
        encoded, tracks: files to write the compressed spectra and the tracks to.
        name_in_events: put the source's name into each event of the file.
        survey, band_plot: see ``run``.
        watch: is shown the flowgraph before it runs.
        parts: callables that connect more blocks to the flowgraph and return them. One may state what it ``needs`` of the
            chain, a set of ``listening.SIGNALS`` and ``listening.ENCODED``; one with a method ``end`` gets the run's notes by it,
            whatever ended the run.
        progress: is called ten times a second with the source's name, samples played and samples in all (None: unknown).

    Raises:
        SettingError: a setting that the model or the machine cannot serve, naming what it can.
        SessionError: the recording is too short for one frame, or a block failed; one line.
    """
    for picture in filter(None, (plot, band_plot)):
        check_picture(picture)
    parts = list(parts)
    before = tracks.stat().st_size if append and tracks is not None and tracks.is_file() else 0
    flowgraph = Flowgraph(source, settings, append=append, keep_spectra=plot is not None, name_in_events=name_in_events,
                          encoded=encoded, tracks=tracks, survey=survey,
                          needs=frozenset().union(*(getattr(part, "needs", ()) for part in parts)))
    band = BandPart(band_plot) if band_plot is not None else None
    for part in parts:
        flowgraph.add(part(flowgraph))
    if band is not None:
        flowgraph.add(band(flowgraph))
    watch(flowgraph)
    began = time.monotonic()
    try:
        interrupted = flowgraph.run(progress)
    finally:
        for part in parts:
            if hasattr(part, "end"):
                part.end(flowgraph.notes())
    wall_s = time.monotonic() - began
    for call in flowgraph.on_poll:
        call()
    if not flowgraph.hung:
        flowgraph.monitor.release()
    probe, health = flowgraph.probe, flowgraph.monitor.health.snapshot()
    n_frames = health[keys.FRAMES]
    if plot is not None and n_frames and probe.waterfall is not None:
        from ..display.run_picture import save_plot
        title = (f"{source.name}: {count(probe.n_events, 'event')} in {count(n_frames, 'frame')}, "
                 f"model {flowgraph.model_name}")
        track_messages = lines_from(tracks, before) if tracks else []
        try:
            save_plot(plot, probe.waterfall, list(probe.transmissions.values()), title, track_messages, probe.boxes,
                      flowgraph.signals)
        except OSError as error:
            raise SessionError(cannot_write(plot, error)) from error
    if band is not None:
        band.save(flowgraph)
    return Outcome(source.name, n_frames, flowgraph.n_dropped, probe.n_events, flowgraph.seconds, wall_s,
                   interrupted, flowgraph.notes(), flowgraph.ensemble, flowgraph.encoded_bytes,
                   health, flowgraph.fault(interrupted), flowgraph.hung, flowgraph.average,
                   flowgraph.n_suppressed, dict(probe.alerts), *flowgraph.learning(), flowgraph.receiver, flowgraph.adaptive,
                   tuple(news_lines(probe)), flowgraph.on_air, flowgraph.signals,
                   source.reconnects)


def check_picture(path: Path) -> None:
    """Raises SettingError if the suffix of a picture's file names no format that is written."""
    from ..display.picture_file import picture_format
    try:
        picture_format(path)
    except ValueError as error:
        raise SettingError(str(error)) from error


def in_options(text: str) -> str:
    """The message of a block with the options' names in place of its parameters': false_events_per_hour is --false-events."""
    for row in of_command(RUN):
        if "_" in row.key:
            text = re.sub(rf"\b{row.key}\b", f"--{row.cli}", text)
    return text


class Flowgraph:
    """The blocks of one run, connected.

    Attributes: top, source, monitor (spectrum_monitor), probe (a run_probe), settings; models: files of the network; average:
    spectra per frame; on_poll: called ten times a second while it runs; stopping: set it, and the run ends in good order;
    wait: of ``run_flowgraph``; hung: what did not end; ending: why it ended, "" while it runs.
    """

    def __init__(self, source: Source, settings: RunSettings, *, append: bool, keep_spectra: bool,
                 name_in_events: bool, encoded: Path | None = None, tracks: Path | None = None, survey: bool = False,
                 needs: frozenset[str] = frozenset()):
        from gnuradio import gr

        from ..blocks.spectrum_monitor import spectrum_monitor
        from ..display.waterfall import MAX_ROWS
        from ..encoder.ensemble import load_models
        from .encoded_file import encoded_file
        from .run_probe import run_probe
        self.source, self.settings, self.hung, self.ending, self._survey = source, settings, "", "", survey
        self.on_poll: list[Callable[[], None]] = []
        self.stopping, self.wait = False, threading.Event.wait
        self.top = gr.top_block("spectrumencoder run")
        try:
            self.models = models = load_models(settings.model)
            contract = models[0].contract
            fft_size = contract["encoder"]["fft_size"]
            self.average, self._chosen = spectra_per_frame(source, settings, fft_size, contract["average"])
            self._learn_s = seconds_to_learn(source, settings, fft_size, self.average)
            frame_hop = fft_size * self.average * (1 - settings.overlap)
            # center_freq is not stated: the source's own tags say it, at each retune
            self.monitor = spectrum_monitor(**settings.of_chain() | {
                "model": models, "samp_rate": source.samp_rate, "center_freq": 0.0, "average": self.average,
                "freq_offset": source.freq_offset, "learn_s": self._learn_s,
                "encoded_group": (settings.encoded_group or SETTINGS["encoded_group"].run_default
                                  ) if encoded or keys.ENCODED in needs else 0,
                "signals": survey or keep_spectra or settings.asks_for_signals or keys.SIGNALS in needs,
                "tracks_file": str(tracks) if tracks else "", "overload": source.overload, "time_source": source.time_source,
                "pad_batch": source.pad_batch, "min_output_buffer": source.buffer_frames(frame_hop)})
        except ValueError as error:  # a setting that the model, or this machine, cannot serve
            raise SettingError(str(error)) from error
        if tracks:
            self.monitor.tracker.keep_lines(append, settings.events_max_mb)
        self.monitor.encoder.engine.threads = settings.threads  # PyTorch's own stay one: more would change its sums
        source.check(fft_size)
        if source.recording is None:
            self.monitor.health.device = source.name
        self.probe = run_probe(fft_size, source.samp_rate, source.center_freq, MAX_ROWS if keep_spectra else 0)
        top, monitor = self.top, self.monitor
        self._sinks = connect_sinks(top, monitor, source, settings, append, name_in_events)
        top.connect(source.block, monitor)
        if keep_spectra:
            top.connect((monitor, 0), (self.probe, 0))
            top.connect((monitor, 1), (self.probe, 1))
        top.msg_connect(monitor, keys.ANOMALIES, self.probe, keys.EVENTS)
        if survey or keep_spectra:  # the picture's boxes
            top.msg_connect(monitor, keys.SIGNALS, self.probe, keys.SIGNALS)
        for sink in self._sinks:
            top.msg_connect(sink, keys.STATUS, self.probe, keys.STATUS)
        self._encoded = encoded_file(str(encoded)) if encoded else None
        if self._encoded is not None:
            top.msg_connect(monitor, keys.ENCODED, self._encoded, keys.ENCODED)
            self._sinks.append(self._encoded)
        top.msg_connect(monitor, keys.STATUS, self.probe, keys.STATUS)
        if source.reconnects is not None:
            top.msg_connect(source.block, keys.STATUS, self.probe, keys.STATUS)
            self.monitor.health.radio_lost = lambda: source.block.lost_since

    def add(self, blocks: list) -> None:
        """Takes in more blocks, which are connected already: their failures end the run, and their queues are emptied."""
        self._sinks += blocks

    @property
    def n_dropped(self) -> int:
        return int(self.monitor.tokenizer.dropped_frames())

    @property
    def n_suppressed(self) -> int:
        """Events that the detector counted and did not report."""
        return int(self.monitor.detector.counters().get(keys.SUPPRESSED_EVENTS, 0))

    def learning(self) -> tuple[float | None, bool | None, int | None]:
        """Signal learned (s), whether learning is finished, number of emitters; None with the detector "boxes"."""
        counters = self.monitor.detector.counters()
        if keys.LEARNING not in counters:
            return None, None, None
        return counters[keys.LEARNED_S], not counters[keys.LEARNING], counters[keys.EMITTERS]

    @property
    def on_air(self) -> list[dict]:
        """What stood out of the noise while the band was learned; empty with the detector "boxes"."""
        detector = self.monitor.detector.detector
        return list(detector.on_air.rows) if hasattr(detector, "on_air") else []

    @property
    def signals(self) -> list[dict] | None:
        """Rows of the signals, if they are listed."""
        return None if self.monitor.signal_list is None else self.monitor.signal_list.table()

    @property
    def receiver(self) -> dict[str, int]:
        """What the receiver explains, by kind; empty with the detector "boxes"."""
        return dict(getattr(self.monitor.detector.detector, "receiver", {}))

    @property
    def model_name(self) -> str:
        return self.monitor.encoder.engine.model_name

    @property
    def encoded_bytes(self) -> int | None:
        """Bytes of compressed spectra written; None: none were asked for."""
        return None if self._encoded is None else self._encoded.n_bytes

    @property
    def ensemble(self) -> dict:
        """accepted_frames, refined_frames and confidence_threshold of a speculative model, else empty."""
        return self._counters(keys.ACCEPTED_FRAMES, keys.REFINED_FRAMES, keys.CONFIDENCE_THRESHOLD)

    @property
    def adaptive(self) -> dict:
        """full_frames, few_frames, held_frames and mean_tokens with adaptive dropout, else empty."""
        return self._counters(keys.FULL_FRAMES, keys.FEW_FRAMES, keys.HELD_FRAMES, keys.MEAN_TOKENS)

    def _counters(self, *names: str) -> dict:
        counters = self.monitor.encoder.counters()
        return {name: counters[name] for name in names if name in counters}

    @property
    def seconds(self) -> float:
        """Duration of the signal played, s."""
        return self.source.n_samples / self.source.samp_rate

    def notes(self) -> tuple[str, ...]:
        """Messages for the user: of the recording, and the first of each kind of the blocks', with the number of further ones."""
        kinds: dict[str, list[str]] = {}
        for state, text in self.probe.messages:
            if state in REPORTED_STATES and text:
                kinds.setdefault(state, []).append(text)
        told = kinds.pop(RECEIVER_STATE, [])  # each of another kind
        kinds.pop(keys.SKIPPED, None)  # counted once, at the end
        return (*self.source.notes, *self._chosen, *self._notes_on_classes(), *self._receiver_notes(), *told,
                *self._notes_on_learning(), *(
            in_options(texts[0]) + (f" (and {len(texts) - 1} more like it)" if texts[1:] else "") for texts in kinds.values()))

    def _notes_on_learning(self) -> list[str]:
        from ..emitters.learn_recordings import MIN_S
        learned_s, learned, _ = self.learning()
        if learned is None or self._survey:
            return []
        notes = []
        recording = self.source.recording
        if recording is not None and self._learn_s < self.settings.learn_s:
            whole = self._learn_s > 0.45 * recording.duration_s  # what fits no frame is not learned
            half = "its first half" if whole else "half of what the band file does not know"
            notes.append(f"the recording is shorter than twice --learn {self.settings.learn_s:g}: {half}, "
                         f"{self._learn_s:.3g} s, taught the second")
        now = getattr(self.monitor.detector.detector, "n_learned", False)  # else the band file holds what was learned
        if now and learned and learned_s is not None and learned_s < MIN_S:
            notes.append(f"learned from {learned_s:.3g} s alone, of which calibrate would make no band file ({MIN_S:g} s are its "
                         "minimum): what this band does less often than that is reported")
        if not learned and not self.source.fault and not any(one.short for one in self._dropped()):
            notes.append(f"the {'recording' if recording is not None else 'run'} ended while learning, after "
                         f"{learned_s:.3g} s of {self._learn_s:g} s; give a longer one, or a smaller --learn")
        return notes

    def _notes_on_classes(self) -> list[str]:
        """A line if signals are asked for by somebody who reads their classes, and the model cannot name them."""
        asked = self._survey or self.settings.asks_for_signals
        if not asked or self.monitor.encoder.engine.has_token_classes:
            return []
        return [f"the model {self.model_name} does not say what a part of the band holds: signals are found by their power, and "
                "each is an unknown signal; a model with a token head names them"]

    def _receiver_notes(self) -> Iterator[str]:
        """What the samples say of the receiver, not of the band."""
        frames, clipped = self.monitor.tokenizer.frames(), self.monitor.tokenizer.clipped_frames()
        whole = frames - self.monitor.tokenizer.short_frames()
        yield from (one.note(whole if one.short else frames) for one in self._dropped())
        skipped = self.monitor.encoder.n_skipped
        if skipped:
            yield (f"{skipped} of {count(frames, 'frame')} ({100 * skipped / max(1, frames):.2g} %) were not judged: the machine "
                   "was too slow for this rate; give it less to do, or use a lower --rate, a larger --average or --model fast")
        if clipped:
            yield f"clipping: samples at full scale in {clipped} of {count(frames, 'frame')}; lower the gain"

    def _dropped(self) -> list[Dropped]:
        short = "are short, and not judged" if self.settings.detector == EMITTERS else "are short"
        return dropped_frames(self.monitor.tokenizer, self.source.recording, self.settings.overlap, short)

    def fault(self, interrupted: bool) -> str:
        """The reason if the source gave up, or if a source that was played to its end gave no frame; else ""."""
        if not self.source.finite:
            return self.source.fault
        if interrupted or self.hung:
            return ""
        return self.source.fault or (every_frame(self._dropped()) if self.monitor.tokenizer.frames() == 0 else "")

    def run(self, progress: Progress = no_progress) -> bool:
        """Runs to the end; True if Ctrl-C or SIGTERM ended it (cleanly). ``hung`` then names the blocks that did not end, if any.

        Raises:
            SessionError: a block failed.
        """
        from ..blocks.run_flowgraph import run_flowgraph
        blocks = [*self.source.watched, *self.monitor.blocks, self.probe, *self._sinks]

        def poll() -> bool:
            progress(self.source.name, self.source.n_samples, self.source.total)
            for call in self.on_poll:
                call()
            return self.stopping or self.source.ended()

        self.source.begin()
        try:
            failure = run_flowgraph(self.top, blocks, should_stop=poll, grace_s=GRACE_S, wait=self.wait)
        except KeyboardInterrupt:
            self.ending = "stopped"
            return True
        except TimeoutError as error:
            self.hung = self.ending = str(error)
            for block in blocks:  # the other blocks have ended or can: keep what they hold
                if hasattr(block, "drain"):
                    block.drain()
                    block.stop()
            return isinstance(error.__cause__, KeyboardInterrupt)
        self.ending = str(failure or self.fault(False) or "ended")
        if failure is not None:
            raise SessionError(f"{self.source.name}: {failure}")
        return False
