# SPDX-License-Identifier: GPL-3.0-or-later
"""extras.py names what the requirements files of the extras hold."""

import re
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.extras import EXTRAS, how_to_get

ROOT = Path(__file__).resolve().parent.parent
FROM_THE_DISTRIBUTION = {"PyQt5"}  # GNU Radio's own is used


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_requirements_of_an_extra_are_those_that_are_named(extra):
    lines = (ROOT / f"requirements-{extra}.txt").read_text().splitlines()
    wanted = {re.split(r"[<>=!~ ]", line)[0] for line in lines if line and not line.startswith("#")}
    assert wanted == set(EXTRAS[extra].values()) - FROM_THE_DISTRIBUTION


def test_what_runs_a_band_is_of_no_extra():
    light = (ROOT / "requirements.txt").read_text()
    for packages in EXTRAS.values():
        assert not any(re.search(rf"^{name}\b", light, re.MULTILINE) for name in packages.values())
    assert how_to_get("numpy") is None and "pip install scikit-learn" in how_to_get("sklearn")
