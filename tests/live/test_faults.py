# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sequences of faults, retunes and bad commands: none hangs, each ends as it must."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fault_sequences.py")


def check_sequences(model, first, count, timeout):
    halves = [(first, count // 2), (first + count // 2, count - count // 2)]  # they wait most of the time
    processes = [subprocess.Popen([sys.executable, SCRIPT, model, str(begin), str(n)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) for begin, n in halves]
    rows = []
    try:
        for process in processes:
            out, errors = process.communicate(timeout=timeout)
            assert process.returncode == 0, errors[-2000:]
            rows += [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    finally:
        for process in processes:
            process.kill()
    assert len(rows) == count
    for row in rows:
        assert row["seconds"] < 15, row  # 0.6 s of play, 0.8 s of silence, 1.5 s of grace, and a busy machine
        assert not row["interrupted"], row
        assert row["refused"] == row["done"].count("bad"), row
        if row["end"] is None:
            assert not row["fault"] and not row["hung"], row
            assert row["frames"] > 0, row
        else:
            said_why = {"unplug_after": ("driver failed", "no samples"), "error_after": ("no samples",),
                        "hang_after": ("no samples",)}[row["end"]]
            assert any(word in row["fault"] for word in said_why), row
    return rows


def test_twenty_random_sequences_of_faults_end_as_they_must(small_model):
    rows = check_sequences(small_model, first=0, count=20, timeout=110)
    assert {row["end"] for row in rows} == {None, "unplug_after", "error_after", "hang_after"}  # each was drawn


@pytest.mark.soak
@pytest.mark.parametrize("first", [1000, 1050, 1100, 1150])
def test_two_hundred_random_sequences_of_faults(small_model, first):
    check_sequences(small_model, first, count=50, timeout=600)
