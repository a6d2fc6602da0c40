"""FAIR Signposting (https://signposting.org/FAIR/): pages that name their files for programs, in the header Link or in
elements (level 1), or in a linkset (level 2, RFC 9264)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from gotdata.context import Context
from gotdata.errors import NotFound, SourceError, SourceUnavailable
from gotdata.model import Citation, Ref
from gotdata.paths import redact
from gotdata.sources import jsonld
from gotdata.sources.api import rows, table, words
from gotdata.sources.described import Described, Document, link, listed
from gotdata.sources.elsewhere import Link
from gotdata.sources.http_page import HTML, Page, parsed

HEAD = 1 << 20
"""Characters at the beginning of a page in which its links are looked for."""
_LINKSET = {"Accept": "application/linkset+json, application/linkset;q=0.8"}


@dataclass(frozen=True, slots=True)
class Typed:
    """A typed link. ``anchor`` is what it is a link of; empty for the page itself."""

    href: str
    rel: tuple[str, ...]
    kind: str = ""
    anchor: str = ""


class Signposting(Described):
    """Says neither size nor checksum nor version: all is asked where the files lie. The pin has what was listed, not
    the page, which changes with every visit."""

    name = "signposting"
    schemes = ("signposting",)
    accept = "text/html, */*;q=0.5"

    def parse(self, page: Page, base: str, ctx: Context) -> Document:
        signs = parse(page.headers.get("Link", "")) or _in_page(page)
        items = _items(signs)
        for sign in signs:
            if "linkset" in sign.rel:
                # By default a header has the first few items only; the linkset has them all.
                items = _items(_linkset(urljoin(base, sign.href), page.url, ctx)) or items
                break
        # What is relative says where a file lies, not what it is called.
        links = [Link(link(href, base).url) for href in items]
        cited = next((sign.href for sign in signs if "cite-as" in sign.rel and not sign.anchor), "")
        licence = next((sign.href for sign in signs if "license" in sign.rel and not sign.anchor), "")
        citation = Citation(doi=jsonld.citation({"url": cited}).doi, licence=licence)
        return Document(links, citation, basis=listed(links, {"cite-as": cited}) if links else b"-")


def recognise(url: str, ctx: Context) -> Ref | None:
    """A page that names its files, at whatever host."""
    ref = Ref(f"signposting:{url}")
    try:
        page = ctx.http.text(url, {"Accept": Signposting.accept})
        found = Signposting().parse(page, page.url, ctx)
    except SourceUnavailable:
        raise
    except (SourceError, NotFound):
        return None
    return ref if found.links else None


def parse(header: str) -> list[Typed]:
    """The links of a header (RFC 8288), of one or several that were joined by commas."""
    found = []
    for match in re.finditer(
        r"<([^<>]*)>((?:\s*;\s*[\w*!#$&+.^`|~-]+(?:\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s,;]*))?)*)", header
    ):
        said: dict[str, str] = {}
        for name, quoted, bare in re.findall(
            r";\s*([\w*-]+)\s*(?:=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,;]*)))?", match[2]
        ):
            said.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or bare)
        rel = tuple(said.get("rel", "").lower().split())
        found.append(Typed(match[1].strip(), rel, said.get("type", "").lower(), said.get("anchor", "")))
    return found


def _in_page(page: Page) -> list[Typed]:
    """The links that stand as elements in the beginning of a page, where a server can't be made to send a header."""
    found = []
    for element in re.findall(r"(?i)<link\b([^<>]*)>", page.text[:HEAD] if page.kind in HTML else ""):
        quoted = re.findall(r"([\w-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", element)
        said = {name.lower(): html.unescape(double or single or bare) for name, double, single, bare in quoted}
        found.append(
            Typed(said.get("href", "").strip(), tuple(said.get("rel", "").lower().split()), said.get("type", ""))
        )
    return [sign for sign in found if sign.href]


def _items(signs: list[Typed]) -> list[str]:
    """What the page is made of; of an item that has items itself, these."""
    of = [sign for sign in signs if "item" in sign.rel]
    anchors = {sign.anchor for sign in of} - {""}
    return list(dict.fromkeys(sign.href for sign in of if sign.href not in anchors))


def _linkset(url: str, home: str, ctx: Context) -> list[Typed]:
    page = ctx.http.text(url, _LINKSET, home=home)
    if page.kind == "application/linkset":
        return [_absolute(sign, page.url) for sign in parse(re.sub(r"\s+", " ", page.text))]
    found = parsed(page)
    if not isinstance(table(found).get("linkset"), list):
        raise SourceError(f"{redact(page.url)} is no linkset")
    return [_absolute(sign, page.url) for sign in _contexts(found)]


def _contexts(found: object) -> Iterator[Typed]:
    for context in rows(found, "linkset"):
        for rel in context:
            for target in rows(context, rel):
                yield Typed(words(target, "href"), (rel.lower(),), words(target, "type"), words(context, "anchor"))


def _absolute(sign: Typed, base: str) -> Typed:
    try:
        href, anchor = urljoin(base, sign.href), urljoin(base, sign.anchor) if sign.anchor else ""
        urlsplit(href), urlsplit(anchor)
    except ValueError:
        raise SourceError(f"{redact(base)} names '{redact(sign.href)}', which is no URL") from None
    return Typed(href, sign.rel, sign.kind, anchor)
