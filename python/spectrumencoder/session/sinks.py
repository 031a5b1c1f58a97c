# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run writes its messages with: files of JSON lines, ZeroMQ, SigMF annotations."""

from __future__ import annotations

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
        SettingError: annotations are asked for, and the source is no recording in a file.
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
        sinks.append(event_log(str(settings.signals), append=append, recording=name))
        top.msg_connect(monitor, keys.SIGNALS, sinks[-1], keys.EVENTS)
    if settings.annotate is None and not settings.annotate_signals:
        return sinks
    if source.recording is None:
        raise SettingError(f"annotate={settings.annotate!r} needs a recording in a file; set events=FILE instead")
    from ..blocks.sigmf_annotator import sigmf_annotator
    sinks.append(sigmf_annotator(source.recording, settings.annotate or ""))
    top.msg_connect(monitor, keys.ANOMALIES, sinks[-1], keys.EVENTS)
    if settings.annotate_signals:
        top.msg_connect(monitor, keys.SIGNALS, sinks[-1], keys.SIGNALS)
    return sinks
