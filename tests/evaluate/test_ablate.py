# SPDX-License-Identifier: GPL-3.0-or-later
"""Ablations: intervals that hold what they promise, rows kept and taken up again, and a quick run of every configuration."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.evaluate.ablate import adaptive, backends, classical, detection, motion
from gnuradio.spectrumencoder.evaluate.ablate import run as ablate
from gnuradio.spectrumencoder.measure.paired import PairedBootstrap, pack, unpack
from gnuradio.spectrumencoder.measure.rows import AblationError, Context
from gnuradio.spectrumencoder.training.config import ConfigError

RECIPES = Path(__file__).resolve().parents[2] / "recipes/ablate"


def clustered(rng, recordings=30, windows=20, spread=0.25):
    """Windows of recordings of differing difficulty: label, recording, chance of being right."""
    recording = np.repeat(np.arange(recordings), windows)
    chance = np.clip(rng.normal(0.7, spread, recordings), 0, 1)[recording]
    return recording % 3, recording, chance


def test_balanced_accuracy_is_the_mean_recall():
    rng = np.random.default_rng(0)
    label, recording, chance = clustered(rng)
    right = rng.random(len(label)) < chance
    expected = np.mean([right[label == c].mean() for c in range(3)])
    assert PairedBootstrap(label, recording).balanced(right)[0] == pytest.approx(expected, abs=1e-12)


def test_interval_of_a_difference_is_paired():
    """Two settings that err on the same recordings: the interval of the difference is far narrower than that of either, holds
    the truth, and no difference gives no interval at all."""
    rng = np.random.default_rng(1)
    label, recording, chance = clustered(rng)
    draw = rng.random((4, len(label)))
    one, other = draw < chance, draw < chance - 0.05
    bootstrap = PairedBootstrap(label, recording)
    alone, difference = bootstrap.interval(one), bootstrap.interval(one, other)
    assert difference["high"] - difference["low"] < 0.4 * (alone["high"] - alone["low"])
    assert difference["low"] < (one.mean() - other.mean()) < difference["high"] and difference["low"] > 0
    assert bootstrap.interval(one, one) == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_interval_covers_at_its_level():
    """Over 200 worlds the interval holds the true mean in about 95 %: recordings are what is drawn, not windows."""
    covered = 0
    for world in range(200):
        rng = np.random.default_rng(100 + world)
        recording = np.repeat(np.arange(60), 10)
        chance = rng.beta(2, 1, 60)  # mean 2/3
        right = rng.random(600) < chance[recording]
        found = PairedBootstrap(np.zeros(600, int), recording, draws=400, seed=world).interval(right)
        covered += found["low"] <= 2 / 3 <= found["high"]
    assert 0.90 <= covered / 200 <= 0.985


def test_packed_and_unpacked():
    right = np.random.default_rng(2).random(77) < 0.5
    np.testing.assert_array_equal(unpack(pack(right), 77), right)


def test_rows_are_kept_with_their_settings(tmp_path):
    context, calls = Context(tmp_path, []), []

    def measure():
        calls.append(1)
        return {"ms": (1.5, 2)}

    first = context.row("64 tokens/x", {"a": (1,)}, measure)
    assert context.row("64 tokens/x", {"a": [1]}, measure) == first == {"ms": [1.5, 2]} and len(calls) == 1
    with pytest.raises(AblationError, match="other settings"):
        context.row("64 tokens/x", {"a": [2]}, measure)


def test_configurations_refused(tmp_path):
    for content, says in (("experiment = 'x'\ntitle = 'y'", "'x'"), ("experiment = 'rope'", "title"), ("a = ", "not TOML")):
        (tmp_path / "c.toml").write_text(content)
        with pytest.raises(ConfigError, match=says):
            ablate.read_configuration(tmp_path / "c.toml", False)
    with pytest.raises(ConfigError, match="cannot be read"):
        ablate.read_configuration(tmp_path / "none.toml", False)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_configurations_are_read(path):
    whole, quick = (ablate.read_configuration(path, q) for q in (False, True))
    assert whole != quick and set(quick) <= set(whole) and "quick" not in whole


def check_pages(out, name, result):
    page = (out / f"{name}.md").read_text()
    assert result["command"] in page.replace(" \\\n    ", " ") and result["commit"][:12] in page and "says nothing" not in page
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / f"{name}.json").read_text())["title"] == result["title"]
    return page


def run_quick(name, corpus, tmp_path, **settings):
    result = ablate.ablate(RECIPES / f"{name}.toml", corpus, tmp_path / "out", work=tmp_path / "work", quick=True,
                           command="spectrumencoder evaluate ablate", **settings)
    check_pages(tmp_path / "out", name, result)
    return result


def test_backends(tmp_path):
    """Every backend that runs here, at every number of tokens; the score matrix is in the oracle's memory and not in flash's."""
    result = run_quick("backends", [], tmp_path)
    names = [b["name"] for b in backends.describe_backends("cpu") if b["available"]]
    assert [r["tokens"] for r in result["rows"]] == [64, 128]
    for row in result["rows"]:
        assert sorted(row["backends"]) == sorted(names) and row["backends"]["naive"]["of_naive"] == 1.0
        assert all(b["ms"] > 0 and b["peak_mb"] > 0 for b in row["backends"].values())
        assert all(1e-8 < b["error"] < 3e-5 for b in row["backends"].values())  # fp32 against fp64: neither none nor much
    of = result["rows"][1]["backends"]
    scores_mb = 4 * 129**2 * 4e-6
    assert of["naive"]["peak_mb"] > scores_mb > of["flash"]["peak_mb"]


def test_backends_too_large_are_left_out():
    config = ablate.read_configuration(RECIPES / "backends.toml", True) | {"memory_limit_mb": 0.01}
    left = backends.measure(64, config)["backends"]
    assert "naive" not in left and left["flash"]["error"] is None  # its oracle is too large as well


def test_a_backend_that_errs_is_reported(monkeypatch):
    """0.1 % too much everywhere: its largest output times 1e-3, over the rms. The others of its family err as before."""
    flash = backends.BACKENDS["flash"]
    monkeypatch.setitem(backends.BACKENDS, "flash", replace(flash, attend=lambda *call: 1.001 * flash.attend(*call)))
    config = ablate.read_configuration(RECIPES / "backends.toml", True)
    found = {name: b["error"] for name, b in backends.measure(64, config)["backends"].items()}
    assert 1e-3 < found["flash"] < 1e-2 and found["naive"] < 3e-5


def test_transforms_keep_what_they_promise():
    """As many numbers as asked for; an orthonormal transform of all of them keeps the energy."""
    levels = np.random.default_rng(3).normal(size=(40, 128))
    for name in ("PCA", "wavelet", "DCT"):
        assert classical.make_transform(name, 10, levels)(levels).shape == (40, 10)
    for name in ("wavelet", "DCT"):
        whole = classical.make_transform(name, 128, levels)(levels)
        np.testing.assert_allclose((whole**2).sum(axis=1), (levels**2).sum(axis=1), rtol=1e-9)
    np.testing.assert_array_equal(classical.make_transform("all bins", 10, levels)(levels), levels)
    with pytest.raises(AblationError, match="FFT"):
        classical.make_transform("FFT", 10, levels)
    with pytest.raises(AblationError, match="oracle"):
        classical.make_classifier("oracle")


@pytest.fixture(scope="module")
def own_split(tmp_path_factory):
    """The shipped configuration of that name, with the small corpus' split in place of the fold."""
    def write(name):
        folder = tmp_path_factory.mktemp("configurations")
        lines = (RECIPES / f"{name}.toml").read_text().splitlines()
        lines = [line for line in lines if not line.startswith("fold = ")]
        place = lines.index("[training]")
        (folder / f"{name}.toml").write_text("\n".join([*lines[:place + 1], 'holdout = ["b_*"]', *lines[place + 1:]]))
        return folder / f"{name}.toml"
    return write


