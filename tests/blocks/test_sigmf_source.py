# SPDX-License-Identifier: GPL-3.0-or-later
"""sigmf_source: samples, tags at their exact offsets, repetition, pace, parts, raw files, refusals."""

import time

import numpy as np
import pmt
import pytest
from flowgraphs import run_within, status_store, stored
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import sigmf_source
from gnuradio.spectrumencoder.recordings import MemoryRecording, RecordingError, open_recording


def play(source, n_samples=None, seconds=5.0):
    """Samples and tags [(offset, key, value)] that come out; n_samples cuts what repeats."""
    top, sink = gr.top_block(), blocks.vector_sink_c()
    stages = [source, sink] if n_samples is None else [source, blocks.head(gr.sizeof_gr_complex, n_samples), sink]
    top.connect(*stages)
    assert run_within(top, [source], seconds) is None
    tags = sorted((tag.offset, pmt.symbol_to_string(tag.key), pmt.to_python(tag.value)) for tag in sink.tags())
    return np.array(sink.data(), np.complex64), tags


@pytest.mark.parametrize("n_samples", [1, 1000, 1_000_003])
def test_every_sample_comes_out(make_recording, noise, n_samples):
    samples, tags = play(sigmf_source(make_recording(noise(n_samples))))
    np.testing.assert_array_equal(samples, noise(n_samples))
    assert tags == [(0, "rx_freq", 433.92e6), (0, "rx_rate", 1e6), (0, "rx_time", (1714564800, 0.25))]


@pytest.mark.parametrize(("datatype", "stored_type", "scale"), [
    ("ci16_le", "<i2", 2**15), ("ci8", "i1", 2**7), ("ci16_be", ">i2", 2**15), ("cf32_le", "<f4", 1)])
def test_raw_samples(tmp_path, noise, datatype, stored_type, scale):
    values = np.round(noise(500, -10).view(np.float32) * scale) if scale > 1 else noise(500).view(np.float32)
    values.astype(stored_type).tofile(tmp_path / "iq.bin")
    source = sigmf_source(tmp_path / "iq.bin", samp_rate=2e6, datatype=datatype, center_freq=100e6)
    samples, tags = play(source)
    np.testing.assert_allclose(samples, (values / scale).astype(np.float32).view(np.complex64), atol=1e-7)
    assert tags == [(0, "rx_freq", 100e6), (0, "rx_rate", 2e6)]


def test_a_recording_is_taken_as_it_is(make_recording, noise):
    """It is not opened again: its metadata may be gone meanwhile."""
    path = make_recording(noise(1000))
    recording = open_recording(path)
    path.unlink()
    source = sigmf_source(recording)
    samples, tags = play(source)
    np.testing.assert_array_equal(samples, noise(1000))
    assert (0, "rx_freq", 433.92e6) in tags and source.recording is recording
    with pytest.raises(ValueError, match="samp_rate is for the path of a file"):
        sigmf_source(recording, samp_rate=1e6, datatype="cu8")


def test_samples_in_memory_are_played(noise):
    samples, tags = play(sigmf_source(MemoryRecording("held", noise(1000), 2e6), center_freq=1e8))
    np.testing.assert_array_equal(samples, noise(1000))
    assert tags == [(0, "rx_freq", 1e8), (0, "rx_rate", 2e6)]


def test_tags_at_every_capture(make_recording, noise):
    captures = [{"core:sample_start": 0, "core:frequency": 1e8},
                {"core:sample_start": 70_000, "core:frequency": 2e8, "core:datetime": "2024-05-01T12:00:01Z"},
                {"core:sample_start": 70_001, "core:frequency": 2e8},
                {"core:sample_start": 199_999, "core:frequency": 3e8, "core:datetime": "2024-05-01T12:00:02.999999Z"}]
    _, tags = play(sigmf_source(make_recording(noise(200_000), captures=captures)))
    assert tags == [
        (0, "rx_freq", 1e8), (0, "rx_rate", 1e6),
        (70_000, "rx_freq", 2e8), (70_000, "rx_rate", 1e6), (70_000, "rx_time", (1714564801, 0.0)),
        (70_001, "rx_freq", 2e8), (70_001, "rx_rate", 1e6),
        (199_999, "rx_freq", 3e8), (199_999, "rx_rate", 1e6), (199_999, "rx_time", (1714564802, 0.999999))]


def test_repeat_tags_the_seam(make_recording, noise):
    captures = [{"core:sample_start": 0, "core:frequency": 1e8}, {"core:sample_start": 600, "core:frequency": 2e8}]
    samples, tags = play(sigmf_source(make_recording(noise(1000), captures=captures), repeat=True), 2500)
    np.testing.assert_array_equal(samples, np.tile(noise(1000), 3)[:2500])
    assert [(offset, value) for offset, key, value in tags if key == "rx_freq"] == [
        (0, 1e8), (600, 2e8), (1000, 1e8), (1600, 2e8), (2000, 1e8)]


MIXED = [{"core:sample_start": 0}, {"core:sample_start": 600, "core:frequency": 2e8}, {"core:sample_start": 800}]


def test_captures_without_a_frequency_among_others_are_not_known_or_told(make_recording, noise):
    """Without a tag of its own, a capture would be taken to be at the frequency of the one before, or at the seam the last."""
    path = make_recording(noise(1000), captures=MIXED)
    _, tags = play(sigmf_source(path))
    values = [value for _, key, value in tags if key == "rx_freq"]
    assert np.isnan(values[0]) and values[1] == 2e8 and np.isnan(values[2]) and len(values) == 3
    _, tags = play(sigmf_source(path, repeat=True, center_freq=1e8), 1500)
    assert [(offset, value) for offset, key, value in tags if key == "rx_freq"] == [
        (0, 1e8), (600, 2e8), (800, 1e8), (1000, 1e8)]


