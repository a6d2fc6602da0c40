from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AuthRequired, IntegrityError, ResolveError, SourceError
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.sources.osdf import Osdf
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.osdf_double import NAMESPACE, Federation
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = Osdf()


class Folder:
    """A folder of a namespace."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.above = f"{NAMESPACE}/data".strip("/")
        federation.origin.folder(self.above)
        self.ref = Ref(f"osdf:{federation.root}{NAMESPACE}/data")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.federation.origin.put(f"{self.above}/{path}", body)

    def remove(self, path: str) -> None:
        del self.federation.origin.files[f"{self.above}/{path}"]

    def folder(self, path: str) -> None:
        self.federation.origin.folder(f"{self.above}/{path}")

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/{path.replace(' ', '%20')}")

    def fill(self, count: int) -> None:
        self.folder("many")
        self.federation.origin.files |= {f"{self.above}/many/{number}": b"" for number in range(count)}

    def deny(self) -> None:
        self.federation.closed = True

    def limit(self, times: int) -> None:
        self.federation.limit = times

    def cut(self, path: str, after: int) -> None:
        self.federation.breaks.append(after)

    def lie(self, what: str) -> None:
        if what in ("html", "login", "challenge", "garbage"):
            self.federation.wall = what
        else:
            self.federation.origin.hostile = what

    def asked(self) -> int:
        return len(self.federation.server.requests) + len(self.federation.origin.server.requests)


@pytest.fixture
def federation() -> Iterator[Federation]:
    with Federation() as federation:
        yield federation


class TestOsdf(SourceContract):
    source = SOURCE

    @pytest.fixture
    def place(self, federation: Federation) -> Place:
        return Folder(federation)


class TestLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self, federation: Federation) -> Liar:
        place = Folder(federation)
        place.put("a/f", BODY)
        return place


def resolved(url: str, ctx: Context | None = None) -> Pin:
    return SOURCE.resolve(Ref(url), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "home"),
    [
        ("osdf:///ospool/uc-shared/public/x", "https://osg-htc.org/ospool/uc-shared/public/"),
        ("osdf:/ospool/uc-shared/public/x", "https://osg-htc.org/ospool/uc-shared/public/"),
        ("stash:///ospool/uc-shared/public/x", "https://osg-htc.org/ospool/uc-shared/public/"),
        ("pelican://osg-htc.org/ospool/uc-shared/public/x?recursive", "https://osg-htc.org/ospool/uc-shared/public/"),
        ("pelican://Federation.Example/a/x", "https://federation.example/a/"),
    ],
)
def test_a_reference_means_a_path_of_a_federation(url: str, home: str) -> None:
    assert SOURCE.claims(Ref(url))
    assert SOURCE.homes(Pin("osdf", Ref(url), "", {"type": "file"})) == (home,)


def test_other_references_are_not_claimed() -> None:
    assert not SOURCE.claims(Ref("https://osg-htc.org/ospool/x"))


def test_reads_go_by_the_director_to_a_cache(federation: Federation) -> None:
    place = Folder(federation)
    place.put("f", BODY)
    pin = resolved(place.ref.url)
    with SOURCE.read(pin, listed(pin)["f"], Span(5, 50), context()) as stream:
        assert stream.readall() == BODY[5:50]
    assert [request.headers["range"] for request in federation.store.requests][-1] == "bytes=5-49"
    assert {request.method for request in federation.store.requests} == {"GET"}


def test_a_cache_that_is_ill_is_passed_by(federation: Federation) -> None:
    place = Folder(federation)
    place.put("f", BODY)
    pin = resolved(place.ref.url)
    file = listed(pin)["f"]
    federation.ill = 1000
    assert content(pin, file) == BODY


def test_the_file_is_known_by_the_federation_and_not_by_a_cache(federation: Federation) -> None:
    place = Folder(federation)
    place.put("f", BODY)
    pin = resolved(place.ref.url)
    assert SOURCE.url(pin, listed(pin)["f"]) == f"{federation.root}{NAMESPACE}/data/f"


def test_a_namespace_that_is_not_listed_gives_single_files(federation: Federation) -> None:
    federation.listed = False
    place = Folder(federation)
    place.put("f", BODY)
    pin = resolved(f"{place.ref.url}/f")
    assert content(pin, listed(pin)["f"]) == BODY


def test_a_namespace_with_tokens_says_where_one_would_count(federation: Federation) -> None:
    place = Folder(federation)
    place.put("f", BODY)
    federation.closed = True
    with pytest.raises(AuthRequired, match=r"token of /lab/cells.*name webdav:http\S+/lab/cells/data, after `gotdata"):
        resolved(place.ref.url)


def test_no_key_of_mine_goes_to_whom_a_director_names(federation: Federation) -> None:
    place = Folder(federation)
    place.put("f", BODY)
    key = (("Authorization", "Bearer mine"),)
    sites = (federation.root, federation.store.url, federation.origin.root)
    ctx = context(Credentials([Credential(f"{site.rstrip('/')}/", f"cred:{site}", key) for site in sites]))
    pin = resolved(place.ref.url, ctx)
    assert content(pin, listed(pin, ctx)["f"], ctx) == BODY
    assert SOURCE.realm(pin, ctx) == PUBLIC
    asked = [*federation.server.requests, *federation.store.requests, *federation.origin.server.requests]
    assert not any("authorization" in request.headers for request in asked)


def test_a_host_without_a_federation_is_said_to_be_none(federation: Federation) -> None:
    federation.server.put(".well-known/pelican-configuration", b"{}", kind="application/json")
    with pytest.raises(SourceError, match="no federation there"):
        resolved(f"osdf:{federation.root}/lab/x")


def test_a_director_without_encryption_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context()
    monkeypatch.setattr(type(ctx.http), "json", lambda *_, **__: {"director_endpoint": "http://evil.example"})
    with pytest.raises(SourceError, match="names no director"):
        resolved("osdf:///lab/x", ctx)


@pytest.mark.parametrize("url", ["osdf:///", "pelican://host", "osdf:///a/../b", "pelican:///a"])
def test_what_names_no_path_is_refused(url: str) -> None:
    with pytest.raises(ResolveError):
        resolved(url)


@pytest.mark.parametrize(
    "at", ["https://osg-htc.org/other/f", "https://osg-htc.org/a/../b", "https://evil.example/a/f"]
)
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("osdf", Ref("osdf:https://osg-htc.org/a/"), "x", {"type": "folder"})
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 1, at=at))
