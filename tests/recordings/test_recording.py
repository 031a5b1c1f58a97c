# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings: every SigMF data type to its exact numbers, several captures, and what is wrong said in one line."""

import hashlib

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingError, find_recordings, open_recording
from gnuradio.spectrumencoder.recordings.sample_format import SampleFormat
from gnuradio.spectrumencoder.recordings.sigmf import open_sigmf

TYPES = [f"{c}{t}{e}" for c in "cr" for t in ("f64", "f32", "f16", "i32", "i16", "u32", "u16") for e in ("_le", "_be")]
TYPES += [f"{c}{t}" for c in "cr" for t in ("i8", "u8")]


@pytest.fixture
def write(write_sigmf):
    """Writes bytes as a recording of 1 MS/s at 100 MHz; returns its .sigmf-meta."""
    def make(folder, raw, datatype="ci16_le", name="r", captures=None, annotations=(), **fields):
        return write_sigmf(folder, name, raw, datatype=datatype, freq_hz=1e8, captures=captures, annotations=annotations,
                           **fields)
    return make


def refused(path, *words):
    with pytest.raises(RecordingError) as caught:
        open_recording(path).read()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype(write, tmp_path, datatype):
    """The lowest, the highest and values between come out as the contract's full scale says."""
    component = SampleFormat(datatype).component
    bits = 8 * component.itemsize
    if component.kind == "f":
        stored = np.array([-1.0, 1.0, 0.25, -0.5], component)
        want = stored.astype(float)
    elif component.kind == "i":
        stored = np.array([-2 ** (bits - 1), 2 ** (bits - 1) - 1, 1, 0], component)
        want = stored.astype(float) / 2.0 ** (bits - 1)
    else:
        stored = np.array([0, 2 ** bits - 1, 2 ** (bits - 1), 1], component)
        want = (stored.astype(float) - (2.0 ** bits - 1) / 2) / ((2.0 ** bits - 1) / 2)
    iq = open_recording(write(tmp_path, stored.tobytes(), datatype)).read()
    assert iq.dtype == np.complex64
    want = want[0::2] + 1j * want[1::2] if datatype[0] == "c" else want + 0j
    np.testing.assert_allclose(iq, want, atol=2e-7)


def test_cu8_middle():
    np.testing.assert_array_equal(SampleFormat("cu8").decode(np.array([0, 255], np.uint8)), [-1 + 1j])


