# SPDX-License-Identifier: GPL-3.0-or-later
"""A stretch of a radio's signal as a recording: what ``calibrate soapy:...`` learns from, by the source that ``run`` has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import HungError, SessionError
from .flowgraph import GRACE_S, quiet_logs
from .progress import Progress, no_progress
from .sources import RadioOptions, RadioSource

if TYPE_CHECKING:
    from ..recordings import Recording

_BYTES = 8  # size of a cf32 sample


def record_radio(options: RadioOptions, meta: Path, progress: Progress = no_progress) -> tuple[Recording, str]:
    """Records ``options.duration`` seconds.

    Returns:
        The recording, and a note for the user ("" if there is none).

    Raises:
        SessionError: the radio is missing or stopped, the disk is too small, or Ctrl-C ended it. HungError: see there.
    """
    from gnuradio import gr

    from ..blocks.run_flowgraph import run_flowgraph
    from ..recordings import open_recording
    from .iq_recorder import iq_recorder
    quiet_logs()
    source = RadioSource(options)
    wanted, free = source.total * _BYTES, shutil.disk_usage(meta.parent).free
    if wanted > 0.9 * free:
        raise SessionError(f"{options.duration:g} s at {source.samp_rate:g} samples/s take {wanted / 1e9:.2g} GB in "
                           f"{meta.parent}, which has {free / 1e9:.2g} GB left; put --out on a larger disk, or give a shorter "
                           "--duration")
    recorder = iq_recorder(str(meta), source.samp_rate, source.block.center_freq, source.total)
    top = gr.top_block("spectrumencoder record")
    top.connect(source.block, recorder)

    def poll() -> bool:
        progress(f"recording {source.name}", recorder.n_samples, source.total)
        return source.ended()

    source.begin()
    try:
        failure = run_flowgraph(top, [*source.watched, recorder], should_stop=poll, grace_s=GRACE_S)
    except KeyboardInterrupt:
        raise SessionError(f"{source.name}: interrupted after {recorder.n_samples / source.samp_rate:.3g} s; nothing was "
                           "learned") from None
    except TimeoutError as error:
        raise HungError(f"{source.name}: {source.fault or error}") from error
    if failure is not None or source.fault:
        raise SessionError(f"{source.name}: {source.fault or failure}")
    recording = open_recording(meta, offset_hz=options.offset)
    gaps = len(recording.captures) - 1
    return recording, f"{gaps} overflows while recording; no frame is learned across one" if gaps else ""
