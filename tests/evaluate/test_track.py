# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation of trackers on flights that the test makes itself: baselines, errors, figures, scenes, emissions, the whole."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.evaluate.track import alarm, emissions, multi, pictures, report
from gnuradio.spectrumencoder.evaluate.track import run as experiment
from gnuradio.spectrumencoder.evaluate.track import scene as scenes
from gnuradio.spectrumencoder.evaluate.track.bank import judge_bank
from gnuradio.spectrumencoder.evaluate.track.baselines import CvKalman, FilterpyImm, ImmSettings
from gnuradio.spectrumencoder.evaluate.track.figures import MEAN, single_figures
from gnuradio.spectrumencoder.evaluate.track.flights import Flight, Samples
from gnuradio.spectrumencoder.evaluate.track.single import FILTERED, NEXT, judge, rmse
from gnuradio.spectrumencoder.evaluate.track.stonesoup import GNN, JPDA, TUNED, StoneSoupTracker
from gnuradio.spectrumencoder.tracker.filters import make_filter
from gnuradio.spectrumencoder.tracker.geo import Origin
from gnuradio.spectrumencoder.tracker.motion_field import MotionField
from gnuradio.spectrumencoder.tracker.settings import SpatialSettings

IMM = ImmSettings((0.05, 0.3), (100.0, 30.0), (False, True))


