# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from gnuradio.spectrumencoder.encoder.token_classes import UNKNOWN_SIGNAL, class_of, classes, columns, split

LABELS = ["LTE", "noise", "LoRa"]


def test_columns_are_the_labels_the_unknown_signal_and_the_boundary():
    assert columns(LABELS) == ["LTE", "noise", "LoRa", "unknown signal", "boundary"]
    assert classes(LABELS) == columns(LABELS)[:-1]


def test_split_gives_classes_and_boundaries_token_by_token():
    items = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 20)  # 2 frames of 4 tokens
    probabilities, boundary = split(items, LABELS)
    assert probabilities.shape == (2, 4, 4) and boundary.shape == (2, 4)
    np.testing.assert_array_equal(probabilities[1, 2], [30, 31, 32, 33])
    np.testing.assert_array_equal(boundary[0], [4, 9, 14, 19])


def test_split_refuses_items_of_another_model():
    with pytest.raises(ValueError, match="21 floats are not made of tokens of 5"):
        split(np.zeros((2, 21), np.float32), LABELS)


@pytest.mark.parametrize("probabilities, expected", [
    ([0.2, 0.6, 0.15, 0.05], ("LTE", 0.5)),  # noise is left out, and the rest sums to 1
    ([0.1, 0.5, 0.1, 0.3], (UNKNOWN_SIGNAL, 0.6)),
    ([0.0, 1.0, 0.0, 0.0], (UNKNOWN_SIGNAL, 0.0)),  # nothing but noise
    ([np.nan] * 4, (UNKNOWN_SIGNAL, 0.0)),
])
def test_class_of_a_box(probabilities, expected):
    label, confidence = class_of(np.array(probabilities, np.float32), LABELS)
    assert label == expected[0] and confidence == pytest.approx(expected[1], abs=1e-6)


def test_class_of_without_a_label_for_noise_leaves_nothing_out():
    assert class_of(np.array([0.25, 0.5, 0.25]), ["LTE", "LoRa"]) == ("LoRa", 0.5)


def test_class_of_refuses_probabilities_of_other_classes():
    with pytest.raises(ValueError, match=r"shape \(5,\) are not those of 4 classes"):
        class_of(np.zeros(5), LABELS)
