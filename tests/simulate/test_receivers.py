# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers: each impairment, alone, at the level that was asked for."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.simulate.receivers import Receiver, quantise
from scipy import signal

N = 65_536


def carrier(share, n=N):
    """A unit carrier at this share of the rate, on a bin."""
    return np.exp(2j * np.pi * round(share * n) / n * np.arange(n)).astype(np.complex64)


def level_db(iq, share):
    return 20 * np.log10(np.abs(np.vdot(carrier(share, len(iq)), iq)) / len(iq) + 1e-12)


def test_nothing_by_default():
    iq = carrier(0.1)
    np.testing.assert_array_equal(Receiver().apply(iq), iq)


@pytest.mark.parametrize(("share", "want", "tolerance"), [
    (0.0, 0, 0.1), (0.3, 0, 0.2), (0.4, -3, 1), (-0.4, -3, 1), (0.48, -40, 3)])
def test_filter_shape(share, want, tolerance):
    out = Receiver(passband=0.8, rolloff=0.1, stop_db=40).apply(carrier(share))
    assert level_db(out, share) == pytest.approx(want, abs=tolerance)


def test_filter_adds_no_delay():
    iq = np.zeros(2000, np.complex64)
    iq[1000] = 1
    receiver = Receiver(passband=0.8)
    assert np.argmax(np.abs(receiver.apply(iq))) == 1000
    assert receiver.margin == 127
    assert Receiver().margin == 0


def test_tilt_and_ripple():
    tilted = Receiver(passband=0.9, rolloff=0.05, tilt_db=4.0)
    rise = level_db(tilted.apply(carrier(0.36)), 0.36) - level_db(tilted.apply(carrier(-0.36)), -0.36)
    assert rise == pytest.approx(4.0 * 0.72 / 0.9, abs=0.3)
    rippled = Receiver(ripple_db=2.0)
    levels = [level_db(rippled.apply(carrier(s)), s) for s in np.linspace(-0.45, 0.45, 91)]
    assert max(levels) - min(levels) == pytest.approx(2.0, abs=0.2)


def test_image():
    out = Receiver(iq_image_db=-35.0).apply(carrier(0.2))
    assert level_db(out, -0.2) == pytest.approx(-35, abs=0.1)
    assert level_db(out, 0.2) == pytest.approx(0, abs=0.1)


def test_dc_offset():
    out = Receiver(dc_dbfs=-45.0).apply(np.zeros(1000, np.complex64))
    assert 20 * np.log10(np.abs(out.mean())) == pytest.approx(-45, abs=0.01)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_quantisation(bits):
    rng = np.random.default_rng(1)
    iq = (0.2 * (rng.normal(size=N) + 1j * rng.normal(size=N))).astype(np.complex64)
    out = quantise(iq, bits)
    grid = out.view(np.float32) * 2 ** (bits - 1)
    np.testing.assert_array_equal(grid, np.rint(grid))
    error = 10 * np.log10(np.mean(np.abs(out - iq) ** 2))
    assert error == pytest.approx(10 * np.log10(2 * (2.0 ** (1 - bits)) ** 2 / 12), abs=0.5)


def test_gain_clips_at_full_scale():
    out = Receiver(gain_db=20, bits=8).apply(carrier(0.1))
    assert out.real.max() == pytest.approx(127 / 128)
    assert out.real.min() == -1


def test_random_is_seeded():
    assert Receiver.random(np.random.default_rng(3)) == Receiver.random(np.random.default_rng(3))
    assert Receiver.random(np.random.default_rng(3), bits=8).bits == 8


@pytest.mark.parametrize(("name", "value"), [("passband", 0.0), ("rolloff", 0.9), ("bits", 1), ("bits", 24)])
def test_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} {value}"):
        Receiver(**{name: value})


@pytest.mark.parametrize("n", [1, 254, 5000, 300_001])
def test_a_stream_of_any_blocks_gives_the_same_samples(n):
    rng = np.random.default_rng(n)
    iq = (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)
    receiver = Receiver(passband=0.8, ripple_db=1.0, tilt_db=2.0, iq_image_db=-30, dc_dbfs=-40, seed=3)
    whole = receiver.apply(iq)
    cuts = [0, *np.sort(rng.integers(0, n, 6)), n]
    parts = list(receiver.stream(iq[a:b] for a, b in zip(cuts, cuts[1:], strict=False)))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("n", [255, 5000, 300_001])
def test_the_filter_is_a_convolution(n):
    rng = np.random.default_rng(n)
    iq = (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)
    taps = Receiver(passband=0.7)._taps(0.0)
    wanted = signal.oaconvolve(iq, taps, mode="same")
    np.testing.assert_allclose(Receiver(passband=0.7).apply(iq), wanted, atol=1e-5)
