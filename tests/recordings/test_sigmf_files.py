# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF in all its forms: archives, collections and datasets that sigmf-python writes, and metadata of other programs."""

import gzip
import io
import json
import lzma
import os
import tarfile
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import sigmf
from gnuradio.spectrumencoder.recordings import RecordingArgumentError, RecordingError, find_recordings, open_recording

RNG = np.random.default_rng(11)
PAIRS = RNG.integers(-2 ** 15, 2 ** 15, (3000, 2)).astype("<i2")
IQ = (PAIRS.astype(np.float32) / 2 ** 15).view(np.complex64)[:, 0]
TIME = "2026-01-31T12:00:00.250000Z"


@pytest.fixture
def theirs(tmp_path):
    """A recording that sigmf-python writes: its SigMFFile, with the dataset in a folder of its own."""
    folder = tmp_path / "source"
    folder.mkdir()

    def make(name="rec", data_name="rec.sigmf-data", content=None, **fields):
        (folder / data_name).write_bytes(PAIRS.tobytes() if content is None else content)
        file = sigmf.SigMFFile(global_info={"core:datatype": "ci16_le", "core:sample_rate": 1e6, "core:version": "1.2.0",
                                            **fields})
        file.set_data_file(str(folder / data_name), skip_checksum=bool(fields.get("core:trailing_bytes")))
        file.add_capture(0, metadata={"core:frequency": 433.92e6, "core:datetime": TIME})
        file.add_annotation(100, 50, metadata={"core:label": "burst"})
        return file
    return make


def is_right(recording, iq=IQ):
    np.testing.assert_array_equal(recording.read(), iq)
    np.testing.assert_array_equal(recording.read(1234, 500), iq[1234:1734])
    assert (recording.samp_rate, recording.frequency_hz) == (1e6, 433.92e6)
    assert recording.captures[0].time_parts == (1769860800, 0.25)
    assert [(a.sample_start, a.label) for a in recording.annotations] == [(100, "burst")]


@pytest.mark.parametrize("suffix", [".sigmf", ".sigmf.gz", ".sigmf.xz", ".sigmf.zip"])
def test_archives_of_sigmf_python(theirs, tmp_path, suffix):
    path = tmp_path / f"rec{suffix}"
    theirs().archive(str(path))
    assert find_recordings(path) == [path] and find_recordings(tmp_path) == [path]
    recording = open_recording(path)
    is_right(recording)
    assert recording.name == "rec" and recording.format_name == "SigMF archive" and recording.data_paths == [path]
    unpacked = [note for note in recording.notes if "temporary file" in note]
    assert bool(unpacked) == (suffix != ".sigmf") and recording.size_bytes == PAIRS.nbytes
    assert recording.verify()
    events = tmp_path / "rec-events.sigmf-meta"
    meta = recording.sigmf_meta(events)
    assert meta["global"].get("core:metadata_only", False) == bool(unpacked)
    if not unpacked:  # others find the samples in the archive
        assert meta["global"]["core:dataset"] == "rec.sigmf" and meta["captures"][0]["core:header_bytes"] % 512 == 0
        events.write_text(json.dumps(meta))
        is_right(open_recording(events))
        np.testing.assert_allclose(sigmf.fromfile(str(events), skip_checksum=True).read_samples(), IQ, atol=1e-6)


@pytest.mark.parametrize("suffix", [".sigmf.gz", ".sigmf.xz"])
def test_a_packed_archive_is_unpacked_once(theirs, tmp_path, monkeypatch, suffix):
    from gnuradio.spectrumencoder.recordings import archive
    passes = []

    class Counted(archive._Unpacked):
        def __init__(self, *arguments):
            passes.append(1)
            super().__init__(*arguments)
    monkeypatch.setattr(archive, "_Unpacked", Counted)
    path = tmp_path / f"rec{suffix}"
    theirs().archive(str(path))
    is_right(open_recording(path))
    assert len(passes) == 1


