"""Google's own client accepts the double of Cloud Storage, unmodified: it is told the address by its setting
``api_endpoint``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gotdata.testing.gcs_double import CloudStorage
from gotdata.testing.source_contract import BODY

CLIENT = ("gcs", "google-cloud-storage")

storage = pytest.importorskip("google.cloud.storage", reason="pip install google-cloud-storage")
credentials = pytest.importorskip("google.auth.credentials")
exceptions = pytest.importorskip("google.api_core.exceptions")


@pytest.fixture
def cloud() -> Iterator[CloudStorage]:
    with CloudStorage() as cloud:
        yield cloud


def bucket(cloud: CloudStorage, **how: Any) -> Any:
    options = {"api_endpoint": cloud.root}
    client = storage.Client(project="lab", credentials=credentials.AnonymousCredentials(), client_options=options)
    return client.bucket(cloud.bucket, **how)


def test_it_lists_page_by_page(cloud: CloudStorage) -> None:
    cloud.page = 3
    for number in range(10):
        cloud.put(f"data/{number} ü", BODY[:number])
    cloud.put("other", b"")
    listed = {blob.name: blob.size for blob in bucket(cloud).list_blobs(prefix="data/")}
    assert listed == {f"data/{number} ü": number for number in range(10)}


def test_it_reads_whole_and_in_part_and_checks_what_it_read(cloud: CloudStorage) -> None:
    cloud.put("a/b c", BODY)
    blob = bucket(cloud).get_blob("a/b c")
    assert blob.download_as_bytes(checksum="crc32c") == BODY
    assert blob.download_as_bytes(checksum="md5") == BODY
    assert blob.download_as_bytes(start=10, end=19) == BODY[10:20]


def test_it_reads_an_older_generation(cloud: CloudStorage) -> None:
    cloud.versions = True
    older = cloud.put("f", b"first")
    cloud.put("f", b"second")
    assert bucket(cloud).blob("f", generation=int(older)).download_as_bytes() == b"first"
    assert bucket(cloud).blob("f").download_as_bytes() == b"second"


def test_it_knows_the_refusals(cloud: CloudStorage) -> None:
    with pytest.raises(exceptions.NotFound):
        bucket(cloud).blob("missing").download_as_bytes()
    cloud.lists = False
    with pytest.raises(exceptions.Forbidden):
        list(bucket(cloud).list_blobs())


def test_it_pays_where_it_has_to(cloud: CloudStorage) -> None:
    cloud.put("f", b"1")
    cloud.payer = "my-project"
    with pytest.raises(exceptions.BadRequest):
        bucket(cloud).blob("f").download_as_bytes()
    assert bucket(cloud, user_project="my-project").blob("f").download_as_bytes() == b"1"
