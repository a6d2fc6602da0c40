"""Data Package (https://specs.frictionlessdata.io/data-package/, https://datapackage.org/standard/data-package/): a
folder, or a set of URLs, whose datapackage.json names the files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gotdata.context import Context
from gotdata.errors import SourceError
from gotdata.model import Checksum, Citation
from gotdata.paths import redact, shown
from gotdata.sources import jsonld
from gotdata.sources.api import rows, table, whole, words
from gotdata.sources.described import Described, Document, below, link
from gotdata.sources.elsewhere import Link
from gotdata.sources.http_page import Page, parsed


class DataPackage(Described):
    """Versions 1 and 2. A file's checks are the descriptor's ``hash``: md5 where it has no prefix. Data that stands in
    the descriptor itself (``data``) comes with it."""

    name = "datapackage"
    schemes = ("datapackage",)
    descriptor = "datapackage.json"

    def known(self, url: str) -> bool:
        return urlsplit(url).path.lower().endswith("/datapackage.json")

    def parse(self, page: Page, base: str, ctx: Context) -> Document:
        package = parsed(page)
        if not isinstance(package, dict) or not isinstance(package.get("resources"), list):
            raise SourceError(f"{redact(page.url)} is no data package: it has no list of resources")
        if any(not isinstance(one, dict) for one in package["resources"]):
            raise SourceError(f"{redact(page.url)} names resources that are described elsewhere; these can't be read")
        links = {one.url: one for resource in package["resources"] for one in _beside(resource, base)}
        links |= {one.url: one for resource in package["resources"] for one in _links(resource, base)}
        return Document(list(links.values()), _citation(package))


def _links(resource: Mapping[str, Any], base: str) -> Iterator[Link]:
    """The file of a resource, or its parts, of which neither ``bytes`` nor ``hash`` is told."""
    found = resource.get("path")
    paths = [str(path) for path in found] if isinstance(found, list) else [found] if isinstance(found, str) else []
    for path in filter(None, paths):
        size = whole(resource, "bytes") if len(paths) == 1 else None
        stats = table(resource, "stats")  # where some versions of frictionless write them
        if size is None and len(paths) == 1:
            size = whole(stats, "bytes")
        yield _link(path, base, size, _checks(resource, stats) if len(paths) == 1 else ())


def _beside(resource: Mapping[str, Any], base: str) -> Iterator[Link]:
    """Files in which a resource keeps its schema or dialect: who reads the package needs them."""
    for name in ("schema", "dialect"):
        found = resource.get(name)
        if isinstance(found, str) and found and not _is_url(found):
            yield _link(found, base)


def _link(path: str, base: str, size: int | None = None, checks: tuple[Checksum, ...] = ()) -> Link:
    if _is_url(path):
        return link(path, base, "", size, checks)
    # A path of a file system, not a URI: it may hold ? and %.
    plain = path.removeprefix("./")
    return link(below(base, plain), base, plain, size, checks)


def _is_url(path: str) -> bool:
    return bool(re.match(r"(?i)[a-z][a-z0-9+.-]+://", path))


def _checks(resource: Mapping[str, Any], stats: Mapping[str, Any]) -> tuple[Checksum, ...]:
    said = [words(resource, "hash") or _told(words(stats, "hash"), words(resource, "hashing"))]
    said += [f"{name}:{words(stats, name)}" for name in ("md5", "sha256") if words(stats, name)]
    found = set()
    for one in filter(None, said):
        name, _, hex = one.lower().rpartition(":")
        name = (name or "md5").replace("-", "")
        if not re.fullmatch("[0-9a-f]+", hex):
            raise SourceError(f"a resource has the hash '{shown(one)}', which is none")
        if jsonld.is_digest(name, hex):
            found.add(Checksum(name, hex))
    return tuple(sorted(found))


def _told(hex: str, algorithm: str) -> str:
    return f"{algorithm}:{hex}" if hex and algorithm else hex


def _citation(package: Mapping[str, Any]) -> Citation:
    people = [words(one, "title") for one in rows(package, "contributors")] or [words(package, "author")]
    licences = [words(one, "name") or words(one, "title") or words(one, "path") for one in rows(package, "licenses")]
    doi = jsonld.citation({"identifier": package.get("id"), "url": package.get("homepage")}).doi
    title = words(package, "title") or words(package, "name")
    return Citation(title, tuple(filter(None, people)), doi, ", ".join(filter(None, licences)))
