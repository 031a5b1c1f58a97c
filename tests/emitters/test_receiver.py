# SPDX-License-Identifier: GPL-3.0-or-later
"""What the receiver does by itself is no emitter: steps of the gain, rounding, impulses, images, skirts, the DC line, overload.

And what only looks like it is reported: a raised floor, a new tone while the gain is another one.
"""

import numpy as np
import pytest
from streams import BIN_HZ, FLOOR_DB, RATE, Feed, N, add, hz_of, kinds_of, noise, opens

CARRIER = 60
SHOULDER = 10.0 ** (-0.15 * np.maximum(np.abs(np.arange(N) - N / 2) - 100.0, 0.0))  # of a filter: 42 dB at the band's edge


class Band(Feed):
    """A feed that has learned 12 s of noise, with a carrier if asked for, behind a filter if `rounding` is not 0."""

    def __init__(self, seed=0, *, carrier=True, rounding=0.0, snr_db=20.0):
        super().__init__(seed, learn_s=10.0)
        self.carrier, self.rounding, self.snr_db = carrier, rounding, snr_db
        assert self.give_with_gain(self.rows(12), 0.0) == [] and not self.detector.learning
        assert [e.steady for e in self.detector.registry.emitters.values()] == [True] * carrier

    def rows(self, seconds):
        """Noise with the carrier."""
        rows = self.noise(seconds)
        if self.carrier:
            add(rows, 0, len(rows), CARRIER, self.snr_db)
        return rows

    def give_with_gain(self, rows, gain_db, clipped=0.0):
        """Gives frames behind the filter, at a gain (F,) dB; the rounding of the samples comes after it."""
        power = rows * 10.0 ** (0.1 * np.reshape(gain_db, (-1, 1)))
        if self.rounding:
            power = power * SHOULDER + self.rounding * noise(len(rows), self.rng)
        return self.give_db((10.0 * np.log10(power) + FLOOR_DB).astype(np.float32), clipped=clipped)

    def step(self, step_db, seconds=6, first=100, count=50):
        """Gives frames with a step of the gain in some of them."""
        rows = self.rows(seconds)
        gain = np.zeros(len(rows))
        gain[first:first + count] = step_db
        return self.give_with_gain(rows, gain)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("carrier", "step_db"), [(True, -6.0), (False, -6.0), (True, 9.0), (True, -12.0)])
def test_a_step_of_the_gain_is_one_receiver_event(carrier, step_db, seed):
    band = Band(seed, carrier=carrier)
    said = band.step(step_db)
    assert [(m["state"], m["alert"]) for m in said] == [("open", "receiver"), ("close", "receiver")]
    for message in said:
        assert message["is_anomaly"] is False and message["threat_level"] == "LOW" and message["analysis_type"] == "gain step"
        assert message["snr_db"] == pytest.approx(step_db, abs=0.5) and "emitter_id" not in message
        assert message["bandwidth_hz"] == RATE
    assert band.detector.receiver == {"gain step": 1}
    (notice,) = band.notices
    assert notice.state == "receiver"
    assert float(notice.text.split("changed by ")[1].split()[0]) == pytest.approx(step_db, abs=0.5)
    assert opens(band.step(step_db), "receiver") and kinds_of(band.said) == ["receiver"] * 2
    assert len(band.notices) == 1  # a notice is given once


@pytest.mark.parametrize("step_db", [-6.0, 9.0])
def test_a_new_tone_during_a_step_of_the_gain_is_found(step_db):
    band = Band()
    rows, gain = band.rows(10), np.zeros(500)
    gain[100:400] = step_db
    add(rows, 200, 100, 150, 15.0)
    said = band.give_with_gain(rows, gain)
    assert kinds_of(said) == ["receiver", "new"]
    new = opens(said, "new")[0]
    assert new["freq_center_hz"] == pytest.approx(hz_of(150), abs=BIN_HZ)
    assert new["snr_db"] == pytest.approx(15.0, abs=1.0)
    assert new["power_dbfs"] == pytest.approx(FLOOR_DB + 15.0 + step_db + 10.0 * np.log10(2.0), abs=1.5)  # the window's lobe


