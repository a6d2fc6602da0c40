"""pelicanfs reads our federation. Its discovery speaks https only, so it is told the director's address instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.testing.osdf_double import NAMESPACE, Federation
from gotdata.testing.source_contract import BODY

CLIENT = ("osdf", "pelicanfs")

pelicanfs = pytest.importorskip("pelicanfs.core", reason="pelicanfs is not installed")


@pytest.fixture
def federation() -> Iterator[Federation]:
    with Federation() as federation:
        federation.origin.put(f"{NAMESPACE}/data/big.bin".strip("/"), BODY)
        federation.origin.put(f"{NAMESPACE}/data/deep/empty".strip("/"), b"")
        yield federation


@pytest.fixture
def client(federation: Federation) -> object:
    made = pelicanfs.PelicanFileSystem("pelican://federation.example", skip_instance_cache=True)
    made.director_url = f"{federation.root}/"
    return made


def test_it_reads_by_a_cache(client: object, federation: Federation) -> None:
    path = f"{NAMESPACE}/data/big.bin"
    assert client.cat_file(path) == BODY
    assert client.cat_file(path, start=5, end=50) == BODY[5:50]
    assert federation.store.requests


def test_it_lists_by_the_collections_address(client: object) -> None:
    found = {entry["name"].rstrip("/").rpartition("/")[2]: entry for entry in client.ls(f"{NAMESPACE}/data")}
    assert {name: entry["type"] for name, entry in found.items()} == {"big.bin": "file", "deep": "directory"}
    assert found["big.bin"]["size"] == len(BODY)
