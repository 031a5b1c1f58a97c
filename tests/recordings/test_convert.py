# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings as SigMF: the same bytes where SigMF has the type, the same captures and marks, valid for sigmf-python."""

import json
import wave

import numpy as np
import pytest
import sigmf
from gnuradio.spectrumencoder.recordings import Annotation, Capture, Recording, RecordingError, open_recording
from gnuradio.spectrumencoder.recordings.convert import convert

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("datatype", ["ci8", "cu8", "ci16_le", "ci16_be", "ci32_le", "cu16_be", "cf32_le", "cf64_le", "ri16_le",
                                      "rf32_be"])
def test_the_same_bytes(tmp_path, datatype):
    raw = RNG.integers(0, 60, 16 * 5000, np.uint8).tobytes()
    (tmp_path / "x.iq").write_bytes(raw)
    recording = open_recording(tmp_path / "x.iq", rate=2.4e6, datatype=datatype, freq=433.92e6, start="2026-01-31T12:00:00.5Z")
    meta, notes = convert(recording, tmp_path / "out")
    assert meta == tmp_path / "out.sigmf-meta" and not notes and (tmp_path / "out.sigmf-data").read_bytes() == raw
    again = open_recording(meta)
    assert (again.datatype, again.samp_rate, again.captures) == (datatype, 2.4e6, recording.captures)
    assert again.verify() and json.loads(meta.read_text())["global"]["core:description"] == "converted from raw IQ x.iq"
    theirs = sigmf.fromfile(str(meta))
    theirs.validate()
    assert theirs.sample_count == recording.n_samples


@pytest.mark.filterwarnings("ignore:Found undeclared extensions:DeprecationWarning")
def test_captures_marks_and_other_fields_of_sigmf(write_sigmf, tmp_path):
    """Header bytes are gone, foreign fields and core:offset stay, and what was stated is what is written."""
    raw = RNG.integers(0, 256, 400, np.uint8).tobytes()
    path = write_sigmf(tmp_path, "a", raw[:100] + b"HEAD" + raw[100:] + b"END", datatype="cu8", captures=[
        {"core:sample_start": 50, "core:frequency": 1e8, "other:key": 1},
        {"core:sample_start": 100, "core:frequency": 2e8, "core:header_bytes": 4, "core:global_index": 5000,
         "core:datetime": "2026-01-31T12:00:00Z"}], annotations=[
        {"core:sample_start": 60, "core:sample_count": 5, "core:label": "x", "core:freq_lower_edge": 1e8,
         "core:freq_upper_edge": 2e8}],
        **{"core:offset": 50, "core:trailing_bytes": 3, "core:author": "me", "core:dataset": "a.sigmf-data",
           "core:extensions": {"antenna": "1.0.0"}})
    recording = open_recording(path, offset_hz=1e6)
    meta, _ = convert(recording, tmp_path / "b.sigmf-meta")
    assert (tmp_path / "b.sigmf-data").read_bytes() == raw
    written, again = json.loads(meta.read_text()), open_recording(meta)
    assert again.captures == recording.captures and again.annotations == recording.annotations
    assert [c.frequency_hz for c in again.captures] == [1.01e8, 2.01e8]
    assert written["captures"][0]["other:key"] == 1 and written["captures"][1]["core:global_index"] == 5000
    assert written["global"]["core:author"] == "me" and not {"core:dataset", "core:trailing_bytes"} & set(written["global"])
    assert written["global"]["core:extensions"] == [{"name": "antenna", "version": "1.0.0", "optional": True}]
    np.testing.assert_array_equal(again.read(), recording.read())


def test_one_channel(write_sigmf, tmp_path):
    raw = RNG.integers(0, 256, (100, 2, 2), np.uint8)
    path = write_sigmf(tmp_path, "a", raw.tobytes(), datatype="cu8", **{"core:num_channels": 2})
    meta, _ = convert(open_recording(path, channel=1), tmp_path / "b")
    assert (tmp_path / "b.sigmf-data").read_bytes() == raw[:, 1].tobytes()
    assert open_recording(meta).n_channels == 1


def test_wav_of_24_bits(tmp_path):
    """SigMF has no such type: 32 bits with the same full scale, and no header."""
    values = RNG.integers(0, 256, (300, 2, 3), np.uint8)
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(3)
        file.setframerate(96_000)
        file.writeframes(values.tobytes())
    recording = open_recording(tmp_path / "x.wav")
    meta, notes = convert(recording, tmp_path / "y")
    again = open_recording(meta)
    assert again.datatype == "ci32_le" and "times 256" in notes[0] and again.n_samples == 300
    np.testing.assert_array_equal(again.read(), recording.read())
    assert "core:header_bytes" not in json.loads(meta.read_text())["captures"][0]


