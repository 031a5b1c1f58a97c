# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that GNU Radio's own file_meta_sink wrote, and serialised PMTs that pmt wrote."""

import struct

import numpy as np
import pmt
import pytest
from gnuradio import blocks, gr
from gnuradio.spectrumencoder.recordings import RecordingError, find_recordings, open_recording
from gnuradio.spectrumencoder.recordings.file_meta import is_file_meta, open_file_meta
from gnuradio.spectrumencoder.recordings.pmt_bytes import read_pmt

RATE, N = 10_000.0, 10_000
IQ = (np.random.default_rng(2).standard_normal(2 * N, np.float32).view(np.complex64) * np.float32(0.1))


def time_pmt(seconds, fraction):
    return pmt.make_tuple(pmt.from_uint64(seconds), pmt.from_double(fraction))


def tag(offset, key, value):
    made = gr.tag_t()
    made.offset, made.key, made.value = offset, pmt.intern(key), value
    return made


def write(path, tags=(), *, items=IQ, source=blocks.vector_source_c, item_bytes=8, kind=blocks.GR_FILE_FLOAT, is_complex=True,
          detached=False, segment=1000, vlen=1):
    """A file of GNU Radio's sink, whose segments have `segment` items at most."""
    top = gr.top_block()
    source = source(items.tolist(), False, vlen, list(tags))
    sink = blocks.file_meta_sink(item_bytes * vlen, str(path), RATE, 1, kind, is_complex, segment, pmt.make_dict(), detached)
    top.connect(source, sink)
    top.run()
    sink.close()
    return path


START = [tag(0, "rx_freq", pmt.from_double(433.92e6)), tag(0, "rx_time", time_pmt(1_700_000_000, 0.25))]


@pytest.mark.parametrize("detached", [False, True])
def test_samples_rate_frequency_and_time(tmp_path, detached):
    path = write(tmp_path / "x.dat", START, detached=detached)
    recording = open_recording(path)
    assert recording.format_name == "file_meta_sink" and recording.samp_rate == RATE and recording.datatype == "cf32_le"
    np.testing.assert_array_equal(recording.read(), IQ)
    np.testing.assert_array_equal(recording.read(999, 5003), IQ[999:6002])
    assert [(c.sample_start, c.frequency_hz, c.time_parts) for c in recording.captures] == [(0, 433.92e6, (1_700_000_000, 0.25))]
    assert recording.origins["frequency"] == "rx_freq" and recording.origins["time"] == "rx_time" and recording.notes == []
    assert recording.data_paths == [path]


def test_a_time_that_no_tag_stated_is_not_known(tmp_path):
    """The sink counts from 1970 then."""
    tags = [tag(4500, "rx_freq", pmt.from_double(868e6)), tag(7000, "rx_time", time_pmt(1_700_000_009, 0.5))]
    recording = open_recording(write(tmp_path / "x.dat", tags))
    assert [(c.sample_start, c.frequency_hz, c.time_parts) for c in recording.captures] == [
        (0, None, None), (4500, 868e6, None), (7000, 868e6, (1_700_000_009, 0.5))]


def test_a_detached_header_is_found_in_its_folder_and_by_either_name(tmp_path):
    write(tmp_path / "x.dat", START, detached=True)
    (tmp_path / "envi.hdr").write_text("ENVI\nsamples = 3\n")
    assert find_recordings(tmp_path) == find_recordings(tmp_path / "x.dat") == [tmp_path / "x.dat.hdr"]
    (tmp_path / "x.dat").unlink()
    with pytest.raises(RecordingError, match="its samples are missing; put x.dat beside it"):
        open_recording(tmp_path / "x.dat.hdr")


@pytest.mark.parametrize("detached", [False, True])
def test_a_retune_begins_a_capture_at_its_true_time(tmp_path, detached):
    """The sink states 0.65 s for the segment that begins with sample 4500, the time of sample 4000; 0.70 s is right."""
    tags = [*START, tag(4500, "rx_freq", pmt.from_double(868e6)), tag(6200, "rx_time", time_pmt(1_700_000_009, 0.5)),
            tag(8000, "hello", pmt.intern("x"))]
    recording = open_recording(write(tmp_path / "x.dat", tags, detached=detached))
    np.testing.assert_array_equal(recording.read(), IQ)
    assert [(c.sample_start, c.frequency_hz) for c in recording.captures] == [(0, 433.92e6), (4500, 868e6), (6200, 868e6)]
    times = [c.posix_time - 1_700_000_000 for c in recording.captures]
    assert times == pytest.approx([0.25, 0.7, 9.5], abs=1e-6)


@pytest.mark.parametrize("value", [pmt.init_f64vector(2, [100e6, 200e6]), pmt.to_pmt([100e6, 200e6]), pmt.from_long(100_000_000),
                                   pmt.make_tuple(pmt.from_double(100e6), pmt.from_double(2.0)), pmt.from_uint64(100_000_000)])
