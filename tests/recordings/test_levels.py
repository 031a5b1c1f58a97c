# SPDX-License-Identifier: GPL-3.0-or-later
"""Levels of samples: of tones and steps whose levels are known, in each kind of number."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import MemoryRecording, open_recording
from gnuradio.spectrumencoder.recordings import levels as module
from gnuradio.spectrumencoder.recordings.levels import measure_levels


def of(iq):
    return measure_levels(MemoryRecording("x", np.asarray(iq, np.complex64), 1e6))


def test_a_tone_and_a_mean():
    """Half of full scale is -6.02 dBFS; with a mean of a quarter on I the peak is 3/4."""
    tone = 0.5 * np.exp(2j * np.pi * np.arange(1000) / 100)
    found = of(tone + 0.25)
    assert found.n_samples == 1000 and found.not_finite == 0 and found.full_scale_share == 0.0
    assert found.rms_dbfs == pytest.approx(10 * np.log10(0.25 + 0.0625), abs=1e-3)
    assert found.peak_dbfs == pytest.approx(20 * np.log10(0.75), abs=1e-3)
    assert found.mean_dbfs == pytest.approx(20 * np.log10(0.25), abs=1e-3)


def test_the_histogram_is_by_the_larger_of_i_and_q():
    found = of([2.0, 1.0, 0.75j, 0.5, 0.5 + 0.3j, 0.25j, 0.2, 0.0, 2.0 ** -23, 2.0 ** -24])
    assert found.shares[:4] == pytest.approx([0.3, 0.2, 0.2, 0.0]) and found.shares[23] == pytest.approx(0.1)
    assert sum(found.shares) == pytest.approx(0.8)  # a zero and one weaker than all rows are in none
    assert found.full_scale_share == pytest.approx(0.2)


@pytest.mark.parametrize(("datatype", "rails", "others"), [
    ("ci8", [-128, 127], [-126, 126]), ("cu8", [0, 255], [1, 254]), ("ci16_le", [-32768, 32767], [-32766, 32766]),
    ("cf32_le", [-1.0, 1.5], [-0.99, 0.99])])
def test_full_scale_is_the_largest_number_of_the_type(tmp_path, datatype, rails, others):
    kind = {"ci8": "i1", "cu8": "u1", "ci16_le": "<i2", "cf32_le": "<f4"}[datatype]
    middle = 128 if datatype == "cu8" else 0
    values = np.array([[rails[0], middle], [middle, rails[1]], [others[0], middle], [middle, others[1]]], kind)
    (tmp_path / "x.iq").write_bytes(values.tobytes())
    found = measure_levels(open_recording(tmp_path / "x.iq", rate=1e6, datatype=datatype))
    assert found.full_scale_share == 0.5


def test_what_is_no_number_counts_apart():
    found = of([np.nan, np.inf, 0.5, 0.5])
    assert (found.n_samples, found.not_finite) == (4, 2) and found.rms_dbfs == pytest.approx(-6.02, abs=0.01)
    assert of([np.nan]).rms_dbfs is None and of([0.0, 0.0]).peak_dbfs is None


def test_a_long_recording_is_looked_at_here_and_there(monkeypatch):
    monkeypatch.setattr(module, "MAX_SAMPLES", 1 << 18)
    iq = np.zeros(1 << 20, np.complex64)
    iq[-100:] = 0.5
    found = of(iq)
    assert found.n_samples == 1 << 18 and found.peak_dbfs == pytest.approx(-6.02, abs=0.01)
