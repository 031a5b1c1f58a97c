# SPDX-License-Identifier: GPL-3.0-or-later
"""average=auto: what it chooses, and what it is not."""

import pytest
from gnuradio.spectrumencoder.tokens.average import AUTO_FRAMES_PER_S, auto_average, parse_average


@pytest.mark.parametrize("samp_rate, overlap, average", [
    (1e3, 0.0, 16), (2.4e6, 0.0, 16), (20e6, 0.0, 16), (20e6, 0.5, 32), (20.5e6, 0.0, 32), (61.44e6, 0.0, 64), (1e9, 0.0, 64)])
def test_by_the_sample_rate(samp_rate, overlap, average):
    assert auto_average(samp_rate, 1024, overlap, (1, 64)) == average
    if samp_rate < 1e9:
        assert samp_rate / round(1024 * (1 - overlap)) / average <= AUTO_FRAMES_PER_S


@pytest.mark.parametrize("average_range, average", [((1, 32), 32), ((1, 8), 8), ((48, 64), 64), ((1, 40), 40)])
def test_within_the_range_of_the_model(average_range, average):
    assert auto_average(1e9, 1024, 0.0, average_range) == average


def test_written_as_text():
    assert parse_average("auto") == "auto" and parse_average("1") == 1 and parse_average(64) == 64
    for wrong in ("0", "65", "16.0", "", "many", "-1", " 8", None):
        with pytest.raises(ValueError, match=r"neither a whole number of spectra in 1\.\.64 nor auto"):
            parse_average(wrong)
