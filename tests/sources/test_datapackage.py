from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from gotdata.errors import NotFound, SourceError
from gotdata.model import Checksum, Citation, Ref, RemoteFile
from gotdata.sources.datapackage import DataPackage
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.landing_double import Portal
from gotdata.testing.server import Server
from gotdata.testing.source_contract import Place, SourceContract, context
from tests.sources.documents import Lying, Published, listed, resolved

SOURCE = DataPackage()


class TestDataPackage(SourceContract):
    source = SOURCE
    single = False
    empty_folders = False
    checks = "sha256"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("datapackage") as portal:
            yield Published(portal, "datapackage")


class TestHostileDataPackage(HostileContract):
    source = SOURCE
    lies = ("names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal("datapackage") as portal:
            yield Lying(portal, "datapackage")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal("datapackage") as portal:
        yield portal


def package(portal: Portal, *resources: Any, **options: str) -> dict[str, RemoteFile]:
    """The files of a package with these resources, without the descriptor."""
    portal.entries = list(resources)
    found = listed(SOURCE, resolved(SOURCE, portal, **options))
    found.pop("datapackage.json", None)
    return found


def put(portal: Portal, *paths: str) -> None:
    """Files that are there, and that no resource names yet."""
    for path in paths:
        portal.server.put(f"d/{path}", path.encode())


def test_the_descriptor_is_a_file_of_the_data(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    found = listed(SOURCE, resolved(SOURCE, portal))
    assert sorted(found) == ["a.csv", "datapackage.json"]
    own = found["datapackage.json"]
    pin = resolved(SOURCE, portal)
    assert own.checks == (Checksum("sha256", pin.version["sha256"]),)
    assert own.at == portal.url


def test_the_descriptor_may_be_left_out(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    assert list(listed(SOURCE, resolved(SOURCE, portal, descriptor="false"))) == ["a.csv"]


def test_the_citation_is_read(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    assert resolved(SOURCE, portal).citation == Citation("Cells", ("Noether, Emmy",), "10.5072/cells", "CC-BY-4.0")


MD5, SHA1 = hashlib.md5(b"x", usedforsecurity=False).hexdigest(), hashlib.sha1(b"x", usedforsecurity=False).hexdigest()
SHA256, SHA512 = hashlib.sha256(b"x").hexdigest(), hashlib.sha512(b"x").hexdigest()


@pytest.mark.parametrize(
    ("said", "checks"),
    [
        ({"hash": MD5}, [("md5", MD5)]),
        ({"hash": f"md5:{MD5}"}, [("md5", MD5)]),
        ({"hash": f"sha256:{SHA256}"}, [("sha256", SHA256)]),
        ({"hash": f"SHA-256:{SHA256.upper()}"}, [("sha256", SHA256)]),
        ({"hash": f"sha1:{SHA1}"}, [("sha1", SHA1)]),
        ({"hash": f"sha512:{SHA512}"}, [("sha512", SHA512)]),
        ({"hash": SHA256}, []),
        ({"hash": f"blake2b:{SHA512}"}, []),
        ({"hashing": "sha256", "stats": {"hash": SHA256, "bytes": 1}}, [("sha256", SHA256)]),
        ({"stats": {"hash": MD5}}, [("md5", MD5)]),
        ({"stats": {"md5": MD5, "sha256": SHA256}}, [("md5", MD5), ("sha256", SHA256)]),
        ({}, []),
    ],
    ids=str,
)
def test_hashes_are_md5_unless_they_say_otherwise(
    portal: Portal, said: dict[str, Any], checks: list[tuple[str, str]]
) -> None:
    put(portal, "x")
    [file] = package(portal, {"name": "x", "path": "x", **said}).values()
    assert file.checks == tuple(Checksum(*check) for check in checks)


def test_a_hash_that_is_none_is_an_error(portal: Portal) -> None:
    put(portal, "x")
    with pytest.raises(SourceError, match="the hash 'sha256:later', which is none"):
        package(portal, {"name": "x", "path": "x", "hash": "sha256:later"})


def test_a_list_of_paths_is_that_many_files_without_a_checksum(portal: Portal) -> None:
    put(portal, "part/1.csv", "part/2.csv")
    found = package(portal, {"name": "x", "path": ["part/1.csv", "part/2.csv"], "bytes": 20, "hash": MD5})
    assert sorted(found) == ["part/1.csv", "part/2.csv"]
    assert {file.checks for file in found.values()} == {()}


def test_a_list_of_one_path_is_that_file(portal: Portal) -> None:
    put(portal, "x")
    [file] = package(portal, {"name": "x", "path": ["x"], "hash": MD5}).values()
    assert file.checks == (Checksum("md5", MD5),)


def test_data_in_the_descriptor_has_no_file_of_its_own(portal: Portal) -> None:
    put(portal, "x")
    assert list(package(portal, {"name": "x", "path": "x"}, {"name": "inline", "data": [1, 2]})) == ["x"]


def test_a_path_is_of_a_file_system_and_no_uri(portal: Portal) -> None:
    put(portal, "100%25.csv", "what?.csv", "a #1.csv")
    found = package(portal, *({"name": "x", "path": path} for path in ("100%25.csv", "./what?.csv", "a #1.csv")))
    assert sorted(found) == ["100%25.csv", "a #1.csv", "what?.csv"]


def test_a_url_is_a_file_under_the_name_it_has_there(portal: Portal) -> None:
    with Server() as other:
        at = other.put("deep/x.csv", b"1")
        found = package(portal, {"name": "x", "path": at})
    assert {path: file.at for path, file in found.items()} == {"x.csv": at}


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a//b"])
def test_a_path_that_leads_out_is_refused(portal: Portal, path: str) -> None:
    with pytest.raises(SourceError, match="refused the file"):
        package(portal, {"name": "x", "path": path})


def test_a_schema_beside_the_descriptor_comes_along_once(portal: Portal) -> None:
    put(portal, "x", "y", "schemas/cells.json", "dialect.json")
    found = package(
        portal,
        {"name": "x", "path": "x", "schema": "schemas/cells.json", "dialect": "dialect.json"},
        {"name": "y", "path": "y", "schema": "schemas/cells.json", "dialect": {"delimiter": ";"}},
        {"name": "z", "data": [], "schema": "https://schemas.example.org/cells.json"},
    )
    assert sorted(found) == ["dialect.json", "schemas/cells.json", "x", "y"]


def test_resources_that_are_described_elsewhere_are_an_error(portal: Portal) -> None:
    with pytest.raises(SourceError, match="described elsewhere"):
        package(portal, "resource.json")


def test_what_is_no_package_is_said_to_be_none(portal: Portal) -> None:
    at = portal.server.put("x/datapackage.json", b'{"resources": 7}', kind="application/json")
    with pytest.raises(SourceError, match="no data package"):
        SOURCE.resolve(Ref(at), context())


def test_a_file_that_is_missing_is_named(portal: Portal) -> None:
    with pytest.raises(NotFound, match=r"lists 'gone\.csv' that can't be had"):
        package(portal, {"name": "x", "path": "gone.csv"})


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://h.example/x/datapackage.json", True),
        ("https://h.example/x/DATAPACKAGE.JSON?ref=1", True),
        ("https://h.example/my-datapackage.json", False),
        ("https://h.example/?file=/datapackage.json", False),
        ("datapackage:https://h.example/x", True),
        ("file:///x/datapackage.json", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed
