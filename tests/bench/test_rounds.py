# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns, ratios, meters, the model of cores, and the page: on made-up numbers whose answers are known."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.bench import meters, report, scaling, tables
from gnuradio.spectrumencoder.bench.rounds import BUSY, QUIET, Turns, median_interval, paired_ratio, statistics, take_turns


def test_every_arm_has_as_many_turns_under_each_condition_and_the_order_varies():
    seen, now = [], [QUIET]
    arms = {name: lambda name=name: seen.append((now[0], name)) for name in ("a", "b", "c")}
    turns = take_turns(arms, 8, calls=2, conditions=(QUIET, BUSY), enter=lambda condition: now.__setitem__(0, condition))
    measured = seen[3 * 3:]  # after the warm-up
    assert now == [QUIET]
    for condition in (QUIET, BUSY):
        for name in arms:
            assert measured.count((condition, name)) == 16
            assert turns[condition][name].wall.shape == (8, 2)
    orders = {tuple(measured[n:n + 6:2]) for n in range(0, len(measured), 6)}
    assert len(orders) > 3


def test_the_order_follows_from_the_seed():
    def order(seed):
        seen = []
        take_turns({n: lambda n=n: seen.append(n) for n in "abcd"}, 4, calls=1, seed=seed)
        return seen
    assert order(1) == order(1) != order(2)


def test_statistics_are_of_all_calls_and_the_first_stands_apart():
    turns = Turns(np.array([[0.004, 0.001, 0.001], [0.006, 0.001, 0.001]]), np.full((2, 3), 0.002))
    row = statistics(turns, items=8)
    assert (row["p50_ms"], row["max_ms"], row["first_p50_ms"], row["cpu_p50_ms"]) == pytest.approx((1.0, 6.0, 5.0, 2.0))
    assert row["warm_p99_ms"] == pytest.approx(1.0)
    assert row["calls"] == 6 and row["per_s"] == pytest.approx(8000)


def test_ratios_are_paired_within_rounds():
    load = np.array([1.0, 5.0, 2.0, 9.0])[:, None]  # hits both arms of a round alike
    ours, other = load * np.full((4, 3), 0.001), load * np.full((4, 3), 0.007)
    ratio = paired_ratio(Turns(other, other), Turns(ours, ours))
    assert ratio["wall"] == ratio["cpu"] == {"median": pytest.approx(7), "low": pytest.approx(7), "high": pytest.approx(7)}
    assert median_interval(np.arange(101.0))["median"] == 50


@pytest.fixture
def rapl(tmp_path):
    """Two packages, one with a sub-zone, which must not be counted twice."""
    for name, value in (("intel-rapl:0", 900), ("intel-rapl:1", 100), ("intel-rapl:0:0", 50)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("999\n")
    return tmp_path


def test_rapl_sums_packages_and_survives_the_counters_end(rapl):
    meter = meters.find_meter("cpu", 10.0, rapl)
    assert meter.measured and meter.joules() == 0
    (rapl / "intel-rapl:0" / "energy_uj").write_text("100\n")  # over its range: 200 more
    (rapl / "intel-rapl:1" / "energy_uj").write_text("400\n")
    assert meter.joules() == pytest.approx(500e-6)


def test_without_a_readable_counter_it_is_an_estimate(tmp_path):
    meter = meters.find_meter("cpu", 12.5, tmp_path)
    assert not meter.measured and "12.5 W" in meter.about
    before = meter.joules()
    sum(range(2_000_000))
    assert meter.joules() > before


def test_there_is_no_estimate_of_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(meters.ctypes.util, "find_library", lambda name: str(tmp_path / "absent.so"))
    with pytest.raises(OSError, match="absent"):
        meters.find_meter("cuda", 10.0)


def test_contention_is_found_again_in_the_rates_that_it_makes():
    def rates(**of):
        return {count.strip("n"): {"frames_per_s": rate} for count, rate in of.items()}
    assert scaling.contention(rates(**{f"n{p}": scaling.bands(100.0, p, 0.05) for p in (1, 2, 4)})) == pytest.approx(0.05)
    assert scaling.contention(rates(n1=3.0)) is None
    assert scaling.contention(rates(n1=3.0, n2=7.0)) == 0  # better than alone is noise
    assert scaling.bands(2.0, 8, 0.0) == 16


def test_exponents_of_a_power_law():
    assert scaling.exponents([(n, 3 * n**1.5) for n in (128, 512, 2048)]) == pytest.approx([1.5, 1.5])


def test_numbers_have_no_exponents():
    assert [tables.number(v) for v in (None, 12345.6, 0.1234, 0.0000123, 99.96)] == ["-", "12346", "0.123", "0.000012", "100"]
    assert tables.short("2.5 (1 to 3)") == "2.5" and tables.short("2048 (16384)") == "2048 (16384)"


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(report.ReportError, match="holds no bench"):
        report.write_report(tmp_path, tmp_path / "p.md")
    (tmp_path / "bench_x.json").write_text(json.dumps({"bench": "x"}))
    with pytest.raises(report.ReportError, match="results of x"):
        report.write_report(tmp_path, tmp_path / "p.md")
    (tmp_path / "bench_x.json").write_text("[]")
    with pytest.raises(report.ReportError, match="was not written by"):
        report.write_report(tmp_path, tmp_path / "p.md")
