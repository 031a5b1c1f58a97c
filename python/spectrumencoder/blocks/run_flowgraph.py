# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a flowgraph to its end, to a failure or to a stop, and never hangs: for the command line, scripts and tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..stop_signals import STOP, StopSignals
from .grace import Grace
from .safe_block import Failure, first_failure

if TYPE_CHECKING:
    from gnuradio import gr

_GRACE_POLL_S = 0.05


def run_flowgraph(top_block: gr.top_block, blocks: Iterable[object], *, should_stop: Callable[[], bool] | None = None,
                  poll_s: float = 0.1, grace_s: float = 10.0,
                  wait: Callable[[threading.Event, float], bool] = threading.Event.wait) -> Failure | None:
    """Runs the flowgraph to its end.

    Args:
        top_block: a gr.top_block, not started.
        blocks: the blocks to watch. A ``failure`` of one stops the flowgraph, even if the block has no streams. Their message
            queues are emptied at the end.
        should_stop: called at every poll; True stops the flowgraph cleanly (a duration, a key).
        poll_s: seconds between polls.
        grace_s: seconds that the blocks have to end after a stop. On a busy machine they get more, as ``Grace`` counts.
        wait: waits for an event for some seconds, and returns whether it is set; a program with windows lets them work meanwhile.

    Returns:
        None, or the failure that ended the flowgraph: `block`, `where` and `error` describe it, and ``str`` gives one line.

    Raises:
        TimeoutError: a block did not end in time (a radio driver that hangs); the process should exit. If a failure had
            stopped the flowgraph, the error names it and has it as its cause.
        KeyboardInterrupt: Ctrl-C or SIGTERM, also while it starts; the flowgraph has been stopped cleanly before.
    """
    blocks = list(blocks)
    run = _Run(top_block)
    with STOP.deferred() as stop:
        try:
            run.thread.start()
            while not wait(run.ended, poll_s):
                if stop.came or first_failure(blocks) is not None or (should_stop is not None and should_stop()):
                    break
        finally:
            if not run.ended.is_set():
                run.stop(grace_s, blocks, stop)
            for block in blocks:
                if hasattr(block, "drain"):  # C++ blocks do not need it
                    block.drain()
        if run.error is not None:
            raise run.error
        if stop.came:
            raise KeyboardInterrupt
    return first_failure(blocks)


class _Run:
    """The flowgraph's start and end, in a thread of their own: either may wait for a driver that hangs."""

    def __init__(self, top_block: gr.top_block):
        self._top_block = top_block
        self._started, self.ended = threading.Event(), threading.Event()
        self.error: Exception | None = None  # of the start
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self._top_block.start()
        except Exception as error:  # noqa: BLE001 (the main thread raises it)
            self.error = error
        else:
            self._started.set()
            self._top_block.wait()
        self._started.set()
        self.ended.set()

    def stop(self, grace_s: float, blocks: Sequence[object], stop: StopSignals) -> None:
        grace = Grace(grace_s)
        threading.Thread(target=self._stop, daemon=True).start()  # stop itself may wait for a stalled driver
        while not grace.is_over():
            if self.ended.wait(_GRACE_POLL_S):
                return
        text = f"the flowgraph did not end within {grace_s:g} s after stop; a source may have stalled"
        failure = first_failure(blocks)
        if failure is not None:
            raise TimeoutError(f"{failure}; then {text}") from failure.error
        raise TimeoutError(text) from (KeyboardInterrupt() if stop.came else None)

    def _stop(self):
        self._started.wait()  # a stop before the start would have no effect
        self._top_block.stop()
