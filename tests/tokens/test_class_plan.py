# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a class may be on the air: what cannot be at a frequency is not said there."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.tokens.class_plan import may_be, possible

LABELS = ["noise", "BLE", "ISM-sensor-FSK"]
UNKNOWN = len(LABELS)


@pytest.mark.parametrize(("label", "freq_hz", "may"), [
    ("BLE", 2.402e9, True), ("BLE", 433.92e6, False), ("ADS-B", 1090e6, True), ("ADS-B", 2.42e9, False),
    ("LoRa", 868.1e6, True), ("LoRa", 98e6, False), ("WiFi-OFDM", 5.18e9, True), ("WiFi-OFDM", 868e6, False),
    ("LTE", 816e6, True), ("LTE", 2.44e9, False), ("GNSS", 1575.42e6, True), ("GNSS", 434e6, False),
    ("802.15.4", 2.405e9, True), ("802.15.4", 434e6, False), ("ISM-sensor-OOK", 315e6, True), ("ISM-sensor-FSK", 868.3e6, True),
    ("ISM-sensor-FSK", 1815e6, False), ("noise", 1e6, True), ("my-own-class", 1e6, True), ("BLE", None, True)])
def test_a_class_has_its_places(label, freq_hz, may):
    assert may_be(label, freq_hz) is may


def test_what_cannot_be_is_left_out_and_the_rest_scaled():
    told = np.array([0.0, 0.6, 0.3, 0.1])
    assert possible(told, LABELS, None, UNKNOWN) is told and possible(told, LABELS, 2.44e9, UNKNOWN) is told
    np.testing.assert_allclose(possible(told, LABELS, 433.92e6, UNKNOWN), np.array([0.0, 0.0, 0.3, 0.16]) / 0.46)
    np.testing.assert_allclose(possible(told, LABELS, 433.92e6), [0.0, 0.0, 0.3, 0.1])  # classes of a whole frame


def test_what_surely_looks_like_an_impossible_class_is_of_no_class():
    told = np.array([[0.0, 0.99, 0.008, 0.002], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    out = possible(told, LABELS, 433.92e6, UNKNOWN)
    assert out[:2].argmax(axis=1).tolist() == [UNKNOWN, UNKNOWN] and not out[2].any()
    np.testing.assert_allclose(out.sum(axis=1), told.sum(axis=1))
