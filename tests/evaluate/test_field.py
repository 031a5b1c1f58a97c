# SPDX-License-Identifier: GPL-3.0-or-later
"""`evaluate field`: a small band through everything, the rules of matching and joining, intervals."""

import json
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.evaluate.anomaly.baselines import MatchedResidual
from gnuradio.spectrumencoder.evaluate.field import bands, figures, report, run, watchers
from gnuradio.spectrumencoder.evaluate.field.alerts import GAP, Alert, joined
from gnuradio.spectrumencoder.evaluate.field.bands import HOP, N_BINS, FieldBand, Times, make_band
from gnuradio.spectrumencoder.evaluate.field.detectors import DETECTORS
from gnuradio.spectrumencoder.evaluate.field.matching import Truth, judged
from gnuradio.spectrumencoder.evaluate.field.places import Levels, MaxHold, PcaResidual
from gnuradio.spectrumencoder.evaluate.field.tails import GpdTail, OnlineConformal, fit_tail
from gnuradio.spectrumencoder.simulate.compose.plan import read_plan
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

pytestmark = pytest.mark.timeout(300)
RATE = 1e6
TIMES = Times(11.0, 4.0, 5.0)
PLAN = """
about = "A test."
rate_hz = 1e6
freq_hz = 433.9e6
datatype = "ci8"
[receiver]
noise_dbfs = -36
[[emitters]]
id = "remote"
waveform = "band_noise"
at_s = [1.0, 4.0, 8.0, 12.0, 17.0]
length_s = [0.1, 0.1]
offset_hz = 200e3
snr_db = 20
[[emitters]]
id = "late"
waveform = "band_noise"
params = { bandwidth_hz = 20e3 }
at_s = [13.0, 14.0]
length_s = [0.2, 0.2]
offset_hz = -300e3
snr_db = 20
[[anomalies]]
kind = "tone"
at_s = [15.5, 18.0]
inr_db = [18, 20]
length_s = [0.3, 0.3]
[[anomalies]]
kind = "scont"
at_s = [16.3, 19.0]
inr_db = [12, 14]
length_s = [0.2, 0.2]
width_hz = [80e3, 120e3]
"""


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "small.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def band(plan_file, cache):
    return make_band(read_plan(plan_file), [], 3, TIMES, cache)


def test_frames_are_those_of_the_written_recording(band, plan_file, tmp_path):
    code = main(["dataset", "compose", str(plan_file), "--seed", "3", "--seconds", f"{TIMES.total_s:g}",
                 "--out", str(tmp_path / "b")])
    assert code == 0
    from gnuradio.spectrumencoder.recordings import open_recording
    recording = open_recording(tmp_path / "b.sigmf-meta")
    for first in (0, band.learn, len(band) - 20):
        frames = tokenize(recording.read(first * HOP, 20 * HOP), RATE, flush=False)
        np.testing.assert_array_equal(band.psd[first:first + 20], frames.psd)
        np.testing.assert_array_equal(band.items(first, first + 20), frames.items)
    assert band.learn == int(11 * RATE / HOP) and band.quiet == int(15 * RATE / HOP) and len(band) == int(20 * RATE / HOP)


def test_a_kept_band_is_not_composed_again(band, plan_file, cache):
    made = []
    again = make_band(read_plan(plan_file), [], 3, TIMES, cache, lambda done, total: made.append(done))
    assert not made
    np.testing.assert_array_equal(again.psd[:5], band.psd[:5])
    make_band(read_plan(plan_file), [], 4, Times(1.0, 0.5, 0.0), cache, lambda done, total: made.append(done))
    assert made and len(list(cache.glob("small_*"))) == 2


def test_anomalies_begin_after_the_quiet_part():
    plan = bands.field_plan(read_plan("sparse_433"), 7, Times(10.0, 20.0, 30.0))
    assert plan.seconds == 60 and plan.seed == 7 and {a.from_s for a in plan.anomalies} == {30.0}
    assert not bands.field_plan(plan, 7, Times(10.0, 20.0, 0.0)).anomalies


