# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the command line share: calling the program, small recordings, a model that knows the demo's band."""

import json
import os
import re
import subprocess
from importlib.util import find_spec

import numpy as np
import pytest


@pytest.fixture(scope="session")
def call(program):
    """Runs the program; returns the finished process with stdout and stderr as text."""
    def run(*arguments, **settings):
        environment = {**os.environ, "SPECTRUMENCODER_DEBUG": "", "COLUMNS": "100", **settings.pop("env", {})}
        done = subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, timeout=100,
                              env=environment, **settings)
        missing = re.search(r"this needs the package (\w+), which is not installed", done.stderr)
        if missing and find_spec(missing[1]) is None:
            pytest.skip(done.stderr.strip())
        return done
    return run


@pytest.fixture(scope="session")
def the_line():
    """Asserts the exit status and that stderr is one line of error, which it returns."""
    def check(done, status):
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stderr
    return check


@pytest.fixture(scope="session")
def noise():
    """White noise, complex64 (n,), -37 dBFS, the same every time."""
    def make(n_samples):
        rng = np.random.default_rng(1)
        return (0.01 * (rng.normal(size=n_samples) + 1j * rng.normal(size=n_samples))).astype(np.complex64)
    return make


@pytest.fixture(scope="session")
def band_model(call, model_file, demo_scene, tmp_path_factory):
    """The shipped model, calibrated for the detector "boxes" on a clean recording of the demo scene's band."""
    folder = tmp_path_factory.mktemp("band")
    seed = json.loads(demo_scene.with_suffix(".truth.json").read_text())["seed"]
    for arguments in (["dataset", "synth", "--out", folder / "clean", "--seed", seed, "--noise-seed", 1001,
                       "--anomaly", "none", "--seconds", 20],
                      ["calibrate", folder / "clean.sigmf-meta", "--detector", "boxes", "--model", model_file,
                       "--out", folder / "model.safetensors"]):
        done = call(*arguments)
        assert done.returncode == 0, done.stderr
    return folder / "model.safetensors"
