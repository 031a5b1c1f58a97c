# SPDX-License-Identifier: GPL-3.0-or-later
"""The class temperature: found again where it is known, judged on recordings that it was not fitted on."""

import pytest
import torch
from gnuradio.spectrumencoder.training.temperature import best_temperature, calibration_error, fit_temperature, halves


def frames(scale, count=6000, recordings=12, classes=4, seed=0):
    """Logits whose calibrated ones are known: labels are drawn from softmax(logits / scale)."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(0, recordings, (count,), generator=generator)
    logits = 2.0 * torch.randn(count, classes, generator=generator)
    logits[torch.arange(count), source % classes] += 3.0
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator).squeeze(1)
    return logits * scale, labels, source


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_and_calibrates(scale):
    logits, labels, source = frames(scale)
    found = fit_temperature(logits, labels, source)
    assert found.temperature == pytest.approx(scale, rel=0.06)
    assert found.ece_after < 0.02
    if scale != 1.0:
        assert found.ece_before > 0.05 > 2 * found.ece_after
    assert found.temperature == best_temperature(logits, labels)


def test_recordings_are_on_one_side_and_classes_on_both():
    _, labels, source = frames(1.0)
    source[:1000] = -1  # simulated
    half = halves(labels, source)
    sides = {int(r): set(half[source == r].tolist()) for r in source.unique() if r >= 0}
    assert all(len(side) == 1 for side in sides.values())
    for label in range(4):
        assert len({bool(*sides[r]) for r in sides if r % 4 == label}) == 2
        assert len(set(half[(source < 0) & (labels == label)].tolist())) == 2
    assert 0.35 < half.float().mean() < 0.65


def test_the_error_after_is_of_recordings_that_the_temperature_did_not_see():
    """Two recordings that need different temperatures: each is judged with the other's, which fits neither."""
    logits, labels, _ = frames(1.0)
    source = (torch.arange(len(labels)) >= 3000).long()
    logits[3000:] *= 4.0
    found = fit_temperature(logits, labels, source)
    own = torch.cat((logits[:3000], logits[3000:] / 4.0))
    assert found.ece_after > 3 * calibration_error(own, labels)


def test_one_recording_alone_is_judged_as_it_is():
    logits, labels, source = frames(2.0, recordings=1)
    found = fit_temperature(logits, labels, source)
    assert found.ece_after == found.ece_before > 0.05


def test_calibration_error_by_hand():
    logits = torch.log(torch.tensor([[0.9, 0.1]] * 4 + [[0.7, 0.3]] * 2))
    labels = torch.tensor([0, 0, 0, 1, 0, 1])
    assert calibration_error(logits, labels) == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.2, abs=1e-5)
