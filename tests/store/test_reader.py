from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gotdata.errors import (
    AccessDenied,
    IntegrityError,
    NotFound,
    SourceError,
    SourceUnavailable,
    StoreError,
    UpstreamChanged,
)
from gotdata.model import BLOCK, Checksum, Span
from gotdata.origin import BLOCK_HASHED, Wanted
from gotdata.report import Event
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.store.stream import Steady
from gotdata.testing.origins import FakeOrigin, Fault, sha256, wanted
from tests.store.conftest import SETTINGS, MakeReader

SIZE = 9 * BLOCK + 1234
DATA = os.urandom(SIZE)
ALL = Span(0, SIZE)
BROKEN = SourceUnavailable("the line broke")


def read(store: Store, file: Wanted, span: Span) -> bytes | None:
    held = store.held(file)
    try:
        return held.pread(span)
    finally:
        held.close()


def until(true: Callable[[], bool]) -> None:
    """Waits for the background; the test's own time limit ends a wait in vain."""
    tick = threading.Event()
    while not true():
        tick.wait(0.005)


# What is fetched


def test_nothing_is_asked_before_the_first_read(store: Store) -> None:
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=SIZE)
    assert read(store, file, Span(0, 10)) is None
    assert origin.spans == []
    assert list((store.root / "partial").iterdir()) == []


def test_a_small_read_moves_one_block(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=SIZE)
    reader.ensure(file, Span(3 * BLOCK + 10, 3 * BLOCK + 20))
    assert origin.spans == [Span(3 * BLOCK, 4 * BLOCK)]
    assert read(store, file, Span(3 * BLOCK + 10, 3 * BLOCK + 20)) == DATA[3 * BLOCK + 10 : 3 * BLOCK + 20]
    assert store.cached(file) == origin.sent == BLOCK


def test_adjacent_blocks_come_in_one_request_and_those_here_are_not_asked_again(reader: Reader) -> None:
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=SIZE)
    reader.ensure(file, Span(4 * BLOCK, 4 * BLOCK + 1))
    reader.ensure(file, Span(0, 8 * BLOCK))
    assert origin.spans[0] == Span(4 * BLOCK, 5 * BLOCK)
    assert sorted(origin.spans[1:]) == [Span(0, 4 * BLOCK), Span(5 * BLOCK, 8 * BLOCK)]


def test_a_large_span_comes_by_parallel_streams(make_reader: MakeReader) -> None:
    data = bytes(24 << 20)
    origin = FakeOrigin(data)
    together = threading.Barrier(SETTINGS.connections)
    origin.on_open = lambda span: together.wait() and None if len(origin.spans) <= SETTINGS.connections else None
    make_reader().ensure(wanted(origin, size=len(data)), Span(0, len(data)))
    assert not together.broken
    assert sum(span.size for span in origin.spans) == len(data)


def test_reads_beyond_the_end_and_of_nothing_ask_for_nothing(reader: Reader) -> None:
    origin = FakeOrigin(DATA)
    reader.ensure(wanted(origin, size=SIZE), Span(SIZE, SIZE + 100))
    reader.ensure(wanted(origin, size=SIZE), Span(5, 5))
    assert origin.spans == []


def test_thirty_readers_fetch_each_block_once(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=SIZE)
    start = threading.Barrier(30)

    def student(number: int) -> bytes | None:
        start.wait()
        for block in range(10):
            at = (block + number) % 10 * BLOCK
            reader.ensure(file, Span(at, at + 1))
        return read(store, file, ALL)

    with ThreadPoolExecutor(30) as class_room:
        assert set(class_room.map(student, range(30))) == {DATA}
    assert origin.sent == SIZE


def test_prefetch_comes_in_the_background_and_is_joined(store: Store, reader: Reader) -> None:
    gate = threading.Event()
    origin = FakeOrigin(DATA, faults=[Fault(), Fault(gate=gate)])
    file = wanted(origin, size=SIZE)
    reader.ensure(file, Span(0, 1), prefetch=4 * BLOCK)
    assert read(store, file, Span(0, BLOCK)) == DATA[:BLOCK]
    with ThreadPoolExecutor(1) as other:
        joined = other.submit(reader.ensure, file, Span(2 * BLOCK, 2 * BLOCK + 1))
        gate.set()
        joined.result()
    assert origin.spans[0] == Span(0, BLOCK)
    assert sum(span.size for span in origin.spans) == 5 * BLOCK


