"""A server at work against who asks it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gotdata.credentials import Credential, Credentials
from gotdata.errors import SourceError, UpstreamChanged
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.sources.http import Http
from gotdata.sources.s3 import S3
from gotdata.sources.s3_access import ANSWER_LIMIT
from gotdata.testing.server import Server
from gotdata.testing.source_contract import context, follow
from tests.sources.s3_double import serving


@pytest.fixture
def endless() -> Iterator[tuple[str, threading.Event]]:
    """The address of a server whose body never ends, and an event for when its client had enough."""
    left = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8, 8\r\n\r\n")
            try:
                while True:
                    connection.sendall(bytes(65536))
            except OSError:
                left.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x", left
        thread.join(10)


def test_a_body_is_not_read_beyond_the_file(endless: tuple[str, threading.Event]) -> None:
    """Two lengths in one header: what is behind the file was once read to its end, which never came."""
    url, left = endless
    ctx = context()
    pin = Pin("http", Ref(url), "", {"size": "8", "name": "x"})
    with (
        pytest.raises(UpstreamChanged, match="longer than the 8 bytes"),
        Http().read(pin, RemoteFile("x", 8), Span(0, 8), ctx) as body,
    ):
        body.read()
    assert left.wait(10)


@pytest.mark.parametrize("name", [".bashrc", "..", "."])
def test_a_hidden_name_is_not_the_server_s_to_give(name: str) -> None:
    with Server() as server:
        url = server.put("download", b"x", headers={"Content-Disposition": f'attachment; filename="{name}"'})
        ctx = context()
        _, pin = follow(Ref(url), ctx)
        assert [file.path for file in Http().files(pin, ctx)] == ["download"]


def test_a_listing_of_s3_is_not_read_beyond_a_limit() -> None:
    """botocore alone reads an answer of any length into memory."""
    page = "<ListBucketResult>" + "<Contents/>" * (ANSWER_LIMIT // 10)
    with (
        serving(lambda asked: (200, {}, page)) as store,
        pytest.raises(SourceError, match="bytes to a question"),
    ):
        S3().resolve(store.ref(anonymous="true"), context())


@pytest.mark.parametrize("path", ["data/..;/x", "data/..;a=b/x", "data/%2e%2e/x", "data/..%5cx", "data/..%2Fx"])
def test_a_key_does_not_go_where_a_server_may_climb(path: str) -> None:
    keys = Credentials([Credential("https://host:443/data/", "cred:1", (("X-Key", "key"),))])
    assert keys.find("https://host/data/x")
    assert not keys.find(f"https://host/{path}")


@pytest.mark.parametrize("location", ["http://[evil/x", "http://a]b/x", "//[/x"])
def test_a_redirect_to_no_url_is_the_server_s_fault(location: str) -> None:
    with Server() as server:
        url = server.put("x", b"1", redirect=location)
        with pytest.raises(SourceError, match="which is no URL"):
            context().http.get(url)
