# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a history: what is written is read again, what is no history is refused, what is old is deleted."""

import os
import sqlite3

import numpy as np
import pytest
from gnuradio.spectrumencoder.history import History, HistoryError, Reader
from gnuradio.spectrumencoder.history.packing import Channels
from gnuradio.spectrumencoder.history.schema import VERSION
from gnuradio.spectrumencoder.history.store import MinuteRow

RUN = {"source": "radio", "band": "/home/site.band", "samp_rate": 2.4e6, "freq_center_hz": 434e6, "settings": {"learn_s": 20.0}}
START = 1_767_225_600  # a whole minute


def minute(number, rng, emitters=((7, 0.5, 12.0, 20.0),)):
    n = 96
    channels = Channels(np.full(n, 8789), rng.random(n), rng.normal(2.0, 3.0, n), rng.normal(9.0, 3.0, n))
    at = START + 60 * number
    return MinuteRow(at // 60, 0, at, at + 60.0, 60.0, 8789, -91.25, {"dropped_frames": 1}, list(emitters),
                     {(25e3, 17312): channels})


def alert(number, kind="new", state="open", at=START):
    return {"event_id": f"{number}-0", "state": state, "alert": kind, "timestamp": float(at), "last_heard": at + 5.0,
            "emitter_id": 7, "freq_center_hz": 433.92e6, "is_anomaly": True, "snr_db": float("nan")}


def fill(history, minutes, first=0, alerts=0):
    with history:
        run = history.begin_run(RUN)
        rng = np.random.default_rng(1)
        for number in range(first, first + minutes):
            history.put_minute(run, minute(number, rng))
        for number in range(alerts):
            history.add_alert(run, alert(number, at=START + 60 * (first + number)), START)
        history.mark_run(run, START + 60.0 * first, START + 60.0 * (first + minutes), "ended", ["a note"])
    return run


def test_what_is_written_is_read_again(tmp_path):
    with_reader = History(tmp_path / "site.db")
    run = fill(with_reader, 3, alerts=2)
    with with_reader:
        with_reader.add_alert(run, alert(0, state="close") | {"bursts": 9}, START)
        with_reader.put_emitters(run, [{"emitter_id": 7, "freq_center_hz": 433.92e6, "first_heard": START,
                                        "last_heard": START + 9}])
    reader = with_reader.reader
    assert reader.span() == (START, START + 180.0)
    row, = reader.runs()
    assert (row["source"], row["why"], row["notes"], row["settings"]) == ("radio", "ended", ["a note"], {"learn_s": 20.0})
    newest, oldest = reader.alerts()
    assert (oldest["state"], oldest["bursts"], oldest["timestamp"], oldest["snr_db"]) == ("close", 9, START, None)
    assert newest["state"] == "open" and newest["band_file"] == "/home/site.band"
    assert oldest["timestamp_end"] == START + 5.0 and newest["timestamp_end"] == START + 180.0  # with its run, which is over
    assert [one["event_id"] for one in reader.alerts(START + 70, START + 100)] == ["1-0"]
    assert reader.alerts(START + 10, START + 50) == [] and len(reader.alerts(limit=1)) == 1
    assert [one["emitter_id"] for one in reader.emitters()] == [7] and reader.emitters(START + 10) == []
    first, *_ = rows = reader.occupancy(START, START + 120)
    assert len(rows) == 2 and first["freq_start_hz"] == 432.8e6 and first["channel_hz"] == 25e3
    wanted = minute(0, np.random.default_rng(1)).channels[25e3, 17312]
    assert first["occupancy"] == pytest.approx(wanted.occupancy, abs=1e-4)
    assert first["mean_db"] == pytest.approx(np.maximum(wanted.mean_db, -10), abs=0.26)
    assert first["frames"] == [8789] * 96
    assert reader.levels(7)[1] == {"timestamp": START + 60, "occupancy": 0.5, "mean_db": 12.0, "max_db": 20.0}
    assert reader.levels(8) == [] and reader.levels(7, band="other") == []
    health = reader.health(START, START + 60)
    assert [one["seconds"] for one in health] == [60.0] and health[0]["floor_dbfs"] == -91.25 and health[0]["dropped_frames"] == 1
    assert reader.gaps(START - 100, START + 200) == [(START - 100, START), (START + 180, START + 200)]
    with_reader.close()


