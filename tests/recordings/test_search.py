# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of recordings: mixed, each set of samples once, and nothing that this program wrote about them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.encoder.pdu import MAGIC
from gnuradio.spectrumencoder.recordings import (
    RecordingArgumentError,
    RecordingError,
    find_and_tell,
    find_recordings,
    open_recording,
)

OWN = {"core:extensions": [{"name": "spectrumencoder", "version": "0.1.0", "optional": True}]}


@pytest.fixture
def write(write_sigmf, tmp_path):
    """Writes a recording of so many bytes into the folder."""
    def make(name, n_bytes=400, **fields):
        return write_sigmf(tmp_path, name, bytes(n_bytes), datatype="ci8", **fields)
    return make


def names(folder, **stated):
    return [path.name for path in find_recordings(folder, **stated)]


def test_a_mixed_folder(write, tmp_path):
    write("b")
    np.save(tmp_path / "a.npy", np.zeros(9, np.complex64))
    for name in ("g001_433.92M_250k.cu8", "gqrx_20230501_123015_433920000_2400000_fc.raw", "2023-05-01_12-30-15_1000SPS_5Hz.s8",
                 "slow.cu8", "notes.txt", "x.iq", "g001_433.92M_250k_cu8.png", "y_433.92M_250k_cf32.sigmf-data"):
        (tmp_path / name).write_bytes(bytes(400))
    (tmp_path / "folder_433.92M_250k.cu8").mkdir()
    found = ["2023-05-01_12-30-15_1000SPS_5Hz.s8", "a.npy", "b.sigmf-meta", "g001_433.92M_250k.cu8",
             "gqrx_20230501_123015_433920000_2400000_fc.raw", "y_433.92M_250k_cf32.sigmf-data"]
    assert names(tmp_path) == found
    assert names(tmp_path, rate=1e6) == sorted([*found, "slow.cu8"])
    for path in find_recordings(tmp_path, rate=1e6):
        assert open_recording(path, rate=1e6).n_samples > 0
    for stated in ({"datatype": "cu8"}, {"start": (0, 0.0)}):
        with pytest.raises(RecordingArgumentError, match="is a folder, whose recordings state their own"):
            find_recordings(tmp_path, **stated)


def test_own_outputs_are_never_inputs(write, tmp_path):
    """Events beside a recording and raw IQ, with metadata_only, core:dataset or a link; with our extension in any form."""
    write("quiet")
    forms = [OWN["core:extensions"], ["spectrumencoder"], {"spectrumencoder": "0.1.0"}]
    for number, extensions in enumerate(forms):
        write(f"quiet-{number}", **{"core:extensions": extensions, "core:dataset": "quiet.sigmf-data"})
        (tmp_path / f"quiet-{number}.sigmf-data").unlink()
    write("quiet-only", **OWN, **{"core:metadata_only": True})
    (tmp_path / "quiet-only.sigmf-data").unlink()
    write("quiet-events", **OWN)
    (tmp_path / "quiet-events.sigmf-data").unlink()
    (tmp_path / "quiet-events.sigmf-data").symlink_to("quiet.sigmf-data")
    (tmp_path / "x_1M_250k.cu8").write_bytes(bytes(400))
    write("x-events", **OWN, **{"core:dataset": "x_1M_250k.cu8"})
    (tmp_path / "x-events.sigmf-data").unlink()
    paths, notes = find_and_tell(tmp_path)
    assert [path.name for path in paths] == ["quiet.sigmf-meta", "x_1M_250k.cu8"]
    assert notes == ["6 files with events that this program has found are no recording, and left out"]


def test_a_recording_that_was_annotated_in_place_stays_one(write, tmp_path):
    write("done", **OWN)
    write("snippet_1", **OWN)
    assert names(tmp_path) == ["done.sigmf-meta", "snippet_1.sigmf-meta"] and find_and_tell(tmp_path)[1] == []


def test_the_same_samples_are_found_once(write, tmp_path):
    """By other programs' metadata, by a hard link, by a link; the samples' own name wins."""
    kept = write("m")
    for name in ("a_labels", "z_labels"):
        write(name, **{"core:dataset": "m.sigmf-data"})
        (tmp_path / f"{name}.sigmf-data").unlink()
    write("hard")
    (tmp_path / "hard.sigmf-data").unlink()
    os.link(tmp_path / "m.sigmf-data", tmp_path / "hard.sigmf-data")
    np.save(tmp_path / "n.npy", np.zeros(9, np.complex64))
    write("of_n", **{"core:dataset": "n.npy"})
    (tmp_path / "of_n.sigmf-data").unlink()
    paths, notes = find_and_tell(tmp_path)
    assert [path.name for path in paths] == ["hard.sigmf-meta", "of_n.sigmf-meta"]
    assert notes == ["m.sigmf-meta, a_labels.sigmf-meta, z_labels.sigmf-meta are left out: the same samples as hard.sigmf-meta",
                     "n.npy is left out: the same samples as of_n.sigmf-meta"]
    (tmp_path / "hard.sigmf-meta").unlink()
    assert find_recordings(tmp_path)[0] == kept