def test_what_was_fetched_is_reported(reader: Reader, events: list[Event]) -> None:
    reader.ensure(wanted(FakeOrigin(DATA), size=SIZE, name="cells/counts/a.bin"), Span(0, 2 * BLOCK))
    fetched = [event for event in events if event.kind == "fetched"]
    assert sum(event.bytes for event in fetched) == 2 * BLOCK
    assert {(event.dataset, event.path) for event in fetched} == {("cells", "counts/a.bin")}


def test_max_fetch_ends_it_and_names_the_setting(store: Store, make_reader: MakeReader) -> None:
    reader = make_reader(replace(SETTINGS, max_fetch=3 * BLOCK))
    file = wanted(FakeOrigin(DATA), size=SIZE)
    reader.ensure(file, Span(0, 3 * BLOCK))
    with pytest.raises(StoreError, match="max_fetch"):
        reader.ensure(file, Span(3 * BLOCK, 3 * BLOCK + 1))
    assert read(store, file, Span(0, 3 * BLOCK)) == DATA[: 3 * BLOCK]


# Breaks


def test_a_body_that_breaks_is_taken_up_where_it_broke(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA, faults=[Fault(after=BLOCK + 1000), Fault(after=10)])
    file = wanted(origin, size=SIZE)
    reader.ensure(file, Span(0, 3 * BLOCK))
    assert origin.spans == [
        Span(0, 3 * BLOCK),
        Span(BLOCK + 1000, 3 * BLOCK),
        Span(BLOCK + 1010, 3 * BLOCK),
    ]
    assert read(store, file, Span(0, 3 * BLOCK)) == DATA[: 3 * BLOCK]
    assert origin.sent == 3 * BLOCK


def test_a_body_that_ends_early_without_an_error_is_taken_up_too(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA[: BLOCK + 5])
    file = wanted(origin, size=SIZE)
    origin.on_open = lambda span: setattr(origin, "data", DATA) if len(origin.spans) > 1 else None
    reader.ensure(file, Span(0, 2 * BLOCK))
    assert read(store, file, Span(0, 2 * BLOCK)) == DATA[: 2 * BLOCK]


def test_breaks_without_progress_are_bounded(reader: Reader) -> None:
    origin = FakeOrigin(DATA, faults=[Fault(after=10) for _ in range(50)])
    with pytest.raises(SourceUnavailable):
        reader.ensure(wanted(origin, size=SIZE), Span(0, 1))
    assert len(origin.spans) == 1 + SETTINGS.retries


def test_a_break_is_waited_out_longer_each_time_and_as_long_as_the_server_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gotdata.store.stream._BACKOFF", 0.1)
    pauses: list[float] = []
    asked = Fault(SourceUnavailable("busy", retry_after=7.0), after=1)
    origin = FakeOrigin(DATA, faults=[Fault(after=1), Fault(after=1), asked])
    buffer = bytearray(100)
    with Steady(origin, Span(0, 100), False, 5, pauses.append) as stream:
        stream.fill(memoryview(buffer))
    assert bytes(buffer) == DATA[:100]
    assert pauses == [0.2, 0.4, 7.0]


def test_a_refusal_is_not_asked_again(reader: Reader) -> None:
    origin = FakeOrigin(DATA, faults=[Fault(AccessDenied("403"))])
    with pytest.raises(AccessDenied, match="403"):
        reader.ensure(wanted(origin, size=SIZE), Span(0, 1))
    assert len(origin.spans) == 1


def test_an_origin_that_stalls_is_an_error_within_the_timeout(make_reader: MakeReader) -> None:
    gate = threading.Event()
    reader = make_reader(replace(SETTINGS, timeout=0.2))
    with pytest.raises(SourceUnavailable, match=r"https://data.example/file.*timeout"):
        reader.ensure(wanted(FakeOrigin(DATA, faults=[Fault(gate=gate)]), size=SIZE), Span(0, 1))
    gate.set()


