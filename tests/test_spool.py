# SPDX-License-Identifier: GPL-3.0-or-later
"""The spool: order, bound, threads, restarts, a kill, a full disk, files that are none."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.spool import ROW_BYTES, Spool, SpoolError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "out.spool"


def payloads(spool, n=100, **which):
    return [payload for _, payload in spool.peek(n, **which)]


def test_what_is_appended_waits_in_order_until_it_is_acknowledged(path):
    spool = Spool(path, 10_000)
    ids = [spool.append(b"%d" % number) for number in range(5)]
    assert ids == sorted(set(ids)) and spool.n_waiting == 5
    assert spool.peek(2) == [(ids[0], b"0"), (ids[1], b"1")]
    assert spool.peek(2, after=ids[1]) == [(ids[2], b"2"), (ids[3], b"3")]
    assert spool.acknowledge(ids[1]) and not spool.acknowledge(ids[1]) and not spool.acknowledge(999)
    assert payloads(spool) == [b"0", b"2", b"3", b"4"]
    assert spool.acknowledge_until(ids[3]) == 3
    assert payloads(spool) == [b"4"] and spool.n_waiting == 1 and spool.n_bytes == 1 + ROW_BYTES
    spool.close()
    spool.close()


def test_queues_share_a_file_and_are_sequences_of_their_own(path):
    spool = Spool(path, 10_000)
    first, second = spool.append(b"a", "one"), spool.append(b"b", "two")
    assert payloads(spool, queue="one") == [b"a"] and spool.waiting("two") == 1 and spool.queues() == ["one", "two"]
    assert spool.acknowledge_until(second, "one") == 1
    assert spool.queues() == ["two"] and spool.n_waiting == 1 and first < second
    spool.close()


def test_what_waits_and_the_counts_are_there_after_a_restart_and_ids_go_on(path):
    spool = Spool(path, 3 * (10 + ROW_BYTES))
    ids = [spool.append(b"%010d" % number) for number in range(5)]
    spool.acknowledge(ids[4])
    spool.close()
    again = Spool(path, 10_000)
    assert payloads(again) == [b"%010d" % number for number in (2, 3)]
    assert (again.n_waiting, again.n_bytes, again.n_dropped) == (2, 2 * (10 + ROW_BYTES), 2)
    assert again.append(b"") > ids[4]
    again.close()


def test_the_oldest_are_dropped_and_counted_if_one_more_does_not_fit(path):
    room = 4 * (100 + ROW_BYTES)
    spool = Spool(path, room)
    for number in range(10):
        spool.append(b"%0100d" % number, queue=f"{number % 2}")
        assert spool.n_bytes <= room
    assert spool.n_dropped == 6 and spool.n_waiting == 4
    assert [int(payload) for payload in payloads(spool, queue="1")] == [7, 9]
    spool.append(b"x" * (room - ROW_BYTES))
    assert spool.n_dropped == 10 and spool.n_waiting == 1
    with pytest.raises(ValueError, match=f"message of {room} bytes does not fit into a spool of {room} bytes"):
        spool.append(b"x" * room)
    assert spool.n_waiting == 1
    spool.close()
    with pytest.raises(ValueError, match="spool of 0 bytes"):
        Spool(path, 0)


def test_the_file_stays_bounded_and_gives_space_back_when_it_is_empty(path):
    spool = Spool(path, 4_000_000)
    for _ in range(10_000):
        spool.append(bytes(1000))
    assert path.stat().st_size < 4_800_000
    spool.acknowledge_until(spool.peek(1, after=9_999)[0][0])
    spool.close()
    assert path.stat().st_size < 100_000


def test_threads_append_and_take_out_and_each_payload_comes_once(path):
    spool, seen, n_of_each = Spool(path, 1_000_000), [], 300
    writers = [threading.Thread(target=lambda who=who: [spool.append(b"%d %d" % (who, number)) for number in range(n_of_each)])
               for who in range(3)]

    def read():
        while len(seen) < 3 * n_of_each:
            for number, payload in spool.peek(50):
                seen.append(payload)
                assert spool.acknowledge(number)
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in (*writers, reader):
        thread.join(30)
    for who in range(3):
        assert [int(one.split()[1]) for one in seen if one.startswith(b"%d " % who)] == list(range(n_of_each))
    assert spool.n_waiting == 0 == spool.n_bytes
    spool.close()


KILLED = """
import sys
from gnuradio.spectrumencoder.spool import Spool
spool = Spool(sys.argv[1], 10_000_000)
while True:
    print(spool.append(b"%d" % spool.n_waiting), flush=True)
"""


def test_all_that_append_returned_for_is_there_after_a_kill(path):
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline() for _ in range(200)]
        with pytest.raises(SpoolError, match="held by another run"):
            Spool(path, 10_000)
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
    ids = [int(line) for line in said if line.endswith("\n")]
    spool = Spool(path, 10_000_000)
    kept = spool.peek(1_000_000)
    assert [number for number, _ in kept][:len(ids)] == ids and len(kept) - len(ids) in (0, 1)
    assert [int(payload) for _, payload in kept] == list(range(len(kept)))
    spool.close()


def test_a_full_disk_is_one_line_and_nothing_that_waited_is_lost(path):
    spool = Spool(path, 10_000_000)
    first = spool.append(b"first")
    n_pages, = spool._db.execute("PRAGMA page_count").fetchone()
    spool._db.execute(f"PRAGMA max_page_count = {n_pages + 1}")  # SQLite then says what it says on a full disk
    with pytest.raises(SpoolError, match=f"^{re.escape(str(path))}: database or disk is full$"):
        spool.append(bytes(100_000))
    assert spool.peek(9) == [(first, b"first")] and spool.n_waiting == 1
    spool._db.execute("PRAGMA max_page_count = 1000000")
    spool.append(bytes(100_000))
    assert spool.n_waiting == 2
    spool.close()


def test_files_that_are_no_spool_are_refused_in_one_line_and_left_alone(tmp_path):
    text, foreign = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    text.write_text("no database " * 100)
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    before = foreign.read_bytes()
    for wrong, words in ((text, "is no spool, or is damaged"), (foreign, "is another program's SQLite file"),
                         (tmp_path, "unable to open database file"), (text / "below", "its folder cannot be made")):
        with pytest.raises(SpoolError, match=words) as error:
            Spool(wrong, 1000)
        assert "\n" not in str(error.value)
    assert foreign.read_bytes() == before and Path(text).read_text().startswith("no database")
