"""Serves the prepared files on a fixed loopback port: folders as pages, files with ranges, and counts what it sent.

ETag and Repr-Digest (RFC 9530) come from the content, so that one committed lock is true on every machine."""

from __future__ import annotations

import base64
import http.server
import re
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PORT = 18765


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        path = Path(self.translate_path(self.path))
        digest = self.server.digests.get(str(path.relative_to(self.server.root)))
        if digest is None:
            (super().do_GET if body else super().do_HEAD)()
            return
        size, etag = path.stat().st_size, f'"{digest[:32]}"'
        whole = self.headers.get("If-Range", etag) != etag
        span = None if whole else asked(self.headers.get("Range", ""), size)
        if span == (0, 0):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
        elif span:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{size}")
        else:
            self.send_response(200)
        start, stop = span or (0, size)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag)
        self.send_header("Repr-Digest", f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:")
        self.end_headers()
        if body:
            self._send(path, start, stop)

    def _send(self, path: Path, start: int, stop: int) -> None:
        with path.open("rb") as file:
            while start < stop:
                sent = self.connection.sendfile(file, start, min(stop - start, 1 << 20))
                self.server.count(sent)
                start += sent

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, root: Path, digests: dict[str, str], port: int) -> None:
        super().__init__(("127.0.0.1", port), lambda *args: Handler(*args, directory=str(root)))
        self.root, self.digests = root, digests
        self.moved = 0
        self._lock = threading.Lock()

    def count(self, sent: int) -> None:
        with self._lock:
            self.moved += sent

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def asked(header: str, size: int) -> tuple[int, int] | None:
    """The bytes that a Range header asks for; None where it asks for all or for what is not understood, (0, 0) where it
    can't be had."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    return (start, stop) if start < stop else (0, 0)


@contextmanager
def serving(root: Path, digests: dict[str, str], port: int = PORT) -> Iterator[Server]:
    try:
        server = Server(root, digests, port)
    except OSError as error:
        sys.exit(f"127.0.0.1:{port} can't be served ({error.strerror}); gotdata.yml names that port: end what has it")
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


if __name__ == "__main__":
    from prepare import SERVED, expected, prepare

    prepare()
    with suppress(KeyboardInterrupt), serving(SERVED, expected()):
        print(f"http://127.0.0.1:{PORT}/ until Ctrl-C", flush=True)
        threading.Event().wait()
