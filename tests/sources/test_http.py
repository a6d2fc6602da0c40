from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AccessDenied, ResolveError, SourceError
from gotdata.model import Ref, RemoteFile, Span
from gotdata.sources.http import Http, ahead, canonical
from gotdata.testing.double import WALLS
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.server import Reply, Request, Server
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context, follow

SOURCE = Http()


class Served:
    """A folder of the server with faults."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ref = Ref(server.at("data/"))
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.server.put(f"data/{path}", body)

    def remove(self, path: str) -> None:
        self.server.remove(f"data/{path}")

    def folder(self, path: str) -> None:
        self.server.put(f"data/{path}/")

    def one(self, path: str) -> Ref:
        return Ref(self.server.at(f"data/{path}"))

    def fill(self, count: int) -> None:
        for number in range(count):
            self.server.put(f"data/many/{number}", b"x")

    def deny(self) -> None:
        self.server.otherwise = lambda request: Reply(401, {"WWW-Authenticate": "Basic"}, b"")

    def limit(self, times: int) -> None:
        left = [Reply(429, {"Retry-After": "1"}, b"")] * times
        self.server.otherwise = lambda request: left.pop() if left else None

    def cut(self, path: str, after: int) -> None:
        self.server.change(f"data/{path}", cut=after, cuts=1)


class TestHttp(SourceContract):
    source = SOURCE
    odd_names = (*ODD_NAMES, "line\nbreak", "not-utf8-\udcff")

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Server() as server:
            yield Served(server)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def listed(url: str, ctx: Context | None = None) -> list[RemoteFile]:
    ctx = ctx or context()
    return list(SOURCE.files(follow(Ref(url), ctx)[1], ctx))


class TestHttpByJson(SourceContract):
    """nginx with ``autoindex_format json``, whose times are all that it tells of a version."""

    source = SOURCE

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        class Dated(Served):
            def put(self, path: str, body: bytes) -> None:
                self.count = getattr(self, "count", 0) + 1
                self.server.put(f"data/{path}", body, etag="", modified=f"Sun, 06 Nov 1994 08:49:{self.count:02} GMT")

        with Server(index="json") as server:
            yield Dated(server)


class Index:
    """A folder's index in JSON that lies."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ref = Ref(server.at("d/"))
        self.ctx = context()
        self.entries: list[dict[str, object]] = [entry("f")]
        self.instead: Reply | None = None
        server.put("d/f", BODY)
        server.otherwise = self.answer

    def answer(self, request: Request) -> Reply:
        return self.instead or Reply(200, {"Content-Type": "application/json"}, json.dumps(self.entries).encode())

    def lie(self, what: str) -> None:
        match what:
            case "loop":
                self.entries.append({"name": "d", "type": "directory"})
            case "sizes":
                self.entries = [entry("f", len(BODY) + 1)]
            case "names":
                self.entries.append(entry("../../etc/passwd"))
            case "twins":
                self.entries.append(entry("f"))
            case wall:
                self.instead = WALLS[wall]

    def asked(self) -> int:
        return len(self.server.requests)


def entry(name: str, size: int = len(BODY)) -> dict[str, object]:
    return {"name": name, "type": "file", "size": size, "mtime": "Sun, 06 Nov 1994 08:49:37 GMT"}


