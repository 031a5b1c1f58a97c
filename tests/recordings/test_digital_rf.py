# SPDX-License-Identifier: GPL-3.0-or-later
"""Digital RF: recordings that the digital_rf package itself wrote."""

import sys

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingError, find_recordings, open_recording

drf = pytest.importorskip("digital_rf")

RATE, T0 = 10_000, 1_700_000_000
CI16 = np.dtype([("r", "<i2"), ("i", "<i2")])
rng = np.random.default_rng(4)
IQ = (rng.standard_normal((25_000, 4), np.float32).view(np.complex64) * np.float32(0.1))  # (n, 2) subchannels
ONE = np.ascontiguousarray(IQ[:, :1])


def as_type(iq, dtype):
    if np.dtype(dtype).kind == "c":
        return iq.astype(dtype)
    values = np.empty(iq.shape, np.dtype([("r", dtype), ("i", dtype)]))
    kind = np.dtype(dtype)
    scale = 2.0 ** (8 * kind.itemsize - 1) if kind.kind == "i" else 1.0
    for name, part in (("r", iq.real), ("i", iq.imag)):
        values[name] = np.round(part * scale) if kind.kind == "i" else part
    return values


def write(top, parts, *, name="ch0", dtype="<i2", rate=(RATE, 1), start=T0 * RATE + 123, continuous=False, compression=0,
          checksum=False, file_ms=1000, is_complex=True):
    """parts: (samples after the start, IQ (n, subchannels))."""
    (top / name).mkdir(parents=True)
    first = as_type(parts[0][1], dtype) if is_complex else parts[0][1]
    writer = drf.DigitalRFWriter(str(top / name), first.dtype, 3600, file_ms, start, *rate, is_complex=is_complex,
                                 num_subchannels=first.shape[1], is_continuous=continuous, compression_level=compression,
                                 checksum=checksum, marching_periods=False)
    for at, iq in parts:
        writer.rf_write(as_type(iq, dtype) if is_complex else iq, at)
    writer.close()
    return top / name


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize(("dtype", "datatype", "atol"), [
    ("i1", "ci8", 1 / 100), ("<i2", "ci16_le", 1 / 32768), ("<i4", "ci32_le", 1e-7), ("<c8", "cf32_le", 0),
    (">i2", "ci16_be", 1 / 32768)])
def test_types(tmp_path, dtype, datatype, continuous, atol):
    recording = open_recording(write(tmp_path, [(0, ONE)], dtype=dtype, continuous=continuous), freq=1e8)
    assert (recording.format_name, recording.datatype, recording.samp_rate) == ("Digital RF", datatype, RATE)
    np.testing.assert_allclose(recording.read(), ONE[:, 0], atol=atol)
    np.testing.assert_array_equal(recording.read(9_000, 11_000), recording.read()[9_000:20_000])
    assert recording.captures[0].time_parts == (T0, 0.0123) and len(recording.captures) == 1 and recording.notes == []


@pytest.mark.parametrize("compression", [0, 4])
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("continuous", [False, True])
def test_files_that_are_compressed_or_have_checksums(tmp_path, compression, checksum, continuous):
    path = write(tmp_path, [(0, IQ)], compression=compression, checksum=checksum, continuous=continuous)
    recording = open_recording(path, channel=1)
    np.testing.assert_allclose(recording.read(), IQ[:, 1], atol=1 / 32768)
    np.testing.assert_array_equal(recording.read(9_000, 11_000), recording.read()[9_000:20_000])


@pytest.mark.parametrize("continuous", [False, True])
def test_gaps_begin_captures_and_fill_is_no_sample(tmp_path, continuous):
    """In a file that was written as continuous, what was never written reads -32768 - 32768j."""
    parts = [(0, ONE[:7_000]), (12_345, ONE[7_000:18_000]), (100_000, ONE[18_000:])]
    recording = open_recording(write(tmp_path, parts, continuous=continuous), freq=1e8)
    assert recording.n_samples == 25_000
    np.testing.assert_allclose(recording.read(), ONE[:, 0], atol=1 / 32768)
    assert [c.sample_start for c in recording.captures] == [0, 7_000, 18_000]
    assert [c.posix_time - T0 for c in recording.captures] == pytest.approx([0.0123, 1.2468, 10.0123], abs=1e-6)
    assert recording.notes == ["2 gaps, 8.2 s in all; a capture after each"]