def test_an_archive_is_known_by_its_content(theirs, tmp_path):
    theirs().archive(str(tmp_path / "rec.sigmf"))
    for suffix in (".sigmf.gz", ".sigmf.xz", ".sigmf.zip"):
        theirs().archive(str(tmp_path / f"rec{suffix}"))
        (tmp_path / f"rec{suffix}").rename(tmp_path / "packed.dat")
        is_right(open_recording(tmp_path / "packed.dat"))
    (tmp_path / "rec.sigmf").rename(tmp_path / "download.bin")
    is_right(open_recording(tmp_path / "download.bin"))
    with pytest.raises(RecordingArgumentError, match="is SigMF, which states its own data type"):
        open_recording(tmp_path / "download.bin", rate=1e6, datatype="cu8")


def test_a_stored_zip_is_read_in_place(theirs, tmp_path):
    theirs().archive(str(tmp_path / "packed.sigmf.zip"))
    with zipfile.ZipFile(tmp_path / "packed.sigmf.zip") as packed, zipfile.ZipFile(tmp_path / "stored.sigmf.zip", "w") as stored:
        for info in packed.infolist():
            stored.writestr(info.filename, packed.read(info))
    recording = open_recording(tmp_path / "stored.sigmf.zip")
    is_right(recording)
    assert not recording.notes


def test_an_archived_dataset_of_another_name(theirs, tmp_path):
    """sigmf-python keeps its name in the archive, and `core:dataset`."""
    file = theirs(data_name="capture.iq", **{"core:dataset": "capture.iq"})
    file.archive(str(tmp_path / "rec.sigmf"))
    with tarfile.open(tmp_path / "rec.sigmf") as archive:
        assert {Path(name).name for name in archive.getnames()} >= {"capture.iq"}
    is_right(open_recording(tmp_path / "rec.sigmf"))


def test_an_archive_of_several(theirs, write_sigmf, tmp_path):
    for name, part in (("a", slice(0, 1000)), ("b", slice(1000, 3000))):
        write_sigmf(tmp_path, name, PAIRS[part].tobytes(), datatype="ci16_le")
    with tarfile.open(tmp_path / "two.sigmf", "w") as archive:
        for name in ("a", "b"):
            for kind in ("meta", "data"):
                archive.add(tmp_path / f"{name}.sigmf-{kind}", f"two/{name}.sigmf-{kind}")
    paths = find_recordings(tmp_path / "two.sigmf")
    assert paths == [tmp_path / "two.sigmf" / "a", tmp_path / "two.sigmf" / "b"]
    for path, part in zip(paths, (slice(0, 1000), slice(1000, 3000)), strict=True):
        recording = open_recording(path)
        assert recording.name == path.name
        np.testing.assert_array_equal(recording.read(), IQ[part])
    with pytest.raises(RecordingError, match=r"holds 2 recordings \(a, b\); name one, such as two.sigmf/NAME"):
        open_recording(tmp_path / "two.sigmf")
    with pytest.raises(RecordingError, match="holds 2 recordings"):
        open_recording(tmp_path / "two.sigmf" / "c")
    assert {*paths, tmp_path / "a.sigmf-meta"} <= set(find_recordings(tmp_path))


def test_nothing_is_left_of_what_was_unpacked(theirs, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "source"))
    theirs().archive(str(tmp_path / "rec.sigmf.xz"))
    before = sorted(os.listdir(tmp_path / "source"))
    recording = open_recording(tmp_path / "rec.sigmf.xz")
    assert sorted(os.listdir(tmp_path / "source")) == before and len(recording.read()) == 3000
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and type("Usage", (), {"free": 1000})())
    with pytest.raises(RecordingError, match="set TMPDIR"):
        open_recording(tmp_path / "rec.sigmf.xz")


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


META = json.dumps({"global": {"core:datatype": "ci8", "core:sample_rate": 1e6}}).encode()
GOOD = tar_of({"r/r.sigmf-meta": META, "r/r.sigmf-data": bytes(2000)})


@pytest.mark.parametrize(("content", "says"), [
    (GOOD[:900], "damaged"), (GOOD[:2000], "whole sample|damaged|truncated"), (b"not an archive" * 50, "damaged, or none"),
    (gzip.compress(GOOD)[:60], "damaged"), (gzip.compress(GOOD[:2000]), "damaged"), (lzma.compress(GOOD)[:80], "damaged"),
    (lzma.compress(GOOD[:1000]), "damaged|samples"), (tar_of({"r.sigmf-data": bytes(9)}), "no .sigmf-meta"),
    (tar_of({"r.sigmf-meta": META}), "not its samples"), (tar_of({"r.sigmf-meta": b"{", "r.sigmf-data": bytes(9)}), "JSON"),
    (b"PK\x03\x04" + bytes(100), "damaged"), (b"", "damaged, or none")])