@pytest.mark.parametrize(("start", "count"), [(0, 600), (100, 100), (600, 200), (850, 0)])
def test_only_the_captures_that_are_played_count(make_recording, noise, start, count):
    _, tags = play(sigmf_source(make_recording(noise(1000), captures=MIXED), start=start, count=count))
    assert [value for _, key, value in tags if key == "rx_freq"] == ([2e8] if start == 600 else [])


def test_a_recording_without_any_frequency_may_be_told_it(make_recording, noise):
    path = make_recording(noise(1000), captures=[{"core:sample_start": 0}])
    assert [tag[1] for tag in play(sigmf_source(path))[1]] == ["rx_rate"]
    assert (0, "rx_freq", 1e8) in play(sigmf_source(path, center_freq=1e8))[1]


def test_what_is_stated_goes_before_what_all_captures_state(make_recording, noise):
    captures = [{"core:sample_start": 600 * k, "core:frequency": 1e8 + 5e6 * k} for k in range(2)]
    _, tags = play(sigmf_source(make_recording(noise(1000), captures=captures), center_freq=4e8))
    assert [(offset, value) for offset, key, value in tags if key == "rx_freq"] == [(0, 4e8), (600, 4.05e8)]


def test_each_start_plays_from_the_beginning(make_recording, noise):
    source, sink, top = sigmf_source(make_recording(noise(70_000)), start=10), blocks.vector_sink_c(), gr.top_block()
    top.connect(source, sink)
    for _ in range(3):
        sink.reset()
        top.run()
        np.testing.assert_array_equal(np.array(sink.data(), np.complex64), noise(70_000)[10:])
        assert sorted((tag.offset, pmt.symbol_to_string(tag.key)) for tag in sink.tags()) == [
            (0, "rx_freq"), (0, "rx_rate"), (0, "rx_time")]


def test_part_of_a_recording_knows_its_time(make_recording, noise):
    source = sigmf_source(make_recording(noise(5_000_000)), start=4_000_000, count=900_000)
    samples, tags = play(source)
    np.testing.assert_array_equal(samples, noise(5_000_000)[4_000_000:4_900_000])
    assert (0, "rx_time", (1714564804, 0.25)) in tags


def test_throttle_keeps_the_pace(make_recording, noise):
    began = time.monotonic()
    samples, _ = play(sigmf_source(make_recording(noise(50_000), samp_rate=1e5), throttle=True))
    assert len(samples) == 50_000
    assert 0.45 < time.monotonic() - began < 4


@pytest.mark.parametrize(("arguments", "error", "text"), [
    ({"file": ""}, ValueError, "file is empty"), ({"file": "/no/such.sigmf-meta"}, RecordingError, "no such"),
    ({"start_time": "noon"}, RecordingError, "start 'noon' is no time"),
    ({"channel": 3}, RecordingError, "channel 3 is asked for"),
    ({"center_freq": float("nan")}, ValueError, "not a finite"),
    ({"start": -1}, ValueError, "start -1"), ({"start": 100}, ValueError, "outside 0..99"),
    ({"count": 101}, ValueError, "count 101"), ({"start": 50, "count": 51}, ValueError, "count 51"),
    ({"datatype": "cf99", "samp_rate": 1e6}, RecordingError, "cf99"),
    ({"datatype": "cf32_le"}, RecordingError, "states its own data type"),
])
def test_wrong_arguments_say_what_to_do(make_recording, noise, arguments, error, text):
    with pytest.raises(error, match=text):
        sigmf_source(**{"file": make_recording(noise(100))} | arguments)


def test_files_that_state_a_part(noise, tmp_path):
    """A .npy file has no rate; the name of raw samples has all, or all but the type."""
    np.save(tmp_path / "x.npy", noise(100))
    assert sigmf_source(tmp_path / "x.npy", samp_rate=2e6).samp_rate == 2e6
    with pytest.raises(RecordingError, match="states the sample rate; give its rate"):
        sigmf_source(tmp_path / "x.npy")
    for name, datatype in (("g_433.92M_250k.cf32", ""), ("g_433.92M_250k.iq", "fc32")):
        (tmp_path / name).write_bytes(noise(100).tobytes())
        source = sigmf_source(tmp_path / name, datatype=datatype)
        samples, tags = play(source)
        np.testing.assert_array_equal(samples, noise(100))
        assert source.samp_rate == 250e3 and source.recording.frequency_hz == 433.92e6
    (tmp_path / "y.cu8").write_bytes(bytes(200))
    with pytest.raises(RecordingError, match="give its rate in Hz"):
        sigmf_source(tmp_path / "y.cu8", datatype="cu8")


def test_status_says_running(make_recording, noise):
    top, source = gr.top_block(), sigmf_source(make_recording(noise(1000)))
    top.connect(source, blocks.null_sink(gr.sizeof_gr_complex))
    debug = status_store(top, source)
    assert run_within(top, [source]) is None
    assert (stored(debug)[0]["block"], stored(debug)[0]["status"]) == ("sigmf_source", "running")


def test_what_is_stated_goes_before_the_file(make_recording, noise):
    path = make_recording(noise(5000), samp_rate=1e6, captures=[{"core:sample_start": 0, "core:frequency": 1e9}])
    source = sigmf_source(str(path), samp_rate=2e6, freq_offset=9.75e9, start_time="2026-01-31T12:00:00.5Z")
    assert "the rate is 2000000 Hz as stated; SigMF says 1000000 Hz" in source.recording.notes
    _, tags = play(source)
    assert tags == [(0, "rx_freq", 10.75e9), (0, "rx_rate", 2e6), (0, "rx_time", (1769860800, 0.5))]