@pytest.mark.parametrize("detector", [MaxHold(), MaxHold(4, 8), PcaResidual(), GpdTail()], ids=lambda d: d.name)
def test_detectors_find_what_is_strong_and_keep_quiet_else(band, detector):
    detector.learn(band, 0, band.learn)
    alerts = detector.watch(band, band.learn, len(band))
    assert set(alerts) == set(detector.points)
    truth = Truth.of(band, 0)
    assert [a.kind for a in truth.anomalies].count("tone") == 2 and len(truth.anomalies) == 4
    best = max((judged(alerts[p], truth, band) for p in detector.points),
               key=lambda j: sum(j["found"]) - 0.1 * sum(j["quiet"].values()))
    wide = [found for found, a in zip(best["found"], truth.anomalies, strict=True) if a.kind == "scont"]
    assert all(wide)  # 13 dB over 100 kHz
    assert best["quiet"].get("nothing", 0) <= 1
    for delay, found in zip(best["delay_ms"], best["found"], strict=True):
        assert (delay is None) != found
        if found:
            assert 0 < delay < 200


def test_tails_find_what_is_strong(band):
    """11 s are few for the tail of a place: what is false is not held against it here."""
    detector = GpdTail(ends=True)
    detector.learn(band, 0, band.learn)
    alerts = detector.watch(band, band.learn, len(band))
    counts = [len(alerts[point]) for point in detector.points]
    assert counts[0] < counts[-1]
    truth = Truth.of(band, 0)
    found = judged(alerts[1.0], truth, band)["found"]
    assert all(f for f, a in zip(found, truth.anomalies, strict=True) if a.kind == "scont")


def test_the_first_burst_of_an_emitter_never_heard_is_named(band):
    detector = MaxHold()
    detector.learn(band, 0, band.learn)
    outcome = judged(detector.watch(band, band.learn, len(band))[3.0], Truth.of(band, 0), band)
    assert outcome["quiet"]["first heard"] >= 1  # at 13 s
    assert outcome["quiet"]["emitter"] >= 1      # the same one, at 14 s


def test_online_threshold_rises_with_what_it_meets():
    quiet = np.full((300, N_BINS), -80.0, np.float32) + np.random.default_rng(0).normal(0, 0.2, (300, N_BINS)).astype(np.float32)
    quiet[200:, 80:88] += 5.0
    made = FieldBand("x", 0, RATE, 0.0, 100, 200, quiet, np.zeros((300, 1)), [])
    detector = OnlineConformal()
    detector.learn(made, 0, 100)
    alerts = detector.watch(made, 100, 300)[1e-6]
    loud = [a for a in alerts if a.low == 80]
    assert loud and loud[0].begin == 200 and loud[0].end <= 210  # 5 dB at 1 dB an exceedance


def test_ours_takes_anything_with_the_door_of_the_detector(band):
    """The detector of boxes, given as one that learns while it watches would be."""
    engine = Engine("base", dropout_rate=0.25, pad_batch=64)
    key, table = engine.table_key(watchers.segment_of(band, engine).band, 16), watchers.learned(band, engine, 0, band.learn)
    given = []

    def make(contract, settings):
        given.append(settings)
        return Detector(contract, {key: table}, false_events_per_hour=settings["false_events_per_hour"])

    ours, boxes = watchers.Ours(engine, "ours", make, (1.0, 100.0)), watchers.Boxes(engine, (1.0, 100.0))
    found = {}
    for detector in (ours, boxes):
        detector.learn(band, 0, band.learn)
        found[detector.name] = detector.watch(band, band.learn, len(band))
    assert [s["false_events_per_hour"] for s in given] == [1.0, 100.0]
    assert given[0]["learn_s"] == pytest.approx(11.0, abs=0.02)
    truth = Truth.of(band, 0)
    for name in found:
        outcome = judged(found[name][100.0], truth, band)
        assert sum(outcome["found"]) >= 3, name
        assert all(a.begin >= band.learn - 1 for a in found[name][100.0])
        edges = np.abs([e for e in outcome["edges"] if e])
        assert np.median(edges) < 16


