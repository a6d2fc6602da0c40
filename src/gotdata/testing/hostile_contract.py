"""What a source must stand of a provider that lies. A test subclasses ``HostileContract`` and says who does.

class TestMineAgainstLies(HostileContract):
    source = Mine()

    @pytest.fixture
    def liar(self) -> Iterator[Liar]: ...
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import ClassVar, Protocol

import hypothesis
import pytest

from gotdata.context import Context
from gotdata.errors import GotdataError, IntegrityError, ResolveError, SourceError
from gotdata.model import Kind, Ref, Span
from gotdata.snapshot import build
from gotdata.sources.base import Source
from gotdata.testing.conformance import shows
from gotdata.testing.source_contract import follow, leave_out

WALLS = ("html", "login", "challenge", "garbage")
"""As ``double.Double.wall``."""
MANY = 1_000_000
"""Entries that are read in a long campaign (``make test-full``); else the first of them."""
CAMPAIGN = 1_000
"""Examples of a property from which on a run is a campaign."""


class Liar(Protocol):
    """A place with at least one file, which misbehaves when it is told to."""

    ref: Ref
    ctx: Context

    def lie(self, what: str) -> None:
        """One of ``WALLS``, or:

        ``loop``: a page of the listing names a page before it as the next, or a folder itself as its child.
        ``sizes``: every file is listed with a byte more than it has.
        ``names``: a file is listed as ``../../etc/passwd``.
        ``twins``: two files of one folder have the same name.
        ``many``: the listing has ``MANY`` entries, made as they are asked for.
        """

    def asked(self) -> int:
        """Requests so far."""


_ONE_LIE = {
    "sizes": "test_a_size_that_is_a_lie_never_gives_wrong_bytes",
    "many": "test_a_million_entries_are_streamed",
}


class HostileContract:
    """Attributes say which lies the provider's API has no words for."""

    source: ClassVar[Source]
    against: ClassVar[str] = "double"
    told: ClassVar[str] = ""
    """What an error names: the provider, or empty for the source's name."""
    lies: ClassVar[tuple[str, ...]] = ("loop", "sizes", "names", "twins", "many")
    twins_are_told_apart: ClassVar[bool] = False
    """The provider allows two files of one name, and the source gives each a path of its own."""

    def __init_subclass__(cls) -> None:
        leave_out(cls, HostileContract, {test for lie, test in _ONE_LIE.items() if lie not in cls.lies})

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "lie" in metafunc.fixturenames:
            metafunc.parametrize("lie", [lie for lie in ("loop", "names", "twins") if lie in self.lies])

    @pytest.fixture
    def liar(self) -> Iterator[Liar] | Liar:
        raise NotImplementedError("say who lies")

    def captured(self, liar: Liar, work: Path) -> None:
        source, pin = follow(liar.ref, liar.ctx, self.source)
        build(pin.namespace, [source.files(pin, liar.ctx)], work)

    @shows("hostile listing")
    @pytest.mark.parametrize("wall", WALLS)
    def test_a_wall_is_told_by_its_name(self, liar: Liar, wall: str, tmp_path: Path) -> None:
        liar.lie(wall)
        with pytest.raises((SourceError, ResolveError)) as caught:
            self.captured(liar, tmp_path)
        said = str(caught.value)
        assert (self.told or self.source.name).lower() in said.lower(), said
        assert "127.0.0.1" in said, said

    @shows("hostile listing")
    def test_a_listing_that_lies_is_refused_in_words(self, liar: Liar, lie: str, tmp_path: Path) -> None:
        liar.lie(lie)
        if lie == "twins" and self.twins_are_told_apart:
            self.captured(liar, tmp_path)
            return
        with pytest.raises((SourceError, IntegrityError, ResolveError)) as caught:
            self.captured(liar, tmp_path)
        words = {"loop": ("loop", "itself", "again", "end"), "names": ("..",), "twins": ("twice",)}[lie]
        assert any(word in str(caught.value) for word in words), caught.value

    @shows("hostile listing")
    def test_a_size_that_is_a_lie_never_gives_wrong_bytes(self, liar: Liar) -> None:
        liar.lie("sizes")
        with suppress(GotdataError):  # to see through it at once is as good
            source, pin = follow(liar.ref, liar.ctx, self.source)
            file = next(file for file in source.files(pin, liar.ctx) if file.kind is Kind.FILE and file.size)
            with source.read(pin, file, Span(0, file.size or 0), liar.ctx) as stream:
                stream.readall()
            pytest.fail("a file was read whole with a byte that it does not have")

    @shows("hostile listing")
    def test_a_million_entries_are_streamed(self, liar: Liar) -> None:
        liar.lie("many")
        source, pin = follow(liar.ref, liar.ctx, self.source)
        count = MANY if hypothesis.settings().max_examples >= CAMPAIGN else 2_000
        before, memory = liar.asked(), _memory()
        assert sum(1 for _ in islice(source.files(pin, liar.ctx), count)) == count
        assert liar.asked() - before < 100 + count / 20, "the listing was read far ahead of what was asked for"
        assert _memory() - memory < 400 << 20


def _memory() -> int:
    """The most bytes that this process ever had in memory; 0 where that is not told."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
