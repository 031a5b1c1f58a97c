# SPDX-License-Identifier: GPL-3.0-or-later
"""The cubic spline is SciPy's."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector.spline import cubic_spline
from scipy.interpolate import CubicSpline


@pytest.mark.parametrize("count", [4, 5, 9, 16])
def test_spline_within_and_beyond_the_points(count):
    rng = np.random.default_rng(count)
    places, values = np.cumsum(rng.uniform(1, 60, count)), rng.normal(size=count)
    at = np.arange(-20.0, places[-1] + 20.0)
    found, wanted = cubic_spline(places, values, at), CubicSpline(places, values)(at)
    np.testing.assert_allclose(found, wanted, atol=1e-10 * np.abs(wanted).max())
    np.testing.assert_allclose(cubic_spline(places, values, places), values, atol=1e-12)


def test_too_few_points():
    with pytest.raises(ValueError, match="at least 4 points, not 3"):
        cubic_spline(np.arange(3.0), np.zeros(3), np.zeros(1))
