from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gotdata.errors import SourceError, UpstreamChanged
from gotdata.model import Pin, Ref, RemoteFile
from gotdata.resolve import resolve
from gotdata.sources import registry
from gotdata.sources.schemaorg import SchemaOrg, recognise
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.landing_double import Portal
from gotdata.testing.server import Server
from gotdata.testing.source_contract import Place, SourceContract, context
from tests.sources.documents import Lying, Published, listed, resolved

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


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def page(server: Server, *documents: Any, before: str = "") -> Pin:
    """The pin of a page with these documents in it."""
    scripts = "".join(f'<script type="application/ld+json">{json.dumps(one)}</script>' for one in documents)
    at = server.put("page", f"<html>{before}{scripts}</html>".encode(), kind="text/html")
    return SOURCE.resolve(Ref(f"schemaorg:{at}"), context())


def files(server: Server, *documents: Any) -> dict[str, RemoteFile]:
    return listed(SOURCE, page(server, *documents))


def of(*addresses: Any, **more: Any) -> dict[str, Any]:
    return {
        "@type": "Dataset",
        "distribution": [{"@type": "DataDownload", "contentUrl": one, **more} for one in addresses],
    }


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda found: found,
        lambda found: [{"@type": "WebSite"}, found],
        lambda found: {"@context": "https://schema.org", "@graph": [{"@type": "Organization"}, found]},
        lambda found: {"@type": "WebPage", "mainEntity": found},
        lambda found: {**found, "@type": ["Thing", "http://schema.org/Dataset"]},
        lambda found: {**found, "@type": "schema:Dataset"},
    ],
)
def test_a_dataset_is_found_wherever_it_stands(server: Server, wrapped: Any) -> None:
    at = server.put("x.csv", b"1")
    assert list(files(server, {"@type": "BreadcrumbList"}, wrapped(of(at)))) == ["x.csv"]


def test_words_may_have_the_vocabularys_prefix(server: Server) -> None:
    at = server.put("x.csv", b"1")
    download = {"@type": "schema:DataDownload", "schema:contentUrl": {"@id": at}}
    found = files(server, {"@type": "schema:Dataset", "schema:distribution": download})
    assert list(found) == ["x.csv"]


def test_one_distribution_needs_no_list(server: Server) -> None:
    found = of(server.put("x.csv", b"1"))
    assert list(files(server, {**found, "distribution": found["distribution"][0]})) == ["x.csv"]


def test_a_name_is_taken_where_it_looks_like_a_files(server: Server) -> None:
    at = server.put("download/7", b"1")
    assert list(files(server, of(at, name="cells (2020).csv"))) == ["cells (2020).csv"]
    assert list(files(server, of(at, name="Table of all cells: a view"))) == ["7"]
    assert list(files(server, of(at, name="../../x.csv"))) == ["7"]


def test_relative_addresses_begin_at_the_page(server: Server) -> None:
    server.put("deep/x.csv", b"1")
    assert list(files(server, of("/deep/x.csv"))) == ["x.csv"]


def test_a_page_in_croissants_words_is_read_as_that(server: Server) -> None:
    at = server.put("7", b"1")
    node = {"@type": "cr:FileObject", "@id": "code/a.py", "name": "a.py", "contentUrl": at}
    assert list(files(server, {"@type": "sc:Dataset", "distribution": [node]})) == ["code/a.py"]


def test_a_change_of_the_page_is_none_of_the_list(server: Server) -> None:
    at = server.put("x.csv", b"1")
    first = page(server, of(at))
    assert page(server, {**of(at), "interactionCount": 7}, before="seen 2 times").version == first.version
    page(server, of(at, server.put("y.csv", b"2")))
    with pytest.raises(UpstreamChanged):
        listed(SOURCE, first)


def test_a_dataset_without_files_is_none_for_us(server: Server) -> None:
    with pytest.raises(SourceError, match=r"does not say in schema\.org's words which files"):
        page(server, {"@type": "Dataset", "name": "x"}, {"@type": "Person", "contentUrl": "https://h.example/x"})


def test_json_in_place_of_a_page_is_read(server: Server) -> None:
    file = server.put("x.csv", b"1")
    at = server.put("data", json.dumps(of(file)).encode(), kind="application/ld+json")
    assert list(listed(SOURCE, SOURCE.resolve(Ref(f"schemaorg:{at}"), context()))) == ["x.csv"]


def test_a_page_of_any_host_is_recognised_when_it_is_no_file(server: Server, portal: Portal) -> None:
    portal.put("a.csv", b"1")
    pin = resolve(Ref(portal.url), context(), registry.pick)
    assert (pin.source, pin.ref.url) == ("schemaorg", f"schemaorg:{portal.url}")
    assert recognise(server.put("x", b"<html>", kind="text/html"), context()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"<script" * 100_000,
        b'<script type="application/ld+json">' * 20_000,
        b'<script type="application/ld+json">{"a":' * 9,
    ],
    ids=["unclosed", "nested", "broken"],
)
def test_a_hostile_page_costs_no_more_than_its_length(server: Server, body: bytes) -> None:
    assert recognise(server.put("x", body, kind="text/html"), context()) is None


def test_a_node_within_nodes_without_end_is_no_dataset(server: Server) -> None:
    node: dict[str, Any] = of("https://h.example/x")
    for _ in range(200):
        node = {"@type": "Thing", "about": node}
    with pytest.raises(SourceError, match="does not say"):
        page(server, node)


def test_what_is_said_twice_is_told(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    assert list(listed(SOURCE, resolved(SOURCE, portal))) == ["a.csv"]
