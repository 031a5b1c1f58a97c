# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a recording: skip and seconds."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingArgumentError, open_recording
from gnuradio.spectrumencoder.recordings.convert import convert

RATE = 1e4


@pytest.fixture
def path(write_sigmf, tmp_path):
    """Ten seconds with captures at 0 and 6 s, and marks at 1 to 3 s and 7 to 9 s; its first sample is number 500 of a stream."""
    iq = (np.arange(100_000) % 1000 + 1j * (np.arange(100_000) // 1000)).astype(np.complex64)
    captures = [{"core:sample_start": 500, "core:frequency": 1e8, "core:datetime": "2026-01-31T12:00:00Z",
                 "core:global_index": 7000},
                {"core:sample_start": 60_500, "core:frequency": 2e8, "core:datetime": "2026-01-31T12:01:00Z"}]
    marks = [{"core:sample_start": start, "core:sample_count": 20_000, "core:label": label}
             for start, label in ((10_500, "a"), (70_500, "b"))]
    return write_sigmf(tmp_path, "ten", iq, RATE, captures=captures, annotations=marks, **{"core:offset": 500})


def test_samples_captures_and_marks_count_from_its_first_sample(path):
    whole, part = open_recording(path), open_recording(path, skip_s=2.0, seconds=5.5)
    assert (part.n_samples, part.duration_s, part.offset) == (55_000, 5.5, 20_500)
    assert np.array_equal(part.read(), whole.read(20_000, 55_000))
    assert np.array_equal(part.read(54_000, 5000), whole.read(74_000, 1000))
    assert [(c.sample_start, c.frequency_hz, c.posix_time) for c in part.captures] == [
        (0, 1e8, whole.captures[0].posix_time + 2.0), (40_000, 2e8, whole.captures[1].posix_time)]
    assert [(a.label, a.sample_start, a.sample_count) for a in part.annotations] == [("a", 0, 10_000), ("b", 50_000, 5_000)]
    assert open_recording(path, seconds=1e6).n_samples == 100_000 and open_recording(path).offset == 500
    assert [c.posix_time for c in open_recording(path, skip_s=7.0, start="2026-01-31T13:00:00Z").captures] == [
        pytest.approx(1769864400 + 61.0)]  # start is of the file's first sample


def test_converted_it_is_a_recording_of_its_own_that_knows_its_place(path, tmp_path):
    part = open_recording(path, skip_s=2.0, seconds=5.5)
    meta_path, _ = convert(part, tmp_path / "cut")
    meta, again = json.loads(meta_path.read_text()), open_recording(meta_path)
    assert meta["global"]["core:offset"] == 20_500
    assert [(c["core:sample_start"], c.get("core:global_index")) for c in meta["captures"]] == [(20_500, 27_000), (60_500, None)]
    assert [mark["core:label"] for mark in meta["annotations"]] == ["a", "b"]
    assert np.array_equal(again.read(), part.read()) and again.verify() and again.captures == part.captures


@pytest.mark.parametrize(("stated", "said"), [
    ({"skip_s": 10.0}, "skip 10 s is all of it: the recording has 10 s"), ({"skip_s": -1.0}, "skip -1 is no number of seconds"),
    ({"seconds": 0.0}, "seconds 0 is not a positive number"), ({"seconds": 1e-6}, "hold no sample at 10000 Hz"),
    ({"skip_s": float("nan")}, "skip nan is no number")])
def test_no_part(path, stated, said):
    with pytest.raises(RecordingArgumentError, match=said):
        open_recording(path, **stated)


def test_a_part_needs_the_rate(tmp_path):
    raw = tmp_path / "x.cu8"
    raw.write_bytes(bytes(1000))
    with pytest.raises(RecordingArgumentError, match="skip and seconds count by the rate"):
        open_recording(raw, seconds=1.0, need_rate=False)
