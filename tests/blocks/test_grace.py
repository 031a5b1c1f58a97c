# SPDX-License-Identifier: GPL-3.0-or-later
"""A grace period ends by the clock, unless the machine is too busy to give the process its processor."""

import threading
import time

from gnuradio.spectrumencoder.blocks.grace import LONGEST, Grace, waits_s


def over_after(waiting_share, step_s=0.1):
    """Seconds by the clock until a grace of 1 s is over, if two threads wait for a processor for that share of the time, in
    turns."""
    now = [0.0]
    waits = {"a": 5.0, "b": 7.0}
    grace = Grace(1.0, clock=lambda: now[0], waits=lambda: dict(waits))
    for step in range(1000):
        if grace.is_over():
            return now[0]
        now[0] += step_s
        waits["ab"[step % 2]] += waiting_share * step_s
    raise AssertionError


def test_it_is_over_by_the_clock_on_an_idle_machine_and_later_on_a_busy_one():
    assert abs(over_after(0.0) - 1.0) < 0.11
    assert abs(over_after(0.5) - 2.0) < 0.11
    assert abs(over_after(1.0) - LONGEST) < 0.11


def test_the_system_counts_for_each_thread():
    done = threading.Event()
    threading.Thread(target=done.wait, daemon=True).start()
    assert len(waits_s()) >= 2 and all(waited >= 0.0 for waited in waits_s().values())
    grace, began = Grace(0.3), time.monotonic()
    while not grace.is_over():
        time.sleep(0.02)
    done.set()
    assert 0.3 <= time.monotonic() - began < 0.3 * LONGEST + 1.0
