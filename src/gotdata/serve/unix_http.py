"""A small HTTP server on a unix socket, for services of this machine: it knows the process that asks by the kernel's
word."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import socketserver
import stat
import struct
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    DeliveryError,
    GotdataError,
    ManifestError,
    NotFound,
    PolicyError,
    SourceUnavailable,
)
from gotdata.paths import redact

if sys.platform != "linux":
    raise ImportError("gotdata.serve.unix_http needs Linux")

BODY_LIMIT = 1 << 20
_PATIENCE = 30.0
"""Seconds for which a client may say nothing in the middle of its request, or not take the answer."""
_AT_ONCE = 32
"""Requests of one user at the same time, so that one who trickles keeps nobody else out; all their bodies together may
be as long as one may. Root's are not counted."""

_TOGETHER = 4
"""Of all users but root: as many times what one may have. A user can be many, by subordinate ids."""
_WHOLE = 300.0
"""Seconds in which a request is read whole. Its answer may take longer."""

STATUSES: Mapping[type[GotdataError], int] = {
    NotFound: 404,
    ManifestError: 400,
    PolicyError: 403,
    AccessDenied: 403,
    AuthRequired: 403,
    SourceUnavailable: 503,
    DeliveryError: 409,
    GotdataError: 500,
}
"""HTTP's word for an error: of the first class here that it is one of."""


@dataclass(frozen=True, slots=True)
class Request:
    """``uid``, ``gid`` and ``pid`` are those of the process that connected."""

    path: str
    query: Mapping[str, str]
    body: bytes
    uid: int
    gid: int
    pid: int


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"


Route = Callable[[Request], Response]
"""May raise a GotdataError, or msgspec's where the body can't be read: the client is sent ``failure``."""


def answer(value: Any, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(value))


def failure(error: GotdataError) -> Response:
    """``{"error": CLASS, "message": TEXT}``, with the status that fits."""
    status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
    return answer({"error": type(error).__name__, "message": message(error)}, status)


def message(error: GotdataError) -> str:
    """For whoever asked. Some errors have several lines, such as what a policy could say."""
    return "\n".join(redact(line) for line in str(error).splitlines())


