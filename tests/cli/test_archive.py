# SPDX-License-Identifier: GPL-3.0-or-later
"""`run --report`: a folder into one report, which is the same however often the run was ended on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.cli.archive import check
from gnuradio.spectrumencoder.cli.errors import UsageError

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.timeout(300)  # of a machine that does other work, too
RATE, FRAME = 1e6, 16384
REPORT = ("events.jsonl", "events.parquet", "recordings.parquet", "index.html", "by_alerts.html", "by_strength.html",
          "failed.html")


@pytest.fixture(scope="module")
def recordings(write_sigmf, noise, tmp_path_factory):
    """Six with a tone in the second half, at another frequency each, one of noise alone, one in a subfolder."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "sub").mkdir()
    t = np.arange(40 * FRAME)
    for number, name in enumerate(("a", "b", "c", "d", "e", "f", "sub/a")):
        tone = 10 ** -1.5 * np.exp(2j * np.pi * (0.05 + 0.05 * number) * t) * (t > 25 * FRAME) * (name != "c")
        write_sigmf(folder / os.path.dirname(name), os.path.basename(name), (noise(len(t)) + tone).astype(np.complex64),
                    samp_rate=RATE)
    return folder


def content(out):
    """All bytes of a report: what must not depend on how it came about."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for name in (*REPORT, "parts/*", "pictures/*")
            for path in out.glob(name)}


def journal(out):
    path = out / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, wait_s=200.0):
    """What it gives, once that is true."""
    until = time.monotonic() + wait_s
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
    return found


class _Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.tags, self.text = [], set(), ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data):
        self.text += data


def test_report_and_what_is_run_again(call, recordings, tmp_path):
    """A broken recording is reported; finished ones are not run again, until they, or the settings, are others."""
    from pyarrow import parquet
    folder, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(recordings, folder)
    (folder / "bb.sigmf-meta").write_text("{")
    command = "run", f"{folder}/**/*.sigmf-meta", "--report", out, "--jobs", 2
    done = call(*command)
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == f"error: 1 of 8 recordings failed; {out}/failed.html says why"
    assert "bb.sigmf-meta: not valid JSON" in done.stderr and "Traceback" not in done.stderr

    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(event["recording"] for event in events)) == [f"{name}.sigmf-meta" for name in "abdef"] + [
        "sub/a.sigmf-meta"]
    opened = [(event["recording"], event["event_id"]) for event in events if event["state"] == "open"]
    assert len(opened) == len(set(opened)) and not any(keys.LATENCY_MS in event or keys.TIMESTAMP in event for event in events)
    assert parquet.read_table(out / "events.parquet").select(["recording", "event_id", "freq_center_hz"]).to_pylist() == [
        {key: event[key] for key in ("recording", "event_id", "freq_center_hz")} for event in events]
    table = {row["recording"]: row for row in parquet.read_table(out / "recordings.parquet").to_pylist()}
    assert list(table) == sorted(table) and len(table) == 8
    assert table["bb.sigmf-meta"]["status"] == "failed" and table["c.sigmf-meta"]["alerts"] == 0
    assert table["a.sigmf-meta"]["strongest_freq_hz"] == pytest.approx(433.92e6 + 0.05e6, abs=3e3)
    assert dict(table["a.sigmf-meta"]["alerts_by_kind"])["new"] == table["a.sigmf-meta"]["alerts"] >= 1

    page = _Page(out / "index.html")
    assert not page.tags & {"script", "iframe", "object"} and not any(re.match(r"\w+:|//|/", link) for link in page.links)
    assert all((out / link).exists() for link in page.links) and len(set(page.links) & {
        row["picture"] for row in table.values()}) == 7
    assert "7 of 8 recordings finished" in page.text and "not valid JSON" in _Page(out / "failed.html").text

    first, n_lines = content(out), len(journal(out))
    done = call(*command)
    assert f"note: 7 of 8 recordings are finished already, and taken from {out}" in done.stderr and done.stdout.count("\n") == 1
    assert content(out) == first and len(journal(out)) == n_lines + 1  # the broken one, tried again

    (folder / "bb.sigmf-meta").unlink()
    os.utime(folder / "d.sigmf-data", ns=(1, 1))
    done = call(*command)
    assert done.returncode == 0 and "6 of 7 recordings are finished" in done.stderr and done.stdout.startswith("d: ")
    changed = call(*command, "--false-events", 100)
    assert changed.returncode == 0 and "finished already" not in changed.stderr
    assert (out / "events.jsonl").read_bytes() != first["events.jsonl"] or len(journal(out)) == n_lines + 9
    again = call(*command)
    assert "7 of 7 recordings are finished" in again.stderr and (out / "events.jsonl").read_bytes() == first["events.jsonl"]


def test_a_run_that_is_killed_goes_on(call, program, recordings, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert call("run", recordings, "--report", whole, "--jobs", 2).returncode == 0
    arguments = ["run", str(recordings), "--report", str(out)]
    for end, lines in ((signal.SIGKILL, 2), (signal.SIGINT, 4)):
        process = subprocess.Popen([*program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: len(journal(out)) >= lines or process.poll() is not None)  # noqa: B023 (called at once)
            process.send_signal(end)
            _, errors = process.communicate(timeout=100)
        finally:
            process.kill()
        assert process.returncode != 0 and len(journal(out)) < 6, errors
    assert re.search(r"error: interrupted; [345] of 6 recordings are finished, and the same command goes on\n$", errors), errors
    assert "not run yet" in _Page(out / "index.html").text
    with (out / "journal.jsonl").open("a") as file:  # a power cut in the middle of a line
        file.write('{"key": "5')
    done = call(*arguments)
    assert done.returncode == 0 and re.search(r"note: [45] of 6 recordings are finished already", done.stderr), done.stderr
    assert content(out) == content(whole)


def test_a_folder_has_one_writer(call, program, the_line, recordings, tmp_path):
    process = subprocess.Popen([*program, "run", str(recordings), "--report", str(tmp_path / "out")], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: journal(tmp_path / "out"))
        assert "another program writes it" in the_line(call("run", recordings, "--report", tmp_path / "out"), 1)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("options, words", [
    ({"cluster": "localhost:8786"}, "--cluster localhost:8786 is not the address"),
    ({"report": None}, "add --report DIR"),
    ({"jobs": 2}, "--jobs 2 is for this machine"),
    ({"in_files": False}, "is for recordings in files"),
    ({"cluster": "", "band_file": "my.band"}, "--band-file does not go with --report"),
])
def test_options_that_contradict_each_other(tmp_path, options, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        check(**{"report": tmp_path, "cluster": "tcp://127.0.0.1:1", "jobs": 1, "in_files": True} | options)


def test_a_setting_that_makes_no_sense_is_said_once(call, the_line, recordings, tmp_path):
    assert "nonsense" in the_line(call("run", recordings, "--report", tmp_path / "out", "--backend", "nonsense"), 2)


def test_every_field_of_an_event_has_a_column():
    from gnuradio.spectrumencoder.session.archive_report import EVENT_TYPES
    assert set(EVENT_TYPES) == {*keys.EVENT_FIELDS, keys.RECORDING} - {keys.LATENCY_MS}