def message(state, event_id, start, count, low, high, band, **more):
    step = band.rate_hz / N_BINS
    middle = band.freq_hz + ((low + high) / 2 - 0.5 - N_BINS / 2) * step
    return type("M", (), {"fields": {
        "event_id": event_id, "state": state, "sample_start": start * HOP, "sample_count": count * HOP, "freq_center_hz": middle,
        "bandwidth_hz": (high - low) * step, "analysis_type": "new", "anomaly_score": 4.0, "is_anomaly": True} | more})


def test_an_event_is_one_alert_that_later_messages_refine(band):
    collected = watchers.Collected(band)
    collected.take([message("open", "a", 800, 2, 100, 110, band), message("update", "b", 800, 2, 1, 2, band),
                    message("open", "c", 803, 1, 500, 510, band, is_anomaly=False),
                    message("update", "a", 800, 20, 100, 120, band), message("close", "a", 800, 30, 98, 120, band)])
    alert, = collected.alerts()
    assert (alert.begin, alert.end, alert.opened, alert.kind) == (800, 830, 802, "new")
    assert (alert.low, alert.high) == (pytest.approx(98), pytest.approx(120))


def test_a_further_burst_of_an_emitter_is_no_alert_but_sees_again(band):
    collected = watchers.Collected(band)
    collected.take([message("open", "a", 800, 2, 100, 110, band), message("update", "a", 800, 6, 100, 110, band),
                    message("update", "a", 850, 3, 99, 109, band), message("close", "a", 850, 4, 99, 109, band)])
    first, again = collected.alerts()
    assert (first.begin, first.end, first.again, first.of) == (800, 806, False, again.of)
    assert (again.begin, again.end, again.again) == (850, 853, True)


def test_seen_again_needs_an_alert_that_found_one():
    made = flat([row(at, at + 20, 500, 510, emitter=f"a{at}", kind="tone", inr_db=9.0) for at in (2500, 2600)])
    truth = Truth.of(made, 0)

    def alert(begin, of, again=False):
        return Alert(begin, begin + 2, begin + 2, 500, 510, of=of, again=again)

    outcome = judged([alert(2500, 0), alert(2600, 0, again=True)], truth, made)
    assert outcome["found"] == [True, False] and outcome["again"] == [True, True]
    assert not outcome["quiet"] and not outcome["unmatched"]
    outcome = judged([alert(1500, 0), alert(2500, 0, again=True), alert(2600, 0, again=True)], truth, made)
    assert outcome["found"] == outcome["again"] == [False, False] and outcome["quiet"] == {"nothing": 1}


def flat(truth, n_frames=4000):
    """A band of 1024 bins of 1 kHz at 0 Hz, which has only truth."""
    return FieldBand("x", 0, 1.024e6, 0.0, 1000, 2000, np.zeros((n_frames, 1)), np.zeros((n_frames, 1)), truth)


def row(begin, end, low, high, **more):
    return {"core:sample_start": begin * HOP, "core:sample_count": (end - begin) * HOP, "core:label": "x",
            "core:freq_lower_edge": (low - 512.5) * 1e3, "core:freq_upper_edge": (high - 512.5) * 1e3} | {
                f"spectrumencoder:{key}": value for key, value in more.items()}


@pytest.mark.parametrize(("begin", "low", "high", "found"), [
    (2500, 500, 510, True), (2498, 500, 510, True), (2497, 500, 510, False), (2552, 500, 510, True), (2553, 500, 510, False),
    (2500, 525, 530, True), (2500, 526, 530, False), (2500, 470, 485, True), (2500, 470, 484, False)])
def test_an_alert_finds_what_it_overlaps(begin, low, high, found):
    made = flat([row(2500, 2550, 500, 510, emitter="a", kind="tone", inr_db=9.0)])
    outcome = judged([Alert(begin, begin + 5, begin + 1, low, high)], Truth.of(made, 0), made)
    assert outcome["found"] == [found] and outcome["unmatched"] == ({} if found else {"nothing": 1}) and not outcome["quiet"]


