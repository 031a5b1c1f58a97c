# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of a GPU, tried on the CPU: it runs to its end without GNU Radio, never hangs, and sees what is wrong."""

import json
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.bench.gpu import check, goals, parity, part, streaming, training
from gnuradio.spectrumencoder.bench.gpu.check import DONE, FAILED, LIMITS_S, NOT_RUN, TIMED_OUT
from gnuradio.spectrumencoder.bench.gpu.frames import CarriedShards, draw_frames
from gnuradio.spectrumencoder.blocks.safe_block import AT_ONCE
from gnuradio.spectrumencoder.encoder.config import EncoderConfig
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.static_runtime import StaticNetwork
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from gnuradio.spectrumencoder.training.corpus import CLASSES
from gnuradio.spectrumencoder.training.shards import FIELDS

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL, RECIPE = ROOT / "tools" / "gpu_check.py", ROOT / "recipes" / "train" / "base.toml"
SETTINGS = part.PartSettings("cpu", True, 60.0, time.time() + 3600, str(RECIPE))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict:
    """The JSON of a run of all parts by the tool, in an interpreter that cannot import GNU Radio."""
    out = tmp_path_factory.mktemp("gpu_check")
    site = out / "site"
    site.mkdir()
    (site / "gnuradio.py").write_text("raise ImportError('there is no GNU Radio on this host')\n")
    arguments = ["--device", "cpu", "--small", "--seconds", "800", "--out", str(out)]
    code = f"import sys, runpy; sys.path.insert(0, {str(site)!r}); sys.argv[1:] = {arguments}"
    done = subprocess.run([sys.executable, "-c", f"{code}; runpy.run_path({str(TOOL)!r}, run_name='__main__')"],
                          capture_output=True, text=True, timeout=900)
    files = list(out.glob("gpu_*.json"))
    assert len(files) == 1, done.stdout + done.stderr
    result = json.loads(files[0].read_text())
    assert done.returncode == 0, (done.stdout, files[0].with_suffix(".log").read_text()[-3000:])
    assert files[0].with_suffix(".log").stat().st_size
    return result


@pytest.mark.timeout(950)
def test_every_part_runs_to_its_end_on_a_cpu_without_gnuradio(whole):
    assert {name: row["state"] for name, row in whole["parts"].items()} == dict.fromkeys(LIMITS_S, DONE)
    assert whole["bench"] == "gpu" and whole["device"]["kind"] == "cpu" and whole["machine"]["gnuradio"] is None
    met = {row["goal"]: row["met"] for row in whole["goals"]}
    assert met["parity holds"] and met["frames do not depend on their batch"] and met["a flash kernel ran"]
    assert met["first steps of training as on the CPU"]
    assert sum(value is None for value in met.values()) == 6  # nothing is claimed of speed on a CPU
    assert sum(LIMITS_S.values()) < 360


def test_parity_covers_every_setting(whole):
    rows = whole["parts"]["parity"]["result"]["rows"]
    settings = {(r["family"], r["rope"], r["policy"], r["kept"], r["dtype"]) for r in rows}
    assert len(rows) == len(settings) == 5 * 3 * 4 * 2 * 2
    assert all(set(r["errors"]) == {*parity.COMPARED, "gradient"} for r in rows)


def test_speed_streaming_memory_and_training_give_figures(whole):
    of = {name: row["result"] for name, row in whole["parts"].items()}
    speed = of["speed"]
    assert {row["batch"] for row in speed["batch"]} == {1, 4} and all(0 < row["share_of_peak"] < 1.5 for row in speed["batch"])
    assert all(0 < row[key]["p50_ms"] <= row[key]["p99_ms"] for row in speed["one"]
               for key in ("graph", "device_alone", "kernel_by_kernel"))
    assert speed["bytes"]["fast"]["to_device"] == 4 * (FrameLayout().item_size + 1)
    assert all(row["times"] > 1 for row in speed["speed_up"]) and all(0 <= row["host_share"] < 1 for row in speed["host"])
    assert all(row["frames"] > 0 and row["latency"]["p50_ms"] > 0 for row in of["streaming"]["rows"])
    assert all(row["process_peak_mib"] > 50 for row in of["memory"]["rows"])
    assert of["training"]["shards"]["source"] == "drawn" and of["training"]["speed"]["frames_per_s"] > 0
    recipe = tomllib.loads(RECIPE.read_text())["training"]
    assert of["training"]["speed"]["recipe_steps"] == recipe["steps"] + recipe["chooser_steps"]
    assert len(of["training"]["first"]["cpu"]) == 3
    assert of["compiled"]["rows"][0]["max_difference"] < 1e-4 and of["compiled"]["kernels"]


