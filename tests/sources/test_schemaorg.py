from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.sources.schemaorg import SchemaOrg
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.landing_double import Portal
from gotdata.testing.source_contract import Place, SourceContract
from tests.sources.documents import Lying, Published

SOURCE = SchemaOrg()


class TestSchemaOrg(SourceContract):
    source = SOURCE
    single = False
    empty_folders = False
    folders = False
    checks = "sha256"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("schemaorg") as portal:
            yield Published(portal, "schemaorg")


class TestHostileSchemaOrg(HostileContract):
    source = SOURCE
    lies = ("twins",)

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal("schemaorg") as portal:
            yield Lying(portal, "schemaorg")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal("schemaorg") as portal:
        yield portal