def test_damaged_archives(tmp_path, content, says):
    path = tmp_path / "r.sigmf"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=says) as caught:
        open_recording(path).read()
    assert "\n" not in str(caught.value)


def test_a_header_is_not_believed(tmp_path):
    """A pax header, or metadata, of a size that only the header states; 100 MB of zeros in a few hundred kB."""
    for kind, size in ((b"x", 1 << 33), (b"0", 1 << 33)):
        info = tarfile.TarInfo("r/r.sigmf-meta")
        block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        block[124:136] = b"%011o\0" % size if size < 8 ** 11 else b"\x80" + size.to_bytes(11, "big")
        block[156:157] = kind
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        (tmp_path / "r.sigmf.gz").write_bytes(gzip.compress(bytes(block) + bytes(100 << 20), 1))
        with pytest.raises(RecordingError, match=r"bytes"):
            open_recording(tmp_path / "r.sigmf.gz")


def test_a_collection_of_sigmf_python(theirs, tmp_path):
    for name in ("first", "second"):
        theirs(data_name=f"{name}.sigmf-data").tofile(str(tmp_path / "source" / name))
    collection = sigmf.SigMFCollection([str(tmp_path / "source" / f"{name}.sigmf-meta") for name in ("first", "second")],
                                       base_path=str(tmp_path / "source"))
    collection.tofile(str(tmp_path / "source" / "set"))
    path = tmp_path / "source" / "set.sigmf-collection"
    paths = find_recordings(path)
    assert [p.name for p in paths] == ["first.sigmf-meta", "second.sigmf-meta"]
    for found in paths:
        is_right(open_recording(found))
    with pytest.raises(RecordingError, match="collection of 2 recordings; name one, such as first"):
        open_recording(path)
    assert find_recordings(tmp_path / "source") == paths  # not twice
    path.write_text('{"collection": {"core:streams": [{"name": "first", "hash": "0"}]}}')
    is_right(open_recording(path))
    for content in ('{"collection": {}}', "{}", '{"collection": {"core:streams": [{"hash": "0"}]}}', "[", '{"collection": 3}'):
        path.write_text(content)
        with pytest.raises(RecordingError, match="collection|JSON"):
            find_recordings(path)


@pytest.mark.filterwarnings("ignore:.*is defined but compliant dataset")
def test_the_named_dataset_goes_before_an_older_one(theirs, write_sigmf, tmp_path):
    """NAME.sigmf-data of an earlier recording lies beside the dataset that the metadata name."""
    path = write_sigmf(tmp_path, "x", bytes(4000), datatype="ci16_le", **{"core:dataset": "x.cdif"}, captures=[
        {"core:sample_start": 0, "core:frequency": 433.92e6, "core:header_bytes": 64}])
    (tmp_path / "x.cdif").write_bytes(b"H" * 64 + PAIRS.tobytes())
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.read(), IQ)
    np.testing.assert_allclose(recording.read(), sigmf.fromfile(str(path), skip_checksum=True).read_samples(), atol=1e-6)
    assert recording.notes == ["x.sigmf-data is not read: core:dataset names x.cdif"]
    (tmp_path / "x.cdif").unlink()
    with pytest.raises(RecordingError, match="its samples are missing; put x.cdif beside it"):
        open_recording(path)


def test_a_dataset_of_another_format(tmp_path):
    """SigMF metadata over a .npy file: its own reader knows where the samples begin, and of which type they are."""
    np.save(tmp_path / "x.npy", PAIRS)
    meta = {"global": {"core:datatype": "cu8", "core:sample_rate": 2e6, "core:dataset": "x.npy"},
            "captures": [{"core:sample_start": 0, "core:frequency": 1e8}, {"core:sample_start": 1000, "core:frequency": 2e8}]}
    path = tmp_path / "x.sigmf-meta"
    path.write_text(json.dumps(meta))
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.read(), IQ)
    assert (recording.samp_rate, recording.capture_at(1000).frequency_hz) == (2e6, 2e8)
    assert recording.notes == ["x.npy is NumPy of ci16_le; core:datatype says cu8"]
    assert find_recordings(tmp_path) == [path]
    beside = tmp_path / "y.sigmf-meta"
    beside.write_text(json.dumps(recording.sigmf_meta(beside)))
    again = open_recording(beside)
    np.testing.assert_array_equal(again.read(), IQ)
    assert again.datatype == "ci16_le" and not again.notes and again.capture_at(1000).frequency_hz == 2e8
    meta["captures"][0]["core:header_bytes"] = 128  # stated: taken as they are
    path.write_text(json.dumps(meta))
    recording = open_recording(path)
    assert recording.datatype == "cu8" and recording.n_samples == 2 * len(IQ)


def test_a_wav_that_sigmf_python_describes(tmp_path):
    """Its converter makes two real channels of stereo, and states the header's bytes: that is obeyed, not the WAV's header."""
    from sigmf.convert.wav import wav_to_sigmf
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(PAIRS.tobytes())
    wav_to_sigmf(tmp_path / "x.wav", create_ncd=True).tofile(str(tmp_path / "x.sigmf-meta"))
    path = tmp_path / "x.sigmf-meta"
    recordings = [open_recording(path, channel=channel) for channel in (0, 1)]
    assert recordings[0].datatype == "ri16_le" and recordings[0].samp_rate == 48_000
    np.testing.assert_array_equal([r.read().real for r in recordings], [IQ.real, IQ.imag])
    assert find_recordings(tmp_path) == [path]
    meta = json.loads(path.read_text())
    for key in ("core:header_bytes", "core:trailing_bytes"):
        for part in (meta["global"], *meta["captures"]):
            part.pop(key, None)
    path.write_text(json.dumps(meta))
    np.testing.assert_array_equal(open_recording(path).read(), IQ)  # nothing stated: as WAV I/Q


def test_metadata_only(write_sigmf, tmp_path):
    path = write_sigmf(tmp_path, "only", b"", **{"core:metadata_only": True})
    path.with_suffix(".sigmf-data").unlink()
    with pytest.raises(RecordingError, match="these metadata come without samples"):
        open_recording(path)


def test_times_after_a_loss(write_sigmf, tmp_path):
    """core:global_index counts what was lost. The third capture has a time of its own; the first gets one from the second."""
    path = write_sigmf(tmp_path, "gap", bytes(4000), datatype="ci8", captures=[
        {"core:sample_start": 0, "core:global_index": 500},
        {"core:sample_start": 500, "core:global_index": 1000, "core:datetime": "2026-01-31T12:00:00.25Z"},
        {"core:sample_start": 1000, "core:global_index": 2_501_500},
        {"core:sample_start": 1500, "core:global_index": 3_000_000, "core:datetime": "2026-01-31T13:00:00Z"},
        {"core:sample_start": 1700}])
    recording = open_recording(path)
    times = [c.time_parts for c in recording.captures]
    assert times[0] == (1769860800, pytest.approx(0.2495)) and times[2] == (1769860802, pytest.approx(0.7505))
    assert times[3] == (1769864400, 0.0) and times[4] is None
    assert recording.origins["time"] == "core:datetime and core:global_index"
    times = [c.time_parts for c in open_recording(path, rate=2e6, start=(100, 0.0)).captures]
    assert times[0] == (100, 0.0) and times[1] == (1769860800, 0.25)  # the first had none from which others could move
    assert "core:datetime" in recording.sigmf_meta(tmp_path / "y.sigmf-meta")["captures"][2]


@pytest.mark.parametrize(("index", "rate"), [(2 ** 62, 1e6), (10 ** 6, 1e-308), (10 ** 6, 1e-3)])
def test_a_time_beyond_the_calendar_is_none(write_sigmf, tmp_path, index, rate):
    path = write_sigmf(tmp_path, "gap", bytes(4000), rate, datatype="ci8", captures=[
        {"core:sample_start": 0, "core:global_index": 0, "core:datetime": "9990-01-31T12:00:00Z"},
        {"core:sample_start": 500, "core:global_index": index}])
    assert open_recording(path).captures[1].time_parts is None


