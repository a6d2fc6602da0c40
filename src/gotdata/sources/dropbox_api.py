"""Questions to Dropbox's API (https://www.dropbox.com/developers/documentation/http/documentation), and what its errors
mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
)
from gotdata.model import Checksum, Kind, RemoteFile
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources.api import pages, rows, table, whole, words
from gotdata.sources.dropbox_place import Place
from gotdata.sources.http_answer import Refusal
from gotdata.sources.http_page import HTML

NO_BYTES = "has no bytes of its own (Paper, a Google document): export it, and share that file"
PAGE = 2000
"""Entries in one answer, as asked for."""
_MEANT = {
    "shared_link_not_found": (NotFound, "there is no such shared link any more"),
    "shared_link_access_denied": (AccessDenied, "this link wants a password, or a member of its team"),
    "shared_link_is_directory": (ResolveError, "this is a folder where a file was due"),
    "unsupported_link_type": (ResolveError, "the API reads no links of this kind"),
    "unsupported_file": (ResolveError, f"it {NO_BYTES}"),
    "unsupported_content_type": (ResolveError, f"it {NO_BYTES}"),
    "not_found": (NotFound, "there is nothing at this path"),
    "malformed_path": (ResolveError, "no path in Dropbox is written like this"),
    "not_file": (ResolveError, "this is a folder where a file was due"),
    "not_folder": (ResolveError, "this is a file where a folder was due"),
    "restricted_content": (AccessDenied, "Dropbox does not let this content be had (a legal restriction)"),
    "locked": (AccessDenied, "this content is locked"),
    "reset": (SourceError, "the folder changed too much while it was listed: list it again"),
}
"""By the words of an ``error_summary`` (``path/not_found/..``)."""


def metadata(place: Place, ctx: Context) -> dict[str, Any]:
    """The file or folder at a place."""
    if place.link:
        arg = {"url": place.link} | ({"path": place.path} if place.path else {})
        return _ask(place, "sharing/get_shared_link_metadata", arg, ctx)
    if not place.path:  # the API refuses to tell of the root
        return {".tag": "folder"}
    return _ask(place, "files/get_metadata", {"path": place.path}, ctx)


def revision(place: Place, id: str, rev: str, ctx: Context) -> dict[str, Any]:
    """A file at another revision."""
    if not re.fullmatch("[0-9a-f]{9,}", rev):
        raise ResolveError(f"{redact(place.text)}: {shown(rev)} is no revision: hexadecimal digits are due")
    found = _ask(place, "files/get_metadata", {"path": f"rev:{rev}"}, ctx)
    if words(found, "id") != id:
        raise ResolveError(f"{redact(place.text)}: the revision {rev} is of another file")
    return found


def walk(place: Place, ctx: Context) -> Iterator[RemoteFile]:
    """All below a folder, which is asked folder by folder: of shared links the API lists nothing deeper."""
    seen: set[int] = set()
    waiting = [""]
    while waiting:
        above = waiting.pop()
        empty = True
        for entry in _children(place, above, ctx):
            path = f"{above}{words(entry, 'name')}"
            if entry.get(".tag") == "folder":
                known = hash(words(entry, "id") or path)
                if known in seen:
                    raise SourceError(f"{redact(place.text)}: the folder '{shown(path)}' holds itself")
                seen.add(known)
                waiting.append(f"{path}/")
            elif entry.get(".tag") == "file":
                found = file(entry, above)
                if found is None:
                    text = f"{redact(place.text)}: '{shown(path)}' {NO_BYTES}; it is left out"
                    ctx.reporter(Event("warning", text=text))
                    continue
                yield found
            else:
                continue
            empty = False
        if empty and above:
            yield RemoteFile(above[:-1], 0, Kind.DIR)


def file(entry: Mapping[str, Any], above: str) -> RemoteFile | None:
    """A file as the API describes it; None for one without bytes."""
    if entry.get("is_downloadable") is False:
        return None
    name, rev, size = words(entry, "name"), words(entry, "rev"), whole(entry, "size")
    if not name or not rev or size is None:
        raise SourceError(f"a file is listed without a name, revision or size: {shown(above + name)}")
    content = words(entry, "content_hash")
    checks = (Checksum("dropbox", content),) if re.fullmatch("[0-9a-f]{64}", content) else ()
    return RemoteFile(f"{above}{name}", size, version=f"rev:{rev}", checks=checks)


def result(headers: Mapping[str, str]) -> Mapping[str, Any]:
    """What comes with the bytes of a file."""
    try:
        return table(json.loads(headers.get("Dropbox-API-Result", "")))
    except ValueError:
        return {}


def _children(place: Place, above: str, ctx: Context) -> Iterator[dict[str, Any]]:
    path = f"{place.path}/{above}".rstrip("/")
    first: dict[str, Any] = {"path": path, "limit": PAGE, "include_non_downloadable_files": True}
    if place.link:
        first["shared_link"] = {"url": place.link}
    start = f"{place.api}/2/files/list_folder"

    def ask(url: str) -> dict[str, Any]:
        # What is asked is no part of the URL: a cursor stands as its fragment, so that a loop is seen.
        _, _, cursor = url.partition("#")
        if cursor:
            return _ask(place, "files/list_folder/continue", {"cursor": unquote(cursor)}, ctx)
        return _ask(place, "files/list_folder", first, ctx)

    def following(page: dict[str, Any]) -> tuple[int, str]:
        cursor = words(page, "cursor") if page.get("has_more") is True else ""
        return len(rows(page, "entries")), f"{start}/continue#{quote(cursor, safe='')}" if cursor else ""

    for page in pages(start, ask, following, f"{place.api}/2/files/"):
        yield from rows(page, "entries")


def _ask(place: Place, route: str, arg: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    url = f"{place.api}/2/{route}"
    found = ctx.http.json(url, post=arg, explain=explain)
    if not isinstance(found, dict):
        raise SourceError(f"{redact(url)} is not what Dropbox answers")
    return found


def explain(refusal: Refusal) -> GotdataError | None:
    """The error that Dropbox's own words stand for."""
    where = redact(refusal.url.partition("?")[0])
    if refusal.status in (404, 429) and refusal.headers.get("Content-Type", "").startswith(HTML):
        if refusal.status == 429:
            return SourceUnavailable(f"{where}: Dropbox has stopped this link for a day, for its traffic", 3600)
        return NotFound(f"{where} answered 404: there is no such shared link, or it was disabled")
    try:
        said = json.loads(refusal.text)
    except (ValueError, RecursionError):
        if refusal.status == 400:
            return SourceError(f"{where} answered 400: {shown(refusal.text[:200])}")
        return None
    summary = words(said, "error_summary")
    if refusal.status == 401:
        return _unauthorised(where, summary, words(table(said, "error"), "required_scope"))
    if refusal.status != 409:
        return None
    for word in summary.split("/"):
        if word in _MEANT:
            kind, text = _MEANT[word]
            return kind(f"{where}: {text} ({shown(summary)})")
    return SourceError(f"{where} refused: {shown(summary)}")


def _unauthorised(where: str, summary: str, scope: str) -> GotdataError:
    again = "`gotdata login dropbox` stores a new one"
    if summary.startswith("missing_scope"):
        return AccessDenied(f"{where}: your token lacks the permission {shown(scope)}: {again}")
    if summary.startswith("expired_access_token"):
        return AuthRequired(f"{where}: your token has run out: {again}")
    return AuthRequired(f"{where} takes no such token ({shown(summary)}): {again}")