class Numbers(Recording):
    """A recording of a format whose samples do not lie in one file."""

    def __init__(self, iq, datatype):
        super().__init__("n", 1e6, len(iq), [Capture(0, 1e8), Capture(5, 2e8, (100, 0.5))],
                         [Annotation(3, 4, "m", 1e8, 2e8, "c")], datatype=datatype)
        self._iq, self.license, self.format_name = iq, "CC0", "Numbers"

    def _read_samples(self, start, out):
        out[:] = self._iq[start:start + len(out)]


@pytest.mark.parametrize(("datatype", "written"), [("ci16_le", "ci16_le"), ("cu8", "cu8"), ("cf32_le", "cf32_le"),
                                                   ("cf64_le", "cf32_le")])
def test_samples_that_a_reader_makes(tmp_path, datatype, written):
    middle, scale = (127.5, 127.5) if datatype == "cu8" else (0, 32768)
    iq = ((RNG.integers(0, 255, (20, 2)) - middle) / scale).astype(np.float32).view(np.complex64)[:, 0]
    recording = Numbers(iq, datatype)
    meta, _ = convert(recording, tmp_path / "n")
    again = open_recording(meta)
    np.testing.assert_array_equal(again.read(), iq)
    assert again.datatype == written and again.captures == recording.captures and again.annotations == recording.annotations
    assert again.license == "CC0"
    iq[3] = np.nan
    convert(Numbers(iq, datatype), tmp_path / "m")
    meta, lost = convert(Numbers(iq, datatype), tmp_path / "m", overwrite=True)
    again = open_recording(meta)  # a recording that was replaced since it was opened is not read
    if written == "cf32_le":
        assert np.isnan(again.read()[3]) and not any("missing" in note for note in lost)
    else:
        assert abs(again.read()[3]) < 0.01 and lost == ["1 samples that are missing in the source are written as 0"]


def test_what_is_there_stays(write_sigmf, tmp_path):
    path = write_sigmf(tmp_path, "a", bytes(400), datatype="cu8")
    other = write_sigmf(tmp_path, "b", b"\x07" * 400, datatype="cu8")
    recording = open_recording(path)
    for out, says in (("a", "is of the recording itself"), ("b", "exists; name another"), ("none/x", "cannot write")):
        with pytest.raises(RecordingError, match=says):
            convert(recording, tmp_path / out)
    with pytest.raises(RecordingError, match="is of the recording itself"):
        convert(recording, tmp_path / "a", overwrite=True)
    assert path.with_suffix(".sigmf-data").read_bytes() == bytes(400)
    convert(recording, tmp_path / "b", overwrite=True)
    assert other.with_suffix(".sigmf-data").read_bytes() == bytes(400) and open_recording(other).verify()


def test_metadata_never_describe_other_samples(write_sigmf, tmp_path, monkeypatch):
    """Whatever ends it in the middle: there is no recording then, and no piece of one."""
    source = open_recording(write_sigmf(tmp_path, "a", bytes(400), datatype="cu8"))
    old = write_sigmf(tmp_path, "b", b"\x07" * 400, datatype="cu8")
    seen = []

    def stop(done):
        seen.append((old.exists(), old.with_suffix(".sigmf-data").read_bytes()[:1]))
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "b", overwrite=True, progress=stop)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert seen == [(False, b"\x07")] and left == ["a.sigmf-data", "a.sigmf-meta", "b.sigmf-data"]


def test_metadata_that_would_not_be_valid(write_sigmf, tmp_path):
    path = write_sigmf(tmp_path, "a", bytes(400), datatype="cu8", **{"core:hw": 7})
    with pytest.raises(RecordingError, match="would not be valid SigMF") as caught:
        convert(open_recording(path), tmp_path / "b")
    assert "\n" not in str(caught.value) and not (tmp_path / "b.sigmf-data").exists()


@pytest.mark.parametrize("name", ["sigmf-tar", "sigmf-zip", "npy", "wav", "wav-kiwi", "file_meta", "file_meta-detached",
                                  "blue-big", "sdriq", "portapack", "vita49", "vita49-pcapng"])
def test_every_format_keeps_its_samples_and_captures(tmp_path, name):
    """The valid recordings of fuzz.py; their headers, and what lies between samples, are not copied."""
    from test_fuzz import load_fuzz
    (tmp_path / "in").mkdir()
    recording = open_recording(load_fuzz().READERS[name](tmp_path / "in"), rate=1e6 if name == "npy" else None)
    meta, _ = convert(recording, tmp_path / "out")
    again = open_recording(meta)
    np.testing.assert_array_equal(again.read(), recording.read())
    assert again.captures == recording.captures and again.samp_rate == recording.samp_rate
    assert (tmp_path / "out.sigmf-data").stat().st_size == again.n_samples * again.samples.stride_bytes
    sigmf.fromfile(str(meta)).validate()
