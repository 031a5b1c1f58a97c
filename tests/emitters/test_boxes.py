# SPDX-License-Identifier: GPL-3.0-or-later
"""The boxes of frames against plain loops, the compiled scores against NumPy, and the limits against noise."""

import math

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters import boxes
from gnuradio.spectrumencoder.emitters.boxes import HISTORY, LENGTHS, WIDTHS, Search, limits, step_of
from gnuradio.spectrumencoder.emitters.law import box_variance, upper_quantile
from gnuradio.spectrumencoder.tokens.tokenize import native_module

SPECTRA = 8.0


def noise(frames, n_bins, seed=0):
    """Rows (HISTORY + frames, N) of averaged noise over its expectation."""
    return np.random.default_rng(seed).gamma(SPECTRA, 1.0 / SPECTRA, (HISTORY + frames, n_bins)).astype(np.float32)


def limit_of(n_bins, log_probability=-9.0):
    return limits("blackmanharris", n_bins, SPECTRA, 0.01, log_probability).limit


def plain_boxes(rows, frame, width, length):
    """First bin and mean of each box that ends at a frame, by a loop."""
    part = rows[HISTORY + frame - length + 1:HISTORY + frame + 1].astype(np.float64)
    return [(low, part[:, low:low + width].mean()) for low in range(0, rows.shape[1] - width + 1, step_of(width))]


@pytest.fixture(params=["compiled", "numpy"])
def either(request, monkeypatch):
    """Runs a test with the compiled module and without it."""
    if request.param == "numpy":
        monkeypatch.setattr(boxes, "optional_native_module", lambda: None)


@pytest.mark.parametrize("n_bins", [7, 64, 100, 300])
def test_scores_and_boxes_equal_plain_loops(n_bins, either):
    """Tolerance: single precision of the rows' sums over frames."""
    rows = noise(10, n_bins)
    rows[HISTORY + 4, 3:6] *= 8.0  # a burst
    limit = limit_of(n_bins)
    search = Search(rows, limit)
    assert search.score.dtype == np.float32 and search.score.shape == (10,)
    for frame in (0, 4, 9):
        wanted = 0.0
        for j, length in enumerate(LENGTHS):
            found = []
            for i, width in enumerate(WIDTHS):
                over = [(low, width, (mean - 1.0) / (limit[i, j] - 1.0)) for low, mean in plain_boxes(rows, frame, width, length)]
                wanted = max([wanted] + [score for _, _, score in over])
                found += [box for box in over if box[2] > 1.0]
            exceeding = search.exceeding(frame, j)
            assert [box[:2] for box in exceeding] == [box[:2] for box in found]
            np.testing.assert_allclose([box[2] for box in exceeding], [box[2] for box in found], rtol=1e-6)
        assert search.score[frame] == pytest.approx(wanted, rel=1e-6)
        assert (frame == 4) == bool(search.exceeding(frame, 0))


def test_a_frame_that_has_found_exceeds_and_no_other_does(either):
    rows, limit = noise(400, 128), limit_of(128, -8.0)
    search = Search(rows, limit)
    found = [any(search.exceeding(frame, j) for j in range(len(LENGTHS))) for frame in range(400)]
    assert found == (search.score > 1.0).tolist()
    assert 0 < sum(found) < 400


