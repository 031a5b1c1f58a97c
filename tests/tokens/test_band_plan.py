# SPDX-License-Identifier: GPL-3.0-or-later
"""The band plan: known services, the order of overlapping ranges, and agreement with the corpus."""

import pytest
from gnuradio.spectrumencoder.recordings import find_recordings, open_recording
from gnuradio.spectrumencoder.tokens.band_plan import BANDS, band_of, load_plan


@pytest.mark.parametrize(("mhz", "band"), [
    (433.92, "ism"), (868.3, "ism"), (915.0, "ism"), (2440.0, "ism"), (5800.0, "ism"),
    (796.0, "cellular"), (945.0, "cellular"), (1815.3, "cellular"), (2585.0, "cellular"), (5900.0, "cellular"),
    (1575.42, "gnss"), (1227.6, "gnss"), (1176.45, "gnss"), (1278.75, "gnss"), (1602.0, "gnss"),
    (1090.0, "aero"), (1030.0, "aero"), (118.1, "aero"), (978.0, "aero"),
    (0.0, "unknown"), (100.1, "unknown"), (453.0, "unknown"), (9400.0, "unknown"),
])
def test_services(mhz, band):
    assert band_of(mhz * 1e6) == band


def test_no_frequency_is_unknown():
    assert band_of(None) == "unknown"


def test_gnss_comes_before_aero():
    """L5 lies inside the aeronautical 960-1215 MHz."""
    assert band_of(1163.9e6) == "aero"
    assert band_of(1164.0e6) == "gnss"


def test_upper_edge_is_outside():
    assert band_of(2483.5e6 - 1) == "ism"
    assert band_of(2483.5e6) == "unknown"


def test_bad_plan_is_refused(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('[[range]]\nband = "radar"\nlow_mhz = 1.0\nhigh_mhz = 2.0\nwhat = ""\n')
    with pytest.raises(ValueError, match="radar"):
        load_plan(path)
    path.write_text('[[range]]\nband = "ism"\nlow_mhz = 3.0\nhigh_mhz = 2.0\nwhat = ""\n')
    with pytest.raises(ValueError, match="empty"):
        load_plan(path)


def test_agrees_with_the_corpus(corpus):
    """Recordings of the four families lie in their bands; those of the family "other" in none."""
    wrong = []
    for path in find_recordings(corpus):
        recording = open_recording(path)
        family = recording.annotations[0].comment.split("family=")[1].split(";")[0]
        if band_of(recording.frequency_hz) != (family if family in BANDS else "unknown"):
            wrong.append(recording.name)
    assert wrong == []
