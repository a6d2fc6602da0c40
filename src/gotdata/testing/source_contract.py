"""What every source must do. A source's test subclasses ``SourceContract`` and says where it reads:

class TestMine(SourceContract):
    source = Mine()

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with MyServer() as server:
            yield MyPlace(server)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credentials
from gotdata.digests import begin, computable
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    NoRanges,
    NotFound,
    ResolveError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.paths import secret
from gotdata.settings import Settings
from gotdata.sources import registry
from gotdata.sources.base import Source
from gotdata.sources.http_engine import Engine
from gotdata.testing.conformance import shows

BODY = bytes(number * 7 % 251 for number in range(100_000))
ODD_NAMES = (
    "a space.txt",
    "100%.txt",
    "%41.txt",
    "plus+and&amp;.txt",
    "question?.txt",
    "hash#.txt",
    "quo'te\".txt",
    "semi;colon:at@eq=.txt",
    "[brackets]{braces}<angle>.txt",
    "back\\slash.txt",
    "~tilde",
    "-dash",
    ".hidden",
    "...",
    "no extension",
    "grün-日本語.txt",
    "de\u0301compose\u0301.txt",
    "x" * 120 + ".txt",
)
SIZES = (0, 1, 4096, 65_537)


class Place(Protocol):
    """Where a source under test reads, and which the test may change. Empty at first."""

    ref: Ref
    """Means everything here."""
    ctx: Context

    def put(self, path: str, body: bytes) -> None:
        """A file, with the folders above it; over one that is there, as a new version of it."""

    def remove(self, path: str) -> None: ...

    def folder(self, path: str) -> None:
        """An empty folder. Not called where ``SourceContract.empty_folders`` is False."""

    def one(self, path: str) -> Ref:
        """What means this file alone, whether it is there or not. Not called where ``single`` is False."""


class Switches(Protocol):
    """What a Place may have besides; a test of what it has not is skipped."""

    def fill(self, count: int) -> None:
        """Puts ``count`` small files, ``many/0`` and so on (``many-0`` without folders), faster than by ``put``."""

    def deny(self) -> None:
        """From now on nothing is answered without a credential, and ``ctx`` holds none."""

    def limit(self, times: int) -> None:
        """The next ``times`` requests are refused as too many, with a time to wait."""

    def cut(self, path: str, after: int) -> None:
        """The next body of a file ends after so many bytes, though more were announced."""


def context(credentials: Credentials | None = None, **values: object) -> Context:
    """For tests: nothing from this machine's files, and no waiting between tries."""
    chosen = Settings(**{"timeout": 10.0, **values})  # type: ignore[arg-type]
    held = credentials or Credentials()
    return Context(chosen, held, Engine(chosen, held, sleep=lambda _: None, environ={}))


def follow(ref: Ref, ctx: Context, pick: Source | None = None) -> tuple[Source, Pin]:
    """The pin behind a reference, and the source that made it."""
    for _ in range(5):
        source = pick if pick is not None and pick.claims(ref) else registry.pick(ref)
        found = source.resolve(ref, ctx)
        if isinstance(found, Pin):
            return source, found
        ref = found
    raise AssertionError(f"{ref} leads on and on")


_TESTS = {
    "fill": "test_ten_thousand_entries_are_listed",
    "deny": "test_a_refusal_says_that_it_wants_a_credential",
    "limit": "test_a_rate_limit_is_waited_for",
    "cut": "test_a_body_that_breaks_off_is_an_error_and_may_be_read_on",
}
"""The test of each of ``Switches``."""
_OF_ONE = ("test_one_file_is_listed_under_its_name", "test_what_is_not_there_is_a_resolve_error")


def _unmarked(test: Callable[[Any, Place], None]) -> Callable[[Any, Place], None]:
    return lambda self, place: test(self, place)


