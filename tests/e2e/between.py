"""A proxy before a real server, for what that can't be brought to do: break off, refuse as too many, want a token."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from gotdata.testing.server import Reply

_HOPS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


class Between:
    """Attributes:
    url: its own address, without a slash at its end.
    busy: what it answers in the server's place while ``limit`` lasts.
    refusal: what it answers to who brings no ``Authorization`` while ``denied``.
    """

    def __init__(self, target: str, busy: Reply, refusal: Reply | None = None, own_host: bool = False) -> None:
        self.target = urlsplit(target)
        self.busy, self.refusal, self.own_host = busy, refusal, own_host
        self.limit = 0
        self.denied = False
        self._cuts: dict[str, int] = {}
        between = self

        class Handler(_Handler):
            of = between

        self.server = _Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def cut(self, ending: str, after: int) -> None:
        """The next body of what is asked for by a path with this ending breaks off after so many bytes."""
        self._cuts[ending] = after

    def cutting(self, path: str) -> int | None:
        plain = unquote(urlsplit(path).path)
        ending = next((ending for ending in self._cuts if plain.endswith(ending)), None)
        return None if ending is None else self._cuts.pop(ending)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up early is no fault of the proxy."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    of: Between

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        if self.of.limit > 0:
            self.of.limit -= 1
            return self._say(*self.of.busy)
        if self.of.denied and self.of.refusal and "Authorization" not in self.headers:
            return self._say(*self.of.refusal)
        target = self.of.target
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", target.netloc if self.of.own_host else self.headers["Host"])
            for name, value in self.headers.items():
                if name.lower() not in (*_HOPS, "host"):
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(length))
            connection.endheaders(body)
            answer = connection.getresponse()
            told = {name: value for name, value in answer.getheaders() if name.lower() not in _HOPS}
            return self._say(answer.status, told, answer.read(), answer.getheader("Content-Length"))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = answer

    def _say(self, status: int, headers: Mapping[str, str], body: bytes, length: str | None = None) -> None:
        after = self.of.cutting(self.path) if status in (200, 206) and self.command == "GET" else None
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(body)))
        self.end_headers()
        self.close_connection = self.close_connection or after is not None
        if self.command != "HEAD":
            self.wfile.write(body[:after])

    def log_message(self, format: str, *args: Any) -> None:
        """The server behind it has a log."""


@contextmanager
def between(target: str, busy: Reply, refusal: Reply | None = None, own_host: bool = False) -> Iterator[Between]:
    """``own_host``: the server is told its own name, not the one by which it was asked (which S3 signs)."""
    proxy = Between(target, busy, refusal, own_host)
    thread = threading.Thread(target=proxy.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join()
