# SPDX-License-Identifier: GPL-3.0-or-later
"""`run --jobs`: several recordings at a time give what one after the other gives, in the same order, however it ends."""

import json
import os
import signal
import subprocess
import time
from functools import partial

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import program
from gnuradio.spectrumencoder.session.errors import SettingError
from test_run import read_events, without_host_values


@pytest.fixture(scope="module")
def recordings(demo_scene, tmp_path_factory):
    """Four that differ: the scene, its parts, and noise alone."""
    folder = tmp_path_factory.mktemp("recordings")
    meta, data = json.loads(demo_scene.read_text()), demo_scene.with_suffix(".sigmf-data").read_bytes()
    for name, part in (("a", data), ("b", data[len(data) // 4 // 2 * 2:]), ("c", data[:len(data) // 2 // 2 * 2]), ("d", data)):
        (folder / f"{name}.sigmf-data").write_bytes(part)
        (folder / f"{name}.sigmf-meta").write_text(json.dumps(meta | {"annotations": []}))
    return folder


def add_broken(folder, name):
    (folder / f"{name}.sigmf-meta").write_text("{")


def copied(recordings, folder):
    for path in recordings.iterdir():
        os.link(path, folder / path.name)
    return folder


def run_jobs(call, recordings, model, out, jobs, *more):
    out.mkdir()
    done = call("run", recordings, "--detector", "boxes", "--model", model, "--jobs", jobs,
                "--events", out / "e.jsonl", "--json", out / "s.json", "--tracks", out / "t.jsonl", *more)
    events = without_host_values(read_events(out / "e.jsonl"))
    tracks = {path.name: path.read_text() for path in sorted(out.glob("t_*.jsonl"))}
    return done, events, json.loads((out / "s.json").read_text()), tracks


def without_times(text):
    return [line.rpartition(" in ")[0] or line for line in text.splitlines()]


def test_two_jobs_give_what_one_gives(call, recordings, band_model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    add_broken(copied(recordings, folder), "bb")
    one, two = (run_jobs(call, folder, band_model, tmp_path / str(jobs), jobs) for jobs in (1, 2))
    assert one[0].returncode == two[0].returncode == 1
    assert without_times(one[0].stdout) == without_times(two[0].stdout)
    assert one[0].stderr == two[0].stderr and one[0].stderr.count("error: ") == 2
    assert one[1] == two[1] and {event["recording"] for event in one[1]} >= {"a", "d"}
    assert one[3] == two[3]
    for first, second in zip(one[2]["recordings"], two[2]["recordings"], strict=True):
        assert [first[key] for key in ("name", "n_frames", "n_events", "notes")] == \
            [second[key] for key in ("name", "n_frames", "n_events", "notes")]
    assert one[2]["errors"] == two[2]["errors"]


def test_more_jobs_than_recordings(call, recordings, band_model, tmp_path):
    done, events, summary, _ = run_jobs(call, recordings, band_model, tmp_path / "out", 9, "--quiet")
    assert done.returncode == 0 and done.stdout == "" and [r["name"] for r in summary["recordings"]] == ["a", "b", "c", "d"]
    names = [event["recording"] for event in events]
    assert names == sorted(names)


def test_a_setting_that_makes_no_sense_is_said_once(call, the_line, recordings, model_file):
    done = call("run", recordings, "--model", model_file, "--jobs", 2, "--backend", "nonsense")
    assert "nonsense" in the_line(done, 2)


def test_processes_have_ended_when_an_error_is_reported(recordings, model_file):
    """Also in a program that goes on: none is left, and none is a zombie."""
    before = children()
    with pytest.raises(SettingError, match="nonsense"):
        arguments = ["run", str(recordings), "--model", str(model_file), "--jobs", "2", "--backend", "nonsense"]
        program(arguments).main(arguments, standalone_mode=False)
    assert children() == before


@pytest.mark.parametrize("option", [("--stats",), ("--zmq", "tcp://127.0.0.1:5999"), ("--metrics", "127.0.0.1:0")])
def test_what_watches_one_run_is_refused(call, the_line, recordings, model_file, option):
    done = call("run", recordings, "--model", model_file, "--jobs", 2, *option)
    assert option[0] in the_line(done, 2) and "--jobs" in done.stderr


def test_a_radio_has_no_jobs(call, the_line, model_file):
    done = call("run", "soapy:driver=none", "--rate", "1e6", "--freq", "1e8", "--model", model_file, "--jobs", 2)
    assert "--jobs" in the_line(done, 2)


@pytest.fixture
def long_ones(write_sigmf, tmp_path):
    """Three that take long, at any speed: noise without end on a disk that holds nothing of it."""
    for name in "abc":
        path = write_sigmf(tmp_path, name, np.zeros(1024))
        with path.with_suffix(".sigmf-data").open("r+b") as file:
            file.truncate(8 * 3_000_000_000)
    return tmp_path


@pytest.fixture
def started(program, long_ones, model_file):
    """The program with two jobs on the long recordings. It ends with the test, and its jobs with it."""
    environment = {**os.environ, "SPECTRUMENCODER_DEBUG": "", "COLUMNS": "100"}
    begin = partial(subprocess.Popen, [*program, "run", str(long_ones), "--model", str(model_file), "--jobs", "2", "--events",
                                       str(long_ones / "e.jsonl")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                    env=environment, start_new_session=True)
    begun = []
    yield lambda: begun.append(begin()) or begun[0]
    for process in begun:
        process.kill()
        process.communicate()


def children():
    """The processes that this one has started, zombies among them."""
    listed = subprocess.Popen(["ps", "--ppid", str(os.getpid()), "-o", "pid="], stdout=subprocess.PIPE, text=True)
    return {int(pid) for pid in listed.communicate()[0].split()} - {listed.pid}


def busy_children(process, count, wait_s=60.0):
    """The processes of the jobs, once each has used two seconds of the processor: it runs then."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        listed = subprocess.run(["ps", "--ppid", str(process.pid), "-o", "pid=,cputimes="], capture_output=True, text=True)
        rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
        busy = [pid for pid, used_s in rows if used_s >= 5]
        if len(busy) >= count:
            return busy
        time.sleep(0.2)
    process.kill()
    raise AssertionError(f"{count} jobs did not begin: {rows}")


@pytest.mark.parametrize("to_all", [True, False], ids=["of the terminal", "to the program alone"])
def test_ctrl_c_ends_all_in_good_order(started, to_all):
    process = started()
    children = busy_children(process, 2)
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted in a and b; what was written up to there is kept"
    assert "Traceback" not in errors and out.startswith("a: ") and "\nb: " in out
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_job_that_is_killed_is_an_error_and_the_others_go_on(started, long_ones, noise):
    for name in "bc":  # short ones; frames of zeros would be dropped
        (long_ones / f"{name}.sigmf-data").write_bytes(noise(65536).tobytes())
    process = started()
    (child,) = busy_children(process, 1)
    os.kill(child, signal.SIGKILL)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "error: a: its process ended with -9" in errors
    assert "b: 4 frames" in out and "c: 4 frames" in out


def test_the_jobs_end_with_the_program(started):
    process = started()
    children = busy_children(process, 2)
    process.kill()
    process.communicate(timeout=30)
    until = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}/exe") for pid in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(os.path.exists(f"/proc/{pid}/exe") for pid in children)
