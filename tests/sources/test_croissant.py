from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.sources.croissant import Croissant
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.landing_double import Portal
from gotdata.testing.source_contract import Place, SourceContract
from tests.sources.documents import Lying, Published

SOURCE = Croissant()


class TestCroissant(SourceContract):
    source = SOURCE
    single = False
    empty_folders = False
    checks = "sha256"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("croissant") as portal:
            yield Published(portal, "croissant")


class TestHostileCroissant(HostileContract):
    source = SOURCE
    lies = ("names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal("croissant") as portal:
            yield Lying(portal, "croissant")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal("croissant") as portal:
        yield portal
