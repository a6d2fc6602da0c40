"""The contract of sources, kept by gcs against a real emulator that Google's own client fills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.testing.source_contract import SourceContract
from tests.e2e import gcs
from tests.e2e.between import Between
from tests.e2e.gcs import Bucket
from tests.e2e.servers import Server
from tests.sources.test_gcs import gcs as source_with


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with gcs.emulator(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def proxy(server: Server) -> Iterator[Between]:
    with gcs.proxied(server) as proxy:
        yield proxy


class TestFakeGcs(SourceContract):
    source = source_with(versions=False)
    against = "fake-gcs-server"
    checks = "crc32c"

    @pytest.fixture
    def place(self, server: Server, proxy: Between) -> Bucket:
        return Bucket(server, proxy)


class TestFakeGcsWithVersions(SourceContract):
    source = source_with(versions=True)
    against = "fake-gcs-server"
    checks = "md5"
    lacks = ("fill",)

    @pytest.fixture
    def place(self, server: Server, proxy: Between) -> Bucket:
        return Bucket(server, proxy, versions=True)