def test_reach_is_half_the_width_of_a_wide_one():
    made = flat([row(2500, 2550, 400, 500, emitter="a", kind="scont", inr_db=9.0)])
    ends = [judged([Alert(2500, 2501, 2501, low, low + 8)], Truth.of(made, 0), made)["found"] for low in (549, 550)]
    assert ends == [[True], [False]]


def test_rows_of_one_anomaly_count_once_and_the_first_alert_tells_the_delay():
    made = flat([row(2500 + 10 * k, 2505 + 10 * k, 100 * (k + 1), 100 * (k + 1) + 4, emitter="hop", kind="hopper",
                     inr_db=12.0 + k) for k in range(5)])
    alerts = [Alert(2522, 2523, 2523, 298, 306), Alert(2531, 2532, 2532, 400, 404), Alert(2531, 2532, 2532, 800, 808)]
    outcome = judged(alerts, Truth.of(made, 0), made)
    assert outcome["found"] == [True] and outcome["unmatched"] == {"nothing": 1}
    assert outcome["delay_ms"] == [pytest.approx(23 * 16.0)] and outcome["edges"] == [[2.0, 2.0]]
    assert Truth.of(made, 0).anomalies[0].inr_db == 16.0


def test_false_alerts_have_causes():
    made = flat([row(10, 20, 100, 110, emitter="known"), row(1500, 1510, 100, 110, emitter="known"),
                 row(1600, 1610, 300, 310, emitter="new"), row(1700, 1710, 300, 310, emitter="new"),
                 row(1800, 1810, 0, 1024) | {"core:label": "receiver: gain step"}])
    alerts = [Alert(at, at + 1, at + 1, low, low + 8)
              for at, low in ((1501, 100), (1601, 300), (1701, 300), (1805, 700), (1900, 700), (2100, 700))]
    outcome = judged(alerts, Truth.of(made, 0), made)
    assert outcome["quiet"] == {"emitter": 2, "first heard": 1, "receiver": 1, "nothing": 1}
    assert outcome["unmatched"] == {"nothing": 1}
    late = judged(alerts, Truth.of(made, 900), made)["quiet"]  # learned from frame 900 on: "known" was not heard either
    assert late == {"emitter": 1, "first heard": 2, "receiver": 1, "nothing": 1}


def test_exceedances_join_over_small_gaps_and_neighbours():
    cells = [(10, 5, 1.0), (11, 5, 2.0), (11, 6, 3.0), (11 + GAP + 1, 6, 1.0), (11 + GAP + 1 + GAP + 2, 6, 1.0), (10, 8, 5.0)]
    frame, place, score = (np.array(column) for column in zip(*cells, strict=True))
    alerts = joined(frame, place, score, 8)
    assert [(a.begin, a.end, a.low, a.high, a.score) for a in alerts] == [
        (10, 17, 40, 56, 3.0), (10, 11, 64, 72, 5.0), (22, 23, 48, 56, 1.0)]
    assert joined(frame[:0], place[:0], score[:0], 8) == []


def test_joining_is_what_a_flood_of_neighbours_gives():
    rng = np.random.default_rng(5)
    cells = {(int(f), int(p)) for f, p in zip(rng.integers(0, 400, 350), rng.integers(0, 20, 350), strict=True)}
    frame, place = (np.array(column) for column in zip(*cells, strict=True))
    left, groups = set(cells), []
    while left:
        waiting, group = [left.pop()], set()
        while waiting:
            f, p = waiting.pop()
            group.add((f, p))
            near = {(g, q) for g, q in left if abs(q - p) <= 1 and abs(g - f) <= GAP + 1}
            left -= near
            waiting += near
        groups.append(group)
    expected = sorted((min(frames), max(frames) + 1, min(places), max(places) + 1)
                      for frames, places in (tuple(zip(*group, strict=True)) for group in groups))
    assert sorted((a.begin, a.end, a.low, a.high) for a in joined(frame, place, np.ones(len(frame)), 1)) == expected


