# SPDX-License-Identifier: GPL-3.0-or-later
"""models, doctor, evaluate classify and train as a user calls them."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.extras import EXTRAS
from gnuradio.spectrumencoder.session.checks import examine
from gnuradio.spectrumencoder.version import VERSION
from small_models import write_small_model

FIGURES = ("balanced_accuracy", "accuracy", "recording_accuracy", "per_class", "confusion", "interval", "n_frames",
           "n_recordings", "dropout_rate", "tokens_kept")


def test_the_version_is_one_line(call):
    done = call("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"spectrumencoder {VERSION}\n", "")


def test_models_says_what_a_file_holds(call, model_file, tmp_path):
    done = call("models", model_file, "--json", tmp_path / "m.json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "m.json").read_text())
    assert row["backends"]["naive"] == row["backends"]["flash"] and "dynamic" in row["backends"]["flash"]
    assert row["name"] == "base" and row["frame"]["fft_size"] == 1024 and row["steps"] > 0 and row["labels"]
    assert all(label in done.stdout for label in row["labels"]) and "softmax" not in done.stdout and "RoPE" not in done.stdout
    verbose = call("models", model_file, "--verbose").stdout
    assert all(variant in verbose for variant in row["variants"])


@pytest.mark.parametrize(("head", "words"), [(True, "yes: a label for each signal"), (False, "no: a label for the whole band")])
def test_models_says_whether_tokens_have_classes(call, tmp_path, head, words):
    path = write_small_model(tmp_path / "m.safetensors", "m", 1, token_classes=head)
    done = call("models", path, "--json", tmp_path / "m.json")
    assert words in done.stdout and json.loads((tmp_path / "m.json").read_text())[0]["token_classes"] is head


def test_models_without_any(call, the_line, tmp_path):
    assert "gigantic" in the_line(call("models", "gigantic"), 1)


def test_doctor_finds_everything_that_is_needed(call):
    done = call("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("GNU Radio", "NumPy", "PyTorch", "C++ tokenizer", "model base"):
        assert part in done.stdout
    rows = {words[1]: words[0] for line in done.stdout.splitlines() if len(words := line.split()) > 1}
    for extra, packages in EXTRAS.items():
        if extra not in ("train", "display", "experiments"):  # PyTorch and display have lines of their own
            assert rows[extra] == ("ok" if all(map(find_spec, packages)) else "absent"), done.stdout
    assert "missing" not in done.stdout and "SDPA" not in done.stdout
    done = call("doctor", "--verbose")
    for backend in ("flash", "latent_naive", "mhla"):
        assert backend in done.stdout
    assert "PyTorch's SDPA flash kernel" in " ".join(done.stdout.split())


def test_everything_that_doctor_looks_at_is_in_the_troubleshooting_page():
    page = (Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md").read_text()
    lines = page[page.index("## Lines of doctor"):page.index("## It runs, but")]
    names = ",".join(re.findall(r"^\* \*\*(.+?)\*\*", lines, flags=re.MULTILINE))
    described = {name.strip() for name in names.split(",")}
    assert {finding.part for finding in examine()} <= described


def test_doctor_names_what_is_missing_and_the_cure(call, tmp_path):
    (tmp_path / "base.safetensors").write_bytes(b"no model")
    done = call("doctor", env={"SPECTRUMENCODER_MODELS": str(tmp_path)})
    assert done.returncode == 1
    assert "model base" in done.stderr and "truncated" in done.stdout


def test_evaluate_classify_writes_every_figure(call, corpus, model_file, tmp_path):
    names = ["gnss_GPS-L1_02_d0858b5a", "cellular_LTE_02_b22be059", "other_noise-only_02_422c3214"]
    for name in names:
        for suffix in (".sigmf-meta", ".sigmf-data"):
            (tmp_path / f"{name}{suffix}").symlink_to(corpus / f"{name}{suffix}")
    done = call("evaluate", "classify", "--corpus", tmp_path, "--model", model_file, "--include-trained",
                "--json", tmp_path / "f.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "f.json").read_text())
    assert set(FIGURES) <= set(figures) and figures["tokens_kept"] == 96
    assert {"LTE", "GNSS", "noise"} <= set(figures["per_class"])
    assert "balanced accuracy" in done.stdout


def test_train_refuses_what_it_cannot_read(call, the_line, tmp_path):
    config = tmp_path / "c.toml"
    arguments = ["train", config, "--corpus", tmp_path, "--out", tmp_path / "run"]
    assert "cannot read" in the_line(call(*arguments), 1)
    config.write_text("[training\n")
    assert "TOML" in the_line(call(*arguments), 1)
    config.write_text("[training]\nspeed = 9\n")
    assert "speed" in the_line(call(*arguments), 1)
    config.write_text("")
    assert "nowhere" in the_line(call("train", config, "--corpus", tmp_path / "nowhere", "--out", tmp_path / "run"), 1)
