"""What the sources of repositories share: answers of an API, page by page, and files whose bytes are HTTPS in the
end."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar
from urllib.parse import urljoin

from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import GotdataError, IntegrityError, NotFound, ResolveError, SourceError, SourceUnavailable
from gotdata.model import Pin, RemoteFile, Span
from gotdata.paths import redact
from gotdata.sources.base import Powers
from gotdata.sources.http_answer import Refusal
from gotdata.sources.http_page import Page

T = TypeVar("T")

PAGES = 200_000
"""Pages of one listing."""
EMPTY_PAGES = 100
"""Pages without an entry, one after the other, after which a listing is taken for endless."""


class Hosted:
    """The half of a source that is the same for all repositories: a listing gives each file its address (``at``,
    absolute), and the HTTP engine reads it there."""

    name: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    powers: ClassVar[Powers] = Powers()

    def homes(self, pin: Pin) -> tuple[str, ...]:
        """The places below which every request of a pin lies, each ending in ``/``."""
        raise NotImplementedError

    def explain(self, refusal: Refusal) -> GotdataError | None:
        """As ``http_answer.Explain``."""
        return None

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        url = self.url(pin, file)
        return ctx.http.get(url, span, size=file.size, version=file.version, explain=self.explain)

    def url(self, pin: Pin, file: RemoteFile) -> str:
        # A forged locator could have the bytes behind somebody's key kept as anybody's.
        if not any(below(file.at, home) for home in self.homes(pin)):
            raise IntegrityError(f"{redact(file.at)} is no address in {redact(pin.ref.url)}: the lock was edited")
        return file.at

    def realm(self, pin: Pin, ctx: Context) -> str:
        return ctx.credentials.realm(*self.homes(pin))

    def local(self, pin: Pin, file: RemoteFile) -> str:
        return ""


@contextmanager
def naming(provider: str) -> Iterator[None]:
    """Errors of the block say whom they are about: the engine's know the URL only."""
    try:
        yield
    except (SourceError, ResolveError, NotFound) as error:
        said = str(error)
        if said.lower().startswith(provider.lower()):
            raise
        if isinstance(error, SourceUnavailable):
            raise SourceUnavailable(f"{provider}: {said}", error.retry_after) from error
        raise type(error)(f"{provider}: {said}") from error


def below(url: str, home: str) -> bool:
    """Whether a URL lies below a place that ends in ``/``. Compared as it will be sent: ``..`` would lead elsewhere on
    that host, maybe behind somebody's key."""
    return parse(url).url.startswith(f"{parse(home).url.rstrip('/')}/")


def pages(first: str, ask: Callable[[str], T], following: Callable[[T], tuple[int, str]], home: str) -> Iterator[T]:
    """The pages of a listing, each as it comes.

    Args:
        ask: brings the page at a URL.
        following: how many entries a page has, and the URL of the next (absolute; empty after the last).
        home: every page lies below it.

    Raises:
        SourceError: the listing leads back to a page that was read, off its home, or nowhere for too long.
    """
    seen: set[int] = set()
    url, empty = first, 0
    while url:
        if not below(url, home):
            raise SourceError(f"{redact(first)}: its listing leads on to {redact(url)}, which is not below {home}")
        if hash(url) in seen:
            raise SourceError(f"{redact(first)}: its listing leads back to {redact(url)}: a loop on the server")
        seen.add(hash(url))
        page = ask(url)
        yield page
        count, url = following(page)
        empty = 0 if count else empty + 1
        if empty > EMPTY_PAGES or len(seen) > PAGES:
            raise SourceError(f"{redact(first)}: its listing does not end: {len(seen)} pages, the last ones empty")


def numbered(
    ask: Callable[[int, int], list[dict[str, Any]]], key: Callable[[dict[str, Any]], str]
) -> Iterator[dict[str, Any]]:
    """The entries of a listing whose pages are asked for by number, until one has nothing new: some servers send less
    of a page than was asked for, others know no pages and send all each time.

    Args:
        ask: brings a page, by its number from 0 and by how many entries came before.
        key: tells entries apart.
    """
    seen: set[int] = set()
    for number in range(PAGES):
        before = len(seen)
        for entry in ask(number, before):
            if (one := hash(key(entry))) not in seen:
                seen.add(one)
                yield entry
        if len(seen) == before:
            return


def next_link(page: Page) -> str:
    """The page after one, as its ``Link`` header names it (RFC 8288), absolute; empty where it names none."""
    found = re.search(r'<([^<>]*)>[^,<]*;\s*rel="?next\b', page.headers.get("Link", ""))
    return urljoin(page.url, found[1]) if found else ""


def table(of: object, name: str = "") -> Mapping[str, Any]:
    """The object ``of``, or what it has under a name; empty where that is no object."""
    found = of.get(name) if name and isinstance(of, dict) else of
    return found if isinstance(found, dict) else {}


def rows(of: object, name: str = "") -> list[dict[str, Any]]:
    """The objects in a list, or in the list that ``of`` has under a name."""
    found = table(of).get(name) if name else of
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def words(of: object, name: str) -> str:
    """The text under a name, a number as it is written; empty where there is none."""
    found = table(of).get(name)
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def whole(of: object, name: str) -> int | None:
    """The count (of bytes, of entries) under a name, also where it is written as text; None where there is none."""
    text = words(of, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
