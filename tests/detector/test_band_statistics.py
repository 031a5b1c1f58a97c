# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of levels without a band's mean and components: against plain algebra, and the compiled module against NumPy."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector import band_statistics
from gnuradio.spectrumencoder.detector.band_statistics import BandStatistics
from gnuradio.spectrumencoder.tokens.tokenize import native_module


def band(n_bins, n_components, seed=0):
    rng = np.random.default_rng(seed)
    components = np.linalg.qr(rng.standard_normal((n_bins, n_components)))[0].T
    return BandStatistics(rng.standard_normal(n_bins), rng.uniform(0.5, 2, n_bins), components)


@pytest.mark.parametrize("n_components", [0, 1, 16])
@pytest.mark.parametrize("n_bins", [16, 33, 250, 1024])
def test_compiled_deviations_give_the_bits_of_numpy(n_bins, n_components, monkeypatch):
    levels = 5 * np.random.default_rng(1).standard_normal((9, n_bins)).astype(np.float32)
    one = band(n_bins, n_components)
    compiled = one.standardise(levels)
    monkeypatch.setattr(band_statistics, "optional_native_module", lambda: None)
    np.testing.assert_array_equal(one.standardise(levels), compiled)
    centred = levels.astype(np.float64) - one.mean
    components = one.components.astype(np.float64)
    wanted = (centred - centred @ components.T @ components) / one.std
    np.testing.assert_allclose(compiled, wanted, atol=2e-5)


def test_a_row_does_not_depend_on_its_neighbours():
    levels = np.random.default_rng(2).standard_normal((40, 250)).astype(np.float32)
    one = band(250, 7)
    whole = one.standardise(levels)
    np.testing.assert_array_equal(np.concatenate([one.standardise(levels[i:i + 3]) for i in range(0, 40, 3)]), whole)
    np.testing.assert_array_equal(one.standardise(levels[5]), whole[5])
    np.testing.assert_array_equal(one.standardise(np.asfortranarray(levels)), whole)


def test_what_does_not_fit_is_refused():
    native, one = native_module(), band(64, 3)
    assert native.PROJECTION_LANES == band_statistics.PROJECTION_LANES
    levels = np.zeros((2, 64), np.float32)
    assert native.standardise(levels, one.mean, one.std, one.components).shape == (2, 64)
    for number, name in ((1, "mean"), (2, "deviation"), (3, "components")):
        arguments = [levels, one.mean, one.std, one.components]
        arguments[number] = np.ascontiguousarray(arguments[number][..., :-1])
        with pytest.raises(ValueError, match=f"{name} does not fit"):
            native.standardise(*arguments)
    with pytest.raises(ValueError, match="spectra of 65 bins"):
        one.standardise(np.zeros((1, 65), np.float32))
