"""What a lock says of a dataset, in formats that other tools read: Croissant and Data Package. The files are named by
their URLs, so that whoever has the document needs no gotdata."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gotdata.model import Checksum, Citation, Kind
from gotdata.report import Event
from gotdata.repository import Repository
from gotdata.tree.base import walk

_GRANT = re.compile(r"(?i)(?<=[?&])(?:rlkey|resourcekey)=[^&#]*&?")
"""Keys that links of Dropbox and Google Drive carry, by which anybody reads."""
_PACKAGE = "https://datapackage.org/profiles/2.0/datapackage.json"
_SNAPSHOT = re.compile(r'\n  "(?:snapshot|identifier)": "[^"]{32,}"')
_KINDS = mimetypes.MimeTypes()
"""Python's own table: what this machine has besides would make the same lock another document."""
_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)
_CONTEXT = {term: f"cr:{term}" for term in _TERMS.split()} | {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
"""That of Croissant 1.1, whole: its readers warn of any other."""


@dataclass(frozen=True, slots=True)
class Published:
    """A file as a document may name it.

    Attributes:
        path: in the dataset.
        url: where anybody reads it; empty where only who has the dataset does.
        place: where it appears, relative to the repository's root.
        withheld: its URL lacks the key that it is read with.
    """

    path: str
    size: int
    url: str
    place: str
    checks: tuple[Checksum, ...]
    withheld: bool = False

    @property
    def kind(self) -> str:
        return _KINDS.guess_type(self.path)[0] or "application/octet-stream"

    def check(self, algorithm: str) -> str:
        return next((check.hex for check in self.checks if check.algorithm == algorithm), "")


@dataclass(frozen=True, slots=True)
class About:
    """``page`` is where the data comes from, ``hashed`` whether every file has a sha256 or md5."""

    name: str
    citation: Citation
    snapshot: str
    page: str
    description: str
    hashed: bool


def export(repository: Repository, name: str, format: str, relative: bool = False) -> Iterator[str]:
    """The document of a dataset, piece by piece: a lock may name millions of files.

    Args:
        format: one of ``FORMATS``.
        relative: files are named by where they appear, relative to the repository's root.

    Raises:
        ManifestError, NotFound: there is no such dataset, or it is not locked.
    """
    write = FORMATS[format]
    hashed, withheld = True, 0
    for file in published(repository, name, relative):
        hashed &= bool(file.check("sha256") or file.check("md5"))
        withheld += file.withheld
    if withheld:
        said = f"{withheld} URLs hold the key of a shared link, which is left out: who reads the document needs it too"
        repository.ctx.reporter(Event("warning", name, text=said))
    tree = repository.tree(name)
    [pin, *_] = repository.pins(name)
    page = f"https://doi.org/{pin.citation.doi}" if pin.citation.doi else _web(pin.ref.url)
    description = repository.manifest.data[name].description or pin.citation.title or name
    about = About(name, pin.citation, tree.snapshot, page, description, hashed)
    return write(about, published(repository, name, relative))


def ours(text: str) -> bool:
    """Whether a document that begins so was written by ``export``."""
    begins = f'"$schema": "{_PACKAGE}"', '"@context": {\n    "arrayShape": "cr:arrayShape"'
    return text.startswith(tuple(f"{{\n  {one}" for one in begins)) and bool(_SNAPSHOT.search(text))


def published(repository: Repository, name: str, relative: bool) -> Iterator[Published]:
    """The files of a locked dataset. Links and empty folders have no place in these formats."""
    tree = repository.tree(name)
    to = repository.manifest.data[name].to
    for path, node in walk(tree):
        if node.kind is Kind.FILE:
            wanted = tree.wanted(node.id)
            known = () if relative else (one.url for one in wanted.origins)
            keyed, url = next(((url, web) for url in known if (web := _web(url))), ("", ""))
            checks = {check for one in wanted.origins[:1] for check in one.checks}
            algorithm, _, hex = node.identity.partition(":")
            checks |= {Checksum(algorithm, hex)} if algorithm != "weak" else set()
            yield Published(path, node.size, url, f"{to}/{path}", tuple(sorted(checks)), bool(_GRANT.search(keyed)))


def croissant(about: About, files: Iterable[Published]) -> Iterator[str]:
    """Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html), files only."""
    head: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": about.citation.title or about.name,
        "description": about.description,
        "identifier": about.snapshot,
    }
    if about.page:
        head["url"] = about.page
    if about.citation.licence:
        head["license"] = about.citation.licence
    if about.citation.creators:
        head["creator"] = [{"@type": "Person", "name": name} for name in about.citation.creators]
    if cited := _cited(about.citation):
        head["citeAs"] = cited
    if not about.hashed:
        # The one way in which the format lets files go without a checksum.
        head["isLiveDataset"] = True
    # An @id may not hold white space, whatever it stands for.
    ids = _Names(r"\s", "_")
    return _document(head, "distribution", (_object(file, ids.given(file.path)) for file in files))


