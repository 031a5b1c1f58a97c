# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub's file: every message that it accepted, and up to which sequence it has each run. One SQLite file (WAL).

What came and how far a run has come are written in one transaction, and synced to the disk before the hub acknowledges. So a
kill or a power cut loses nothing that was acknowledged, and a message that comes again is known.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..sqlite_file import one_line, transaction
from .message import ABOUT, ALERT, HEALTH, SIGNAL, SPECTRA, Message

APPLICATION_ID = 0x53454842  # "SEHB"
VERSION = 1
BULKY = (SPECTRA, SIGNAL, HEALTH)  # what is deleted first if the file is too large
_PAGE = 4096
_SCHEMA = """
CREATE TABLE runs (run BLOB PRIMARY KEY, sensor TEXT NOT NULL, sequence INTEGER NOT NULL, lost INTEGER NOT NULL DEFAULT 0,
                   first_s REAL NOT NULL, last_s REAL NOT NULL, about BLOB) WITHOUT ROWID;
CREATE TABLE messages (id INTEGER PRIMARY KEY, sensor TEXT NOT NULL, run BLOB NOT NULL, sequence INTEGER NOT NULL,
                       kind INTEGER NOT NULL, time_s REAL NOT NULL, begin_s REAL NOT NULL, payload BLOB NOT NULL);
CREATE INDEX of_sensor ON messages (kind, sensor, begin_s);
CREATE TABLE counts (sensor TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (sensor, name)) WITHOUT ROWID;
"""


class StoreError(OSError):
    """The hub's file cannot be opened, read or written; one line."""


class Run(NamedTuple):
    """How far a run has come. sequence: of its last message that is stored. lost: messages that never came."""

    sensor: str
    sequence: int
    lost: int = 0


class Row(NamedTuple):
    """A stored message."""

    id: int
    sensor: str
    kind: int
    time_s: float
    payload: bytes


class HubStore:
    """Messages of all sensors in one file. Methods may be called on any thread; only one process may hold the file.

    Args:
        path: the file; made if it is missing.
        max_bytes: from that size on the oldest spectra, signals and health are deleted, at most half of them at a time; their
            space is used again. 0: no limit. Alerts are kept.

    Raises:
        StoreError: the file is none of a hub, is damaged or newer, is held by another hub, or cannot be written.
    """

    def __init__(self, path: str | Path, max_bytes: int = 0):
        self.path, self._max_bytes, self._lock = Path(path), max_bytes, threading.RLock()
        with self._told():
            self._db = sqlite3.connect(self.path, timeout=2.0, isolation_level=None, check_same_thread=False)
        try:
            with self._told():
                self._open()
        except StoreError:
            self._db.close()
            raise

    def _open(self):
        db = self._db
        n_tables, = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        known, = db.execute("PRAGMA application_id").fetchone()
        version, = db.execute("PRAGMA user_version").fetchone()
        if n_tables and known != APPLICATION_ID:
            raise StoreError(f"{self.path} is another program's SQLite file; name another one for the hub")
        if n_tables and version != VERSION:
            raise StoreError(f"{self.path} is of version {version}, not {VERSION}: update this program, or name another file")
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 8388608")
        if not n_tables:
            db.executescript(f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
                             f"{_SCHEMA} COMMIT;")

    def runs(self) -> dict[bytes, Run]:
        """How far each run has come."""
        with self._lock, self._told():
            return {run: Run(*rest) for run, *rest in self._db.execute("SELECT run, sensor, sequence, lost FROM runs")}

    def add(self, messages: Iterable[tuple[Message, int, float]], counts: Iterable[tuple[str, str, int]] = ()) -> None:
        """Stores messages, and adds to counts.

        Args:
            messages: each with how many before it never came, and the time of what it is about (POSIX s).
            counts: (sensor, name, by how much).

        It returns when they are on the disk.

        Raises:
            StoreError: nothing of it is stored.
        """
        with self._lock, self._told(), transaction(self._db):
            for one, lost, begin_s in messages:
                about = one.payload if one.kind == ABOUT else None
                self._db.execute(
                    "INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6) ON CONFLICT (run) DO UPDATE SET sequence = ?3, "
                    "lost = lost + ?4, last_s = ?5, about = coalesce(?6, about)",
                    (one.run, one.sensor, one.sequence, lost, one.time_s, about))
                self._db.execute("INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
                                 (one.sensor, one.run, one.sequence, one.kind, one.time_s, begin_s, one.payload))
            self._count(counts)

    def prune(self) -> int:
        """Deletes the oldest bulky messages if the file is too large. Returns how many."""
        with self._lock, self._told():
            if not self._max_bytes or self.used_bytes() <= self._max_bytes:
                return 0
            kinds = ",".join(map(str, BULKY))
            n, = self._db.execute(f"SELECT count(*) FROM messages WHERE kind IN ({kinds})").fetchone()
            share = 1 - self._max_bytes / self.used_bytes() + 0.1
            return self._db.execute(f"DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE kind IN ({kinds}) "
                                    "ORDER BY id LIMIT ?)", (int(n * min(share, 0.5)),)).rowcount

    def used_bytes(self) -> int:
        """What the content takes, free pages left out."""
        with self._lock, self._told():
            return (self._db.execute("PRAGMA page_count").fetchone()[0]
                    - self._db.execute("PRAGMA freelist_count").fetchone()[0]) * _PAGE

    def counts(self) -> dict[tuple[str, str], int]:
        """What was counted, by sensor and name."""
        with self._lock, self._told():
            return {(sensor, name): value for sensor, name, value in self._db.execute("SELECT * FROM counts")}

    def messages(self, kind: int, sensor: str | None = None, since_s: float = 0.0, until_s: float = 1e12,
                 limit: int = 1000) -> list[Row]:
        """The newest messages of a kind, by the time of what they are about, in its order."""
        with self._lock, self._told():
            rows = self._db.execute(
                "SELECT id, sensor, kind, time_s, payload FROM messages WHERE kind = ?1 AND (?2 IS NULL OR sensor = ?2) "
                "AND begin_s BETWEEN ?3 AND ?4 ORDER BY begin_s DESC, id DESC LIMIT ?5",
                (kind, sensor, since_s, until_s, limit)).fetchall()
        return [Row(*row) for row in reversed(rows)]

    def abouts(self) -> dict[str, tuple[bytes, bytes, float]]:
        """Of each sensor: its last run, what that said of itself, and its last time."""
        with self._lock, self._told():
            return {sensor: (run, about or b"{}", last) for sensor, run, about, last in self._db.execute(
                "SELECT sensor, run, about, max(last_s) FROM runs GROUP BY sensor")}

    def alerts(self, since_s: float = 0.0, limit: int = 1000) -> list[Row]:
        """The newest alerts of all sensors."""
        return self.messages(ALERT, None, since_s, limit=limit)

    def close(self):
        """Closes the file."""
        with self._lock:
            self._db.close()

    def _count(self, counts: Iterable[tuple[str, str, int]]):
        for sensor, name, value in counts:
            self._db.execute("INSERT INTO counts VALUES (?1, ?2, ?3) ON CONFLICT (sensor, name) DO UPDATE SET value = value + ?3",
                             (sensor, name, value))

    def _told(self):
        """Turns errors of SQLite into one line."""
        return one_line(self.path, StoreError, held="is held by another hub; end that, or name another file",
                        damaged="is no file of a hub, or is damaged ({error}); move it away")