def test_a_late_answer_still_serves_the_next_read(store: Store, make_reader: MakeReader) -> None:
    gate = threading.Event()
    origin = FakeOrigin(DATA, faults=[Fault(gate=gate)])
    file = wanted(origin, size=SIZE)
    with pytest.raises(SourceUnavailable):
        make_reader(replace(SETTINGS, timeout=0.1)).ensure(file, Span(0, 1))
    gate.set()
    until(lambda: read(store, file, Span(0, 1)) == DATA[:1])
    assert len(origin.spans) == 1


def test_closing_ends_waiting_readers(make_reader: MakeReader) -> None:
    gate = threading.Event()
    opened = threading.Event()
    origin = FakeOrigin(DATA, faults=[Fault(gate=gate)], on_open=lambda span: opened.set())
    reader = make_reader()
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(reader.ensure, wanted(origin, size=SIZE), Span(0, 1))
        opened.wait()
        reader.close()
        with pytest.raises(SourceUnavailable, match="closed"):
            waiting.result()
    gate.set()


# Origins that send only whole files


@pytest.mark.parametrize("told", [True, False], ids=["told", "found out"])
def test_an_origin_without_ranges_is_fetched_whole_once(store: Store, reader: Reader, told: bool) -> None:
    origin = FakeOrigin(DATA, ranges=not told, refuses_ranges=not told)
    file = wanted(origin, size=SIZE)
    with ThreadPoolExecutor(8) as readers:
        list(readers.map(lambda block: reader.ensure(file, Span(block * BLOCK, block * BLOCK + 1)), range(8)))
    until(lambda: store.peek(file) is not None)
    assert read(store, file, ALL) == DATA
    assert origin.spans.count(ALL) == 1
    assert origin.sent == SIZE


def test_an_origin_without_ranges_starts_anew_after_a_break(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA, ranges=False, faults=[Fault(after=4 * BLOCK + 7), Fault(after=BLOCK)])
    file = wanted(origin, size=SIZE)
    reader.ensure(file, Span(8 * BLOCK, 8 * BLOCK + 1))
    assert origin.spans == [ALL, ALL, ALL]
    assert read(store, file, Span(0, 9 * BLOCK)) == DATA[: 9 * BLOCK]


def test_without_sparse_files_a_file_comes_from_its_start(
    tmp_path: Path, make_reader: MakeReader, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    monkeypatch.setattr("gotdata.store.disk.keeps_holes", lambda folder: False)
    store = Store.open(tmp_path / "flat", SETTINGS, events.append)
    assert any(event.kind == "warning" and "sparse" in event.text for event in events)
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=SIZE)
    make_reader(of=store).ensure(file, Span(5 * BLOCK, 5 * BLOCK + 1))
    assert read(store, file, Span(0, 6 * BLOCK)) == DATA[: 6 * BLOCK]
    until(lambda: store.peek(file) is not None)
    assert origin.spans == [ALL]


# Mirrors


def test_the_first_mirror_is_asked_and_no_other(reader: Reader) -> None:
    first, second = FakeOrigin(DATA), FakeOrigin(DATA, url="https://mirror.example/file")
    reader.ensure(wanted(first, second, size=SIZE), ALL)
    assert first.sent == SIZE
    assert second.spans == []


@pytest.mark.parametrize(
    "error",
    [SourceUnavailable("503"), UpstreamChanged("412"), NotFound("404"), AccessDenied("403"), SourceError("?")],
    ids=lambda error: type(error).__name__,
)
def test_a_mirror_that_fails_is_followed_by_the_next(store: Store, reader: Reader, error: Exception) -> None:
    first = FakeOrigin(DATA, faults=[Fault(error) for _ in range(9)])  # type: ignore[arg-type]
    second = FakeOrigin(DATA, url="https://mirror.example/file")
    file = wanted(first, second, size=SIZE)
    reader.ensure(file, Span(0, 1))
    assert read(store, file, Span(0, BLOCK)) == DATA[:BLOCK]


