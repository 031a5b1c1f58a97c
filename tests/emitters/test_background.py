# SPDX-License-Identifier: GPL-3.0-or-later
"""The background's gain, expectation and excess: the compiled module against NumPy, and both against the definition."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters import background as module
from gnuradio.spectrumencoder.emitters.background import (
    BUSY,
    Background,
    common_gains_numpy,
    noise_excess_numpy,
)
from gnuradio.spectrumencoder.tokens.tokenize import native_module

SPECTRA = 16.0


def frames_of(level_db, frames, seed=0):
    """Noise of this level (N,) dBFS, averaged over SPECTRA spectra: (frames, N) dBFS."""
    rng = np.random.default_rng(seed)
    return (level_db + 10.0 * np.log10(rng.gamma(SPECTRA, 1.0 / SPECTRA, (frames, len(level_db))))).astype(np.float32)


def rounded_db(gain_db, n_bins=256):
    """Expected power (N,) dBFS of a band whose receiver adds rounding of -100 dBFS to noise of -90 at most, after a filter."""
    noise = 1e-9 * 10.0 ** (-0.1 * np.maximum(np.abs(np.arange(n_bins) - n_bins / 2) - 100.0, 0.0)) * 10.0 ** (0.1 * gain_db)
    return 10.0 * np.log10(noise + 1e-10)


def begun(level_db, seed=1):
    background = Background(len(level_db), SPECTRA)
    background.begin(frames_of(level_db, 64, seed))
    return background


@pytest.fixture(params=["compiled", "numpy"])
def either(request, monkeypatch):
    """Runs a test with the compiled module and without it."""
    if request.param == "numpy":
        monkeypatch.setattr(module, "optional_native_module", lambda: None)


def test_gain_is_common_and_ignores_what_is_new(either):
    level = np.full(512, -95.0)
    background, psd = begun(level), frames_of(level, 200)
    psd += np.linspace(-2.0, 2.0, 200, dtype=np.float32)[:, None]
    psd[:, 100:180] += np.float32(20.0)
    gains = background.gains_db(psd)
    assert gains.dtype == np.float32
    # a bin varies by sigma_db; what of its own error the background has is common to all frames
    error = gains - np.linspace(-2.0, 2.0, 200)
    assert abs(error.mean()) < 0.03 and error.std() < 1.5 * background.sigma_db / np.sqrt(432)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 100, 101, 1000])
def test_compiled_gains_have_the_bits_of_numpy(count):
    """Sums of levels in dB are exact in double precision, so their order does not matter."""
    rng = np.random.default_rng(count)
    mean = rng.normal(-95, 2, 1024).astype(np.float32)
    psd = frames_of(mean, 11, count)
    psd[3] += rng.normal(0, 9, 1024).astype(np.float32)
    psd[4] = mean  # every bin at its mean
    reference = np.sort(rng.permutation(1024)[:count]).astype(np.uint32)
    compiled = native_module().common_gains(psd, mean, reference, 3.0)
    np.testing.assert_array_equal(compiled, common_gains_numpy(psd, mean, reference, 3.0))
    assert compiled[4] == 0.0


@pytest.mark.parametrize("what", [np.nan, np.inf, -np.inf])
def test_a_frame_that_is_not_finite_has_no_gain_and_no_number_as_excess(what, either):
    level = np.full(64, -90.0)
    background, psd = begun(level), frames_of(level, 3)
    psd[1, 7] = what
    gains, fresh = background.gains_db(psd), np.empty_like(psd)
    ratio = background.excess(psd, gains, np.ones(64, np.float32), fresh)
    for values in (gains[:, None], ratio, fresh):
        assert np.isfinite(values[[0, 2]]).all() and np.isnan(values[1]).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 16), (32, 100), (33, 1024), (40, 7)])
def test_compiled_medians_are_those_of_numpy(shape):
    rng = np.random.default_rng(shape)
    for values in (rng.normal(0, 3, shape), rng.normal(-90, 3, shape), rng.integers(-2, 3, shape)):
        values = values.astype(np.float32)
        np.testing.assert_array_equal(native_module().column_medians(values), np.median(values, axis=0))
    values[-1, 0] = np.nan
    medians = native_module().column_medians(values)
    assert np.isnan(medians[0]) and np.isfinite(medians[1:]).all()


def test_excess_is_power_over_expectation_less_what_is_allowed(either):
    """Tolerance: the level over the mean less the gain is rounded to 5e-7 dB, 1e-7 of a power; the power itself to 2e-7."""
    level = np.full(250, -90.0)
    background, psd = begun(level), frames_of(level, 20)
    allowed = np.ones(250, np.float32)
    allowed[40], allowed[50:60], allowed[70:80] = 1.04, 1.2, 2.0
    fresh, gains = np.empty_like(psd), background.gains_db(psd)
    ratio = background.excess(psd, gains, allowed, fresh)
    wanted = 10.0 ** (0.1 * (psd.astype(np.float64) - background.mean_db - gains[:, None]))
    np.testing.assert_allclose(ratio, wanted, rtol=6e-7)
    np.testing.assert_array_equal(fresh, np.where(allowed <= BUSY, ratio, np.where(ratio <= allowed, 1.0, ratio / allowed)))
    assert (fresh[:, 50:60] == 1.0).any() and (fresh[:, 50:60] > 1.0).any() and (fresh[:, 40] < 1.0).any()


def test_rounding_does_not_follow_the_gain(either):
    """A receiver turned down by 6 dB: the filter's stop band, where only rounding is left, stays where it was."""
    background, psd = begun(rounded_db(0.0)), frames_of(rounded_db(-6.0), 400)
    gains = background.gains_db(psd)
    expected = background.expected_db(gains)
    assert np.all(gains < -3.0)
    stop = np.abs(np.arange(256) - 128) > 120
    assert np.abs(expected[:, stop].mean(axis=0) - rounded_db(-6.0)[stop]).max() < 0.6
    fresh = np.empty_like(psd)
    ratio = background.excess(psd, gains, np.ones(256, np.float32), fresh)
    # an expectation near -100 dBFS is rounded to 8e-6 dB, 2e-6 of a power, and its logarithm as much
    np.testing.assert_allclose(ratio, 10.0 ** (0.1 * (psd - expected).astype(np.float64)), rtol=6e-6)
    assert 0.8 < ratio[:, stop].mean() < 1.15


