"""Google Drive on loopback: its API (https://developers.google.com/workspace/drive/api/reference/rest/v3), and the
pages and downloads that anyone gets."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from gotdata.testing.double import LOGIN, Double, ranged, reply
from gotdata.testing.server import Reply, Request

MANY = 1_000_000
FOLDER = "application/vnd.google-apps.folder"
SHORTCUT = "application/vnd.google-apps.shortcut"
DOCUMENT = "application/vnd.google-apps.document"
ROOT = "1RootOfEverythingShared00"
_SHOWN = ("kind", "id", "name", "mimeType")
"""What is told of a file where nobody asks for more."""


@dataclass
class _Item:
    id: str
    name: str
    parent: str
    kind: str = "application/octet-stream"
    body: bytes = b""
    revision: int = 0
    target: str = ""
    key: str = ""
    trashed: bool = False


class GDriveDouble(Double):
    """A folder that is shared with everybody who has the link, with the id ``ROOT``.

    Attributes:
        api_key: lets a program ask for what is shared with everybody.
        shared_drive: all lies in a shared drive: who does not say that he knows of such sees nothing.
        revisions: whether who asks is shown revisions.
        strong: whether files have more checksums than an md5; a few have none.
        large: bytes from which a download asks to be confirmed first.
        refused: the reason of a 403 in place of every answer.
        refusals: how many; None: all.
        quota: what was downloaded too often answers a page.
        private: downloads lead to a login.
        etags: whether downloads have an ETag and a date.
        action: where the form of the page to confirm leads, in place of the right address.
        breaks: by id, the number of bytes after which the next body ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.api_key = "AIza-key"
        self.shared_drive = False
        self.revisions = True
        self.strong = True
        self.large = 100_000_000
        self.refused = ""
        self.refusals: int | None = None
        self.quota = False
        self.private = False
        self.etags = True
        self.action = ""
        self.breaks: dict[str, int] = {}
        self.items: dict[str, _Item] = {ROOT: _Item(ROOT, "Shared", "", FOLDER)}
        self._number = 0

    def make(self, name: str, parent: str = ROOT, **values: Any) -> str:
        """An item of any kind; of one name there may be many. Returns its id."""
        self._number += 1
        id = f"1{self._number:024d}"
        self.items[id] = _Item(id, name, parent, **values)
        return id

    def folder(self, path: str) -> str:
        """A folder and those above it, by names."""
        id = ROOT
        for name in path.split("/") if path else ():
            id = self._find(name, id) or self.make(name, id, kind=FOLDER)
        return id

    def put(self, path: str, body: bytes) -> str:
        """A file, or a new revision of it."""
        above, _, name = path.rpartition("/")
        parent = self.folder(above)
        id = self._find(name, parent) or self.make(name, parent)
        self.items[id].body = body
        self.items[id].revision += 1
        return id

    def id(self, path: str) -> str:
        above, _, name = path.rpartition("/")
        return self._find(name, self.folder(above))

    def remove(self, path: str) -> None:
        del self.items[self.id(path)]

    def allowed(self, request: Request) -> bool:
        asked = parse_qs(urlsplit(request.path).query)
        key = request.headers.get("x-goog-api-key") or asked.get("key", [""])[0]
        return super().allowed(request) or key == self.api_key

    def refusal(self, request: Request) -> Reply:
        return _error(403, "dailyLimitExceededUnreg", "Daily Limit for Unauthenticated Use Exceeded.")

    def too_many(self) -> Reply:
        """A limit is hidden in a 403, as often as not."""
        if self.limit % 2:
            return _error(403, "userRateLimitExceeded", "User Rate Limit Exceeded")
        return _error(429, "rateLimitExceeded", "Rate Limit Exceeded")

    def answer(self, request: Request, path: str) -> Reply | None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        if path.startswith("/drive/v3/files"):
            return self._api(request, path.removeprefix("/drive/v3/files").strip("/"), asked)
        if path == "/uc":
            return self._uc(asked)
        if path == "/download":
            return self._download(request, asked)
        return None

    def _api(self, request: Request, id: str, asked: dict[str, str]) -> Reply:
        if not self.allowed(request):
            return self.refusal(request)
        if self.refused and (self.refusals is None or self.refusals > 0):
            self.refusals = None if self.refusals is None else self.refusals - 1
            return _error(403, self.refused, f"It is {self.refused}.")
        knows = asked.get("supportsAllDrives") == "true"
        if not id:
            return self._list(request, asked, knows and asked.get("includeItemsFromAllDrives") == "true")
        item = self._seen(request, id)
        if item is None or (self.shared_drive and not knows):
            return _error(404, "notFound", f"File not found: {id}.")
        if asked.get("alt") != "media":
            return reply(200, _chosen(self._entry(item), asked.get("fields", "")))
        if item.kind.startswith("application/vnd.google-apps."):
            return _error(403, "fileNotDownloadable", "Only files with binary content can be downloaded.")
        return ranged(request, item.body, {"Content-Type": item.kind}, self.breaks.pop(item.id, None))

    def _list(self, request: Request, asked: dict[str, str], everywhere: bool) -> Reply:
        match = re.fullmatch(r"'([\w-]+)' in parents and trashed ?= ?false", asked.get("q", ""))
        if not match:
            return _error(400, "invalid", "Invalid Value")
        start, size = int(asked.get("pageToken", "0")), min(int(asked.get("pageSize", "100")), self.page)
        if self.hostile == "many":
            some = self._entry(_Item("1many", "", ROOT, body=b"1", revision=1))
            part = [{**some, "id": f"1m{n}", "name": f"f{n:07}"} for n in range(start, min(start + size, MANY))]
            more = start + size < MANY
        else:
            known = [] if self.shared_drive and not everywhere else self._children(request, match[1])
            if asked.get("orderBy") == "name":
                known.sort(key=lambda entry: entry["name"].casefold())
            part, more = known[start : start + size], start + size < len(known)
        page: dict[str, Any] = {"kind": "drive#fileList", "incompleteSearch": False}
        page["files"] = [_chosen(entry, _inner(asked.get("fields", ""))) for entry in part]
        if more or self.hostile == "loop":
            page["nextPageToken"] = "0" if self.hostile == "loop" else str(start + size)
        return reply(200, page)

    def _children(self, request: Request, parent: str) -> list[dict[str, Any]]:
        if self._seen(request, parent) is None:
            return []
        found = []
        for item in self.items.values():
            if item.parent != parent or item.trashed:
                continue
            entry = self._entry(item)
            if self.hostile == "names":
                entry["name"] = "../../etc/passwd"
            if self.hostile == "sizes" and "size" in entry:
                entry["size"] = str(int(entry["size"]) + 1)
            found += [entry, {**entry, "id": f"{item.id}x"}] if self.hostile == "twins" else [entry]
        if self.hostile == "self":
            found.append({**self._entry(self.items[parent]), "name": "again"})
        return found

    def _seen(self, request: Request, id: str) -> _Item | None:
        """An item, where who asks names its resource key, if it needs one."""
        item = self.items.get(id)
        given = request.headers.get("x-goog-drive-resource-keys", "").split(",")
        return item if item is not None and (not item.key or f"{id}/{item.key}" in given) else None

    def _uc(self, asked: dict[str, str]) -> Reply:
        if self.private:
            return _page(LOGIN)
        item = self.items.get(asked.get("id", ""))
        if item is None or (item.key and asked.get("resourcekey") != item.key):
            return Reply(404, {"Content-Type": "text/html"}, b"<html><title>Error 404 (Not Found)</title></html>")
        query = urlencode({name: value for name, value in asked.items() if name in ("id", "export", "resourcekey")})
        return Reply(303, {"Location": f"{self.root}/download?{query}"}, b"")

    def _download(self, request: Request, asked: dict[str, str]) -> Reply:
        item = self.items.get(asked.get("id", ""))
        if item is None:
            return Reply(404, {"Content-Type": "text/html"}, b"<html><title>Error 404 (Not Found)</title></html>")
        if self.quota:
            return _page(
                b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
                b'<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>'
                b'<p class="uc-error-subcaption">Too many users have viewed this file recently.</p></body>'
            )
        if item.kind.startswith("application/vnd.google-apps."):
            return _page(b"<html><title>Google Docs</title></html>")
        if len(item.body) >= self.large and asked.get("confirm") != "t":
            return _page(self._warning(item, asked))
        headers = {
            "Content-Type": item.kind,
            "Content-Disposition": f"attachment; filename=\"{_ascii(item.name)}\"; filename*=UTF-8''{quote(item.name)}",
        }
        if self.etags:
            headers |= {"ETag": f'"{item.id}-{item.revision}"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}
        return ranged(request, item.body, headers, self.breaks.pop(item.id, None))

    def _warning(self, item: _Item, asked: dict[str, str]) -> bytes:
        fields = {"id": item.id, "export": "download", "confirm": "t", "uuid": "6f1e-of-this-visit"}
        if "resourcekey" in asked:
            fields["resourcekey"] = asked["resourcekey"]
        inputs = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in fields.items())
        return (
            "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
            '<p class="uc-warning-caption">Google Drive can&#39;t scan this file for viruses.</p>'
            f'<form id="download-form" action="{self.action or self.root + "/download"}" method="get">'
            f'<input type="submit" id="uc-download-link" value="Download anyway"/>{inputs}</form></body></html>'
        ).encode()

    def _entry(self, item: _Item) -> dict[str, Any]:
        entry: dict[str, Any] = {"kind": "drive#file", "id": item.id, "name": item.name, "mimeType": item.kind}
        entry |= {"trashed": item.trashed, "modifiedTime": f"2026-05-12T15:50:{item.revision:02}.000Z"}
        if item.key:
            entry["resourceKey"] = item.key
        if item.kind == SHORTCUT:
            aim = self.items.get(item.target)
            entry["shortcutDetails"] = {"targetId": item.target, "targetMimeType": aim.kind if aim else ""}
            if aim and aim.key:
                entry["shortcutDetails"]["targetResourceKey"] = aim.key
        if item.kind.startswith("application/vnd.google-apps."):
            return entry
        entry |= {"size": str(len(item.body)), "md5Checksum": hashlib.md5(item.body, usedforsecurity=False).hexdigest()}
        if self.strong:
            entry["sha1Checksum"] = hashlib.sha1(item.body, usedforsecurity=False).hexdigest()
            entry["sha256Checksum"] = hashlib.sha256(item.body).hexdigest()
        if self.revisions:
            entry["headRevisionId"] = f"0B{item.id[-6:]}r{item.revision}"
        return entry

    def _find(self, name: str, parent: str) -> str:
        return next((one.id for one in self.items.values() if one.name == name and one.parent == parent), "")


def _chosen(entry: dict[str, Any], fields: str) -> dict[str, Any]:
    wanted = fields.split(",") if fields else _SHOWN
    return {name: value for name, value in entry.items() if name in wanted or "*" in wanted}


def _inner(fields: str) -> str:
    """Of ``nextPageToken,files(id,name)``, what is asked of each file."""
    match = re.search(r"files\(([^)]*)\)", fields)
    return match[1].replace(" ", "") if match else ""


def _ascii(name: str) -> str:
    return re.sub(r'[^ -~]|["\\]', "_", name)


def _error(status: int, reason: str, message: str) -> Reply:
    domain = "usageLimits" if "imit" in reason else "global"
    one = {"domain": domain, "reason": reason, "message": message}
    return reply(status, {"error": {"code": status, "message": message, "errors": [one]}})


def _page(body: bytes) -> Reply:
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, body)