@pytest.fixture(scope="module")
def arms(own_split, mini_corpus, tmp_path_factory):
    """A quick run of rope.toml on the small corpus: (result, folder of the run, configuration)."""
    folder, config = tmp_path_factory.mktemp("arms"), own_split("rope")
    seen = []
    result = ablate.ablate(config, [mini_corpus], folder / "out", work=folder / "work", pool=folder / "pool", quick=True,
                           command="spectrumencoder evaluate ablate", progress=lambda done, total, name: seen.append(name))
    assert "static, band token, seed 2" in seen
    return result, folder, config


def test_arms(arms):
    """Each arm and seed is trained as it says; every condition and pair is in the tables; an arm that is told no band does not
    change with what is told."""
    result, folder, _ = arms
    page = check_pages(folder / "out", "rope", result)
    names = [a["name"] for a in result["configuration"]["arms"]]
    assert len({a["arm"] for a in result["accuracy"]}) == len(names) == 6 and result["seeds"] == [1, 2]
    assert {d["arm"] for d in result["differences"]} <= set(names) and "dynamic - static" in page
    assert sorted(p.name for p in (folder / "work" / "trainings").iterdir()) == sorted(
        f"{name.replace(' ', '_')}_{seed}" for name in names for seed in (1, 2))
    for a in (a for a in result["accuracy"] if a["arm"] in ("none", "static")):
        own = next(b for b in result["accuracy"] if b["band_given"] == "own" and all(a[k] == b[k] for k in ("arm", "bin_width")))
        assert (a["mean"], a["low"], a["high"]) == (own["mean"], own["low"], own["high"])
    assert {name.split(", seed")[0] for name in result["theta"]} == {"dynamic", "dynamic, shuffled bands"}


