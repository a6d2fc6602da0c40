"""Questions to the Drive API (https://developers.google.com/workspace/drive/api/reference/rest/v3), and what its errors
mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any
from urllib.parse import quote, urlencode

from gotdata.context import Context
from gotdata.errors import AccessDenied, AuthRequired, GotdataError, NotFound, ResolveError, SourceError
from gotdata.errors import SourceUnavailable as Unavailable
from gotdata.model import Checksum, Kind, RemoteFile
from gotdata.paths import fold, redact, shown
from gotdata.report import Event
from gotdata.sources.api import pages, rows, table, whole, words
from gotdata.sources.gdrive_place import Place
from gotdata.sources.http_answer import Refusal

FOLDER = "application/vnd.google-apps.folder"
SHORTCUT = "application/vnd.google-apps.shortcut"
NATIVE = "application/vnd.google-apps."
"""All else of this kind (a Doc, a Sheet, a form) has no bytes until it is exported, and then others each time."""
NO_BYTES = "has no bytes of its own (a Google document): download it as a file, and share that"
SHORTCUTS = 1000
"""Followed in one listing: of folders that lead to each other there may be no end."""
_ENTRY = (
    "id,name,mimeType,size,md5Checksum,sha1Checksum,sha256Checksum,headRevisionId,modifiedTime,trashed,resourceKey,"
    "shortcutDetails"
)
_CHECKS = {"sha256Checksum": ("sha256", 64), "sha1Checksum": ("sha1", 40), "md5Checksum": ("md5", 32)}
_LOGIN = "`gotdata login gdrive` stores a credential"
_DAY = 86_400.0
_REFUSED = {
    "cannotDownloadAbusiveFile": "Google takes this file for malware and sends it to its owner only",
    "cannotDownloadFile": "its owner allows no download",
    "fileNotDownloadable": f"it {NO_BYTES}",
    "appNotAuthorizedToFile": f"your credential is for files of its own application only: {_LOGIN} for all",
    "insufficientFilePermissions": "you may not read this file",
    "insufficientPermissions": f"your credential lacks the permission to read: {_LOGIN}",
    "domainPolicy": "the rules of its organisation keep programs out",
    "accessNotConfigured": "the project of your API key has not switched the Drive API on",
}
"""Reasons of a 403 that no waiting changes."""
_LIMITS = {"userRateLimitExceeded", "rateLimitExceeded", "sharingRateLimitExceeded", "backendError"}
_QUOTAS = {
    "downloadQuotaExceeded": "this file was downloaded too often today",
    "dailyLimitExceeded": "the questions of your credential's project are used up for today",
}


def metadata(place: Place, ctx: Context) -> dict[str, Any]:
    """What is behind an id.

    Raises:
        NotFound: nothing, or nothing for who asks.
    """
    url = f"{place.api}/{place.id}?{urlencode({'fields': _ENTRY, 'supportsAllDrives': 'true'}, safe=',')}"
    found = _ask(url, keys(place.id, place.key), ctx)
    if not words(found, "id") or not words(found, "mimeType"):
        raise SourceError(f"{redact(url)} is not what Drive answers")
    if found.get("trashed") is True:
        raise NotFound(f"{redact(place.text)} is in its owner's bin")
    return found


def target(place: Place, ctx: Context) -> tuple[Place, dict[str, Any]]:
    """What a place leads to, past shortcuts.

    Raises:
        ResolveError: they lead back to themselves.
    """
    seen: set[str] = set()
    while place.id not in seen:
        seen.add(place.id)
        found = metadata(place, ctx)
        if found["mimeType"] != SHORTCUT:
            return Place(place.site, words(found, "id"), place.key or words(found, "resourceKey")), found
        place = aim(place, found)
    raise ResolveError(f"{redact(place.text)} is a shortcut that leads back to itself: a loop")


def aim(place: Place, shortcut: Mapping[str, Any]) -> Place:
    """What a shortcut points to."""
    details = table(shortcut, "shortcutDetails")
    id = words(details, "targetId")
    if not re.fullmatch(r"[\w-]+", id):
        raise SourceError(f"{redact(place.text)}: the shortcut '{shown(words(shortcut, 'name'))}' has no target")
    return Place(place.site, id, words(details, "targetResourceKey"))


def keys(id: str, key: str) -> dict[str, str]:
    """The header that carries a resource key."""
    return {"X-Goog-Drive-Resource-Keys": f"{id}/{key}"} if key else {}


def file(found: Mapping[str, Any], path: str, place: Place) -> RemoteFile | None:
    """A file as the API describes it; None for one without bytes."""
    if words(found, "mimeType").startswith(NATIVE):
        return None
    id, size, key = words(found, "id"), whole(found, "size"), place.key or words(found, "resourceKey")
    if not re.fullmatch(r"[\w-]+", id) or size is None:
        raise SourceError(f"{redact(place.text)}: a file is listed without an id or size: {shown(path)}")
    checks = tuple(
        Checksum(algorithm, words(found, name))
        for name, (algorithm, length) in _CHECKS.items()
        if re.fullmatch(rf"[0-9a-f]{{{length}}}", words(found, name))
    )
    # The key is no part of what is asked: as a fragment it is kept, and never sent with the URL.
    at = f"{place.api}/{id}?alt=media&supportsAllDrives=true" + (f"#resourcekey={quote(key)}" if key else "")
    return RemoteFile(path, size, at=at, version=versions(found)[0], checks=checks)


def versions(found: Mapping[str, Any]) -> list[str]:
    """All that a file's version can be told by, the best first. Not everyone is shown the revision."""
    said = (("rev", "headRevisionId"), ("md5", "md5Checksum"), ("modified", "modifiedTime"))
    return [f"{name}:{words(found, field)}" for name, field in said if words(found, field)] or [""]


