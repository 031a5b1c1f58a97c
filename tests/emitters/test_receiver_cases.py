# SPDX-License-Identifier: GPL-3.0-or-later
"""What the receiver does by itself is named, and is no emitter; what is new at the same time is found."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector.events import Segment
from gnuradio.spectrumencoder.emitters.bursts import Burst, FrameView
from gnuradio.spectrumencoder.emitters.regions import Region
from gnuradio.spectrumencoder.emitters.registry import Registry, Sign
from gnuradio.spectrumencoder.emitters.verdict import LEARNED, Judge, Verdict
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from gnuradio.spectrumencoder.encoder import features as layout

N, K, RATE, FREQ = 256, 16, 1e6, 433.92e6
HOP = N * K
FRAME_S = HOP / RATE
CONTRACT = {"name": "synthetic", "encoder": {"fft_size": N, "stride": 8, "window": "rectangular"}, "labels": [],
            "heads": {"classes": False}}
SEGMENT = Segment(rx_freq=FREQ, rx_rate=RATE, frame_hop=HOP, frame_average=K, time_anchor=(1.7e9, 0))
LEARN = 320  # frames
CARRIER = 180  # bin
FLOOR, STOP = 1e-9, 2e-11  # power of a bin in the pass band, and at the filter's edges


class Band:
    """Frames of a receiver with a filter and a steady carrier, as power (F, N) before it is averaged."""

    def __init__(self, count: int, seed: int = 1, average: int = K):
        self.rng, self.average = np.random.default_rng(seed), average
        self.mean = np.full((count, N), FLOOR)
        self.mean[:, :14], self.mean[:, -14:] = STOP, STOP
        self.mean[:, CARRIER - 1:CARRIER + 2] += FLOOR * np.array([30.0, 100.0, 30.0])
        self.clipped = np.zeros(count, np.float32)

    def signal(self, first: int, last: int, low: int, high: int, level_db: float):
        """Power over the floor on bins low..high in frames first..last, all included."""
        self.mean[first:last + 1, low:high + 1] += FLOOR * 10.0 ** (0.1 * level_db)

    def frames(self, impulses: np.ndarray | None = None):
        """psd, residual, features. impulses: (F,) power of one window in each frame, in all bins."""
        power = self.mean * self.rng.gamma(self.average, 1.0 / self.average, self.mean.shape)
        if impulses is not None:
            power += impulses[:, None] / self.average * self.rng.exponential(1.0, self.mean.shape)
        rows = np.zeros((len(power), layout.N_FEATURES), np.float32)
        rows[:, layout.K_EFF], rows[:, layout.K_KEPT], rows[:, layout.CLIPPED_SHARE] = K, 24, self.clipped
        return (10.0 * np.log10(power)).astype(np.float32), np.zeros(power.shape, np.float32), rows


def watch(band: Band, batch: int = 64, learn: int = LEARN, impulses=None, **settings):
    """The detector, the alerts that were opened, and the texts of notices."""
    detector = EmitterDetector(CONTRACT, learn_s=learn * FRAME_S, **settings)
    psd, residual, rows = band.frames(impulses)
    emitted, notices = [], []
    for first in range(0, len(psd), batch):
        part = slice(first, first + batch)
        result = detector.process(psd[part], residual[part], rows[part], HOP * np.arange(len(psd))[part], SEGMENT)
        emitted += result.emitted
        notices += [notice.text for notice in result.notices]
    emitted += detector.flush()
    return detector, [e.fields for e in emitted if e.fields["state"] == "open"], notices


def bin_of(alert) -> int:
    return round((alert["freq_center_hz"] - FREQ) / (RATE / N)) + N // 2


def test_a_quiet_band_says_nothing():
    detector, alerts, notices = watch(Band(2000))
    assert not alerts and not notices and not detector.receiver


def test_what_begins_when_learning_ends_is_new():
    """The frame after the last that is learned belongs to no block of learning."""
    learn = LEARN + 9  # in the midst of a block
    band = Band(1000)
    band.signal(learn, 999, 60, 61, 25.0)
    for batch in (1, 64, 1000):
        detector, alerts, _ = watch(band, batch, learn)
        assert detector.learned_s == pytest.approx(learn * FRAME_S)
        assert [(a["alert"], bin_of(a)) for a in alerts] == [("new", 60)] or [bin_of(a) for a in alerts] == [61]
        assert alerts[0]["sample_start"] == learn * HOP
        band.rng = np.random.default_rng(1)


@pytest.mark.parametrize("step_db", [-6.0, 6.0])
def test_a_step_of_the_gain_is_the_receivers(step_db):
    band = Band(1200)
    band.mean[600:900] *= 10.0 ** (0.1 * step_db)
    detector, alerts, notices = watch(band)
    assert {a["alert"] for a in alerts} == {"receiver"} and not any(a["is_anomaly"] for a in alerts)
    assert detector.receiver["gain step"] == 1 and any("gain of signals and noise" in text for text in notices)


def test_a_new_tone_during_a_step_of_the_gain_is_found():
    band = Band(1200)
    band.signal(700, 1199, 60, 61, 20.0)
    band.mean[600:900] *= 10.0 ** (-0.6)
    _, alerts, _ = watch(band)
    new, = [a for a in alerts if a["alert"] == "new"]
    assert bin_of(new) in (60, 61) and new["sample_start"] == pytest.approx(700 * HOP, abs=2 * HOP)


def test_impulses_are_counted_and_told_once_and_raise_no_floor():
    band, impulses = Band(2000), np.zeros(2000)
    for first in range(500, 2000, 3):
        impulses[first:first + 2] = 60.0 * FLOOR
    detector, alerts, notices = watch(band, impulses=impulses)
    assert not alerts and len([text for text in notices if "impulses" in text]) == 1
    assert detector.receiver["impulses"] == pytest.approx(1000, abs=40)


def test_a_raised_floor_is_no_impulse():
    band = Band(1200)
    noise = band.mean[700:].copy()
    band.mean[700:] = noise + 4.0 * FLOOR  # the carrier stays as it is
    detector, alerts, _ = watch(band)
    assert "raised floor" in [a["alert"] for a in alerts] and "impulses" not in detector.receiver


def test_the_line_at_0_hz_and_an_image_are_told():
    band = Band(1200)
    band.signal(600, 1199, N // 2, N // 2, 25.0)
    band.signal(800, 1199, 60, 61, 45.0)
    band.signal(800, 1199, N - 61, N - 60, 15.0)
    detector, alerts, notices = watch(band)
    new, = alerts
    assert new["alert"] == "new" and bin_of(new) in (60, 61)
    assert detector.receiver == {"dc line": 1, "image": 1}
    assert ["0 Hz" in text or "image" in text for text in notices] == [True, True]


def test_what_clipped_frames_show_besides_the_strong_pulse_is_overload():
    """Pulses on for a quarter of the time, whose products lie elsewhere each time."""
    band = Band(1600)
    for k, first in enumerate(range(600, 1560, 40)):
        band.signal(first, first + 9, 60, 61, 60.0)
        low = 205 + 5 * k % 30
        band.signal(first, first + 9, low, low + 1, 25.0)
        band.clipped[first:first + 10] = 0.02
    detector, alerts, notices = watch(band)
    assert [(a["alert"], bin_of(a) in (60, 61)) for a in alerts] == [("new", True)]
    assert detector.receiver["overload"] > 10 and any("clipped" in text for text in notices)


def test_ten_short_bursts_are_one_emitter_and_each_is_heard_once():
    band = Band(1600)
    for k in range(10):
        band.signal(600 + 90 * k, 600 + 90 * k, 60, 64, 24.0)
        band.signal(601 + 90 * k, 601 + 90 * k, 60, 64, 5.0)  # its end, in part of a frame
    _, alerts, _ = watch(band, bursts=True)
    assert [a["alert"] for a in alerts].count("new") == 1
    assert [round(a["sample_start"] / HOP) for a in alerts if a["alert"] == "burst"] == [600 + 90 * k for k in range(10)]


def test_what_follows_a_strong_burst_near_it_is_no_burst_of_its_own():
    """A box of eight frames still holds the burst's skirt when the burst has ended."""
    band = Band(1600)
    for first in range(600, 1500, 90):
        band.signal(first, first, 60, 64, 30.0)
        band.signal(first, first, 72, 76, 6.0)
        band.signal(first + 6, first + 6, 72, 76, -3.0)
    _, alerts, _ = watch(band)
    assert [(a["alert"], bin_of(a)) for a in alerts] == [("new", 62)]


