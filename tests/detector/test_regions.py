# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in frequency: widths and centres on synthetic residuals."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector import regions
from gnuradio.spectrumencoder.detector.windows import WINDOWS, residual_maxima

N = 1024


def white(seed, count=1):
    return np.random.default_rng(seed).standard_normal((count, N)).astype(np.float32)


@pytest.fixture(scope="module")
def normalisers():
    values = residual_maxima(white(0, 4000))
    median = np.median(values, axis=0)
    spread = np.quantile(values, 0.99, axis=0) - median
    return {name: (float(m), float(s)) for name, m, s in zip(WINDOWS, median, spread, strict=True)}


@pytest.mark.parametrize("width", [1, 3, 8, 20, 50, 100, 300])
@pytest.mark.parametrize("seed", range(5))
def test_edges_of_a_signal_15_db_over_the_floor(normalisers, width, seed):
    residual, low = white(seed + 10)[0], 400 + 7 * seed
    residual[low:low + width] += 15 / 1.1  # K = 16: a bin's deviation is 1.1 dB
    found = regions.find_regions(residual, normalisers, 1.5)
    assert found[0].kind == regions.EXCESS
    assert abs(found[0].low - low) <= 1
    assert abs(found[0].high - (low + width - 1)) <= 1


def test_a_weak_wide_signal_is_found_by_a_large_scale(normalisers):
    residual = white(30)[0]
    residual[300:364] += 1.5
    found = regions.find_regions(residual, normalisers, 1.5)
    assert found[0].channel == "residual_64"
    assert abs((found[0].low + found[0].high) / 2 - 331.5) <= 16


def test_two_signals_are_two_regions(normalisers):
    residual = white(31)[0]
    residual[100:110] += 12
    residual[700] += 15
    found = sorted(regions.find_regions(residual, normalisers, 1.5), key=lambda r: r.low)
    assert [(r.low, r.high) for r in found] == [(100, 109), (700, 700)]


def test_what_is_missing_is_of_another_kind(normalisers):
    residual = white(32)[0]
    residual[500:540] -= 5
    found = regions.find_regions(residual, normalisers, 1.5)
    assert [r.kind for r in found] == [regions.MISSING]
    assert abs(found[0].low - 500) <= 3
    assert abs(found[0].high - 539) <= 3


def test_nothing_in_noise_beyond_the_threshold(normalisers):
    assert not regions.find_regions(white(33)[0], normalisers, 4.0)


def test_no_more_than_the_largest_number(normalisers):
    residual = white(34)[0]
    residual[20::40] += 30
    found = regions.find_regions(residual, normalisers, 1.5)
    assert len(found) == regions.MAX_REGIONS
    assert len({r.low for r in found}) == regions.MAX_REGIONS


@pytest.mark.parametrize("low", [0, N - 5])
def test_at_the_edges_of_the_band(normalisers, low):
    residual = white(35)[0]
    residual[low:low + 5] += 15
    found = regions.find_regions(residual, normalisers, 1.5)
    assert (found[0].low, found[0].high) == (low, low + 4)


def test_strongest_excess_whatever_its_score(normalisers):
    residual = np.zeros(N, np.float32)
    residual[77] = 2.0
    region = regions.strongest_excess(residual, normalisers, 3.5, "head")
    assert (region.low, region.high, region.score, region.channel) == (77, 77, 3.5, "head")
    regions.strongest_excess(np.zeros(N, np.float32), normalisers, 1.0, "head")  # a flat residual has a place too
