# SPDX-License-Identifier: GPL-3.0-or-later
"""Occupancy by channel: a steady carrier is occupied, noise is not, and tunings add up on one grid."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.display.history import Tuning
from gnuradio.spectrumencoder.history.channels import Meter, Reach, channel_hz, level_of, over_db
from gnuradio.spectrumencoder.history.run import Minute

N_BINS, RATE_HZ, FLOOR_DBFS = 1024, 2.4e6, -90.0
TUNING = Tuning(434e6, RATE_HZ, N_BINS)


def noise(n_frames, average=16, seed=1):
    """Frames of noise, dBFS, mean power FLOOR_DBFS in each bin."""
    power = np.random.default_rng(seed).gamma(average, 1 / average, (n_frames, N_BINS))
    return (FLOOR_DBFS + 10 * np.log10(power)).astype(np.float32)


def bin_of(freq_hz, tuning=TUNING):
    return round((freq_hz - tuning.center_hz) / tuning.bin_hz) + N_BINS // 2


def measure(meter):
    """(minute, first channel) -> channels; and the sums."""
    taken = meter.take()
    minutes = {}
    for minute, sums in taken:
        minutes.setdefault(minute, Minute(minute, 0, sums.begin_s)).add(sums, [])
    return {(minute, first): channels for minute, one in minutes.items()
            for (_, first), channels in one.row().channels.items()}, [sums for _, sums in taken]


def value(found, minute, channel, name):
    (low, channels), = [(low, channels) for (of, low), channels in found.items()
                        if of == minute and low <= channel < low + len(channels.frames)]
    return getattr(channels, name)[channel - low]


@pytest.mark.parametrize("rate_hz, width_hz", [(250e3, 3125.0), (1e6, 12.5e3), (2.4e6, 25e3), (10e6, 100e3), (61.44e6, 800e3)])
def test_a_tuning_has_64_to_128_channels(rate_hz, width_hz):
    assert channel_hz(rate_hz) == width_hz
    assert 64 <= rate_hz / width_hz < 128


def test_a_scan_of_many_hops_has_a_bounded_number_of_wider_channels():
    assert channel_hz(2.4e6, 20e6) == 25e3
    assert 2048 < 1.7e9 / channel_hz(2.4e6, 1.7e9) <= 4096


@pytest.mark.parametrize("average", [1, 4, 16])
def test_a_steady_carrier_is_occupied_all_the_time_and_noise_never(average):
    psd = noise(4000, average)
    psd[:, bin_of(434.5e6)] = FLOOR_DBFS + 20.0
    meter = Meter(25e3, average)
    meter.add(psd, TUNING, 6000.0, 7e-3)
    meter.finish()
    found, (sums,) = measure(meter)
    assert value(found, 100, 17380, "occupancy") == 1.0  # 17380 * 25 kHz = 434.5 MHz
    assert value(found, 100, 17380, "mean_db") == pytest.approx(20.0, abs=0.5)
    others = np.concatenate([channels.occupancy for channels in found.values()])
    assert np.sort(others)[-2] < 2e-3
    assert sums.floor_sum / sums.frames == pytest.approx(FLOOR_DBFS, abs=0.3)
    assert over_db(1) > over_db(16) == 6.0


def test_the_receivers_own_line_in_the_middle_is_no_signal():
    psd = noise(200)
    psd[:, N_BINS // 2 - 2:N_BINS // 2 + 3] += 40.0
    meter = Meter(25e3, 16)
    meter.add(psd, TUNING, 0.0, 7e-3)
    meter.finish()
    found, _ = measure(meter)
    assert max(channels.occupancy.max() for channels in found.values()) == 0.0


def test_a_burst_counts_by_its_share_of_the_frames_of_its_minute():
    psd = noise(1000)
    psd[400:650, bin_of(433.5e6)] = FLOOR_DBFS + 30.0
    meter = Meter(25e3, 16)
    for first in range(0, 1000, 37):  # in batches, which cross the minute
        meter.add(psd[first:first + 37], TUNING, 6060.0 - 5.0 + 0.01 * first, 0.01)
    meter.finish()
    found, _ = measure(meter)
    assert value(found, 100, 17340, "frames") == value(found, 101, 17340, "frames") == 500
    assert value(found, 100, 17340, "occupancy") == pytest.approx(100 / 500)
    assert value(found, 101, 17340, "occupancy") == pytest.approx(150 / 500)


def test_tunings_add_up_on_one_grid():
    other, meter = Tuning(435.2e6, RATE_HZ, N_BINS), Meter(25e3, 16)
    for tuning, count in ((TUNING, 100), (other, 300)):
        psd = noise(count)
        psd[:, bin_of(434.6e6, tuning)] = FLOOR_DBFS + 30.0  # both hear it
        meter.add(psd, tuning, 6000.0, 0.01)
    meter.finish()
    found, _ = measure(meter)
    assert value(found, 100, 17384, "frames") == 400 and value(found, 100, 17384, "occupancy") == 1.0
    assert value(found, 100, 17350, "frames") == 100
    assert value(found, 100, 17440, "frames") == 300


def test_the_level_of_an_emitter_is_that_of_its_strongest_bin():
    psd = noise(1000)
    psd[::4, bin_of(434.1e6):bin_of(434.1e6) + 5] = FLOOR_DBFS + 25.0
    meter = Meter(25e3, 16)
    meter.add(psd, TUNING, 0.0, 7e-3)
    meter.finish()
    _, (sums,) = measure(meter)
    level = level_of(sums, Reach(3, 434.098e6, 434.112e6))
    assert level.n / level.frames == 0.25
    assert 10 * np.log10(level.power_sum / level.n) == pytest.approx(25.0, abs=0.3)
    assert 10 * np.log10(level.power_max) == pytest.approx(25.0, abs=1.5)
    assert level_of(sums, Reach(4, 434.30e6, 434.32e6)).n == 0
    assert level_of(sums, Reach(5, 440e6, 440.1e6)) is None


def test_frames_that_nobody_takes_are_counted():
    meter = Meter(25e3, 16)
    for hop in range(meter.MAX_SUMS + 5):
        meter.add(noise(2), Tuning(434e6 + 1e6 * hop, RATE_HZ, N_BINS), 0.0, 0.01)
    meter.finish()
    assert len(meter.take()) == meter.MAX_SUMS and meter.lost_frames == 10


def test_a_frame_of_fewer_spectra_before_a_break_is_left_out():
    meter, other = Meter(25e3, 16), Tuning(440e6, RATE_HZ, N_BINS)
    for hop in range(20):  # each hop ends with a frame of one spectrum, in which noise reaches far
        psd = np.concatenate([noise(20, seed=hop), noise(1, average=1, seed=hop)])
        meter.add(psd, (TUNING, other)[hop % 2], hop * 1.0, 7e-3)
    meter.finish()
    found, sums = measure(meter)
    assert sum(one.frames for one in sums) == 20 * 20
    assert max(channels.occupancy.max() for channels in found.values()) == 0.0


def test_a_whole_frame_before_a_break_counts():
    meter = Meter(25e3, 16)
    for number in range(50):  # captures of a single frame
        meter.add(noise(1, seed=number), TUNING, 1.0 * number, 7e-3)
    meter.finish()
    assert sum(one.frames for _, one in meter.take()) >= 48
