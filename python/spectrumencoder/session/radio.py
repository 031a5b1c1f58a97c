# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder run soapy:...`` and ``run -``: runs a radio or a stream through the chain until it is stopped or ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .. import keys
from ..atomic_file import cannot_write
from .errors import SessionError
from .flowgraph import RunSettings, check_picture, quiet_logs, run_source
from .outcome import Outcome
from .pipe import PipeSource
from .progress import Progress, no_progress
from .sources import RadioOptions, radio_source
from .stats import RunStats

if TYPE_CHECKING:
    from ..recordings import Recording


def run_radio(options: RadioOptions, settings: RunSettings, *, stats: RunStats, plot: Path | None = None,
              encoded: Path | None = None, tracks: Path | None = None, survey: bool = False,
              band_plot: Path | None = None, parts=(), progress: Progress = no_progress) -> Outcome:
    """Runs a radio until its duration is over, Ctrl-C or SIGTERM ends it, or a part fails. Each of these ends it cleanly.

    Args:
        stats: reports the state of the run.
        survey, band_plot, parts: see ``run_source``.

    Raises:
        SettingError, SessionError: see ``run_source``; also if the radio is missing or refuses a setting.
    """
    quiet_logs()
    for picture in filter(None, (plot, band_plot)):
        check_picture(picture)  # before the radio is opened
    source = radio_source(options)
    return run_source(source, settings, append=True, plot=plot, encoded=encoded, tracks=tracks, survey=survey,
                      band_plot=band_plot, watch=stats.attach, parts=parts, progress=progress)


def run_pipe(source: str, stated: dict, settings: RunSettings, *, stats: RunStats, plot: Path | None = None,
             encoded: Path | None = None, tracks: Path | None = None, survey: bool = False,
             band_plot: Path | None = None, parts=(), progress: Progress = no_progress) -> Outcome:
    """Runs a stream to its end; Ctrl-C or SIGTERM ends it cleanly.

    Args:
        source, stated: see ``PipeSource``. stats: reports the state of the run. survey, band_plot, parts: see ``run_source``.

    Raises:
        SettingError, SessionError: see ``run_source`` and ``PipeSource``.
    """
    quiet_logs()
    return run_source(PipeSource(source, stated), settings, append=True, plot=plot, encoded=encoded, tracks=tracks, survey=survey,
                      band_plot=band_plot, watch=stats.attach, parts=parts, progress=progress)


class SnippetPart:
    """Connects a snippet_recorder to a radio, or what notes the events of a recording; ``write`` then writes their samples."""

    def __init__(self, folder: Path, max_mb: float):
        self._folder, self._max_mb = folder, max_mb

    def __call__(self, flowgraph) -> list:
        from ..blocks.snippet_recorder import snippet_recorder
        source = flowgraph.source
        if source.recording is not None:
            from .event_samples import event_samples
            self._noted = event_samples()
            flowgraph.top.msg_connect(flowgraph.monitor, keys.ANOMALIES, self._noted, keys.EVENTS)
            return [self._noted]
        try:
            recorder = snippet_recorder(str(self._folder), source.samp_rate, max_mb=self._max_mb,
                                        freq_offset=source.freq_offset)
        except OSError as error:
            raise SessionError(f"--snippets {self._folder}: {error.strerror}; name a folder that can be made") from error
        flowgraph.top.connect(source.block, recorder)
        flowgraph.top.msg_connect(flowgraph.monitor, keys.ANOMALIES, recorder, keys.EVENTS)
        return [recorder]

    def write(self, recording: Recording) -> None:
        """Writes the samples around the events of a recording that has been run.

        Raises:
            SessionError: the folder cannot be written.
        """
        try:
            self._noted.write(recording, self._folder, 1e6 * self._max_mb)
        except OSError as error:
            raise SessionError(f"--snippets: {cannot_write(self._folder, error, 'name a folder that can be made')}") from error


def end(outcome: Outcome):
    """Raises SessionError if the run did not end as intended."""
    if outcome.fault:
        raise SessionError(f"{outcome.name}: {outcome.fault}")
