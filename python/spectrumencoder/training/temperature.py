# SPDX-License-Identifier: GPL-3.0-or-later
"""Temperature of the class softmax (Guo et al., arXiv:1706.04599): fitted by likelihood, judged on frames not used for the fit.

The frames are split into two halves by recording, so no recording is in both. The split is made within each class, so both halves
hold every class with two or more recordings. Each half is judged with the other half's temperature. The model's temperature is
fitted on both halves.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

LOG_SCALES = torch.linspace(-1.5, 1.5, 121)
BINS = 15


class Calibration(NamedTuple):
    """A fitted temperature with its calibration errors.

    Attributes:
        temperature: fitted on all frames.
        ece_before: expected calibration error without a temperature.
        ece_after: expected calibration error of each half with the other half's temperature.
    """

    temperature: float
    ece_before: float
    ece_after: float


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor, source: torch.Tensor) -> Calibration:
    """Fit a temperature and judge it.

    Args:
        logits: (F, labels).
        labels: (F,) int64.
        source: (F,) number of the recording. A negative number (simulated) makes each frame a recording of its own.
    """
    half = halves(labels, source)
    calibrated = logits.clone()
    for fitted_on, judged_on in ((half, ~half), (~half, half)):
        if fitted_on.any() and judged_on.any():
            calibrated[judged_on] = logits[judged_on] / best_temperature(logits[fitted_on], labels[fitted_on])
    return Calibration(best_temperature(logits, labels), calibration_error(logits, labels), calibration_error(calibrated, labels))


def halves(labels: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """(F,) bool: True for the frames of one half. Recordings alternate within their class; so do simulated frames."""
    half = torch.zeros(len(labels), dtype=torch.bool)
    for number, recording in enumerate(_by_class(labels, source)):
        half[source == recording] = bool(number % 2)
    for label in labels.unique():
        simulated = torch.nonzero((source < 0) & (labels == label)).squeeze(1)
        half[simulated[1::2]] = True
    return half


def _by_class(labels: torch.Tensor, source: torch.Tensor) -> list[int]:
    """Recordings sorted by class. A recording's class is that of most of its frames, since gaps are noise."""
    recordings = source[source >= 0].unique().tolist()
    return sorted(recordings, key=lambda r: (int(labels[source == r].mode().values), r))


def best_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature with the greatest likelihood, on a grid of 121 values from 0.22 to 4.5."""
    losses = torch.stack([F.cross_entropy(logits / scale, labels) for scale in LOG_SCALES.exp()])
    return float(LOG_SCALES[losses.argmin()].exp())


def calibration_error(logits: torch.Tensor, labels: torch.Tensor, bins: int = BINS) -> float:
    """Expected calibration error over equal-width bins of confidence (Guo et al., eq. 3)."""
    confidence, guess = torch.softmax(logits, 1).max(1)
    right = (guess == labels).float()
    error = 0.0
    for lower in torch.linspace(0, 1, bins + 1)[:-1]:
        inside = (confidence > lower) & (confidence <= lower + 1 / bins)
        if inside.any():
            error += float(inside.float().mean() * (confidence[inside].mean() - right[inside].mean()).abs())
    return error