def test_arms_again_measure_nothing(arms, mini_corpus):
    result, folder, config = arms
    rows = {p: p.stat().st_mtime_ns for p in (folder / "work" / "rows").iterdir()}
    again = ablate.ablate(config, [mini_corpus], folder / "out", work=folder / "work", pool=folder / "pool", quick=True,
                          command=result["command"])
    assert again["accuracy"] == result["accuracy"] and again["differences"] == result["differences"]
    assert rows == {p: p.stat().st_mtime_ns for p in (folder / "work" / "rows").iterdir()} and len(rows) == 12


def test_band_token_tells_the_band(arms):
    """Of the networks with a static theta, only the one with a band token answers differently for another band."""
    from gnuradio.spectrumencoder.encoder.engine import Engine
    folder = arms[1] / "work" / "trainings"
    items = np.random.default_rng(4).normal(5, 3, (2, 1344)).astype(np.float32)
    items[:, 1280:1283] = (-90.0, 16.0, 1e3)
    for name, differs in (("static", False), ("static, band token", True)):
        stem = name.replace(" ", "_")
        engine = Engine(str(folder / f"{stem}_1" / f"{stem}.safetensors"))
        one, other = (engine.encode(items, band).features for band in ("ism", "gnss"))
        assert np.array_equal(one, other) != differs


def test_dropout(arms, tmp_path):
    """Each policy at each kept count, and none at all where everything is kept; what the model learnt from is not judged."""
    folder = arms[1]
    model = folder / "work" / "trainings" / "dynamic_1" / "dynamic.safetensors"
    result = run_quick("dropout", [], tmp_path, pool=folder / "pool", model=str(model))
    assert len(result["rows"]) == 1 + 4 * 6 and 0 < result["n_windows"] <= 40 and result["n_recordings"] == 2
    whole = result["rows"][0]
    assert whole["tokens_kept"] == 128 and whole["dropout_rate"] == 0 and whole["minus_all"]["high"] == 0
    assert all(r["mflop"] < whole["mflop"] for r in result["rows"][1:])
    with pytest.raises(AblationError, match="--model"):
        ablate.ablate(RECIPES / "dropout.toml", [], tmp_path / "out", work=tmp_path / "other")


@pytest.mark.timeout(300)
def test_detection(model_file, tmp_path):
    config = ablate.read_configuration(RECIPES / "detection.toml", True)
    config |= {"rope_modes": ["dynamic"], "detectors": ["band", "mean square"], "kept": 100, "windows": 4}
    context = Context(tmp_path, [], model=str(model_file))
    found = detection.run(config, context)
    assert [(r["dropout_rate"], r["detector"]) for r in found["rows"]] == [(0.0, "band"), (0.0, "mean square"), (0.5, "band"),
                                                                          (0.5, "mean square")]
    band, square = found["rows"][:2]
    assert band["pd"]["mean"] > square["pd"]["mean"] + 0.3 and band["minus_first"]["mean"] == 0
    assert all(r["encoder_ms"] > 0 and r["detector_ms"] > 0 for r in found["rows"])
    assert "mean square" in detection.report(found)
    detection.draw(found, tmp_path / "d.png")
    assert (tmp_path / "d.png").stat().st_size > 10_000
    with pytest.raises(AblationError, match="detector 'x' is none of band"):
        detection.run(config | {"detectors": ["x"]}, context)
    with pytest.raises(AblationError, match="name --model"):
        detection.run(config, replace(context, model=""))


