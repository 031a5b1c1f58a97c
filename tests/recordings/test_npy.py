# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays that ``numpy.save`` wrote."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingArgumentError, RecordingError, open_recording

RNG = np.random.default_rng(7)
PAIRS = RNG.uniform(-0.9, 0.9, (300, 2))
IQ = PAIRS[:, 0] + 1j * PAIRS[:, 1]


@pytest.mark.parametrize(("array", "datatype"), [
    (IQ.astype("<c8"), "cf32_le"), (IQ.astype(">c8"), "cf32_be"), (IQ.astype("<c16"), "cf64_le"),
    (PAIRS.astype("<f4"), "cf32_le"),
    (np.round(PAIRS * 2 ** 15).astype("<i2"), "ci16_le"), (np.round(PAIRS * 2 ** 15).astype(">i2"), "ci16_be"),
    (IQ.astype("<c8")[:, None], "cf32_le"), (IQ.astype("<c8")[None], "cf32_le"),
    (np.asfortranarray(IQ.astype("<c8")), "cf32_le")])
def test_arrays_of_samples(tmp_path, array, datatype):
    path = tmp_path / "a.npy"
    np.save(path, array)
    recording = open_recording(path, rate=1e6)
    assert (recording.format_name, recording.datatype, recording.n_samples) == ("NumPy", datatype, 300)
    np.testing.assert_allclose(recording.read(), IQ, atol=3e-5)
    with pytest.raises(RecordingArgumentError, match="give its rate"):
        open_recording(path)
    with pytest.raises(RecordingArgumentError, match="is NumPy, which states its own data type"):
        open_recording(path, rate=1e6, datatype="cu8")


def test_small_and_real_numbers(tmp_path):
    np.save(tmp_path / "u.npy", np.array([[0, 255], [255, 0]], np.uint8))
    recording = open_recording(tmp_path / "u.npy", rate=1e6)
    assert recording.datatype == "cu8" and np.sign(recording.read().real).tolist() == [-1, 1]
    np.save(tmp_path / "r.npy", np.array([0.25, -0.5], "<f4"))
    np.testing.assert_array_equal(open_recording(tmp_path / "r.npy", rate=1e6).read(), [0.25, -0.5])


@pytest.mark.parametrize("array", [np.zeros((3, 4), np.complex64), np.zeros((300, 3), np.int16), np.array(1j), np.array(["a"]),
                                   np.asfortranarray(PAIRS), np.zeros((2, 2, 2)), np.zeros(0, np.complex64),
                                   np.zeros(3, [("i", "<i2"), ("q", "<i2")]), np.array([None]), np.zeros(4, bool)],
                         ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_that_are_no_samples(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(RecordingError, match=r"shape|empty|whole sample"):
        open_recording(tmp_path / "a.npy", rate=1e6)


def test_damaged(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, IQ.astype("<c8"))
    whole = path.read_bytes()
    for content, says in ((whole[:-8], "truncated"), (whole[:20], "damaged"), (whole[:6] + b"\x09\x09" + whole[8:], "version"),
                          (whole.replace(b"(300,)", b"(1<99)"), "damaged"), (whole.replace(b"(300,)", b"(9**9)"), "damaged")):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match=says) as caught:
            open_recording(path, rate=1e6)
        assert "\n" not in str(caught.value)
