# SPDX-License-Identifier: GPL-3.0-or-later
"""What is imported when: a command loads what it needs and nothing else, so that it starts at once and stays small."""

import pytest

HEAVY = ("numpy", "gnuradio.gr", "scipy", "torch", "matplotlib", "sigmf", "safetensors", "pyqtgraph", "PyQt5",
         "prometheus_client", "paho.mqtt", "apprise")


@pytest.fixture
def loaded(tmp_path, call):
    """Runs the program; which of some modules it had loaded in the end."""
    def run(modules, *arguments):
        (tmp_path / "sitecustomize.py").write_text(
            f"import atexit, sys\natexit.register(lambda: open({str(tmp_path / 'loaded')!r}, 'w').write("
            f"' '.join(m for m in {modules!r} if m in sys.modules)))\n")
        done = call(*arguments, env={"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        return (tmp_path / "loaded").read_text().split()
    return run


@pytest.mark.parametrize("arguments", [("--help",), *((name, "--help") for name in (
    "run", "view", "survey", "band", "report", "devices", "decode", "calibrate", "train", "evaluate", "bench", "dataset",
    "models", "hub", "push", "doctor"))], ids=" ".join)
def test_help_loads_nothing_heavy(loaded, arguments):
    assert loaded(HEAVY, *arguments) == []


@pytest.mark.parametrize("encoded", [False, True], ids=["run", "run --encoded"])
def test_run_needs_neither_torch_nor_scipy(loaded, write_sigmf, noise, model_file, tmp_path, encoded):
    recording = write_sigmf(tmp_path, "hiss", noise(60_000))
    options = ["--encoded", tmp_path / "hiss.sxe"] if encoded else []
    found = loaded((*HEAVY, "gnuradio.spectrumencoder.encoder.quantise", "gnuradio.spectrumencoder.cli.bench"), "run", recording,
                   "--model", model_file, *options)
    assert found == ["numpy", "gnuradio.gr", *(["gnuradio.spectrumencoder.encoder.quantise"] if encoded else [])]


def test_decode_needs_no_gnu_radio(loaded, call, write_sigmf, noise, model_file, tmp_path):
    recording, encoded = write_sigmf(tmp_path, "hiss", noise(60_000)), tmp_path / "hiss.sxe"
    assert call("run", recording, "--model", model_file, "--encoded", encoded).returncode == 0
    assert loaded(HEAVY, "decode", encoded, "--model", model_file) == ["numpy"]
