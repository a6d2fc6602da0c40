"""The azure source: the contracts on a double, and each trap of Azure Blob Storage. A real emulator: tests/e2e."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from gotdata.model import Ref
from gotdata.sources.azure import Azure
from gotdata.sources.base import Powers
from gotdata.testing.azure_double import BlobStorage
from gotdata.testing.hostile_contract import WALLS, HostileContract
from gotdata.testing.source_contract import BODY, SourceContract, context

SOURCE = Azure()


def azure(*, versions: bool) -> Azure:
    """The source, with the powers that it has in an account that does or does not keep versions."""
    source = Azure()
    source.powers = Powers(versions=versions)
    return source


class Place:
    """As ``source_contract.Place`` and ``hostile_contract.Liar``: a prefix, with a neighbour that must not be seen."""

    def __init__(self, storage: BlobStorage) -> None:
        self.storage = storage
        self.ctx = context()
        storage.put("data-neighbour/x", b"not this")
        self.ref = self.at("data/")

    def at(self, key: str, **options: str) -> Ref:
        return Ref(f"azure:{self.storage.home}/{quote(key)}", tuple(sorted(options.items())))

    def put(self, path: str, body: bytes) -> None:
        self.storage.put(f"data/{path}", body)

    def remove(self, path: str) -> None:
        self.storage.remove(f"data/{path}")

    def folder(self, path: str) -> None:
        self.storage.put(f"data/{path}", b"", marker=True)

    def one(self, path: str) -> Ref:
        return self.at(f"data/{path}")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"1")

    def deny(self) -> None:
        self.storage.denied = True

    def limit(self, times: int) -> None:
        self.storage.limit = times

    def lie(self, what: str) -> None:
        self.put("f", BODY[:1000])
        self.storage.wall, self.storage.hostile = (what, "") if what in WALLS else ("", what)

    def asked(self) -> int:
        return len(self.storage.server.requests)


@pytest.fixture
def storage() -> Iterator[BlobStorage]:
    with BlobStorage() as storage:
        yield storage


@pytest.fixture
def place(storage: BlobStorage) -> Place:
    return Place(storage)


class TestAzure(SourceContract):
    source = azure(versions=False)
    checks = "md5"
    lacks = ("cut",)

    @pytest.fixture
    def place(self, storage: BlobStorage) -> Place:
        return Place(storage)


class TestAzureWithVersions(SourceContract):
    source = azure(versions=True)
    checks = "md5"
    lacks = ("cut", "fill")

    @pytest.fixture
    def place(self, storage: BlobStorage) -> Place:
        storage.versions = True
        return Place(storage)


class TestAzureAgainstLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self, storage: BlobStorage) -> Place:
        return Place(storage)