class SourceContract:
    """Attributes say what the place, not the source, can't do."""

    source: ClassVar[Source]
    against: ClassVar[str] = "double"
    """What answers: ``double``, or the name of a real server."""
    checks: ClassVar[str] = ""
    """The algorithm of the checksum that every listed file has; empty where the provider tells none."""
    lacks: ClassVar[tuple[str, ...]] = ()
    """Names of ``Switches`` that can't be had here: their tests are left out."""
    single: ClassVar[bool] = True
    ranges: ClassVar[bool] = True
    empty_folders: ClassVar[bool] = True
    folders: ClassVar[bool] = True
    """False: the provider has none, and what the tests would put at ``a/b`` they put at ``a-b``."""
    outlive: ClassVar[bool] = True
    """Where the source has versions: they can be read after their file was removed."""
    odd_names: ClassVar[tuple[str, ...]] = ODD_NAMES
    realm: ClassVar[str] = PUBLIC

    def __init_subclass__(cls) -> None:
        without = {_TESTS[name] for name in cls.lacks}
        without |= set() if cls.checks else {"test_the_listing_tells_the_checksum_of_the_bytes"}
        without |= set() if cls.empty_folders and cls.folders else {"test_empty_folders_are_listed"}
        without |= set() if cls.single else set(_OF_ONE)
        leave_out(cls, SourceContract, without)
        if not cls.folders:
            # Held to the sizes, it shows nothing of folders in the table.
            sizes = _unmarked(SourceContract.test_every_file_is_listed_with_its_size)
            setattr(cls, SourceContract.test_every_file_is_listed_with_its_size.__name__, sizes)

    @pytest.fixture
    def place(self) -> Iterator[Place] | Place:
        raise NotImplementedError("say where the source reads")

    def pin(self, place: Place, ref: Ref | None = None) -> Pin:
        source, pin = follow(ref or place.ref, place.ctx, self.source)
        assert source.name == self.source.name == pin.source
        return pin

    def listed(self, place: Place, pin: Pin | None = None) -> dict[str, RemoteFile]:
        files = list(self.source.files(pin or self.pin(place), place.ctx))
        assert len({file.path for file in files}) == len(files), "a path is listed twice"
        return {file.path: file for file in files}

    def named(self, path: str) -> str:
        """The path of a test, as the provider can have it."""
        return path if self.folders else path.replace("/", "-")

    def content(self, place: Place, pin: Pin, file: RemoteFile, span: Span | None = None) -> bytes:
        with self.source.read(pin, file, span or Span(0, file.size or 0), place.ctx) as stream:
            return stream.readall()

    def test_it_claims_its_references_and_no_others(self, place: Place) -> None:
        assert self.source.claims(place.ref)
        assert not self.source.claims(Ref("no-such-scheme:x"))

    def test_its_name_finds_it(self) -> None:
        assert type(registry.source(self.source.name)) is type(self.source)

    @shows("resolve", "pin")
    def test_an_unchanged_place_has_the_same_pin_and_files(self, place: Place) -> None:
        place.put(self.named("a/b.bin"), BODY)
        pin = self.pin(place)
        assert self.pin(place) == pin
        assert pin.version, "a pin says what it pinned"
        assert self.source.claims(pin.ref), "what a lock has of a reference leads back to its source"
        assert self.listed(place, pin) == self.listed(place, pin)

    @shows("nested")
    def test_every_file_is_listed_with_its_size(self, place: Place) -> None:
        wanted = {self.named(f"{folder}f{size}"): size for folder in ("", "deep/er/", "deep/er2/") for size in SIZES}
        for path, size in wanted.items():
            place.put(path, BODY[:size])
        listed = self.listed(place)
        assert {path: file.size for path, file in listed.items() if file.kind is Kind.FILE} == wanted

    @shows("empty file")
    def test_whole_files_are_read_the_empty_one_too(self, place: Place) -> None:
        for size in SIZES:
            place.put(self.named(f"d/f{size}"), BODY[:size])
        pin = self.pin(place)
        for path, file in self.listed(place, pin).items():
            assert self.content(place, pin, file) == BODY[: int(path.removeprefix(self.named("d/f")))]

    @shows("odd names")
    def test_odd_names_are_listed_and_read(self, place: Place) -> None:
        wanted = {self.named(f"o/{name}"): name.encode("utf-8", "surrogateescape") for name in self.odd_names}
        for path, body in wanted.items():
            place.put(path, body)
        pin = self.pin(place)
        assert {path: self.content(place, pin, file) for path, file in self.listed(place, pin).items()} == wanted

    @shows("empty folder")
    def test_empty_folders_are_listed(self, place: Place) -> None:
        place.put("f", b"1")
        place.folder("d/empty")
        listed = self.listed(place)
        assert {path: file.kind for path, file in listed.items()} == {"f": Kind.FILE, "d/empty": Kind.DIR}

    def test_one_file_is_listed_under_its_name(self, place: Place) -> None:
        path = self.named("d/one file.bin")
        place.put(path, BODY)
        place.put(self.named("d/other"), b"")
        pin = self.pin(place, place.one(path))
        listed = self.listed(place, pin)
        assert list(listed) == [path.rpartition("/")[2]]
        assert self.content(place, pin, listed[path.rpartition("/")[2]]) == BODY

    @shows("range")
    def test_any_range_is_exact(self, place: Place) -> None:
        place.put("f", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        if not (self.ranges and self.source.powers.ranges):
            with pytest.raises(NoRanges):
                self.source.read(pin, file, Span(1, 2), place.ctx)
            return

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.tuples(st.integers(0, len(BODY)), st.integers(0, len(BODY))).filter(lambda ends: ends[0] != ends[1]))
        def check(ends: tuple[int, int]) -> None:
            span = Span(min(ends), max(ends))
            assert self.content(place, pin, file, span) == BODY[span.start : span.stop]

        check()

    def test_threads_read_beside_each_other(self, place: Place) -> None:
        place.put("f", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        with ThreadPoolExecutor(12) as pool:
            assert set(pool.map(lambda _: self.content(place, pin, file), range(48))) == {BODY}

    def test_streams_closed_before_their_end_leave_room_for_others(self, place: Place) -> None:
        place.put("f", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        for _ in range(3 * place.ctx.settings.connections):
            with self.source.read(pin, file, Span(0, len(BODY)), place.ctx) as stream:
                assert stream.read(1) == BODY[:1]
        assert self.content(place, pin, file) == BODY

    @shows("changed")
    @pytest.mark.parametrize("body", [BODY[:-1], b"y" + BODY[1:], b""], ids=["shorter", "other bytes", "empty"])
    def test_a_changed_file_is_never_read_as_the_pinned_one(self, place: Place, body: bytes) -> None:
        place.put("f", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        place.put("f", body)
        for span in (Span(0, len(BODY)), Span(1, 2))[: 1 + self.ranges]:
            if self.source.powers.versions:
                assert self.content(place, pin, file, span) == BODY[span.start : span.stop]
            else:
                with pytest.raises(UpstreamChanged):
                    self.content(place, pin, file, span)

    @shows("removed")
    def test_a_file_that_is_gone_is_an_error_that_says_so(self, place: Place) -> None:
        place.put("f", BODY)
        place.put("g", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        place.remove("f")
        if self.source.powers.versions and self.outlive:
            assert self.content(place, pin, file) == BODY
        else:
            with pytest.raises((NotFound, UpstreamChanged)):
                self.content(place, pin, file)

    def test_what_is_not_there_is_a_resolve_error(self, place: Place) -> None:
        place.put("f", b"1")
        with pytest.raises(ResolveError):
            self.pin(place, place.one(self.named("no/such.file")))

    def test_every_file_has_its_own_url_without_a_secret(self, place: Place) -> None:
        for number, path in enumerate(("a", "b/a", "b/c")):
            place.put(self.named(path), BODY[number:])
        pin = self.pin(place)
        urls = [self.source.url(pin, file) for file in self.listed(place, pin).values()]
        assert len(set(urls)) == 3
        assert all(":" in url and not secret(url) for url in urls)

    def test_only_a_local_source_names_paths_of_this_machine(self, place: Place) -> None:
        place.put(self.named("d/f"), BODY)
        pin = self.pin(place)
        path = self.source.local(pin, self.listed(place, pin)[self.named("d/f")])
        assert bool(path) == self.source.powers.local
        if path:
            with open(path, "rb") as file:
                assert file.read() == BODY

    def test_its_realm_is_that_of_who_asks(self, place: Place) -> None:
        place.put("f", b"1")
        assert self.source.realm(self.pin(place), place.ctx) == self.realm

    @shows("list 10,000")
    def test_ten_thousand_entries_are_listed(self, place: Place) -> None:
        switch(place, "fill")(10_000)
        listed = self.source.files(self.pin(place), place.ctx)
        wanted = {self.named(f"many/{n}") for n in range(10_000)}
        assert {file.path for file in listed if file.kind is Kind.FILE} == wanted

    @shows("verify")
    def test_the_listing_tells_the_checksum_of_the_bytes(self, place: Place) -> None:
        if not computable(self.checks):
            pytest.skip(f"{self.checks} needs a package that is not installed")
        place.put("f", BODY)
        file = self.listed(place)["f"]
        hash = begin(self.checks, len(BODY))
        hash.update(BODY)
        assert Checksum(self.checks, hash.hexdigest()) in file.checks

    @shows("auth refused")
    def test_a_refusal_says_that_it_wants_a_credential(self, place: Place) -> None:
        place.put("f", BODY)
        switch(place, "deny")()
        with pytest.raises((AuthRequired, AccessDenied)) as caught:
            self.listed(place)
        assert re.search("gotdata login|credential|token|AWS_", str(caught.value))

    @shows("rate limited")
    def test_a_rate_limit_is_waited_for(self, place: Place) -> None:
        place.put("f", BODY)
        switch(place, "limit")(2)
        assert list(self.listed(place)) == ["f"]

    @shows("cut connection")
    def test_a_body_that_breaks_off_is_an_error_and_may_be_read_on(self, place: Place) -> None:
        place.put("f", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        switch(place, "cut")("f", 1000)
        got = bytearray()

        def read() -> None:
            with self.source.read(pin, file, Span(0, len(BODY)), place.ctx) as stream:
                while piece := stream.read(700):
                    got.extend(piece)

        with pytest.raises(SourceUnavailable):
            read()
        assert bytes(got) == BODY[: len(got)]
        assert self.content(place, pin, file) == BODY


def leave_out(cls: type, contract: type, tests: set[str]) -> None:
    """Tests of a contract that a class has no use for are not its own; those that only its base left out are again."""
    for test, original in vars(contract).items():
        if test in tests:
            setattr(cls, test, None)
        elif test.startswith("test_") and getattr(cls, test) is None:
            setattr(cls, test, original)


def switch(place: Place, name: str) -> Callable[..., None]:
    """One of ``Switches``; skips the test where the place has none."""
    found: Callable[..., None] | None = getattr(place, name, None)
    if found is None:
        pytest.skip(f"{type(place).__name__} has no switch '{name}'")
    return found
