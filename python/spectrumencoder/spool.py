# SPDX-License-Identifier: GPL-3.0-or-later
"""A spool: messages that wait in a file until somebody far away has acknowledged them, in order, across restarts and kills."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .sqlite_file import one_line, transaction

APPLICATION_ID = 0x53455350  # "SESP": marks the file as a spool
BUSY_S = 2.0  # how long to wait for a process that still holds the file
ROW_BYTES = 40  # what a message costs in the file besides its payload, about
MAX_FREE_PAGES = 256  # from which on an empty spool gives space back to the file system

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS of_queue ON messages (queue, id);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO counts VALUES ('dropped', 0);
"""
_SIZE = f"SELECT count(*), coalesce(sum(length(payload) + {ROW_BYTES}), 0) FROM messages"


class SpoolError(OSError):
    """The spool cannot be opened, read or written; one line."""


class Spool:
    """A bounded first-in first-out store of payloads in one SQLite file. Methods may be called on any thread.

    A payload that ``append`` returned for survives the death of the process; one of the last moments may be lost if the machine
    itself loses power. Ids rise, and are not used again after a restart, so that a receiver can know a repeat by them.
    Several queues may share the file; each is a sequence of its own. Only one process may hold it.

    Args:
        path: the file; it is made if it is missing, its folder too.
        max_bytes: what the payloads may take, with about 40 bytes each for the row. If one more does not fit, the oldest ones of
            all queues are dropped and counted. The file on disk may be a tenth larger, its log some 4 MB.

    Attributes: mark: eight hexadecimal digits that tell this spool from others; with an id they name a message for ever.

    Raises:
        SpoolError: the file is no spool, is damaged, is held by another process, or cannot be written.
    """

    def __init__(self, path: str | Path, max_bytes: int):
        if max_bytes <= 0:
            raise ValueError(f"a spool of {max_bytes} bytes holds nothing; give it more")
        self.path, self.max_bytes = Path(path), int(max_bytes)
        self._lock = threading.RLock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SpoolError(f"{self.path}: its folder cannot be made: {error.strerror}") from error
        with self._told():
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with self._told():
                self._open()
        except SpoolError:
            self._db.close()
            raise

    def append(self, payload: bytes, queue: str = "") -> int:
        """Stores a payload and returns its id; drops the oldest ones if it would not fit.

        Raises:
            ValueError: it alone is larger than the spool. SpoolError: the disk is full or failed; nothing was changed.
        """
        size = len(payload) + ROW_BYTES
        if size > self.max_bytes:
            raise ValueError(f"a message of {len(payload)} bytes does not fit into a spool of {self.max_bytes} bytes")
        with self._lock, self._written() as db:
            dropped, freed = self._make_room(db, size)
            number = db.execute("INSERT INTO messages (queue, payload) VALUES (?, ?)", (queue, payload)).lastrowid
            self._after = (self._n_waiting + 1 - dropped, self._n_bytes + size - freed, self._n_dropped + dropped)
        return int(number or 0)

    def peek(self, n: int, queue: str = "", after: int = 0) -> list[tuple[int, bytes]]:
        """The oldest `n` payloads of a queue that wait, as (id, payload), in order; they stay. after: only ids above this one.

        Raises:
            SpoolError: the file cannot be read.
        """
        with self._lock, self._told():
            return self._db.execute("SELECT id, payload FROM messages WHERE queue = ? AND id > ? ORDER BY id LIMIT ?",
                                    (queue, after, n)).fetchall()

    def acknowledge(self, id: int) -> bool:
        """Removes one payload, which has arrived. Returns whether it still waited.

        Raises:
            SpoolError: the file cannot be written; it still waits.
        """
        return self._remove("id = ?", (id,)) == 1

    def acknowledge_until(self, id: int, queue: str = "") -> int:
        """Removes all payloads of a queue up to this id, for receivers that acknowledge the last one only. Returns their number.

        Raises:
            SpoolError: the file cannot be written; they still wait.
        """
        return self._remove("id <= ? AND queue = ?", (id, queue))

    @property
    def n_waiting(self) -> int:
        """Payloads that were not acknowledged, of all queues."""
        return self._n_waiting

    @property
    def n_bytes(self) -> int:
        """What they take, bytes."""
        return self._n_bytes

    @property
    def n_dropped(self) -> int:
        """Payloads dropped for lack of room since the file was made."""
        return self._n_dropped

    def waiting(self, queue: str) -> int:
        """Payloads of one queue that were not acknowledged."""
        with self._lock, self._told():
            return self._db.execute("SELECT count(*) FROM messages WHERE queue = ?", (queue,)).fetchone()[0]

    def queues(self) -> list[str]:
        """Names of the queues in which something waits."""
        with self._lock, self._told():
            return [name for name, in self._db.execute("SELECT DISTINCT queue FROM messages ORDER BY queue")]

    def close(self):
        """Closes the file; what waits stays in it. Closing again does nothing."""
        with self._lock:
            self._db.close()

    def _open(self):
        db = self._db
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # two processes would send everything twice
        n_tables, = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        known, = db.execute("PRAGMA application_id").fetchone()
        if n_tables and known != APPLICATION_ID:
            raise SpoolError(f"{self.path} is another program's SQLite file; give another path for the spool")
        if not n_tables:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {secrets.randbits(31)}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA journal_size_limit = 4194304")
        db.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
        self.mark = f"{db.execute('PRAGMA user_version').fetchone()[0]:08x}"
        self._n_waiting, self._n_bytes = db.execute(_SIZE).fetchone()
        self._n_dropped, = db.execute("SELECT value FROM counts WHERE name = 'dropped'").fetchone()

    def _make_room(self, db: sqlite3.Connection, size: int) -> tuple[int, int]:
        """Drops the oldest payloads until `size` bytes fit: (how many, their bytes)."""
        dropped = freed = last = 0
        with closing(db.execute("SELECT id, length(payload) FROM messages ORDER BY id")) as rows:
            while self._n_bytes - freed + size > self.max_bytes:
                last, length = next(rows)
                dropped, freed = dropped + 1, freed + length + ROW_BYTES
        if dropped:
            db.execute("DELETE FROM messages WHERE id <= ?", (last,))
            db.execute("UPDATE counts SET value = value + ? WHERE name = 'dropped'", (dropped,))
        return dropped, freed

    def _remove(self, which: str, values: tuple) -> int:
        with self._lock:
            with self._written() as db:
                n, size = db.execute(f"{_SIZE} WHERE {which}", values).fetchone()
                db.execute(f"DELETE FROM messages WHERE {which}", values)
                self._after = (self._n_waiting - n, self._n_bytes - size, self._n_dropped)
            if n and not self._n_waiting:
                with self._told():
                    if self._db.execute("PRAGMA freelist_count").fetchone()[0] > MAX_FREE_PAGES:
                        self._db.executescript("PRAGMA incremental_vacuum")  # execute() frees a single page
            return n

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """A transaction: the counts follow it if it succeeds, and nothing is changed if not."""
        with self._told(), transaction(self._db):
            yield self._db
        self._n_waiting, self._n_bytes, self._n_dropped = self._after

    def _told(self):
        """Turns errors of SQLite into one line."""
        return one_line(self.path, SpoolError, held="is held by another run; give each run a spool of its own",
                        damaged="is no spool, or is damaged ({error}); give another path")