def test_metadata_follow_what_is_stated(write_sigmf, tmp_path):
    path = write_sigmf(tmp_path, "r", bytes(4000), datatype="ci8", annotations=[
        {"core:sample_start": 3, "core:freq_lower_edge": 433e6, "core:freq_upper_edge": 434e6}, {"core:sample_start": 9}])
    meta = open_recording(path, offset_hz=1e6, start=(0, 0.5), rate=2e6).sigmf_meta(path)
    assert meta["global"]["core:sample_rate"] == 2e6
    assert meta["captures"] == [{"core:sample_start": 0, "core:frequency": 434.92e6,
                                 "core:datetime": "1970-01-01T00:00:00.500000000Z"}]
    assert [a.get("core:freq_lower_edge") for a in meta["annotations"]] == [434e6, None]
    odd = write_sigmf(tmp_path, "odd", bytes(4000), datatype="ci8", **{"x:y": float("nan"), "x:z": [1.0, float("inf")]})
    assert "NaN" in odd.read_text()
    head = open_recording(odd).sigmf_meta(odd)["global"]
    assert "x:y" not in head and head["x:z"] == [1.0]
    bare = write_sigmf(tmp_path, "bare", bytes(4000), datatype="ci8", captures=[])
    assert open_recording(bare).sigmf_meta(bare)["captures"] == []
    assert open_recording(bare, freq=1e8).sigmf_meta(bare)["captures"] == [{"core:sample_start": 0, "core:frequency": 1e8}]


def test_metadata_of_other_programs(write_sigmf, tmp_path):
    path = write_sigmf(tmp_path, "bom", PAIRS.tobytes(), datatype="ci16_le")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    np.testing.assert_array_equal(open_recording(path).read(), IQ)
    path.write_text(path.read_bytes().decode("utf-8-sig"), encoding="utf-16")
    np.testing.assert_array_equal(open_recording(path).read(), IQ)
    for year in ("0001", "1969", "1970"):
        path = write_sigmf(tmp_path, "old", PAIRS.tobytes(), datatype="ci16_le", captures=[
            {"core:sample_start": 0, "core:frequency": 1e8, "core:datetime": f"{year}-01-01T00:00:00Z"}])
        recording = open_recording(path)
        assert recording.captures[0].time_parts is None and recording.origins["time"] == "unknown"
        assert "a clock that was never set" in recording.notes[0]
    for text, wanted in (("2026-01-31t12:00:00,5z", (1769860800, 0.5)), ("2026-01-31 13:00:00.25 +0100", (1769860800, 0.25)),
                         ("", None)):
        path = write_sigmf(tmp_path, "time", PAIRS.tobytes(), datatype="ci16_le", captures=[
            {"core:sample_start": 0, "core:datetime": text}])
        assert open_recording(path).captures[0].time_parts == wanted
    path = write_sigmf(tmp_path, "none", PAIRS.tobytes(), datatype="ci16_le", **{"core:num_channels": 0})
    with pytest.raises(RecordingError, match="core:num_channels is 0"):
        open_recording(path)


def test_the_first_capture_needs_no_global_index(write_sigmf, tmp_path):
    path = write_sigmf(tmp_path, "gap", bytes(4000), datatype="ci8", captures=[
        {"core:sample_start": 200, "core:datetime": "2026-01-31T12:00:00Z"},
        {"core:sample_start": 1200, "core:global_index": 1_001_200}], **{"core:offset": 200})
    assert open_recording(path).captures[1].time_parts == (1769860801, pytest.approx(0.001))


@pytest.mark.parametrize("part, key", [
    ("global", "core:sample_rate"), ("global", "core:num_channels"), ("global", "core:offset"), ("global", "core:trailing_bytes"),
    ("captures", "core:sample_start"), ("captures", "core:header_bytes"), ("captures", "core:frequency"),
    ("captures", "core:global_index"), ("annotations", "core:sample_start"), ("annotations", "core:sample_count"),
    ("annotations", "core:freq_lower_edge")])
def test_a_whole_number_that_no_float_holds_is_refused_in_one_line(write_sigmf, tmp_path, part, key):
    """JSON has no largest number; Python's float() raises OverflowError for one of 400 digits."""
    path = write_sigmf(tmp_path, "huge", IQ, annotations=[{"core:sample_start": 0, "core:sample_count": 4}])
    meta = json.loads(path.read_text())
    (meta[part] if part == "global" else meta[part][0])[key] = 10 ** 400
    path.write_text(json.dumps(meta))
    with pytest.raises(RecordingError, match=key) as error:
        open_recording(path)
    assert len(str(error.value)) < 500 and "\n" not in str(error.value)
