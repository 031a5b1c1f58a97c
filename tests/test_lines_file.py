# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of JSON lines: one writer, whole lines, nothing of a run before is lost."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest
from gnuradio.spectrumencoder.lines_file import KEPT, CannotWrite, LinesFile

WHOLE = '{"event": 1}\n{"event": 2}\n'


@pytest.mark.parametrize(("before", "kept"), [
    ("", ""), (WHOLE, WHOLE), (WHOLE + '{"eve', WHOLE), (WHOLE + '{"event": 3}', WHOLE + '{"event": 3}\n'), ('{"eve', ""),
    ('{"event": 1}', '{"event": 1}\n'), (WHOLE + '{"long": "' + "x" * 200_000, WHOLE)])
def test_what_was_there_is_kept_and_a_torn_line_is_not(tmp_path, before, kept):
    path = tmp_path / "e.jsonl"
    path.write_text(before)
    file = LinesFile(path)
    file.write('{"event": 4}')
    file.close()
    assert path.read_text() == kept + '{"event": 4}\n'


def test_a_file_of_something_else_is_refused_and_untouched(tmp_path):
    path = tmp_path / "capture.cf32"
    path.write_bytes(bytes(range(100)))
    with pytest.raises(CannotWrite, match="holds something else than JSON lines"):
        LinesFile(path)
    assert path.read_bytes() == bytes(range(100))


def test_there_is_one_writer(tmp_path):
    path = tmp_path / "e.jsonl"
    first = LinesFile(path)
    first.write('{"event": 1}')
    code = "import sys; from gnuradio.spectrumencoder.lines_file import LinesFile; LinesFile(sys.argv[1], append=False)"
    other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert "CannotWrite" in other.stderr and f"cannot write {path}: another program writes it" in other.stderr
    first.close()
    assert path.read_text() == '{"event": 1}\n'
    LinesFile(path, append=False).close()
    assert path.read_text() == ""


def test_a_full_disk_leaves_whole_lines(tmp_path):
    path = tmp_path / "e.jsonl"
    file = LinesFile(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[0][1]))  # a write beyond it is short, as on a full disk
    try:
        with pytest.raises(CannotWrite, match=f"cannot write {path}: File too large"):
            for number in range(100):
                file.write(json.dumps({"event": number, "text": "x" * 77}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])
    lines = path.read_text().splitlines()
    assert path.read_text().endswith("\n") and [json.loads(line)["event"] for line in lines] == list(range(len(lines)))
    file.write('{"event": "later"}')  # there is room again
    file.close()
    assert path.read_text().endswith('{"event": "later"}\n')


def test_it_is_turned_over_and_the_oldest_goes(tmp_path):
    path = tmp_path / "e.jsonl"
    file = LinesFile(path, max_bytes=30)
    for number in range(40):
        file.write(json.dumps({"event": number}))
    file.close()
    assert sorted(os.listdir(tmp_path)) == ["e.jsonl", *(f"e.jsonl.{number}" for number in range(1, KEPT + 1))]
    text = "".join((tmp_path / f"e.jsonl.{number}").read_text() for number in range(KEPT, 0, -1)) + path.read_text()
    assert [json.loads(line)["event"] for line in text.splitlines()] == list(range(20, 40))
