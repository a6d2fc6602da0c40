"""Questions to the Transfer API (https://docs.globus.org/api/transfer/), and what its errors and those of collections
mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

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
from gotdata.model import Kind, RemoteFile
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources.api import pages, rows, table, whole, words
from gotdata.sources.globus_place import Place
from gotdata.sources.http_answer import Refusal

DEPTH = 200
"""Folders in each other, after which a collection is taken for endless."""
LIMIT = 10_000
"""Entries in one answer, as asked for."""
_FAULTS = ("ENDPOINT_ERROR", "INTERNAL_ERROR", "GCS Manager Internal Error")
"""In the body of a refusal: what failed is a machine behind the collection, whatever the status says."""
_MISSING = "GridFTP-Errno: 2"
"""There is no such file: that is for good."""


def collection(place: Place, ctx: Context) -> Mapping[str, Any]:
    return ask(place, f"endpoint/{place.collection}", ctx)


def stat(place: Place, path: str, ctx: Context) -> Mapping[str, Any]:
    """One file or folder.

    Raises:
        NotFound
    """
    asked = urlencode({"path": path}, errors="surrogateescape")
    return ask(place, f"operation/endpoint/{place.collection}/stat?{asked}", ctx)


def walk(place: Place, ctx: Context) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """The paths of all files below a folder, relative to it, and what is told of them; for an empty folder None."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        if above.count("/") > DEPTH:
            raise SourceError(f"{place.text}: more than {DEPTH} folders in each other, at {place.api}: a loop")
        empty = True
        for entry in _children(place, f"{place.path.rstrip('/')}/{above}", ctx):
            path = above + words(entry, "name")
            if entry.get("type") == "dir" and not entry.get("link_target"):
                waiting.append(f"{path}/")
            elif entry.get("type") == "file":
                yield path, entry
            else:
                text = f"{place.text}: '{shown(path)}' is {_what(entry)}; it is left out"
                ctx.reporter(Event("warning", text=text))
                continue
            empty = False
        if empty and above:
            yield above[:-1], None


def _what(entry: Mapping[str, Any]) -> str:
    if entry.get("type") == "dir":
        return "a link to another folder, which may lead back"
    return f"no file ({shown(words(entry, 'type')) or 'of no type'})"


def file(entry: Mapping[str, Any] | None, path: str, at: str) -> RemoteFile:
    if entry is None:
        return RemoteFile(path, 0, Kind.DIR)
    size = whole(entry, "size")
    if not path or size is None:
        raise SourceError(f"a file is listed without a name or size: {shown(path)}")
    return RemoteFile(path, size, at=at, version=version(entry))


def version(entry: Mapping[str, Any]) -> str:
    """Globus tells no checksum, and of versions the time of the last change only."""
    modified = words(entry, "last_modified")
    return f"modified:{shown(modified)}" if modified else ""


def _children(place: Place, path: str, ctx: Context) -> Iterator[dict[str, Any]]:
    first = f"operation/endpoint/{place.collection}/ls?{urlencode({'path': path}, errors='surrogateescape')}"
    first += f"&orderby=name&show_hidden=1&limit={LIMIT}"

    def following(page: Mapping[str, Any]) -> tuple[int, str]:
        here = len(rows(page, "DATA"))
        offset = (whole(page, "offset") or 0) + here
        more = here >= (whole(page, "limit") or LIMIT)
        return here, f"{place.api}/{first}&offset={offset}" if more else ""

    def asked(url: str) -> Mapping[str, Any]:
        return ask(place, url.removeprefix(f"{place.api}/"), ctx)

    for page in pages(f"{place.api}/{first}", asked, following, f"{place.api}/operation/"):
        yield from rows(page, "DATA")


def ask(place: Place, what: str, ctx: Context, post: object = None) -> Mapping[str, Any]:
    """One question to the Transfer API, which answers nobody without a credential."""
    url = f"{place.api}/{what}"
    if ctx.credentials.find(url) is None:
        raise AuthRequired(f"{redact(url)}: Globus answers only who is known to it: `gotdata login globus`")
    found = table(ctx.http.json(url, post=post, explain=explain))
    if not found:
        raise SourceError(f"{redact(url)} is not what Globus answers")
    return found


def explain(refusal: Refusal, place: str = "globus") -> GotdataError | None:
    """The error that a refusal of the API or of a collection stands for. ``place`` is what to log in to."""
    login = f"`gotdata login {redact(place)}` stores a new credential"
    where = redact(refusal.url.partition("?")[0])
    if _MISSING not in refusal.text and any(word in refusal.text for word in _FAULTS):
        return SourceUnavailable(f"{where}: a machine behind the collection failed (answered as {refusal.status})")
    try:
        said = table(json.loads(refusal.text))
    except (ValueError, RecursionError):
        said = {}
    code, message = words(said, "code"), shown(words(said, "message").partition("\n")[0][:200])
    if refusal.status == 401 or re.search("AuthenticationFailed|NoCred", code):
        return AuthRequired(f"{where}: the credential was not taken, or there is none ({code or 401}): {login}")
    if re.search("ConsentRequired|AuthorizationParameters", code + refusal.text[:2000]):
        return AccessDenied(f"{where}: this collection asks for more than your credential gives ({code}): {login}")
    if re.search("Disconnected|ServiceUnavailable|Timeout", code):
        return SourceUnavailable(f"{where}: the collection can't be reached now ({code}: {message})")
    if re.search("NotDirectory|NotADirectory", code):
        return ResolveError(f"{where}: {message}")
    if "NotFound" in code or _MISSING in refusal.text:
        return NotFound(f"{where}: there is nothing there ({message or code or 'PATH_NOT_FOUND'})")
    if refusal.status == 403 or "PermissionDenied" in code:
        return AccessDenied(f"{where} refused ({code}: {message}): if you may read it, {login}")
    return (
        SourceError(f"{where} answered {refusal.status} ({code}: {message})") if code and refusal.status < 429 else None
    )
