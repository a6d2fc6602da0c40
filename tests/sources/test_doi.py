from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.errors import ResolveError, SourceError
from gotdata.model import Pin, Ref, Span
from gotdata.resolve import resolve
from gotdata.sources import registry
from gotdata.sources.doi import Doi, normal
from gotdata.testing.invenio_double import Repository
from gotdata.testing.server import Reply
from gotdata.testing.source_contract import BODY, context

SOURCE = Doi()


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as repository:
        yield repository


def ref(repository: Repository, doi: str, **options: str) -> Ref:
    return Ref(doi, tuple(sorted({"resolver": repository.root, **options}.items())))


@pytest.mark.parametrize(
    "text",
    [
        "doi:10.5281/zenodo.123",
        "DOI:10.5281/ZENODO.123",
        "doi: 10.5281/zenodo.123",
        "https://doi.org/10.5281/zenodo.123",
        "http://dx.doi.org/10.5281/Zenodo.123",
        "https://www.doi.org/10.5281/zenodo.123?nosfx=y",
        "10.5281/zenodo.123",
        "doi:10.5281%2Fzenodo.123",
    ],
)
def test_one_doi_has_many_spellings(text: str) -> None:
    assert SOURCE.claims(Ref(text))
    assert registry.pick(Ref(text)).name == "doi"
    assert normal(text) == "10.5281/zenodo.123"


@pytest.mark.parametrize(
    "text", ["doi:", "doi:10.5281", "doi:11.1/x", "doi:10.5281/", "doi:10.5281/a%0ab", "doi:10.1/x y"]
)
def test_what_is_no_doi_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ResolveError, match="is no DOI"):
        SOURCE.resolve(Ref(text), context())


@pytest.mark.parametrize("url", ["https://doi.org/", "https://doi.org.evil/10.5281/x", "https://example.org/10.5281/x"])
def test_other_pages_are_not_claimed(url: str) -> None:
    assert not SOURCE.claims(Ref(url))


def test_a_doi_leads_to_the_bytes(repository: Repository) -> None:
    id = repository.publish({"f": BODY})
    ctx = context()
    pin = resolve(ref(repository, f"doi:{repository.doi(id).upper()}"), ctx, registry.pick)
    assert (pin.source, pin.version) == ("invenio", {"record": id})
    source = registry.source(pin.source)
    [file] = source.files(pin, ctx)
    with source.read(pin, file, Span(0, 10), ctx) as stream:
        assert stream.readall() == BODY[:10]


def test_a_concept_doi_is_pinned_to_a_version(repository: Repository) -> None:
    first = repository.publish({"f": b"1"})
    second = repository.publish({"f": b"2"}, after=first)
    found = ref(repository, f"doi:{repository.doi(repository.concept(first))}")
    assert resolve(found, context(), registry.pick).version == {"record": second}


def test_options_go_on_to_the_repository(repository: Repository) -> None:
    first = repository.publish({"f": b"1"}, version="1.10")
    second = repository.publish({"f": b"2"}, version="2", after=first)
    found = SOURCE.resolve(ref(repository, repository.doi(second), version="1.10"), context())
    assert found.options == (("version", "1.10"),)
    assert resolve(found, context(), registry.pick).version == {"record": first}


def test_an_unknown_doi_is_said_to_be_unknown(repository: Repository) -> None:
    with pytest.raises(ResolveError, match=r"no DOI 10\.5072/zenodo\.77: check its spelling"):
        SOURCE.resolve(ref(repository, "doi:10.5072/zenodo.77"), context())


def test_a_repository_that_cannot_be_read_is_named(repository: Repository) -> None:
    repository.server.put("record/9", b"<html>", kind="text/html")
    value = {"format": "string", "value": f"{repository.root}/pages/9"}
    body = {"responseCode": 1, "values": [{"index": 1, "type": "URL", "data": value}]}
    repository.server.otherwise = lambda request: reply(body)
    with pytest.raises(ResolveError, match=r"leads to http://127.*/9, a page that names no files"):
        SOURCE.resolve(ref(repository, "doi:10.5072/x"), context())


@pytest.mark.parametrize(
    "values",
    [
        [],
        [{"index": 1, "type": "HS_ADMIN", "data": {"value": "x"}}],
        [{"index": 1, "type": "URL", "data": {"value": "file:///etc/passwd"}}],
        [{"index": "one", "type": "URL", "data": {"value": "https://x"}}],
        "nonsense",
    ],
)
def test_a_doi_without_a_web_address_is_an_error(repository: Repository, values: object) -> None:
    repository.server.otherwise = lambda request: reply({"responseCode": 1, "values": values})
    with pytest.raises(ResolveError, match="without a web address"):
        SOURCE.resolve(ref(repository, "doi:10.5072/x"), context())


def test_odd_characters_are_escaped_and_slashes_kept(repository: Repository) -> None:
    with pytest.raises(ResolveError):
        SOURCE.resolve(ref(repository, "doi:10.5072/a(b)<c>#d/e?f"), context())
    assert repository.server.requests[-1].path == "/api/handles/10.5072/a%28b%29%3Cc%3E%23d/e%3Ff?type=URL"


def test_a_resolver_elsewhere_must_be_https() -> None:
    with pytest.raises(ResolveError, match="must be https"):
        SOURCE.resolve(Ref("doi:10.5072/x", (("resolver", "http://handles.example.org"),)), context())


def test_a_forged_pin_is_refused() -> None:
    with pytest.raises(SourceError, match="lock was edited"):
        SOURCE.realm(Pin("doi", Ref("doi:10.1/x"), "doi:10.1/x"), context())


def reply(value: object) -> Reply:
    import json

    return Reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())
