"""Azure's own client accepts the double of Blob Storage, unmodified: it is told the address as the account's URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gotdata.testing.azure_double import BlobStorage
from gotdata.testing.source_contract import BODY

CLIENT = ("azure", "azure-storage-blob")

blobs = pytest.importorskip("azure.storage.blob", reason="pip install azure-storage-blob")
exceptions = pytest.importorskip("azure.core.exceptions", reason="pip install azure-storage-blob")


@pytest.fixture
def storage() -> Iterator[BlobStorage]:
    with BlobStorage() as storage:
        yield storage


def container(storage: BlobStorage) -> Any:
    account = blobs.BlobServiceClient(f"{storage.root}/{storage.account}", retry_total=0)
    return account.get_container_client(storage.container)


def test_it_lists_page_by_page(storage: BlobStorage) -> None:
    storage.page = 3
    for number in range(10):
        storage.put(f"data/{number} ü", BODY[:number])
    storage.put("data/bell\x07", b"")
    storage.put("other", b"")
    listed = {blob.name: blob.size for blob in container(storage).list_blobs(name_starts_with="data/")}
    assert listed == {f"data/{number} ü": number for number in range(10)} | {"data/bell\x07": 0}


def test_it_lists_markers_versions_and_tiers(storage: BlobStorage) -> None:
    storage.versions = True
    storage.put("folder", b"", marker=True)
    version = storage.put("cold", b"1", archived=True)
    listed = {blob.name: blob for blob in container(storage).list_blobs(include=["metadata"])}
    assert listed["folder"].metadata == {"hdi_isfolder": "true"}
    assert listed["cold"].blob_tier == "Archive"
    assert listed["cold"].version_id == version


def test_it_reads_whole_and_in_part(storage: BlobStorage) -> None:
    storage.put("a/b c", BODY)
    blob = container(storage).get_blob_client("a/b c")
    assert blob.download_blob(validate_content=True).readall() == BODY
    assert blob.download_blob(offset=10, length=10).readall() == BODY[10:20]


def test_it_reads_an_older_version_and_a_snapshot(storage: BlobStorage) -> None:
    storage.versions = True
    older = storage.put("f", b"first")
    taken = storage.snapshot("f")
    storage.put("f", b"second")
    blob = container(storage).get_blob_client("f")
    assert blob.download_blob(version_id=older).readall() == b"first"
    assert blob.download_blob().readall() == b"second"
    assert container(storage).get_blob_client("f", snapshot=taken).download_blob().readall() == b"first"


def test_it_knows_the_refusals(storage: BlobStorage) -> None:
    with pytest.raises(exceptions.ResourceNotFoundError) as caught:
        container(storage).get_blob_client("missing").download_blob()
    assert caught.value.error_code == "BlobNotFound"
    storage.put("cold", b"1", archived=True)
    with pytest.raises(exceptions.HttpResponseError) as caught:
        container(storage).get_blob_client("cold").download_blob()
    assert caught.value.error_code == "BlobArchived"
