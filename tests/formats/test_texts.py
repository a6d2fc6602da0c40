"""The folder beside the lock: texts whole, packed or in shards, each held to its hash; what is missing is fetched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
import zstandard

from gotdata import lock
from gotdata.errors import IntegrityError, NotFound, SourceUnavailable
from gotdata.lock import Lock, Locked
from gotdata.lock_texts import Fetch, Texts
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile
from gotdata.snapshot import Draft, Learned, build, hashed
from gotdata.snapshot_text import LINE_LIMIT, SHARD_LIMIT, lines_at, lines_of, text_id

PIN = Pin("http", Ref("https://example.org/d"), "https://example.org/d")
WHOLE = 10 << 20


def listing(count: int, changed: int = -1) -> list[RemoteFile]:
    return [RemoteFile(f"{n:06}", n, version=f"etag:{n + (n == changed)}") for n in range(count)]


class Case:
    """A dataset of ``count`` files in a folder of texts."""

    def __init__(self, folder: Path, count: int, limit: int = WHOLE, url: str = "") -> None:
        self.root, self.folder, self.limit = folder, folder / "gotdata.lock.d", limit
        self.texts = Texts(self.folder)
        self.draft = self.build(listing(count))
        self.locked = lock.locked("0" * 64, [PIN], self.draft, url)
        self.texts.put("d", self.draft, limit)

    def build(self, files: list[RemoteFile]) -> Draft:
        work = self.root / f"work{len(list(self.root.iterdir()))}"
        work.mkdir()
        return build("https://example.org/d", [files], work)

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def read(self, fetch: Fetch | None = None, locked: Locked | None = None) -> list[str]:
        return [entry.path for entry in Texts(self.folder, fetch).content("d", locked or self.locked)]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path, 3)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Case:
    found = Case(tmp_path_factory.mktemp("long"), 30_000, 0, "https://example.org/shards/")
    assert len(found.locked.shards) > 2
    return found


@pytest.fixture
def sharded(long: Case, tmp_path: Path) -> Case:
    """Of several shards, none of them committed."""
    found = copy(long)
    found.root, found.folder = tmp_path, tmp_path / long.folder.name
    found.texts = Texts(shutil.copytree(long.folder, found.folder))
    return found


def server(case: Case, asked: list[str]) -> Fetch:
    """Serves the shards that the case has now."""
    held = {path.name: path.read_bytes() for path in (case.folder / "shards").glob("*.zst")}

    def fetch(url: str) -> bytes:
        asked.append(url)
        return held[url.removeprefix("https://example.org/shards/")]

    return fetch


def lose(case: Case) -> None:
    for path in (case.folder / "shards").glob("*.zst"):
        path.unlink()


def test_a_short_text_is_committed_as_it_is(case: Case) -> None:
    assert case.names() == [".gitattributes", "d.content.jsonl", "d.origins.0.jsonl"]
    assert (case.folder / "d.content.jsonl").read_bytes() == case.draft.content.path.read_bytes()
    assert case.read() == ["000000", "000001", "000002"]
    assert "* -text" in (case.folder / ".gitattributes").read_text("utf-8")


def test_a_longer_text_is_packed_the_same_way_each_time(tmp_path: Path) -> None:
    first, second = (Case(tmp_path / name, 15_000) for name in ("1", "2") if not (tmp_path / name).mkdir())
    assert first.names() == [".gitattributes", "d.content.jsonl.zst", "d.origins.0.jsonl"]
    assert [(first.folder / name).read_bytes() for name in first.names()] == [
        (second.folder / name).read_bytes() for name in second.names()
    ]
    assert len(first.read()) == 15_000


def test_a_text_beyond_the_limit_lies_in_shards_that_git_ignores(sharded: Case) -> None:
    shards = {*sharded.locked.shards, *sharded.locked.origins[0].shards}
    assert sharded.names() == [
        ".gitattributes",
        "shards/.gitignore",
        *sorted(f"shards/{digest}.jsonl.zst" for digest in shards),
    ]
    assert (sharded.folder / "shards/.gitignore").read_text("utf-8") == "*\n"
    assert len(sharded.read()) == 30_000


def test_a_text_that_grows_or_shrinks_leaves_no_older_form(case: Case) -> None:
    case.texts.put("d", case.draft, 0)
    assert not [name for name in case.names() if name.startswith("d.")]
    case.texts.put("d", case.build(listing(15_000)), WHOLE)
    assert [name for name in case.names() if name.startswith("d.")] == ["d.content.jsonl.zst", "d.origins.0.jsonl"]
    case.texts.put("d", case.draft, WHOLE)
    assert [name for name in case.names() if name.startswith("d.")] == ["d.content.jsonl", "d.origins.0.jsonl"]


def test_a_text_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    case = Case(tmp_path, 15_000)
    path = case.folder / "d.content.jsonl.zst"
    text = zstandard.decompress(path.read_bytes())
    path.write_bytes(zstandard.compress(text, 1))
    before = path.read_bytes()
    case.texts.put("d", case.draft, WHOLE)
    assert path.read_bytes() == before
    path.write_bytes(zstandard.compress(text.replace(b"000001", b"000002")))
    case.texts.put("d", case.draft, WHOLE)
    assert zstandard.decompress(path.read_bytes()) == text


def test_missing_shards_are_fetched_once(sharded: Case) -> None:
    asked: list[str] = []
    fetch = server(sharded, asked)
    lose(sharded)
    assert len(sharded.read(fetch)) == 30_000
    assert asked == [f"https://example.org/shards/{digest}.jsonl.zst" for digest in sharded.locked.shards]
    assert len(sharded.read()) == 30_000


def test_one_changed_file_fetches_one_or_two_shards(sharded: Case) -> None:
    newer = sharded.build(listing(30_000, changed=15_000))
    Texts(sharded.folder).put("d", newer, 0)
    asked: list[str] = []
    fetch = server(sharded, asked)
    for digest in set(newer.content.shards) - set(sharded.locked.shards):
        (sharded.folder / f"shards/{digest}.jsonl.zst").unlink()
    locked = lock.locked("0" * 64, [PIN], newer, "https://example.org/shards")
    assert len(sharded.read(fetch, locked)) == 30_000
    assert len(asked) in {1, 2}


def test_a_damaged_shard_is_fetched_again(sharded: Case) -> None:
    asked: list[str] = []
    fetch = server(sharded, asked)
    path = sharded.folder / f"shards/{sharded.locked.shards[1]}.jsonl.zst"
    path.write_bytes(path.read_bytes()[:-5])
    assert len(sharded.read(fetch)) == 30_000
    assert len(asked) == 1
    path.write_bytes(zstandard.compress(b"{}\n"))
    assert len(sharded.read(fetch)) == 30_000
    assert len(asked) == 2


def test_without_text_and_without_place_a_new_listing_is_due(sharded: Case) -> None:
    lose(sharded)
    with pytest.raises(NotFound, match=r"d\.content: not committed, its shard [0-9a-f]{16} is not here"):
        sharded.read()
    with pytest.raises(NotFound, match="nothing says where it is"):
        sharded.read(server(sharded, []), msgspec.structs.replace(sharded.locked, shards_at=None))


def test_an_error_of_the_fetch_is_handed_on(sharded: Case) -> None:
    def fetch(url: str) -> bytes:
        raise SourceUnavailable(f"{url}: timed out")

    lose(sharded)
    with pytest.raises(SourceUnavailable, match="timed out"):
        sharded.read(fetch)


BOMB = zstandard.compress(bytes(SHARD_LIMIT + LINE_LIMIT + 1))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<!doctype html>", "damaged"),
        (b"", "is not the shard that gotdata.lock names"),
        (zstandard.compress(b"{}\n"), "is not the shard that gotdata.lock names"),
        (BOMB, "unpacks to more than a shard can be"),
    ],
)
def test_a_wrong_answer_is_refused_and_not_kept(sharded: Case, answer: bytes, message: str) -> None:
    lose(sharded)
    with pytest.raises(IntegrityError, match=message):
        sharded.read(lambda url: answer)
    assert not list(sharded.folder.glob("shards/*.zst"))


def _edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"size":2', b'"size":3').replace(b"etag:2", b"etag:3"))


def _drop(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def _add(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"path":"z","type":"dir"}\n')


def _windows(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def _no_newline(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _long_line(path: Path) -> None:
    path.write_bytes(b"x" * (LINE_LIMIT + 1))


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("stem", ["d.content", "d.origins.0"])
@pytest.mark.parametrize(
    "damage", [_edit, _drop, _add, _windows, _no_newline, _empty, _long_line, _link, _pipe, _folder]
)
def test_a_text_that_was_edited_is_refused_by_name(case: Case, stem: str, damage: Callable[[Path], None]) -> None:
    damage(case.folder / f"{stem}.jsonl")
    with pytest.raises(IntegrityError, match=rf"gotdata\.lock\.d/{stem}\.jsonl: "):
        case.texts.index("d", case.locked, case.root / "index")


def test_the_shard_that_differs_is_named(tmp_path: Path) -> None:
    case = Case(tmp_path, 30_000)
    path = case.folder / "d.content.jsonl.zst"
    lines = zstandard.decompress(path.read_bytes()).splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b'"size":', b'"size":1')
    path.write_bytes(zstandard.compress(b"".join(lines)))
    count, last = len(case.locked.shards), case.locked.shards[-1][:16]
    read: list[str] = []
    with pytest.raises(IntegrityError, match=rf"shard {count} of {count} \({last}\) is not what gotdata.lock says"):
        read.extend(entry.path for entry in case.texts.content("d", case.locked))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IntegrityError, match=r"d\.content\.jsonl\.zst"):
        case.read()


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    case = Case(tmp_path, 15_000)
    path = case.folder / "d.content.jsonl.zst"
    packer = zstandard.ZstdCompressor().compressobj()
    chunk = (b"a" * 1023 + b"\n") * 1024
    path.write_bytes(b"".join(packer.compress(chunk) for _ in range(64)) + packer.flush())
    with pytest.raises(IntegrityError, match="shard 1 of"):
        case.read()
    path.write_bytes(zstandard.compress(bytes(1 << 26)))
    with pytest.raises(IntegrityError, match="not a text of gotdata"):
        case.read()


def test_lines_and_texts_have_a_longest() -> None:
    longest = b"x" * (LINE_LIMIT - 1) + b"\n"
    assert list(lines_of(BytesIO(longest * 2), "text", 2 * LINE_LIMIT)) == [longest] * 2
    for text, limit in ((b"x" + longest, 1 << 30), (longest * 2, 2 * LINE_LIMIT - 1)):
        with pytest.raises(IntegrityError, match="text: not a text of gotdata"):
            list(lines_of(BytesIO(text), "text", limit))


@pytest.mark.parametrize("which", ["gotdata.lock.d", "gotdata.lock.d/shards"])
def test_a_folder_that_is_a_link_is_refused(tmp_path: Path, which: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / which).parent.mkdir(exist_ok=True)
    (tmp_path / which).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="is a link to elsewhere"):
        Texts(tmp_path / "gotdata.lock.d")


@pytest.mark.parametrize(("field", "value"), [("files", 4), ("bytes", 4), ("level", "verified")])
def test_totals_that_were_edited_are_refused(case: Case, field: str, value: object) -> None:
    forged = msgspec.structs.replace(case.locked, **{field: value})
    for _ in range(2):  # with and without an index
        with pytest.raises(IntegrityError, match=r"d: gotdata\.lock says .*: the lock was edited"):
            case.texts.index("d", forged, case.root / "index")


def test_a_forged_text_whose_hashes_fit_is_still_judged(tmp_path: Path) -> None:
    case = Case(tmp_path, 1)
    path = case.folder / "d.content.jsonl"
    path.write_bytes(b'{"path":"a","target":"/etc/passwd","type":"link"}\n')
    shards = (sha256(path.read_bytes()).hexdigest(),)
    forged = msgspec.structs.replace(case.locked, shards=shards, snapshot=text_id(shards))
    with pytest.raises(IntegrityError, match=r"d\.content\.jsonl, line 1: .*its target /etc/passwd is absolute"):
        case.read(locked=forged)


def test_an_index_that_is_there_needs_no_texts(case: Case) -> None:
    with case.texts.index("d", case.locked, case.root / "index") as index:
        before = list(index.walk())
    for path in case.folder.iterdir():
        path.unlink()
    with case.texts.index("d", case.locked, case.root / "index") as index:
        assert list(index.walk()) == before


def test_hashes_that_were_learned_are_locked_and_indexed(tmp_path: Path) -> None:
    case = Case(tmp_path, 0)
    size = (4 << 20) + 1
    draft = case.build([RemoteFile("a", size, version="1"), RemoteFile("b", 1, checks=(Checksum("md5", "00"),))])
    entry = lock.locked("0" * 64, [PIN], draft)
    case.texts.put("d", draft, WHOLE)
    (tmp_path / "hash").mkdir()
    found = [Learned("a", "a" * 64, [b"1" * 32, b"2" * 32])]
    stronger = hashed(case.texts.content("d", entry), found, tmp_path / "hash")
    case.texts.put("d", stronger, WHOLE)
    entry = lock.hashed(entry, stronger)
    case.texts.tidy(Lock({"d": entry}))
    with case.texts.index("d", entry, tmp_path / "index") as index:
        node = index.lookup(1, "a")
        assert node.identity == f"sha256:{'a' * 64}"
        assert index.blocks(node.identity) == (b"1" * 32, b"2" * 32)
        assert index.origins(node.id) == ((0, RemoteFile("a", size, version="1")),)
        assert index.origins(index.id_of("b"))[0][1].checks == (Checksum("md5", "00"),)


def test_tidying_removes_only_what_the_lock_has_no_use_for(case: Case) -> None:
    for name in ("gone.content.jsonl", "gone.blocks.jsonl.zst", "d.origins.1.jsonl", "d.blocks.jsonl"):
        (case.folder / name).write_bytes(b"")
    (case.folder / "people.txt").write_bytes(b"")
    case.texts.tidy(Lock({"d": case.locked}))
    assert case.names() == [".gitattributes", "d.content.jsonl", "d.origins.0.jsonl", "people.txt"]
    case.texts.tidy(Lock())
    assert case.names() == [".gitattributes", "people.txt"]
    Texts(case.root / "nowhere").tidy(Lock())


def test_a_new_listing_that_is_the_same_differs_in_nothing(case: Case) -> None:
    assert case.texts.differing("d", case.locked, case.build(listing(3)[::-1])) == []


def test_a_new_listing_is_compared_by_path_where_the_old_lines_are_here(case: Case) -> None:
    new = [*listing(2, changed=1), RemoteFile("new", 1, version="1"), RemoteFile("x", None, Kind.DIR)]
    found = case.texts.differing("d", case.locked, case.build(new))
    assert found == ["changed '000001'", "removed '000002'", "added 'new'", "added 'x'"]


def test_at_most_ten_differences_are_named(case: Case) -> None:
    assert len(case.texts.differing("d", case.locked, case.build(listing(30)))) == 10


def test_without_the_old_lines_the_place_of_a_difference_is_named(sharded: Case) -> None:
    lose(sharded)
    newer = sharded.build(listing(30_000, changed=15_000))
    found = sharded.texts.differing("d", sharded.locked, newer)
    assert len(found) in {1, 2}
    assert any(first <= "015000" <= last for _, first, _, last, _ in (place.split("'") for place in found))
    assert sharded.texts.differing("d", sharded.locked, sharded.build(listing(29_000)))


def test_lines_survive_a_round_through_a_file(tmp_path: Path) -> None:
    case = Case(tmp_path, 5)
    lines = case.draft.content.path.read_bytes().splitlines(keepends=True)
    assert list(lines_at(case.folder / "d.content.jsonl")) == lines
    assert replace(case.draft.content, path=tmp_path).id == case.locked.snapshot
