"""Croissant (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html): a dataset's description whose
``distribution`` names its files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gotdata.context import Context
from gotdata.errors import SourceError
from gotdata.paths import redact
from gotdata.sources import jsonld
from gotdata.sources.described import Described, Document, Whole, below, link
from gotdata.sources.elsewhere import Link
from gotdata.sources.http_page import Page, parsed

Node = Mapping[str, Any]
_KNOWN = re.compile(r"(?i)[^?#]*/([^/?#]*[-_.])?croissant\.json(ld)?([?#].*)?|[^#]*[?&]exporter=croissant(slim)?(&.*)?")
_HUB = re.compile(r"(?i)https://(www\.)?huggingface\.co/api/datasets/[^?#]+/croissant/?([?#].*)?")


class Croissant(Described):
    """What lies in an archive stands for itself as that archive, unopened; a repository that a FileSet picks files from
    is listed by its own source."""

    name = "croissant"
    schemes = ("croissant",)
    accept = "application/ld+json, application/json"

    def known(self, url: str) -> bool:
        return bool(_KNOWN.fullmatch(url) or _HUB.fullmatch(url))

    def parse(self, page: Page, base: str, ctx: Context) -> Document:
        found = parsed(page)
        dataset = next((node for node in jsonld.nodes(found) if jsonld.is_a(node, "Dataset")), None)
        if dataset is None:
            raise SourceError(f"{redact(page.url)} is no Croissant document: it describes no Dataset")
        return described(dataset, base)


def described(dataset: Node, base: str) -> Document:
    """The files of a Dataset node."""
    objects = [node for node in jsonld.values(dataset, "distribution") if isinstance(node, dict)]
    repositories = {_id(node): node for node in objects if _is_repository(node)}
    inside = [(node, [one for one in _containers(node) if one in repositories]) for node in objects]
    wholes = [
        _picked(node, link(_address(repositories[where]), base).url) for node, within in inside for where in within
    ]
    wholes += [
        Whole(link(_address(node), base).url)
        for id, node in repositories.items()
        if not any(id in within for _, within in inside)
    ]
    return Document(list(_links(objects, base)), jsonld.citation(dataset), wholes)


def _links(objects: Sequence[Node], base: str) -> Iterator[Link]:
    for node in objects:
        if jsonld.is_a(node, "FileSet") or _containers(node) or _is_repository(node):
            continue
        if address := _address(node):
            # A path beside the document is written as such, and not as a URI, by some.
            target = below(base, address) if re.search(r"[ <>\"{}|\\^`]", address) and ":" not in address else address
            yield link(target, base, _path(node, address), jsonld.size(node), jsonld.checks(node))


def _path(node: Node, address: str) -> str:
    """Where a file appears: its place beside the document, else its id or name where these look like one. Empty for the
    name that it has where it lies."""
    if not re.match(r"[A-Za-z][\w+.-]*:|//", address) and "?" not in address:
        return ""
    id, name = _id(node), jsonld.text(node, "name")
    if id != name and id == re.sub(r"\s", "_", name):
        return name  # an @id may hold no white space
    for word in (id, name):
        if re.fullmatch(r"[^#:][^:]*\.\w{1,10}", word):
            return word
    return ""


def _address(node: Node) -> str:
    return jsonld.text(node, "contentUrl")


def _id(node: Node) -> str:
    return jsonld.text(node, "@id") or jsonld.text(node, "name")


def _containers(node: Node) -> list[str]:
    found = jsonld.values(node, "containedIn")
    return [jsonld.text(one, "@id") if isinstance(one, dict) else str(one) for one in found]


def _is_repository(node: Node) -> bool:
    return any(str(kind).startswith("git+") for kind in jsonld.values(node, "encodingFormat"))


def _picked(node: Node, url: str) -> Whole:
    """What a FileSet, or a FileObject whose ``contentUrl`` is a path there, takes of a repository."""
    if not jsonld.is_a(node, "FileSet"):
        return Whole(url, (re.sub(r"([*?[])", r"[\1]", _address(node)),))
    includes, excludes = (tuple(map(str, jsonld.values(node, name))) for name in ("includes", "excludes"))
    return Whole(url, includes, excludes)