def test_scattered_noise_below_0_db_is_no_burst():
    """Bins far apart, each over the noise, that are below 0 dB together: such an emitter would hide what is new there."""
    power = np.full(N, FLOOR)
    power[[60, 61, 90, 91]] = 2.3 * FLOOR
    frame = FrameView(0, 0, HOP, power, np.full(N, FLOOR), power / FLOOR, power - FLOOR)
    burst, whole = Burst(60, 91, 0, 0, N), Burst(60, 61, 0, 0, N)
    burst.add(frame, [Region(60, 61, 1.2, 1), Region(90, 91, 1.2, 1)])
    whole.add(frame, [Region(60, 61, 1.2, 1)])
    assert burst.max_snr_db > 0.0 > burst.snr_db()
    for one, expected in ((burst, None), (whole, Verdict(LEARNED))):
        sign = Sign(FREQ, RATE / N, one.snr_db(), -80.0, 0.0, FRAME_S, one.peak, FREQ, RATE / N)
        assert Judge(Registry()).verdict(one, sign, None, True, lambda extent, sign=sign: sign) == expected


@pytest.mark.parametrize("both, said", [(True, {"drift": 1}), (False, {})])
def test_a_carrier_that_drifts_is_followed(both, said):
    """If all drift, the receiver does."""
    band = Band(4000)
    band.mean[:, CARRIER - 1:CARRIER + 2] = FLOOR
    for n in range(4000):
        drift = max(n - 600, 0) // 1000
        for at in (CARRIER + drift, 90 + drift * both):
            band.mean[n, at - 1:at + 2] += FLOOR * np.array([30.0, 100.0, 30.0])
    detector, alerts, notices = watch(band)
    assert not alerts and detector.receiver == said and len(notices) == len(said)


def test_clipping_is_no_step_of_the_gain_and_no_impulse():
    """Clipping takes power from all else in its frames."""
    band = Band(1400)
    for first in range(600, 1400, 40):
        band.mean[first:first + 18] *= 0.4
        band.signal(first, first + 17, 60, 61, 60.0)
        band.clipped[first:first + 18] = 0.02
    detector, alerts, notices = watch(band)
    assert [(a["alert"], bin_of(a) in (60, 61)) for a in alerts] == [("new", True)]
    assert not {"gain step", "impulses"} & set(detector.receiver)
