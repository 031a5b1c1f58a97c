# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks by seeds on the command line (attacks.py, file_attacks.py): a few in each run of the tests, the counts of
docs/reliability.md by `make soak`. SPECTRUMENCODER_ATTACKS scales those, such as 0.1 for a tenth."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

ATTACKS, FILE_ATTACKS = (Path(__file__).with_name(name) for name in ("attacks.py", "file_attacks.py"))
WORKERS = 4  # attacks at a time that mostly wait
NO_SAMPLES = ("no samples for", "the radio's driver failed", "only ", "did not end within")  # why a run with a faulty radio ends
SCALE = float(os.environ.get("SPECTRUMENCODER_ATTACKS", "1"))
ENDS_WITHIN_S = 2.0  # of a processor's time


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_sigmf):
    """With three seconds of noise at 1 MS/s, bursts in its second half, and a time: events that are the same in each run."""
    path, rng = tmp_path_factory.mktemp("attacks"), np.random.default_rng(0)
    iq = rng.standard_normal((3_000_000, 2), np.float32).view(np.complex64)[:, 0] * np.float32(0.01)
    for number, begin in enumerate(range(1_550_000, 2_950_000, 100_000)):
        cycles = (0.05 + 0.03 * (number % 9)) * np.arange(50_000)
        iq[begin:begin + 50_000] += 0.2 * np.exp(2j * np.pi * cycles).astype(np.complex64)
    write_sigmf(path, "quiet", iq, 1e6, captures=[{"core:sample_start": 0, "core:frequency": 434e6,
                                                   "core:datetime": "2026-01-31T12:00:00Z"}])
    return path


def attack(kind, folder, first, count, *, script=ATTACKS, workers=1, timeout=3000):
    """Rows of `count` attacks (a share of them, as the environment says), by several processes at a time."""
    count = max(1, round(count * (SCALE if count > 20 else 1)))
    cuts = [first + count * part // workers for part in range(workers + 1)]
    processes = [subprocess.Popen([sys.executable, script, kind, folder, str(begin), str(end - begin)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) for begin, end in pairwise(cuts)]
    rows, errors = [], ""
    for process in processes:
        out, said = process.communicate(timeout=timeout)
        errors += said
        rows += [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        assert process.returncode == 0, said[-2000:]
    assert len(rows) == count, errors[-2000:]
    for row in rows:
        lines = [line for line in row["errors"].splitlines() if line]
        assert "Traceback" not in row["errors"] and "HANG" not in row["errors"], row
        assert len(lines) <= 1 and all(line.startswith("error: ") for line in lines), row
        assert "SPECTRUMENCODER_DEBUG" not in row["errors"], row  # the text of an exception that nobody thought of
    return rows


def check_signals(folder, first, count):
    for row in attack("signals", folder, first, count):
        assert row["valid"] and not row["differences"] and row["encoded"] and row["summary"], row
        if row["alive"]:
            assert row["seconds"] < ENDS_WITHIN_S, row
            # over before the signal came through, or interrupted, or killed; by SIGTERM's default before Python is up
            assert row["status"] in {"SIGKILL": (0, -9), "SIGINT": (0, 1, -2), "SIGTERM": (0, 1, -15)}[row["signal"]], row
            assert row["status"] != 1 or "interrupted" in row["errors"], row


def check_files(kind, folder, first, count):
    for row in attack(kind, folder, first, count):
        # 2: what the file does not state any more, such as its rate, has to be stated
        assert row["status"] in ((1, 2) if row["errors"] else (0,)), row
        if kind == "encoded":
            assert row["status"] == 0 or row["pdus"] <= row["of"], row


def check_full(folder, first, count):
    rows = attack("full", folder, first, count)
    for row in rows:
        assert row["valid"] and row["summary"], row
        assert row["status"] == (1 if row["errors"] else 0), row
        assert row["status"] == 0 or "cannot write" in row["errors"], row
    assert any(row["status"] for row in rows)


def check_radio(folder, first, count):
    for row in attack("radio", folder, first, count, workers=WORKERS if count > 20 else 1):
        assert row["status"] in row["right"] and not row["out"], row
        assert row["status"] == (1 if row["errors"] else 0), row
        assert row["status"] == 0 or any(reason in row["errors"] for reason in NO_SAMPLES), row
        assert row["valid"] and row["summary"], row


def check_changing(folder, first, count):
    for row in attack("changing", folder, first, count, script=FILE_ATTACKS):
        assert row["status"] == (1 if row["errors"] else 0) and row["valid"], row
        assert row["status"] == 1 or row["right"], row  # never other events without a word


def check_disk(folder, first, count):
    rows = attack("disk", folder, first, count, script=FILE_ATTACKS)
    for row in rows:
        assert row["valid"] and not row["temporary"], row
        assert row["status"] == (1 if row["errors"] else 0), row
        assert row["status"] == 0 or "cannot write" in row["errors"], row
        assert row["status"] == 1 or row["free"] > 0, row
    return rows


def test_a_few_faults_of_a_radio(folder):
    check_radio(folder, 1, 3)


def test_a_few_recordings_that_change(folder):
    check_changing(folder, 12, 3)  # it is cut, rewritten in a part, replaced


def test_a_few_signals(folder):
    check_signals(folder, 0, 3)


@pytest.mark.parametrize("kind", ["sigmf", "encoded"])
def test_a_few_damaged_files(folder, kind):
    check_files(kind, folder, 0, 20)


def test_a_few_full_disks(folder):
    check_full(folder, 0, 4)


@pytest.mark.soak
@pytest.mark.parametrize("first", [1000, 1200, 1400])
def test_two_hundred_signals(folder, first):
    check_signals(folder, first, 200)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sigmf", "encoded"])
def test_a_thousand_damaged_files(folder, kind):
    check_files(kind, folder, 1000, 1000)


@pytest.mark.soak
def test_seventy_full_disks(folder):
    check_full(folder, 1000, 70)


@pytest.mark.soak
@pytest.mark.parametrize("first", [1000, 1250, 1500, 1750])
def test_a_thousand_faults_of_a_radio(folder, first):
    check_radio(folder, first, 250)


@pytest.mark.soak
def test_recordings_that_change(folder):
    check_changing(folder, 1000, 120)


@pytest.mark.soak
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which only root may")
def test_a_full_disk_at_every_output(folder):
    check_disk(folder, 1000, 69)
