# SPDX-License-Identifier: GPL-3.0-or-later
"""The clairvoyant bound: the reach of a detector that knows everything except whether the anomaly is there.

It knows the anomaly's bins, frames and level and the clean mean spectrum. Its statistic is the logarithm of the likelihood
ratio (Neyman and Pearson; Kay, Detection Theory, 1998, section 5.3). The mean x of K periodogram bins of a Gaussian process of
mean power mu is gamma distributed with shape K and mean mu. For a change mu -> mu + a of one bin of one frame

    log LR = K x (1 / mu - 1 / (mu + a)) - K log((mu + a) / mu)

The statistic is its sum over the bins and frames of the anomaly. Let r = a / mu and G = x / E[x]. Without constants the
statistic is the sum of r / (1 + r) G if the window is clean, and of r G if it holds the anomaly. Both are sums of gamma
variables. Their distribution is taken to be the shifted gamma of the same mean, variance and skewness (exact if all r are the
same).

Assumptions:

* Signals, noise and anomaly are Gaussian and stationary within a frame. A carrier fluctuates less than that. Traffic that
  comes and goes fluctuates more: then the clean frames are harder to separate from the anomaly, and no detector may reach the
  bound.
* The clean mean spectrum is that of the window itself, the mean of its 16 clean frames.
* Neighbouring bins are correlated by the analysis window: a sum over bins varies c = N sum w^4 / (sum w^2)^2 times as much as
  with independent ones, so that each bin counts with shape K / c.
* It sees the averaged spectrum only, as the baselines do. The model also sees the max-hold, which says more about short
  pulses.
* It looks at one place, so that it pays nothing for the search.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import get_window
from scipy.special import gammainccinv
from scipy.stats import gamma, norm

_MIN_CHANGE = 1e-3  # of a bin that counts, over the largest one
_MAX_TAKEN = 0.99  # of a bin's power


def likelihood_ratio_pd(clean: np.ndarray, change: np.ndarray, average: int, false_alarm_rate: float,
                        correlation: float = 1.0) -> float:
    """Probability of detection of the likelihood-ratio detector.

    Args:
        clean: (N,) or (F, N) mean linear power. change: (F, N) what the anomaly adds to it, negative where it takes away.
        average: K. false_alarm_rate: of the window. correlation: c, see the module.
    """
    ratio = np.maximum(change / clean, -_MAX_TAKEN)
    size = np.abs(ratio)
    ratio = ratio[size > _MIN_CHANGE * size.max()]
    if not ratio.size:
        return float(false_alarm_rate)
    shape = average / correlation
    threshold = _ShiftedGamma(ratio / (1.0 + ratio), shape).upper_quantile(false_alarm_rate)
    return _ShiftedGamma(ratio, shape).exceeds(threshold)


def inr_for_half(clean: np.ndarray, change: np.ndarray, inr_db: float, average: int, false_alarm_rate: float,
                 correlation: float = 1.0) -> float:
    """The INR in dB at which an anomaly of this shape would be detected half of the time; `inr_db` is what `change` has."""
    low, high = -60.0, 60.0
    while high - low > 0.05:
        gain = 0.5 * (low + high)
        if likelihood_ratio_pd(clean, change * 10.0 ** (gain / 10.0), average, false_alarm_rate, correlation) < 0.5:
            low = gain
        else:
            high = gain
    return inr_db + high


def bin_correlation(window: str, n_bins: int) -> float:
    """c = N sum w^4 / (sum w^2)^2: the sum over all lags of the squared correlation between bins, for white noise."""
    taps = get_window({"rectangular": "boxcar"}.get(window, window), n_bins)
    return float(n_bins * np.sum(taps**4) / np.sum(taps**2) ** 2)


class _ShiftedGamma:
    """The distribution of sum of weights w times gamma variables of this shape and mean 1, by its first three cumulants."""

    def __init__(self, weights: np.ndarray, shape: float):
        self.mean, self.std = weights.sum(), np.sqrt(np.sum(weights**2) / shape)
        self.skewness = 2.0 * np.sum(weights**3) / shape**2 / self.std**3

    def upper_quantile(self, share: float) -> float:
        """The value that this share exceeds."""
        if abs(self.skewness) < 1e-4:
            return self.mean + self.std * norm.isf(share)
        shape = 4.0 / self.skewness**2
        value = gammainccinv(shape, share if self.skewness > 0 else 1.0 - share)
        return self.mean + np.sign(self.skewness) * self.std * (value - shape) / np.sqrt(shape)

    def exceeds(self, value: float) -> float:
        """Probability of more than this value."""
        standard = (value - self.mean) / self.std
        if abs(self.skewness) < 1e-4:
            return float(norm.sf(standard))
        shape = 4.0 / self.skewness**2
        place = shape + np.sign(self.skewness) * standard * np.sqrt(shape)
        return float(gamma.sf(place, shape) if self.skewness > 0 else gamma.cdf(place, shape))
