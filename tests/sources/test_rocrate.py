from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gotdata.errors import SourceError
from gotdata.model import Checksum, Citation, Ref, RemoteFile
from gotdata.sources.rocrate import RoCrate
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.landing_double import Portal
from gotdata.testing.server import Server
from gotdata.testing.source_contract import Place, SourceContract, context
from tests.sources.documents import Lying, Published, listed, resolved

SOURCE = RoCrate()


class TestRoCrate(SourceContract):
    source = SOURCE
    single = False
    empty_folders = False
    checks = "sha256"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("rocrate") as portal:
            yield Published(portal, "rocrate")


class TestHostileRoCrate(HostileContract):
    source = SOURCE
    lies = ("names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal("rocrate") as portal:
            yield Lying(portal, "rocrate")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal("rocrate") as portal:
        yield portal


def crate(portal: Portal, *entities: dict[str, Any]) -> dict[str, RemoteFile]:
    """The files of a crate with these entities, without its metadata."""
    portal.entries = list(entities)
    found = listed(SOURCE, resolved(SOURCE, portal))
    del found["ro-crate-metadata.json"]
    return found


def test_the_metadata_is_a_file_of_the_crate(portal: Portal) -> None:
    portal.put("a", b"1")
    assert sorted(listed(SOURCE, resolved(SOURCE, portal))) == ["a", "ro-crate-metadata.json"]
    assert list(listed(SOURCE, resolved(SOURCE, portal, descriptor="false"))) == ["a"]


def test_people_and_licences_are_entities_of_their_own(portal: Portal) -> None:
    portal.put("a", b"1")
    assert resolved(SOURCE, portal).citation == Citation(
        "Cells", ("Noether, Emmy",), "10.5072/cells", "https://creativecommons.org/licenses/by/4.0/"
    )


def test_an_id_is_a_uri_and_a_path_is_what_it_decodes_to(portal: Portal) -> None:
    portal.server.put("d/a b/ü.csv", b"1")
    found = crate(portal, {"@id": "a%20b/%C3%BC.csv", "@type": "File"})
    assert list(found) == ["a b/ü.csv"]


def test_a_name_with_spaces_that_is_no_uri_is_read_all_the_same(portal: Portal) -> None:
    portal.server.put("d/a b.csv", b"1")
    assert list(crate(portal, {"@id": "./a b.csv", "@type": ["File", "SoftwareSourceCode"]})) == ["a b.csv"]


def test_web_based_files_have_their_local_path_or_the_name_they_have_there(portal: Portal) -> None:
    with Server() as other:
        first, second = other.put("x/one.csv", b"1"), other.put("two.csv", b"2")
        found = crate(
            portal,
            {"@id": first, "@type": "File", "localPath": "./tables/1.csv"},
            {"@id": second, "@type": "File"},
        )
    assert {path: file.at for path, file in found.items()} == {"tables/1.csv": first, "two.csv": second}


def test_a_content_url_comes_before_the_id(portal: Portal) -> None:
    with Server() as other:
        at = other.put("download/7", b"1")
        found = crate(portal, {"@id": "data/x.csv", "@type": "File", "contentUrl": [at]})
    assert {path: file.at for path, file in found.items()} == {"data/x.csv": at}


def test_folders_people_and_parts_are_no_files(portal: Portal) -> None:
    portal.server.put("d/x", b"1")
    found = crate(
        portal,
        {"@id": "folder/", "@type": "Dataset", "hasPart": [{"@id": "./"}]},
        {"@id": "#one", "@type": "File"},
        {"@id": "_:b1", "@type": "File"},
        {"@id": "x", "@type": "File"},
    )
    assert list(found) == ["x"]


def test_checksums_are_taken_where_they_are_some(portal: Portal) -> None:
    portal.server.put("d/x", b"1")
    [file] = crate(
        portal, {"@id": "x", "@type": "File", "md5": "c4ca4238a0b923820dcc509a6f75849b", "sha256": "tbd"}
    ).values()
    assert file.checks == (Checksum("md5", "c4ca4238a0b923820dcc509a6f75849b"),)


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b'{"@graph": []}',
        b'{"@graph": [{"@id": "./", "@type": "Dataset"}]}',
        b'{"@graph": [{"@id": "ro-crate-metadata.json", "about": {"@id": "./"}}, {"@id": "./", "@type": "Person"}]}',
        b'{"@graph": 7}',
        b"[]",
    ],
)
def test_what_is_no_crate_is_said_to_be_none(portal: Portal, document: bytes) -> None:
    at = portal.server.put("x/ro-crate-metadata.json", document, kind="application/ld+json")
    with pytest.raises(SourceError, match="no RO-Crate"):
        SOURCE.resolve(Ref(at), context())


def test_a_detached_crate_is_known_by_its_descriptor(portal: Portal) -> None:
    portal.server.put("d/x", b"1")
    with Server() as other:
        file = other.put("x", b"1")
        text = (
            '{"@graph": [{"@id": "cells-ro-crate-metadata.json", "about": {"@id": "https://example.org/cells"}},'
            ' {"@id": "https://example.org/cells", "@type": ["Dataset"]}, {"@id": "FILE", "@type": "File"}]}'
        ).replace("FILE", file)
        at = other.put("cells-ro-crate-metadata.json", text.encode(), kind="application/json")
        found = listed_at(at)
    assert sorted(found) == ["cells-ro-crate-metadata.json", "x"]


def listed_at(url: str) -> dict[str, RemoteFile]:
    return listed(SOURCE, SOURCE.resolve(Ref(url), context()))


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://h.example/x/ro-crate-metadata.json", True),
        ("https://h.example/x/cells-ro-crate-metadata.json?v=1", True),
        ("https://h.example/ro-crate-metadata.jsonld", True),
        ("https://h.example/ro-crate-preview.html", False),
        ("rocrate:https://h.example/x", True),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed
