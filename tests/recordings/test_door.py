# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to recordings: one rule for all that opens them, synonyms of data types, and formats that are no SigMF."""

import json

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


class ArrayRecording(Recording):
    """A format of these tests alone: an array in a .array file. It knows its time, and its first sample is number 100."""

    offset = 100

    def __init__(self, path, channel=None):
        with path.open("rb") as file:
            file.seek(5)
            self._iq = np.load(file)
        super().__init__(path.stem, 1e6, len(self._iq), [Capture(0, 1e8, (1769860800, 0.25)), Capture(40)],
                         [Annotation(10, 5, "burst", 0.9e8, 1.1e8)], path=path)

    def _read_samples(self, start, out):
        out[:] = self._iq[start:start + len(out)]


@pytest.fixture
def array_format(monkeypatch):
    """The list of formats with another one."""
    monkeypatch.setattr(recordings, "FORMATS", (*recordings.FORMATS, Format(
        "Array", (".array",), ArrayRecording, lambda path, head: head.startswith(b"ARRAY"))))


def save(path, iq):
    with path.open("wb") as file:
        file.write(b"ARRAY")
        np.save(file, iq)


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
    ("a", {"datatype": "cu8"}, "states its own"), ("a.sigmf-meta", {"datatype": "cu8"}, "states its own data type"),
    ("x.iq", {}, "no recording that states.*rate in Hz and its datatype"), ("x.iq", {"rate": 1e6}, "give its datatype"),
    ("x.iq", {"datatype": "cu8"}, "give its rate in Hz$"), ("x.iq", {"freq": 1e6}, "rate in Hz and its datatype"),
    ("x.iq", {"rate": -1.0}, "sample_rate is -1"),
    ("x.iq", RAW | {"rate": float("nan")}, "sample_rate is nan"), ("x.iq", RAW | {"freq": float("inf")}, "inf is not a finite"),
    ("x.iq", RAW | {"offset_hz": float("nan")}, "offset nan"), ("x.iq", RAW | {"channel": -1}, "counted from 0"),
    ("x.iq", RAW | {"start": "soon"}, "'soon' is no time"), ("x.iq", RAW | {"start": "1950-01-01T00:00:00Z"}, "since 1970"),
    ("x.iq", RAW | {"start": (5, 1.5)}, "is no time")])
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
            door(tmp_path / "b.sigmf-meta")
        for stated in ({}, {"rate": 1e6}, {"datatype": "cu8"}):  # also if somebody has stated a part
            with pytest.raises(RecordingError, match="none.iq: no such recording"):
                door(tmp_path / "none.iq", **stated)
    with pytest.raises(RecordingError, match="is a folder"):
        open_recording(tmp_path)
    with pytest.raises(RecordingArgumentError, match="is a folder.*their own"):
        find_recordings(tmp_path, **RAW)


def test_samples_that_lost_their_metadata_are_raw_iq(write_sigmf, iq, tmp_path):
    """NAME.sigmf-data alone: what is missing is named, and with it the samples are read."""
    write_sigmf(tmp_path, "b", iq).unlink()
    path = tmp_path / "b.sigmf-data"
    for door in (open_recording, find_recordings):
        with pytest.raises(RecordingArgumentError, match=r"its b\.sigmf-meta is missing; if it is raw IQ, give its rate"):
            door(path)
    recording = open_recording(path, rate=1e6, datatype="cf32_le")
    assert (recording.format_name, recording.samp_rate) == ("raw IQ", 1e6)
    np.testing.assert_array_equal(recording.read(0, 100), iq)
    with pytest.raises(RecordingError, match="no such recording"):
        open_recording(path.with_suffix(".sigmf-meta"), rate=1e6)


def test_raw_iq_is_found_as_it_is(tmp_path):
    assert find_recordings(tmp_path / "x.iq", **RAW) == [tmp_path / "x.iq"]


def test_a_folder_of_the_same_name_is_searched(write_sigmf, iq, tmp_path):
    (tmp_path / "a").mkdir()
    inside = write_sigmf(tmp_path / "a", "b", iq)
    beside = write_sigmf(tmp_path, "a", iq)
    assert find_recordings(tmp_path / "a") == [inside] and find_recordings(tmp_path) == [beside]


def test_a_row_of_the_list_is_a_format(array_format, write_sigmf, iq, tmp_path):
    """Found in a folder among others, opened, and read as any recording is."""
    save(tmp_path / "b.array", iq)
    meta = write_sigmf(tmp_path, "a", iq)
    (tmp_path / "folder.array").mkdir()
    assert find_recordings(tmp_path) == [meta, tmp_path / "b.array"]
    recording = open_recording(tmp_path / "b.array")
    assert (recording.name, recording.n_samples, recording.duration_s, recording.frequency_hz) == ("b", 100, 1e-4, 1e8)
    np.testing.assert_array_equal(recording.read(30, 100), iq[30:])
    assert recording.capture_at(50).frequency_hz is None and recording.verify() is False
    with pytest.raises(RecordingArgumentError, match="is Array, which states its own"):
        open_recording(tmp_path / "b.array", **RAW)
    with pytest.raises(RecordingError, match="c.array: no such recording"):
        open_recording(tmp_path / "c.array")


def test_content_goes_before_the_name(array_format, iq, tmp_path):
    save(tmp_path / "odd.cfile", iq)
    assert open_recording(tmp_path / "odd.cfile").format_name == "Array"
    with pytest.raises(RecordingArgumentError, match="is Array"):
        open_recording(tmp_path / "odd.cfile", **RAW)
    (tmp_path / "no.array").write_bytes(bytes(80))
    with pytest.raises(RecordingArgumentError, match="named like Array, but its content is not; if it is raw IQ, give its rate"):
        open_recording(tmp_path / "no.array")
    recording = open_recording(tmp_path / "no.array", **RAW)
    assert (recording.format_name, recording.datatype) == ("raw IQ", "ci8") and "named like Array" in recording.notes[0]


def values(recording):
    first = recording.captures[0]
    return recording.samp_rate, first.frequency_hz, first.time_parts


def test_what_is_stated_goes_before_what_the_file_says(array_format, iq, tmp_path):
    """One frequency and one time among the captures: the other gets the frequency, and the edges of marks move along."""
    save(tmp_path / "b.array", iq)
    recording = open_recording(tmp_path / "b.array")
    assert values(recording) == (1e6, 1e8, (1769860800, 0.25)) and recording.notes == []
    assert recording.origins == dict.fromkeys(("samp_rate", "datatype", "channels", "frequency", "time"), "Array")
    assert recording.data_paths == []
    recording = open_recording(tmp_path / "b.array", rate=2e6, freq=4e8, start="2026-01-31T13:00:00.5+01:00", offset_hz=-1e6)
    assert values(recording) == (2e6, 3.99e8, (1769860800, 0.5)) and recording.captures[1].frequency_hz == 3.99e8
    assert [recording.origins[key] for key in ("samp_rate", "frequency", "time")] == [
        "stated", "stated with the stated offset of -1000000 Hz", "stated"]
    assert [recording.annotations[0].freq_lower_hz, recording.annotations[0].freq_upper_hz] == [3.89e8, 4.09e8]
    text = " / ".join(recording.notes)
    for words in ("2000000 Hz as stated; Array says 1000000", "400000000 Hz as stated; Array says 100000000",
                  "12:00:00.500000000Z as stated; Array says 2026-01-31T12:00:00.25"):
        assert words in text
    assert open_recording(tmp_path / "b.array", rate=1e6, freq=1e8, start=(1769860800, 0.25)).notes == []


def test_what_nobody_states_is_unknown(write_sigmf, iq, tmp_path):
    (tmp_path / "x.iq").write_bytes(bytes(80))
    recording = open_recording(tmp_path / "x.iq", **RAW)
    assert values(recording) == (2e6, None, None)
    assert recording.origins == {"samp_rate": "stated", "datatype": "stated", "channels": "raw IQ", "frequency": "unknown",
                                 "time": "unknown"}
    assert recording.data_paths == [tmp_path / "x.iq"] and "core:frequency" not in recording.sigmf_meta(tmp_path)["captures"][0]
    recording = open_recording(tmp_path / "x.iq", **RAW, offset_hz=1e6)
    assert recording.frequency_hz is None and "is of no use" in recording.notes[0]
    two = write_sigmf(tmp_path, "two", iq, captures=[{"core:sample_start": 0, "core:frequency": 1e8},
                                                     {"core:sample_start": 50, "core:frequency": 2e8}])
    with pytest.raises(RecordingArgumentError, match="from 100000000 to 200000000 Hz.*offset_hz"):
        open_recording(two, freq=3e8)
    assert [c.frequency_hz for c in open_recording(two, offset_hz=9.75e9).captures] == [9.85e9, 9.95e9]


def test_later_captures_move_with_the_stated_start(write_sigmf, iq, tmp_path):
    """The first capture begins 10 samples into the file, 10 us after what is stated; the last one keeps its distance."""
    path = write_sigmf(tmp_path, "late", iq, captures=[
        {"core:sample_start": 10, "core:datetime": "2026-01-31T12:00:00.9Z"}, {"core:sample_start": 40},
        {"core:sample_start": 50, "core:datetime": "2026-01-31T12:00:05.5Z"}])
    times = [c.time_parts for c in open_recording(path, start=(1000, 0.5)).captures]
    assert times[0] == (1000, pytest.approx(0.50001)) and times[1] is None and times[2] == (1005, pytest.approx(0.10001))


def test_any_recording_has_sigmf_metadata(array_format, iq, tmp_path):
    save(tmp_path / "b.array", iq)
    meta = open_recording(tmp_path / "b.array").sigmf_meta(tmp_path / "b-events.sigmf-meta")
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