def test_a_hole_inside_a_file_that_was_written_as_continuous(tmp_path):
    parts = [(0, ONE[:2_000]), (2_100, ONE[2_000:])]  # 100 of the 10,000 samples of a file
    recording = open_recording(write(tmp_path, parts, continuous=True))
    assert [c.sample_start for c in recording.captures] == [0, 2_000]
    np.testing.assert_allclose(recording.read(), ONE[:, 0], atol=1 / 32768)


@pytest.mark.parametrize(("start", "lost"), [(0, 9_000), (123_457, 9_000), (999_000, 3_000_000)])
def test_holes_of_a_large_file_that_was_written_as_continuous(tmp_path, start, lost):
    parts = [(0, ONE[:12_345]), (12_345 + lost, ONE[12_345:])]  # a file has 1,000,000 samples
    recording = open_recording(write(tmp_path, parts, continuous=True, rate=(1_000_000, 1), start=T0 * 1_000_000 + start))
    assert [c.sample_start for c in recording.captures] == [0, 12_345] and recording.n_samples == 25_000
    np.testing.assert_allclose(recording.read(), ONE[:, 0], atol=1 / 32768)
    times = [c.posix_time - T0 for c in recording.captures]
    assert times == pytest.approx([start / 1e6, (start + 12_345 + lost) / 1e6], abs=1e-6)


def test_full_scale_of_a_large_file_is_no_hole(tmp_path):
    iq = np.tile(ONE, (8, 1))
    iq[rng.random(iq.shape) < 0.3] = -1 - 1j
    recording = open_recording(write(tmp_path, [(0, iq)], continuous=True, rate=(1_000_000, 1), start=T0 * 1_000_000))
    assert len(recording.captures) == 1 and abs(recording.n_samples - len(iq)) < 20
    np.testing.assert_allclose(recording.read(100, 150_000), iq[100:150_100, 0], atol=1 / 32768)


def test_a_hole_that_is_too_short_to_be_found_is_no_sample(tmp_path):
    at = 12_345  # 100 of 1,000,000 samples of a file
    path = write(tmp_path, [(0, ONE[:at]), (at + 100, ONE[at:])], continuous=True, rate=(1_000_000, 1), start=T0 * 1_000_000)
    iq = open_recording(path).read()
    assert np.isnan(iq[at:at + 100]).all() and len(iq) == 25_100
    np.testing.assert_allclose(np.delete(iq, np.s_[at:at + 100]), ONE[:, 0], atol=1 / 32768)


def test_full_scale_is_no_fill(tmp_path):
    iq = ONE.copy()
    iq[7::500] = -1 - 1j
    recording = open_recording(write(tmp_path, [(0, iq)], continuous=True))
    np.testing.assert_allclose(recording.read(), iq[:, 0], atol=1 / 32768)


def test_subchannels_are_channels(tmp_path):
    path = write(tmp_path, [(0, IQ)])
    first, second = open_recording(path), open_recording(path, channel=1)
    np.testing.assert_allclose(first.read(), IQ[:, 0], atol=1 / 32768)
    np.testing.assert_allclose(second.read(), IQ[:, 1], atol=1 / 32768)
    assert any("1 of 2 channels is read; --channel 1" in note for note in first.notes) and second.n_channels == 2
    with pytest.raises(RecordingError, match="channel 2"):
        open_recording(path, channel=2)


def test_real_samples(tmp_path):
    values = rng.integers(-3000, 3000, (5_000, 1)).astype("<i2")
    recording = open_recording(write(tmp_path, [(0, values)], is_complex=False))
    assert recording.datatype == "ri16_le"
    np.testing.assert_array_equal(recording.read(), values[:, 0] / np.float32(32768))


