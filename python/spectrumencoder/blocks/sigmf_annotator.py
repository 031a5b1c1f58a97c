# SPDX-License-Identifier: GPL-3.0-or-later
"""Sink block: events and signals as annotations in a SigMF metadata file that is valid at every moment."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from pathlib import Path

from gnuradio import gr

from .. import keys
from ..atomic_file import cannot_write, write_file
from ..emitters.listing import what
from ..lines_file import CannotWrite, finite
from ..recordings import DATA_SUFFIX, META_SUFFIX, Recording, open_recording
from ..recordings.recording import iso_time
from . import messages
from .safe_block import SafeBlock, handler

_GENERATOR = "gr-spectrumencoder"
EXTENSION = {"name": keys.SIGMF_PREFIX.rstrip(":"), "version": "0.1.0", "optional": True}
_RELATIVE = "frequencies count from the centre, which is not known"
MAX_CAPTURES = 50_000  # of a stream: each is written anew each time
_WRITE_INTERVAL_S, _WRITE_SHARE = 1.0, 0.1  # between two writes, and the largest share of the time for them


class sigmf_annotator(SafeBlock, gr.basic_block):
    """Writes one annotation per event, of an alert one per transmission, and one per burst of a signal; one that is still on is
    updated in place.

    Message inputs: `events`, `signals` (of ``signal_list``), each a PDU or a bare dict. Message output: `status`.

    The file is written at start, at most once a second while events come, and at stop: into a temporary file which then
    replaces it, so that a crash leaves a whole, valid file. The recording's own annotations and captures are kept;
    annotations of an earlier run are replaced by this run's.

    Args:
        recording: a ``Recording``, or the path of one such as NAME.sigmf-meta, whose metadata are the start. "" starts from
            minimal metadata (live, or raw samples).
        output: path of the .sigmf-meta to write; "": NAME-events.sigmf-meta beside the recording. It may be the
            recording's own file, which is then completed.
        samp_rate, center_freq, datatype: Hz, Hz, SigMF type; for the minimal metadata only. ``begin_capture`` adds tunings.

    Raises:
        RecordingError: the recording is missing or invalid.
        ValueError: there is neither recording nor output, the folder does not exist, or samp_rate is not positive.
    """

    def __init__(self, recording: Recording | str | Path = "", output: str = "", samp_rate: float = 0.0,
                 center_freq: float = 0.0, datatype: str = "cf32_le") -> None:
        gr.basic_block.__init__(self, "sigmf_annotator", None, None)
        self.init_safe_block()
        source = recording if isinstance(recording, Recording) else open_recording(recording) if recording else None
        self.path = _output_path(source, output)
        self._offset = source.offset if source else 0
        self._meta = _from_recording(source, self.path) if source else _minimal(samp_rate, center_freq, datatype)
        self._of_channel = _of_channel(source)
        self._data_path = data_beside(source, self._meta) if source else None
        self._own = self._meta.pop("annotations")
        self._events: dict[tuple[str, str], list[dict]] = {}  # annotations by key and number of what they are of
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._written, self._took_s = 0.0, 0.0
        self.add_input_port(keys.EVENTS, self.handle_events)
        self.add_input_port(keys.SIGNALS, self.handle_signals)

    def begin_capture(self, sample: int, freq_hz: float | None, posix_s: float) -> None:
        """Another tuning or time begins, of a stream that no recording describes.

        Args:
            sample: number of its first sample. freq_hz: centre; None: not known. posix_s: time of that sample.
        """
        whole = math.floor(posix_s)
        capture = {"core:sample_start": int(sample), **({} if freq_hz is None else {"core:frequency": float(freq_hz)}),
                   "core:datetime": iso_time((whole, posix_s - whole))}
        with self._lock:
            captures = self._meta["captures"]
            if captures and captures[-1]["core:sample_start"] >= sample:
                captures.pop()
            if len(captures) < MAX_CAPTURES:
                captures.append(capture)

    def counters(self):
        signals = sum(key == keys.SIGNAL_ID for key, _ in self._events)
        return {keys.EVENTS: len(self._events) - signals, keys.SIGNALS: signals}

    def _start(self):
        with self._lock:
            if self._data_path is not None and link_samples(self.path, self._data_path):
                self._meta["global"].pop("core:metadata_only", None)
                if self.path.parent.resolve() != self._data_path.parent.resolve():
                    self._meta["global"].pop("core:dataset", None)  # a file name, of this folder
            self._write()

    def _stop(self):
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._write()

    @handler
    def handle_events(self, message):
        event = messages.metadata(message)
        self._annotate(event, keys.EVENT_ID, each=bool(event.get(keys.ALERT)))

    @handler
    def handle_signals(self, message):
        self._annotate(messages.metadata(message), keys.SIGNAL_ID, each=True)

    def _annotate(self, fields: dict, key: str, each: bool):
        """Takes an event or signal, to be written soon. key: of its number. each: each of its transmissions has an annotation."""
        annotation = annotation_of(fields, self._offset, key)
        if self._of_channel:
            annotation["core:comment"] = ", ".join(filter(None, (annotation.get("core:comment"), self._of_channel)))
        with self._lock:
            self._take((key, str(fields[key])), annotation, each)
            if self._timer is None:
                interval = max(_WRITE_INTERVAL_S, self._took_s / _WRITE_SHARE)
                wait = max(0.0, self._written + interval - time.monotonic())
                self._timer = threading.Timer(wait, self._write_late)
                self._timer.daemon = True
                self._timer.start()

    def _take(self, identity: tuple[str, str], annotation: dict, each: bool):
        """Puts an annotation in place of the last one of its event, unless that was an earlier transmission, and each has one."""
        told = self._events.setdefault(identity, [])
        if told:
            last = told[-1]
            later = annotation["core:sample_start"] >= last["core:sample_start"] + last["core:sample_count"]
            if not (each and later and annotation["core:sample_start"] > last["core:sample_start"]):
                told.pop()
        if not (identity[0] == keys.SIGNAL_ID and not annotation["core:sample_count"]):  # a part of another burst
            told.append(annotation)

    def _write_late(self):
        with self._lock:
            if self._timer is None:  # stopped meanwhile
                return
            self._timer = None
            try:
                self._write()
            except Exception as error:  # noqa: BLE001 (the timer's thread has nobody above it)
                self.fail("write", error)

    def _write(self):
        began = time.monotonic()
        annotations = [*self._own, *(annotation for told in self._events.values() for annotation in told)]
        annotations.sort(key=lambda annotation: annotation.get("core:sample_start", 0))
        content = json.dumps({**self._meta, "annotations": annotations}, indent=1, allow_nan=False, default=str)
        try:
            write_file(self.path, (content + "\n").encode())
        except OSError as error:
            raise CannotWrite(cannot_write(self.path, error)) from error
        self._written = time.monotonic()
        self._took_s = self._written - began


def annotation_of(event: dict, offset: int = 0, identity: str = keys.EVENT_ID) -> dict:
    """The SigMF annotation of an event or a signal, whose samples are counted from ``-offset``. identity: key of its number.

    Raises:
        MalformedMessage: it lacks what an annotation must state.
    """
    missing = [key for key in (identity, keys.SAMPLE_START, keys.SAMPLE_COUNT) if event.get(key) is None]
    if missing:
        raise messages.MalformedMessage(f"{'an event' if identity == keys.EVENT_ID else 'a signal'} without {', '.join(missing)}")
    try:
        start, count = (max(0, int(event[key])) for key in (keys.SAMPLE_START, keys.SAMPLE_COUNT))
    except (TypeError, ValueError, OverflowError) as error:
        raise messages.MalformedMessage(f"its sample numbers are no numbers ({error})") from error
    annotation = {"core:sample_start": max(0, offset + start), "core:sample_count": count,
                  "core:generator": _GENERATOR}
    center, width = event.get(keys.FREQ_CENTER_HZ, math.nan), event.get(keys.BANDWIDTH_HZ, math.nan)
    if all(isinstance(value, (int, float)) and math.isfinite(value) for value in (center, width)):
        annotation |= {"core:freq_lower_edge": center - width / 2, "core:freq_upper_edge": center + width / 2}
    annotation |= _words(event)
    if event.get(keys.FREQ_RELATIVE):
        said = annotation.get("core:comment")
        annotation["core:comment"] = f"{said}; {_RELATIVE}" if said else _RELATIVE
    annotation |= {keys.SIGMF_PREFIX + key: value for key, value in event.items() if value is not None}
    return finite(annotation)


def _words(event: dict) -> dict:
    """Label and comment. An alert has the emitter's name or class as its label, and its kind in the comment."""
    if event.get(keys.SIGNAL_ID) is not None and event.get(keys.EVENT_ID) is None:
        return {"core:label": what(event), "core:comment": f"signal {event[keys.SIGNAL_ID]}"}
    if not event.get(keys.ALERT):
        return {"core:label": str(event.get(keys.ANALYSIS_TYPE) or event.get(keys.LABEL) or "anomaly")}
    emitter = f", emitter {event[keys.EMITTER_ID]}" if event.get(keys.EMITTER_ID) is not None else ""
    return {"core:label": what(event), "core:comment": f"{event[keys.ALERT]}{emitter}"}


