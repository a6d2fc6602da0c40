"""Listings become snapshots: the same from any order, refused where they can't be, in bounded memory."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata.errors import IntegrityError, SourceError
from gotdata.model import Checksum, Kind, Level, RemoteFile
from gotdata.origin import BLOCK_HASHED
from gotdata.snapshot import Change, Draft, Learned, build, diff, hashed
from gotdata.snapshot_indexing import entries
from gotdata.snapshot_lines import Entry, read_origin, sort_key
from gotdata.snapshot_text import lines_at
from tests.formats.strategies import listings

N = "https://example.org/d"


def file(path: str, size: int = 1, version: str = "1", **more: object) -> RemoteFile:
    return RemoteFile(path, size, version=version, **more)  # type: ignore[arg-type]


def made(*mirrors: list[RemoteFile]) -> tuple[Draft, list[Entry]]:
    with tempfile.TemporaryDirectory() as work:
        draft = build(N, mirrors, Path(work))
        return draft, list(entries(lines_at(draft.content.path), "content"))


def many(count: int, changed: int = -1) -> Iterator[RemoteFile]:
    for number in range(count):
        yield file(f"{number % 97:02}/{number:07}.dat", number, f"etag:{number + (number == changed)}")


@given(listings(), st.randoms())
def test_any_order_of_a_listing_gives_the_same_snapshot(listing: list[RemoteFile], chance: random.Random) -> None:
    mixed = chance.sample(listing, len(listing))
    first, found = made(listing)
    second, _ = made(mixed)
    assert (first.snapshot, first.origins[0].id) == (second.snapshot, second.origins[0].id)
    assert [entry.path for entry in found] == [one.path for one in listing]
    assert [path.split("/") for path in sorted((one.path for one in listing), key=sort_key)] == sorted(
        (one.path.split("/") for one in listing),
        key=lambda parts: [part.encode("utf-8", "surrogateescape") for part in parts],
    )


@given(listings())
def test_what_a_listing_says_is_read_back(listing: list[RemoteFile]) -> None:
    with tempfile.TemporaryDirectory() as work:
        draft = build(N, [listing], Path(work))
        content = list(entries(lines_at(draft.content.path), "content"))
        places = [read_origin(line) for line in lines_at(draft.origins[0].path)]
    said = [(one.path, one.kind, one.size or 0, one.executable, one.target) for one in listing]
    assert [(one.path, one.kind, one.size, one.executable, one.target) for one in content] == said
    files = [one for one in listing if one.kind is Kind.FILE]
    assert places == [replace(one, size=None, executable=False) for one in files]
    assert (draft.files, draft.bytes) == (len(files), sum(one.size or 0 for one in files))


def test_folders_that_hold_something_are_left_out_and_may_be_listed_twice() -> None:
    full = RemoteFile("a", None, Kind.DIR)
    _, found = made([full, file("a/b/c"), RemoteFile("a/b", None, Kind.DIR), full, RemoteFile("a-", None, Kind.DIR)])
    assert [(entry.path, entry.kind) for entry in found] == [("a/b/c", Kind.FILE), ("a-", Kind.DIR)]


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ([file("a"), file("a")], "'a' is listed twice"),
        ([file("a"), RemoteFile("a", None, Kind.DIR)], "'a' is listed twice"),
        ([RemoteFile("a", None, Kind.DIR), file("a")], "'a' is listed twice"),
        ([file("a"), file("a/b")], "'a' is a file, and 'a/b' lies in it: no file system"),
        ([RemoteFile("a", None, Kind.LINK, target="b"), file("a/b")], "'a' is a link, and 'a/b' lies in it"),
        ([file("a/../b")], "refused the file 'a/../b'"),
        ([file("/etc/passwd")], "it is absolute"),
        ([file("a\0b")], "it holds a NUL"),
        ([RemoteFile("a", None, Kind.LINK, target="/etc")], "its target /etc is absolute"),
        ([RemoteFile("a", None, Kind.LINK, target="../b")], "outside the dataset"),
        ([RemoteFile("a", None)], "listed with None as its size"),
        ([file("a", -1)], "listed with -1 as its size"),
        ([file("a", 2**53)], "as its size"),
        ([file("a", checks=(Checksum("sha256", "00"),))], "its sha256 has 2 digits instead of 64"),
        ([file("a", checks=(Checksum("md5", "00"), Checksum("md5", "01")))], "a checksum that can't be: md5:01"),
        ([file("a", checks=(Checksum("md5", "XY"),))], "a checksum that can't be: md5:XY"),
        ([file("a", at="https://example.org/a?token=hunter2")], "its locator holds a secret"),
        ([file("a", at="\udcff")], "has a locator or version that is not text"),
        ([file("a", version="x" * 300_000)], "is too long to lock"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_listing_that_cannot_be_is_refused(listing: list[RemoteFile], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        made(listing)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_mirrors_that_agree_have_a_text_each() -> None:
    sha, md5 = Checksum("sha256", "a" * 64), Checksum("md5", "b" * 32)
    draft, content = made(
        [file("a", checks=(md5, sha)), RemoteFile("e", None, Kind.DIR)],
        [RemoteFile("e2", None, Kind.DIR), file("a", at="x", checks=(md5,), version="2", executable=True)],
    )
    assert [entry.path for entry in content] == ["a", "e"]
    assert not content[0].executable
    assert draft.origins[0].id != draft.origins[1].id
    assert made([file("a", checks=(md5, sha)), RemoteFile("e", None, Kind.DIR)])[0].snapshot == draft.snapshot


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        ([], "'a' is in 1 of 2 mirrors"),
        ([file("a"), file("b")], "'b' is in 1 of 2 mirrors"),
        ([file("a", 2)], "'a' has 1 bytes here and 2 there"),
        ([RemoteFile("a", None, Kind.DIR)], "'a' is in 1 of 2 mirrors"),
        ([RemoteFile("a", None, Kind.LINK, target="b")], "'a' is a file here and a link to 'b' there"),
        ([file("a", checks=(Checksum("md5", "01"),))], "'a' is md5:00 here and md5:01 there"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mirror_that_differs_is_refused(mirror: list[RemoteFile], message: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        made([file("a", checks=(Checksum("md5", "00"),))], mirror)
    assert message in str(caught.value)


def test_ten_differences_are_named_and_the_others_counted() -> None:
    with pytest.raises(IntegrityError, match=r"'f09' is in 1 of 2 mirrors, and 5 more;") as caught:
        made([file(f"f{number:02}") for number in range(15)], [])
    assert str(caught.value).count("mirrors") == 11


def test_the_level_is_that_of_the_weakest_file() -> None:
    known = file("a", version="", checks=(Checksum("sha256", "a" * 64),))
    assert made([known])[0].level is Level.VERIFIED
    assert made([known, file("b")])[0].level is Level.BOUND
    assert made([known, file("b"), file("c", version="")])[0].level is Level.UNVERIFIED
    assert made([])[0].level is Level.VERIFIED


_BUILD = """
import pathlib, resource, sys
from tests.formats.test_snapshot import N, build, many
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
draft = build(N, [many(200_000)], pathlib.Path(sys.argv[1]))
print(draft.files, draft.content.size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux only")
def test_memory_does_not_grow_with_the_listing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _BUILD, str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2])
    files, size, grown = map(int, done.stdout.split())
    assert files == 200_000
    assert size > 16 << 20
    assert grown < 48 << 20  # the files as objects would be 50 MiB more
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content.jsonl", "origins.0.jsonl"]


