# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a history, and the door to its file: creates it, checks it, brings an older one up to date.

docs/contracts.md describes the tables. ``application_id`` says that a file is a history, ``user_version`` which version it has.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from ..sqlite_file import transaction

VERSION = 1
APPLICATION_ID = 0x53454E43  # "SENC"
PAGE_BYTES = 4096
WAIT_S = 5.0  # for a lock that another process holds
MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}  # version -> what brings it to the next one

TABLES = """
CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY, source TEXT NOT NULL, band TEXT NOT NULL, begin_s REAL, end_s REAL, why TEXT, samp_rate REAL,
    freq_center_hz REAL, fft_size INTEGER, average INTEGER, model TEXT, is_radio INTEGER, settings TEXT, notes TEXT);
CREATE TABLE minutes (
    minute INTEGER NOT NULL, run_id INTEGER NOT NULL, part INTEGER NOT NULL, begin_s REAL NOT NULL, end_s REAL NOT NULL,
    seconds REAL NOT NULL, frames INTEGER NOT NULL, floor_dbfs REAL, health TEXT NOT NULL, levels BLOB,
    PRIMARY KEY (minute, run_id, part)) WITHOUT ROWID;
CREATE TABLE occupancy (
    minute INTEGER NOT NULL, run_id INTEGER NOT NULL, part INTEGER NOT NULL, channel_hz REAL NOT NULL, block INTEGER NOT NULL,
    first INTEGER NOT NULL, channels BLOB NOT NULL, PRIMARY KEY (minute, run_id, part, channel_hz, block)) WITHOUT ROWID;
CREATE TABLE alerts (
    run_id INTEGER NOT NULL, event_id TEXT NOT NULL, opened_s REAL NOT NULL, updated_s REAL NOT NULL, closed_s REAL,
    fields TEXT NOT NULL, PRIMARY KEY (run_id, event_id));
CREATE INDEX alerts_by_time ON alerts (updated_s);
CREATE TABLE emitters (
    band TEXT NOT NULL, emitter_id INTEGER NOT NULL, last_heard REAL NOT NULL, fields TEXT NOT NULL,
    PRIMARY KEY (band, emitter_id)) WITHOUT ROWID;
"""


class HistoryError(Exception):
    """A history that cannot be used; one line, with the cure."""


def open_to_write(path: str | Path) -> sqlite3.Connection:
    """Opens a history, or creates it, in SQLite's WAL mode.

    Raises:
        HistoryError: the file is none, is damaged, was written by a newer version, or cannot be written.
    """
    path = Path(path)
    database = None
    try:
        if path.exists() and not os.access(path, os.W_OK):
            raise HistoryError(f"{path} cannot be written; name another file, or change its permissions")
        database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        if not _tables(database):
            _check_empty(database, path)
            database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        else:
            check(database, path)
        # a killed process loses nothing that is committed; after a power cut the file is sound, and may lack the last seconds
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        _create(database, path)
        return database
    except (sqlite3.Error, HistoryError) as error:
        if database is not None:
            database.close()
        raise _refusal(path, error) from error


def open_to_read(path: str | Path) -> sqlite3.Connection:
    """Opens a history that is there, also while it is written; it changes nothing in it.

    Raises:
        HistoryError: see ``open_to_write``.
    """
    path = Path(path)
    if not path.is_file():
        raise HistoryError(f"{path} is not there; name a file that run --history has written")
    address, database = f"file:{quote(str(path.absolute()))}?mode=ro", None
    if not os.access(path.absolute().parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        address += "&immutable=1"  # WAL needs a file beside it, which cannot be made here
    try:
        database = sqlite3.connect(address, uri=True, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        check(database, path)
        if _version(database) < VERSION:
            raise HistoryError(f"{path} was written by an older version; run --history {path} brings it up to date")
        return database
    except (sqlite3.Error, HistoryError) as error:
        if database is not None:
            database.close()
        raise _refusal(path, error) from error


def check(database: sqlite3.Connection, path: Path) -> None:
    """Raises HistoryError if the file is no history, or one of a newer version."""
    found = database.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        raise HistoryError(f"{path} is a database, but no history of spectrumencoder; name another file")
    version = _version(database)
    if version > VERSION:
        raise HistoryError(f"{path} has version {version}, and this program knows up to {VERSION}; install the newer release "
                           "that wrote it, or name another file")
    if version < 1:
        raise HistoryError(f"{path} has version {version}, which no release wrote; name another file")


def _create(database: sqlite3.Connection, path: Path) -> None:
    """Makes the tables, or brings those of an older version up to date."""
    with transaction(database):
        if not _tables(database):  # another process may have been faster
            for statement in TABLES.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")
        check(database, path)
        for version in range(_version(database), VERSION):
            MIGRATIONS[version](database)
            database.execute(f"PRAGMA user_version = {version + 1}")


def _tables(database: sqlite3.Connection) -> int:
    return database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _version(database: sqlite3.Connection) -> int:
    return database.execute("PRAGMA user_version").fetchone()[0]


def _check_empty(database: sqlite3.Connection, path: Path) -> None:
    """Raises HistoryError if a file without tables is somebody else's empty database."""
    if database.execute("PRAGMA application_id").fetchone()[0] or _version(database):
        raise HistoryError(f"{path} is a database, but no history of spectrumencoder; name another file")


def _refusal(path: Path, error: Exception) -> HistoryError:
    if isinstance(error, HistoryError):
        return error
    if "not a database" in str(error):
        return HistoryError(f"{path} is no history; name another file")
    if "unable to open" in str(error):
        return HistoryError(f"{path} cannot be opened; name a file in a folder that exists and can be written")
    if "full" in str(error) or "I/O" in str(error):
        return HistoryError(f"{path} cannot be written ({error}); make room on the disk")
    return HistoryError(f"{path}: {error}; name another file")