def test_a_frequency_of_any_numeric_type(tmp_path, value):
    assert open_recording(write(tmp_path / "x.dat", [tag(0, "rx_freq", value)])).frequency_hz == 100e6


@pytest.mark.parametrize("value", [pmt.intern("low"), pmt.PMT_T, pmt.from_double(float("nan")), pmt.make_dict()])
def test_a_frequency_that_is_no_number_is_not_stated(tmp_path, value):
    recording = open_recording(write(tmp_path / "x.dat", [tag(0, "rx_freq", value)]))
    assert recording.frequency_hz is None and recording.captures[0].time_parts is None


@pytest.mark.parametrize(("arguments", "datatype", "scale"), [
    ({"source": blocks.vector_source_s, "item_bytes": 2, "kind": blocks.GR_FILE_SHORT, "is_complex": False}, "ri16_le", 32768),
    ({"source": blocks.vector_source_i, "item_bytes": 4, "kind": blocks.GR_FILE_INT, "is_complex": False}, "ri32_le", 2**31),
    ({"source": blocks.vector_source_f, "item_bytes": 4, "kind": blocks.GR_FILE_FLOAT, "is_complex": False}, "rf32_le", 1)])
def test_other_types(tmp_path, arguments, datatype, scale):
    values = np.arange(-500, 500)
    recording = open_recording(write(tmp_path / "x.dat", items=values, **arguments))
    assert recording.datatype == datatype
    np.testing.assert_array_equal(recording.read(), (values / scale).astype(np.float32))


def test_complex_shorts(tmp_path):
    values = np.arange(-500, 500).astype(np.int16)
    recording = open_recording(write(tmp_path / "x.dat", items=values, source=blocks.vector_source_s, item_bytes=2, vlen=2,
                                     kind=blocks.GR_FILE_SHORT))
    assert recording.datatype == "ci16_le"
    np.testing.assert_array_equal(recording.read(), values.astype(np.float32).view(np.complex64) / 32768)


def test_vectors_are_read_one_after_the_other(tmp_path):
    recording = open_recording(write(tmp_path / "x.dat", START, vlen=4))
    np.testing.assert_array_equal(recording.read(), IQ)
    assert "vectors of 4" in recording.notes[0]


def test_a_rate_that_changes_ends_the_recording(tmp_path):
    recording = open_recording(write(tmp_path / "x.dat", [*START, tag(3000, "rx_rate", pmt.from_double(2e4))]))
    assert recording.n_samples == 3000 and "rate changes from 10000 to 20000 Hz at sample 3000" in recording.notes[0]


@pytest.mark.parametrize(("cut", "n_samples"), [(10, N - 2), (8000 + 171 - 20, N - 1000), (8000 + 100, N - 1000)])
def test_a_recording_that_was_cut_off_gives_what_is_there(tmp_path, cut, n_samples):
    path = write(tmp_path / "x.dat", START)
    whole = path.read_bytes()[:-171]  # the header of an empty segment
    path.write_bytes(whole[:-cut])
    recording = open_recording(path)
    assert recording.n_samples == n_samples and "cut off" in recording.notes[0]
    np.testing.assert_array_equal(recording.read(), IQ[:n_samples])


def test_what_is_no_header_is_refused_in_one_line(tmp_path):
    path = write(tmp_path / "x.dat", START)
    whole = path.read_bytes()
    for damaged in (b"", whole[:60], whole[:171], whole.replace(b"\x04type\x03\0\0\0\x05", b"\x04type\x03\0\0\0\x03"),
                    whole.replace(b"\x04size\x03\0\0\0\x08", b"\x04size\x03\0\0\0\x09")):
        path.write_bytes(damaged)
        with pytest.raises(RecordingError) as caught:
            open_file_meta(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(RecordingError, match="channel 1"):
        open_file_meta(write(tmp_path / "y.dat", START), channel=1)


def some_pmts():
    yield from (True, False, None, 1.5, -5, 2**40, 1 + 2j, "a", {"a": 1, "b": (2, 3.0)}, [1, 2], (1, 2.0))
    yield from (np.arange(5, dtype=kind) for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "c8", "c16"))


@pytest.mark.parametrize("value", list(some_pmts()), ids=str)
def test_serialised_pmts(value):
    data = pmt.serialize_str(pmt.to_pmt(value))
    found, end = read_pmt(data + b"more")
    assert end == len(data)
    np.testing.assert_array_equal(found, value)
    for cut in range(len(data)):
        with pytest.raises(ValueError, match="ends too early|too deep"):
            read_pmt(data[:cut])


def test_pmts_without_an_end_are_refused():
    for data in (b"\x07" * 10_000, b"\x09\x07" * 10_000, b"\x0c\xff\xff\xff\xff" + b"\x06" * 10,
                 b"\x0a\x09\xff\xff\xff\xff\x00", b"\xee"):
        with pytest.raises(ValueError, match="early|deep|known"):
            read_pmt(data)
    assert not is_file_meta(None, b"\x09" + struct.pack(">I", 5))
