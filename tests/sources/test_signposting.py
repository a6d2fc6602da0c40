from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.sources.signposting import Signposting
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.landing_double import Portal
from gotdata.testing.source_contract import Place, SourceContract
from tests.sources.documents import Lying, Published

SOURCE = Signposting()


class TestSignposting(SourceContract):
    source = SOURCE
    single = False
    empty_folders = False
    folders = False

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("linkset") as portal:
            yield Published(portal, "signposting")


class TestHostileSignposting(HostileContract):
    source = SOURCE
    lies = ("twins",)

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal("linkset") as portal:
            yield Lying(portal, "signposting")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal("linkset") as portal:
        yield portal
