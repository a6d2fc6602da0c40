"""Files of one block: they come in one go, and only what was judged and synced is ever served."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gotdata.errors import IntegrityError, SourceUnavailable, StoreError, UpstreamChanged
from gotdata.model import BLOCK, Span
from gotdata.report import Event
from gotdata.store import disk, locks, single
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.testing.origins import FakeOrigin, Fault, sha256, wanted
from tests.store.conftest import SETTINGS, MakeReader
from tests.store.dying import Died, dying

DATA = bytes(range(256)) * 12
ALL = Span(0, len(DATA))


def files(store: Store) -> list[Path]:
    return [path for kind in ("objects", "partial", "quarantine") for path in (store.root / kind).glob("*/*")]


def test_one_request_brings_it_whole_and_leaves_nothing_beside(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=len(DATA))
    reader.ensure(file, Span(5, 6))
    assert origin.spans == [ALL]
    held = store.held(file)
    assert held.whole
    assert held.pread(ALL) == DATA
    held.close()
    assert files(store) == [store.object(hashlib.sha256(DATA).hexdigest())]


@pytest.mark.parametrize(("size", "whole"), [(BLOCK, True), (BLOCK + 1, False)])
def test_one_block_is_the_limit(store: Store, reader: Reader, size: int, whole: bool) -> None:
    file = wanted(FakeOrigin(bytes(size)), size=size)
    reader.ensure(file, Span(0, 1))
    held = store.held(file)
    assert held.whole is whole
    held.close()


def test_a_file_with_block_hashes_is_compared_with_them(reader: Reader) -> None:
    file = replace(wanted(FakeOrigin(DATA), size=len(DATA)), blocks=(hashlib.sha256(b"other").digest(),))
    with pytest.raises(IntegrityError):
        reader.ensure(file, ALL)


def test_readers_at_once_ask_once(reader: Reader) -> None:
    gate = threading.Event()
    origin = FakeOrigin(DATA, faults=[Fault(gate=gate)])
    file = wanted(origin, size=len(DATA))
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(reader.ensure, file, ALL) for _ in range(8)]
        gate.set()
        for each in asked:
            each.result()
    assert origin.spans == [ALL]


def test_two_engines_of_one_store_ask_once(make_reader: MakeReader) -> None:
    gate, opened = threading.Event(), threading.Event()
    origin = FakeOrigin(DATA, faults=[Fault(gate=gate)], on_open=lambda span: opened.set())
    file = wanted(origin, size=len(DATA))
    one, other = make_reader(), make_reader()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(one.ensure, file, ALL)
        assert opened.wait(30)
        second = threads.submit(other.ensure, file, ALL)
        gate.set()
        first.result()
        second.result()
    assert origin.spans == [ALL]


def test_a_break_is_taken_up_where_it_was(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA, faults=[Fault(after=1000)])
    reader.ensure(wanted(origin, size=len(DATA)), ALL)
    assert origin.spans == [ALL, Span(1000, len(DATA))]


def test_an_origin_without_ranges_sends_it_again(reader: Reader) -> None:
    origin = FakeOrigin(DATA, ranges=False, faults=[Fault(after=1000)])
    reader.ensure(wanted(origin, size=len(DATA)), ALL)
    assert origin.spans == [ALL, ALL]


def test_wrong_bytes_are_kept_nowhere_and_not_asked_for_again(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(b"x" * len(DATA))
    file = wanted(origin, size=len(DATA), identity=sha256(DATA))
    for _ in range(2):
        with pytest.raises(IntegrityError, match="not what is due"):
            reader.ensure(file, ALL)
    assert origin.spans == [ALL]
    assert files(store) == []


def test_the_next_mirror_gives_what_the_first_has_wrong(store: Store, reader: Reader) -> None:
    wrong = FakeOrigin(b"x" * len(DATA), url="https://mirror.example/file")
    file = wanted(wrong, FakeOrigin(DATA), size=len(DATA), identity=sha256(DATA))
    reader.whole(file).close()
    held = store.held(file)
    assert held.pread(ALL) == DATA
    held.close()


def test_a_change_upstream_may_pass(reader: Reader) -> None:
    origin = FakeOrigin(DATA, faults=[Fault(error=UpstreamChanged("another version"))])
    file = wanted(origin, size=len(DATA))
    with pytest.raises(UpstreamChanged):
        reader.ensure(file, ALL)
    reader.ensure(file, ALL)


def test_max_fetch_counts_it(make_reader: MakeReader) -> None:
    reader = make_reader(replace(SETTINGS, max_fetch=len(DATA)))
    reader.ensure(wanted(FakeOrigin(DATA), size=len(DATA)), ALL)
    other = FakeOrigin(DATA, url="https://data.example/other")
    with pytest.raises(StoreError, match="max_fetch"):
        reader.ensure(wanted(other, size=len(DATA)), ALL)
    assert not other.spans


def test_what_was_fetched_is_told(reader: Reader, events: list[Event]) -> None:
    reader.ensure(wanted(FakeOrigin(DATA), size=len(DATA), name="cells/counts/a.bin"), ALL)
    assert events == [Event("fetched", "cells", "counts/a.bin", len(DATA))]


def test_who_waits_too_long_is_told_and_the_file_comes_for_the_next(store: Store, make_reader: MakeReader) -> None:
    gate = threading.Event()
    file = wanted(FakeOrigin(DATA, faults=[Fault(gate=gate)]), size=len(DATA))
    reader = make_reader(replace(SETTINGS, timeout=0.05))
    with pytest.raises(SourceUnavailable, match="in time"):
        reader.ensure(file, ALL)
    gate.set()
    reader.whole(file).close()


def test_closing_ends_who_waits(make_reader: MakeReader) -> None:
    gate, opened = threading.Event(), threading.Event()
    origin = FakeOrigin(DATA, faults=[Fault(gate=gate)], on_open=lambda span: opened.set())
    reader = make_reader()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(reader.ensure, wanted(origin, size=len(DATA)), ALL)
        assert opened.wait(30)
        reader.close()
        with pytest.raises(SourceUnavailable, match="closed"):
            waiting.result(30)
    gate.set()


def test_after_a_crash_at_any_step_only_right_bytes_are_served(store: Store, make_reader: MakeReader) -> None:
    file = wanted(FakeOrigin(DATA), size=len(DATA))
    for cut in range(20):
        store.clear()
        reader = make_reader()
        with dying(cut) as died, suppress(Died):
            reader.ensure(file, ALL)
        held = store.held(file)
        assert held.pread(ALL) in (None, DATA)
        held.close()
        for path in (store.root / "objects").glob("*/*"):
            assert path.read_bytes() == DATA
        make_reader().ensure(file, ALL)
        held = store.held(file)
        assert held.pread(ALL) == DATA
        held.close()
        if not died[0]:
            return
    pytest.fail("it never got through")


def test_it_is_granted_only_after_it_was_synced(store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def noting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any) -> Any:
            order.append(name)
            return real(*words)

        return call

    monkeypatch.setattr("gotdata.store.disk.sync", noting("sync", disk.sync))
    monkeypatch.setattr(store.grants, "put", noting("grant", store.grants.put))
    reader.ensure(wanted(FakeOrigin(DATA), size=len(DATA), identity=sha256(DATA)), ALL)
    assert order == ["sync", "grant", "grant"]


def test_what_a_crash_left_goes_with_gc(store: Store) -> None:
    left = store.root / "partial" / "ab" / f"{'ab' * 32}.one"
    left.parent.mkdir()
    left.write_bytes(b"half")
    store.gc()
    assert not left.exists()


def test_a_name_that_became_an_object_meanwhile_is_not_opened_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, object = tmp_path / "a.one", tmp_path / "object"
    seize = locks.seize

    def late(fd: int) -> bool:
        path.rename(object)
        return seize(fd)

    monkeypatch.setattr(single, "seize", late)
    assert single._open_alone(path) is None
    assert object.exists()
    assert not path.exists()


def test_what_came_just_before_the_lock_is_not_asked_for_again(
    store: Store, make_reader: MakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=len(DATA))
    one, other = make_reader(), make_reader()
    real = single._open_alone

    def late(path: Path) -> int | None:
        monkeypatch.setattr(single, "_open_alone", real)
        other.ensure(file, ALL)
        return real(path)

    monkeypatch.setattr(single, "_open_alone", late)
    one.ensure(file, ALL)
    assert origin.spans == [ALL]
    assert files(store) == [store.object(hashlib.sha256(DATA).hexdigest())]
