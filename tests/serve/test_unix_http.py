"""HTTP on a unix socket: who may connect, what a request may be, and whose socket is replaced."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("sockets with peers need Linux", allow_module_level=True)

import msgspec

from gotdata.errors import DeliveryError, NotFound, PolicyError
from gotdata.serve import unix_http
from gotdata.serve.unix_http import BODY_LIMIT, Request, Response, Route, UnixServer, answer


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name: the kernel takes 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="gotdata-") as name:
        yield Path(name)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[Route], Path]]:
    """Serves ``POST /x`` by a route, and gives the socket."""
    servers = []

    def start(route: Route) -> Path:
        servers.append(UnixServer(folder / "s", {"POST /x": route}))
        return folder / "s"

    yield start
    for server in servers:
        server.close()


def ask(path: Path, body: bytes = b"", method: str = "POST", url: str = "/x") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = connect(path)
    connection.request(method, url, body)
    with connection.getresponse() as response:
        return response.status, response.read()


def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(path))
    return sock


def raw(path: Path, request: bytes) -> bytes:
    """All that comes back before the other end closes."""
    with connect(path) as sock, sock.makefile("rb") as answers:
        sock.sendall(request)
        return answers.read()


def echo(request: Request) -> Response:
    return Response(201, request.body, "text/plain")


def test_a_route_has_the_query_the_body_and_the_process_that_asks(serve: Callable[[Route], Path]) -> None:
    asked: list[Request] = []

    def route(request: Request) -> Response:
        asked.append(request)
        return answer({"a": 1})

    assert ask(serve(route), b"body", url="/x?b=%C3%A9") == (200, b'{"a":1}')
    assert asked == [Request("/x", {"b": "é"}, b"body", os.getuid(), os.getgid(), os.getpid())]


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [(NotFound("no x"), 404, "NotFound"), (PolicyError("no x"), 403, "PolicyError"), (ValueError("x"), 500, "Gotdata")],
)
def test_an_error_has_its_status_class_and_message(
    serve: Callable[[Route], Path], error: Exception, status: int, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def route(_: Request) -> Response:
        raise error

    got, body = ask(serve(route))
    said = json.loads(body)
    assert (got, said["error"].startswith(name)) == (status, True)
    assert ("no x" in said["message"]) == (status != 500)
    assert ("ValueError" in capfd.readouterr().err) == (status == 500)


def test_a_secret_in_an_error_is_not_sent(serve: Callable[[Route], Path]) -> None:
    def route(_: Request) -> Response:
        raise NotFound("https://ada:lovelace@example.org/ is not there")

    assert b"lovelace" not in ask(serve(route))[1]


def test_a_body_that_can_not_be_read_is_the_clients_mistake(serve: Callable[[Route], Path]) -> None:
    status, body = ask(serve(lambda request: answer(msgspec.json.decode(request.body, type=list[int]))), b"{")
    assert status == 400
    assert b"can't be read" in body


@pytest.mark.parametrize(("method", "url"), [("POST", "/y"), ("GET", "/x"), ("POST", "/x/"), ("POST", "/x/../x")])
def test_what_no_route_is_for_is_not_found(serve: Callable[[Route], Path], method: str, url: str) -> None:
    assert ask(serve(echo), method=method, url=url)[0] == 404


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1),
        b"POST /x HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /x HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"POST /x HTTP/1.1\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"POST /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
        b"\0\xff\r\n\r\n",
    ],
    ids=["chunked", "negative", "too long", "a number too long", "headers", "header", "line", "cut off", "no HTTP"],
)
def test_what_is_no_request_reaches_no_route_and_the_server_lives(
    serve: Callable[[Route], Path], request_: bytes
) -> None:
    reached = []

    def route(request: Request) -> Response:
        reached.append(request.body)
        return echo(request)

    path = serve(route)
    with connect(path) as sock, sock.makefile("rb") as answers:
        try:
            sock.sendall(request_)
            sock.shutdown(socket.SHUT_WR)
            got = answers.read()
        except ConnectionError:  # It closed before all was sent.
            got = b""
    assert not got or got.split()[1].startswith(b"4")
    assert reached == []
    assert ask(path, b"ok") == (201, b"ok")


def test_one_request_for_each_connection(serve: Callable[[Route], Path]) -> None:
    one = b"POST /x HTTP/1.1\r\nContent-Length: 1\r\n\r\na"
    assert raw(serve(echo), one * 2).count(b"HTTP/1.1 201") == 1


def test_requests_are_answered_side_by_side(serve: Callable[[Route], Path]) -> None:
    both = threading.Barrier(2, timeout=20)

    def route(request: Request) -> Response:
        both.wait()
        return echo(request)

    path = serve(route)
    other = threading.Thread(target=ask, args=(path,))
    other.start()
    assert ask(path)[0] == 201
    other.join()


def test_a_user_who_trickles_keeps_only_themselves_out(
    serve: Callable[[Route], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_http, "_AT_ONCE", 2)
    path, user = serve(echo), [1000]
    monkeypatch.setattr(unix_http, "_peer", lambda _: (1, user[0], 1))
    with connect(path) as first, connect(path) as second:
        for sock in (first, second):
            sock.sendall(b"POST /x HTTP/1.1\r\n")
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            ask(path)
        user[0] = 1001
        assert ask(path)[0] == 201


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_mode_is_the_one_that_was_asked_for_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        server = UnixServer(folder / "s", {}, mode=0o660)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.lstat(folder / "s").st_mode) == 0o660
    server.close()
    assert list(folder.iterdir()) == []


def test_a_group_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(DeliveryError, match="no group 'nobodys-group'"):
        UnixServer(folder / "s", {}, group="nobodys-group")
    assert list(folder.iterdir()) == []


def test_a_socket_that_a_living_process_answers_is_left_to_it(serve: Callable[[Route], Path]) -> None:
    path = serve(echo)
    with pytest.raises(DeliveryError, match=rf"process {os.getpid()} \(.+\) answers there already"):
        UnixServer(path, {})
    assert ask(path)[0] == 201


def test_the_socket_of_a_process_that_died_is_replaced(folder: Path) -> None:
    bind = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", bind, str(folder / "s")], check=True)
    server = UnixServer(folder / "s", {"POST /x": echo})
    assert ask(folder / "s", b"a") == (201, b"a")
    server.close()


def test_what_is_no_socket_is_not_replaced(folder: Path) -> None:
    (folder / "s").write_text("someone's")
    with pytest.raises(DeliveryError, match="not a socket"):
        UnixServer(folder / "s", {})
    assert (folder / "s").read_text() == "someone's"


def test_closing_leaves_another_servers_socket(folder: Path) -> None:
    first = UnixServer(folder / "s", {"POST /x": echo})
    (folder / "s").unlink()
    second = UnixServer(folder / "s", {"POST /x": echo})
    first.close()
    assert ask(folder / "s", b"a") == (201, b"a")
    second.close()


@pytest.mark.parametrize("path", ["none/s", "x" * 120])
def test_a_path_that_can_not_be_says_why(folder: Path, path: str) -> None:
    with pytest.raises(DeliveryError, match="can't listen at"):
        UnixServer(folder / path, {})
