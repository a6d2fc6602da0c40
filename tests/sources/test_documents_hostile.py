"""Documents that anybody may write: whatever stands in one, it is parsed, or refused in our own words."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gotdata.errors import GotdataError, SourceError
from gotdata.model import Ref
from gotdata.sources import landing, registry, signposting
from gotdata.sources.described import Described, Document
from gotdata.sources.http_page import Page
from gotdata.testing.landing_double import Format, Portal
from gotdata.testing.source_contract import context

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
FORMATS: tuple[Format, ...] = ("croissant", "datapackage", "rocrate", "schemaorg")


def places(value: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a document."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def replaced(document: Any, at: tuple[Any, ...], by: object) -> Any:
    if not at:
        return by
    changed = copy.deepcopy(document)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = by
    return changed


def published(format: Format) -> dict[str, Any]:
    portal = Portal(format)
    portal.files = {"a/b.csv": b"1", "c": b"2"}
    if format == "croissant":
        inside = {"containedIn": {"@id": "repo"}, "includes": ["*.csv"], "excludes": "x"}
        portal.entries = [
            {"@type": "cr:FileObject", "@id": "repo", "encodingFormat": "git+https", "contentUrl": "https://h/r"},
            {"@type": "cr:FileSet", "@id": "set", **inside},
        ]
    if format == "datapackage":
        portal.entries = [{"path": ["x", "y"], "schema": "s.json", "stats": {"hash": "0a" * 16}, "hashing": "md5"}]
    with portal:
        return portal.document()


@pytest.fixture(scope="module")
def documents() -> Mapping[Format, dict[str, Any]]:
    return {format: published(format) for format in FORMATS}


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_change_to_a_document_is_parsed_or_refused_in_words(
    documents: Mapping[Format, dict[str, Any]], format: Format, data: st.DataObject
) -> None:
    document = documents[format]
    for _ in range(data.draw(st.integers(1, 3))):
        document = replaced(document, data.draw(st.sampled_from(sorted(places(document), key=str))), data.draw(JSON))
    source = registry.source(format)
    assert isinstance(source, Described)
    page = Page("https://h.example/d/document.json", "application/json", json.dumps(document))
    try:
        found = source.parse(page, page.url, context())
    except GotdataError:
        return
    assert isinstance(found, Document)
    assert all(link.url for link in found.links)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('<>;,="\\ relitmns/:x'), max_size=60))
def test_any_header_is_parsed(header: str) -> None:
    for link in signposting.parse(header):
        assert link.href in header


def test_a_document_that_is_too_long_is_refused_before_it_is_parsed() -> None:
    with Portal("croissant") as portal:
        at = portal.server.put("x/croissant.json", b" " * ((64 << 20) + 1), kind="application/json")
        with pytest.raises(SourceError, match=r"croissant.*more than 67108864 bytes"):
            registry.source("croissant").resolve(Ref(at), context())


def test_recognisers_exist_and_the_generic_ones_come_last() -> None:
    assert landing.RECOGNISERS[-2:] == ("signposting", "schemaorg")
    assert set(landing.RECOGNISERS) <= set(registry.OWN)
    assert landing.recognise("https://127.0.0.1:1/none", _Refusing.context()) is None


class _Refusing:
    """An origin that answers nothing but refusals."""

    @staticmethod
    def context() -> Any:
        made = context(retries=0)

        def refuse(*_: object, **__: object) -> None:
            raise SourceError("https://127.0.0.1:1/ refused")

        for name in ("text", "json", "probe"):
            setattr(made.http, name, refuse)
        return made