@pytest.mark.timeout(200)
def test_motion(model_file, tmp_path):
    config = ablate.read_configuration(RECIPES / "motion.toml", True)
    found = motion.run(config, Context(tmp_path, [], model=str(model_file)))
    (row,) = found["rows"]
    assert (row["tokens_kept"], row["level_db"]) == (32, 10.0) and found["n_frames"] == 80
    assert row["difference"]["mean"] == pytest.approx(row["aware"]["mean"] - row["plain"]["mean"], abs=2e-4)
    assert row["aware"]["mean"] > 0.05  # at 1 % false alarms
    assert "aware" in motion.report(found)
    motion.draw(found, tmp_path / "m.png")
    with pytest.raises(AblationError, match="name --model"):
        motion.run(config, Context(tmp_path, []))


def test_the_tracker_expects_the_carrier_where_it_will_be():
    rng = np.random.default_rng(0)
    low, high = (f - motion.CENTER_HZ for f in motion._predicted(rng, 2.4e6, 300e3, 200.0))
    assert low < 300e3 < high and high - low < 40e3


def test_classical(arms, own_split, mini_corpus, tmp_path):
    """Each transform and classifier learns from the one part and is judged on the other, beside a model of the same split; a
    model that knows a held-out recording is refused."""
    folder, config = arms[1], own_split("classical")
    model = folder / "work" / "trainings" / "static_1" / "static.safetensors"
    result = ablate.ablate(config, [mini_corpus], tmp_path / "out", work=tmp_path / "work", pool=tmp_path / "pool", quick=True,
                           model=str(model), command="spectrumencoder evaluate ablate")
    check_pages(tmp_path / "out", "classical", result)
    assert [r["system"] for r in result["rows"]] == ["PCA + logistic regression", "wavelet + logistic regression",
                                                     "static, r = 0.25"]
    assert result["held_out"] == ["b_fsk_01", "b_lora_01"] and result["rows"][0]["numbers_kept"] == 8
    config.write_text(config.read_text().replace('"b_*"', '"a_fsk*"'))
    with pytest.raises(AblationError, match="a_fsk_01"):
        ablate.ablate(config, [mini_corpus], tmp_path / "out", work=tmp_path / "w2", pool=tmp_path / "pool", quick=True,
                      model=str(model))


BAND = """
about = "Two bursts in 3 s."
rate_hz = 1e6
freq_hz = 433.9e6
seconds = 3.0
datatype = "ci8"
[receiver]
dc_dbfs = -80
[[emitters]]
id = "device"
waveform = "tone"
at_s = [1.5, 2.4]
length_s = [0.2, 0.2]
offset_hz = 150e3
snr_db = 30
"""


@pytest.mark.timeout(200)
def test_adaptive(model_file, mini_corpus, tmp_path):
    plan = tmp_path / "band.toml"
    plan.write_text(BAND)
    context = Context(tmp_path, [mini_corpus], model=str(model_file))
    config = {"plans": [str(plan)], "seconds": 3.0, "seed": 1}
    found = adaptive.run(config, context) | {"configuration": config}
    (row,) = found["rows"]
    off, few, held = (row["modes"][mode] for mode in ("off", "few", "held"))
    assert row["n_bursts"] == 2 and 0.12 < row["in_burst"] < 0.15
    assert off["full"] == off["same_label"] == off["same_label_of_bursts"] == 1.0 and off["mean_tokens"] == 96
    for mode in (few, held):
        assert mode["bursts_seen"] == mode["bursts_from_the_first_frame"] == mode["burst_frames_full"] == 1.0
        assert mode["same_label_in_bursts"] == 1.0
    assert few["full"] == held["full"] < 0.6 and held["mflop"] == pytest.approx(held["full"] * off["mflop"], rel=1e-3)
    assert held["mflop"] < few["mflop"] < off["mflop"] and held["ms"] < off["ms"]
    assert "held / off" in adaptive.report(found)
    adaptive.draw(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    with pytest.raises(AblationError, match="name --model and --corpus"):
        adaptive.run(config, replace(context, corpus=[]))
