"""Folders as web servers show them: the index pages of nginx (HTML and JSON), Apache httpd and Python's http.server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urljoin, urlsplit

from gotdata.credentials import site
from gotdata.errors import SourceError
from gotdata.paths import redact, remote_path
from gotdata.sources.http_engine import Engine
from gotdata.sources.http_page import HTML, Page, decoded

DEPTH = 64
"""Folders in one path. Each step goes to a longer URL, so only a server whose folders hold themselves gets there."""
LIMIT = 16 << 20
"""Characters of a page in HTML: read, they take a hundred times their room."""
_INDEX = re.compile(r"\s*(index of|directory listing)\b", re.I)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of an index. ``path`` is below the folder that is walked; of a folder that holds nothing, it ends in
    ``/``. ``size`` and ``version`` are there where the index tells them exactly."""

    path: str
    size: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """One folder: the names in it, those of folders ending in ``/``."""

    entries: tuple[Entry, ...]
    certain: bool
    """It calls itself an index; else it is a page that has links below itself."""
    kind: str


def walk(url: str, http: Engine) -> Iterator[Entry]:
    """Every file, and every empty folder, below a folder's URL, depth first."""
    folders = [""]
    while folders:
        folder = folders.pop()
        if folder.count("/") > DEPTH:
            raise SourceError(f"{redact(url)} has more than {DEPTH} folders in one path, {redact(folder)}: a loop?")
        index = read(below(url, folder), http)
        if not index.entries and folder:
            yield Entry(folder)
        for entry in index.entries:
            path = folder + entry.path
            if path.endswith("/"):
                folders.append(path)
            else:
                yield Entry(path, entry.size, entry.version)


def below(url: str, path: str) -> str:
    """The URL of a path below a folder's."""
    return url + quote(path, safe="/", errors="surrogateescape")


def read(url: str, http: Engine) -> Index:
    """One folder's index.

    Raises:
        SourceError: its server shows something else there.
    """
    page = http.text(url)
    index = parse(page)
    if index is None or not (index.certain or index.entries):
        what = "a web page" if page.kind in HTML else page.kind or "something"
        raise SourceError(
            f"{redact(url)} shows {what} where an index of the folder was due: "
            "give the URLs of its files, or ask its operator to switch the index on"
        )
    return index


def parse(page: Page) -> Index | None:
    """The index on a page, or None where it can't be one."""
    if page.kind == "application/json":
        return _from_json(page.text)
    if page.kind not in HTML:
        return None
    if len(page.text) > LIMIT:
        raise SourceError(
            f"{redact(page.url)} is a web page of more than {LIMIT >> 20} MiB, which is read as no index of a folder: "
            "give the URLs of its files"
        )
    links = _Links()
    links.feed(page.text)
    names = {name: None for href in links.hrefs if (name := _name(page.url, href))}
    return Index(tuple(Entry(name) for name in names), bool(_INDEX.match(links.title)), "html")


def _name(base: str, href: str) -> str:
    """The name of what a link points to, if that is directly in the folder, else empty: not the folder above, not the
    page sorted otherwise, not another place."""
    try:
        target = urlsplit(urljoin(base, href.strip()))
        if target.query or target.fragment or site(target.geturl()) != site(base):
            return ""
    except (ValueError, SourceError):
        return ""
    folder, path = (unquote(part, errors="surrogateescape") for part in (urlsplit(base).path, target.path))
    name = path.removeprefix(folder)
    if name == path or not name or "/" in name[:-1]:
        return ""
    return remote_path(name.removesuffix("/")) + "/" * name.endswith("/")


def _from_json(text: str) -> Index | None:
    """nginx with ``autoindex_format json``: sizes are exact, times are written as in Last-Modified."""
    try:
        rows = decoded(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(rows, list):
        return None
    entries = []
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str) or not isinstance(row.get("type"), str):
            return None
        name, size, modified = remote_path(row["name"]), row.get("size"), row.get("mtime")
        if row["type"] == "directory":
            entries.append(Entry(name + "/"))
        elif type(size) is int and size >= 0:
            entries.append(Entry(name, size, f"mtime:{modified}" if isinstance(modified, str) else ""))
        else:
            entries.append(Entry(name))
    return Index(tuple(entries), certain=True, kind="json")


class _Links(HTMLParser):
    """The targets of a page's links, and its title or first heading."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.title = ""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs += [value for name, value in attrs if name == "href" and value]
        self._in_title = tag in ("title", "h1") and not self.title.strip()

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False