def _output_path(source: Recording | None, output) -> Path:
    if output:
        path = Path(output)
        if path.suffix != META_SUFFIX:
            path = path.with_name(path.name + META_SUFFIX)
    elif source is not None and source.path is not None:
        path = source.path.with_name(f"{source.name}-events{META_SUFFIX}")
    else:
        raise ValueError("sigmf_annotator has neither a recording in a file nor an output; give at least one of them")
    if not path.parent.is_dir():
        raise ValueError(f"output {path}: the folder {path.parent} does not exist; make it first")
    return path


def _from_recording(source: Recording, path: Path) -> dict:
    """The recording's metadata, without the annotations of an earlier run."""
    meta = source.sigmf_meta(path)
    _declare_extension(meta["global"])
    ours = {keys.SIGMF_PREFIX + key for key in (keys.EVENT_ID, keys.SIGNAL_ID)}
    meta["annotations"] = [item for item in meta["annotations"] if not ours & item.keys()]
    return finite(meta)


def _of_channel(source: Recording | None) -> str:
    """Which channel annotations are of; "" if there is but one. SigMF 1.2 has no field for it."""
    if source is None or source.n_channels == 1:
        return ""
    return f"channel {getattr(source, 'channel', 0)} of {source.n_channels}, counted from 0"