@pytest.mark.parametrize("n_bins", [1, 7, 16, 100, 256, 1024])
@pytest.mark.parametrize("frames", [1, 2, 17])
def test_compiled_scores_have_the_bits_of_numpy(n_bins, frames):
    rows = noise(frames, n_bins)
    rows[:, :n_bins // 3] *= np.float32(30.0)
    sizes = np.array([(width, step_of(width)) for width in WIDTHS if width <= n_bins], np.uint32)
    limit = np.ascontiguousarray(limit_of(max(n_bins, 64))[:len(sizes)])
    native = native_module()
    np.testing.assert_array_equal(native.excess_scores(rows, sizes, limit), boxes.scores_numpy(rows, sizes, limit))
    assert (native.EXCESS_LENGTHS, native.EXCESS_HISTORY) == (len(LENGTHS), HISTORY)


def test_scores_do_not_depend_on_the_batch(either):
    rows, limit = noise(37, 250), limit_of(250)
    whole = Search(rows, limit).score
    for size in (1, 3, 16):
        parts = [Search(rows[first:first + HISTORY + size], limit).score for first in range(0, 37, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("what", [np.nan, np.inf])
def test_a_row_that_is_not_finite_gives_no_number_as_long_as_boxes_reach_it(what, either):
    rows = noise(20, 64)
    rows[HISTORY + 5, 63] = what
    score = Search(rows, limit_of(64)).score
    assert np.flatnonzero(np.isnan(score)).tolist() == list(range(5, 5 + LENGTHS[-1]))


def test_compiled_scores_refuse_what_does_not_fit():
    native, rows = native_module(), noise(2, 16)
    sizes, limit = np.array([[1, 1], [4, 1]], np.uint32), np.full((2, len(LENGTHS)), 2.0)
    native.excess_scores(rows, sizes, limit)
    for wrong, what in (((rows[:HISTORY - 1], sizes, limit), "rows"), ((rows[0], sizes, limit), "rows"),
                        ((rows, sizes[0], limit), "sizes"), ((rows, sizes, limit[:1]), "limits"),
                        ((rows, sizes, limit[:, :2].copy()), "limits"), ((rows, sizes * np.uint32(5), limit), "a box"),
                        ((rows, sizes * np.uint32(0), limit), "a box")):
        with pytest.raises(ValueError, match=f"{what} does not fit"):
            native.excess_scores(*wrong)
    with pytest.raises(TypeError):  # no silent conversion
        native.excess_scores(rows.astype(np.float64), sizes, limit)


def poisson_interval(mean, outside=1e-5):
    """Least and largest count that a Poisson variable does not leave but with this probability at each side."""
    total, low, count = 0.0, None, 0
    while total < 1.0 - outside:
        total += math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
        low = count if low is None and total >= outside else low
        count += 1
    return low, count - 1


def test_noise_exceeds_a_limit_as_often_as_stated():
    """200,000 frames of 256 bins of independent noise. Boxes that share no bin and no frame are counted for each size.

    The mean of independent gamma variables is a gamma variable: the law holds exactly. So limits are without MODEL_ERROR.
    """
    log_probability, frames, n_bins, chunk = -9.0, 200_000, 256, 8_000
    variance = np.array([[box_variance(width, length, SPECTRA, ()) for length in LENGTHS] for width in WIDTHS])
    limit = np.vectorize(lambda v: upper_quantile(v, log_probability))(variance)
    alone = {(0, 0): None, (4, 0): None}  # sizes whose boxes of a frame share no bin: only they are searched for
    for i, j in alone:
        alone[i, j] = np.full(limit.shape, np.inf)
        alone[i, j][i, j] = limit[i, j]
    counts, flagged = np.zeros(limit.shape, int), dict.fromkeys(alone, 0)
    rng = np.random.default_rng(5)
    for _ in range(frames // chunk):
        rows = rng.standard_gamma(SPECTRA, (chunk, n_bins), np.float32) / np.float32(SPECTRA)
        for j, length in enumerate(LENGTHS):
            mean = rows.reshape(-1, length, n_bins).mean(axis=1)
            for i, width in enumerate(WIDTHS):
                counts[i, j] += (mean.reshape(len(mean), -1, width).mean(axis=2) > limit[i, j]).sum()
        for size, only in alone.items():
            flagged[size] += int((Search(np.concatenate([rows[:HISTORY], rows]), only).score > 1.0).sum())
    probability = math.exp(log_probability)
    for i, width in enumerate(WIDTHS):
        for j, length in enumerate(LENGTHS):
            low, high = poisson_interval(probability * frames * n_bins / (width * length))
            assert low <= counts[i, j] <= high, (width, length, counts[i, j], low, high)
    for (i, _), count in flagged.items():
        in_frame = 1.0 - (1.0 - probability) ** (n_bins // WIDTHS[i])
        low, high = poisson_interval(frames * in_frame)
        assert low <= count <= high, (WIDTHS[i], count, low, high)