class UnixServer:
    """Serves from when it is made until ``close``; each request in a thread of its own, one for each connection.

    Args:
        path: of the socket. Its folder must be there.
        routes: by ``"METHOD /path"``.
        mode: who may connect, as of a file.
        group: who owns the socket beside this process's user; empty for this process's own.
        limit: bytes of a request's body.

    Raises:
        DeliveryError: a living process answers there already; it is not ours to replace; it can't be made.
    """

    def __init__(
        self, path: Path, routes: Mapping[str, Route], mode: int = 0o600, group: str = "", limit: int = BODY_LIMIT
    ) -> None:
        self.path = path
        listening = _listen(path, mode, group)
        self._inode = os.lstat(path).st_ino
        self._server = _Server(listening, routes, limit)
        self._thread = threading.Thread(target=self._server.serve_forever, name=f"http {path.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No new request is taken, and the socket is removed, unless another has taken its place. What is being
        answered goes on."""
        self._server.shutdown()
        self._thread.join()
        with contextlib.suppress(OSError), _folder_held(self.path):
            if os.lstat(self.path).st_ino == self._inode:
                self.path.unlink()
        self._server.server_close()


def _listen(path: Path, mode: int, group: str) -> socket.socket:
    """Made under another name and renamed, so that it never answers to more people than it should, and that of two
    processes that start at once, the second sees the first."""
    unnamed = path.with_name(f".{path.stem}.{os.getpid()}")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _folder_held(path):
            refuse_taken(path)
            unnamed.unlink(missing_ok=True)
            os.fchmod(listening.fileno(), 0o600)  # The socket's file is made with this mode, whatever the umask.
            listening.bind(str(unnamed))
            listening.listen(socket.SOMAXCONN)
            if group:
                shutil.chown(unnamed, group=group)
            os.chmod(unnamed, mode)
            unnamed.rename(path)
    except BaseException as error:
        listening.close()
        with contextlib.suppress(OSError):
            unnamed.unlink(missing_ok=True)
        if isinstance(error, LookupError):
            raise DeliveryError(f"can't listen at {path}: there is no group {group!r} on this machine") from None
        if isinstance(error, OSError):
            raise DeliveryError(f"can't listen at {path}: {error.strerror or error}") from error
        raise
    return listening


def refuse_taken(path: Path) -> None:
    """Raises DeliveryError: a living process answers there. A socket whose process died is nobody's."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise DeliveryError(f"can't listen at {path}: what is there is not a socket; move it away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        pid, _, _ = _peer(probe)
    raise DeliveryError(f"can't listen at {path}: process {pid}{_named(pid)} answers there already; stop it first")


def _named(pid: int) -> str:
    with contextlib.suppress(OSError):
        return f" ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})"
    return ""


@contextlib.contextmanager
def _folder_held(path: Path) -> Iterator[None]:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _peer(connection: socket.socket) -> tuple[int, int, int]:
    """pid, uid, gid of the process at the other end."""
    form = "3i"
    pid, uid, gid = struct.unpack(
        form, connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form))
    )
    return pid, uid, gid


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_UNIX
    daemon_threads = True

    def __init__(self, listening: socket.socket, routes: Mapping[str, Route], limit: int) -> None:
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.routes, self.limit = routes, limit
        self._mine = threading.Lock()
        self._users: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        _, uid, _ = _peer(request)
        with self._mine:
            if uid and (self._users[uid] >= _AT_ONCE or _others(self._users) >= _TOGETHER * _AT_ONCE):
                return False
            self._users[uid] += 1
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        _, uid, _ = _peer(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._mine:
                self._users[uid] -= 1

    @contextlib.contextmanager
    def held(self, uid: int, size: int) -> Iterator[None]:
        """While a user's request of so many bytes is in memory. Raises DeliveryError: there are too many of theirs."""
        with self._mine:
            if uid and self._bytes[uid] + size > self.limit:
                raise DeliveryError("other large requests of yours are being read: ask again when they were answered")
            if uid and _others(self._bytes) + size > _TOGETHER * self.limit:
                raise DeliveryError("many large requests are being read: ask again in a while")
            self._bytes[uid] += size
        try:
            yield
        finally:
            with self._mine:
                self._bytes[uid] -= size

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or said nothing for too long, is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _others(counted: Counter[int]) -> int:
    """Of all users but root."""
    return counted.total() - counted[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    server: _Server

    def handle(self) -> None:
        # A client that sends a byte now and then would else keep its place for ever.
        late = threading.Timer(_WHOLE, self.connection.shutdown, (socket.SHUT_RD,))
        late.daemon = True
        late.start()
        try:
            self.handle_one_request()
        finally:
            late.cancel()

    def _serve(self) -> None:
        response = self._response()
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.body)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _response(self) -> Response:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            return failure(ManifestError("a request's Content-Length is due"))
        if len(length) > 10 or int(length) > self.server.limit:
            return failure(ManifestError(f"a request of more than {self.server.limit} bytes is not read"))
        url = urlsplit(self.path)
        route = self.server.routes.get(f"{self.command} {url.path}")
        if route is None:
            return failure(NotFound(f"nothing answers to {self.command} {url.path} here"))
        pid, uid, gid = _peer(self.connection)
        try:
            with self.server.held(uid, int(length)):
                body = self._body(int(length))
                return self._answer(route, Request(url.path, dict(parse_qsl(url.query)), body, uid, gid, pid))
        except DeliveryError as error:
            return failure(error)

    def _body(self, size: int) -> bytes:
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionError("the client went away in the middle of its request")
        return body

    def _answer(self, route: Route, request: Request) -> Response:
        try:
            return route(request)
        except GotdataError as error:
            return failure(error)
        except msgspec.MsgspecError as error:
            return failure(ManifestError(f"the request can't be read: {error}"))
        except Exception:
            traceback.print_exc()
            return failure(GotdataError("something broke that was not foreseen; the daemon's log says more"))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses before a route is known: lines and headers too long or too many."""
        self.send_response(code, message)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """The routes know better what is worth a line."""
