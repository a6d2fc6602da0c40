"""Sorting more than memory holds: rows go to a table on disk and come back in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from gotdata.errors import StoreError

Row = tuple[bytes, int, bytes]
"""What is sorted by, first and second, and what comes along."""

_BATCH = 10_000


def in_order(rows: Iterable[Row], table: Path) -> Iterator[Row]:
    """``rows`` sorted bytewise by key, then by number; equal ones stay in the order in which they came.

    Args:
        table: a path where nothing is; the file that works there is removed at the end.
    """
    try:
        # An iterator that is left may be collected in any thread.
        with closing(sqlite3.connect(table, isolation_level=None, check_same_thread=False)) as db:
            # Whatever is lost in a crash is made anew.
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            db.execute("PRAGMA cache_size = -16384")
            db.execute(
                "CREATE TABLE row (key BLOB, number INTEGER, turn INTEGER, data BLOB, "
                "PRIMARY KEY (key, number, turn)) WITHOUT ROWID"
            )
            numbered = ((key, number, turn, data) for turn, (key, number, data) in enumerate(rows))
            db.execute("BEGIN")
            while batch := list(islice(numbered, _BATCH)):
                db.executemany("INSERT INTO row VALUES (?, ?, ?, ?)", batch)
            db.execute("COMMIT")
            yield from db.execute("SELECT key, number, data FROM row ORDER BY key, number, turn")
    except sqlite3.OperationalError as error:
        raise StoreError(f"the listing can't be sorted in {table.parent} ({error}): free space there") from None
    finally:
        table.unlink(missing_ok=True)