def test_levels_over_frames_go_on_from_batch_to_batch():
    psd = np.random.default_rng(0).normal(-80, 3, (50, N_BINS)).astype(np.float32)
    whole, parts = Levels(4, 8), Levels(4, 8)
    once = whole(psd)
    np.testing.assert_allclose(np.concatenate([parts(psd[:3]), parts(psd[3:20]), parts(psd[20:])]), once, atol=1e-4)
    power = 10 ** (psd.astype(float) / 10)
    np.testing.assert_allclose(once[30], 10 * np.log10(power[23:31].reshape(8, -1, 4).mean(axis=(0, 2))), atol=1e-3)
    np.testing.assert_allclose(once[0], 10 * np.log10(power[0].reshape(-1, 4).mean(axis=1)), atol=1e-3)


def test_tail_is_fitted():
    draws = np.random.default_rng(1).pareto(4.0, 20_000)  # a Pareto law: shape 1/4, scale 1/4
    shape, scale = fit_tail(draws)
    assert shape == pytest.approx(0.25, abs=0.03) and scale == pytest.approx(0.25, rel=0.05)
    shape, scale = fit_tail(np.random.default_rng(2).uniform(0, 3, 5000))  # shape -1, the end of what has a likelihood
    assert -1.0 <= shape < -0.8
    assert fit_tail(np.array([1.0, 2.0, 3.0] * 10), ends=False) == (0.0, 2.0)
    shape, scale = fit_tail(np.random.default_rng(3).exponential(2.0, 20_000))
    assert shape == pytest.approx(0.0, abs=0.03) and scale == pytest.approx(2.0, rel=0.05)
    assert fit_tail(np.array([1.0, 3.0])) == (0.0, 2.0)


def test_dspot_finds_a_jump():
    pytest.importorskip("libspot")
    rng = np.random.default_rng(0)
    psd = np.full((3000, N_BINS), -80.0, np.float32) + rng.normal(0, 1, (3000, N_BINS)).astype(np.float32)
    psd[2500:2510, 80:88] += 10.0
    made = FieldBand("x", 0, RATE, 0.0, 2000, 2400, psd, np.zeros((3000, 1)), [])
    detector = DETECTORS["dspot"].make(None)
    detector.learn(made, 0, 2000)
    alerts = detector.watch(made, 2000, 3000)
    for point in detector.points:
        assert any(a.low == 80 and a.begin == 2500 for a in alerts[point])
    counts = [len(alerts[point]) for point in detector.points]
    assert counts == sorted(counts) and counts[0] < 10


def test_place_of_the_largest_residual():
    rng = np.random.default_rng(0)
    frames = rng.normal(0, 1, (600, 256))
    pca = MatchedResidual()
    pca.fit(frames)
    new = rng.normal(0, 1, (5, 256))
    new[2, 96:112] += 6.0
    score, low, high = pca.located(new)
    np.testing.assert_allclose(score, pca.score(new))
    assert score.argmax() == 2 and 90 <= low[2] <= 100 and 108 <= high[2] <= 116


def test_exact_intervals():
    rate = figures.poisson_rate(0, 2.0)  # Garwood 1936: -ln(0.025), -ln(0.05)
    assert (rate["mean"], rate["low"]) == (0, 0)
    assert rate["high"] == pytest.approx(3.689 / 2, abs=1e-3) and rate["upper"] == pytest.approx(2.996 / 2, abs=1e-3)
    rate = figures.poisson_rate(10, 1.0)
    assert (rate["low"], rate["high"]) == (pytest.approx(4.795, abs=1e-3), pytest.approx(18.390, abs=1e-3))
    assert figures.share(0, 0) is None
    assert figures.share(10, 10)["low"] == pytest.approx(0.6915, abs=1e-4)  # 0.025 ** (1 / 10)
    value = figures.share(3, 10)
    assert (value["low"], value["high"]) == (pytest.approx(0.0667, abs=1e-4), pytest.approx(0.6525, abs=1e-4))


