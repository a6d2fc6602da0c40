"""Pages about data that describe it in schema.org's words (https://schema.org/Dataset): JSON-LD in the page, as search
engines read it, or in its place where the server gives either."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gotdata.context import Context
from gotdata.errors import NotFound, SourceError, SourceUnavailable
from gotdata.model import Ref
from gotdata.paths import redact
from gotdata.sources import croissant, jsonld
from gotdata.sources.described import Described, Document, link, listed
from gotdata.sources.http_page import HTML, Page, decoded, parsed

_SCRIPT = re.compile(r"(?i)<script\b")


class SchemaOrg(Described):
    """The pin has what was listed, not the page, which changes with every visit."""

    name = "schemaorg"
    schemes = ("schemaorg",)
    accept = "application/ld+json, text/html;q=0.8, */*;q=0.5"

    def parse(self, page: Page, base: str, ctx: Context) -> Document:
        dataset = next((node for one in _documents(page) for node in jsonld.nodes(one) if _is_data(node)), None)
        if dataset is None:
            raise SourceError(f"{redact(page.url)} does not say in schema.org's words which files its data has")
        if any(jsonld.is_a(one, "FileObject", "FileSet") for one in jsonld.values(dataset, "distribution")):
            found = croissant.described(dataset, base)
            links = list(found.links)
            wholes = {f"whole {number}": str(whole) for number, whole in enumerate(found.wholes)}
            return Document(links, found.citation, found.wholes, listed(links, wholes))
        links = []
        for node in (dataset, *jsonld.values(dataset, "distribution")):
            for address in jsonld.values(node, "contentUrl"):
                one = link(jsonld.word(address), base, "", jsonld.size(node), jsonld.checks(node))
                links.append(replace(one, path="" if node is dataset else _name(node)))
        return Document(links, jsonld.citation(dataset), basis=listed(links))


def recognise(url: str, ctx: Context) -> Ref | None:
    """A page that names its files so, at whatever host."""
    try:
        page = ctx.http.text(url, {"Accept": SchemaOrg.accept})
        found = SchemaOrg().parse(page, page.url, ctx)
    except SourceUnavailable:
        raise
    except (SourceError, NotFound):
        return None
    return Ref(f"schemaorg:{url}") if found.links or found.wholes else None


def _documents(page: Page) -> Iterator[Any]:
    if page.kind not in HTML:
        yield parsed(page)
        return
    for piece in _SCRIPT.split(page.text)[1:]:
        attributes, _, text = piece.partition(">")
        if "application/ld+json" in html.unescape(attributes).lower():
            try:
                yield decoded(re.split("(?i)</script", text, maxsplit=1)[0])
            except (ValueError, RecursionError):
                continue  # pages hold several, and one that is broken is no reason against the others


def _is_data(node: Mapping[str, Any]) -> bool:
    """Whether a node describes data and names files; DataCite's say them beside ``distribution``."""
    if not jsonld.is_a(node, "Dataset", "DataFeed", "SoftwareSourceCode", "CreativeWork"):
        return False
    return any(jsonld.text(one, "contentUrl") for one in (node, *jsonld.values(node, "distribution")))


def _name(node: object) -> str:
    """A title, mostly; a name of a file where it looks like one."""
    name = jsonld.text(node, "name")
    return name if re.fullmatch(r"[\w .()+-]+\.\w{1,10}", name) else ""