def data_beside(source: Recording, meta: dict) -> Path | None:
    """The file with the samples, if it holds nothing but samples of a type that SigMF knows; else None."""
    data_path = getattr(source, "data_path", None)
    plain = not meta["global"].get("core:trailing_bytes") and not any(c.get("core:header_bytes") for c in meta["captures"])
    return data_path if plain else None


def link_samples(meta_path: Path, data_path: Path) -> bool:
    """Lets NAME.sigmf-data beside NAME.sigmf-meta lead to the samples: inspectrum 0.2.3 takes them by that name alone.

    What lies there already and is no link stays. Returns whether that name leads to the samples.
    """
    link = meta_path.with_name(meta_path.name.removesuffix(META_SUFFIX) + DATA_SUFFIX)
    try:
        if link.is_symlink() and not link.samefile(data_path):
            link.unlink()
        if not link.is_symlink() and not link.exists():
            link.symlink_to(os.path.relpath(data_path.resolve(), link.parent.resolve()))
        return link.samefile(data_path)
    except OSError:  # a file system without links, or a link that leads nowhere
        return False


def _minimal(samp_rate, center_freq, datatype) -> dict:
    if not samp_rate > 0:
        raise ValueError(f"samp_rate {samp_rate} must be positive if there is no recording to take it from")
    head = {"core:datatype": datatype, "core:sample_rate": float(samp_rate), "core:version": "1.2.0",
            "core:metadata_only": True}
    _declare_extension(head)
    capture = {"core:sample_start": 0, "core:frequency": float(center_freq)}
    return {"global": head, "captures": [capture], "annotations": []}


def _declare_extension(head: dict):
    others = [item for item in _extensions(head.get("core:extensions")) if item["name"] != EXTENSION["name"]]
    head["core:extensions"] = [*others, EXTENSION]


def _extensions(stated: object) -> list[dict]:
    """Extensions as SigMF 1.2 has them: a list of objects with name, version, optional.

    Drafts of SigMF 1.0 showed an object of names and versions, and files have lists of names. What does not say that a
    reader must know it is optional.
    """
    items = [{"name": name, "version": version} for name, version in stated.items()] if isinstance(stated, dict) else \
        [item if isinstance(item, dict) else {"name": item} for item in stated] if isinstance(stated, list) else []
    return [{**item, "name": str(item["name"]), "version": str(item.get("version") or "unknown"),
             "optional": item.get("optional") is not False} for item in items if item.get("name")]
