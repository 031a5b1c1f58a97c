# SPDX-License-Identifier: GPL-3.0-or-later
"""The program with the light set of packages alone: watching works, and what does not says which package to install."""

import json
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.extras import EXTRAS

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
DEMO = RECIPES.parent / "examples/recordings/demo_scene.sigmf-meta"
HIDDEN = sorted({module for packages in EXTRAS.values() for module in packages})


@pytest.fixture(scope="module")
def light(call, tmp_path_factory):
    """Runs the program as if no extra were installed: an import of one fails, a search finds nothing."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({HIDDEN}))\n")
    return lambda *arguments: call(*arguments, env={"PYTHONPATH": str(folder)})


@pytest.fixture(scope="module")
def band(write_sigmf, tmp_path_factory):
    """Noise, and noise with a tone in its second half: 1.3 s each at 1 MS/s."""
    folder, rng = tmp_path_factory.mktemp("band"), np.random.default_rng(5)
    quiet, loud = (0.01 * (rng.normal(size=1_310_720) + 1j * rng.normal(size=1_310_720)) for _ in range(2))
    half = len(loud) // 2
    loud[half:] += 0.01 * np.exp(2j * np.pi * 0.11 * np.arange(half))
    return write_sigmf(folder, "quiet", quiet), write_sigmf(folder, "loud", loud)


def test_watching_needs_no_extra(light, band, tmp_path):
    quiet, loud = band
    model, events, encoded = tmp_path / "band.safetensors", tmp_path / "events.jsonl", tmp_path / "loud.sxe"
    settings = "--detector", "boxes", "--average", 2
    done = light("calibrate", quiet, "--out", model, *settings)
    assert done.returncode == 0, done.stderr
    done = light("run", loud, "--model", model, *settings, "--events", events, "--encoded", encoded, "--annotate",
                 "--plot", tmp_path / "p.png", "--tracks", tmp_path / "tracks.jsonl")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in events.read_text().splitlines()]
    assert any(abs(event["freq_center_hz"] - (433.92e6 + 0.11e6)) < 3e3 for event in found), found
    assert (tmp_path / "p.png").stat().st_size > 10_000
    done = light("decode", encoded, "--model", model, "--json", tmp_path / "decoded.json")
    assert done.returncode == 0, done.stderr
    assert light("devices").returncode == 0


def test_doctor_is_content_and_names_what_is_absent(light):
    done = light("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    assert "absent PyTorch" in text and "pip install torch" in text and "missing" not in text
    assert "absent web for the page of --web run `pip install starlette uvicorn websockets`" in text


@pytest.mark.parametrize("arguments, package", [
    (("train", RECIPES / "train/fast.toml", "--corpus", ".", "--out", "out"), "torch"),
    (("run", RECIPES.parent / "examples/recordings", "--report", "out"), "pyarrow"),
    (("evaluate", "anomaly", "--quick", "--json", "a.json"), "scikit-learn"),
    (("run", DEMO, "--web"), "uvicorn"),
])
def test_a_command_that_needs_an_extra_names_it(light, the_line, arguments, package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = the_line(light(*arguments), 1)
    assert f"pip install {package}" in line and "docs/install.md" in line
