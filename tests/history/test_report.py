# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: of a simulated site, by the command, as HTML, Markdown and JSON; and of what is not there."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.history import History, HistoryError, Reader
from gnuradio.spectrumencoder.history.document import Document, Picture, Section, Table, to_html, to_markdown
from gnuradio.spectrumencoder.history.report import make_report
from gnuradio.spectrumencoder.history.report_words import write_report
from gnuradio.spectrumencoder.history.times import length, parse_time
from gnuradio.spectrumencoder.simulate.site_history import DAY, GAPS, simulate_history

PROGRAM = Path(sys.executable).parent / "spectrumencoder"
WEEK_S = 1_794_787_200  # Monday, 2026-11-16
FIRST, N_MINUTES = 2 * DAY + 600, 1620  # Wednesday 10:00 to Thursday 13:00, with a new emitter, a power cut, one that is gone
SINCE_S, UNTIL_S = WEEK_S + 60 * FIRST, WEEK_S + 60 * (FIRST + N_MINUTES)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    path = tmp_path_factory.mktemp("site") / "roof.db"
    history = History(path)
    simulate_history(history, WEEK_S, N_MINUTES, FIRST)
    history.close()
    return path


@pytest.fixture(scope="module")
def report(site):
    with Reader(site) as reader:
        return make_report(reader, SINCE_S, UNTIL_S, UNTIL_S)


def call(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=100)


def test_a_power_cut_is_a_gap_and_never_quiet(report):
    gap = WEEK_S + 60 * GAPS[0][0], WEEK_S + 60 * GAPS[0][1]
    assert report.gaps == [gap]
    assert report.watched_s == UNTIL_S - SINCE_S - (gap[1] - gap[0])
    one, = report.maps
    within = slice(int((gap[0] - one.begin_s) / one.step_s) + 1, int((gap[1] - one.begin_s) / one.step_s) - 1)
    assert np.isnan(one.occupancy[within]).all() and np.isfinite(one.occupancy[:within.start - 1]).all()
    beacon = int(np.argmin(np.abs(one.centers_hz - 434.475e6)))
    assert one.total[beacon] == 1.0  # a carrier that never stops, over the time that was watched
    cut, last = report.runs
    assert "why" not in cut and last["why"] == "ended"
    words = to_markdown(write_report(report))
    assert "cut off: power, a kill, or a crash" in words and "for 3 h 25 min from Thu 19 Nov 02:10" in words


def test_what_happened_is_listed(report):
    assert report.kinds() == {"new": 1, "gone": 1}
    new, gone = report.of_kind("new")[0], report.of_kind("gone")[0]
    assert new["timestamp_end"] - new["timestamp"] == 105 * 60
    assert {row["emitter_id"]: row["status"] for row in report.emitters if row["status"] != "usual"} == {
        new["emitter_id"]: "new", gone["emitter_id"]: "gone"}
    words = to_markdown(write_report(report))
    assert "New on the band: 434.3500 MHz (OFDM, since Wed 18 Nov 14:20)" in words
    assert "Gone: 433.4249 MHz (weather station, last heard Thu 19 Nov 07:1" in words
    busiest = report.busiest[0]
    assert busiest["freq_center_hz"] == 434.475e6 and busiest["occupancy"] == 1.0 and busiest["emitters"] == [6]
    wide = next(row for row in report.busiest if 3 in row["emitters"])
    assert wide["bandwidth_hz"] > 100e3  # seven channels of one emitter are one row
    beacon = next(row for row in report.emitters if row["emitter_id"] == 6)
    assert beacon["duty"] == 1.0 and beacon["level_db"] == pytest.approx(18.0, abs=0.6)


def test_shares_have_two_digits_and_hide_no_loss(report):
    """A share of less than all is never 100 %."""
    lost_s = report.until_s - report.since_s - report.watched_s
    for lost, share in ((4e-6, "(99.9 %)"), (0.0042, "(99.6 %)"), (0.1, "(90 %)"), (0.966, "(3.4 %)")):
        changed = replace(report, since_s=report.until_s - lost_s / lost)
        assert share in to_markdown(write_report(changed)), share


def test_a_page_of_its_own_with_three_pictures(site, tmp_path):
    page = tmp_path / "roof.html"
    done = call("report", site, "--since", "all", "--out", page, "--json", tmp_path / "roof.json")
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.count('<img alt="') == text.count('src="data:image/png;base64,iVBORw0KGgo') == 3
    assert not re.search(r"<script|https?://(?!www\.w3)", text)
    values = json.loads((tmp_path / "roof.json").read_text())
    assert values["alerts_by_kind"] == {"new": 1, "gone": 1} and len(values["gaps"]) == 1
    assert values["totals"]["frames"] > 1e7 and len(values["channels"][0]["occupancy"]) == 96


def test_markdown_has_its_pictures_beside(site, tmp_path):
    done = call("report", site, "--since", "2026-11-18T12:00", "--until", "2026-11-19", "--out", tmp_path / "roof.md")
    assert done.returncode == 0, done.stderr
    names = re.findall(r"!\[.*\]\((.*)\)", (tmp_path / "roof.md").read_text())
    assert sorted(names) == ["roof_alerts.png", "roof_levels.png", "roof_occupancy.png"]
    assert all((tmp_path / name).stat().st_size > 10_000 for name in names)


@pytest.mark.parametrize("arguments, words", [
    (("--since", "24h"), "has nothing from .* it goes from 2026-11-18 10:00 to 2026-11-19 13:00"),
    (("--since", "yesterday"), "'yesterday' is no time; write it like 24h"),
    (("--since", "2026-11-20", "--until", "2026-11-19"), "is not before"),
    (("--out", "report.pdf"), "ends neither in .html nor in .md"),
])
def test_what_cannot_be_reported_is_one_line(site, arguments, words):
    done = call("report", site, *arguments)
    assert done.returncode != 0 and re.search(words, done.stderr) and done.stderr.count("\n") == 1


def test_a_missing_and_an_empty_history(tmp_path):
    assert "is not there" in call("report", tmp_path / "none.db").stderr
    History(tmp_path / "empty.db").close()
    with pytest.raises(HistoryError, match="is empty"):
        make_report(Reader(tmp_path / "empty.db"), 0.0, 1.0, 1.0)


def test_names_from_the_air_are_no_markup():
    evil = '<script>alert(1)</script> | `x` [a](b)\n"'
    document = Document(evil, evil, [Section(evil, [Table((evil,), ((evil,),)), Picture("p", b"png", evil)])], evil)
    page = to_html(document)
    assert "<script" not in page and "&lt;script&gt;" in page
    row = to_markdown(document).splitlines()[6]
    assert re.search(r"(?<!\\)[<>`\[\]]", row) is None and row.count("|") - row.count("\\|") == 2


@pytest.mark.parametrize("text, seconds", [
    ("now", 0.0), ("90m", 5400.0), ("24h", 86400.0), ("2w", 1209600.0), ("1.5d", 129600.0)])
def test_times_before_now(text, seconds):
    now = time.time()
    assert parse_time(text, now) == now - seconds


def test_times_are_utc_if_they_name_no_zone():
    assert parse_time("2026-01-31", 0.0) == parse_time("2026-01-31T01:00+01:00", 0.0) == parse_time("2026-01-31T00:00Z", 0.0)
    assert [length(value) for value in (0.4, 59, 60, 3600, 12300, 172800, 187200)] == [
        "0 s", "59 s", "1 min", "1 h", "3 h 25 min", "2 days", "2 days 4 h"]