def test_a_mirror_that_breaks_in_the_middle_is_left_for_the_next(store: Store, reader: Reader) -> None:
    first = FakeOrigin(DATA, faults=[Fault(after=2 * BLOCK), *(Fault(after=0) for _ in range(9))])
    second = FakeOrigin(DATA, url="https://mirror.example/file")
    file = wanted(first, second, size=SIZE)
    reader.ensure(file, Span(0, 4 * BLOCK))
    assert read(store, file, Span(0, 4 * BLOCK)) == DATA[: 4 * BLOCK]
    assert second.spans == [Span(0, 4 * BLOCK)]


def test_one_read_is_never_answered_from_two_mirrors(store: Store, reader: Reader) -> None:
    other = os.urandom(SIZE)
    first = FakeOrigin(DATA)
    second = FakeOrigin(other, url="https://mirror.example/file")
    reader.ensure(wanted(first, size=SIZE), Span(0, 1))
    reader.ensure(wanted(second, size=SIZE), Span(BLOCK, BLOCK + 1))
    file = wanted(first, second, size=SIZE)
    assert read(store, file, Span(0, 2 * BLOCK)) is None
    reader.ensure(file, Span(0, 2 * BLOCK))
    assert read(store, file, Span(0, 2 * BLOCK)) == DATA[: 2 * BLOCK]


def test_a_host_that_is_down_is_asked_after_the_others_for_a_while(store: Store, events: list[Event]) -> None:
    now = [0.0]
    first = FakeOrigin(DATA, faults=[Fault(BROKEN)])
    second = FakeOrigin(DATA, url="https://mirror.example/file")
    file = wanted(first, second, size=SIZE)
    with Reader(store, SETTINGS, events.append, clock=lambda: now[0]) as reader:
        reader.ensure(file, Span(0, 1))
        reader.ensure(file, Span(BLOCK, BLOCK + 1))
        assert len(first.spans) == 1
        now[0] = 1000.0
        reader.ensure(file, Span(2 * BLOCK, 2 * BLOCK + 1))
        assert len(first.spans) == 2


def test_when_all_mirrors_fail_the_error_names_what_each_said(reader: Reader) -> None:
    first = FakeOrigin(DATA, faults=[Fault(NotFound("the first is gone"))])
    second = FakeOrigin(DATA, url="https://mirror.example/file", faults=[Fault(BROKEN)])
    with pytest.raises(SourceUnavailable, match=r"cells/a.bin.*the first is gone.*the line broke"):
        reader.ensure(wanted(first, second, size=SIZE), Span(0, 1))


def test_upstream_that_changed_everywhere_is_an_error_that_says_so(reader: Reader) -> None:
    origin = FakeOrigin(DATA, faults=[Fault(UpstreamChanged("another version"))])
    with pytest.raises(UpstreamChanged, match="another version"):
        reader.ensure(wanted(origin, size=SIZE), Span(0, 1))


def test_a_file_that_no_place_has_is_an_error_that_names_it(reader: Reader) -> None:
    with pytest.raises(SourceUnavailable, match=r"cells/a.bin.*gotdata lock"):
        reader.ensure(wanted(size=SIZE), Span(0, 1))


# Whole files


def test_a_file_whose_blocks_are_all_here_becomes_whole_by_itself(store: Store, reader: Reader) -> None:
    file = wanted(FakeOrigin(DATA), size=SIZE, identity=sha256(DATA))
    early = store.held(file)
    reader.ensure(file, Span(0, 5 * BLOCK))
    assert early.pread(Span(0, 10)) == DATA[:10]
    reader.ensure(file, Span(5 * BLOCK, SIZE))
    until(lambda: store.peek(file) is not None)
    held = store.held(file)
    assert (held.whole, held.in_place) == (True, False)
    assert os.pread(held.fd, SIZE, 0) == DATA
    assert early.pread(ALL) == DATA  # opened when nothing was here
    assert oct(store.object(hashlib.sha256(DATA).hexdigest()).stat().st_mode)[-3:] == "444"
    until(lambda: not list((store.root / "partial").glob("*/*")))


