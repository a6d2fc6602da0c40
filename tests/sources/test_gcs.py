"""The gcs source: the contracts on a double, and each trap of Google Cloud Storage. Real servers: tests/e2e."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.model import Ref
from gotdata.sources.base import Powers
from gotdata.sources.gcs import Gcs
from gotdata.sources.gcs_bucket import Bucket
from gotdata.testing.gcs_double import CloudStorage
from gotdata.testing.hostile_contract import HostileContract
from gotdata.testing.source_contract import BODY, SourceContract, context

SOURCE = Gcs()


def gcs(*, versions: bool) -> Gcs:
    """The source, with the powers that it has in a bucket that does or does not keep generations."""
    source = Gcs()
    source.powers = Powers(versions=versions)
    return source


class Place:
    """As ``source_contract.Place`` and ``hostile_contract.Liar``: a prefix, with a neighbour that must not be seen."""

    def __init__(self, cloud: CloudStorage) -> None:
        self.cloud = cloud
        self.ctx = context()
        cloud.put("data-neighbour/x", b"not this")
        self.ref = self.at("data/")

    def at(self, key: str, **options: str) -> Ref:
        return Ref(Bucket(self.cloud.bucket, self.cloud.root).ref(key).url, tuple(sorted(options.items())))

    def put(self, path: str, body: bytes) -> None:
        self.cloud.put(f"data/{path}", body)

    def remove(self, path: str) -> None:
        self.cloud.remove(f"data/{path}")

    def folder(self, path: str) -> None:
        self.cloud.put(f"data/{path}/", b"")

    def one(self, path: str) -> Ref:
        return self.at(f"data/{path}")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"1")

    def deny(self) -> None:
        self.cloud.denied = True

    def limit(self, times: int) -> None:
        self.cloud.limit = times

    def lie(self, what: str) -> None:
        self.put("f", BODY[:1000])
        walls = ("html", "login", "challenge", "garbage")
        self.cloud.wall, self.cloud.hostile = (what, "") if what in walls else ("", what)

    def asked(self) -> int:
        return len(self.cloud.server.requests)


@pytest.fixture
def cloud() -> Iterator[CloudStorage]:
    with CloudStorage() as cloud:
        yield cloud


@pytest.fixture
def place(cloud: CloudStorage) -> Place:
    return Place(cloud)


class TestGcs(SourceContract):
    source = gcs(versions=False)
    checks = "crc32c"
    lacks = ("cut",)

    @pytest.fixture
    def place(self, cloud: CloudStorage) -> Place:
        return Place(cloud)


class TestGcsWithVersions(SourceContract):
    source = gcs(versions=True)
    checks = "md5"
    lacks = ("cut", "fill")

    @pytest.fixture
    def place(self, cloud: CloudStorage) -> Place:
        cloud.versions = True
        return Place(cloud)


class TestGcsAgainstLies(HostileContract):
    source = SOURCE
    told = "Google Cloud Storage"

    @pytest.fixture
    def liar(self, cloud: CloudStorage) -> Place:
        return Place(cloud)
