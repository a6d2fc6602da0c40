"""A small HTTP server on loopback whose faults are switched on by path, and which remembers what it was asked."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import html
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from gotdata.model import Span

_PIECE = 1 << 20
_BARE = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Request:
    """``path`` as it was sent, query included. ``headers`` are keyed in lower case. ``peer`` is the port of the
    connection's other end."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int = 0
    peer: int = 0
    body: bytes = b""


class Reply(NamedTuple):
    """``headers`` may announce another ``Content-Length`` than the body has."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Faults:
    """How one path misbehaves.

    Attributes:
        ranges: False: Range is ignored, the whole is sent with 200.
        if_range: False: If-Range is ignored, as some servers do.
        length: ``none``: chunked; ``close``: the end of the body is the end of the connection; ``wrong``: one too many.
        cut: after so many bytes of a body the connection closes.
        cuts: how many bodies are cut before they are sent whole; None: all.
        statuses: answered first, one a request, before the file.
        always: answered instead of the file.
        retry_after: sent with each of these.
        redirect: where a request is sent on to instead.
        get_only: anything but GET is 403, as URLs signed for GET do.
        auth: the Authorization header without which it answers 401.
        login: a page with a login form is sent instead of the file, with 200.
        gzip: it is sent compressed though nobody asked.
        content_range: sent instead of the right Content-Range.
        etag: sent instead of the right ETag; a function of the number of requests so far for one that changes.
        modified: sent as Last-Modified; empty: none is sent.
        headers: sent in addition, or in place of its own.
        hold: before the body is sent, it waits until this event is set.
    """

    ranges: bool = True
    if_range: bool = True
    length: Literal["", "none", "close", "wrong"] = ""
    cut: int | None = None
    cuts: int | None = None
    statuses: tuple[int, ...] = ()
    always: int = 0
    retry_after: str = ""
    redirect: str = ""
    get_only: bool = False
    auth: str = ""
    login: bool = False
    gzip: bool = False
    content_range: str = ""
    etag: str | Callable[[int], str] | None = None
    modified: str = "Sun, 06 Nov 1994 08:49:37 GMT"
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None


@dataclass
class _Served:
    body: bytes | Path
    kind: str
    faults: Faults
    asked: int = 0
    cut: int = 0

    @property
    def size(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.stat().st_size

    @property
    def etag(self) -> str:
        named = self.faults.etag
        if named is not None:
            return named if isinstance(named, str) else named(self.asked)
        if isinstance(self.body, bytes):
            return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'
        status = self.body.stat()
        return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'


class Server:
    """Serves what is ``put``, and folders of it as nginx's autoindex shows them. A context manager.

    Attributes:
        url: its root, ending in ``/``.
        requests: every request so far, in the order in which they were answered.
        index: whether folders are listed, and as what.
        otherwise: answers what nothing was ``put`` for; None where it has no answer either.
    """

    def __init__(
        self,
        index: Literal["html", "json", ""] = "html",
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.requests: list[Request] = []
        self.index = index
        self.otherwise: Callable[[Request], Reply | None] = lambda request: None
        self._served: dict[bytes, _Served] = {}
        self._lock = threading.Lock()
        server = self

        class Handler(_Handler):
            of = server

        self._http = _Listener((host, 0), Handler)
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://{host}:{self._http.server_port}/"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def put(self, path: str, body: bytes | Path = b"", kind: str = "application/octet-stream", **faults: Any) -> str:
        """Serves ``body`` at ``path`` (relative, decoded; a folder where it ends in ``/``) and returns its URL."""
        with self._lock:
            self._served[_raw(path)] = _Served(body, kind, Faults(**faults))
        return self.at(path)

    def change(self, path: str, **faults: Any) -> None:
        """Other faults for a path, beside those it has."""
        with self._lock:
            served = self._served[_raw(path)]
            served.faults = replace(served.faults, **faults)

    def remove(self, path: str) -> None:
        with self._lock:
            del self._served[_raw(path)]

    def at(self, path: str) -> str:
        return self.url + quote(path, safe="/", errors="surrogateescape")

    def find(self, path: bytes) -> _Served | None:
        with self._lock:
            found = self._served.get(path)
            return found if found is None or path.strip(b"/") or found.body else None

    def children(self, folder: bytes) -> dict[bytes, _Served | None] | None:
        """The names in a folder with what is served there, None for folders; None where there is no such folder."""
        with self._lock:
            below = {path: served for path, served in self._served.items() if path.startswith(folder)}
        if not below and folder:
            return None
        found: dict[bytes, _Served | None] = {}
        for path, served in sorted(below.items()):
            name, slash, _ = path.removeprefix(folder).partition(b"/")
            if name:
                found[name + slash] = None if slash else served
        return found

    def seen(self, path: str = "") -> list[Request]:
        """The requests for one path."""
        wanted = urlsplit(self.at(path)).path
        return [request for request in self.requests if urlsplit(request.path).path == wanted]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up early is no fault of the server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    of: Server
    came = b""

    def parse_request(self) -> bool:
        self.came = b""
        return super().parse_request()

    def do_GET(self) -> None:
        path = unquote_to_bytes(urlsplit(self.path).path.removeprefix("/"))
        served = self.of.find(path)
        if served is None or path.endswith(b"/"):
            reply = self.of.otherwise(self._request())
            self._say(*reply) if reply else self._folder(path)
        else:
            served.asked += 1
            self._file(served, served.faults)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        reply = self.of.otherwise(self._request())
        self._say(*reply or (404, {}, b""))

    do_PUT = do_PROPFIND = do_OPTIONS = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: ``Server.requests`` has it all."""

    def _file(self, served: _Served, faults: Faults) -> None:
        if faults.get_only and self.command != "GET":
            self._say(403)
        elif faults.auth and self.headers.get("Authorization") != faults.auth:
            self._say(401, {"WWW-Authenticate": 'Basic realm="test"'})
        elif served.asked <= len(faults.statuses) or faults.always:
            status = faults.always or faults.statuses[served.asked - 1]
            self._say(status, {"Retry-After": faults.retry_after} if faults.retry_after else {})
        elif faults.redirect:
            self._say(302, {"Location": faults.redirect})
        elif faults.login:
            self._say(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html><form>Please log in</form></html>")
        else:
            self._content(served, faults)

    def _content(self, served: _Served, faults: Faults) -> None:
        headers = {"Content-Type": served.kind, "ETag": served.etag, "Last-Modified": faults.modified}
        if faults.gzip and isinstance(served.body, bytes):
            return self._say(200, headers | {"Content-Encoding": "gzip"}, gzip.compress(served.body))
        size = served.size
        span = self._span(size, served) if faults.ranges else None
        if span is not None and span.size <= 0:
            return self._say(416, headers | {"Content-Range": f"bytes */{size}"})
        if span is not None:
            headers["Content-Range"] = faults.content_range or f"bytes {span.start}-{span.stop - 1}/{size}"
        part = span or Span(0, size)
        headers |= {"Content-Length": str(part.size + (faults.length == "wrong"))}
        if faults.length in ("none", "close"):
            del headers["Content-Length"]
            headers |= {"Transfer-Encoding": "chunked"} if faults.length == "none" else {"Connection": "close"}
        self._start(206 if span else 200, headers | dict(faults.headers))
        if faults.hold is not None:
            faults.hold.wait()
        if self.command == "GET":
            self._send(served, faults, part)
        return None

    def _send(self, served: _Served, faults: Faults, part: Span) -> None:
        stop = part.stop
        if faults.cut is not None and (faults.cuts is None or served.cut < faults.cuts):
            served.cut += 1
            stop = min(stop, part.start + faults.cut)
            self.close_connection = True
        if isinstance(served.body, Path) and faults.length != "none":
            with served.body.open("rb") as file:
                self.connection.sendfile(file, part.start, stop - part.start) if stop > part.start else None
        else:
            body = served.body if isinstance(served.body, bytes) else served.body.read_bytes()
            for start in range(part.start, stop, _PIECE):
                piece = body[start : min(start + _PIECE, stop)]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if faults.length == "none" else piece)
        if stop == part.stop and faults.length == "none":
            self.wfile.write(b"0\r\n\r\n")
        if faults.length == "wrong":
            self.close_connection = True

    def _span(self, size: int, served: _Served) -> Span | None:
        text = self.headers.get("Range", "")
        condition = self.headers.get("If-Range")
        if not text.startswith("bytes=") or "," in text:
            return None
        if condition and served.faults.if_range and condition != served.etag:
            return None
        first, _, last = text.removeprefix("bytes=").partition("-")
        return Span(int(first), min(int(last) + 1 if last else size, size))

    def _folder(self, path: bytes) -> None:
        shown = self.of.children(path if path.endswith(b"/") or not path else path + b"/")
        if shown is None or not self.of.index:
            self._say(404)
        elif path and not path.endswith(b"/"):
            self._say(301, {"Location": f"/{quote(path)}/"})
        elif self.of.index == "json":
            self._say(200, {"Content-Type": "application/json"}, _index_json(shown))
        else:
            self._say(200, {"Content-Type": "text/html"}, _index_html(path, shown))

    def _say(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self._start(status, {"Content-Length": str(len(body)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.of.requests.append(self._request(status))
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _request(self, status: int = 0) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not self.came:
            # Once: it is asked for again when the answer is noted.
            self.came = self.rfile.read(int(headers.get("content-length", "0"))) if self.command not in _BARE else b""
        return Request(self.command, self.path, headers, status, self.client_address[1], self.came)

    def finish(self) -> None:
        super().finish()
        # A connection that is closed with unread input is reset, and what was sent may be lost.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)


def _index_html(path: bytes, shown: Mapping[bytes, _Served | None]) -> bytes:
    """As nginx 1.22 writes it: names cut at 50 characters, sizes exact or ``-``."""
    title = html.escape(path.decode("utf-8", "replace"))
    lines = [
        f"<html>\r\n<head><title>Index of /{title}</title></head>\r\n<body>\r\n<h1>Index of /{title}</h1><hr><pre>"
    ]
    lines.append('<a href="../">../</a>')
    for name, served in shown.items():
        label = html.escape(name.decode("utf-8", "replace")[:50])
        size = "-" if served is None else served.size
        lines.append(f'<a href="{quote(name)}">{label}</a>  06-Nov-1994 08:49  {size}')
    return "\r\n".join([*lines, "</pre><hr></body>\r\n</html>\r\n"]).encode("utf-8", "replace")


def _index_json(shown: Mapping[bytes, _Served | None]) -> bytes:
    """As nginx writes it with ``autoindex_format json``: bytes that are not UTF-8 go out as they are."""
    entries = []
    for name, served in shown.items():
        plain = name.rstrip(b"/").replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        plain = b"".join(b"\\u%04x" % byte if byte < 32 else bytes([byte]) for byte in plain)
        kind = b"directory" if served is None else b"file"
        rest = b"" if served is None else b', "size":%d' % served.size
        modified = (served.faults if served else Faults()).modified.encode()
        entries.append(b'{ "name":"%s", "type":"%s", "mtime":"%s"%s }' % (plain, kind, modified, rest))
    return b"[\r\n" + b",\r\n".join(entries) + b"\r\n]"


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
