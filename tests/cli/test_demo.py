# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make demo` calls found, and what it does not."""

import importlib.util
import json
from pathlib import Path

import pytest

BIN, FRAME = 2e6 / 1024, 16384
TRUTH = {"samp_rate": 2e6, "anomalies": [{"freq_center_hz": 869e6, "sample_start": 400_000, "sample_count": 300_000}]}


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", Path(__file__).parents[2] / "tools" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(bins=0.0, start=0.0, stop=0.0, identity="1"):
    begin = 400_000 + start * FRAME
    return json.dumps({"event_id": identity, "freq_center_hz": 869e6 + bins * BIN, "sample_start": begin,
                       "sample_count": 700_000 + stop * FRAME - begin})


@pytest.mark.parametrize("bins, start, stop, found", [(0, 0, 0, True), (1.9, -1.9, 1.9, True), (2.1, 0, 0, False),
                                                      (0, 2.1, 0, False), (0, 0, -2.1, False)])
def test_within_two_bins_and_two_frames(demo, bins, start, stop, found):
    assert demo.compare(TRUTH, [line(bins, start, stop)])[0] is found


def test_of_an_event_the_last_line_counts(demo):
    assert demo.compare(TRUTH, [line(stop=-9), line()])[0]
    assert not demo.compare(TRUTH, [line(), line(stop=-9)])[0]


def test_no_event_is_missed_and_another_event_does_not_hide_the_right_one(demo):
    assert demo.compare(TRUTH, [])[0] is False
    found, text = demo.compare(TRUTH, [line(bins=300, identity="2"), line()])
    assert found and "1 other event" in text
