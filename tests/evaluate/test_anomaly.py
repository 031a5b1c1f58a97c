# SPDX-License-Identifier: GPL-3.0-or-later
"""Injected anomalies: the bound against simulation, baselines on clean and changed frames, figures, the whole on few windows."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.evaluate.anomaly import run as experiment
from gnuradio.spectrumencoder.evaluate.anomaly import windows as anomaly_windows
from gnuradio.spectrumencoder.evaluate.anomaly.baselines import make_baselines
from gnuradio.spectrumencoder.evaluate.anomaly.bound import bin_correlation, inr_for_half, likelihood_ratio_pd
from gnuradio.spectrumencoder.evaluate.anomaly.figures import OURS, Trials, conformal, figures, half_inr
from gnuradio.spectrumencoder.evaluate.anomaly.report import draw, report
from gnuradio.spectrumencoder.simulate.anomalies import SCORED_KINDS
from gnuradio.spectrumencoder.simulate.injections import inject
from gnuradio.spectrumencoder.simulate.scenes import Emitter, Scene
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

BASELINES = {b.name for b in make_baselines()}
pytestmark = pytest.mark.timeout(600)  # seconds of work, but the first test of a fixture bears it all on a busy machine
KEYS = {"pd_at_far", "auc", "f1_at_5pct", "realised_far", "false_events_per_hour", "delay_frames", "localisation_iou", "per_type",
        "per_inr", "baselines", "bound", "single_frame_pd"}

# -- the bound


@pytest.mark.parametrize(("sign", "n_bins"), [(1, 1), (1, 8), (1, 40), (-1, 12)], ids=["one bin", "narrow", "wide", "missing"])
def test_bound_agrees_with_simulated_likelihood_ratios(sign, n_bins):
    """The full log likelihood ratio on gamma data, thresholded at its own empirical quantile."""
    rng, average, rate, draws = np.random.default_rng(n_bins), 16, 0.01, 40_000
    clean = rng.uniform(0.5, 3.0, n_bins)
    change = clean * sign * rng.uniform(0.1, 0.7, (2, n_bins)) * (1.0 if n_bins < 10 else 0.3)
    changed = clean + change

    def log_ratio(mean):
        x = rng.gamma(average, mean / average, (draws, *change.shape))
        return np.sum(average * (x * (1 / clean - 1 / changed) - np.log(changed / clean)), axis=(1, 2))

    threshold = np.quantile(log_ratio(np.broadcast_to(clean, change.shape)), 1 - rate)
    simulated = np.mean(log_ratio(changed) > threshold)
    assert 0.02 < simulated < 0.999
    assert likelihood_ratio_pd(clean, change, average, rate) == pytest.approx(simulated, abs=0.02)


def test_bound_of_nothing_is_the_false_alarm_rate_and_grows_with_level():
    clean, change = np.ones(64), np.full((1, 64), 0.1)
    assert likelihood_ratio_pd(clean, 0 * change, 16, 0.01) == pytest.approx(0.01)
    pd = [likelihood_ratio_pd(clean, gain * change, 16, 0.01) for gain in (0.1, 1, 3, 10)]
    assert pd == sorted(pd) and pd[-1] > 0.999
    at = inr_for_half(clean, change, -10.0, 16, 0.01)
    assert likelihood_ratio_pd(clean, change * 10 ** ((at + 10) / 10), 16, 0.01) == pytest.approx(0.5, abs=0.02)


def test_sums_of_bins_vary_as_the_correlation_says():
    rng, width = np.random.default_rng(0), 64
    iq = rng.standard_normal((2000 * 4 * 256, 2), np.float32).view(np.complex64)[:, 0]
    power = 10 ** (tokenize(iq, 1.0, fft_size=256, average=4).psd.astype(float) / 10)
    sums = power.reshape(len(power), -1, width).sum(axis=2) / power.mean()
    correlation = bin_correlation("blackmanharris", 256)
    assert np.var(sums) == pytest.approx(correlation * width / 4, rel=0.1) and 1.5 < correlation < 3


# -- baselines

N_BINS, AVERAGE = 256, 16


def band_frames(count, seed, anomaly=None):
    """Frames of noise with a steady signal in it, dB over the noise; with an anomaly of 20 dB INR over all of it."""
    rng = np.random.default_rng([seed, 3])
    n = count * AVERAGE * N_BINS
    iq = rng.standard_normal((n, 2), np.float32).view(np.complex64)[:, 0]
    iq, _ = inject(iq, 1e6, "scont", rng, inr_db=10.0, freq_offset_hz=-200e3, bandwidth_hz=80e3)
    if anomaly:
        iq, _ = inject(iq, 1e6, anomaly, rng, inr_db=20.0, freq_offset_hz=0.0 if anomaly == "wideband" else 150e3)
    return tokenize(iq, 1e6, fft_size=N_BINS, average=AVERAGE).psd - 10 * np.log10(2 * 2.0 / N_BINS)


@pytest.fixture(scope="module")
def frames():
    return {"fit": band_frames(600, 0), "kept": band_frames(800, 1), "clean": band_frames(2000, 2),
            "tone": band_frames(40, 3, "tone"), "wideband": band_frames(40, 4, "wideband")}


@pytest.mark.parametrize("number", range(len(BASELINES)), ids=[b.name for b in make_baselines()])
def test_each_baseline_keeps_its_rate_and_finds_what_it_can(frames, number):
    baseline = make_baselines()[number]
    baseline.fit(frames["fit"])
    threshold = conformal(baseline.score(frames["kept"]), 0.02)
    share = {name: np.mean(baseline.score(frames[name]) > threshold) for name in ("clean", "tone", "wideband")}
    assert 0.006 <= share["clean"] <= 0.04  # of 2000 frames at 2 %, the threshold from 800
    blind = {"energy": set(), "CA-CFAR": {"wideband"}, "OS-CFAR": {"wideband"}}.get(baseline.name, set())
    for anomaly in ("tone", "wideband"):
        if anomaly in blind:  # a level that rises everywhere is no contrast
            assert share[anomaly] < 0.2
        elif (baseline.name, anomaly) != ("energy", "tone"):
            assert share[anomaly] > (0.5 if baseline.name == "isolation forest" else 0.95), anomaly


def test_baselines_give_the_same_scores_again(frames):
    for first, second in zip(make_baselines(7), make_baselines(7), strict=True):
        for baseline in (first, second):
            baseline.fit(frames["fit"][:200])
        assert np.array_equal(first.score(frames["tone"]), second.score(frames["tone"])), first.name


# -- figures


def trials(per_unit=40, n_units=12, kept=0, shift=4.0, seed=0):
    """Scores of two detectors: ours a normal deviate that anomalies move by `shift`, and another that knows nothing."""
    rng, n_clean, n = np.random.default_rng(seed), per_unit * n_units, 8 * n_units
    draw = lambda count: {name: rng.standard_normal((count, 16)) for name in (OURS, "blind")}  # noqa: E731
    unit = np.repeat(np.arange(n_units), 8)
    window = {OURS: rng.standard_normal(n) + shift, "blind": rng.standard_normal((n, 16)).max(axis=1)}
    return Trials([str(u) for u in range(n_units)], ["own table"] * n_units, np.zeros(n_units, bool), np.full(n_units, 0.5),
                  np.ones(n_units, int), draw(kept * n_units), np.repeat(np.arange(n_units), kept), draw(n_clean),
                  np.repeat(np.arange(n_units), per_unit), rng.uniform(size=(n_clean, 16)) < 0.01, unit,
                  np.tile(np.array(["tone", "scont"], object), n // 2), rng.uniform(0, 20, n), window,
                  {k: v for k, v in window.items()}, {0.01: np.ones(n), 0.001: np.ones(n)}, np.ones(n), np.zeros(n), np.zeros(n),
                  np.ones(n), np.arange(n) % 4 > 0, 0)


@pytest.mark.parametrize("kept", [0, 150], ids=["threshold of others", "own threshold"])
def test_figures_of_scores_of_known_distribution(kept):
    found = figures(trials(per_unit=400, kept=kept, shift=9.0), draws=200)
    assert found["realised_far"]["0.01"]["mean"] == pytest.approx(0.01, abs=0.006)
    assert found["pd_at_far"]["0.01"]["mean"] == 1.0 and found["auc"]["mean"] == pytest.approx(1.0, abs=1e-3)
    assert found["f1_at_5pct"]["mean"] > 0.98
    assert found["event_pd"]["mean"] == 0.75
    blind = found["baselines"]["blind"]
    assert blind["auc"]["low"] < 0.5 < blind["auc"]["high"] and blind["pd_at_far"]["0.01"]["mean"] < 0.1
    assert found["false_events_per_hour"]["mean"] == 2.0 and found["false_events_per_hour"]["events"] == 12
    for value in (found["auc"], found["realised_far"]["0.001"], blind["f1_at_5pct"]):
        assert value["low"] <= value["mean"] <= value["high"]
    assert found["per_type"]["tone"]["best_baseline"]["name"] == "blind"


def test_no_figure_is_made_up_where_clean_windows_are_too_few():
    found = figures(trials(per_unit=40), draws=20)
    assert found["pd_at_far"]["0.01"]["mean"] is not None
    for name in ("pd_at_far", "realised_far"):
        assert found[name]["0.001"]["mean"] is None and "480 clean windows" in found[name]["0.001"]["reason"]
    assert conformal(np.arange(98), 0.01) is None and conformal(np.arange(99), 0.01) == 98


def test_inr_at_which_half_is_found():
    rng = np.random.default_rng(1)
    inr = rng.uniform(0, 20, 2000)
    assert half_inr(inr, (rng.uniform(size=2000) < 1 / (1 + np.exp(7.0 - inr))).astype(float)) == pytest.approx(7.0, abs=0.4)
    assert half_inr(inr, np.ones(2000)) is None and half_inr(inr, np.zeros(2000)) is None


def test_frames_that_were_not_judged_leave_the_scale_and_are_not_found():
    rng, none = np.random.default_rng(5), np.full((3, 16), np.nan)
    clean, injected = rng.normal(5.0, 1.0, (9, 16)), rng.normal(9.0, 1.0, (3, 16))
    whole = experiment.Scores(rng.normal(5.0, 1.0, 400), np.zeros((0, 16)), clean, injected)
    begun_late = experiment.Scores(np.concatenate([np.full(300, np.nan), whole.reference]), whole.kept, whole.clean, none)
    never_begun = experiment.Scores(np.full(50, np.nan), whole.kept, whole.clean, whole.injected)
    alone, (one, other, third) = experiment.scaled([whole])[0], experiment.scaled([whole, begun_late, never_begun])
    np.testing.assert_allclose(one.injected, alone.injected, rtol=0.05)
    np.testing.assert_array_equal(other.clean, one.clean)
    np.testing.assert_array_equal(third.clean, one.clean)
    assert (other.injected == -np.inf).all() and (other.reference[:300] == -np.inf).all()
    unjudged = experiment.scaled([experiment.Scores(np.full(50, np.nan), whole.kept, none, none)])[0]
    assert (unjudged.clean == -np.inf).all() and not np.isnan(unjudged.reference).any()


@pytest.mark.parametrize("kept", [0, 200], ids=["reference frames", "kept windows"])
def test_each_unit_gets_a_scale_of_its_own(kept):
    """Two units whose scores lie at other levels come to one: median 0 in each, 99 % quantile 1 in both."""
    rng = np.random.default_rng(0)
    of_units = [experiment.Scores(*(level + 3 * rng.standard_normal(size) for size in ((2000,), (kept, 16), (50, 16), (8, 16))))
                for level in (5.0, -40.0)]
    scaled = experiment.scaled(of_units)
    values = [s.kept.max(axis=1) if kept else s.reference for s in scaled]
    assert np.median(values[0]) == pytest.approx(0, abs=1e-9) and np.median(values[1]) == pytest.approx(0, abs=1e-9)
    assert np.quantile(np.concatenate(values), 0.99) == pytest.approx(1.0, abs=1e-6)
    assert scaled[0].clean.mean() == pytest.approx(scaled[1].clean.mean(), abs=0.1)


# -- the whole


@pytest.fixture(scope="module")
def engine(model_file):
    return Engine(str(model_file), pad_batch=64)


@pytest.fixture(scope="module")
def easy(engine):
    """A scene of two steady emitters, with new steady signals of 20 dB."""
    emitters = [Emitter.create("band_noise", 2.4e6, -600e3, 15.0, bandwidth_hz=200e3), Emitter.create("tone", 2.4e6, 300e3, 20.0)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anomaly_windows, "INR_DB", (20.0, 20.0))
        return anomaly_windows.scene_unit(engine, Scene(3, 2.4e6, emitters), average=16, n_calibration=640, n_kept=0, n_windows=2,
                                          per_kind=4, kinds=("scont",))


def test_our_detector_finds_an_easy_anomaly_and_says_where(engine, easy):
    """Through tokenizer, encoder, `learn_bands` and detector."""
    unit = easy
    assert len(unit.calibration) == 640 and len(unit.clean) == 32 and len(unit.injected) == 4
    for one in unit.injected:  # the truth is where the spectrum has changed
        middle = 512 + round(one.truth.freq_center_hz / (unit.samp_rate / 1024))
        assert abs((one.low + one.high) / 2 - middle) <= 2
        assert one.onset <= 10 and one.fullest >= one.onset
    seen = experiment.CalibratedDetector([unit], engine).watch(unit)
    assert seen.scores.injected.shape == (4, 16) and np.isfinite(seen.scores.injected).all()
    assert (seen.scores.injected.max(axis=1) > seen.scores.clean.max()).all()
    assert seen.delay.max() <= 1 and np.median(seen.overlap) > 0.8


def test_a_window_with_an_anomaly_leaves_the_detector_as_it_was(engine, easy):
    ours = experiment.CalibratedDetector([easy], engine)
    with_anomalies = ours.watch(easy)
    assert np.array_equal(ours.watch(replace(easy, injected=[])).scores.clean, with_anomalies.scores.clean)


def test_scenes_differ_and_are_none_of_training():
    scenes = [anomaly_windows.draw_scene(n) for n in range(3)]
    assert len({str(s.emitters) for s in scenes}) == 3 and all(s.seed >= 2**31 for s in scenes)
    assert str(anomaly_windows.draw_scene(1).emitters) == str(scenes[1].emitters)


@pytest.fixture(scope="module")
def quick(model_file, mini_corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("anomaly")
    status = main(["evaluate", "anomaly", "--corpus", str(mini_corpus), "--model", str(model_file), "--quick", "--seed", "1",
                   "--json", str(out / "a.json"), "--markdown", str(out / "a.md"), "--plot", str(out / "a.png")])
    assert status == 0
    return out


def test_quick_command_writes_all_keys(quick):
    result = json.loads((quick / "a.json").read_text())
    assert KEYS <= set(result) and KEYS <= set(result["recorded"])
    for part in (result, result["recorded"]):
        assert set(part["pd_at_far"]) == set(part["realised_far"]) == {"0.01", "0.001"}
        assert set(part["per_type"]) <= set(SCORED_KINDS) and set(part["baselines"]) == BASELINES | {"boxes"}
        assert len(part["per_type"]) >= 7  # a plan may have no channel for the others
        assert part["measured_on"]["anomalies"] > 0
    assert 0 <= result["pd_at_far"]["0.01"]["low"] <= result["pd_at_far"]["0.01"]["high"] <= 1
    assert result["pd_at_far"]["0.001"]["mean"] is None and result["pd_at_far"]["0.001"]["reason"]
    assert result["measured_on"]["calibrated_by"] == {"own table": 2}
    assert result["recorded"]["measured_on"]["calibrated_by"] == {"general table of the model": 4}  # of 16 frames each
    assert result["bound"]["pd_at_far"]["0.01"]["mean"] > 0.5


def test_page_and_picture(quick):
    page = (quick / "a.md").read_text()
    assert all(f"| {name} |" in page for name in BASELINES) and "![Detection against INR](a.png)" in page
    assert "figures say nothing" in page and "Recordings, K = 4" in page
    assert (quick / "a.png").stat().st_size > 10_000
    result = json.loads((quick / "a.json").read_text())
    result["recorded"] = None
    assert "Recordings" not in report(result)
    draw(result, quick / "alone.png")
    assert (quick / "alone.png").is_file()


def test_a_corpus_without_long_recordings_is_refused(tmp_path, capsys, model_file):
    assert main(["evaluate", "anomaly", "--corpus", str(tmp_path / "none"), "--model", str(model_file)]) == 1
    assert "is not a folder" in capsys.readouterr().err