class TestLyingIndex(HostileContract):
    source = SOURCE
    told = "127.0.0.1"
    lies = ("loop", "sizes", "names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Server(index="") as server:
            yield Index(server)


def test_sizes_that_an_index_tells_exactly_are_not_asked_for() -> None:
    with Server(index="json") as server:
        for number in range(20):
            server.put(f"d/{number}", b"12345")
        assert {file.size for file in listed(server.at("d/"))} == {5}
        assert len(server.requests) == 2, "resolving asks once, listing once"


def test_a_folder_without_its_slash_is_found(server: Server) -> None:
    server.put("d/x", b"1")
    _, pin = follow(Ref(server.at("d")), context())
    assert pin.ref.url == server.at("d/")


def test_an_index_that_does_not_redirect_to_its_slash_is_found(server: Server) -> None:
    server.put("e/x", b"1")
    page = Reply(200, {"Content-Type": "text/html"}, b'<title>Index of /e</title><a href="e/x">x</a>')
    server.otherwise = lambda request: page if request.path == "/e" else None
    assert [file.path for file in listed(server.at("e"))] == ["x"]


def test_a_page_where_a_file_was_due_is_an_error_that_says_so(server: Server) -> None:
    url = server.put("cells.h5", b"", login=True)
    with pytest.raises(SourceError, match=r"/cells\.h5 answered a web page \(text/html\) where a file was due"):
        listed(url)


def test_a_page_that_is_wanted_is_a_file(server: Server) -> None:
    assert [file.path for file in listed(server.put("report.html", b"<html>", kind="text/html"))] == ["report.html"]


def test_a_page_among_the_files_of_a_folder_is_an_error(server: Server) -> None:
    server.put("d/a.csv", b"1")
    server.put("d/b.csv", b"1", login=True)
    server.put("d/index-of-all.html", b"<html>", kind="text/html")
    with pytest.raises(SourceError, match=r"/d/b\.csv answered a web page"):
        listed(server.at("d/"))


def test_a_file_of_unknown_size_is_counted_and_hashed_once(server: Server) -> None:
    [file] = listed(server.put("f", b"test", length="none", ranges=False))
    assert file.size == 4
    assert [str(check) for check in file.checks] == [
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    ]


def test_a_long_file_of_unknown_size_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotdata.sources.http.COUNTED", 1000)
    with pytest.raises(SourceError, match="publish it with a Content-Length"):
        listed(server.put("f", bytes(2_000_000), length="none", ranges=False))


@pytest.mark.parametrize(
    ("path", "said", "name"),
    [
        ("a.csv", "attachment; filename=b.csv", "a.csv"),
        ("download", "attachment; filename=b.csv", "b.csv"),
        ("download", "attachment; filename=../../b.csv", "b.csv"),
        ("download", "attachment; filename=..", "download"),
        ("download", "", "download"),
        ("gr%C3%BCn.csv", "", "grün.csv"),
    ],
)
def test_the_url_names_a_file_and_content_disposition_where_it_cannot(
    server: Server, path: str, said: str, name: str
) -> None:
    server.put(unquote(path), b"1", headers={"Content-Disposition": said})
    assert [file.path for file in listed(f"{server.url}{path}?id=3")] == [name]


def test_a_pin_keeps_the_asked_url_and_not_the_signed_one(server: Server) -> None:
    with Server() as store:
        url = server.put("f.bin", redirect=store.put("g", BODY, get_only=True) + "?X-Amz-Signature=abc")
        ctx = context()
        source, pin = follow(Ref(url), ctx)
        [file] = source.files(pin, ctx)
        assert (pin.ref.url, pin.namespace, file.at, file.path) == (url, url, "", "f.bin")
        with source.read(pin, file, Span(3, 9), ctx) as stream:
            assert stream.readall() == BODY[3:9]
        assert {request.method for request in store.requests} == {"GET"}


@pytest.mark.parametrize(
    ("url", "spelling"),
    [
        ("HTTPS://Host.Example:443/a%2fb", "https://host.example/a%2Fb"),
        ("http://h:80", "http://h/"),
        ("https://h:8443/x#part", "https://h:8443/x"),
        ("https://h/x?a=b", "https://h/x?a=b"),
        ("https://h/grün x", "https://h/gr%C3%BCn%20x"),
    ],
)
def test_a_url_has_one_spelling(url: str, spelling: str) -> None:
    assert canonical(url) == spelling


def test_a_version_cannot_be_asked_for(server: Server) -> None:
    with pytest.raises(ResolveError, match=r"keeps no versions, so 1\.2 can't"):
        SOURCE.resolve(Ref(server.put("f", b"1"), (("version", "1.2"),)), context())


def test_a_folder_that_may_not_be_listed_says_what_may_be_wrong(server: Server) -> None:
    server.otherwise = lambda request: Reply(403, {}, b"")
    with pytest.raises(AccessDenied, match="or its server shows no index of folders"):
        SOURCE.resolve(Ref(server.at("d/")), context())


def test_a_digest_that_the_server_tells_becomes_a_check(server: Server) -> None:
    digest = "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:"
    [file] = listed(server.put("f", b"test", headers={"Repr-Digest": digest}))
    assert [check.algorithm for check in file.checks] == ["sha256"]


def test_a_folder_below_a_credential_is_its_realm(server: Server) -> None:
    server.put("d/x", b"1")
    ctx = context(Credentials([Credential(f"{server.url}d/", "cred:me", (("X-Key", "k"),))]))
    _, pin = follow(Ref(server.at("d/")), ctx)
    assert SOURCE.realm(pin, ctx).startswith("cred:")
    assert SOURCE.realm(follow(Ref(server.put("e", b"1")), ctx)[1], ctx) == PUBLIC


def test_a_large_folder_is_listed_piece_by_piece() -> None:
    looked_at: list[int] = []

    def names() -> Iterator[int]:
        for number in range(200):
            looked_at.append(number)
            yield number

    answers = ahead(names(), lambda number: -number, 4)
    assert next(answers) == 0
    assert len(looked_at) == 8, "twice as many as are asked at once"
    assert list(answers) == [-number for number in range(1, 200)]


def test_a_forged_locator_is_not_followed(server: Server) -> None:
    server.put("d/f.bin", b"data")
    for reference, path in ((server.at("d/"), "f.bin"), (server.at("d/f.bin"), "f.bin")):
        _, pin = follow(Ref(reference), context())
        forged = RemoteFile(path, 4, at="https://secret.example/f.bin")
        assert SOURCE.url(pin, forged) == server.at("d/f.bin")