@pytest.mark.parametrize(("snr_db", "raised_db"), [(20.0, 6.0), (12.0, 9.0), (20.0, 15.0), (25.0, 20.0), (8.0, 20.0)])
def test_a_raised_floor_is_one_alert(snr_db, raised_db):
    """The carrier stays as strong as it was: it is no step of the gain, and the carrier is not gone."""
    band = Band(snr_db=snr_db)
    rows = band.noise(10)
    rows[100:400] *= 10.0 ** (0.1 * raised_db)
    add(rows, 0, len(rows), CARRIER, snr_db)
    said = band.give(rows)
    assert [(m["state"], m["alert"]) for m in said] == [("open", "raised floor"), ("close", "raised floor")]
    assert said[0]["is_anomaly"] and said[0]["snr_db"] == pytest.approx(raised_db, abs=0.5)
    assert said[0]["sample_start"] / 4096 == pytest.approx(band.frame - 400, abs=40)
    assert band.detector.receiver == {}


def test_a_carrier_that_ends_while_the_floor_is_raised_is_gone():
    band = Band(snr_db=20.0)
    rows = band.noise(20)
    rows[100:] *= 10.0**0.6
    add(rows, 0, 500, CARRIER, 20.0)
    assert kinds_of(band.give(rows)) == ["raised floor", "gone"]


@pytest.mark.parametrize("carrier", [True, False])
@pytest.mark.parametrize("rounding", [0.01, 0.1])
def test_rounding_at_the_edges_does_not_alert_when_the_gain_steps(carrier, rounding):
    band = Band(1, carrier=carrier, rounding=rounding)
    for step_db in (-3.0, -6.0, -10.0) + (4.0, 9.0) * carrier:
        assert set(kinds_of(band.step(step_db))) == {"receiver"}
    assert set(band.detector.receiver) == {"gain step"}


@pytest.mark.parametrize("excess_db", [3.0, 10.0, 20.0, 40.0])
def test_an_impulse_is_no_emitter(excess_db):
    """One of a frame's K spectra holds it, so that bins scatter as one spectrum does."""
    band = Band()
    rows = band.rows(20)
    for n in range(20, len(rows), 25):
        rows[n] += 10.0 ** (0.1 * excess_db) * band.rng.exponential(1.0, N) / 16.0
    assert band.give(rows) == []


def test_an_image_of_a_new_burst_is_no_emitter():
    band = Band()
    for snr_db in (43.0, 45.0, 47.0):
        rows = band.rows(5)
        add(rows, 100, 20, 200, snr_db)
        add(rows, 100, 20, N - 200, snr_db - 30.0)
        band.give(rows)
    assert kinds_of(band.said) == ["new"]
    assert band.said[0]["freq_center_hz"] == pytest.approx(hz_of(200), abs=BIN_HZ)
    assert band.detector.receiver["image"] >= 2 and len(band.detector.registry.emitters) == 2


@pytest.mark.parametrize("snr_db", [30.0, 40.0, 60.0])
def test_skirts_of_a_strong_burst_are_no_emitters(snr_db):
    """Phase noise, 20 dB below it and falling by a factor e in 4 bins, scattered as one spectrum is."""
    band = Band()
    rows = band.rows(10)
    away = np.abs(np.arange(N) - 180)
    rows[100:120] += 10.0 ** (0.1 * snr_db - 2.0) * np.exp(-away / 4.0) * band.rng.exponential(1.0, (20, N))
    add(rows, 100, 20, 180, snr_db)
    assert kinds_of(band.give(rows)) == ["new"]
    assert band.said[0]["freq_center_hz"] == pytest.approx(hz_of(180), abs=3 * BIN_HZ)


@pytest.mark.parametrize("snr_db", [10.0, 25.0, 45.0])
def test_the_dc_line_is_no_emitter(snr_db):
    band = Band()
    for bin_ in (N / 2, N / 2 + 0.5):
        rows = band.rows(5)
        add(rows, 100, 100, bin_, snr_db)
        assert band.give(rows) == []
    assert band.detector.receiver == {"dc line": 2}


def test_clipped_frames_alert_of_the_strong_signal_alone():
    band = Band()
    rows, clipped = band.rows(10), np.zeros(500)
    clipped[100:110] = 0.02
    for bin_, snr_db in ((200, 50.0), (150, 15.0), (30, 12.0), (90, 20.0)):
        add(rows, 100, 10, bin_, snr_db)
    assert kinds_of(band.give(rows, clipped=clipped)) == ["new"]
    assert band.said[0]["freq_center_hz"] == pytest.approx(hz_of(200), abs=BIN_HZ)
    assert sum(band.detector.receiver.values()) == 3 and len(band.detector.registry.emitters) == 2
