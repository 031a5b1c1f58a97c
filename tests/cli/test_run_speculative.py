# SPDX-License-Identifier: GPL-3.0-or-later
"""run with a speculative model and a reduced precision: counters in --json; what makes no sense is bad usage."""

import json

import pytest
from gnuradio.spectrumencoder.cli.main import main
from small_models import write_small_model


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return [write_small_model(folder / f"{name}.safetensors", name, seed, embedding=16)
            for name, seed in (("fast", 1), ("large", 2))]


@pytest.mark.parametrize(("confidence", "refined"), [(0, 0), (1, 40)])
def test_run_counts_who_answered(call, write_sigmf, noise, pair, tmp_path, confidence, refined):
    recording = write_sigmf(tmp_path, "hiss", noise(40 * 16 * 128))
    done = call("run", recording, "--model", "speculative:" + ",".join(pair), "--confidence", confidence, "--dtype", "int8",
                "--json", tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "run.json").read_text())["recordings"]
    assert row["n_frames"] == 40
    assert (row["accepted_frames"], row["refined_frames"], row["confidence_threshold"]) == (40 - refined, refined, confidence)
    assert f"40 frames, {refined} refined" in done.stdout


@pytest.mark.parametrize(("arguments", "text"), [
    (["run", "x.sigmf-meta", "--model", "base", "--confidence", "0.5"], "base is one model alone; leave it out"),
    (["run", "x.sigmf-meta", "--model", "speculative", "--confidence", "1.5"], "Invalid value for '--confidence'"),
    (["calibrate", "x.sigmf-meta", "--detector", "boxes", "--model", "speculative", "--out", "o.safetensors"],
     "calibrate that (--model fast), then run with --model speculative:o.safetensors,large")])
def test_bad_usage(arguments, text, demo_scene, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments[1] = str(demo_scene)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_models_describes_both(pair, capsys):
    assert main(["models", "speculative:" + ",".join(pair)]) == 0
    shown = capsys.readouterr().out
    assert pair[0].rsplit("/", 1)[0] in shown.replace("\n", "") and "fast" in shown and "large" in shown
    assert main(["models", "speculative:fast"]) == 1
    assert "does not name two models" in capsys.readouterr().err
