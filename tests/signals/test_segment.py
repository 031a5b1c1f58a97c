# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of one spectrum: edges from the power, split by tokens."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.boxes import limits
from gnuradio.spectrumencoder.signals.segment import find_segments

N, M, LABELS = 1024, 128, ("LTE", "LoRa", "noise")
LIMITS = limits("blackmanharris", N, 16.0, 0.05, -16.0)
NOISE = LABELS.index("noise")


def spectrum(*runs, seed=0):
    """(N,) noise over its mean, times 10 in some runs of bins."""
    ratio = np.random.default_rng(seed).gamma(16, 1 / 16, N)
    for low, high in runs:
        ratio[low:high + 1] *= 10.0
    return ratio.astype(np.float32)


def tokens(*places, boundary=()):
    """(M, L + 2): noise, but for (first bin, last bin, label)."""
    out = np.zeros((M, len(LABELS) + 2), np.float32)
    out[:, NOISE] = 1.0
    for low, high, label in places:
        out[low // 8:high // 8 + 1, :] = 0.0
        out[low // 8:high // 8 + 1, NOISE], out[low // 8:high // 8 + 1, LABELS.index(label)] = 0.1, 0.9
    out[list(boundary), -1] = 0.9
    return out


def ends(found):
    return [(segment.low, segment.high) for segment in found]


def test_edges_are_those_of_the_power():
    found = find_segments(spectrum((203, 258)), LIMITS)
    assert ends(found) == [(pytest.approx(203, abs=1), pytest.approx(258, abs=1))]
    assert found[0].level_db == pytest.approx(10.0, abs=0.5) and not len(found[0].probabilities)


def test_a_class_on_both_sides_of_a_gap_joins_nothing():
    ratio = spectrum((200, 259), (268, 330))
    assert ends(find_segments(ratio, LIMITS, 1, tokens((200, 330, "LTE")), NOISE)) == ends(find_segments(ratio, LIMITS))


def test_a_boundary_splits_what_touches():
    ratio = spectrum((200, 327))
    found = find_segments(ratio, LIMITS, 1, tokens((200, 263, "LTE"), (264, 327, "LoRa"), boundary=[33]), NOISE)
    assert [round(end) for segment in ends(found) for end in segment][1:3] == [263, 264]
    assert [LABELS[int(segment.probabilities.argmax())] for segment in found] == ["LTE", "LoRa"]
    assert all(segment.presence == pytest.approx(0.9, abs=0.05) for segment in found)
