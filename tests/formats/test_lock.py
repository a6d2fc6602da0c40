"""The lock says what it said, in JSON and in YAML, and refuses what was forged, cut, merged or is of a newer format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gotdata import lock
from gotdata.errors import IntegrityError, SourceError
from gotdata.lock import Lock, Locked, LockedCitation, LockedOrigin
from gotdata.model import Citation, Level, Pin, Ref
from gotdata.snapshot import Draft
from gotdata.snapshot_text import Text, text_id
from tests.formats import vectors

EXAMPLE = (vectors.VECTORS / "lock/gotdata.lock").read_bytes()

HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
SHARDS = st.lists(HASHES, max_size=3).map(tuple)
WORDS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8"))
TEXTS = st.dictionaries(TEXT.filter(bool), TEXT, max_size=3)
SIZES = st.integers(0, 2**53 - 1)


@st.composite
def entries(draw: st.DrawFn) -> Locked:
    shards = draw(SHARDS)
    origins = st.builds(
        LockedOrigin,
        TEXTS.map(lambda found: found | {"url": "https://example.org/"}),
        TEXT,
        SHARDS,
        WORDS,
        TEXTS,
    )
    return Locked(
        bytes=draw(SIZES),
        entry=draw(HASHES),
        files=draw(SIZES),
        level=draw(st.sampled_from(Level)),
        origins=tuple(draw(st.lists(origins, min_size=1, max_size=2))),
        shards=shards,
        snapshot=text_id(shards),
        blocks=draw(SHARDS),
        citation=draw(st.builds(LockedCitation, st.lists(TEXT, max_size=2).map(tuple), TEXT, TEXT, TEXT)),
        shards_at=draw(st.sampled_from([None, "https://example.org/shards/"])),
    )


LOCKS = st.dictionaries(WORDS, entries(), max_size=2).map(Lock)


@given(LOCKS)
def test_what_is_written_is_read_back(found: Lock) -> None:
    text = lock.text(found)
    assert lock.parse(text) == found
    assert lock.text(lock.parse(text)) == text
    assert text.endswith(b"}\n")


@given(LOCKS)
def test_a_lock_is_yaml_of_the_same_meaning(found: Lock) -> None:
    text = lock.text(found)
    assert YAML(typ="safe", pure=True).load(io.BytesIO(text)) == json.loads(text)


def test_pins_come_back_as_they_were() -> None:
    citation = Citation("Counts", ("Ada",), "10.1/x", "CC0-1.0")
    pins = [
        Pin("s3", Ref("s3://b/p", (("anonymous", "yes"), ("region", "x"))), "s3://b/p", {"at": "1"}, citation),
        Pin("http", Ref("https://example.org/"), "s3://b/p", {}, citation),
    ]
    text = Text(Path("unused"), 0, ("a" * 64,))
    draft = Draft(text, 1, 2, Level.BOUND, (text, text))
    entry = lock.locked("0" * 64, pins, draft, "https://example.org/shards")
    assert list(lock.parse(lock.text(Lock({"d": entry}))).data["d"].pins) == pins
    stronger = lock.hashed(entry, Draft(Text(Path("unused"), 0, ("b" * 64,)), 1, 2, Level.VERIFIED, blocks=text))
    assert (stronger.snapshot, stronger.level, stronger.blocks) == (text_id(["b" * 64]), Level.VERIFIED, text.shards)
    assert (stronger.origins, stronger.entry, stronger.shards_at) == (entry.origins, entry.entry, entry.shards_at)


@pytest.mark.parametrize(
    "pin",
    [
        Pin("http", Ref("https://ada:hunter2@example.org/"), "n"),
        Pin("http", Ref("https://example.org/?X-Amz-Signature=hunter2"), "n"),
        Pin("http", Ref("https://example.org/"), "https://example.org/?token=hunter2"),
        Pin("http", Ref("https://example.org/", (("endpoint", "https://ada:hunter2@example.org"),)), "n"),
        Pin("http", Ref("https://example.org/"), "n", {"url": "https://example.org/?access_token=hunter2"}),
    ],
)
def test_a_pin_with_a_secret_is_not_locked(pin: Pin) -> None:
    text = Text(Path("unused"), 0, ())
    with pytest.raises(SourceError, match="the http source pinned something that holds a secret") as caught:
        lock.locked("0" * 64, [pin], Draft(text, 0, 0, Level.VERIFIED, (text,)))
    assert "hunter2" not in str(caught.value)


def test_words_that_are_not_text_are_an_error_of_the_source() -> None:
    text = Text(Path("unused"), 0, ())
    pin = Pin("http", Ref("https://example.org/"), "n", citation=Citation(title="\ud800"))
    with pytest.raises(SourceError, match="the http source tells"):
        lock.locked("0" * 64, [pin], Draft(text, 0, 0, Level.VERIFIED, (text,)))


def test_a_lock_is_written_only_when_what_it_says_changes(tmp_path: Path) -> None:
    path = tmp_path / "gotdata.lock"
    assert not lock.write(path, Lock())
    assert not path.exists()
    found = lock.parse(EXAMPLE)
    assert lock.write(path, found)
    assert path.read_bytes() == EXAMPLE
    path.write_bytes(EXAMPLE.replace(b"\n", b"\r\n"))
    assert not lock.write(path, found)
    assert b"\r\n" in path.read_bytes()
    assert lock.write(path, Lock())
    assert lock.read(path) == Lock()
    assert [one.name for one in tmp_path.iterdir()] == ["gotdata.lock"]


def test_a_damaged_lock_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "gotdata.lock"
    path.write_bytes(b"<<<<<<< HEAD\n")
    with pytest.raises(IntegrityError, match="after a merge: take one side"):
        lock.write(path, Lock())
    assert path.read_bytes() == b"<<<<<<< HEAD\n"


def test_a_lock_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="can't be read"):
        lock.read(tmp_path)


def edited(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> bytes:
    found = json.loads(EXAMPLE)
    change(found, found["data"]["cells"])
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a lock: Expecting value"),
        (b"[]", "does not begin with its format"),
        (b"{}", "does not begin with its format"),
        (EXAMPLE[:-20], "not a lock"),
        (b"\xff" + EXAMPLE, "not a lock"),
        (b"[" * 100_000, "not a lock"),
        (b'{"gotdata": 1, "data": {}, "data": {}}', "the key 'data' stands twice"),
        (b'{"gotdata": 1.0, "data": {}}', "1.0 is not an integer"),
        (b'{"gotdata": NaN, "data": {}}', "NaN is not an integer"),
        (b'{"gotdata": true, "data": {}}', "does not begin with its format"),
        (b'{"gotdata": 0, "data": {}}', "does not begin with its format"),
        (b'{"gotdata": 2, "data": {"cells": {"new": 1}}}', r"written by a newer gotdata (format 2, this one reads 1)"),
        (b'{"gotdata": %s}' % (b"9" * 5000), "not a lock"),
        (b" " * (1 << 26) + b"{}", "longer than a lock can be"),
        (edited(lambda top, _: top.update(more=1)), "unknown field `more`"),
        (edited(lambda _, cells: cells.update(more=1)), "unknown field `more` - at `$.data[...]`"),
        (edited(lambda _, cells: cells["origins"][0].update(more=1)), "unknown field `more` - at `$.data[...].origins"),
        (edited(lambda _, cells: cells["citation"].update(more=1)), "unknown field `more`"),
        (edited(lambda _, cells: cells.pop("entry")), "missing required field `entry`"),
        (edited(lambda _, cells: cells.update(origins=[])), "length >= 1 - at `$.data[...].origins`"),
        (edited(lambda _, cells: cells["origins"][0].pop("shards")), "missing required field `shards`"),
        (edited(lambda _, cells: cells["origins"][0].update({"from": {}})), "from: has no url"),
        (edited(lambda _, cells: cells["origins"][0].update(source="../x")), "at `$.data[...].origins[0].source`"),
        (edited(lambda _, cells: cells.update(files=-1)), "at `$.data[...].files`"),
        (edited(lambda _, cells: cells.update(bytes=2**53)), "at `$.data[...].bytes`"),
        (edited(lambda _, cells: cells.update(bytes="8")), "Expected `int`, got `str`"),
        (edited(lambda _, cells: cells.update(level="sure")), "Invalid enum value 'sure'"),
        (edited(lambda _, cells: cells.update(entry="A" * 64)), "at `$.data[...].entry`"),
        (edited(lambda _, cells: cells.update(entry="a" * 64 + "\n")), "at `$.data[...].entry`"),
        (edited(lambda _, cells: cells.update(snapshot="a" * 64)), "snapshot is not the id of its shards"),
        (edited(lambda _, cells: cells["shards"].append("a" * 64)), "snapshot is not the id of its shards"),
        (edited(lambda _, cells: cells["shards"].append("../../x")), "at `$.data[...].shards[1]`"),
        (edited(lambda _, cells: cells.update(shards_at="file:///etc/")), "at `$.data[...].shards_at`"),
        (edited(lambda _, cells: cells.update(shards_at="https://a b/")), "at `$.data[...].shards_at`"),
        *(
            (edited(lambda top, _, name=name: top["data"].update({name: top["data"]["cells"]})), "$.data")  # type: ignore[misc]
            for name in ("../x", "", "a/b", ".x", "A", "x\n", "x" * 129)
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_lock_that_cannot_be_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        lock.parse(data)
    assert message in str(caught.value)
    assert str(caught.value).startswith("gotdata.lock: ")
    assert str(caught.value).isprintable()
