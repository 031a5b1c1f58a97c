# SPDX-License-Identifier: GPL-3.0-or-later
"""Maxima of moving sums against plain loops; batches do not matter."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector import windows


def naive_maxima(row):
    values = []
    for sign, scale in windows.WINDOWS.values():
        values.append(max(sign * sum(map(float, row[i:i + scale])) / scale**0.5 for i in range(len(row) - scale + 1)))
    return values


def test_residual_maxima_equal_plain_loops():
    residual = np.random.default_rng(0).standard_normal((7, 200)).astype(np.float32)
    np.testing.assert_allclose(windows.residual_maxima(residual), [naive_maxima(row) for row in residual], rtol=1e-5)


def test_residual_maxima_of_fewer_bins_than_the_largest_scale():
    residual = np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)
    values = windows.residual_maxima(residual)
    np.testing.assert_allclose(values[:, 3], residual.sum(axis=1) / np.sqrt(32), rtol=1e-5)


@pytest.mark.parametrize("n_bins", [1, 7, 32, 1024])
def test_compiled_maxima_give_the_bits_of_numpy(n_bins):
    residual = np.random.default_rng(3).standard_normal((9, n_bins)).astype(np.float32)
    assert np.array_equal(windows.residual_maxima(residual), windows.residual_maxima_numpy(residual))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_maxima_of_what_is_not_finite_are_not(wrong):
    residual = np.zeros((3, 64), np.float32)
    residual[1, 20] = wrong
    finite = np.isfinite(windows.residual_maxima(residual))
    assert finite[[0, 2]].all() and not finite[1].all()


@pytest.mark.parametrize("batch", [1, 3, 257])
def test_maxima_do_not_depend_on_batches(batch):
    residual = np.random.default_rng(1).standard_normal((600, 1024)).astype(np.float32)
    parts = [windows.residual_maxima(residual[i:i + batch]) for i in range(0, 600, batch)]
    np.testing.assert_array_equal(np.concatenate(parts), windows.residual_maxima(residual))


def test_each_scale_sees_the_width_it_is_made_for():
    rng = np.random.default_rng(2)
    normal = windows.residual_maxima(rng.standard_normal((2000, 1024)).astype(np.float32))
    median, spread = np.median(normal, axis=0), np.quantile(normal, 0.99, axis=0) - np.median(normal, axis=0)
    for column, scale in enumerate(windows.SCALES):
        residual = rng.standard_normal((200, 1024)).astype(np.float32)
        residual[:, 500:500 + scale] += 8 / np.sqrt(scale)
        standard = (windows.residual_maxima(residual) - median) / spread
        assert np.argmax(standard.mean(axis=0)) == column
