# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of signals: the matching by hand, and a small run on composed scenes of the mini corpus."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.evaluate.signals import figures, run, scenes
from gnuradio.spectrumencoder.evaluate.signals.boxes import FoundBox
from gnuradio.spectrumencoder.evaluate.signals.matching import average_precision, overlaps, stretches, whole
from gnuradio.spectrumencoder.evaluate.signals.scenes import Scene, TrueBox
from gnuradio.spectrumencoder.training.corpus import load_corpus


def true_box(low, high, first, last, label="LTE", emitter="e", **more):
    return TrueBox(low, high, first, last, label, label, 10.0, "source", emitter, **more)


def found_box(low, high, first, last, score=0.9, label="LTE", signal=1, **more):
    return FoundBox(low, high, first, last, signal, score, 10.0, label, score, **more)


def test_average_precision_by_hand():
    # Right, wrong, right of 3 true boxes: precision 1 up to recall 1/3, then 2/3 up to 2/3
    assert average_precision([0.9, 0.8, 0.7], [True, False, True], 3) == pytest.approx(1 / 3 + 2 / 9)
    assert average_precision([], [], 2) == 0.0
    assert np.isnan(average_precision([0.5], [False], 0))


def test_boxes_overlap_in_frequency_and_in_time():
    found, true = [found_box(10, 20, 0, 9)], [true_box(15, 25, 5, 14)]
    assert overlaps(found, true, in_time=False)[0, 0] == pytest.approx(5 / 15)
    assert overlaps(found, true, in_time=True)[0, 0] == pytest.approx(25 / 175)


def test_narrow_boxes_count_as_wide_as_the_window_resolves():
    assert overlaps([found_box(10, 13, 0, 9)], [true_box(11.4, 11.6, 0, 9)], in_time=False)[0, 0] == pytest.approx(1.0)


def test_the_surest_box_has_the_true_one_and_a_covered_one_does_not_count():
    found = [found_box(10, 20, 0, 7, 0.5, signal=1), found_box(10, 21, 0, 7, 0.9, signal=2), found_box(50, 60, 0, 7, signal=3)]
    true = [true_box(10, 20, 0, 7, emitter="a"), true_box(50, 60, 0, 7, emitter="b", covered=True)]
    match = whole(found, true)
    assert [box.signal for box in match.found] == [1, 2] and match.partner == [-1, 0] and len(match.true) == 1


def test_a_stretch_has_one_box_for_each_signal_and_emitter():
    found = [found_box(10, 20, 0, 2), found_box(10, 20, 5, 7)]
    parts = stretches(found, [true_box(10, 20, 0, 1), true_box(10, 20, 6, 20)], 24)
    assert [(len(p.found), len(p.true), p.partner) for p in parts] == [(1, 1, [0]), (0, 1, []), (0, 1, [])]


def test_figures_of_a_scene_by_hand():
    true = [true_box(10, 20, 0, 7, "LTE", "a"), true_box(50, 60, 0, 7, "LoRa", "b"),
            true_box(90, 99, 0, 7, "unknown signal", "c")]
    found = [found_box(10, 20, 0, 7, 0.9, "LTE", 1, known=0.9), found_box(50, 60, 0, 7, 0.8, "LTE", 2, known=0.7),
             found_box(90, 99, 0, 7, 0.7, "unknown signal", 3, known=0.2), found_box(200, 230, 0, 7, 0.2, "LoRa", 4)]
    scene = Scene(0, 1e6, np.zeros((8, 1344), np.float32), true, [])
    row = figures.summary([(found, scene)])
    assert row["ap_frequency"]["mean"] == row["recall"]["mean"] == 1.0
    assert row["accuracy"]["mean"] == row["balanced_accuracy"]["mean"] == 0.5
    assert row["confusions"] == [["LoRa", "LTE", 1]]
    assert row["unknown_auroc"]["mean"] == 1.0 and row["unknown_called_unknown"] == 1.0
    assert row["map_frequency"]["mean"] == pytest.approx(0.5)
    # Two boxes are wholly right, 0.9 and 0.7; two are wrong, 0.8 and 0.2
    assert row["calibration_error"]["mean"] == pytest.approx((0.1 + 0.3 + 0.8 + 0.2) / 4)


def test_truth_has_the_visible_part_and_joins_bursts_with_short_gaps(mini_corpus, tmp_path):
    sources = scenes.with_boxes(load_corpus([mini_corpus]))
    plan, library = scenes.draw_plan(sources, [mini_corpus], 3, 64)
    boxes = scenes.true_boxes(plan, library, 64)
    assert boxes and all(0 <= box.first <= box.last < 64 and -1 < box.low < box.high < 1025 for box in boxes)
    for one in boxes:
        for other in boxes:
            if one is not other and one.emitter == other.emitter:
                gap_s = (max(one.first, other.first) - min(one.last, other.last) - 1) * scenes.HOP / plan.rate_hz
                assert gap_s > scenes.JOIN_S


def test_a_small_run_by_energy_alone(mini_corpus, tmp_path):
    options = ["evaluate", "signals", "--corpus", str(mini_corpus), "--scenes", "2", "--cache", str(tmp_path / "cache"), "--json",
               str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    for _ in range(2):  # the second time all is kept
        assert main(options) == 0
    result = json.loads((tmp_path / "a.json").read_text())
    assert list(result["systems"]) == [run.ENERGY] and len(result["scenes"]) == 2
    assert result["systems"][run.ENERGY]["recall_goal"] is not None
    assert "energy alone" in (tmp_path / "a.md").read_text()


def test_a_fold_that_is_not_there_is_refused(mini_corpus, tmp_path, capsys):
    assert main(["evaluate", "signals", "--corpus", str(mini_corpus), "--fold", f"{tmp_path}/none.toml:a", "--cache",
                 str(tmp_path)]) != 0
    assert "is no FILE:NAME" in capsys.readouterr().err
