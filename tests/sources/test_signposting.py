from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.errors import AuthRequired, NotFound, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Ref
from gotdata.resolve import resolve
from gotdata.sources import registry
from gotdata.sources.signposting import Signposting, Typed, parse, recognise
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.landing_double import Portal
from gotdata.testing.server import Server
from gotdata.testing.source_contract import Place, SourceContract, context
from tests.sources.documents import Lying, Published, listed, resolved

SOURCE = Signposting()


class TestSignposting(SourceContract):
    source = SOURCE
    single = False
    empty_folders = False
    folders = False

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("linkset") as portal:
            yield Published(portal, "signposting")


class TestHostileSignposting(HostileContract):
    source = SOURCE
    lies = ("twins",)

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal("linkset") as portal:
            yield Lying(portal, "signposting")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal("linkset") as portal:
        yield portal


@pytest.mark.parametrize(
    ("header", "links"),
    [
        ('<https://h/a>; rel="item"', [Typed("https://h/a", ("item",))]),
        (
            "<https://h/a>;rel=item,<https://h/b>; REL=Item",
            [Typed("https://h/a", ("item",)), Typed("https://h/b", ("item",))],
        ),
        ('<https://h/a,b;c>; rel="item"; type="text/CSV"', [Typed("https://h/a,b;c", ("item",), "text/csv")]),
        ('<../x>; rel="Item  describedby"', [Typed("../x", ("item", "describedby"))]),
        ('<a>; title="x, y; rel=no \\" <b>"; rel=item', [Typed("a", ("item",))]),
        ("<a>; rel=item; rel=next", [Typed("a", ("item",))]),
        ('< a >; anchor="#x"; rel=item; crossorigin', [Typed("a", ("item",), "", "#x")]),
        ("<a>", [Typed("a", ())]),
        ("", []),
        ("nonsense; rel=item", []),
        ("<unfinished; rel=item", []),
    ],
)
def test_headers_are_parsed(header: str, links: list[Typed]) -> None:
    assert parse(header) == links


@pytest.mark.parametrize("text", ["<" * 200_000, "<a>;" * 50_000, "<a>; x=" + '"' * 100_000, "<a>" + " " * 100_000])
def test_a_hostile_header_costs_no_more_than_its_length(text: str) -> None:
    assert all(isinstance(link, Typed) for link in parse(text))


def test_a_header_names_the_files(portal: Portal) -> None:
    with Portal("signposting") as level_1:
        level_1.put("a.csv", b"1")
        pin = resolved(SOURCE, level_1)
        assert list(listed(SOURCE, pin)) == ["a.csv"]
        assert pin.citation.doi == "10.5072/cells"


def test_a_linkset_has_more_than_the_header(portal: Portal) -> None:
    for number in range(9):
        portal.put(f"{number}.csv", b"1")
    assert len(listed(SOURCE, resolved(SOURCE, portal))) == 9


def test_a_linkset_may_be_text(portal: Portal) -> None:
    at = portal.put("a.csv", b"1")
    text = f'<{at}>\n ; rel="item"\n ; anchor="{portal.url}",\n <x>; rel=author'.encode()
    portal.server.put("sets", text, kind="application/linkset")
    links = {"Link": '<sets>; rel="linkset"; type="application/linkset"'}
    page = portal.server.put("page", b"<html>", kind="text/html", headers=links)
    assert list(listed(SOURCE, SOURCE.resolve(Ref(f"signposting:{page}"), context()))) == ["a.csv"]


def test_of_an_item_that_has_items_these_are_the_files(portal: Portal) -> None:
    at = portal.put("a.csv", b"1")
    header = f'</part>; rel="item", <{at}>; rel="item"; anchor="/part"'
    page = portal.server.put("page", b"<html>", kind="text/html", headers={"Link": header})
    assert list(listed(SOURCE, SOURCE.resolve(Ref(f"signposting:{page}"), context()))) == ["a.csv"]


