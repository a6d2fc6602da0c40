"""RO-Crate (https://www.researchobject.org/ro-crate/specification): a folder, or a set of URLs, that
ro-crate-metadata.json describes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gotdata.context import Context
from gotdata.errors import SourceError
from gotdata.model import Citation
from gotdata.paths import redact
from gotdata.sources import jsonld
from gotdata.sources.described import Described, Document, below, link
from gotdata.sources.elsewhere import Link
from gotdata.sources.http_page import Page, parsed

Node = Mapping[str, Any]
_NAME = re.compile(r"(?i).*/([^/]+-)?ro-crate-metadata\.json(ld)?")


class RoCrate(Described):
    """The files are all entities of the type File; folders (Dataset) that list none are unknown."""

    name = "rocrate"
    schemes = ("rocrate",)
    accept = "application/ld+json, application/json"
    descriptor = "ro-crate-metadata.json"

    def known(self, url: str) -> bool:
        return bool(_NAME.fullmatch(urlsplit(url).path))

    def parse(self, page: Page, base: str, ctx: Context) -> Document:
        graph = {jsonld.text(node, "@id"): node for node in jsonld.values(parsed(page), "@graph")}
        root = _root(graph)
        if root is None:
            raise SourceError(f"{redact(page.url)} is no RO-Crate: nothing in it says which Dataset it is about")
        files = [node for node in graph.values() if jsonld.is_a(node, "File", "MediaObject")]
        return Document(list(_links(files, base)), _citation(root, graph))


def _root(graph: Mapping[str, Any]) -> Node | None:
    for id, node in graph.items():
        if _NAME.fullmatch(f"/{id}") and (about := graph.get(jsonld.text(node, "about"))) is not None:
            return about if jsonld.is_a(about, "Dataset") else None
    return None


def _links(files: list[Node], base: str) -> Iterator[Link]:
    for node in files:
        id = jsonld.text(node, "@id")
        if id.startswith(("#", "_:")):
            continue  # a part of something, or a file that is not on the web
        address = jsonld.text(node, "contentUrl") or id
        path = jsonld.text(node, "localPath").removeprefix("./")
        if not path and not re.match(r"[A-Za-z][\w+.-]*:|//", id):
            path = link(id, base).path
        # Names with spaces stand there as they are in crates that were written by hand.
        target = below(base, address.removeprefix("./")) if " " in address and ":" not in address else address
        yield link(target, base, path, jsonld.size(node), jsonld.checks(node))


def _citation(root: Node, graph: Mapping[str, Any]) -> Citation:
    """Of the root, whose people and licence are entities of their own."""
    whole = dict(root)
    for name in ("author", "creator", "license", "identifier"):
        found = [graph.get(jsonld.word(one), one) for one in jsonld.values(root, name)]
        if found:
            whole[name] = found
    if values := [jsonld.text(one, "value") or one for one in jsonld.values(whole, "identifier")]:
        whole["identifier"] = values
    return jsonld.citation(whole)