def _object(file: Published, id: str) -> Mapping[str, Any]:
    said: dict[str, Any] = {
        "@type": "cr:FileObject",
        "@id": id,
        "name": file.path,
        "contentUrl": file.url or quote(file.place, safe="/", errors="surrogateescape"),
        "contentSize": f"{file.size} B",
        "encodingFormat": file.kind,
    }
    return said | {name: hex for name in ("sha256", "md5") if (hex := file.check(name))}


def datapackage(about: About, files: Iterable[Published]) -> Iterator[str]:
    """Data Package 2.0 (https://datapackage.org/standard/data-package/), which readers of 1.0 understand."""
    head: dict[str, Any] = {
        "$schema": _PACKAGE,
        "name": about.name,
        "title": about.citation.title or about.name,
        "description": about.description,
        "snapshot": about.snapshot,
    }
    if about.citation.doi:
        head["id"] = f"https://doi.org/{about.citation.doi}"
    if about.page:
        head["homepage"] = about.page
    if about.citation.licence:
        head["licenses"] = [_licence(about.citation.licence)]
    if about.citation.creators:
        head["contributors"] = [{"title": name, "roles": ["creator"]} for name in about.citation.creators]
    names = _Names(r"[^a-z0-9._/-]+", "-")
    return _document(head, "resources", (_resource(file, names.given(file.path.lower())) for file in files))


def _resource(file: Published, name: str) -> Mapping[str, Any]:
    said: dict[str, Any] = {
        "name": name,
        "path": file.url or file.place,
        "mediatype": file.kind,
        "bytes": file.size,
    }
    if sha256 := file.check("sha256"):
        return said | {"hash": f"sha256:{sha256}"}
    return said | ({"hash": md5} if (md5 := file.check("md5")) else {})


class _Names:
    """Names that a format allows, each given once."""

    def __init__(self, forbidden: str, instead: str) -> None:
        self._forbidden, self._instead = re.compile(forbidden), instead
        self._given: set[str] = set()

    def given(self, path: str) -> str:
        name = wanted = self._forbidden.sub(self._instead, path)
        number = 1
        while name in self._given:
            number += 1
            name = f"{wanted}--{number}"
        self._given.add(name)
        return name


def _licence(text: str) -> Mapping[str, str]:
    if text.startswith(("http://", "https://")):
        return {"path": text}
    return {"name": re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")}


FORMATS: Mapping[str, Callable[[About, Iterable[Published]], Iterator[str]]] = {
    "croissant": croissant,
    "datapackage": datapackage,
}


def _cited(citation: Citation) -> str:
    doi = f"https://doi.org/{citation.doi}" if citation.doi else ""
    return ". ".join(filter(None, ("; ".join(citation.creators), citation.title, doi)))


def _web(url: str) -> str:
    """A URL that a program without gotdata can read; empty of another. What is behind ``#`` is in an archive. The key
    of a shared link is not for whoever gets the document."""
    plain = re.sub(r"^[a-z0-9]+:(?=https?://)", "", _GRANT.sub("", url).rstrip("?&") if _GRANT.search(url) else url)
    return plain if plain.startswith(("http://", "https://")) and "#" not in plain else ""


def _document(head: Mapping[str, Any], key: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """JSON with a line for each entry, as they come."""
    yield json.dumps(head, indent=2, ensure_ascii=True)[:-2] + f',\n  "{key}": ['
    comma = "\n"
    for entry in entries:
        yield f"{comma}    {json.dumps(entry)}"
        comma = ",\n"
    yield "\n  ]\n}\n"
