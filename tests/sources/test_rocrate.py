from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.sources.rocrate import RoCrate
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.landing_double import Portal
from gotdata.testing.source_contract import Place, SourceContract
from tests.sources.documents import Lying, Published

SOURCE = RoCrate()


class TestRoCrate(SourceContract):
    source = SOURCE
    single = False
    empty_folders = False
    checks = "sha256"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("rocrate") as portal:
            yield Published(portal, "rocrate")


class TestHostileRoCrate(HostileContract):
    source = SOURCE
    lies = ("names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal("rocrate") as portal:
            yield Lying(portal, "rocrate")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal("rocrate") as portal:
        yield portal
