"""Makes the files of an index from a snapshot's texts. What the lines say together is judged here: order, one kind to a
name, an origin for every file, as many hashes as blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import groupby, islice, zip_longest
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

from gotdata.errors import IntegrityError, SourceError, StoreError
from gotdata.model import Kind
from gotdata.origin import BLOCK_HASHED
from gotdata.paths import shown
from gotdata.snapshot_index import APPLICATION, KINDS, ROOT, SCHEMA, Index, content_file
from gotdata.snapshot_lines import Entry, Totals, fault, read_content, read_origin, read_run
from gotdata.snapshot_text import settle

_BATCH = 10_000
_T = TypeVar("_T")


def entries(lines: Iterable[bytes], where: str) -> Iterator[Entry]:
    """The entries of a content text. Raises IntegrityError, which names the line."""
    before = None
    for number, entry in enumerate(_parsed(lines, read_content, where), 1):
        if reason := fault(before, entry):
            raise IntegrityError(f"{where}, line {number}: {reason}; lock its dataset anew")
        yield entry
        before = entry


def index_content(path: Path, lines: Iterable[bytes], where: str) -> None:
    """Makes the file of names, whole or not at all, where ``content_file`` has it."""
    totals = Totals()
    with _fresh(path) as db:
        db.execute(
            "CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER, name BLOB, kind INTEGER, size INTEGER, "
            "executable INTEGER, target BLOB, identity TEXT)"
        )
        db.execute("CREATE TABLE total (files INTEGER, bytes INTEGER, level TEXT)")
        _insert(db, "INSERT INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _nodes(entries(lines, where), totals))
        db.execute("CREATE UNIQUE INDEX child ON node (parent, name)")
        db.execute("INSERT INTO total VALUES (?, ?, ?)", (totals.files, totals.bytes, totals.level.value))


def index_origins(path: Path, lines: Iterable[bytes], where: str, names: Index) -> None:
    """Makes the file of one mirror, whole or not at all. ``names`` is the index of the snapshot."""

    def rows() -> Iterator[tuple[Any, ...]]:
        for file, line in zip_longest(names.files(), _parsed(lines, read_origin, where)):
            if file is None or line is None or file[0] != line.path:
                path = file[0] if file else line.path if line else ""
                raise IntegrityError(f"{where}: not the files of its content, from '{shown(path)}' on")
            yield file[1].id, line.at, line.version, " ".join(map(str, line.checks))

    with _fresh(path) as db:
        db.execute("CREATE TABLE origin (id INTEGER PRIMARY KEY, at TEXT, version TEXT, checks TEXT)")
        _insert(db, "INSERT INTO origin VALUES (?, ?, ?, ?)", rows())


def index_blocks(path: Path, lines: Iterable[bytes], where: str, snapshot: str) -> None:
    """Makes the file of block hashes, whole or not at all. The file of names lies beside it."""

    def rows() -> Iterator[tuple[str, bytes]]:
        before = ""
        for identity, group in groupby(_parsed(lines, read_run, where), key=lambda run: run[0]):
            hashes: list[bytes] = []
            for _, first, run in group:
                if first != len(hashes):
                    raise IntegrityError(f"{where}: the runs of {identity} don't follow one another")
                hashes.extend(run)
            if identity <= before:
                raise IntegrityError(f"{where}: {identity} is out of order")
            yield identity, b"".join(hashes)
            before = identity

    with _fresh(path) as db:
        db.execute("CREATE TABLE block (identity TEXT PRIMARY KEY, hashes BLOB) WITHOUT ROWID")
        _insert(db, "INSERT INTO block VALUES (?, ?)", rows())
        db.execute("COMMIT")
        db.execute("ATTACH ? AS names", (str(content_file(path.parent, snapshot)),))
        wrong = db.execute(
            "SELECT identity FROM names.node JOIN block USING (identity) WHERE length(hashes) != 32 * ((size + ?) / ?)",
            (BLOCK_HASHED - 1, BLOCK_HASHED),
        ).fetchone()
        db.execute("DETACH names")
        db.execute("BEGIN")
        if wrong:
            raise IntegrityError(f"{where}: {wrong[0]} has not as many hashes as its file has blocks")


def _parsed(lines: Iterable[bytes], parse: Callable[[bytes], _T], where: str) -> Iterator[_T]:
    for number, line in enumerate(lines, 1):
        try:
            value = parse(line)
        except (ValueError, SourceError) as error:
            raise IntegrityError(f"{where}, line {number}: {shown(str(error))}") from None
        yield value


def _nodes(found: Iterable[Entry], totals: Totals) -> Iterator[tuple[Any, ...]]:
    """Rows in order, with the folders that the text only implies."""
    yield ROOT, 0, b"", KINDS.index(Kind.DIR), 0, 0, b"", ""
    id = ROOT
    trail: list[tuple[bytes, int]] = []
    for entry in found:
        totals.add(entry)
        *folders, name = entry.path.encode("utf-8", "surrogateescape").split(b"/")
        depth = 0
        while depth < min(len(trail), len(folders)) and trail[depth][0] == folders[depth]:
            depth += 1
        del trail[depth:]
        for folder in folders[depth:]:
            id += 1
            yield id, _last(trail), folder, KINDS.index(Kind.DIR), 0, 0, b"", ""
            trail.append((folder, id))
        id += 1
        target = entry.target.encode("utf-8", "surrogateescape")
        size = len(target) if entry.kind is Kind.LINK else entry.size
        kind = KINDS.index(entry.kind)
        yield id, _last(trail), name, kind, size, int(entry.executable), target, entry.identity


def _last(trail: list[tuple[bytes, int]]) -> int:
    return trail[-1][1] if trail else ROOT


@contextmanager
def _fresh(path: Path) -> Iterator[sqlite3.Connection]:
    """A new database that takes its place when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{token_hex(8)}.fresh")
    try:
        with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA cache_size = -65536")
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {SCHEMA}")
            db.execute("BEGIN")
            yield db
            db.execute("COMMIT")
        fresh.replace(path)
    except sqlite3.OperationalError as error:
        raise StoreError(f"the index {path} can't be written ({error}): free space, or set GOTDATA_STORE") from None
    finally:
        fresh.unlink(missing_ok=True)
    settle(path.parent)


def _insert(db: sqlite3.Connection, query: str, rows: Iterator[tuple[Any, ...]]) -> None:
    while batch := list(islice(rows, _BATCH)):
        db.executemany(query, batch)
