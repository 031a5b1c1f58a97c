# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a flowgraph to its end, to a failure or to a stop, and never hangs: for the command line, scripts and tests."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from .safe_block import Failure, first_failure

if TYPE_CHECKING:
    from gnuradio import gr


def run_flowgraph(top_block: gr.top_block, blocks: Iterable[object], *, should_stop: Callable[[], bool] | None = None,
                  poll_s: float = 0.1, grace_s: float = 10.0) -> Failure | None:
    """Runs the flowgraph to its end.

    Args:
        top_block: a gr.top_block, not started.
        blocks: the blocks to watch. A ``failure`` of one stops the flowgraph, even if the block has no streams. Their message
            queues are emptied at the end.
        should_stop: called at every poll; True stops the flowgraph cleanly (a duration, a key).
        poll_s: seconds between polls.
        grace_s: seconds that the blocks have to end after a stop.

    Returns:
        None, or the failure that ended the flowgraph: `block`, `where` and `error` describe it, and ``str`` gives one line.

    Raises:
        TimeoutError: a block did not end in time (a radio driver that hangs); the process should exit. If a failure had
            stopped the flowgraph, the error names it and has it as its cause.
        KeyboardInterrupt: Ctrl-C; the flowgraph has been stopped cleanly before.
    """
    blocks = list(blocks)
    interrupted = _start(top_block)
    ended = threading.Event()
    threading.Thread(target=_wait, args=(top_block, ended), daemon=True).start()
    try:
        if interrupted:
            raise KeyboardInterrupt
        while not ended.wait(poll_s):
            if first_failure(blocks) is not None or (should_stop is not None and should_stop()):
                break
    finally:
        if not ended.is_set():
            _stop(top_block, ended, grace_s, blocks)
        for block in blocks:
            if hasattr(block, "drain"):  # C++ blocks do not need it
                block.drain()
    return first_failure(blocks)


def _start(top_block: gr.top_block) -> bool:
    """Starts it. Ctrl-C meanwhile is put off, and returned: raised inside a block's ``start`` it would abort the process."""
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    deferred = threading.current_thread() is threading.main_thread() and callable(before)
    if deferred:
        signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        top_block.start()
    finally:
        if deferred:
            signal.signal(signal.SIGINT, before)
    return bool(pressed)


def _wait(top_block: gr.top_block, ended: threading.Event) -> None:
    top_block.wait()
    ended.set()


def _stop(top_block: gr.top_block, ended: threading.Event, grace_s: float, blocks: Sequence[object]) -> None:
    deadline = time.monotonic() + grace_s
    threading.Thread(target=top_block.stop, daemon=True).start()  # stop itself may wait for a stalled driver
    if not ended.wait(max(0.0, deadline - time.monotonic())):
        text = f"the flowgraph did not end within {grace_s:g} s after stop; a source may have stalled"
        failure = first_failure(blocks)
        if failure is None:
            raise TimeoutError(text)
        raise TimeoutError(f"{failure}; then {text}") from failure.error
