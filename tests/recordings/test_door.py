# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to recordings: one rule for all that opens them, synonyms of data types, and formats that are no SigMF."""

import json
import shutil

import numpy as np
import pytest
from gnuradio.spectrumencoder import recordings
from gnuradio.spectrumencoder.recordings import (
    Annotation,
    Capture,
    Format,
    MemoryRecording,
    Recording,
    RecordingArgumentError,
    RecordingError,
    find_recordings,
    open_recording,
)
from gnuradio.spectrumencoder.recordings.raw import FileRecording, Run, SampleFile
from gnuradio.spectrumencoder.recordings.sample_format import SYNONYMS, SampleFormat

RAW = {"rate": 2e6, "datatype": "ci8"}


class NumpyRecording(Recording):
    """A format of these tests alone: an array in a .npy file. It knows its time, and its first sample is number 100."""

    offset = 100

    def __init__(self, path):
        self._iq = np.load(path)
        super().__init__(path.stem, 1e6, len(self._iq), [Capture(0, 1e8, (1769860800, 0.25)), Capture(40)],
                         [Annotation(10, 5, "burst")], path=path)

    def _read_samples(self, start, out):
        out[:] = self._iq[start:start + len(out)]


@pytest.fixture
def numpy_format(monkeypatch):
    """The list of formats with another one."""
    monkeypatch.setattr(recordings, "FORMATS", (*recordings.FORMATS, Format("NumPy", (".npy",), NumpyRecording)))


@pytest.fixture
def iq():
    return np.random.default_rng(3).standard_normal((100, 2), np.float32).view(np.complex64)[:, 0]


@pytest.mark.parametrize(("typed", "datatype"), [
    ("rtl", "cu8"), ("hackrf", "ci8"), ("sc16", "ci16_le"), ("fc32", "cf32_le"), ("SC16", "ci16_le"), (" CF32_LE ", "cf32_le"),
    ("ci16_be", "ci16_be")])
def test_a_data_type_goes_by_the_name_that_people_type(tmp_path, typed, datatype):
    raw = np.random.default_rng(1).integers(0, 256, 160, np.uint8)
    raw[3::4] &= 0x3f  # no NaN among floats
    (tmp_path / "x.iq").write_bytes(raw.tobytes())
    recording = open_recording(tmp_path / "x.iq", rate=1e6, datatype=typed)
    assert recording.datatype == datatype
    np.testing.assert_array_equal(recording.read(), SampleFormat(datatype).decode(raw))


def test_every_synonym_is_a_data_type():
    for datatype in SYNONYMS.values():
        assert SampleFormat(datatype).is_complex


def test_an_unknown_data_type_names_those_that_are_known(tmp_path):
    with pytest.raises(RecordingArgumentError) as caught:
        open_recording(tmp_path / "x.iq", rate=1e6, datatype="pluto")
    for word in ("'pluto'", "cf32_le", "ci16_le", "cu8", *SYNONYMS):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("door", [open_recording, find_recordings])
@pytest.mark.parametrize(("name", "arguments", "says"), [
    ("a.sigmf-meta", RAW, "SigMF, which states its own"), ("a.sigmf-data", RAW, "states its own"),
    ("a", {"freq": 1e6}, "states its own"), ("a.sigmf-meta", {"datatype": "cu8"}, "states its own"),
    ("x.iq", {}, "is not SigMF.*rate.*datatype"), ("x.iq", {"rate": 1e6}, "both its rate and its datatype"),
    ("x.iq", {"datatype": "cu8"}, "both"), ("x.iq", {"freq": 1e6}, "both"), ("x.iq", {"rate": -1.0}, "sample_rate is -1"),
    ("x.iq", RAW | {"rate": float("nan")}, "sample_rate is nan"), ("x.iq", RAW | {"freq": float("inf")}, "inf is not a finite")])
def test_arguments_that_do_not_go_with_the_file(write_sigmf, iq, tmp_path, door, name, arguments, says):
    write_sigmf(tmp_path, "a", iq)
    (tmp_path / "x.iq").write_bytes(bytes(80))
    with pytest.raises(RecordingArgumentError, match=says):
        door(tmp_path / name, **arguments)


def test_what_is_not_there(write_sigmf, iq, tmp_path):
    for door in (open_recording, find_recordings):
        with pytest.raises(RecordingError, match="no such recording"):
            door(tmp_path / "none")
        write_sigmf(tmp_path, "b", iq).unlink()
        with pytest.raises(RecordingError, match="b.sigmf-meta: no such recording"):
            door(tmp_path / "b.sigmf-data")
    with pytest.raises(RecordingError, match="is a folder"):
        open_recording(tmp_path)
    with pytest.raises(RecordingArgumentError, match="is a folder.*their own"):
        find_recordings(tmp_path, **RAW)


def test_raw_iq_is_found_as_it_is(tmp_path):
    assert find_recordings(tmp_path / "x.iq", **RAW) == [tmp_path / "x.iq"]