def test_scope_and_classes():
    outcome = {"quiet": {"nothing": 2, "first heard": 1}, "unmatched": {}, "quiet_kinds": {"new": 3}, "unmatched_kinds": {},
               "found": [True, False, True, True],
               "again": [True] * 4, "delay_ms": [5.0, None, 10.0, 20.0],
               "edges": [[1.0, -2.0], None, [0.0, 0.0], [9.0, 9.0]]}
    anomalies = [{"kind": "tone", "inr_db": 20.0, "seconds": 0.1}, {"kind": "tone", "inr_db": 3.0, "seconds": 0.02},
                 {"kind": "chirp", "inr_db": 6.0, "seconds": 0.5}, {"kind": "chirp", "inr_db": 12.0, "seconds": 0.9}]
    made = figures.point_figures([{"anomalies": anomalies, "points": {"1": outcome}, "quiet_h": 1.5, "anomalous_h": 0.5}], "1")
    assert made["found"]["found"] == 2 and made["found"]["of"] == 3 and made["found_of_all"]["of"] == 4  # 0.9 s is too long
    assert made["found_or_again"]["found"] == 3
    assert {k: v and (v["found"], v["of"]) for k, v in made["by_inr"].items()} == {
        "3-6": (1, 1), "6-10": (1, 1), "10-15": None, "15-20": (1, 1)}
    assert made["false_per_hour"]["mean"] == 2.0 and made["without_first_heard_per_hour"]["count"] == 2
    assert made["delay_ms"]["median"] == 7.5 and made["edge_bins"]["median"] == 0.5


def test_best_within_a_budget():
    points = {p: {"found_or_again": {"mean": found}, "false_per_hour": {"mean": false}} for p, found, false in
              (("1", 0.9, 12.0), ("2", 0.8, 3.0), ("3", 0.8, 1.0), ("4", 0.1, 0.0))}
    assert [figures.within_budget(points, b) for b in (0.5, 3, 100)] == ["4", "3", "1"]
    assert figures.within_budget({"1": points["1"]}, 1) is None


def test_page_and_picture_of_a_small_band(plan_file, cache, tmp_path, monkeypatch):
    def field():
        return main(["evaluate", "field", "--plan", str(plan_file), "--learn", "11", "--learn", "5", "--quiet", "4",
                     "--anomalous", "5", "--seed", "3", "--detectors", "boxes,max-hold,gpd", "--cache", str(cache),
                     "--json", str(tmp_path / "f.json"), "--markdown", str(tmp_path / "f.md"), "--plot", str(tmp_path / "f.png")])

    assert field() == 0
    result, page = json.loads((tmp_path / "f.json").read_text()), (tmp_path / "f.md").read_text()
    assert list(result["by_learning"]) == ["11", "5"] and result["subject"] == "boxes"
    pooled = result["by_learning"]["11"]["pooled"]
    assert set(pooled) == {"boxes", "max-hold", "gpd"} and list(pooled["boxes"]["points"]) == ["0.1", "1", "10", "100"]
    assert pooled["max-hold"]["points"]["3"]["found"]["of"] == 4
    assert result["by_learning"]["5"]["pooled"]["boxes"]["refused"]  # 305 frames are too few
    assert "after 5 s boxes refused: small" in page and "| **boxes** |" in page and max(map(len, page.splitlines())) <= 130
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    rows = sorted((cache / "rows").glob("*.json"))
    assert len(rows) == 6
    before = [path.stat().st_mtime_ns for path in rows]
    monkeypatch.setattr(run, "measured", lambda *_: pytest.fail("measured again"))
    assert field() == 0
    assert [path.stat().st_mtime_ns for path in rows] == before
    assert report.chosen(result, "boxes", pooled["boxes"]["points"]) == "1"


@pytest.mark.parametrize(("words", "message"), [
    (["--detectors", "none"], "--detectors none is none of emitters"), (["--plan", "none"], "none: no such plan"),
    (["--corpus", "nowhere"], "--corpus nowhere is not a folder")])
def test_refusals(words, message, capsys, tmp_path):
    assert main(["evaluate", "field", "--cache", str(tmp_path), *words]) != 0
    assert message in capsys.readouterr().err
    assert not list(Path(tmp_path).iterdir())
