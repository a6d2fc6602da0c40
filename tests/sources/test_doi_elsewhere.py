"""DOIs of every agency, whose repositories no source knows: what their pages and their agencies tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gotdata.errors import ResolveError, SourceError, SourceUnavailable
from gotdata.model import Pin, Ref
from gotdata.resolve import resolve
from gotdata.sources import registry
from gotdata.sources.doi import Doi
from gotdata.testing.doi_double import Registry, value
from gotdata.testing.landing_double import Format, Portal
from gotdata.testing.source_contract import context

DATACITE = "application/vnd.datacite.datacite+json"
CSL = "application/vnd.citationstyles.csl+json"
LD = "application/ld+json"


@pytest.fixture
def handles() -> Iterator[Registry]:
    with Registry() as handles:
        yield handles


def ref(handles: Registry, doi: str = "10.5072/x", **options: str) -> Ref:
    return Ref(f"doi:{doi}", tuple(sorted({"resolver": handles.root, **options}.items())))


def pinned(handles: Registry, doi: str = "10.5072/x", **options: str) -> Pin:
    return resolve(ref(handles, doi, **options), context(), registry.pick)


def refused(handles: Registry, doi: str = "10.5072/x") -> str:
    with pytest.raises(ResolveError) as caught:
        pinned(handles, doi)
    return str(caught.value)


@pytest.mark.parametrize(
    ("format", "source"), [("signposting", "signposting"), ("linkset", "signposting"), ("schemaorg", "schemaorg")]
)
def test_a_page_that_names_its_files_is_read(handles: Registry, format: Format, source: str) -> None:
    with Portal(format) as portal:
        portal.put("a.csv", b"1,2")
        handles.register("10.5072/x", portal.url)
        pin = pinned(handles)
        assert (pin.source, pin.ref.url, pin.citation.doi) == (source, f"{source}:{portal.url}", "10.5072/cells")
        [file] = registry.source(source).files(pin, context())
        assert (file.path, file.size) == ("a.csv", 3)


def test_typed_links_come_before_what_a_page_tells_search_engines(handles: Registry) -> None:
    with Portal("signposting") as portal:
        portal.put("a.csv", b"1")
        body = (
            b'<script type="application/ld+json">{"@type": "Dataset", "contentUrl": "https://example.org/x"}</script>'
        )
        links = {"Link": f'<{portal.root}/d/a.csv>; rel="item"'}
        portal.server.put("both", body, kind="text/html", headers=links)
        handles.register("10.5072/x", portal.server.at("both"))
        assert pinned(handles).source == "signposting"


def test_what_the_agency_has_of_the_files_is_the_last_way(handles: Registry) -> None:
    with Portal("schemaorg") as portal:
        file = portal.put("x.bin", b"12345")
        portal.server.put("page", b"<html>nothing</html>", kind="text/html")
        said = {"@type": "Dataset", "@id": "https://doi.org/10.5072/x", "name": "Cells", "contentUrl": [file]}
        handles.register("10.5072/x", portal.server.at("page"), records={LD: said})
        pin = pinned(handles)
        assert (pin.ref.url, pin.citation.title) == (f"schemaorg:{handles.root}/10.5072/x", "Cells")
        [found] = registry.source("schemaorg").files(pin, context())
        assert (found.path, found.size, found.at) == ("x.bin", 5, file)


def test_values_count_by_their_index(handles: Registry) -> None:
    with Portal("signposting") as portal:
        portal.put("a", b"1")
        handles.register("10.5072/x", portal.url, "https://example.org/second")
        assert pinned(handles).ref.url == f"signposting:{portal.url}"


def test_places_to_choose_from_are_read_where_there_is_no_url(handles: Registry) -> None:
    with Portal("signposting") as portal:
        portal.put("a", b"1")
        places = (
            '<locations><location id="0" href="https://example.org/c" http_role="conneg" weight="1"/>'
            '<location id="1" href="https://example.org/light" weight="0"/>'
            f'<location id="2" href="{portal.url}" weight="1"/></locations>'
        )
        handles.values["10.5072/x"] = [value(1000, "10320/loc", places), value(100, "HS_ADMIN", "x")]
        assert pinned(handles).ref.url == f"signposting:{portal.url}"


def test_a_doi_that_is_another_name_is_followed(handles: Registry) -> None:
    with Portal("signposting") as portal:
        portal.put("a", b"1")
        handles.register("10.5072/new", portal.url)
        handles.values["10.5072/old"] = [value(1, "HS_ALIAS", "10.5072/NEW")]
        assert pinned(handles, "10.5072/old").ref.url == f"signposting:{portal.url}"


def test_names_that_lead_to_one_another_end(handles: Registry) -> None:
    handles.values["10.5072/x"] = [value(1, "HS_ALIAS", "10.5072/x")]
    assert "without a web address" in refused(handles)
    assert len(handles.server.requests) < 10


def test_a_doi_for_tests_is_said_to_be_one(handles: Registry) -> None:
    assert "10.5072 is for tests" in refused(handles, "10.5072/none")


CROSSREF: dict[str, Any] = {
    "title": ["Counting cells"],
    "relation": {
        "is-supplemented-by": [{"id-type": "doi", "id": "10.5061/DRYAD.8515", "asserted-by": "subject"}],
        "is-review-of": [{"id-type": "doi", "id": "10.1000/other"}],
    },
}
OTHERS: dict[str, Any] = {
    "titles": [{"title": "Counting cells"}],
    "relatedIdentifiers": [
        {"relationType": "IsSupplementedBy", "relatedIdentifierType": "DOI", "relatedIdentifier": "10.5061/dryad.8515"},
        {"relationType": "IsCitedBy", "relatedIdentifierType": "DOI", "relatedIdentifier": "10.1000/other"},
    ],
}


@pytest.mark.parametrize(("agency", "kind", "record"), [("Crossref", CSL, CROSSREF), ("DataCite", DATACITE, OTHERS)])
def test_a_paper_is_told_with_its_title_its_agency_and_its_data(
    handles: Registry, agency: str, kind: str, record: dict[str, Any]
) -> None:
    with Portal("signposting") as portal:
        page = portal.server.put("paper", b"<html>a paper</html>", kind="text/html")
        handles.register("10.5072/x", page, agency=agency, records={kind: record})
        said = refused(handles)
        assert f"doi:10.5072/x (“Counting cells”, {agency}) leads to {page}, a page that names no files" in said
        assert "its data may be doi:10.5061/dryad.8515: name one of these instead" in said
        assert "10.1000/other" not in said


def test_a_page_that_keeps_programs_out_is_told_as_that(handles: Registry) -> None:
    with Portal("signposting") as portal:
        page = portal.server.put("paper", b"", always=403)
        handles.register("10.5072/x", page)
        said = refused(handles)
        assert f"leads to {page}, which can't be read" in said
        assert "403" in said


def test_an_agency_that_says_nothing_does_not_hide_the_page(handles: Registry) -> None:
    with Portal("signposting") as portal:
        page = portal.server.put("paper", b"<html>", kind="text/html")
        handles.register("10.5072/x", page)
        del handles.agencies["10.5072/x"]
        assert f"doi:10.5072/x leads to {page}, a page that names no files" in refused(handles)


def test_a_repository_that_is_down_is_no_reason_to_refuse_the_doi(handles: Registry) -> None:
    with Portal("signposting") as portal:
        handles.register("10.5072/x", portal.server.put("page", b"", always=503))
        with pytest.raises(SourceUnavailable):
            pinned(handles)


@pytest.mark.parametrize("wall", ["html", "login", "challenge", "garbage"])
def test_a_wall_before_the_resolver_is_told(handles: Registry, wall: str) -> None:
    handles.wall = wall
    with pytest.raises(SourceError, match=r"doi.*127\.0\.0\.1"):
        Doi().resolve(ref(handles), context())


def test_a_rate_limit_of_the_resolver_is_waited_for(handles: Registry) -> None:
    with Portal("signposting") as portal:
        portal.put("a", b"1")
        handles.register("10.5072/x", portal.url)
        handles.limit = 2
        assert pinned(handles).source == "signposting"


def test_options_of_a_recogniser_and_of_the_manifest_are_joined(handles: Registry) -> None:
    with Portal("signposting") as portal:
        portal.put("a", b"1")
        handles.register("10.5072/x", portal.url)
        assert Doi().resolve(ref(handles, absent="skip"), context()).options == (("absent", "skip"),)
