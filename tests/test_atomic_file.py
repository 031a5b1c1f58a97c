# SPDX-License-Identifier: GPL-3.0-or-later
"""write_file: whole files, no leftovers, the old content after a failure."""

import os
import subprocess
import sys

import pytest
from gnuradio.spectrumencoder.atomic_file import write_file


@pytest.mark.parametrize("content", [b"new", lambda file: file.write(b"new")], ids=["bytes", "function"])
@pytest.mark.parametrize("exists", [True, False])
def test_content_is_written_and_nothing_else_lies_about(tmp_path, content, exists):
    path = tmp_path / "file.bin"
    if exists:
        path.write_bytes(b"old")
    write_file(path, content)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise KeyError("on purpose")
    with pytest.raises(KeyError, match="on purpose"):
        write_file(path, fail)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "no" / "file", b"")


def test_permissions_are_those_of_any_new_file(tmp_path):
    write_file(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()
    assert os.stat(tmp_path / "ours").st_mode == os.stat(tmp_path / "plain").st_mode


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    program = ("import os, signal, sys\nfrom gnuradio.spectrumencoder.atomic_file import write_file\n"
               "def die(file):\n    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
               "write_file(sys.argv[1], die)")
    assert subprocess.run([sys.executable, "-c", program, str(path)], timeout=60).returncode == -9
    assert path.read_bytes() == b"old"