def flight(name="a", flight_class="glider", n=160, step=4.0, turn=0.0, begin=1000.0) -> Flight:
    """At 100 m/s, turning at `turn` rad/s in its second half."""
    time_s = begin + step * np.arange(n)
    heading = 0.3 + turn * np.maximum(time_s - time_s[n // 2], 0)
    velocity = 100 * np.stack([np.sin(heading), np.cos(heading), 0 * heading], axis=1)
    path = np.cumsum(velocity * step, axis=0)
    return Flight(name, flight_class, "judge", Origin(46.8, 8.2), time_s, path, path, velocity)


def test_an_imm_of_one_kind_of_motion_is_the_kalman_filter():
    """filterpy's IMM with two equal models, irregular steps, against our few lines."""
    rng = np.random.default_rng(0)
    kalman, imm = CvKalman(2, 2.0), FilterpyImm(2, ImmSettings((2.0, 2.0), (50.0, 20.0), (False, False)))
    time_s = 0.0
    for _ in range(40):
        time_s += rng.uniform(0.5, 12.0)
        at = np.array([80.0 * time_s, -20.0 * time_s]) + 50 * rng.standard_normal(2)
        for one in (kalman, imm):
            one.update(time_s, at, 2500 * np.eye(2))
    for mine, its in ((kalman.state(), imm.state()), (kalman.forecast(time_s + 30), imm.forecast(time_s + 30))):
        np.testing.assert_allclose(mine.position_m, its.position_m, atol=1e-4)
        np.testing.assert_allclose(mine.velocity_mps, its.velocity_mps, atol=1e-6)
        np.testing.assert_allclose(mine.covariance, its.covariance, rtol=1e-6, atol=1e-6)


def test_forecasts_of_the_imm_are_its_own_predictions():
    target = FilterpyImm(2, IMM)
    turning = flight(turn=0.03)
    for time_s, at in zip(turning.time_s, turning.noisy(50.0, 0), strict=True):
        target.update(time_s, at[:2], 2500 * np.eye(2))
    ahead = target.forecast(time_s + 7.0)
    target._imm.M = target._switch(7.0)
    target._imm._compute_mixing_probabilities()
    for kalman, (f, q) in zip(target._imm.filters, target._models(7.0), strict=True):
        kalman.F, kalman.Q = f, q
    target._imm.predict()
    weighed = sum(w * k.x for w, k in zip(target._imm.cbar, target._imm.filters, strict=True))
    np.testing.assert_allclose(ahead.position_m, weighed[:2], atol=1e-9)


def test_errors_are_those_of_the_filter_and_its_covariance_is_right():
    """A straight flight through a Kalman filter without process noise: consistent, and far below the reports' error."""
    errors = [judge(lambda: CvKalman(2, 1e-6), flight(f"f{k}"), 50.0, seed=k) for k in range(30)]
    assert rmse(errors, FILTERED) < 0.5 * 50 * np.sqrt(2)
    assert np.mean([e.nees[FILTERED].mean() for e in errors]) == pytest.approx(1.0, abs=0.25)
    assert np.mean([e.state_nees.mean() for e in errors]) == pytest.approx(1.0, abs=0.25)
    assert len(errors[0].squared[FILTERED]) == len(errors[0].squared[NEXT]) == 150
    assert rmse(errors, FILTERED) < rmse(errors, "5 s") < rmse(errors, "30 s")


@pytest.mark.parametrize("field", [None, MotionField.shipped()], ids=["IMM alone", "with the field"])
def test_a_bank_of_flights_is_judged_as_each_alone(field):
    flown = [(flight("a", turn=0.02, n=60), 1), (flight("b", step=1.0, n=90), 2), (flight("c", step=10.0, turn=0.01, n=50), 3)]
    alone = [judge(lambda: make_filter(2, SpatialSettings(), field), f, 50.0, seed, longest_step_s=5.0) for f, seed in flown]
    for one, row in zip(alone, judge_bank(SpatialSettings(), field, flown, 50.0, longest_step_s=5.0), strict=True):
        assert (one.name, one.flight_class) == (row.name, row.flight_class)
        for what in one.squared:
            np.testing.assert_allclose(row.squared[what], one.squared[what], rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(row.nees[what], one.nees[what], rtol=1e-6)
        np.testing.assert_allclose(row.state_nees, one.state_nees, rtol=1e-6)


def test_figures_pair_filters_and_average_classes():
    flights = [flight("a", "glider"), flight("b", "glider", turn=0.02), flight("c", "survey", turn=0.01)]
    errors = {q: [judge(lambda q=q: CvKalman(2, q), f, 50.0, 0) for f in flights] for q in (1.0, 10.0)}
    figures = single_figures({str(q): of for q, of in errors.items()}, "1.0", draws=50)
    of = figures["filters"]["10.0"]
    assert figures["counts"] == {"glider": {"flights": 2, "points": 300}, "survey": {"flights": 1, "points": 150}}
    assert of["rmse_m"][FILTERED]["glider"][0] == pytest.approx(rmse(errors[10.0][:2], FILTERED))
    assert of["rmse_m"][FILTERED][MEAN][0] == pytest.approx(
        np.mean([rmse(errors[10.0][:2], FILTERED), rmse(errors[10.0][2:], FILTERED)]))
    assert figures["filters"]["1.0"]["ratio"]["10 s"]["glider"] == [1.0, 1.0, 1.0]
    value, low, high = of["ratio"]["10 s"]["glider"]
    assert low <= value <= high and value != 1.0


def test_gospa_is_stone_soups():
    from stonesoup.metricgenerator.ospametric import GOSPAMetric
    from stonesoup.types.state import State

    rng = np.random.default_rng(2)
    for n_truth, n_tracks in ((5, 5), (7, 4), (3, 6), (0, 2), (4, 0)):
        truth = rng.uniform(-1500, 1500, (n_truth, 2))
        tracks = np.concatenate([truth[:n_tracks] + rng.normal(0, 300, (min(n_truth, n_tracks), 2)),
                                 rng.uniform(-1500, 1500, (max(0, n_tracks - n_truth), 2))])
        ours, assigned, _ = scenes.gospa(truth, tracks)
        theirs, _ = GOSPAMetric(p=2, c=1000.0).compute_gospa_metric([State(t) for t in tracks], [State(t) for t in truth])
        assert ours == pytest.approx(theirs.value["distance"], rel=1e-9)
        assert len({a for a in assigned if a >= 0}) == (assigned >= 0).sum()


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(4)
    crossing = []
    for k in range(8):
        path = flight(f"collections/switzerland:{k}", "airliner", n=60, step=10.0, begin=0.0)
        start = np.append(rng.uniform(-60e3, 60e3, 2), 0)
        crossing.append(replace(path, truth_m=path.truth_m * (-1) ** k + start, velocity_mps=path.velocity_mps * (-1) ** k))
    return scenes.make_scene(crossing, 0.0, 50, false_per_scan=3.0)


def test_trackers_on_a_scene(scene):
    figures = multi.multi_figures([scene])
    assert figures["aircraft"] == [8, 8] and 1 < figures["false_reports_per_scan"] < 6
    assert set(figures["trackers"]) == {multi.OURS, f"Stone Soup {JPDA}", f"Stone Soup {GNN}"}
    for row in figures["trackers"].values():
        assert row["missed_per_scan"] < 0.5 and row["false_per_scan"] < 0.5 and row["rmse_m"] < 120
        assert 0 < row["gospa_m"][0] < 600 and row["seconds_per_scan"] > 0


def test_switches_count_aircraft_that_get_another_track(scene):
    class Swapping:
        """Knows the truth, and exchanges the names of the first two aircraft at every scan."""

        def scan(self, time_s, fixes):
            self._now = next(s for s in scene.scans if s.time_s == time_s)
            self._n = scene.scans.index(self._now)

        def tracks(self, time_s):
            from types import SimpleNamespace as Name

            names = [1, 0, *range(2, 8)] if self._n % 2 else range(8)
            return [Name(id=name, estimate=Name(position_m=at)) for name, at in zip(names, self._now.truth, strict=True)]

    score = scenes.run(Swapping(), scene, lambda *fix: fix)
    assert score.switches == 2 * (len(scene.scans) - 1)
    assert max(score.gospa_m) < 1e-6 and sum(score.missed) == sum(score.false) == 0


def test_folded_day_has_busy_hours():
    up = [flight(f"collections/switzerland:{k}", n=400, step=10.0, begin=21_600.0 * (k % 3) + 100.0) for k in range(6)]
    flying = scenes.airborne(up)
    begin, = scenes.busy_hours(flying, 1, min_aircraft=6, span_s=1800.0)
    assert 100 <= begin <= 2300
    with pytest.raises(ValueError, match="ask for fewer"):
        scenes.busy_hours(flying, 4, min_aircraft=6, span_s=1800.0)


def test_jpda_keeps_two_that_meet_apart():
    """Stone Soup behind our interface: velocities in the order of ours."""
    tracker = StoneSoupTracker(JPDA, TUNED[JPDA], 50.0, 0.9, 1e-10)
    for k in range(20):
        tracker.scan(10.0 * k, [np.array([1000.0 * k, 0.0]), np.array([0.0, 1500.0 * k - 10_000])])
    moving = sorted(tuple(np.round(t.estimate.velocity_mps, 0)) for t in tracker.tracks(190.0))
    assert moving == [(0.0, 150.0), (100.0, 0.0)]


def test_injected_jump_raises_an_alarm_and_the_flight_as_it_is_none():
    n = 200
    samples = Samples("abc", 1.6e9 + 5.0 * np.arange(n), 47 + 0.004 * np.arange(n), np.full(n, 8.0), np.full(n, 3000.0))
    assert alarm.watch(samples).alarms == [] and alarm.jumps(samples) == []
    changed, at = alarm.inject(samples, 30_000.0, seed=1)
    assert alarm.jumps(changed) == [at]
    seen = alarm.watch(changed)
    assert len(seen.alarms) == 1 and 0 <= seen.alarms[0][0] - at <= 30 and seen.hours == pytest.approx(995 / 3600)


def test_satellite_pass_is_a_doppler_curve():
    emission = emissions.satellite_pass(5)
    carrier = emission.freq_hz.mean()
    fall = np.diff(emission.freq_hz)
    assert len(emission.time_s) >= 240 and (fall < 0).all()
    assert 5e-6 < np.ptp(emission.freq_hz) / carrier < 5.5e-5  # +- 7.5 km/s at most
    assert abs(np.argmin(fall) - len(fall) / 2) < 0.1 * len(fall)  # steepest at the closest approach


def test_emissions_are_followed_better_than_by_holding_the_last_value():
    emission = emissions.oscillator(3, n=120)
    held, kalman, ours = (emissions.errors_ppb(target, emission, 0) for target in (
        emissions.Held(), emissions.Kalman(0.3), emissions.Ours(emission.bandwidth_hz)))
    for what in ("0 s", "10 s"):
        assert kalman[what].mean() < held[what].mean() and ours[what].mean() < held[what].mean()
    assert len(held["0 s"]) == emission.seen.sum() - 10 and len(held["30 s"]) < len(held["0 s"])


def test_hops_are_found_and_a_kalman_filter_starts_again():
    emission = emissions.oscillator(1, hops=True, n=60)
    ours, kalman = emissions.Ours(emission.bandwidth_hz), emissions.Kalman(0.3)
    followed = emissions.errors_ppb(ours, emission, 0)
    assert len(followed["0 s"]) == 50 and np.isfinite(followed["0 s"]).mean() > 0.6
    assert len(ours.hop_set_hz) > 0
    spread = 1e9 * 0.15 * emission.bandwidth_hz / 868e6
    assert emissions.errors_ppb(kalman, emission, 0)["0 s"].mean() < 4 * spread**2


def test_the_whole_on_made_flights(tmp_path, monkeypatch):
    made = [flight("gliders/x:1:0.0"), flight("surveys/y:2:0.0", "survey", turn=0.02),
            flight("quickstart:3:0.0", "airliner, 1 s", n=80, step=1.0)]
    monkeypatch.setattr(experiment, "flights", lambda folder, split: made)
    sizes = replace(experiment.QUICK, draws=20)
    monkeypatch.setattr(experiment, "QUICK", sizes)
    result = experiment.track(tmp_path, parts=("filters", "steps", "covariance"), quick=True)
    assert json.loads(json.dumps(result, allow_nan=False))["filters"]["counts"]["glider"]["flights"] == 1
    assert result["steps"]["under_10_m"]["of"] == 1
    again = experiment.track(tmp_path, parts=("filters",), quick=True, work=tmp_path / "work")
    monkeypatch.setattr(experiment, "judge", None)  # nothing is measured a second time
    monkeypatch.setattr(experiment, "judge_bank", None)
    kept = experiment.track(tmp_path, parts=("filters",), quick=True, work=tmp_path / "work")
    assert kept == again and kept["filters"]["counts"] == result["filters"]["counts"]
    joined = experiment.joined(json.loads(json.dumps(result)), experiment.head(0, True))
    assert list(joined) == ["seed", "quick", "settings", "filters", "steps", "covariance"]
    with pytest.raises(ValueError, match="seed"):
        experiment.joined(result, experiment.head(1, True))
    monkeypatch.setattr(pictures, "flights", lambda folder, split: [flight("calibration/ajaccio:4:0.0", n=320, turn=0.01)])
    drawn = pictures.draw({"filters": result["filters"]}, tmp_path, tmp_path / "track.png")
    assert drawn == {"classes": "track_classes.png", "cones": "track_cones.png"}
    assert all((tmp_path / name).read_bytes()[1:4] == b"PNG" for name in drawn.values())
    page = report.report(result, "the command", drawn)
    assert "](track_cones.png)" in page
    assert "trial" in page and "the command" in page and "| glider |" in page and "## Covariance" in page
    with pytest.raises(ValueError, match="no part 'none'"):
        experiment.track(tmp_path, parts=("none",))


def test_command_says_how_to_get_the_wheel(tmp_path, capsys):
    assert main(["evaluate", "track", "--flights", str(tmp_path)]) == 1
    assert "pip download --no-deps traffic==2.13" in capsys.readouterr().err
    assert main(["evaluate", "track", "--flights", str(tmp_path), "--part", "all"]) == 1
    assert "none of filters" in capsys.readouterr().err
