"""A server at work against who asks it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gotdata.errors import UpstreamChanged
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.sources.http import Http
from gotdata.testing.server import Server
from gotdata.testing.source_contract import context, follow


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
