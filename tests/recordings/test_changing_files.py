# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording that changes while it is read: the samples that it was opened with, or an error; never others in silence."""

import os

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingError, open_recording

N = 100_000


def samples(seed):
    return np.random.default_rng(seed).standard_normal((N, 2), np.float32).view(np.complex64)[:, 0]


@pytest.fixture
def opened(tmp_path, write_sigmf):
    """(recording, its data file); half of it is read."""
    recording = open_recording(write_sigmf(tmp_path, "r", samples(1)))
    assert (recording.read(0, N // 2) == samples(1)[:N // 2]).all()
    return recording, tmp_path / "r.sigmf-data"


def later(path):
    """Moves the time of the last change, which a coarse clock might leave."""
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10_000_000))


def test_one_that_grows_is_the_same(opened):
    recording, data = opened
    with data.open("ab") as file:
        file.write(samples(2).tobytes())
    later(data)
    assert (recording.read(N // 2) == samples(1)[N // 2:]).all()
    with data.open("ab") as file:
        file.write(b"more")
    later(data)
    assert (recording.read(N // 2) == samples(1)[N // 2:]).all()


def test_one_that_is_replaced_is_an_error(opened):
    recording, data = opened
    data.with_suffix(".new").write_bytes(samples(2).tobytes())
    os.replace(data.with_suffix(".new"), data)
    with pytest.raises(RecordingError, match="was replaced since it was opened; open it again"):
        recording.read(N // 2)


@pytest.mark.parametrize("n_bytes", [8 * N, 16 * N])
def test_one_that_is_written_anew_in_place_is_an_error(opened, n_bytes):
    recording, data = opened
    with data.open("r+b") as file:
        file.write(np.tile(samples(2), 2).tobytes()[:n_bytes])
    later(data)
    with pytest.raises(RecordingError, match="was changed since it was opened; open it again"):
        recording.read(N // 2)


def test_one_that_is_cut_is_an_error(opened):
    recording, data = opened
    os.truncate(data, 8 * N - 100)
    with pytest.raises(RecordingError, match="has become shorter since it was opened"):
        recording.read(N // 2)
