"""Globus on loopback: the Transfer API (https://docs.globus.org/api/transfer/), and on another origin a collection that
sends its files over HTTPS as Globus Connect Server does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gotdata.testing.double import LOGIN, Double, ranged, reply
from gotdata.testing.server import Reply, Request

MANY = 1_000_000
COLLECTION = "6c54cade-bde5-45c1-bdea-f4bd71dba2cc"
LOCAL = "ab65f6fa-4a2b-11ef-8a3c-0123456789ab"
TASK = "42277910-0c18-11ec-ba76-138ac5bdb19f"
_BACKEND = (
    b"Mapping collection to specified ID failed.\r\nGlobusError: v=1 c=ENDPOINT_ERROR\r\nGCS Manager Internal Error\r\n"
)
_MISSING = b"550-GlobusError: v=1 c=INTERNAL_ERROR\r\n550-GridFTP-Errno: 2\r\n550 End.\r\n"
"""A file that is not there, though it sounds like a fault."""


@dataclass
class _File:
    body: bytes
    modified: str
    target: str = ""


class GlobusDouble(Double):
    """One collection.

    Attributes:
        https: whether the collection sends over HTTPS.
        private: it sends nothing to who has no ``https_token``.
        browser: who asks as a browser does is led to a page to log in.
        failing: connections whose every answer is a fault of a machine behind the collection, told as 404.
        dated: whether it tells what it sends an ETag.
        unsized: it tells no length of what it sends whole.
        consent: the API wants a consent first.
        asleep: the collection is not connected.
        lands: for transfers, the folder into which the local collection writes; None where it is elsewhere.
        task: what becomes of a transfer: called with the number of questions after it, gives a status, a word for it
            and an error's details.
        breaks: by path, the number of bytes after which the next body ends.
    """

    https_token = "only-for-bytes"  # noqa: S105

    def __init__(self) -> None:
        super().__init__()
        self.store.otherwise = self._https
        self.https = True
        self.private = False
        self.browser = False
        self.failing = 0
        self.dated = False
        self.unsized = False
        self.consent = False
        self.asleep = False
        self.lands: Path | None = None
        self.task: Callable[[int], tuple[str, str, str]] = lambda asked: ("SUCCEEDED", "OK", "")
        self.tasks: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.breaks: dict[str, int] = {}
        self.files: dict[str, _File] = {}
        self.folders: set[str] = {"/"}
        self.links: dict[str, str] = {}
        self._failing: set[int] = set()
        self._time = 0

    @property
    def https_server(self) -> str:
        return self.store.url.rstrip("/")

    def put(self, path: str, body: bytes) -> None:
        """A file at ``/folder/name``; over one that is there, with another time of change."""
        self.folder(path.rpartition("/")[0])
        self._time += 1
        time = f"2026-05-12 {self._time // 3600 % 24:02}:{self._time // 60 % 60:02}:{self._time % 60:02}+00:00"
        self.files[path] = _File(body, time)

    def remove(self, path: str) -> None:
        del self.files[path]

    def folder(self, path: str) -> None:
        while path not in ("", "/"):
            self.folders.add(path)
            path = path.rpartition("/")[0]

    def refusal(self, request: Request) -> Reply:
        return _error(401, "AuthenticationFailed", "Token is not active")

    def too_many(self) -> Reply:
        return reply(429, {"code": "TooManyRequests", "message": "Slow down"}, {"Retry-After": self.retry_after})

    def answer(self, request: Request, path: str) -> Reply | None:
        if not path.startswith("/v0.10/"):
            return None
        if "authorization" not in request.headers:
            return _error(400, "NoCredException", "No credentials supplied")
        if not self.allowed(request):
            return self.refusal(request)
        if self.consent:
            scope = "urn:globus:auth:scope:transfer.api.globus.org:all"
            error = {"code": "ConsentRequired", "message": "Missing required data_access consent"}
            return reply(403, {**error, "required_scopes": [scope]})
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        what = path.removeprefix("/v0.10/")
        if what in (f"endpoint/{COLLECTION}", f"endpoint/{LOCAL}"):
            return reply(200, self._collection(what.rpartition("/")[2]))
        if match := re.fullmatch(rf"operation/endpoint/{COLLECTION}/(ls|stat)", what):
            if self.asleep:
                return _error(409, "ExternalError.DirListingFailed.GCDisconnected", "The Personal endpoint is off")
            return self._ls(asked) if match[1] == "ls" else self._stat(asked)
        if what == "submission_id":
            return reply(200, {"DATA_TYPE": "submission_id", "value": TASK[::-1]})
        if what == "transfer" and request.method == "POST":
            return self._transfer(json.loads(request.body))
        if match := re.fullmatch(r"task/([\w-]+)(?:/(\w+))?", what):
            return self._task(match[1], match[2] or "")
        return _error(404, "EndpointNotFound", f"No such endpoint: {what}")

    def _collection(self, id: str) -> dict[str, Any]:
        return {
            "DATA_TYPE": "endpoint",
            "id": id,
            "display_name": "Happy Fun Collection",
            "entity_type": "GCSv5_guest_collection" if self.https else "GCP_mapped_collection",
            "https_server": self.https_server if self.https else None,
            "public": True,
        }

    def _stat(self, asked: dict[str, str]) -> Reply:
        path = _clean(asked.get("path", "/"))
        if path in self.folders:
            return reply(200, self._folder_entry(path))
        file = self.files.get(path)
        return reply(200, self._entry(path, file)) if file else _missing(path)

    def _ls(self, asked: dict[str, str]) -> Reply:
        path = _clean(asked.get("path", "/"))
        offset, limit = int(asked.get("offset", "0")), min(int(asked.get("limit", "100000")), self.page)
        if self.hostile == "many":
            some = {**self._entry("/f", _File(b"1", "2026-05-12 00:00:00+00:00"))}
            data = [{**some, "name": f"f{n}"} for n in range(offset, min(offset + limit, MANY))]
        elif path in self.folders or self.hostile == "loop":
            data = self._children(path)[offset : offset + limit]
        else:
            return _missing(path)
        page = {"DATA_TYPE": "file_list", "path": path, "endpoint": COLLECTION, "length": len(data)}
        return reply(200, {**page, "offset": offset, "limit": limit, "DATA": data})

    def _children(self, path: str) -> list[dict[str, Any]]:
        if self.hostile == "loop":
            return [self._folder_entry("/again")]
        found = [self._folder_entry(one) for one in sorted(self.folders) if one != "/" and _above(one) == path]
        for name, file in list(self.files.items()):
            if _above(name) != path:
                continue
            entry = self._entry(name, file)
            if self.hostile == "names":
                entry["name"] = "../../etc/passwd"
            if self.hostile == "sizes":
                entry["size"] += 1
            found += [entry, entry] if self.hostile == "twins" else [entry]
        for name, target in self.links.items():
            if _above(name) == path:
                kind = "dir" if target in self.folders else "invalid_symlink"
                found.append({**self._folder_entry(name), "type": kind, "link_target": target})
        return found

    def _entry(self, path: str, file: _File) -> dict[str, Any]:
        return {
            "DATA_TYPE": "file",
            "type": "file",
            "name": path.rpartition("/")[2],
            "size": len(file.body),
            "last_modified": file.modified,
            "permissions": "0644",
            "user": "tutorial",
            "group": "tutorial",
            "link_target": file.target or None,
        }

    def _folder_entry(self, path: str) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        time = "2026-05-12 00:00:00+00:00"
        entry = {"DATA_TYPE": "file", "type": "dir", "name": name, "size": 4096, "last_modified": time}
        return {**entry, "permissions": "0755", "user": "tutorial", "group": "tutorial", "link_target": None}

    def _transfer(self, task: dict[str, Any]) -> Reply:
        if not task.get("DATA"):
            return _error(400, "ClientError.BadRequest.NoTransferItems", "A transfer requires at least one item")
        id = TASK if not self.tasks else f"{TASK[:-4]}{len(self.tasks):04x}"
        self.tasks.append({**task, "task_id": id, "asked": 0})
        accepted = {"DATA_TYPE": "transfer_result", "code": "Accepted", "message": "The transfer has been accepted"}
        return reply(202, {**accepted, "task_id": id, "submission_id": task["submission_id"]})

    def _task(self, id: str, what: str) -> Reply:
        task = next((one for one in self.tasks if one["task_id"] == id), None)
        if task is None:
            return _error(404, "TaskNotFound", f"No such task: {id}")
        if what == "cancel":
            self.cancelled.append(id)
            return reply(200, {"DATA_TYPE": "result", "code": "Canceled", "message": "The task has been cancelled"})
        status, nice, details = self.task(task["asked"])
        if what == "event_list":
            event = {"DATA_TYPE": "event", "code": nice, "description": nice.lower(), "is_error": bool(details)}
            return reply(200, {"DATA_TYPE": "event_list", "DATA": [{**event, "details": details}], "total": 1})
        task["asked"] += 1
        if status == "SUCCEEDED":
            self._land(task)
        said = {"DATA_TYPE": "task", "task_id": id, "type": "TRANSFER", "status": status, "nice_status": nice}
        return reply(200, {**said, "is_ok": not details, "is_paused": status == "PAUSED", "fatal_error": None})

    def _land(self, task: dict[str, Any]) -> None:
        for item in task["DATA"] if self.lands else ():
            target = Path(item["destination_path"])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.files[item["source_path"]].body)

    def _https(self, request: Request) -> Reply:
        """No HEAD, no listing, no range of a suffix, and no total in a Content-Range."""
        if request.peer in self._failing or len(self._failing) < self.failing:
            self._failing.add(request.peer)
            return Reply(404, {"Content-Type": "text/plain"}, _BACKEND)
        if request.method == "HEAD":
            return Reply(404, {}, b"")
        if self.private and self.https_token not in request.headers.get("authorization", "").split():
            if self.browser or request.headers.get("x-requested-with") != "XMLHttpRequest":
                return Reply(302, {"Location": f"{self.root}/v2/oauth2/authorize"}, b"")
            return reply(401, {"code": "AuthenticationFailed", "message": "Authentication required"})
        path = _clean(unquote(urlsplit(request.path).path, errors="surrogateescape"))
        if path in self.folders:
            return Reply(200, {"Content-Type": "httpd/unix-directory", "Content-Length": "0"}, b"")
        file = self.files.get(path)
        if file is None:
            return Reply(404, {"Content-Type": "text/plain"}, _MISSING)
        if re.fullmatch(r"bytes=-\d+", request.headers.get("range", "")):
            return Reply(416, {"Content-Type": "text/plain"}, b"")
        sent = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        if self.dated:
            sent["ETag"] = f'"{file.modified.replace(" ", "T")}"'
        answer = ranged(request, file.body, sent, self.breaks.pop(path, None))
        headers = dict(answer.headers)
        if "Content-Range" in headers:
            headers["Content-Range"] = re.sub(r"/\d+$", "/*", headers["Content-Range"])
        if self.unsized:
            headers |= {"Content-Length": "", "Connection": "close"}
        return Reply(answer.status, headers, answer.body)

    def _answer(self, request: Request) -> Reply | None:
        if request.path.startswith("/v2/oauth2/authorize"):
            return Reply(200, {"Content-Type": "text/html"}, LOGIN)
        return super()._answer(request)


def _clean(path: str) -> str:
    return "/" + path.strip("/")


def _above(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _error(status: int, code: str, message: str) -> Reply:
    return reply(status, {"code": code, "message": message, "request_id": "aaabbbccc", "resource": "/"})


def _missing(path: str) -> Reply:
    details = "Details: 550-GlobusError: v=1 c=PATH_NOT_FOUND\r\n550-GridFTP-Errno: 2\r\n"
    return _error(404, "NotFound", f"Path not found, Error (list)\nMessage: No such file: {path}\n---\n{details}")