def test_a_part_that_takes_too_long_is_killed_and_the_next_one_runs(tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS_S, "training", 1.0 / check.SMALL_FACTOR)  # PyTorch's import alone takes longer
    result = check.check(tmp_path, recipe=RECIPE, device="cpu", small=True, parts=("training", "memory"))
    training_row, memory_row = (result["parts"][name] for name in ("training", "memory"))
    assert training_row["state"] == TIMED_OUT and "over its limit of 1 s" in training_row["reason"]
    assert memory_row["state"] == DONE and memory_row["result"]["rows"]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".log"]


def test_what_a_part_noted_is_on_disk_at_once(tmp_path):
    """A part whose time is over does no more work; what came before is there."""
    settings, result = tmp_path / "settings.json", tmp_path / "result.json"
    settings.write_text(json.dumps(asdict(replace(SETTINGS, ends_at=time.time()))))
    subprocess.run([sys.executable, "-m", part.__name__, "attention", str(settings), str(result)], check=True, timeout=100)
    noted = json.loads(result.read_text())
    assert noted["kernel"] == "PyTorch's SDPA flash kernel" and "rows" not in noted


def test_a_part_that_fails_gives_the_reason_and_no_time_left_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    result = check.check(tmp_path, recipe=RECIPE, device="cpu", small=True, parts=("training",), shards=tmp_path / "empty")
    row = result["parts"]["training"]
    assert row["state"] == FAILED and "holds no shard_*.npz; make them with tools/gpu_check.py prepare" in row["reason"]
    late = check.check(tmp_path, recipe=RECIPE, device="cpu", small=True, parts=("memory",), total_s=1.0)
    assert late["parts"]["memory"]["state"] == NOT_RUN and "of 1 s were left" in late["parts"]["memory"]["reason"]


def test_what_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match="parts colour do not exist; there are parity"):
        check.check(tmp_path, recipe=RECIPE, device="cpu", parts=("colour",))
    with pytest.raises(ValueError, match="there is no recipe"):
        check.check(tmp_path, recipe=tmp_path / "none.toml", device="cpu")


def test_a_wrong_network_is_out_of_tolerance():
    config = EncoderConfig(**parity.SMALL, labels=CLASSES)
    network = parity.drawn_network(config, 0)
    inputs = parity.draw_inputs(config, "energy", SETTINGS)
    oracle = parity.drawn_network(config, 0).double()
    row = {"class": "bf16", "kind": "", "other_tokens": 0.0}
    wanted = parity.Wanted(oracle, inputs, 12, "energy")
    errors, other = parity.output_errors(wanted, StaticNetwork(network, "cpu"))
    assert other == 0.0 and parity.within(row | {"class": "fp32", "errors": errors})
    with torch.no_grad():
        network.blocks[0].mlp.down.weight.mul_(0.8)
    errors, _ = parity.output_errors(wanted, StaticNetwork(network, "cpu"))
    assert not parity.within(row | {"errors": errors})
    assert not parity.within(row | {"errors": {}, "other_tokens": 0.1})
    assert not parity.holds([]) and not parity.holds([row | {"within": True}], left_out=1)


def test_losses_that_drift_apart_are_seen():
    rows = [dict.fromkeys(training.PARTS, 1.0) | {"accuracy": 0.5} for _ in range(3)]
    other = [*rows[:2], rows[2] | {"classes": 1.02}]
    assert training.close(rows, rows, "fp32")["within"] and not training.close(rows, other, "bf16")["within"]
    assert training.close(rows, other, "bf16")["max_difference"]["classes"] == pytest.approx(0.02)