def test_whole_fetches_each_byte_once_and_gives_an_open_file(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=SIZE, identity=sha256(DATA))
    reader.ensure(file, Span(2 * BLOCK, 3 * BLOCK))
    with ThreadPoolExecutor(4) as callers:
        held = list(callers.map(lambda _: reader.whole(file), range(4)))
    assert all(one.whole and one.pread(ALL) == DATA for one in held)
    assert origin.sent == SIZE
    assert store.cached(file) == SIZE


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_files_of_every_size_become_whole(store: Store, reader: Reader, size: int) -> None:
    file = wanted(FakeOrigin(DATA[:size]), size=size, identity=sha256(DATA[:size]))
    assert reader.whole(file).pread(Span(0, size + 1)) == DATA[:size]


@pytest.mark.parametrize("algorithm", ["sha512", "md5", "sha1", "adler32", "crc32"])
def test_what_can_be_computed_is_compared(reader: Reader, algorithm: str) -> None:
    import zlib

    right = {"adler32": f"{zlib.adler32(DATA):08x}", "crc32": f"{zlib.crc32(DATA):08x}"}.get(algorithm)
    right = right or hashlib.new(algorithm, DATA).hexdigest()
    wrong = ("0" if right[0] != "0" else "1") + right[1:]

    def file(value: str, url: str) -> Wanted:
        claims = () if algorithm == "sha512" else (Checksum(algorithm, value),)
        identity = f"sha512:{value}" if algorithm == "sha512" else "weak:x"
        return wanted(FakeOrigin(DATA, url=url, checks=claims), size=SIZE, identity=identity)

    reader.whole(file(right, "https://a.example/")).close()
    with pytest.raises(IntegrityError, match=f"expected {algorithm}:{wrong}, got {algorithm}:{right}"):
        reader.whole(file(wrong, "https://b.example/"))


def test_what_cannot_be_computed_is_said_and_the_other_checks_count(
    reader: Reader, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "blake3", None)
    origin = FakeOrigin(DATA, checks=(Checksum("md5", "0" * 32), Checksum("dropbox", "1" * 64)))
    with pytest.raises(IntegrityError, match="expected md5:0"):
        reader.whole(wanted(origin, size=SIZE, identity="blake3:" + "2" * 64))
    assert any("pip install blake3" in event.text for event in events if event.kind == "warning")


def test_wrong_bytes_are_put_aside_named_and_the_next_mirror_is_tried(store: Store, reader: Reader) -> None:
    bad = FakeOrigin(os.urandom(SIZE), url="https://bad.example/file")
    good = FakeOrigin(DATA)
    file = wanted(bad, good, size=SIZE, identity=sha256(DATA))
    assert reader.whole(file).pread(ALL) == DATA
    assert store.info().quarantined == 1
    only = wanted(bad, size=SIZE, identity=sha256(DATA[::-1]), name="cells/b.bin")
    with pytest.raises(
        IntegrityError, match=r"cells/b.bin: https://bad.example/file is not.*expected sha256:.*got sha256:"
    ):
        reader.whole(only)


def test_bytes_found_wrong_are_served_no_longer_and_not_fetched_again(
    store: Store, reader: Reader, make_reader: MakeReader, events: list[Event]
) -> None:
    origin = FakeOrigin(DATA)
    file = wanted(origin, size=SIZE, identity=sha256(b"another"))
    held = store.held(file)
    reader.ensure(file, Span(0, 1))
    assert held.pread(Span(0, 1)) == DATA[:1]
    with suppress(IntegrityError):  # it may be found while it is waited for
        reader.ensure(file, ALL)
    until(lambda: any(event.kind == "warning" for event in events))
    assert held.pread(Span(0, 1)) is None
    sent = origin.sent
    with pytest.raises(IntegrityError):
        reader.ensure(file, Span(0, 1))
    assert origin.sent == sent
    assert held.pread(Span(0, 1)) is None
    make_reader().ensure(file, Span(0, 1))  # another run asks again: a proxy may have been at fault
    assert held.pread(Span(0, 1)) == DATA[:1]


def test_blocks_that_a_crash_tore_are_fetched_again_before_the_file_is_whole(
    store: Store, make_reader: MakeReader
) -> None:
    file = wanted(FakeOrigin(DATA), size=SIZE)
    with make_reader() as first:
        first.ensure(file, Span(0, 8 * BLOCK))
    (data,) = (store.root / "partial").glob("*/*.data")
    with data.open("r+b") as torn:
        torn.seek(3 * BLOCK)
        torn.write(bytes(BLOCK))
    assert make_reader().whole(file).pread(ALL) == DATA