def walk(place: Place, ctx: Context) -> Iterator[RemoteFile]:
    """All below a folder. Of several entries with one name each gets its id into its name."""
    waiting = [("", place, frozenset((place.id,)))]
    followed = 0
    while waiting:
        above, folder, ancestors = waiting.pop()
        empty = True
        for entry, name in _named(_children(folder, ctx)):
            path = above + name
            below = Place(place.site, words(entry, "id"), words(entry, "resourceKey"))
            if words(entry, "mimeType") == SHORTCUT:
                followed += 1
                if followed > SHORTCUTS:
                    raise SourceError(f"{redact(place.text)}: more than {SHORTCUTS} shortcuts: there may be no end")
                try:
                    below, entry = target(aim(below, entry), ctx)
                except NotFound:
                    _leave_out(place, path, "is a shortcut to what is not there any more, or not for you", ctx)
                    continue
                if below.id in ancestors:
                    _leave_out(place, path, "is a shortcut to a folder that it lies in", ctx)
                    continue
            if words(entry, "mimeType") == FOLDER:
                if below.id in ancestors:
                    raise SourceError(f"{redact(place.text)}: the folder '{shown(path)}' holds itself")
                waiting.append((f"{path}/", below, ancestors | {below.id}))
            elif (found := file(entry, path, below)) is not None:
                yield found
            else:
                _leave_out(place, path, NO_BYTES, ctx)
                continue
            empty = False
        if empty and above:
            yield RemoteFile(above[:-1], 0, Kind.DIR)


def _leave_out(place: Place, path: str, why: str, ctx: Context) -> None:
    ctx.reporter(Event("warning", text=f"{redact(place.text)}: '{shown(path)}' {why}; it is left out"))


def _named(entries: Iterator[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Entries and their names, which Drive allows to be the same. They come in the order of names, so that twins stand
    together and no more of a folder than these is held."""
    for _, alike in groupby(entries, lambda entry: fold(words(entry, "name"))):
        group = list(alike)
        names = [words(entry, "name") for entry in group]
        for entry, name in zip(group, names, strict=True):
            yield entry, _with_id(name, words(entry, "id")) if names.count(name) > 1 else name


def _with_id(name: str, id: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{stem} ({id}).{ending}" if dot and stem else f"{name} ({id})"


def _children(place: Place, ctx: Context) -> Iterator[dict[str, Any]]:
    asked = {
        "q": f"'{place.id}' in parents and trashed=false",
        "fields": f"nextPageToken,incompleteSearch,files({_ENTRY})",
        "orderBy": "name",
        "pageSize": "1000",
        "supportsAllDrives": "true",
        "includeItemsFromAllDrives": "true",
    }
    first = f"{place.api}?{urlencode(asked, safe=',')}"

    def following(page: dict[str, Any]) -> tuple[int, str]:
        token = words(page, "nextPageToken")
        return len(rows(page, "files")), f"{first}&pageToken={quote(token, safe='')}" if token else ""

    headers = keys(place.id, place.key)
    for page in pages(first, lambda url: _ask(url, headers, ctx), following, place.api.removesuffix("files")):
        if page.get("incompleteSearch") is True:
            raise SourceError(f"{redact(place.text)}: Drive did not search everywhere: the listing is not whole")
        yield from rows(page, "files")


def _ask(url: str, headers: Mapping[str, str], ctx: Context) -> dict[str, Any]:
    found = ctx.http.json(url, headers, explain=explain)
    if not isinstance(found, dict):
        raise SourceError(f"{redact(url)} is not what Drive answers")
    return found


def explain(refusal: Refusal) -> GotdataError | None:
    """The error that Drive's reason stands for: a 403 may be a limit, a quota, or a refusal for good
    (https://developers.google.com/workspace/drive/api/guides/handle-errors)."""
    where = redact(refusal.url.partition("?")[0])
    try:
        error = table(json.loads(refusal.text), "error")
    except (ValueError, RecursionError):
        return None
    reason = next((words(one, "reason") for one in rows(error, "errors")), "")
    said = shown(words(error, "message")[:200])
    if reason in _LIMITS:
        return Unavailable(f"{where}: too many questions ({reason}): try again later")
    if reason in _QUOTAS:
        return Unavailable(f"{where}: {_QUOTAS[reason]} ({reason}): try again tomorrow", _DAY)
    if reason in _REFUSED:
        return AccessDenied(f"{where}: {_REFUSED[reason]} ({reason})")
    if refusal.status == 401 or reason == "dailyLimitExceededUnreg" or "API key" in said:
        return AuthRequired(f"{where}: the credential was not taken ({said}): {_LOGIN}")
    if refusal.status == 404:
        return NotFound(f"{where}: there is nothing with this id, or your credential may not see it")
    if refusal.status == 403:
        return AccessDenied(f"{where} refused ({said}): {_LOGIN}")
    return None
