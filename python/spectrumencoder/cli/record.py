# SPDX-License-Identifier: GPL-3.0-or-later
"""A stretch of a radio's signal as a recording: what ``calibrate soapy:...`` learns from, by the source that ``run`` has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from .console import NOTES, progress_bar
from .errors import CommandError
from .session import GRACE_S, leave, quiet_logs
from .sources import RadioOptions, RadioSource

if TYPE_CHECKING:
    from ..tokens.recording import Recording

_BYTES = 8  # of a cf32 sample


def record_radio(options: RadioOptions, meta: Path, quiet: bool) -> Recording:
    """Records ``options.duration`` seconds.

    Raises:
        CommandError: the radio is not there or stopped, the disk is too small, or Ctrl-C ended it.
    """
    from gnuradio import gr

    from ..blocks.iq_recorder import iq_recorder
    from ..blocks.run_flowgraph import run_flowgraph
    from ..tokens.recording import Recording
    quiet_logs()
    source = RadioSource(options)
    wanted, free = source.total * _BYTES, shutil.disk_usage(meta.parent).free
    if wanted > 0.9 * free:
        raise CommandError(f"{options.duration:g} s at {source.samp_rate:g} samples/s take {wanted / 1e9:.2g} GB in "
                           f"{meta.parent}, which has {free / 1e9:.2g} GB left; put --out on a larger disk, or give a shorter "
                           "--duration")
    recorder = iq_recorder(str(meta), source.samp_rate, source.center_freq, source.total)
    top = gr.top_block("spectrumencoder record")
    top.connect(source.block, recorder)
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task(f"recording {source.name}", total=source.total)

        def poll() -> bool:
            bar.update(task, completed=recorder.n_samples)
            return source.ended()
        source.begin()
        try:
            failure = run_flowgraph(top, [*source.watched, recorder], should_stop=poll, grace_s=GRACE_S)
        except KeyboardInterrupt:
            raise CommandError(f"{source.name}: interrupted after {recorder.n_samples / source.samp_rate:.3g} s; nothing was "
                               "learned") from None
        except TimeoutError as error:
            shutil.rmtree(meta.parent, ignore_errors=True)  # the caller's temporary folder: it will not come to that
            leave(f"{source.name}: {source.fault or error}")
    if failure is not None or source.fault:
        raise CommandError(f"{source.name}: {source.fault or failure}")
    recording = Recording.open(meta)
    if len(recording.captures) > 1 and not quiet:
        NOTES.print(f"note: {len(recording.captures) - 1} overflows while recording; no frame is learned across one",
                    markup=False)
    return recording