def test_a_folder_of_the_same_name_is_searched(write_sigmf, iq, tmp_path):
    (tmp_path / "a").mkdir()
    inside = write_sigmf(tmp_path / "a", "b", iq)
    beside = write_sigmf(tmp_path, "a", iq)
    assert find_recordings(tmp_path / "a") == [inside] and find_recordings(tmp_path) == [beside]


def test_a_row_of_the_list_is_a_format(numpy_format, write_sigmf, iq, tmp_path):
    """Found in a folder among others, opened, and read as any recording is."""
    np.save(tmp_path / "b.npy", iq)
    meta = write_sigmf(tmp_path, "a", iq)
    (tmp_path / "folder.npy").mkdir()
    assert find_recordings(tmp_path) == [meta, tmp_path / "b.npy"]
    recording = open_recording(tmp_path / "b.npy")
    assert (recording.name, recording.n_samples, recording.duration_s, recording.frequency_hz) == ("b", 100, 1e-4, 1e8)
    np.testing.assert_array_equal(recording.read(30, 100), iq[30:])
    assert recording.capture_at(50).frequency_hz is None and recording.verify() is False
    with pytest.raises(RecordingArgumentError, match="is NumPy, which states its own"):
        open_recording(tmp_path / "b.npy", **RAW)
    with pytest.raises(RecordingError, match="c.npy: no such recording"):
        open_recording(tmp_path / "c.npy")


def test_any_recording_has_sigmf_metadata(numpy_format, iq, tmp_path):
    np.save(tmp_path / "b.npy", iq)
    meta = open_recording(tmp_path / "b.npy").sigmf_meta(tmp_path / "b-events.sigmf-meta")
    assert meta["global"]["core:metadata_only"] and meta["global"]["core:sample_rate"] == 1e6
    assert meta["captures"] == [
        {"core:sample_start": 0, "core:frequency": 1e8, "core:datetime": "2026-01-31T12:00:00.250000000Z"},
        {"core:sample_start": 40}]  # a frequency that is not known is not written


def test_sigmf_metadata_points_at_the_samples(write_sigmf, iq, tmp_path):
    path = write_sigmf(tmp_path, "a", iq, annotations=[{"core:sample_start": 3, "core:label": "x"}])
    recording = open_recording(path)
    assert recording.sigmf_meta(path) == json.loads(path.read_text())
    beside = tmp_path / "c.sigmf-meta"
    beside.write_text(json.dumps(recording.sigmf_meta(beside)))
    np.testing.assert_array_equal(open_recording(beside).read(), iq)
    assert recording.sigmf_meta(tmp_path / "elsewhere" / "c.sigmf-meta")["global"]["core:metadata_only"]


def test_metadata_of_raw_samples_name_their_file(iq, tmp_path):
    (tmp_path / "x.iq").write_bytes(iq.astype("<c8").tobytes() + b"rest")
    recording = open_recording(tmp_path / "x.iq", rate=1e6, datatype="cf32")
    beside = tmp_path / "x-events.sigmf-meta"
    beside.write_text(json.dumps(recording.sigmf_meta(beside)))
    assert json.loads(beside.read_text())["global"] == {
        "core:datatype": "cf32_le", "core:sample_rate": 1e6, "core:version": "1.2.0", "core:dataset": "x.iq",
        "core:trailing_bytes": 4}
    assert iq.dtype == np.complex64
    np.testing.assert_array_equal(open_recording(beside).read(), iq)


def test_metadata_tell_of_the_bytes_between_samples(iq, tmp_path):
    data = iq.astype("<c8").tobytes()
    (tmp_path / "x.odd").write_bytes(b"head" + data[:320] + b"between!" + data[320:])
    samples = SampleFile(tmp_path / "x.odd", "cf32_le", byte_start=4)
    samples.runs = [Run(0, 40, 4), Run(40, len(iq), 332)]
    meta = FileRecording("x", samples, 1e6, [Capture(0, 1e8)]).sigmf_meta(tmp_path / "y.sigmf-meta")
    assert meta["captures"] == [{"core:sample_start": 0, "core:frequency": 1e8, "core:header_bytes": 4},
                                {"core:sample_start": 40, "core:frequency": 1e8, "core:header_bytes": 8}]
    (tmp_path / "y.sigmf-meta").write_text(json.dumps(meta))
    np.testing.assert_array_equal(open_recording(tmp_path / "y.sigmf-meta").read(), iq)


def test_samples_in_memory(iq):
    recording = MemoryRecording("held", iq, 1e6, 1e8)
    out = np.empty(10, np.complex64)
    recording.read_into(5, out)
    np.testing.assert_array_equal(out, iq[5:15])
    np.testing.assert_array_equal(recording.read(90, 20), iq[90:])
    assert (recording.path, recording.frequency_hz, recording.n_samples) == (None, 1e8, 100)


def test_an_archive_says_how_to_unpack_it(write_sigmf, iq, tmp_path):
    shutil.copy(write_sigmf(tmp_path, "a", iq), tmp_path / "a.sigmf")
    with pytest.raises(RecordingError, match="tar -xf"):
        open_recording(tmp_path / "a.sigmf")
