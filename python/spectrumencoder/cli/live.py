# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder run soapy:...``: a radio through the chain, until it is told to stop."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path

from .errors import CommandError
from .session import Outcome, RunSettings, quiet_logs, run_source
from .sources import RadioOptions, RadioSource
from .watch import Watch


def run_radio(options: RadioOptions, settings: RunSettings, *, watch: Watch, plot: Path | None = None,
              encoded: Path | None = None, tracks: Path | None = None, parts=()) -> Outcome:
    """Runs a radio until its duration is over, Ctrl-C or SIGTERM ends it, or something fails; all of them in good order.

    Args:
        watch: what tells how the run is doing.
        parts: callables that connect more blocks to the flowgraph and return them.

    Raises:
        UsageError, CommandError: as of ``run_source``, and where the radio is missing or refuses a setting.
    """
    quiet_logs()
    source = RadioSource(options)
    with _sigterm_as_interrupt():
        return run_source(source, settings, plot=plot, encoded=encoded, tracks=tracks, watch=watch.attach, parts=parts)


def end(outcome: Outcome):
    """Raises CommandError where the run did not end as it was meant to."""
    if outcome.fault:
        raise CommandError(f"{outcome.name}: {outcome.fault}")


@contextmanager
def _sigterm_as_interrupt():
    """A service manager's way to say stop is the user's Ctrl-C."""
    def interrupt(number, frame):
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
