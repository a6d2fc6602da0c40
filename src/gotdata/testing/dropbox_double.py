"""Dropbox on loopback: its API (https://www.dropbox.com/developers/documentation/http/documentation), the shared links
of its web site, and the store that downloads are redirected to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.digests import begin
from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.server import Reply, Request

MANY = 1_000_000


@dataclass
class _File:
    id: str
    rev: str
    body: bytes
    path: str


class DropboxDouble(Double):
    """One account's files, all below its root. ``share`` makes links.

    Attributes:
        expired: the token was good until now.
        scope: a permission that the token lacks, where one is named.
        paper: names of files without bytes, told as not downloadable.
        etags: whether downloads of shared links have an ETag.
        disabled: shared links answer a page: ``404`` or ``429`` with that status, ``password`` with 200.
        reset: the next page of a listing is refused: its cursor is not valid any more.
        breaks: of a path, the number of bytes after which the next answer of the API ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.expired = False
        self.scope = ""
        self.paper: set[str] = set()
        self.etags = True
        self.disabled = ""
        self.reset = False
        self.breaks: dict[str, int] = {}
        self.files: dict[str, _File] = {}
        self.folders: dict[str, str] = {"": "id:root"}
        self._revisions: dict[str, _File] = {}
        self._links: dict[str, str] = {}
        self._number = 0

    def put(self, path: str, body: bytes) -> None:
        """A file at ``/folder/name``, or a new revision of it."""
        self.folder(path.rpartition("/")[0])
        old = self.files.get(path.lower())
        file = _File(old.id if old else self._next("id:F"), self._next("5f"), body, path)
        self.files[path.lower()] = self._revisions[file.rev] = file

    def remove(self, path: str) -> None:
        del self.files[path.lower()]

    def folder(self, path: str) -> None:
        while path and path not in self.folders:
            self.folders[path] = self._next("id:D")
            path = path.rpartition("/")[0]

    def share(self, path: str, old: bool = False) -> str:
        """The link of a file or folder, as Dropbox writes it now, or as it did before 2023."""
        number = self._next("k")
        name = quote(path.rpartition("/")[2])
        folder = path in self.folders
        if old:
            link = f"{self.root}/sh/{number}/AAB{number}" if folder else f"{self.root}/s/{number}/{name}"
        else:
            link = f"{self.root}/scl/{'fo' if folder else 'fi'}/{number}/{'h' if folder else name}?rlkey=r{number}"
        self._links[link] = path
        return link

    def too_many(self) -> Reply:
        error = {"reason": {".tag": "too_many_requests"}, "retry_after": int(self.retry_after)}
        return reply(429, {"error_summary": "too_many_requests/..", "error": error}, {"Retry-After": self.retry_after})

    def refusal(self, request: Request) -> Reply:
        return _unauthorised("invalid_access_token")

    def answer(self, request: Request, path: str) -> Reply | None:
        if path.startswith("/2/"):
            return self._api(request, path[3:])
        if request.method in ("GET", "HEAD"):
            return self._web(request)
        return None

    def _api(self, request: Request, route: str) -> Reply:
        if not self.allowed(request):
            return self.refusal(request)
        if self.expired:
            return _unauthorised("expired_access_token")
        if self.scope:
            return _unauthorised("missing_scope", required_scope=self.scope)
        query = parse_qs(urlsplit(request.path).query)
        header = request.headers.get("dropbox-api-arg") or query.get("arg", [""])[0]
        if set(query) - {"arg"}:
            return Reply(400, {"Content-Type": "text/plain"}, b"Error in call to API function: Unexpected URL params")
        try:
            arg = json.loads(header or request.body or b"null")
        except ValueError:
            return Reply(400, {"Content-Type": "text/plain"}, b"Error in call to API function: could not decode input")
        answers = {
            "files/get_metadata": self._metadata,
            "files/list_folder": self._list,
            "files/list_folder/continue": self._continue,
            "sharing/get_shared_link_metadata": self._link_metadata,
        }
        if route in answers:
            return answers[route](arg) if request.method == "POST" else Reply(405, {}, b"")
        if route == "files/download":
            return self._bytes(request, self._own(arg["path"]), "path/not_found/.")
        if route == "sharing/get_shared_link_file":
            return self._linked_bytes(request, arg)
        return Reply(400, {"Content-Type": "text/plain"}, b"Unknown API function")

    def _metadata(self, arg: dict[str, Any]) -> Reply:
        if arg["path"] == "":
            return Reply(400, {"Content-Type": "text/plain"}, b"path: The root folder is unsupported.")
        if arg["path"] in self.folders:
            return reply(200, self._folder_entry(arg["path"]))
        file = self._own(arg["path"])
        return reply(200, self._entry(file)) if file else _conflict("path/not_found/..")

    def _link_metadata(self, arg: dict[str, Any]) -> Reply:
        path = self._linked(arg)
        if isinstance(path, Reply):
            return path
        if path in self.folders:
            return reply(200, {**self._folder_entry(path), **_granted(arg["url"])})
        file = self.files.get(path.lower())
        if file is None:
            return _conflict("shared_link_not_found/..")
        entry = {key: value for key, value in self._entry(file).items() if key != "content_hash"}
        return reply(200, {**entry, **_granted(arg["url"])})

    def _list(self, arg: dict[str, Any]) -> Reply:
        if "shared_link" in arg:
            if arg.get("recursive"):
                return _conflict("path/unsupported_link_type/..")
            base = self._linked({"url": arg["shared_link"]["url"]})
            if isinstance(base, Reply):
                return base
            path = f"{base}{arg['path']}"
        else:
            path = arg["path"]
        if path == "/":
            return Reply(400, {"Content-Type": "text/plain"}, b"path: Specify the root folder as an empty string")
        if path not in self.folders:
            return _conflict("path/not_folder/.." if path.lower() in self.files else "path/not_found/..")
        return self._page(path, 0, min(int(arg.get("limit", 500)), self.page))

    def _continue(self, arg: dict[str, Any]) -> Reply:
        if self.reset:
            self.reset = False
            return _conflict("reset/..")
        path, start, size = json.loads(unquote(arg["cursor"]))
        return self._page(path, start, size)

    def _page(self, path: str, start: int, size: int) -> Reply:
        entries, more = self._part(path, start, size)
        following = 0 if self.hostile == "loop" else start + size
        cursor = quote(json.dumps([path, following, size]))
        return reply(200, {"entries": entries, "cursor": cursor, "has_more": more or self.hostile == "loop"})

    def _part(self, path: str, start: int, size: int) -> tuple[list[dict[str, Any]], bool]:
        if self.hostile == "many":
            some = _File("id:many", "5f000000a", b"", "")
            entries = [
                {**self._entry(some), "name": f"f{n}", "id": f"id:{n}"} for n in range(start, min(start + size, MANY))
            ]
            return entries, start + size < MANY
        children = list(self._children(path))
        return children[start : start + size], start + size < len(children)

    def _children(self, path: str) -> Iterator[dict[str, Any]]:
        for folder in list(self.folders):
            if folder and folder.rpartition("/")[0] == path:
                yield self._folder_entry(folder)
        for file in list(self.files.values()):
            if file.path.rpartition("/")[0] == path:
                entry = self._entry(file)
                if self.hostile == "names":
                    entry["name"] = "../../etc/passwd"
                if self.hostile == "sizes":
                    entry["size"] += 1
                yield entry
                if self.hostile == "twins":
                    yield entry
        if self.hostile == "self":
            yield {**self._folder_entry(path), "name": "again", "id": "id:again"}

    def _bytes(self, request: Request, file: _File | None, missing: str, link: str = "") -> Reply:
        if file is None:
            return _conflict(missing)
        if file.path in self.paper:
            return _conflict("unsupported_file/..")
        said = self._entry(file)
        if link:
            said |= _granted(link)
        del said["content_hash" if link else ".tag"]
        headers = {
            "Content-Type": "application/octet-stream",
            "Dropbox-API-Result": json.dumps(said),
            "ETag": f'W/"{file.rev}"',
            "Accept-Ranges": "bytes",
        }
        return ranged(request, file.body, headers, self.breaks.pop(file.path, None))

    def _linked_bytes(self, request: Request, arg: dict[str, Any]) -> Reply:
        path = self._linked(arg)
        if isinstance(path, Reply):
            return path
        if path in self.folders:
            return _conflict("shared_link_is_directory/..")
        return self._bytes(request, self.files.get(path.lower()), "shared_link_not_found/..", arg["url"])

    def _linked(self, arg: dict[str, Any]) -> str | Reply:
        if self.disabled == "password":
            return _conflict("shared_link_access_denied/..")
        base = self._links.get(arg["url"].partition("&dl=")[0])
        return _conflict("shared_link_not_found/..") if base is None else f"{base}{arg.get('path') or ''}"

    def _own(self, path: str) -> _File | None:
        if path.startswith("rev:"):
            return self._revisions.get(path[4:])
        return self.files.get(path.lower())

    def _web(self, request: Request) -> Reply:
        """Without ``dl=1`` a page with a preview; without its ``rlkey`` there is no link."""
        link, _, choice = f"{self.root}{request.path}".replace("&dl=", "?dl=").partition("?dl=")
        path = self._links.get(link)
        if self.disabled in ("404", "429") or path is None:
            return _page(429 if self.disabled == "429" else 404, "This item was deleted or its link was disabled")
        if self.disabled or choice != "1" or path in self.folders:
            return _page(200, "Dropbox - this link is password protected" if self.disabled else "Dropbox - a preview")
        file = self.files.get(path.lower())
        if file is None:
            return _page(404, "The item was deleted")
        faults = {} if self.etags else {"etag": "", "modified": ""}
        name = file.path.rpartition("/")[2]
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        kind = "text/html" if name.endswith(".html") else "application/binary"
        target = self.signed(f"cd/0/get/{file.rev}", file.body, kind=kind, headers=headers, **faults)
        return Reply(302, {"Location": f"{target}&dl=1"}, b"")

    def _entry(self, file: _File) -> dict[str, Any]:
        hash = begin("dropbox", len(file.body))
        hash.update(file.body)
        time = "2026-05-12T15:50:38Z"
        entry = {
            ".tag": "file",
            "name": file.path.rpartition("/")[2],
            "id": file.id,
            "client_modified": time,
            "server_modified": time,
            "rev": file.rev,
            "size": len(file.body),
            "path_lower": file.path.lower(),
            "path_display": file.path,
            "is_downloadable": file.path not in self.paper,
            "content_hash": hash.hexdigest(),
        }
        if file.path in self.paper:
            entry["export_info"] = {"export_as": "html"}
        return entry

    def _folder_entry(self, path: str) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        id = self.folders[path]
        return {".tag": "folder", "name": name, "id": id, "path_lower": path.lower(), "path_display": path}

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{kind}{self._number:09x}"


def _granted(link: str) -> dict[str, Any]:
    """What is told of a link besides what it leads to."""
    no = (
        *("can_revoke", "can_set_expiry", "can_remove_expiry", "can_allow_download", "can_disallow_download"),
        *("allow_comments", "team_restricts_comments"),
    )
    permissions = {**dict.fromkeys(no, False), "allow_download": True, "visibility_policies": []}
    return {"url": link, "link_permissions": permissions}


def _unauthorised(tag: str, **more: str) -> Reply:
    return reply(401, {"error_summary": f"{tag}/..", "error": {".tag": tag, **more}})


def _conflict(summary: str) -> Reply:
    """An error of an endpoint: the words of its summary are the tags of its error, one in the other."""
    error: dict[str, Any] = {}
    for tag in reversed([word for word in summary.split("/") if word.strip(".")]):
        error = {".tag": tag, **({tag: error} if error else {})}
    return reply(409, {"error_summary": summary, "error": error})


def _page(status: int, title: str) -> Reply:
    body = f"<!DOCTYPE html><html><head><title>{title}</title></head></html>".encode()
    return Reply(status, {"Content-Type": "text/html; charset=utf-8"}, body)