def test_stream_counts_frames_and_falls_behind_if_it_must(model_file):
    engine = Engine(str(model_file), compute="cpu", runtime="torch", pad_batch=0)
    easy = streaming.stream(engine, 0.4, 0.2)
    assert easy["held"] and easy["frames"] == 1 and easy["batch"] == {"mean": 1.0, "max": 1}
    assert 0 < easy["latency"]["p50_ms"] <= easy["latency"]["max_ms"] < 2500
    hard = streaming.stream(engine, 1e6, 0.5)
    assert not hard["held"] and hard["batch"]["max"] == AT_ONCE and hard["behind_frames"] > 1e5
    assert streaming.AT_ONCE == AT_ONCE


def test_goals_are_judged_from_results_alone():
    one = {"model": "base", "dtype": "fp32", "graph": {"p50_ms": 0.2}}
    parts = {"speed": {"result": {"one": [one], "batch": [{"model": "base", "batch": 256, "per_s": 4e5},
                                                          {"model": "fast", "batch": 256, "reason": "no memory"}],
                                  "speed_up": [{"model": "base", "batch": 256, "times": 19.0},
                                               {"model": "base", "batch": 256, "times": 21.0},
                                               {"model": "base", "batch": 1024, "times": 30.0}]}},
             "streaming": {"result": {"rows": [{"model": "base", "rate": 60_000.0, "held": False}]}},
             "training": {"state": "timed out", "result": {"speed": {"recipe_minutes": 12.0}}}}
    met = {row["goal"]: row["met"] for row in goals.judge(parts, on_gpu=True)}
    assert met == {"parity holds": None, "frames do not depend on their batch": None, "a flash kernel ran": None,
                   "first steps of training as on the CPU": None, "ms of one spectrum, p50, base, graph": True,
                   "spectra/s, fast": None, "spectra/s, base": True, "times the paper's network, base": True,
                   "streaming holds 60000 frames/s": False, "minutes of the recipe of base": False}
    assert all(row["met"] is None for row in goals.judge(parts, on_gpu=False))


def test_drawn_frames_hold_what_they_say():
    layout = FrameLayout()
    items, drawn = draw_frames(np.random.default_rng(1), 200, layout)
    tokens, side = layout.split(items)
    level = tokens[..., :-2].reshape(200, -1)
    clean = ~drawn["anomaly"]
    assert np.abs((level - drawn["target"])[clean].mean()) < 0.3  # the mean of a log of averaged noise is a little low
    assert (level - drawn["target"])[~clean].mean() > 0.3
    noise = CLASSES.index("noise")
    assert (drawn["target"][drawn["label"] == noise][drawn["anomaly"][drawn["label"] == noise] == 0] == 0).all()
    assert ((drawn["token_label"] != noise).sum(axis=1)[drawn["label"] != noise] > 0).all()
    assert np.array_equal(side[:, 1], np.full(200, 16, np.float32))


@pytest.mark.timeout(300)
def test_prepared_shards_are_those_that_training_reads(mini_corpus, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[encoder]\nfft_size = 128\nkeep_choices = [4, 8, 16]\n[data]\nmix = [0.6, 0, 0.2, 0.1, 0.1, 0]\n'
                      '[training]\nholdout = ["b_*"]\nkeep_weights = [0.2, 0.4, 0.4]\n')
    folder = tmp_path / "pool" / "train"
    options = {"--corpus": mini_corpus, "--recipe": recipe, "--out": tmp_path / "pool", "--shards": "2", "--shard-size": "8"}
    done = subprocess.run([sys.executable, TOOL, "prepare", *(word for option in options.items() for word in option)],
                          capture_output=True, text=True, timeout=280)
    assert f"--shards {folder}" in done.stdout, done.stderr
    encoder, _ = training.read_recipe(recipe)
    carried = CarriedShards(folder, FrameLayout(128, 8), len(encoder.bands))
    drawn = CarriedShards(None, FrameLayout(128, 8), len(encoder.bands), count=1, size=8)
    assert (carried.count, carried.source, drawn.count, drawn.source) == (2, str(folder), 1, "drawn")
    for key in FIELDS:
        ours, theirs = drawn.get(0)[key], carried.get(1)[key]
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), key


def test_settings_know_their_time():
    now = time.time()
    assert replace(SETTINGS, ends_at=now + 60).has_time(0.5) and not replace(SETTINGS, ends_at=now + 20).has_time(0.5)
    assert not replace(SETTINGS, ends_at=now + 2).has_time()
