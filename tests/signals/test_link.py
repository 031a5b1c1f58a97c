# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts out of segments: what is one, and what is not."""

import band_samples as made
import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.signals.background import NoiseFloor
from gnuradio.spectrumencoder.signals.burst import Burst, common_frames
from gnuradio.spectrumencoder.signals.signal_list import CLOSE, SignalList


def closed(iq, **settings):
    """The messages that close the bursts of samples."""
    listed = SignalList(made.RATE, None, made.HOP, **settings)
    return [row for row in listed.update(made.items_of(iq)) + listed.flush()
            if row[keys.STATE] == CLOSE and row[keys.SAMPLE_COUNT]]


def boxes(iq, **settings):
    """(first bin, last bin, first frame, frames) of the bursts of samples."""
    out = []
    for row in closed(iq, **settings):
        middle, half = row[keys.FREQ_CENTER_HZ] / made.BIN_HZ + made.N // 2, row[keys.BANDWIDTH_HZ] / made.BIN_HZ / 2
        out.append((middle - half + 0.5, middle + half - 0.5, row[keys.SAMPLE_START] // made.HOP,
                    row[keys.SAMPLE_COUNT] // made.HOP))
    return sorted(out)


def test_frames_of_two_bursts_that_are_common():
    one, other = (Burst(0, 3, 0, np.ones(16)) for _ in range(2))
    for frame in (2, 3, 5, 9):
        one.take(frame, np.ones(16))
    for frame in (3, 4, 5, 6):
        other.take(frame, np.ones(16))
    assert common_frames(one, other) == 2
    one.absorb(other)
    assert [frame for frame in range(12) if one.was_on(frame)] == [2, 3, 4, 5, 6, 9]
    assert (one.n_frames, one.first, one.last) == (6, 0, 9)


def test_two_tones_that_come_and_go_together_are_one():
    iq = made.noise(40)
    for low in (300, 350):
        made.add(iq, low, low + 8, 14.0, 10, 20)
    found = boxes(iq)
    assert len(found) == 1
    assert found[0] == (pytest.approx(300, abs=2), pytest.approx(358, abs=2), 10, 10)


def test_neighbours_that_begin_at_different_times_are_two():
    iq = made.add(made.add(made.noise(64), 300, 340, 12.0, 5, 40), 348, 390, 12.0, 20, 60)
    found = boxes(iq)
    assert [(box[2], box[3]) for box in found] == [(5, 35), (20, 40)]
    assert found[0][1] == pytest.approx(340, abs=4) and found[1][0] == pytest.approx(348, abs=4)


def test_a_burst_that_began_with_another_one_is_parted_from_it():
    iq = made.add(made.add(made.noise(80), 200, 600, 10.0, 9, 11), 380, 400, 14.0, 10, 60)
    longest = max(boxes(iq), key=lambda box: box[3])
    assert longest[0] == pytest.approx(380, abs=3) and longest[1] == pytest.approx(400, abs=3)
    assert longest[3] == pytest.approx(50, abs=2)


def test_a_line_in_its_place_does_not_keep_a_strong_burst_on():
    iq = made.add_tone(made.add(made.noise(64), 300, 420, 35.0, 20, 24), 410, 16.0)
    line, burst = sorted(boxes(iq), key=lambda box: box[0] - box[1])[::-1][:2]
    assert burst == (pytest.approx(300, abs=2), pytest.approx(420, abs=2), 20, 4)
    assert line == (pytest.approx(410, abs=1), pytest.approx(410, abs=1), 0, 64)


def test_a_weak_line_keeps_its_width_while_a_wide_burst_lies_over_it():
    iq = made.add_tone(made.add(made.noise(64), 200, 500, 25.0, 8, 12), 230, 14.0)
    assert boxes(made.add(iq, 400, 440, 30.0, 18, 22)) == [
        (pytest.approx(200, abs=3), pytest.approx(500, abs=3), 8, 4),
        (pytest.approx(230, abs=2), pytest.approx(230, abs=2), 0, 64),
        (pytest.approx(400, abs=2), pytest.approx(440, abs=2), 18, 4)]


def test_a_strong_burst_on_a_weak_line_is_another_signal_and_leaves_the_line_its_level():
    iq = made.add(made.add_tone(made.noise(64), 500, 18.0), 496, 504, 45.0, 30, 36)
    rows = {row[keys.SAMPLE_COUNT] // made.HOP: row[keys.SNR_DB] for row in closed(iq)}
    assert sorted(rows) == [6, 64]
    assert rows[6] == pytest.approx(45, abs=2) and rows[64] < 20


def test_the_line_at_0_hz_and_an_image_are_no_signals():
    iq = made.add_tone(made.noise(40), made.N // 2, 30.0)
    made.add(iq, 700, 720, 30.0, 8, 30)
    made.add(iq, made.N - 720, made.N - 700, 3.0, 8, 30)  # bin b mirrors to N - b, 27 dB lower
    found = boxes(iq)
    assert len(found) == 1 and found[0][0] == pytest.approx(700, abs=2)


def test_an_impulse_is_no_signal():
    iq = made.noise(40)
    iq[20 * made.HOP + 500] += 3.0
    assert boxes(iq) == []


def test_noise_follows_a_filter_and_a_steady_signal_is_none():
    rng = np.random.default_rng(0)
    level = np.full(1024, -80.0)
    level[:100] -= np.linspace(25.0, 0.0, 100)
    level[-60:] -= 20.0
    truth = level.copy()
    level[400:600] += 10.0
    psd = (level + 10.0 * np.log10(rng.gamma(16, 1 / 16, (8, 1024)))).astype(np.float32)
    floor = NoiseFloor(1024, 16.0).take(psd)
    inside = np.r_[120:950]
    assert np.abs(floor[inside] - truth[inside]).max() < 1.0
    assert floor[:40].max() < -85.0 and floor[-40:].max() < -95.0


def test_a_model_that_is_sure_frees_the_noise_from_a_signal_as_wide_as_the_band():
    rng = np.random.default_rng(0)
    level = np.full(1024, -80.0)
    level[60:960] += 12.0
    psd = (level + 10.0 * np.log10(rng.gamma(16, 1 / 16, (8, 1024)))).astype(np.float32)
    signal = np.zeros(1024, bool)
    signal[64:960] = True
    assert np.median(NoiseFloor(1024, 16.0).take(psd, signal)) == pytest.approx(-80.0, abs=1.0)
