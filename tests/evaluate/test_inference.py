# SPDX-License-Identifier: GPL-3.0-or-later
"""evaluate speculative and evaluate precision: what is counted is what the engines give; times are of both on the same input."""

import json
import time

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.ensemble import open_engine
from gnuradio.spectrumencoder.evaluate.inference.held_out import frames_of
from gnuradio.spectrumencoder.evaluate.inference.precision import precision
from gnuradio.spectrumencoder.evaluate.inference.speculative import speculative
from gnuradio.spectrumencoder.measure.timing import PROCESSOR, WALL, Seconds, clock_of, interleaved, speed_up
from gnuradio.spectrumencoder.simulate.waveforms import WAVEFORMS
from gnuradio.spectrumencoder.training.corpus import CLASSES, CorpusError
from small_models import write_small_model

N = 2**16


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, write_sigmf):
    """Folder of four labelled recordings, cf32, 1 MS/s."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, (name, waveform, cls) in enumerate((("a_lora", "lora", "LoRa"), ("b_lora", "lora", "LoRa"),
                                                    ("a_noise", None, "noise-only"), ("b_noise", None, "noise-only"))):
        rng = np.random.default_rng(number)
        iq = rng.standard_normal((N, 2), np.float32).view(np.complex64)[:, 0] * np.float32(0.01)
        if waveform:
            iq += 0.2 * WAVEFORMS[waveform].function(rng, N, 1e6)
        write_sigmf(folder, name, iq, freq_hz=868e6, annotations=[
            {"core:sample_start": 0, "core:sample_count": N, "core:label": cls,
             "core:comment": f"whole file; family=ism; class={cls}"}])
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return [write_small_model(folder / f"{name}.safetensors", name, seed, embedding=16, labels=CLASSES,
                              contract={"training": {"trained_on": ["a_lora"]}}, **more)
            for name, seed, more in (("fast", 1, {"sharpness": 4.0}), ("large", 2, {"width": 32, "layers": 3, "sharpness": 4.0}))]


@pytest.fixture(scope="module")
def model(pair):
    return "speculative:" + ",".join(pair)


def test_the_rows_are_what_the_ensemble_gives(model, recordings):
    result = speculative([model], corpus=recordings, condition="plain", thresholds=(0.2, 0.3), quick=True)
    assert [row["threshold"] for row in result["thresholds"]] == [0.2, 0.3, 0.8]
    assert result["n_recordings"] == 3 and [m["name"] for m in result["models"]] == ["fast", "large"]
    engine = open_engine(model)
    frames = frames_of(engine, corpus=recordings, condition="plain")
    assert len(frames) == result["n_frames"] and not np.any(frames.recording == "a_lora")
    accuracy = []
    for row in result["thresholds"]:
        engine.set_confidence_threshold(row["threshold"])
        rows = engine.encode(frames.items, frames.band).features
        accuracy.append(float(np.mean(rows[:, features.PROBABILITIES].argmax(axis=1) == frames.label)))
        assert row["accuracy"] == pytest.approx(accuracy[-1], abs=1e-4)
        assert row["accepted"] == pytest.approx(float(np.mean(rows[:, features.ANSWERED_BY] == 0)), abs=1e-4)
        assert row["points_lost"] == pytest.approx(100 * (result["models"][1]["accuracy"] - accuracy[-1]), abs=0.02)
        low, high = row["points_lost_interval"]
        assert low <= row["points_lost"] <= high
        for way in ("one_by_one", "in_batches"):
            assert row[way]["mean_ms"] > 0 and row[way]["mean_speed_up"] > 0 and row[way]["n_calls"] >= 2
    assert len({row["accepted"] for row in result["thresholds"]}) > 1
    for row in result["models"]:
        assert 0 <= min(row["ece"], row["ece_before"], row["ece_cross_fitted"]) <= 1


def test_folds_are_judged_together_each_on_its_own(model, recordings, tmp_path):
    other = [write_small_model(tmp_path / f"{n}.safetensors", n, seed, embedding=16, labels=CLASSES,
                               contract={"training": {"trained_on": ["b_lora", "a_noise", "b_noise"]}})
             for seed, n in ((5, "fast2"), (6, "large2"))]
    one, both = (speculative(models, corpus=recordings, condition="plain", thresholds=(), quick=True)
                 for models in ([model], [model, "speculative:" + ",".join(other)]))
    assert (one["n_recordings"], both["n_recordings"]) == (3, 4)
    assert both["n_frames"] > one["n_frames"]


def test_what_cannot_be_judged_is_named(model, pair, recordings, tmp_path):
    with pytest.raises(ValueError, match="is one model alone; name two: speculative"):
        speculative([pair[0]], corpus=recordings, quick=True)
    with pytest.raises(ValueError, match="--pool DIR .* or --corpus DIR .*, not both"):
        speculative([model], quick=True)
    with pytest.raises(ValueError, match=r"confidence_threshold 3 is outside \[0, 1\]"):
        speculative([model], corpus=recordings, condition="plain", thresholds=(3,), quick=True)
    known = write_small_model(tmp_path / "known.safetensors", "known", 1, labels=CLASSES, contract={"training": {
        "trained_on": ["a_lora", "b_lora", "a_noise", "b_noise"]}})
    with pytest.raises(CorpusError, match="no labelled recording that is new to known"):
        precision(known, corpus=recordings, quick=True)
    with pytest.raises(ValueError, match="does not know the classes LoRa; judge a model with those labels"):
        precision(write_small_model(tmp_path / "few.safetensors", "few", 1, labels=("noise", "BLE")), corpus=recordings,
                  condition="plain", quick=True)


def test_precision_states_loss_and_speed(pair, recordings):
    result = precision(pair[1], corpus=recordings, condition="plain", quick=True)
    assert list(result["dtypes"]) == ["fp32", "bf16", "int8"] and result["refused"] == {}
    exact = result["dtypes"]["fp32"]
    assert exact["residual_rms_difference"] == exact["points_lost"] == exact["largest_probability_difference"] == 0
    assert exact["same_label"] == 1 and exact["one_by_one"]["mean_speed_up"] == 1
    for dtype in ("bf16", "int8"):
        row = result["dtypes"][dtype]
        assert 0 < row["residual_rms_difference"] < 0.1 * row["residual_rms"]
        assert 0 < row["largest_probability_difference"] < 0.2
        assert row["in_batches"]["mean_ms"] > 0


def test_calls_take_turns_on_the_same_input():
    seen = []
    seconds = interleaved({"a": lambda i: seen.append(("a", i)), "b": lambda i: seen.append(("b", i))}, 50)
    assert all(times.shape == (50,) for name in "ab" for times in seconds[name])
    timed = seen[4:]  # after the warm-up
    assert all({name for name, _ in timed[2 * i:2 * i + 2]} == {"a", "b"} for i in range(50))
    assert [i for _, i in timed] == np.repeat(np.arange(50), 2).tolist()
    assert {timed[2 * i][0] for i in range(50)} == {"a", "b"}  # neither always first


def test_speed_up_of_calls_of_known_length():
    quick, slow = np.where(np.arange(24) % 4, 0.002, 0.008), np.full(24, 0.008)
    row = speed_up(Seconds(np.full(24, 0.02), quick), Seconds(np.full(24, 0.05), slow), PROCESSOR, frames=2)
    assert row["mean_speed_up"] == pytest.approx(8 / 3.5, abs=1e-3)
    assert (row["median_speed_up"], row["mean_ms"], row["median_ms"]) == (4.0, 1.75, 1.0)
    assert row["mean_speed_up_interval"][0] < row["mean_speed_up"] < row["mean_speed_up_interval"][1]
    assert (row["wall_mean_speed_up"], row["wall_median_speed_up"], row["wall_mean_ms"]) == (2.5, 2.5, 10.0)
    assert speed_up(Seconds(slow, quick), Seconds(quick, quick), WALL)["median_speed_up"] == 0.25
    assert clock_of("cpu", 1) == PROCESSOR and clock_of("cpu", 2) == clock_of("cuda:0", 1) == WALL


def test_waiting_is_no_processor_time():
    seconds = interleaved({"waits": lambda i: time.sleep(0.02), "works": lambda i: sum(range(20000))}, 5)
    assert seconds["waits"].wall.min() >= 0.02 and seconds["waits"].processor.max() < 0.01
    assert np.all(seconds["works"].processor > 0)


def test_commands_leave_table_picture_and_figures(model, pair, recordings, tmp_path, capsys):
    assert main(["evaluate", "speculative", "--model", model, "--corpus", str(recordings), "--condition", "plain", "--quick",
                 "--threshold", "0.3", "--json", str(tmp_path / "s.json"), "--markdown", str(tmp_path / "s.md"), "--plot",
                 str(tmp_path / "s.png")]) == 0
    result = json.loads((tmp_path / "s.json").read_text())
    assert result["quick"] and [row["threshold"] for row in result["thresholds"]] == [0.3, 0.8]
    page = (tmp_path / "s.md").read_text()
    printed = capsys.readouterr().out
    assert "| threshold | accepted |" in page and "| threshold | accepted |" in printed
    assert "\n![Speculative ensemble" in page and "A quick trial" in page
    assert page.splitlines()[1].startswith("# Speculative ensemble")
    command = f"evaluate speculative --model {model} --corpus CORPUS --condition plain --threshold 0.3 --quick\n"
    assert command in page.replace(" \\\n    ", " ")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert main(["evaluate", "precision", "--model", pair[0], "--corpus", str(recordings), "--condition", "plain", "--quick",
                 "--json", str(tmp_path / "p.json"), "--markdown", str(tmp_path / "p.md")]) == 0
    assert "| int8 |" in (tmp_path / "p.md").read_text()
    assert json.loads((tmp_path / "p.json").read_text())["n_frames"] > 0
    capsys.readouterr()
    assert main(["evaluate", "speculative", "--model", model]) == 2
    assert "not both" in capsys.readouterr().err
    assert main(["evaluate", "precision", "--corpus", str(tmp_path / "absent")]) == 2