def test_runs_come_one_after_the_other_and_a_reader_sees_what_is_committed(tmp_path):
    path = tmp_path / "site.db"
    for number in range(3):
        history = History(path)
        reader = Reader(path)
        assert len(reader.runs()) == number
        fill(history, 2, first=10 * number)
        assert len(reader.runs()) == number + 1  # the same reader, while the writer has the file open
        reader.close()
        history.close()
    assert [row["run_id"] for row in Reader(path).runs()] == [1, 2, 3]
    assert len(Reader(path).gaps(START, START + 60 * 22)) == 2


def test_an_error_leaves_nothing_of_a_transaction(tmp_path):
    history = History(tmp_path / "site.db")
    with pytest.raises(ZeroDivisionError), history:
        history.begin_run(RUN)
        1 / 0  # noqa: B018
    assert fill(history, 1) == 1


@pytest.mark.parametrize("limit", ["days", "mb"])
def test_the_oldest_is_deleted_and_the_file_shrinks(tmp_path, limit):
    path, n_minutes = tmp_path / "site.db", 1600
    history = History(path)
    fill(history, n_minutes, alerts=n_minutes)
    history.close()
    before = path.stat().st_size
    history = History(path, **({"max_days": 0.4} if limit == "days" else {"max_mb": before / 3e6}))
    for _ in range(10):
        history.trim(START + 60.0 * n_minutes)
    oldest, newest = history.reader.span()
    assert newest == START + 60 * n_minutes
    if limit == "days":
        assert 0.4 * 86400 <= newest - oldest <= 0.4 * 86400 + 120
    else:
        assert 60 * n_minutes / 4 < newest - oldest < 60 * n_minutes / 2
        assert history.size_mb() <= before / 3e6
    assert all(one["last_heard"] >= oldest - 60 for one in history.reader.alerts())
    history.close()
    assert path.stat().st_size < 0.45 * before
    assert not (tmp_path / "site.db-wal").exists()


def of_version(path, version):
    History(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {version}")
    database.close()


@pytest.mark.parametrize("door", [History, Reader])
@pytest.mark.parametrize("make, words", [
    (lambda path: path.write_text("# Notes\n" * 200), "is no history"),
    (lambda path: sqlite3.connect(path).execute("CREATE TABLE a (b)"), "no history of spectrumencoder"),
    (lambda path: of_version(path, VERSION + 1), f"has version {VERSION + 1}.* knows up to {VERSION}; install the newer"),
    (lambda path: of_version(path, 0), "which no release wrote"),
    (lambda path: path.mkdir(), "cannot be opened|is not there"),
], ids=["text", "other database", "newer", "version 0", "folder"])
def test_a_file_that_is_no_history_is_refused_in_one_line(tmp_path, door, make, words):
    path = tmp_path / "site.db"
    make(path)
    with pytest.raises(HistoryError, match=words) as caught:
        door(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_history_in_a_read_only_place_can_be_read(tmp_path):
    path = tmp_path / "a folder?" / "site #1.db"
    path.parent.mkdir()
    history = History(path)
    fill(history, 2)
    history.close()
    os.chmod(path.parent, 0o555)
    try:
        assert len(Reader(path).health()) == 2
        assert os.listdir(path.parent) == [path.name] or os.getuid() == 0
    finally:
        os.chmod(path.parent, 0o755)


def test_a_damaged_history_is_one_line(tmp_path):
    path = tmp_path / "site.db"
    history = History(path)
    fill(history, 500, alerts=20)
    history.close()
    content = bytearray(path.read_bytes())
    content[8192:60000] = os.urandom(60000 - 8192)
    path.write_bytes(content)
    with pytest.raises(HistoryError, match="cannot be read"):
        reader = Reader(path)
        reader.occupancy()
        reader.alerts()