def test_what_is_damaged_is_found_so_that_opening_it_says_so(write, tmp_path):
    (tmp_path / "bad.sigmf-meta").write_text("{")
    (tmp_path / "bad.sigmf").write_bytes(b"x" * 600)
    (tmp_path / "lost.sigmf-meta").write_text(json.dumps({"global": {"core:datatype": "ci8", "core:sample_rate": 1}}))
    write("good")
    assert names(tmp_path) == ["bad.sigmf", "bad.sigmf-meta", "good.sigmf-meta", "lost.sigmf-meta"]


def test_a_pattern_and_its_subfolders(write, tmp_path):
    write("a")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("g001_433.92M_250k.cu8", "deep/g002_433.92M_250k.cu8", "deep/er/g003_433.92M_250k.cu8", "deep/notes.txt"):
        (tmp_path / name).write_bytes(bytes(400))
    assert names(f"{tmp_path}/*.cu8") == ["g001_433.92M_250k.cu8"]
    assert names(f"{tmp_path}/**/*.cu8") == ["g003_433.92M_250k.cu8", "g002_433.92M_250k.cu8", "g001_433.92M_250k.cu8"]
    assert names(f"{tmp_path}/**") == ["a.sigmf-meta", "g003_433.92M_250k.cu8", "g002_433.92M_250k.cu8", "g001_433.92M_250k.cu8"]
    with pytest.raises(RecordingError, match=r"\*\.wav: holds no recording"):
        find_recordings(f"{tmp_path}/**/*.wav")
    with pytest.raises(RecordingArgumentError, match="is a pattern, whose recordings state their own datatype"):
        find_recordings(f"{tmp_path}/*.cu8", datatype="cu8")
    (tmp_path / "odd[1]_433.92M_250k.cu8").write_bytes(bytes(400))
    assert names(tmp_path / "odd[1]_433.92M_250k.cu8") == ["odd[1]_433.92M_250k.cu8"]  # a file's own name is no pattern


def test_nothing_to_find(tmp_path):
    (tmp_path / "x.iq").write_bytes(bytes(4))
    with pytest.raises(RecordingError, match=r"holds no recording .*\*.sigmf-meta.*raw IQ whose name states rate and type"):
        find_recordings(tmp_path)


@pytest.mark.parametrize("name", [".", "./", "inner/..", ".."])
def test_folders_without_a_name_of_their_own_are_searched(write, tmp_path, monkeypatch, name):
    (tmp_path / "inner").mkdir()
    write("a")
    monkeypatch.chdir(tmp_path / "inner" if name == ".." else tmp_path)
    assert names(Path(name)) == ["a.sigmf-meta"]


def test_what_looks_like_a_recording_and_is_none_is_found_so_that_opening_it_says_so(write, tmp_path):
    """Random bytes, an empty file, samples without metadata, a disk that fails: one reason for each."""
    write("good")
    write("alone").unlink()
    (tmp_path / "broken.wav").write_bytes(b"\x93" * 600)
    (tmp_path / "empty.sdriq").write_bytes(b"")
    (tmp_path / "disk.npy").symlink_to("/proc/self/mem")  # opens, and cannot be read
    (tmp_path / "gone.vrt").symlink_to("nothing")
    for name in ("job.tmp", "scene.hdr", "notes.txt", "picture.png", "events.json"):  # of other programs as well
        (tmp_path / name).write_bytes(b"\x93" * 600)
    paths, notes = find_and_tell(tmp_path)
    reasons = {}
    for path in paths:
        try:
            open_recording(path)
        except RecordingError as error:
            reasons[path.name] = str(error).removeprefix(f"{path}: ")
    assert [path.name for path in paths] == sorted([*reasons, "good.sigmf-meta"]) and notes == [] and len(reasons) == 5
    assert "its alone.sigmf-meta is missing" in reasons["alone.sigmf-data"]
    assert "named like WAV, but its content is not" in reasons["broken.wav"]
    assert "named like sdriq" in reasons["empty.sdriq"]
    assert "cannot be read (Input/output error)" in reasons["disk.npy"]
    assert "no such recording" in reasons["gone.vrt"]


def test_unclear_raw_iq_is_counted(write, tmp_path):
    """And what another file describes, or this program wrote, is not; what says by its content what it is, is found."""
    write("good")
    write("of_samples", **{"core:dataset": "samples.raw"})
    (tmp_path / "of_samples.sigmf-data").rename(tmp_path / "samples.raw")
    for name in ("plain.raw", "x.iq", "y.bin", "z.dat", "slow.cu8", "some_1Msps.raw"):
        (tmp_path / name).write_bytes(b"\x01" * 400)
    (tmp_path / "spectra.bin").write_bytes(MAGIC + bytes(400))
    np.save(tmp_path / "array.npy", np.zeros(9, np.complex64))
    (tmp_path / "array.npy").rename(tmp_path / "array.dat")
    paths, notes = find_and_tell(tmp_path)
    assert [path.name for path in paths] == ["array.dat", "good.sigmf-meta", "of_samples.sigmf-meta"]
    assert notes == ["4 files left out: plain.raw, x.iq, y.bin and 1 more say neither rate nor format; run each by its name, "
                     "with --rate and --format", "1 file left out: slow.cu8 says no rate; give --rate",
                     "1 file left out: some_1Msps.raw says no format; run it by its name, with --format"]
    assert find_and_tell(f"{tmp_path}/*.cu8", rate=1e6)[1] == []
    with pytest.raises(RecordingError, match=r"holds no recording .*; 1 file left out: x\.iq says neither rate nor format;"):
        find_and_tell(f"{tmp_path}/*.iq")
