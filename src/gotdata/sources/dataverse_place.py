"""What of Dataverse a reference names, told from its text: a dataset or a file, at an installation, maybe of a
version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.model import Ref

PID = re.compile(r"(?i)(?:(?:doi|hdl):\S+/\S+|perma:\S+)")
"""Persistent ids: DOIs, handles, and PermaLinks, which mean something at their installation only."""
_PAGE = re.compile(r"(?P<site>.*?)/(?P<page>dataset\.xhtml|file\.xhtml|citation|filecitation)")
_API = re.compile(
    r"(?P<site>.*?)/api/(?:(?:v1/)?)(?P<kind>datasets|files|access/datafile)/(?P<id>:persistentId|\d+)/?.*"
)
_VERSION_IN_PATH = re.compile(r".*/versions/(?P<version>[^/]+).*")


@dataclass(frozen=True, slots=True)
class Place:
    """Attributes:
    root: the installation's address, without a slash at its end.
    id: a persistent id, or the number that the installation gave.
    file: it is, or may be, a file's.
    version: as the reference has it; or empty.
    """

    root: str
    id: str
    file: bool = False
    version: str = ""

    @property
    def persistent(self) -> bool:
        return not self.id.isdigit()

    def api(self, kind: str, path: str = "", query: str = "") -> str:
        """A URL of the API: ``kind`` is ``datasets`` or ``files``."""
        named = f"persistentId={quote(self.id, safe=':/')}" if self.persistent else ""
        asked = "&".join(filter(None, (named, query)))
        id = ":persistentId" if self.persistent else self.id
        return f"{self.root}/api/{kind}/{id}{path}{'?' * bool(asked)}{asked}"

    @property
    def page(self) -> str:
        """Where people look at it."""
        page = "file" if self.file else "dataset"
        name = "persistentId" if self.persistent else "fileId" if self.file else "id"
        return f"{self.root}/{page}.xhtml?{name}={quote(self.id, safe=':/')}"


def place_of(ref: Ref) -> Place | None:
    """What a reference to any installation names; None where it is none.

    Pages of Dataverse are known by their paths and ``persistentId=``, at whatever host: there are more than a hundred
    installations.
    """
    try:
        parts = urlsplit(re.sub(r"(?i)^dataverse:", "", ref.url))
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        return None
    path, query = unquote(parts.path), parse_qs(parts.query)
    found = _PAGE.fullmatch(path) or _API.fullmatch(path)
    # Drawn pages of other kinds (a search, a collection) name no data; another format of a file is another file.
    if found is None or query.get("format", ["original"]) != ["original"]:
        return None
    file = "file" in (found.groupdict().get("page") or found.groupdict().get("kind") or "")
    id = _id(found.groupdict().get("id") or "", query, file)
    if not id:
        return None
    within = _VERSION_IN_PATH.fullmatch(path)
    version = query.get("version", query.get("datasetVersion", [within["version"] if within else ""]))[0]
    return Place(f"{parts.scheme.lower()}://{parts.netloc.lower()}{found['site']}", id, file, version)


def _id(number: str, query: dict[str, list[str]], file: bool) -> str:
    if number.isdigit():
        return number
    given = query.get("persistentId", query.get("fileId" if file else "id", [""]))[0].strip()
    return given if given.isdigit() or PID.fullmatch(given) else ""
