"""The contract of sources, kept by azure against a real emulator that Azure's own client fills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.testing.source_contract import ODD_NAMES, SourceContract
from tests.e2e import azurite
from tests.e2e.azurite import Container
from tests.e2e.between import Between
from tests.e2e.servers import Server
from tests.sources.test_azure import azure as source_with


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with azurite.emulator(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def proxy(server: Server) -> Iterator[Between]:
    with azurite.proxied(server) as proxy:
        yield proxy


class TestAzurite(SourceContract):
    source = source_with(versions=False)
    against = "Azurite"
    checks = "md5"
    odd_names = tuple(name for name in ODD_NAMES if "\\" not in name)
    """Azure takes a backslash for a slash."""

    @pytest.fixture
    def place(self, server: Server, proxy: Between) -> Container:
        return Container(server, proxy)
