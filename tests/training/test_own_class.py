# SPDX-License-Identifier: GPL-3.0-or-later
"""``train --add-class``: a class of the user's own, from recordings to a model file that names it."""

import json

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.encoder.model_file import load
from gnuradio.spectrumencoder.training.own_class import fit_rows
from gnuradio.spectrumencoder.training.own_recordings import load_own
from small_models import SMALL_FFT, write_small_model

RATE, N = 1e6, 1 << 17
LABELS = ("ADS-B", "LoRa", "BLE", "noise")


def swept(seed):
    """A comb of seven tones that sweeps 200 kHz in 2 ms, on in every second stretch of 20 ms."""
    rng, t = np.random.default_rng(seed), np.arange(N) / RATE
    phase = 2 * np.pi * (rng.uniform(-1e5, 1e5) * t + 1e5 * (t % 2e-3) ** 2 / 2e-3)
    comb = sum(np.exp(1j * (phase + 2 * np.pi * 2.5e4 * k * t)) for k in range(-3, 4))
    on = (t % 40e-3) < 20e-3
    return (0.2 * comb * on + 0.01 * rng.standard_normal((N, 2)).view(np.complex128)[:, 0]).astype(np.complex64)


@pytest.fixture(scope="module")
def own(tmp_path_factory, write_sigmf):
    folder = tmp_path_factory.mktemp("own")
    for number in range(4):
        write_sigmf(folder, f"sweep_{number}", swept(number), RATE, freq_hz=868e6)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_small_model(tmp_path_factory.mktemp("models") / "small.safetensors", "small", seed=3, labels=LABELS,
                             token_classes=True, width=32, embedding=32)


def test_the_command_writes_a_model_that_names_the_new_class(own, model, tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    status = main(["train", "--add-class", "sweeper", str(own), "--model", model, "--out", str(out), "--frames", "512"])
    said = capsys.readouterr()
    assert status == 0, said.err
    assert f"wrote {out}: " in said.out and "are named sweeper; of " in said.out
    before, made = load(model), load(out)
    assert made.name == "mine" and made.contract["labels"] == [*LABELS, "sweeper"]
    (added,) = made.contract["training"]["added"]
    assert added["class"] == "sweeper" and added["recordings"] == ["sweep_0", "sweep_1", "sweep_3"]
    assert added["kept_back"] == ["sweep_2"]
    judged = made.contract["metrics"]["added_class"]
    assert judged["right"] > 0.6 and judged["taken"] < 0.2 and judged["others"] > judged["others_before"] - 0.05, judged
    for variant in made.variants:  # what is not a head is as it was
        old, new = before.weights(variant), made.weights(variant)
        changed = {key for key in new if old[key].shape != new[key].shape or not np.array_equal(old[key], new[key])}
        assert {f"{head}.classes.{part}" for head in ("heads", "latent_head", "token_head") for part in ("weight", "bias")} \
            <= changed <= {*(f"{head}.classes.{part}" for head in ("heads", "latent_head", "token_head")
                             for part in ("weight", "bias")), "temperature", "token_temperature"}
        assert new["temperature"] >= old["temperature"] and new["token_head.classes.weight"].shape[0] == len(LABELS) + 3
        assert np.array_equal(new["token_head.classes.weight"][-1], old["token_head.classes.weight"][-1])  # the boundary
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.safetensors"]
    assert main(["run", str(own / "sweep_2.sigmf-meta"), "--model", str(out), "--learn", "0", "--average", "4", "--signals",
                 str(tmp_path / "signals.jsonl"), "-q"]) == 0
    named = [json.loads(line)["label"] for line in (tmp_path / "signals.jsonl").read_text().splitlines()]
    assert "sweeper" in named, named


def test_the_same_seed_gives_the_same_model(own, model, tmp_path):
    for name in ("a", "b"):
        out = str(tmp_path / f"{name}.safetensors")
        assert main(["train", "--add-class", "sweeper", str(own), "--model", model, "--out", out, "--frames", "256"]) == 0
    a, b = (load(tmp_path / f"{name}.safetensors").tensors for name in ("a", "b"))
    assert all(np.array_equal(a[key], b[key]) for key in a) and a.keys() == b.keys()


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (("--add-class", "LoRa", "OWN"), 1, "has a class LoRa already"),
    (("--add-class", "Unknown Signal", "OWN"), 1, "already"), (("--add-class", " ", "OWN"), 1, "cannot be the name of a class"),
    (("--add-class", "x", "EMPTY"), 1, "holds no recording of x"), (("--add-class", "x", "/nowhere"), 1, "is no folder"),
    (("--add-class", "x", "SHORT"), 1, "are fewer than a frame of"),
    (("--add-class", "x", "SILENT"), 1, " frames of its recordings; mark its bursts"),
    (("--add-class", "x", "OWN", "--model", "nosuch"), 1, "nosuch"),
    (("--add-class", "x", "OWN", "--resume"), 2, "--resume is for"),
    (("recipes/train/base.toml", "--add-class", "x", "OWN"), 2, "CONFIG is for a whole training"),
    (("--add-class", "x", "OWN", "--corpus", "EMPTY"), 1, "holds no"), ((), 2, "a training needs CONFIG")])
