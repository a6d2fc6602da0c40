"""The daemon's errors reach whoever asks it as they were raised, and one that isn't there is said to be missing."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

from gotdata.errors import DeliveryError, GotdataError, NotFound, PolicyError
from gotdata.serve.client import Shared, ask
from gotdata.serve.unix_http import Request, Response, Route, UnixServer, answer


@contextmanager
def serving(path: Path, routes: Mapping[str, Route]) -> Iterator[None]:
    server = UnixServer(path, routes)
    try:
        yield
    finally:
        server.close()


def refuse(error: Exception) -> Route:
    def route(_: Request) -> Response:
        raise error

    return route


@pytest.mark.parametrize("error", [PolicyError("not you"), NotFound("no volume"), DeliveryError("in use")])
def test_an_error_of_the_daemon_is_raised_again(tmp_path: Path, error: GotdataError) -> None:
    with serving(tmp_path / "s", {"GET /x": refuse(error)}), pytest.raises(type(error), match=str(error)):
        ask(tmp_path / "s", "GET", "/x")


def test_what_is_told_arrives_and_the_answer_comes_back(tmp_path: Path) -> None:
    heard = []

    def route(request: Request) -> Response:
        heard.append(request.body)
        return answer({"target": "/there"})

    with serving(tmp_path / "s", {"POST /up": route}):
        assert ask(tmp_path / "s", "POST", "/up", {"files": {"a": b"\0\1"}}) == {"target": "/there"}
    assert heard == [b'{"files":{"a":"AAE="}}']


def test_no_daemon_is_a_reason_and_not_an_error(tmp_path: Path) -> None:
    shared = Shared(tmp_path / "s")
    assert not shared.there()
    assert shared.may([], tmp_path) == shared.refusal() == "no daemon runs here"
    with pytest.raises(DeliveryError, match="no daemon answers"):
        ask(tmp_path / "s", "GET", "/health")


def test_a_dead_daemons_socket_and_a_strangers_answer_are_reasons_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    assert "no daemon answers" in Shared(tmp_path / "dead").refusal()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(tmp_path / "stranger"))
        stranger.listen()

        def babble() -> None:
            connection, _ = stranger.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nSSH-2.0")

        thread = threading.Thread(target=babble)
        thread.start()
        assert "no daemon of gotdata" in Shared(tmp_path / "stranger").refusal()
        thread.join()


def test_what_the_policy_refuses_is_why_the_daemon_is_not_taken(tmp_path: Path) -> None:
    routes = {"GET /health": lambda _: answer({}), "POST /may": refuse(PolicyError("alice may not have this"))}
    with serving(tmp_path / "s", routes):
        assert Shared(tmp_path / "s").may(["https://a.b/"], tmp_path) == "alice may not have this"