def test_a_rate_that_is_a_ratio_and_the_time_of_a_sample_number(tmp_path):
    start = T0 * 200_000_000 // 3 + 1  # 66.67 MS/s in 1700 million seconds is a number of 57 bits
    recording = open_recording(write(tmp_path, [(0, ONE)], rate=(200_000_000, 3), start=start, file_ms=1))
    assert recording.samp_rate == 200e6 / 3
    seconds, fraction = recording.captures[0].time_parts
    assert seconds == T0 and fraction == pytest.approx((start * 3 - T0 * 200_000_000) / 200_000_000, abs=1e-15)


@pytest.mark.parametrize("subchannel", [0, 1])
def test_the_metadata_state_the_frequency(tmp_path, subchannel):
    path = write(tmp_path, [(0, IQ[:10_000]), (20_000, IQ[10_000:])])
    (path / "metadata").mkdir()
    metadata = drf.DigitalMetadataWriter(str(path / "metadata"), 3600, 60, RATE, 1, "metadata")
    first = T0 * RATE + 123
    for at, frequencies in ((0, [100e6, 200e6]), (3_000, [100e6, 200e6]), (5_000, [150e6, 250e6]), (15_000, [160e6, 260e6])):
        metadata.write(first + at, {"center_frequencies": np.array([frequencies]), "receiver": "x"})
    recording = open_recording(path, channel=subchannel)
    assert [(c.sample_start, c.frequency_hz) for c in recording.captures] == [
        (0, 100e6 + subchannel * 100e6), (5_000, 150e6 + subchannel * 100e6), (10_000, 160e6 + subchannel * 100e6)]
    assert recording.captures[1].posix_time == pytest.approx(T0 + 0.5123, abs=1e-6)
    assert recording.origins["frequency"] == "metadata" and recording.origins["time"] == "sample number"


def test_folders(tmp_path):
    a, b = write(tmp_path / "two", [(0, ONE)], name="a"), write(tmp_path / "two", [(0, ONE)], name="b")
    assert find_recordings(tmp_path / "two") == [a, b]
    only = write(tmp_path / "one", [(0, ONE)])
    assert find_recordings(tmp_path / "one") == [only]
    for named in (tmp_path / "one", only / "drf_properties.h5", next(only.glob("*/rf@*.h5"))):
        assert open_recording(named).path == only


def test_damaged_files_are_left_out_with_a_note(tmp_path):
    path = write(tmp_path, [(0, ONE)])
    files = sorted(path.glob("*/rf@*.h5"))
    files[1].write_bytes(files[1].read_bytes()[:1000])
    recording = open_recording(path)
    assert recording.n_samples == 15_000 and "is damaged" in recording.notes[0] and "1 gap" in recording.notes[1]
    for file in files:
        file.write_bytes(b"no HDF5")
    with pytest.raises(RecordingError, match="holds no samples.*is damaged") as caught:
        open_recording(path)
    assert "\n" not in str(caught.value)
    (path / "drf_properties.h5").write_bytes(b"no HDF5")
    with pytest.raises(RecordingError, match="properties are damaged"):
        open_recording(path)


def test_a_sample_number_that_is_no_time(tmp_path):
    recording = open_recording(write(tmp_path, [(0, ONE)], start=10**12 * RATE))
    assert recording.captures[0].time_parts is None and recording.origins["time"] == "unknown"
    np.testing.assert_allclose(recording.read(), ONE[:, 0], atol=1 / 32768)


def test_a_file_that_becomes_shorter_is_an_error_of_one_line(tmp_path):
    path = write(tmp_path, [(0, ONE)])
    recording = open_recording(path)
    file = sorted(path.glob("*/rf@*.h5"))[0]
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(RecordingError, match="truncated"):
        recording.read()


def test_without_the_package_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    path = write(tmp_path, [(0, ONE)])
    monkeypatch.setitem(sys.modules, "digital_rf", None)
    with pytest.raises(RecordingError, match="needs the package digital_rf; install it with `pip install digital_rf`"):
        open_recording(path)
