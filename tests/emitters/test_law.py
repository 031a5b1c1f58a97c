# SPDX-License-Identifier: GPL-3.0-or-later
"""The law of averaged noise against SciPy, against simulated samples, and against hours of simulated frames."""

import math

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector.detector import window_taps
from gnuradio.spectrumencoder.emitters.law import bin_correlation, box_variance, independent_share, log_exceeds, upper_quantile
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from streams import CONTRACT, FLOOR_DB, K, N, features_of, segment_of

scipy_stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0, 16.0, 250.0, 4000.0, 3e5])
@pytest.mark.parametrize("log_p", [-3.0, -9.0, -25.0, -60.0, -300.0])
def test_upper_quantile_is_that_of_the_gamma_distribution(shape, log_p):
    value = upper_quantile(1.0 / shape, log_p)
    assert value > 1.0
    assert scipy_stats.gamma.logsf(value, shape, scale=1.0 / shape) == pytest.approx(log_p, rel=1e-6)
    assert log_exceeds(shape, value) == pytest.approx(log_p, rel=1e-9)


def spectra_of(rng, count, n_bins, hop, window):
    """Powers (count, n_bins) of windowed spectra of complex Gaussian noise of power 1, `hop` samples apart."""
    samples = (rng.standard_normal((2, (count - 1) * hop + n_bins)) * math.sqrt(0.5)).astype(np.float32)
    samples = samples[0] + 1j * samples[1]
    taps = window_taps(window, n_bins)
    pieces = np.lib.stride_tricks.sliding_window_view(samples, n_bins)[::hop] * (taps / math.sqrt((taps**2).sum()))
    return np.abs(np.fft.fft(pieces, axis=1)) ** 2


@pytest.mark.parametrize("window", ["blackmanharris", "hann", "rectangular"])
def test_bin_correlation_is_that_of_windowed_noise(window):
    """Tolerance: five standard errors of a correlation of this many pairs."""
    powers = spectra_of(np.random.default_rng(1), 4000, 64, 64, window) - 1.0
    given = bin_correlation(window, 64)
    assert len(given) == 31 and all(-1e-12 <= c < 1.0 for c in given)
    for lag in (1, 2, 3, 4, 8):
        found = (powers * np.roll(powers, lag, axis=1)).mean() / (powers**2).mean()
        assert found == pytest.approx(given[lag - 1], abs=5.0 / math.sqrt(powers.size / 3))
    for width in (1, 4, 16):
        mean = np.lib.stride_tricks.sliding_window_view(powers, width, axis=1)[:, ::width].mean(axis=2)
        assert mean.var() == pytest.approx(box_variance(width, 1, 1.0, given), rel=0.06)


@pytest.mark.parametrize("window", ["blackmanharris", "hann"])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
@pytest.mark.parametrize("average", [1, 4, 16])
def test_independent_share_is_that_of_overlapping_spectra(window, overlap, average):
    """The variance of a frame's bin is 1 over the number of independent spectra. Tolerance: five standard errors, about."""
    n_bins, frames = 64, 1500
    hop = round(n_bins * (1.0 - overlap))
    powers = spectra_of(np.random.default_rng(2), frames * average, n_bins, hop, window)
    variance = powers.reshape(frames, average, n_bins).mean(axis=1).var()
    share = independent_share(window, n_bins, hop, average)
    assert 0.0 < share <= 1.0 and (share == 1.0) == (overlap == 0.0 or average == 1)
    assert variance == pytest.approx(1.0 / (average * share), rel=0.08)


@pytest.mark.parametrize("frames", [200_000, pytest.param(2_000_000, marks=pytest.mark.soak)])
def test_hours_of_noise_give_no_alert(frames):
    """1.1 hours, or 11, at 50 frames/s, whose gain drifts by 0.5 dB. One alert an hour is allowed, noise may cause a tenth.

    The frames are drawn from a pool, in another order each time, with their bins turned and mirrored.
    """
    rng = np.random.default_rng(4)
    pool = (10.0 * np.log10(rng.gamma(K, 1.0 / K, (4096, N))) + FLOOR_DB).astype(np.float32)
    detector = EmitterDetector(CONTRACT, learn_s=20.0)
    segment, batch, frame, alerts, flagged = segment_of(), 8192, 0, 0, 0
    features, residual = features_of(batch), np.zeros((batch, N), np.float32)
    while frame < frames:
        turn = int(rng.integers(N))
        rows = np.concatenate([pool[rng.permutation(len(pool))][:, ::step] for step in (1, -1)])
        psd = np.roll(rows, turn, axis=1)
        psd += (0.25 * np.sin((frame + np.arange(batch)) / 50_000.0)).astype(np.float32)[:, None]
        result = detector.process(psd, residual, features, (frame + np.arange(batch)) * 4096, segment)
        alerts += sum(e.fields["state"] == "open" for e in result.emitted)
        flagged += int(result.flagged.sum())
        frame += batch
    assert not detector.learning
    assert alerts == 0 and flagged <= 6 and not detector.registry.emitters
