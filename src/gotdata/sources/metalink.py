"""Metalink (RFC 5854, and version 3 of before): a list of files with sizes, hashes and the mirrors that have them. And
what servers say of a file in their headers (RFC 6249)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from gotdata.context import Context
from gotdata.credentials import parse as parse_url
from gotdata.errors import NotFound, SourceError
from gotdata.model import Checksum
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources.http_answer import Facts, digest_of
from gotdata.sources.http_xml import xml

KINDS = ("application/metalink4+xml", "application/metalink+xml")
"""Media types: of version 4, and of 3."""
MIRRORS = 20
"""Addresses of one file that are kept."""
_NAMED = re.compile(r"\.(meta4|metalink)$", re.I)
_SPACES = ("{urn:ietf:params:xml:ns:metalink}", "{http://www.metalinker.org/}")
_LAST = 999_999
"""The priority of an address that has none (RFC 5854, 4.2.16.3)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file. ``urls`` are the addresses that have it, the best first; ``size`` is None where the list says none."""

    path: str
    size: int | None
    checks: tuple[Checksum, ...]
    urls: tuple[str, ...]


def is_one(url: str, facts: Facts) -> bool:
    """Servers that don't know the media type send it as text or XML: then its name tells."""
    return facts.kind in KINDS or bool(_NAMED.search(urlsplit(url).path))


def parse(text: str, base: str) -> list[Entry]:
    """
    Args:
        base: the URL of the list; addresses may be relative to it.

    Raises:
        SourceError: it is no Metalink, or names a file that no web server has.
    """
    try:
        root = xml(text)
    except ValueError as error:
        raise SourceError(f"{redact(base)} is no Metalink: {error}") from None
    space = next((space for space in _SPACES if root.tag == f"{space}metalink"), None)
    if space is None:
        raise SourceError(f"{redact(base)} is no Metalink: its root is <{shown(root.tag)[:80]}>")
    return [_entry(found, space, base) for found in root.iter(f"{space}file")]


def _entry(found: ElementTree.Element, space: str, base: str) -> Entry:
    name = found.get("name", "")
    size = (found.findtext(f"{space}size") or "").strip()
    # Not those of its pieces, which are hashes too.
    hashes = [*found.findall(f"{space}hash"), *found.findall(f"{space}verification/{space}hash")]
    checks = {check.algorithm: check for one in hashes if (check := digest_of(one.get("type", ""), one.text or ""))}
    urls = tuple(dict.fromkeys(_addresses(found, space, base)))[:MIRRORS]
    if not urls:
        raise SourceError(f"{redact(base)}: '{shown(name)}' is at no web address")
    # Without a hash nothing tells whether another server has the same.
    kept = urls if checks else urls[:1]
    return Entry(name, int(size) if re.fullmatch(r"\d{1,18}", size) else None, tuple(sorted(checks.values())), kept)


def _addresses(found: ElementTree.Element, space: str, base: str) -> Iterator[str]:
    ranked: list[tuple[int, str]] = []
    for one in found.iter(f"{space}url"):
        # Version 4 counts from the best, version 3 to it.
        preference = _number(one.get("preference"), 0)
        rank = _number(one.get("priority"), _LAST - preference)
        if url := web_address((one.text or "").strip(), base):
            ranked.append((rank, url))
    return (url for _, url in sorted(ranked, key=lambda pair: pair[0]))


def web_address(text: str, base: str) -> str:
    """An absolute URL that the engine can ask; else empty."""
    try:
        found = parse_url(urljoin(base, text))
    except (SourceError, ValueError):
        return ""
    secure = found.scheme == "https" or (found.scheme == "http" and urlsplit(base).scheme == "http")
    return found.url if text and found.host and secure and not re.search(r"\s", found.url) else ""


def described(url: str, facts: Facts, ctx: Context) -> Entry:
    """What the headers of a file say of it: ``Link: rel=duplicate``, and a Metalink that describes it."""
    from gotdata.sources.signposting import parse as links

    signs = [(sign, base) for base, header in facts.links for sign in links(header)]
    found = Entry("", facts.size, facts.checks, ())
    for sign, base in signs:
        if "describedby" in sign.rel and sign.kind in KINDS and (at := web_address(sign.href, base)):
            found = _joined(url, found, at, ctx)
    duplicates = [web_address(sign.href, base) for sign, base in signs if "duplicate" in sign.rel]
    urls = tuple(dict.fromkeys(one for one in (*duplicates, *found.urls) if one and one != url))
    return Entry("", found.size, found.checks, urls[:MIRRORS] if found.checks else ())


def _joined(url: str, known: Entry, at: str, ctx: Context) -> Entry:
    """With what a Metalink adds. It is an extra: what is wrong with it is told, and the file is read without."""
    try:
        (entry,) = parse(ctx.http.text(at, home=url).text, at)
    except (SourceError, NotFound, ValueError) as error:
        ctx.reporter(Event("warning", text=f"{redact(url)} is described by {redact(at)}, which is of no use: {error}"))
        return known
    said = {check.algorithm: check for check in entry.checks}
    differs = [check for check in known.checks if said.setdefault(check.algorithm, check) != check]
    if differs or (entry.size is not None and entry.size != known.size):
        ctx.reporter(
            Event("warning", text=f"{redact(at)} describes another file than {redact(url)} is; it is not used")
        )
        return known
    return Entry("", known.size, tuple(sorted(said.values())), entry.urls)


def _number(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"\d{1,6}", text) else default
