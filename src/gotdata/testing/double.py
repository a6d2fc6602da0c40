"""What the in-process servers of providers share: signed redirects, rate limits, walls, faults.

A double follows its provider's published API; what it can't know it leaves out. Each is also shown to the provider's
own client where there is one, so that it is held to something else than the source that it was written for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from gotdata.testing.server import Reply, Request, Server

LOGIN = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Who are you?</form></body></html>"


class Double:
    """A provider on loopback. A context manager. A subclass answers API requests in ``answer`` and serves bytes by
    ``signed`` or by ``server.put``.

    Attributes:
        server: the provider; its ``requests`` tell what was asked.
        store: another origin, where bytes lie behind signed URLs.
        limit: requests that are answered 429 before any other answer.
        retry_after: what is sent with each of these.
        wall: instead of every answer of the API: ``html``, a page with status 200; ``login``, one to sign in;
            ``challenge``, 202 and nothing (a wall against programs); ``garbage``, no JSON.
        denied: every request without ``token`` is refused.
        hostile: what the listing does: ``loop``, ``sizes``, ``names``, ``twins``, ``many`` (see ``hostile_contract``).
            The subclass does it.
        page: entries in one page of a listing.
    """

    token = "let-me-in"  # noqa: S105
    page = 100

    def __init__(self) -> None:
        self.server = Server(index="")
        self.store = Server(index="")
        self.server.otherwise = self._answer
        self.limit = 0
        self.retry_after = "1"
        self.wall = ""
        self.denied = False
        self.hostile = ""
        self._signed = 0

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.store.__enter__()
        return self

    def __exit__(self, *ended: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.server.__exit__(*ended)
        self.store.__exit__(*ended)

    @property
    def root(self) -> str:
        """Without a slash at its end."""
        return self.server.url.rstrip("/")

    def answer(self, request: Request, path: str) -> Reply | None:
        """What the API says. ``path`` is decoded, without the query; None is 404 without a body."""
        raise NotImplementedError

    def refusal(self, request: Request) -> Reply:
        """What the provider says to who has no token."""
        return reply(401, {"message": "Authentication is required."})

    def too_many(self) -> Reply:
        """What the provider says to who asks too often."""
        return Reply(429, {"Retry-After": self.retry_after}, b'{"message": "Too many requests"}')

    def allowed(self, request: Request) -> bool:
        """Whether a request carries ``token``, in whatever header the provider wants it."""
        return self.token in request.headers.get("authorization", "").split()

    def signed(self, path: str, body: bytes, **faults: Any) -> str:
        """Puts bytes into the store and returns a URL that is signed for GET: HEAD is refused, ranges are served."""
        self._signed += 1
        return f"{self.store.put(path, body, get_only=True, **faults)}?X-Amz-Signature=s{self._signed}&X-Amz-Expires=60"

    def cut(self, path: str, after: int, times: int = 1) -> None:
        """The next bodies of a stored file break off."""
        self.store.change(path, cut=after, cuts=times)

    def _answer(self, request: Request) -> Reply | None:
        if self.limit > 0:
            self.limit -= 1
            return self.too_many()
        if self.wall:
            return WALLS[self.wall]
        if self.denied and not self.allowed(request):
            return self.refusal(request)
        return self.answer(request, unquote(urlsplit(request.path).path, errors="surrogateescape"))


class Switched:
    """The switches of a ``source_contract.Place`` and of a ``hostile_contract.Liar``, for what a double serves."""

    def __init__(self, double: Double) -> None:
        self.double = double

    def deny(self) -> None:
        self.double.denied = True

    def limit(self, times: int) -> None:
        self.double.limit = times

    def lie(self, what: str) -> None:
        self.double.wall, self.double.hostile = (what, "") if what in WALLS else ("", what)

    def asked(self) -> int:
        return len(self.double.server.requests)


def reply(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer."""
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())


def ranged(request: Request, body: bytes, headers: Mapping[str, str], cut: int | None = None) -> Reply:
    """Bytes of a file, or the range of them that was asked for, where they come from the API itself. With ``cut`` the
    connection ends after so many, though more were announced."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    start, stop = (int(match[1]), min(int(match[2] or len(body)) + 1, len(body))) if match else (0, len(body))
    if match and start >= stop:
        return Reply(416, {**headers, "Content-Range": f"bytes */{len(body)}"}, b"")
    sent = {**headers, "Content-Length": str(stop - start)}
    if match:
        sent["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
    if cut is not None:
        sent["Connection"] = "close"
    return Reply(206 if match else 200, sent, body[start:stop] if cut is None else body[start:stop][:cut])


WALLS = {
    "html": Reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html><title>A portal</title></html>"),
    "login": Reply(200, {"Content-Type": "text/html; charset=utf-8"}, LOGIN),
    "challenge": Reply(202, {"x-amzn-waf-action": "challenge"}, b""),
    "garbage": Reply(200, {"Content-Type": "application/json"}, b'{"unfinished": ['),
}
