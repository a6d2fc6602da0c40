"""The index answers as the texts say, by any thread, and is made anew when it is lost or damaged."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata import lock
from gotdata.errors import IntegrityError, NotFound, StoreError
from gotdata.lock_texts import Texts
from gotdata.model import Kind, Level, Node, Pin, Ref, RemoteFile
from gotdata.snapshot import build
from gotdata.snapshot_index import Index, content_file, origins_file, sound
from gotdata.snapshot_indexing import index_blocks, index_content, index_origins
from gotdata.snapshot_lines import block_lines, sort_key
from gotdata.snapshot_sort import in_order
from gotdata.tree.base import Tree, find, walk
from tests.formats.strategies import listings

PIN = Pin("http", Ref("https://example.org/d"), "https://example.org/d")


def file(path: str, size: int = 1, **more: str) -> RemoteFile:
    return RemoteFile(path, size, version="1", **more)  # type: ignore[arg-type]


class Case:
    """A dataset that was locked, and what opens its index."""

    def __init__(self, folder: Path, *mirrors: list[RemoteFile]) -> None:
        self.folder = folder / "index"
        work = folder / "work"
        work.mkdir()
        draft = build("https://example.org/d", mirrors, work)
        self.locked = lock.locked("0" * 64, [PIN] * len(mirrors), draft)
        self.texts = Texts(folder / "gotdata.lock.d")
        self.texts.put("d", draft, 10 << 20)

    def open(self) -> Index:
        return self.texts.index("d", self.locked, self.folder)


@pytest.fixture
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Case]:
    return lambda *mirrors: Case(tmp_path_factory.mktemp("case"), *mirrors)


TREE = [
    file("a"),
    file("d/e/f", 5),
    file("d/e/g", 6),
    RemoteFile("d/link", None, Kind.LINK, target="e/f"),
    RemoteFile("d/none", None, Kind.DIR),
    file("d-x"),
    file("d.y/\udcff"),
]


def test_ids_are_rows_in_the_order_of_paths(cases: Callable[..., Case]) -> None:
    with cases(TREE).open() as index:
        assert [(node.id, path) for path, node in index.walk()] == list(
            enumerate(["a", "d", "d/e", "d/e/f", "d/e/g", "d/link", "d/none", "d-x", "d.y", "d.y/\udcff"], 2)
        )
        assert index.node(1) == Node(1, 0, "", Kind.DIR)
        assert index.node(7) == Node(7, 3, "link", Kind.LINK, size=3, target="e/f")
        assert index.lookup(4, "f") == Node(5, 4, "f", Kind.FILE, 5, identity="weak:https://example.org/d#d/e/f#1")
        assert [path for path, _ in index.files(index.id_of("d"))] == ["d/e/f", "d/e/g"]
        assert [path for path, _ in index.walk(index.id_of("d/none"))] == []
        assert [path for path, _ in index.walk(index.id_of("a"))] == ["a"]
        assert (index.totals.files, index.totals.bytes, index.totals.level) == (5, 14, Level.BOUND)


def test_an_index_has_the_names_of_a_tree(cases: Callable[..., Case]) -> None:
    with cases(TREE).open() as index:
        tree: Tree = index  # type: ignore[assignment]  # all but read
        assert list(walk(tree)) == list(index.walk())
        assert find(tree, "d/e/g") == index.node(index.id_of("d/e/g"))


@pytest.mark.parametrize("name", ["nothing", "", "A", "\ud800", "a\0", "d/e"])
def test_a_name_that_is_not_there_is_not_found(cases: Callable[..., Case], name: str) -> None:
    with cases(TREE).open() as index, pytest.raises(NotFound, match="in ''"):
        index.lookup(1, name)


@pytest.mark.parametrize("id", [0, -1, 99, 2**63, 2**64])
def test_an_id_that_is_not_there_is_not_found(cases: Callable[..., Case], id: int) -> None:
    with cases(TREE).open() as index, pytest.raises(NotFound, match=f"no entry {id}"):
        index.node(id)


@given(listing=listings(), data=st.data())
def test_the_index_answers_as_the_listing_does(
    tmp_path_factory: pytest.TempPathFactory, listing: list[RemoteFile], data: st.DataObject
) -> None:
    with Case(tmp_path_factory.mktemp("case"), listing).open() as index:
        found = dict(index.walk())
        assert list(found) == sorted(found, key=sort_key)
        assert [node.id for node in found.values()] == list(range(2, len(found) + 2))
        implied = {one.path.rpartition("/")[0] for one in listing}
        for path in implied:
            assert not path or found[path].kind is Kind.DIR
        for one in listing:
            node = found[one.path]
            assert (node.kind, node.executable, node.target) == (one.kind, one.executable, one.target)
            assert (index.path(node.id), index.id_of(one.path)) == (one.path, node.id)
            assert index.origins(node.id) == (((0, one),) if one.kind is Kind.FILE else ())
        folder = data.draw(st.sampled_from([1, *(node.id for node in found.values() if node.kind is Kind.DIR)]))
        ids = [node.id for node in index.children(folder)]
        assert ids == [node.id for node in found.values() if node.parent == folder]
        after = data.draw(st.integers(0, len(found) + 3))
        assert [node.id for node in index.children(folder, after)] == ids[bisect_right(ids, after) :]


def test_a_folder_of_many_pages_is_listed_whole_from_any_entry(cases: Callable[..., Case]) -> None:
    with cases([file(f"d/{number:05}") for number in range(2500)]).open() as index:
        folder = index.id_of("d")
        ids = [node.id for node in index.children(folder)]
        assert ids == list(range(folder + 1, folder + 2501))
        assert [node.id for node in index.children(folder, ids[1499])] == ids[1500:]
        assert len(list(index.walk())) == 2501


def test_each_mirror_has_its_own_place_for_a_file(cases: Callable[..., Case]) -> None:
    other = RemoteFile("a", 1, at="https://mirror.example.org/1", version="2")
    with cases([file("a")], [other]).open() as index:
        assert index.origins(2) == ((0, file("a")), (1, other))
        assert Index.at(index.place).origins(2) == index.origins(2)


def test_threads_may_share_an_index(cases: Callable[..., Case]) -> None:
    with cases([file(f"{number % 10}/{number:04}") for number in range(1000)]).open() as index:

        def ask(number: int) -> str:
            list(index.children(index.id_of(str(number % 10))))
            return index.path(index.id_of(f"{number % 10}/{number:04}"))

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(1000))) == [f"{number % 10}/{number:04}" for number in range(1000)]


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other_file(path: Path) -> None:
    path.write_bytes(b"<!doctype html>" * 1000)


def _other_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def _other_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE node (id)")
    db.close()


@pytest.mark.parametrize("damage", [Path.unlink, _cut_short, _empty, _other_file, _other_version, _other_database])
@pytest.mark.parametrize("which", ["content", "origins"])
def test_a_damaged_index_is_made_anew(cases: Callable[..., Case], damage: Callable[[Path], None], which: str) -> None:
    case = cases(TREE)
    with case.open() as index:
        whole, origins = list(index.walk()), index.origins(2)
    (path,) = case.folder.glob(f"*.{which}.sqlite")
    damage(path)
    assert not sound(path)
    assert not path.exists()
    with case.open() as index:
        assert list(index.walk()) == whole
        assert index.origins(2) == origins


def test_damage_that_is_met_late_removes_the_file(cases: Callable[..., Case]) -> None:
    case = cases([file(f"{number:05}") for number in range(5000)])
    with case.open() as index:
        count = len(list(index.walk()))
    path = content_file(case.folder, case.locked.snapshot)
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with pytest.raises(NotFound, match="was damaged, and was removed"), case.open() as index:
        list(index.walk())
    with case.open() as index:
        assert len(list(index.walk())) == count


def test_an_index_is_whole_or_absent(tmp_path: Path) -> None:
    def lines() -> Iterator[bytes]:
        yield b'{"path":"a","type":"dir"}\n'
        raise KeyboardInterrupt

    path = tmp_path / "x.content.sqlite"
    with pytest.raises(KeyboardInterrupt):
        index_content(path, lines(), "text")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [lambda path: index_content(path, [], "text"), lambda path: list(in_order([], path))])
def test_a_full_disk_is_an_error_of_the_store(
    make: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(StoreError, match=r"\(database or disk is full\): free space"):
        make(tmp_path / "x")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([b'{"path":"b"}\n'], "not the files of its content, from 'a' on"),
        ([b'{"path":"a"}\n'], "from 'd/e/f' on"),
        ([b'{"path":"a"}\n', b"{}\n"], "text, line 2: "),
    ],
)
def test_origins_that_are_not_those_of_the_content_are_refused(
    cases: Callable[..., Case], lines: list[bytes], message: str, tmp_path: Path
) -> None:
    path = origins_file(tmp_path, "s", "t")
    with cases(TREE).open() as index, pytest.raises(IntegrityError) as caught:
        index_origins(path, lines, "text", index)
    assert message in str(caught.value)
    assert not path.exists()


BIG = f"sha256:{'a' * 64}"
CONTENT = b'{"id":"%s","path":"big","size":4294967297,"type":"file"}\n' % BIG.encode()
"""1,025 blocks: more than one run."""


def runs(identity: str, count: int) -> list[bytes]:
    return list(block_lines(identity, [bytes([number % 256]) * 32 for number in range(count)]))


def test_block_hashes_are_found_by_identity(tmp_path: Path) -> None:
    index_content(content_file(tmp_path, "s"), [CONTENT], "content")
    index_blocks(tmp_path / "s.b.blocks.sqlite", runs(BIG, 1025), "blocks", "s")
    with Index(tmp_path, "s", blocks="b") as index:
        found = index.blocks(BIG)
        assert (len(found), found[1024]) == (1025, bytes(32))
        assert index.blocks("sha256:other") == ()
    with Index(tmp_path, "s") as index:
        assert index.blocks(BIG) == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (runs(BIG, 1024), "has not as many hashes as its file has blocks"),
        (runs(BIG, 1026), "has not as many hashes as its file has blocks"),
        (runs(BIG, 1025)[1:], "don't follow one another"),
        (runs(BIG, 5) + runs(BIG, 1025)[1:], "don't follow one another"),
        (runs(BIG, 1025) + runs(f"sha256:{'0' * 64}", 1), "is out of order"),
        ([b"nonsense\n"], "blocks, line 1: "),
    ],
)
def test_block_hashes_that_are_not_the_files_are_refused(lines: list[bytes], message: str, tmp_path: Path) -> None:
    index_content(content_file(tmp_path, "s"), [CONTENT], "content")
    path = tmp_path / "s.b.blocks.sqlite"
    with pytest.raises(IntegrityError) as caught:
        index_blocks(path, lines, "blocks", "s")
    assert message in str(caught.value)
    assert not path.exists()