@pytest.mark.parametrize("n_bins", [16, 100, 1024])
@pytest.mark.parametrize("gain_db", [0.0, -0.3, -6.0])
def test_compiled_excess_has_the_bits_of_numpy(n_bins, gain_db):
    background, psd = begun(rounded_db(0.0, n_bins)), frames_of(rounded_db(gain_db, n_bins), 9)
    psd[2, :5] = -300.0, 300.0, -200.0, 0.0, 30.0  # beyond what single precision holds
    gains = np.linspace(gain_db - 0.2, gain_db + 0.2, 9, dtype=np.float32)  # some frames are low, others not
    allowed = np.random.default_rng(3).uniform(0.9, 3.0, n_bins).astype(np.float32)
    given = (psd, gains, background.mean_db, *background._rounding(gains), allowed, BUSY)
    results = np.empty((2, 2) + psd.shape, np.float32)
    native_module().noise_excess(*given, *results[0])
    noise_excess_numpy(*given, *results[1])
    np.testing.assert_array_equal(results[0], results[1])


def test_results_do_not_depend_on_the_batch(either):
    background, psd = begun(rounded_db(0.0)), frames_of(rounded_db(-0.1), 40)
    allowed = np.full(256, 1.5, np.float32)

    def run(size):
        parts = []
        for first in range(0, 40, size):
            part = psd[first:first + size]
            gains, fresh = background.gains_db(part), np.empty_like(part)
            ratio = background.excess(part, gains, allowed, fresh)
            parts.append(np.concatenate([gains[:, None], ratio, fresh, background.expected_db(gains)], axis=1))
        return np.concatenate(parts)
    whole = run(40)
    for size in (1, 3, 16):
        np.testing.assert_array_equal(run(size), whole)


def test_expectation_of_a_background_that_has_moved_is_made_anew(either):
    background = begun(rounded_db(0.0))
    low = np.full(1, -6.0, np.float32)
    before = background.expected_db(low)
    background.follow(frames_of(rounded_db(0.0) + 3.0, 32), 1000.0)
    np.testing.assert_allclose(background.expected_db(low) - before, 3.0, atol=1.5)


def test_compiled_functions_refuse_what_does_not_fit():
    native = native_module()
    psd, mean, reference = np.zeros((3, 16), np.float32), np.zeros(16, np.float32), np.arange(4, dtype=np.uint32)
    native.common_gains(psd, mean, reference, 1.0)
    for wrong, what in (((psd[0], mean, reference), "psd"), ((psd, mean[:5], reference), "mean"),
                        ((psd, mean, reference + np.uint32(13)), "reference")):
        with pytest.raises(ValueError, match=f"{what} does not fit"):
            native.common_gains(*wrong, 1.0)
    good = dict(psd=psd, gains=np.zeros(3, np.float32), mean=mean, share=mean, parts=np.zeros((3, 2), np.float32), allowed=mean,
                busy=1.0, ratio=np.empty_like(psd), fresh=np.empty_like(psd))
    native.noise_excess(**good)
    for name, value, what in (("gains", mean, "gains"), ("mean", mean[:3], "mean or allowed"),
                              ("share", mean[:3], "share or parts"), ("allowed", mean[:3], "mean or allowed"),
                              ("parts", psd, "share or parts"), ("ratio", psd[:2], "ratio or fresh"),
                              ("fresh", psd[:2], "ratio or fresh"), ("psd", mean, "psd")):
        with pytest.raises(ValueError, match=f"{what} does not fit"):
            native.noise_excess(**good | {name: value})
    with pytest.raises(ValueError, match="values does not fit"):
        native.column_medians(psd[:0])
    with pytest.raises(TypeError):  # no silent conversion
        native.column_medians(psd.astype(np.float64))
