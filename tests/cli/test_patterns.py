# SPDX-License-Identifier: GPL-3.0-or-later
"""`run` takes a pattern of recordings: subfolders, one name twice, several at a time."""

import json

import pytest


@pytest.fixture
def archive(write_sigmf, noise, tmp_path):
    """Two recordings of one name, in two folders."""
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        write_sigmf(tmp_path / day, "morning", noise(200_000))
    return f"{tmp_path}/**/*.sigmf-meta"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_pattern_is_run_like_a_folder(call, archive, tmp_path, jobs):
    done = call("run", archive, "--jobs", jobs, "--events", tmp_path / "e.jsonl", "--json", tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    assert [row["name"] for row in json.loads((tmp_path / "s.json").read_text())["recordings"]] == ["morning", "morning"]


def test_one_name_twice_has_no_file_of_its_own(call, the_line, archive, tmp_path):
    error = the_line(call("run", archive, "--plot", tmp_path / "p.png"), 2)
    assert "several recordings are called morning" in error and "leave these out" in error


@pytest.mark.parametrize(("option", "value"), [("--events", "-"), ("--snippets", "cut")])
def test_what_is_for_one_recording_at_a_time(call, the_line, archive, option, value):
    assert f"{option}{' -' if value == '-' else ''} is for one recording at a time" in the_line(
        call("run", archive, "--jobs", 2, option, value), 2)
