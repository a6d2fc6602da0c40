"""A server that answers as S3 might, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from gotdata.model import Ref


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


Said = tuple[int, dict[str, str], str]


@dataclass
class Store:
    """Answers as ``say`` tells it, and remembers what was asked."""

    say: Callable[[Asked], Said]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    def ref(self, key: str = "d/", **options: str) -> Ref:
        return Ref(f"s3://bucket/{key}", tuple(sorted({"endpoint": self.url, **options}.items())))


@contextmanager
def serving(say: Callable[[Asked], Said]) -> Iterator[Store]:
    store = Store(say)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, query, headers)
            store.asked.append(asked)
            status, told, body = store.say(asked)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body.encode())), **told}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body.encode())

        do_HEAD = do_GET
        do_PUT = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """``Store.asked`` has it all."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        store.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()


def error(status: int, code: str, message: str = "") -> Said:
    return status, {}, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"


def page(*entries: tuple[str, int], token: str = "") -> Said:
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>&quot;e&quot;</ETag></Contents>"
        for key, size in entries
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    flag = "true" if token else "false"
    return 200, {}, f"<ListBucketResult><IsTruncated>{flag}</IsTruncated>{contents}{more}</ListBucketResult>"


def lists(say: Callable[[Asked], Said]) -> Callable[[Asked], Said]:
    """A store without versions, whose listing is ``say``."""

    def answer(asked: Asked) -> Said:
        if "list-type" in asked.query:
            return page(("d/x", 1)) if asked.query.get("max-keys") == "1" else say(asked)
        return error(501, "NotImplemented") if "versions" in asked.query else (200, {}, "")

    return answer


def open_store(asked: Asked) -> Said:
    """One object, ``d/x``, that anyone may have."""
    if "list-type" in asked.query:
        return page(("d/x", 1))
    if "versions" in asked.query:
        return error(403, "AccessDenied")
    return 200, {"ETag": '"e"'}, "1"