def test_one_change_in_a_hundred_thousand_changes_one_or_two_shards(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    before = build(N, [many(100_000)], old).content.shards
    after = build(N, [many(100_000, changed=51_000)], new).content.shards
    assert len(before) > 5
    assert before != after
    assert len(set(after) - set(before)) in {1, 2}


def learned(path: str, data: bytes) -> Learned:
    parts = [data[at : at + BLOCK_HASHED] for at in range(0, len(data), BLOCK_HASHED)]
    return Learned(path, sha256(data).hexdigest(), [sha256(part).digest() for part in parts])


def test_hashing_makes_weak_identities_strong_and_leaves_the_rest() -> None:
    big = bytes(BLOCK_HASHED + 1)
    content = [
        Entry("big", size=len(big), identity="weak:n#big#1", executable=True),
        Entry("link", Kind.LINK, target="big"),
        Entry("same", size=len(big), identity="weak:n#same#1"),
        Entry("unread", size=7, identity="weak:n#unread#1"),
    ]
    with tempfile.TemporaryDirectory() as work:
        draft = hashed(content, [learned("big", big), learned("same", big)], Path(work))
        found = list(entries(lines_at(draft.content.path), "content"))
        assert draft.blocks
        assert len(list(lines_at(draft.blocks.path))) == 1
    identity = f"sha256:{sha256(big).hexdigest()}"
    assert found == [
        replace(content[0], identity=identity),
        content[1],
        replace(content[2], identity=identity),
        content[3],
    ]
    assert draft.level is Level.BOUND
    assert not draft.origins


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (learned("b", b"x"), "'b' was hashed, and is no file of the snapshot"),
        (learned("a", b"y"), "'a' is sha256:a1fce4"),
        (Learned("a", sha256(b"x").hexdigest(), ()), "'a' has 1 bytes and 0 block hashes"),
    ],
)
def test_what_was_hashed_must_be_what_is_locked(found: Learned, message: str, tmp_path: Path) -> None:
    content = [Entry("a", size=1, identity=f"sha256:{sha256(b'x').hexdigest()}")]
    with pytest.raises(IntegrityError) as caught:
        hashed(content, [found], tmp_path)
    assert message in str(caught.value)


def test_a_diff_names_what_was_added_changed_and_removed() -> None:
    weak, strong = "weak:n#p#", f"sha256:{'a' * 64}"
    old = [
        Entry("a", identity=weak + "1"),
        Entry("b", identity=weak + "1"),
        Entry("c", identity=weak + "1"),
        Entry("d", size=1, identity=weak + "1"),
        Entry("e", identity=strong),
    ]
    new = [
        Entry("a", identity=weak + "1"),
        Entry("b", identity=weak + "2"),
        Entry("c", identity=strong),
        Entry("d", size=2, identity=strong),
        Entry("e/f", identity=strong),
    ]
    assert list(diff(old, new)) == [
        (Change.CHANGED, "b"),
        (Change.IDENTIFIED, "c"),
        (Change.CHANGED, "d"),
        (Change.REMOVED, "e"),
        (Change.ADDED, "e/f"),
    ]
    assert not list(diff(new, new))


@given(listings(), listings())
def test_a_diff_is_that_of_the_two_sets_of_paths(old: list[RemoteFile], new: list[RemoteFile]) -> None:
    found = list(diff(made(old)[1], made(new)[1]))
    before, after = {one.path for one in old}, {one.path for one in new}
    assert {path for change, path in found if change is Change.ADDED} == after - before
    assert {path for change, path in found if change is Change.REMOVED} == before - after
    assert [path for _, path in found] == sorted((path for _, path in found), key=sort_key)
