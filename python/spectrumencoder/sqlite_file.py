# SPDX-License-Identifier: GPL-3.0-or-later
"""What files of SQLite share: a transaction that is whole or not at all, and its errors as one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Commits what is done within it; an error, also one of the commit, takes all of that back.

    Args:
        database: in autocommit mode (``isolation_level=None``).
    """
    try:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("COMMIT")
    except BaseException:
        try:
            if database.in_transaction:
                database.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # a full disk has rolled it back already
        raise


@contextmanager
def one_line(path: Path, error_type: type[OSError], *, held: str, damaged: str) -> Iterator[None]:
    """Turns errors of SQLite into an ``error_type`` of one line that names the file.

    Args:
        held: said of a file that another process holds, such as "is held by another run; ...". damaged: of one that is none of
            its kind, or is damaged; {error} in it becomes SQLite's own words.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith("SQLITE_BUSY"):
            raise error_type(f"{path} {held}") from error
        if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise error_type(f"{path} {damaged.format(error=error)}") from error
        raise error_type(f"{path}: {error}") from error
