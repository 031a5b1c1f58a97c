# SPDX-License-Identifier: GPL-3.0-or-later
"""Injected anomalies: the INR measured in their own bins, the place in time and frequency, and what is refused."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.simulate.injections import KINDS, inject, power_in_band
from gnuradio.spectrumencoder.simulate.scenes import Emitter, Scene
from gnuradio.spectrumencoder.simulate.signal import occupied_band

RATE, N = 1e6, 400_000


@pytest.fixture(scope="module")
def background():
    emitter = Emitter.create("band_noise", RATE, 2e5, 12, bandwidth_hz=100e3)
    return Scene(1, RATE, [emitter], noise_dbfs=-40).render(0, N)


@pytest.mark.parametrize("inr_db", [-10.0, 3.0, 20.0])
@pytest.mark.parametrize("offset", [-3e5, 2e5])
@pytest.mark.parametrize("kind", KINDS)
def test_inr(background, kind, offset, inr_db):
    """Anomaly over noise (and, at +200 kHz, over the signal there too) within the truth's bins, within 0.3 dB."""
    offset = 0.0 if kind == "wideband" else offset
    out, truth = inject(background, RATE, kind, np.random.default_rng(2), inr_db=inr_db, freq_offset_hz=offset,
                        sample_start=100_000, sample_count=150_000, center_freq_hz=1e9,
                        **({"bandwidth_hz": 40e3} if kind in ("scont", "pulse") else {}))
    added = out - background
    stretch = slice(truth.sample_start, truth.sample_start + truth.sample_count)
    ratio = [power_in_band(x[stretch], RATE, truth.freq_center_hz - 1e9, truth.bandwidth_hz) for x in (added, background)]
    if kind == "tone":
        ratio[0] = np.mean(np.abs(added[stretch]) ** 2)
    assert 10 * np.log10(ratio[0] / ratio[1]) == pytest.approx(inr_db, abs=0.3)
    assert truth.level_db == inr_db
    assert not added[:100_000].any()
    assert not added[250_000:].any()


def test_width_is_that_of_the_truth(background):
    out, truth = inject(background, RATE, "scont", np.random.default_rng(2), inr_db=30, freq_offset_hz=-3e5, bandwidth_hz=60e3)
    low, high = occupied_band(out - background, RATE)
    assert (low + high) / 2 == pytest.approx(-3e5, abs=1e3)
    assert 0.9 * 60e3 < high - low < 60e3
    assert (truth.sample_start, truth.sample_count) == (0, N)


def test_pulse_is_short(background):
    _, truth = inject(background, RATE, "pulse", np.random.default_rng(2), inr_db=10)
    assert truth.sample_count == 1000


def test_input_is_left_alone(background):
    before = background.copy()
    inject(background, RATE, "tone", np.random.default_rng(2), inr_db=10)
    np.testing.assert_array_equal(background, before)


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"kind": "hum"}, "hum"), ({"kind": "tone", "sample_start": N}, "outside"),
    ({"kind": "tone", "sample_start": 10, "sample_count": N}, "outside"), ({"kind": "tone", "freq_offset_hz": 6e5}, "fit"),
    ({"kind": "wideband", "freq_offset_hz": 1e3}, "must be 0"), ({"kind": "tone", "bandwidth_hz": 1e3}, "own width"),
    ({"kind": "scont", "bandwidth_hz": 2e6}, "outside"),
])
def test_refused(background, kwargs, word):
    kind = kwargs.pop("kind")
    with pytest.raises(ValueError, match=word):
        inject(background, RATE, kind, np.random.default_rng(1), inr_db=10, **kwargs)


def test_silence_has_no_inr():
    with pytest.raises(ValueError, match="INR is not defined"):
        inject(np.zeros(10_000, np.complex64), RATE, "tone", np.random.default_rng(1), inr_db=10)
