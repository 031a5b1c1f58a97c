# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run writes its messages with: files of JSON lines, ZeroMQ, SigMF annotations."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from .. import keys
from .errors import SettingError

STDOUT = Path("-")  # for events

if TYPE_CHECKING:
    from .flowgraph import RunSettings
    from .pipe import Source


def connect_sinks(top, monitor, source: Source, settings: RunSettings, append: bool, name_in_events: bool) -> list:
    """Connects the blocks that write what the settings ask for to a spectrum_monitor, and returns them.

    Args:
        append: files of JSON lines keep what they hold. name_in_events: each line has the name of the source.

    Raises:
        SettingError: annotations are asked for without a file, and the source is no recording in a file.
    """
    from ..blocks.event_log import event_log
    name, sinks = source.name if name_in_events else "", []
    if settings.events is not None:
        to_stdout = settings.events == STDOUT
        sinks.append(event_log("" if to_stdout else str(settings.events), append=append, stdout=to_stdout, recording=name,
                               max_mb=0.0 if to_stdout else settings.events_max_mb))
    if settings.zmq:
        sinks.append(event_log(zmq_address=settings.zmq, recording=name))
    for sink in sinks:
        top.msg_connect(monitor, keys.ANOMALIES, sink, keys.EVENTS)
    if settings.signals is not None:
        sinks.append(event_log(str(settings.signals), append=append, recording=name, max_mb=settings.events_max_mb))
        top.msg_connect(monitor, keys.SIGNALS, sinks[-1], keys.EVENTS)
    if settings.annotate is None and not settings.annotate_signals:
        return sinks
    from ..blocks.sigmf_annotator import sigmf_annotator
    if source.recording is not None:
        sinks.append(sigmf_annotator(source.recording, settings.annotate or ""))
    elif settings.annotate:
        set_aside(Path(settings.annotate))
        sinks.append(sigmf_annotator("", settings.annotate, source.samp_rate, source.center_freq))
        monitor.detector.on_segment = sinks[-1].begin_capture
    else:
        raise SettingError(f"annotate={settings.annotate!r} and annotate_signals={settings.annotate_signals} need a file for a "
                           "radio, which has none of its own; name one: annotate=FILE")
    top.msg_connect(monitor, keys.ANOMALIES, sinks[-1], keys.EVENTS)
    if settings.annotate_signals:
        top.msg_connect(monitor, keys.SIGNALS, sinks[-1], keys.SIGNALS)
    return sinks


def set_aside(path: Path) -> None:
    """Renames the annotations of an earlier run of a radio, NAME.sigmf-meta, to NAME-1.sigmf-meta, or the next free number."""
    from ..recordings import META_SUFFIX
    if path.suffix != META_SUFFIX:
        path = path.with_name(path.name + META_SUFFIX)
    if path.exists():
        stem = path.name.removesuffix(META_SUFFIX)
        number = next(n for n in count(1) if not path.with_name(f"{stem}-{n}{META_SUFFIX}").exists())
        path.rename(path.with_name(f"{stem}-{number}{META_SUFFIX}"))