# Block hashes in the lock

LONG = os.urandom(2 * BLOCK_HASHED + 777)
HASHES = tuple(hashlib.sha256(LONG[at : at + BLOCK_HASHED]).digest() for at in range(0, len(LONG), BLOCK_HASHED))


def hashed(*origins: FakeOrigin) -> Wanted:
    return Wanted("cells/long", len(LONG), sha256(LONG), origins, HASHES)


def test_with_block_hashes_a_range_is_verified_before_it_is_served(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(LONG)
    reader.ensure(hashed(origin), Span(BLOCK_HASHED + 5, BLOCK_HASHED + 6))
    assert origin.spans == [Span(BLOCK_HASHED, 2 * BLOCK_HASHED)]
    assert read(store, hashed(origin), Span(BLOCK_HASHED, BLOCK_HASHED + 9)) == LONG[BLOCK_HASHED : BLOCK_HASHED + 9]
    reader.ensure(hashed(origin), Span(len(LONG) - 1, len(LONG)))
    assert reader.whole(hashed(origin)).pread(Span(0, len(LONG))) == LONG


def test_with_block_hashes_a_wrong_byte_is_never_served(store: Store, reader: Reader) -> None:
    wrong = bytearray(LONG)
    wrong[BLOCK_HASHED + 100] ^= 1
    bad, good = FakeOrigin(bytes(wrong), url="https://bad.example/file"), FakeOrigin(LONG)
    with pytest.raises(IntegrityError, match=r"bytes 4194304 to 8388608 that https://bad.example/file"):
        reader.ensure(hashed(bad), Span(BLOCK_HASHED, BLOCK_HASHED + 1))
    assert read(store, hashed(bad), Span(BLOCK_HASHED, BLOCK_HASHED + 1)) is None
    reader.ensure(hashed(bad, good), Span(BLOCK_HASHED, BLOCK_HASHED + 1))
    assert read(store, hashed(bad, good), Span(BLOCK_HASHED, BLOCK_HASHED + 1)) == LONG[BLOCK_HASHED : BLOCK_HASHED + 1]


def test_blocks_that_came_without_hashes_do_not_count_where_there_are_some(store: Store, reader: Reader) -> None:
    wrong = FakeOrigin(bytes(len(LONG)))
    reader.ensure(wanted(wrong, size=len(LONG)), Span(0, 1))
    assert read(store, hashed(wrong), Span(0, 1)) is None


def test_a_lock_with_too_few_block_hashes_is_refused(reader: Reader) -> None:
    file = replace(hashed(FakeOrigin(LONG)), blocks=HASHES[:1])
    with pytest.raises(IntegrityError, match="1 block hashes and 3 are due"):
        reader.ensure(file, Span(0, 1))


# In place


def local(path: Path, *others: FakeOrigin, identity: str = "weak:x") -> Wanted:
    facts = path.stat()
    origin = FakeOrigin(b"", url=path.as_uri(), version=f"mtime:{facts.st_mtime_ns}", local=str(path))
    return wanted(origin, *others, size=facts.st_size, identity=identity)


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    path = tmp_path / "here.bin"
    path.write_bytes(DATA)
    return path


def test_a_file_of_this_machine_is_read_in_place(store: Store, reader: Reader, on_disk: Path) -> None:
    file = local(on_disk)
    reader.ensure(file, ALL)
    held = store.held(file)
    assert (held.in_place, held.whole) == (True, False)
    assert held.pread(Span(10, SIZE + 10)) == DATA[10:]
    assert store.info().objects == store.info().partials == 0


def test_a_file_in_place_that_changed_is_an_error_not_other_bytes(store: Store, reader: Reader, on_disk: Path) -> None:
    file = local(on_disk)
    held = store.held(file)
    with on_disk.open("r+b") as changed:
        changed.write(b"x")
    os.utime(on_disk, ns=(0, 12345))
    with pytest.raises(UpstreamChanged, match=r"cells/a.bin.*here.bin changed"):
        held.pread(Span(0, 10))
    with pytest.raises(UpstreamChanged):
        reader.ensure(file, Span(0, 1))
    with pytest.raises(UpstreamChanged):
        store.held(file)


def test_a_file_in_place_is_hashed_once(reader: Reader, on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = local(on_disk, identity=sha256(DATA))
    reader.whole(right).close()
    monkeypatch.setattr("gotdata.store.held.LocalHeld.pread", None)
    reader.whole(right).close()
    monkeypatch.undo()
    with pytest.raises(IntegrityError, match="expected sha256"):
        reader.whole(local(on_disk, identity=sha256(b"another")))


def test_a_folder_that_is_not_mounted_is_replaced_by_the_mirror(store: Store, reader: Reader, on_disk: Path) -> None:
    alone, mirrored = local(on_disk), local(on_disk, FakeOrigin(DATA))
    on_disk.unlink()
    with pytest.raises(NotFound, match="mounted"):
        store.held(alone)
    mirrored.origins[0].faults = [Fault(NotFound("gone")) for _ in range(9)]  # type: ignore[attr-defined]
    reader.ensure(mirrored, Span(0, 10))
    assert read(store, mirrored, Span(0, 10)) == DATA[:10]


def test_a_pipe_in_a_files_place_is_an_error_not_a_hang(store: Store, on_disk: Path) -> None:
    file = local(on_disk)
    on_disk.unlink()
    os.mkfifo(on_disk)
    with pytest.raises(UpstreamChanged):
        store.held(file)


# Downloads past the store


def test_save_leaves_the_file_and_nothing_else(store: Store, reader: Reader, tmp_path: Path) -> None:
    dest = tmp_path / "out" / "a.bin"
    dest.parent.mkdir()
    reader.save(wanted(FakeOrigin(DATA), size=SIZE, identity=sha256(DATA)), dest)
    assert dest.read_bytes() == DATA
    assert [path.name for path in dest.parent.iterdir()] == ["a.bin"]
    assert store.info().objects == store.info().partials == 0


def test_save_goes_on_where_it_was_cut(reader: Reader, make_reader: MakeReader, tmp_path: Path) -> None:
    cut = FakeOrigin(DATA, faults=[Fault(after=6 * BLOCK + 9), *(Fault(BROKEN) for _ in range(9))])
    dest = tmp_path / "a.bin"
    with pytest.raises(SourceUnavailable):
        reader.save(wanted(cut, size=SIZE), dest)
    assert not dest.exists()
    again = FakeOrigin(DATA)
    make_reader().save(wanted(again, size=SIZE), dest)
    assert dest.read_bytes() == DATA
    assert again.spans == [Span(6 * BLOCK, SIZE)]


def test_save_of_wrong_bytes_leaves_nothing_and_takes_the_next_mirror(reader: Reader, tmp_path: Path) -> None:
    bad = FakeOrigin(os.urandom(SIZE), url="https://bad.example/file")
    dest = tmp_path / "out" / "a.bin"
    dest.parent.mkdir()
    with pytest.raises(IntegrityError):
        reader.save(wanted(bad, size=SIZE, identity=sha256(DATA)), dest)
    assert list(dest.parent.iterdir()) == []
    reader.save(wanted(bad, FakeOrigin(DATA), size=SIZE, identity=sha256(DATA)), dest)
    assert dest.read_bytes() == DATA


def test_save_does_not_mix_what_another_url_left(reader: Reader, make_reader: MakeReader, tmp_path: Path) -> None:
    cut = FakeOrigin(bytes(SIZE), faults=[Fault(after=5 * BLOCK), *(Fault(BROKEN) for _ in range(9))])
    dest = tmp_path / "a.bin"
    with pytest.raises(SourceUnavailable):
        reader.save(wanted(cut, size=SIZE), dest)
    make_reader().save(wanted(FakeOrigin(DATA, url="https://other.example/file"), size=SIZE), dest)
    assert dest.read_bytes() == DATA


def test_save_of_an_empty_file(reader: Reader, tmp_path: Path) -> None:
    reader.save(wanted(FakeOrigin(b""), size=0, identity=sha256(b"")), tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""
