"""An InvenioRDM repository on loopback that answers as Zenodo's API documents it, and the DOIs of its records."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlsplit

from gotdata.testing.double import Double, reply
from gotdata.testing.server import Reply, Request

RDM = "application/vnd.inveniordm.v1+json"


@dataclass
class _Record:
    id: str
    concept: str
    number: int
    version: str
    restricted: bool
    files: dict[str, bytes] = field(default_factory=dict)
    withdrawn: bool = False
    draft: bool = False


class Repository(Double):
    """Records, their versions and files.

    Attributes:
        ranges: which of the two addresses of a file sends ranges.
        stored: reads are redirected to signed URLs at another origin.
        concepts: what the API answers for the id of a concept: 404, as Zenodo did for a while, or a redirect.
        page: versions in one answer.
        old: it knows the older shape of records only, as Zenodo's default still is.
        before: it is from before InvenioRDM: files are listed in the record, and lie in buckets.
        resets: a limit of requests says when it ends, and not how long to wait.
        circles: pages of versions lead back to the first.
        embargo: until when the files of restricted records are under embargo.
    """

    page = 2

    def __init__(
        self,
        ranges: Literal["page", "api", ""] = "page",
        stored: bool = False,
        concepts: Literal["missing", "redirect"] = "missing",
    ) -> None:
        super().__init__()
        self.ranges, self.stored, self.concepts = ranges, stored, concepts
        self.old, self.before, self.resets, self.circles = False, False, False, False
        self.embargo = ""
        self._records: dict[str, _Record] = {}
        self._next = 1000

    def publish(self, files: Mapping[str, bytes], version: str = "", after: str = "", restricted: bool = False) -> str:
        """A record, or a new version of the record ``after``. Returns its id."""
        self._next += 2
        old = self._records.get(after)
        concept = old.concept if old else str(self._next)
        number = 1 + sum(record.concept == concept for record in self._records.values())
        record = _Record(str(self._next + 1), concept, number, version, restricted)
        self._records[record.id] = record
        for key, body in files.items():
            self.put(record.id, key, body)
        return record.id

    def put(self, id: str, key: str, body: bytes) -> None:
        """A file of a record, which a repository may change in place, though it seldom does."""
        record = self._records[id]
        record.files[key] = body
        etag = f'"md5:{_md5(body)}"'
        auth = f"Bearer {self.token}" if record.restricted else ""
        for name, path in (("page", f"records/{id}/files/{key}"), ("api", f"api/records/{id}/files/{key}/content")):
            if self.stored:
                signed = f"signed/{id}/{key}"
                self.server.put(path, b"", redirect=self.signed(signed, body), auth=auth)
            else:
                self.server.put(path, body, etag=etag, ranges=self.ranges == name, auth=auth)
        self.server.put(f"api/files/bucket-{id}/{key}", body, etag=etag, auth=auth)

    def remove(self, id: str, key: str) -> None:
        del self._records[id].files[key]
        self.server.remove(f"records/{id}/files/{key}")
        self.server.remove(f"api/records/{id}/files/{key}/content")

    def withdraw(self, id: str) -> None:
        """Leaves a tombstone."""
        self._records[id].withdrawn = True

    def concept(self, id: str) -> str:
        return self._records[id].concept

    def doi(self, id: str) -> str:
        return f"10.5072/zenodo.{id}"

    def draft(self, id: str) -> None:
        """A record that nobody published yet, shown to who may edit it."""
        self._records[id].draft = True

    def cut_file(self, id: str, key: str, after: int) -> None:
        """The next body of a file breaks off."""
        self.server.change(f"records/{id}/files/{key}", cut=after, cuts=1)

    def refusal(self, request: Request) -> Reply:
        return reply(403, {"status": 403, "message": "Permission denied."})

    def too_many(self) -> Reply:
        when = {"X-RateLimit-Reset": str(int(time.time()) + 3)} if self.resets else {"Retry-After": "7"}
        return Reply(429, {**when, "X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"}, b"")

    def answer(self, request: Request, path: str) -> Reply | None:
        if match := re.fullmatch(r"/api/handles/10\.5072/zenodo\.(\w+)", path):
            return self._handle(match[1])
        if match := re.fullmatch(r"/(api/)?records?/(\w+)(/files|/versions)?", path):
            record = self._records.get(match[2])
            if record is None:
                return self._concept(match[2], bool(match[1]))
            return self._record(record, match[3] or "", request) if match[1] else _page()
        return None

    def _handle(self, id: str) -> Reply:
        known = id in self._records or any(record.concept == id for record in self._records.values())
        if not known:
            return reply(404, {"responseCode": 100, "handle": self.doi(id)})
        value = {"format": "string", "value": f"{self.root}/record/{id}"}
        return reply(200, {"responseCode": 1, "values": [{"index": 1, "type": "URL", "data": value}]})

    def _concept(self, id: str, api: bool) -> Reply:
        versions = [record for record in self._records.values() if record.concept == id]
        if not versions or (api and self.concepts == "missing"):
            return reply(404, {"status": 404, "message": "The persistent identifier does not exist."})
        return Reply(302, {"Location": f"/{'api/' * api}records/{versions[-1].id}"}, b"")

    def _record(self, record: _Record, part: str, request: Request) -> Reply:
        if record.withdrawn:
            return reply(410, {"status": 410, "message": "The record has been deleted."})
        if part == "/versions":
            return self._versions(record, request)
        if part == "/files" and self.before:
            return reply(404, {"status": 404, "message": "The requested URL was not found on the server."})
        if part == "/files":
            if record.restricted and request.headers.get("authorization") != f"Bearer {self.token}":
                return reply(403, {"status": 403, "message": "Permission denied."})
            entries = self._entries(record)
            return reply(200, {"enabled": bool(entries), "entries": entries, "order": []})
        new = RDM in request.headers.get("accept", "") and not (self.old or self.before)
        return reply(200, self._rdm(record) if new else self._legacy(record))

    def _versions(self, record: _Record, request: Request) -> Reply:
        known = [one for one in self._records.values() if one.concept == record.concept and not one.withdrawn][::-1]
        number = int(parse_qs(urlsplit(request.path).query).get("page", ["1"])[0])
        shown = known[(number - 1) * self.page : number * self.page]
        here = f"{self.root}/api/records/{record.id}/versions?page="
        links = {"self": f"{here}{number}"} | (
            {"next": f"{here}{1 if self.circles else number + 1}"} if number * self.page < len(known) else {}
        )
        return reply(200, {"hits": {"hits": [self._rdm(one) for one in shown], "total": len(known)}, "links": links})

    def _entries(self, record: _Record) -> list[dict[str, Any]]:
        found = [self._entry(record, key, body) for key, body in record.files.items()]
        if self.hostile == "sizes":
            return [{**one, "size": one["size"] + 1} for one in found]
        if self.hostile == "names":
            return [{**one, "key": "../../etc/passwd"} for one in found]
        return found + found[:1] if self.hostile == "twins" else found

    def _entry(self, record: _Record, key: str, body: bytes) -> dict[str, Any]:
        here = f"{self.root}/api/records/{record.id}/files/{quote(key, safe='/')}"
        links = {"self": here, "content": f"{here}/content"}
        if self.before:
            links = {"self": f"{self.root}/api/files/bucket-{record.id}/{quote(key, safe='/')}"}
        return {"key": key, "size": len(body), "checksum": f"md5:{_md5(body)}", "status": "completed", "links": links}

    def _rdm(self, record: _Record) -> dict[str, Any]:
        known = [one for one in self._records.values() if one.concept == record.concept]
        here = f"{self.root}/api/records/{record.id}"
        return {
            "id": record.id,
            "links": {"self": here, "files": f"{here}/files", "versions": f"{here}/versions"},
            "parent": {"id": record.concept},
            "versions": {"index": record.number, "is_latest": record is known[-1]},
            "pids": {"doi": {"identifier": self.doi(record.id), "provider": "datacite"}},
            "metadata": {
                "title": "Cells, counted",
                "creators": [{"person_or_org": {"name": "Noether, Emmy"}}, {"person_or_org": {"name": "Curie, Marie"}}],
                "rights": [{"id": "cc-by-4.0"}],
                "version": record.version,
            },
            "access": {
                "record": "public",
                "files": "restricted" if record.restricted else "public",
                "embargo": {"active": bool(self.embargo), "until": self.embargo or None},
            },
            "files": {"enabled": bool(record.files)},
            "is_draft": record.draft,
        }

    def _legacy(self, record: _Record) -> dict[str, Any]:
        rdm = self._rdm(record)
        return {
            "id": int(record.id),
            "conceptrecid": record.concept,
            "doi": self.doi(record.id).upper(),
            "links": rdm["links"],
            "metadata": {
                "title": rdm["metadata"]["title"],
                "creators": [{"name": one["person_or_org"]["name"]} for one in rdm["metadata"]["creators"]],
                "license": {"id": "cc-by-4.0"},
                "version": record.version,
            },
            "files": [self._entry(record, key, body) for key, body in record.files.items()],
        }


def _page() -> Reply:
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html><title>A record</title></html>")


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