def test_a_failed_start_leaves_nothing_behind(own, model, tmp_path, write_sigmf, capsys, arguments, status, said):
    places = {"OWN": own, "EMPTY": tmp_path / "empty", "SHORT": tmp_path / "short", "SILENT": tmp_path / "silent"}
    for name in ("EMPTY", "SHORT", "SILENT"):
        places[name].mkdir()
    write_sigmf(places["SHORT"], "short", np.ones(SMALL_FFT - 1, np.complex64), RATE)
    noise = np.random.default_rng(1).standard_normal((N, 2)).view(np.complex128)[:, 0]
    write_sigmf(places["SILENT"], "silent", 0.01 * noise, RATE)
    out = tmp_path / "out"
    out.mkdir()
    words = [str(places.get(word, word)) for word in arguments]
    more = [] if "--model" in words else ["--model", model]
    assert main(["train", *words, *more, "--out", str(out / "x.safetensors"), "--frames", "128"]) == status
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not list(out.iterdir()), error


@pytest.mark.parametrize("config", ["[encoder]\nwidth = 7\n", "[training]\nholdout = ['no such*']\n",
                                    "[training]\nstart = 'nosuch'\n", "[data]\nfolds = '/no/such.toml'\ncomposed_share = 0.5\n"])
def test_a_training_that_cannot_start_leaves_nothing_behind(mini_corpus, tmp_path, capsys, config):
    (tmp_path / "c.toml").write_text(config)
    assert main(["train", str(tmp_path / "c.toml"), "--corpus", str(mini_corpus), "--out", str(tmp_path / "run"), "--pool",
                 str(tmp_path / "pool")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]


def test_two_recordings_are_split_in_time(write_sigmf, tmp_path):
    iq = swept(1)
    whole = {"core:sample_start": 0, "core:sample_count": N, "core:comment": "class=other"}
    write_sigmf(tmp_path, "one", iq, RATE, annotations=[whole, {"core:sample_start": 1000, "core:sample_count": 500},
                                                        {"core:sample_start": N - 1000, "core:sample_count": 500}])
    learned, back = load_own(tmp_path, "mine", 1024)
    assert (learned[0].recording.n_samples, back[0].recording.n_samples) == (N * 2 // 3, N - N * 2 // 3)
    assert learned[0].bursts == [(1000, 500)] and back[0].bursts == [(N - 1000 - N * 2 // 3, 500)]
    assert learned[0].label == back[0].label == "mine"


def test_the_new_row_finds_its_class_and_the_others_stay():
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.5]]), torch.zeros(3)  # two labels, a boundary
    label = torch.randint(0, 4, (2000,), generator=generator)  # 0, 1, the new class, the class that is no label
    place = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [-1.0, -1.0, -1.0]])[label]
    features = place + 0.1 * torch.randn(2000, 3, generator=generator)
    new, offset = fit_rows(torch.cat((weight[:2], -torch.ones(1, 3), weight[2:])), torch.zeros(4), features, label, 1)
    assert new.shape == (5, 3) and torch.equal(new[-1], weight[-1]) and offset[-1] == bias[-1]
    assert float(((features @ new[:4].T + offset[:4]).argmax(1) == label).float().mean()) > 0.99
    assert float((new[:2] - weight[:2]).norm()) < 4.0