def test_relative_links_begin_where_the_page_is_in_the_end(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    page = portal.server.put("d/real", b"<html>", kind="text/html", headers={"Link": "<a.csv>; rel=item"})
    portal.server.put("old/page", redirect=page)
    pin = SOURCE.resolve(Ref(f"signposting:{portal.root}/old/page"), context())
    assert list(listed(SOURCE, pin)) == ["a.csv"]


def test_what_the_page_says_to_people_is_no_part_of_the_pin(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    first = resolved(SOURCE, portal)
    assert portal.server.requests
    assert resolved(SOURCE, portal) == first
    portal.put("b.csv", b"2")
    with pytest.raises(UpstreamChanged):
        listed(SOURCE, first)


def test_links_may_stand_in_the_page(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    body = b"""<html><head><LINK href='/d/a.csv' rel="Item" type=text/csv /><link rel=stylesheet href=/x.css>
        <link rel="cite-as" href="https://doi.org/10.5072/cells"></head>"""
    page = portal.server.put("page", body, kind="text/html")
    pin = SOURCE.resolve(Ref(f"signposting:{page}"), context())
    assert pin.citation.doi == "10.5072/cells"
    assert list(listed(SOURCE, pin)) == ["a.csv"]


@pytest.mark.parametrize("body", [b"<link " * 100_000, b"<link a=" + b"'" * 100_000, b"<link" + b" a" * 100_000])
def test_a_hostile_page_costs_no_more_than_its_length(portal: Portal, body: bytes) -> None:
    assert recognise(portal.server.put("page", body, kind="text/html"), context()) is None


def test_a_linkset_that_is_none_is_an_error(portal: Portal) -> None:
    portal.server.put("sets", b'{"linkset": 7}', kind="application/linkset+json")
    page = portal.server.put("page", b"<html>", kind="text/html", headers={"Link": "</sets>; rel=linkset"})
    with pytest.raises(SourceError, match=r"signposting.*no linkset"):
        SOURCE.resolve(Ref(f"signposting:{page}"), context())


def test_a_linkset_elsewhere_is_asked_without_a_key(portal: Portal) -> None:
    from tests.sources.test_elsewhere import holding

    with Server() as lab:
        links = {"Link": f"<{lab.at('sets')}>; rel=linkset"}
        page = portal.server.put("page", b"<html>", kind="text/html", headers=links)
        with pytest.raises(AuthRequired):
            SOURCE.resolve(Ref(f"signposting:{page}"), holding(lab.url))
        assert not lab.requests


def test_a_page_at_any_host_is_recognised_when_it_is_no_file(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    pin = resolve(Ref(portal.url), context(), registry.pick)
    assert (pin.source, pin.ref.url) == ("signposting", f"signposting:{portal.url}")


def test_a_page_without_items_is_not_recognised(portal: Portal) -> None:
    page = portal.server.put("page", b"<html>", kind="text/html", headers={"Link": "<x>; rel=author"})
    assert recognise(page, context()) is None
    with pytest.raises(ResolveError, match="names no files"):
        SOURCE.resolve(Ref(f"signposting:{page}"), context())


def test_an_item_that_is_a_page_is_an_error_that_names_it(portal: Portal) -> None:
    item = portal.server.put("item", b"<html>", kind="text/html")
    page = portal.server.put("page", b"<html>", kind="text/html", headers={"Link": f"<{item}>; rel=item"})
    pin = SOURCE.resolve(Ref(f"signposting:{page}"), context())
    with pytest.raises(SourceError, match=f"{item} answered a web page"):
        listed(SOURCE, pin)


def test_a_page_that_is_gone_is_told(portal: Portal) -> None:
    portal.put("a.csv", b"1")
    pin = resolved(SOURCE, portal)
    portal.remove("a.csv")
    with pytest.raises(NotFound):
        listed(SOURCE, pin)