@pytest.mark.parametrize("datatype", ["ci8", "cu8", "ci16_le", "cu16_le", "ci16_be", "cf32_le"])
def test_compiled_numbers_are_those_of_numpy(datatype):
    """Bit for bit, every value of the small types among them."""
    form, rng = SampleFormat(datatype), np.random.default_rng(4)
    if form.component.kind == "f":
        raw = rng.standard_normal(2002).astype(form.component).view(np.uint8)
    else:
        info = np.iinfo(form.component)
        raw = np.arange(info.min, info.max + 1).astype(form.component).view(np.uint8)
        raw = np.concatenate((raw, rng.integers(0, 256, 2 * 2 * form.component.itemsize, np.uint8)))  # no whole vector
    out = np.full(len(raw) // form.sample_bytes + 2, 7, np.complex64)
    form.decode_into(raw, out[1:-1])
    np.testing.assert_array_equal(out[1:-1].view(np.uint32), form.decode_numpy(raw).view(np.uint32))
    assert out[0] == out[-1] == 7


def test_samples_into_an_array(write, tmp_path):
    """Over the pieces in which a file is read, and over captures that stand apart; only what exists."""
    raw = np.random.default_rng(5).integers(-2 ** 15, 2 ** 15, 100_000).astype("<i2")
    captures = [{"core:sample_start": 0}, {"core:sample_start": 20_000, "core:header_bytes": 6}]
    data = raw[:40_000].tobytes() + b"header" + raw[40_000:].tobytes()
    recording = open_recording(write(tmp_path, data, "ci16_le", captures=captures, **{"core:dataset": "r.sigmf-data"}))
    out = np.zeros(45_000, np.complex64)
    recording.read_into(3_000, out)
    np.testing.assert_array_equal(out, SampleFormat("ci16_le").decode_numpy(raw.view(np.uint8))[3_000:48_000])
    for start, count in ((-1, 5), (49_999, 2), (50_001, 0)):
        with pytest.raises(ValueError, match="50000"):
            recording.read_into(start, np.empty(count, np.complex64))
    assert len(recording.read(50_001)) == 0


def test_agrees_with_the_sigmf_package(write, tmp_path):
    import sigmf
    raw = np.random.default_rng(1).integers(-2 ** 15, 2 ** 15, 2000).astype("<i2")
    path = write(tmp_path, raw.tobytes(), "ci16_le")
    theirs = sigmf.sigmffile.fromfile(str(path), skip_checksum=True).read_samples()
    np.testing.assert_allclose(open_recording(path).read(), theirs, atol=1e-6)


def test_read_a_part(write, tmp_path):
    raw = np.arange(200, dtype="<i2")
    recording = open_recording(write(tmp_path, raw.tobytes()))
    whole = recording.read()
    assert recording.n_samples == len(whole) == 100
    np.testing.assert_array_equal(recording.read(30, 20), whole[30:50])
    np.testing.assert_array_equal(recording.read(90, 20), whole[90:])
    assert len(recording.read(100, 5)) == len(recording.read(500, 5)) == len(recording.read(3, 0)) == 0
    with pytest.raises(ValueError, match="negative"):
        recording.read(-1, 5)


def test_captures_header_and_trailing_bytes(write, tmp_path):
    """Two captures with headers of 4 and 6 bytes, as in the SigMF specification, and 3 trailing bytes."""
    first, second = np.arange(40, dtype=np.uint8), np.arange(100, 160, dtype=np.uint8)
    raw = b"HEAD" + first.tobytes() + b"HEADER" + second.tobytes() + b"END"
    path = write(tmp_path, raw, "cu8", captures=[
        {"core:sample_start": 0, "core:header_bytes": 4, "core:frequency": 1e8, "core:datetime": "2026-01-31T12:00:00.25Z"},
        {"core:sample_start": 20, "core:header_bytes": 6, "core:frequency": 2e8}], **{"core:trailing_bytes": 3})
    recording = open_recording(path)
    assert recording.n_samples == 50
    np.testing.assert_array_equal(recording.read(), SampleFormat("cu8").decode(np.concatenate([first, second])))
    np.testing.assert_array_equal(recording.read(18, 4), recording.read()[18:22])
    assert [c.frequency_hz for c in recording.captures] == [1e8, 2e8]
    assert recording.capture_at(19).frequency_hz == 1e8
    assert recording.capture_at(20).frequency_hz == 2e8
    assert recording.captures[0].time_parts == (1769860800, 0.25)
    assert recording.captures[0].posix_time == 1769860800.25
    assert recording.captures[1].posix_time is None


def test_datetime_keeps_its_digits_and_zone(write, tmp_path):
    path = write(tmp_path, bytes(8), captures=[{"core:sample_start": 0, "core:datetime": "2026-01-31T13:00:00.123456789+01:00"}])
    seconds, fraction = open_recording(path).captures[0].time_parts
    assert seconds == 1769860800
    assert fraction == pytest.approx(0.123456789, abs=1e-12)


def test_offset_is_subtracted(write, tmp_path):
    """core:sample_start counts from core:offset; sample numbers here from the first sample in the file."""
    path = write(tmp_path, bytes(400), captures=[{"core:sample_start": 1000}, {"core:sample_start": 1050}],
                 annotations=[{"core:sample_start": 1010, "core:sample_count": 5, "core:label": "x",
                               "core:freq_lower_edge": 1.0, "core:freq_upper_edge": 2.0}], **{"core:offset": 1000})
    recording = open_recording(path)
    assert [c.sample_start for c in recording.captures] == [0, 50]
    note = recording.annotations[0]
    assert (note.sample_start, note.sample_count, note.label) == (10, 5, "x")
    assert (note.freq_lower_hz, note.freq_upper_hz) == (1.0, 2.0)
    assert recording.offset == 1000


def test_annotation_without_count_reaches_to_the_end(write, tmp_path):
    recording = open_recording(write(tmp_path, bytes(400), annotations=[{"core:sample_start": 40}]))
    assert recording.annotations[0].sample_count == 60


def test_channels_are_apart(write, tmp_path):
    raw = np.array([1, 2, 101, 102, 3, 4, 103, 104], np.int8)
    path = write(tmp_path, raw.tobytes(), "ci8", **{"core:num_channels": 2})
    np.testing.assert_array_equal(open_recording(path).read() * 128, [1 + 2j, 3 + 4j])
    np.testing.assert_array_equal(open_sigmf(path, channel=1).read() * 128, [101 + 102j, 103 + 104j])
    with pytest.raises(RecordingError, match="channel 2"):
        open_sigmf(path, channel=2)


def test_part_of_a_sample_is_left_out(write, tmp_path):
    assert open_recording(write(tmp_path, bytes(401))).n_samples == 100


def test_names_that_open(write, tmp_path):
    path = write(tmp_path, bytes(400), name="a.b")
    for name in (path, path.with_suffix(".sigmf-data"), path.with_suffix("")):
        assert open_recording(name).name == "a.b"


def test_core_dataset_names_the_file(write, tmp_path):
    path = write(tmp_path, bytes(400), **{"core:dataset": "other.iq"})
    path.with_suffix(".sigmf-data").rename(tmp_path / "other.iq")
    assert open_recording(path).n_samples == 100


def test_raw(tmp_path):
    (tmp_path / "x.iq").write_bytes(np.ones(20, "<f4").tobytes())
    recording = open_recording(tmp_path / "x.iq", rate=2e6, datatype="cf32_le", freq=1e9)
    assert (recording.n_samples, recording.samp_rate, recording.frequency_hz) == (10, 2e6, 1e9)
    assert recording.path == tmp_path / "x.iq" and recording.datatype == "cf32_le"
    np.testing.assert_array_equal(recording.read(), np.full(10, 1 + 1j))
    with pytest.raises(RecordingError, match="cf99"):
        open_recording(tmp_path / "x.iq", rate=2e6, datatype="cf99")
    with pytest.raises(RecordingError, match="sample_rate"):
        open_recording(tmp_path / "x.iq", rate=0, datatype="cf32_le")
    with pytest.raises(RecordingError, match="no such file"):
        open_recording(tmp_path / "y.iq", rate=2e6, datatype="cf32_le")


def test_what_is_missing(write, tmp_path):
    refused(tmp_path / "nothing.sigmf-meta", "no such recording")
    path = write(tmp_path, bytes(8))
    path.with_suffix(".sigmf-data").unlink()
    refused(path, "samples are missing", "r.sigmf-data")
    (tmp_path / "raw.iq").write_bytes(bytes(8))
    refused(tmp_path / "raw.iq", "raw IQ")
    (tmp_path / "a.sigmf").write_bytes(bytes(8))
    refused(tmp_path / "a.sigmf", "archive")


@pytest.mark.parametrize(("content", "word"), [
    (b"", "JSON"), (b'{"global": {', "JSON"), (b"\xff\xfe", "JSON"), (b"[]", "list"), (b"{}", "global"),
    (b'{"global": {"core:sample_rate": 1}}', "core:datatype"),
    (b'{"global": {"core:datatype": "ci12", "core:sample_rate": 1}}', "ci12"),
    (b'{"global": {"core:datatype": "ci8"}}', "sample rate"),
    (b'{"global": {"core:datatype": "ci8", "core:sample_rate": -1}}', "-1"),
    (b'{"global": {"core:datatype": "ci8", "core:sample_rate": NaN}}', "nan"),
    (b'{"global": {"core:datatype": "ci8", "core:sample_rate": "1e6"}}', "number"),
    (b'{"global": {"core:datatype": "ci8", "core:sample_rate": 1}, "captures": 3}', "captures"),
    (b'{"global": {"core:datatype": "ci8", "core:sample_rate": 1}, "captures": [{"core:sample_start": -1}]}', "-1"),
    (b'{"global": {"core:datatype": "ci8", "core:sample_rate": 1}, "captures": [{"core:datetime": "soon"}]}', "soon"),
    (b'{"global": {"core:datatype": "ci8", "core:sample_rate": 1, "core:num_channels": 1.5}}', "1.5"),
])
def test_invalid_metadata(write, tmp_path, content, word):
    path = write(tmp_path, bytes(800))
    path.write_bytes(content)
    refused(path, word)


def test_truncated(write, tmp_path):
    refused(write(tmp_path, b"", name="empty"), "empty or truncated")
    refused(write(tmp_path, b"abc", name="three"), "empty or truncated")
    captures = [{"core:sample_start": 0}, {"core:sample_start": 5000}]
    refused(write(tmp_path, bytes(400), name="short", captures=captures), "5000", "truncated")


def test_shrunk_after_opening(write, tmp_path):
    path = write(tmp_path, bytes(4000))
    recording = open_recording(path)
    path.with_suffix(".sigmf-data").write_bytes(bytes(400))
    with pytest.raises(RecordingError, match="shorter"):
        recording.read()


def test_verify(write, tmp_path):
    raw = bytes(range(200))
    assert not open_recording(write(tmp_path, raw)).verify()
    assert open_recording(write(tmp_path, raw, **{"core:sha512": hashlib.sha512(raw).hexdigest()})).verify()
    bad = open_recording(write(tmp_path, raw[:-4], **{"core:sha512": hashlib.sha512(raw).hexdigest()}))
    with pytest.raises(RecordingError, match="truncated"):
        bad.verify()


def test_find(write, tmp_path):
    with pytest.raises(RecordingError, match="no .*sigmf-meta"):
        find_recordings(tmp_path)
    b, a = write(tmp_path, bytes(8), name="b"), write(tmp_path, bytes(8), name="a")
    assert find_recordings(tmp_path) == [a, b]
    assert find_recordings(a) == [a]


def test_whole_corpus_reads(corpus):
    paths = find_recordings(corpus)
    assert len(paths) >= 183
    for path in paths:
        recording = open_recording(path)
        iq = recording.read()
        assert len(iq) == recording.n_samples
        assert np.isfinite(iq).all()
        assert 0 < np.abs(iq).max() < 1.5
