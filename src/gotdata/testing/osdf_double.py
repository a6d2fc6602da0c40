"""A Pelican federation on loopback: a director, a cache, an origin that lists its namespace by WebDAV
(https://docs.pelicanplatform.org, and what pelicanfs reads of a director's answers)."""

from __future__ import annotations

from email.utils import formatdate
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.server import Reply, Request
from gotdata.testing.webdav_double import Cloud, etag

NAMESPACE = "/lab/cells"


class Federation(Double):
    """The server is the federation's and the director; ``store`` is a cache.

    Attributes:
        origin: holds the files, below ``NAMESPACE``.
        listed: folders of the namespace can be listed.
        closed: its bytes are for those who hold a token.
        ill: requests that the cache answers 502.
        breaks: how many bytes its next bodies have, each once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.origin = Cloud()
        self.origin.account, self.origin.lengths = "", True
        self.listed = True
        self.closed = False
        self.ill = 0
        self.breaks: list[int] = []
        self.store.otherwise = self._cached

    def __enter__(self) -> Self:
        self.origin.__enter__()
        return super().__enter__()

    def __exit__(self, *ended: type[BaseException] | BaseException | TracebackType | None) -> None:
        super().__exit__(*ended)
        self.origin.__exit__(*ended)

    def answer(self, request: Request, path: str) -> Reply | None:
        if path == "/.well-known/pelican-configuration":
            return reply(200, {"director_endpoint": self.root, "namespace_registration_endpoint": self.root})
        asked, _, _ = request.path.partition("?")
        for prefix in ("/api/v1.0/director/object", "/api/v1.0/director/origin"):
            path, asked = path.removeprefix(prefix), asked.removeprefix(prefix)
        inside = path.strip("/")
        if not path.startswith(NAMESPACE):
            return reply(404, {"status": "error", "msg": f"no namespace found for path {path}"})
        if request.method == "GET" and inside not in self.origin.files and inside not in self.origin.folders:
            return reply(404, {"status": "error", "msg": f"object {path} not found"})
        said = f"namespace={NAMESPACE}, require-token={str(self.closed).lower()}"
        said += f", collections-url={self.origin.root}" if self.listed else ""
        cache, origin = self.store.url.rstrip("/") + asked, f"{self.origin.root}{asked}"
        headers = {
            "Location": cache,
            "X-Pelican-Namespace": said,
            "Link": f'<{cache}>; rel="duplicate"; pri=1; depth=2, <{origin}>; rel="duplicate"; pri=2; depth=2',
        }
        return Reply(307, headers, b"")

    def _cached(self, request: Request) -> Reply | None:
        if self.ill > 0:
            self.ill -= 1
            return Reply(502, {}, b"")
        body = self.origin.files.get(self._path(request))
        if body is None:
            return Reply(404, {}, b"")
        headers = {"ETag": etag(body), "Last-Modified": formatdate(784111777, usegmt=True)}
        return ranged(request, body, headers, self.breaks.pop() if self.breaks else None)

    @staticmethod
    def _path(request: Request) -> str:
        return unquote(urlsplit(request.path).path, errors="surrogateescape").strip("/")
