"""A Dataverse installation on loopback, as its native API, its data access API and its search are documented."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.server import Reply, Request

MANY = 1_000_000
HEADER = b"name\tcount\n"
"""The line that is put before the archival form of a tabular file when it is served, and is not in its size."""


@dataclass(frozen=True)
class Stored:
    """A file as it was uploaded. ``label`` is another where it was ingested or renamed.

    Attributes:
        tabular: it was ingested: its archival form is another, and ``old`` says that its dataset is from before the
            names of originals were kept.
        guestbook: it is given out after a guestbook was filled in.
        harvested: its bytes lie at the repository that it was harvested from.
    """

    id: int
    body: bytes
    label: str
    folder: str = ""
    tabular: bool = False
    uploaded: str = ""
    old: bool = False
    restricted: bool = False
    embargo: str = ""
    guestbook: bool = False
    harvested: bool = False


@dataclass
class _Dataset:
    id: int
    pid: str
    versions: dict[str, dict[str, Stored]] = field(default_factory=dict)
    draft: dict[str, Stored] | None = None
    deaccessioned: dict[str, str] = field(default_factory=dict)


class Dataverse(Double):
    """Datasets, their versions and files.

    Attributes:
        ranges: its own store sends ranges (since 5.12).
        stored: files lie in S3, behind signed URLs.
        pages: its listing knows pages (since 5.14).
        pids: files have persistent ids.
        algorithm: of the checksums.
        tells: questions about a file tell its dataset (since 5.14).
    """

    def __init__(self, stored: bool = False) -> None:
        super().__init__()
        self.stored, self.ranges, self.pages, self.pids, self.tells = stored, True, True, True, True
        self.algorithm: Literal["MD5", "SHA-1", "SHA-256", "SHA-512"] = "MD5"
        self._datasets: dict[str, _Dataset] = {}
        self._files: dict[int, Stored] = {}
        self._cuts: dict[int, int] = {}
        self._next = 100

    def create(self, kind: str = "doi") -> str:
        """A dataset without a version. Returns its persistent id."""
        self._next += 1
        pid = f"perma:TEST{self._next}" if kind == "perma" else f"{kind}:10.5072/FK2/D{self._next}"
        self._datasets[pid] = _Dataset(self._next, pid)
        return pid

    def file(self, path: str, body: bytes, **said: Any) -> Stored:
        """A new file, for ``publish``."""
        self._next += 1
        folder, _, name = path.rpartition("/")
        stored = Stored(self._next, body, said.pop("label", name), folder, uploaded=name, **said)
        self._files[stored.id] = stored
        return stored

    def publish(self, pid: str, *files: Stored, version: str = "") -> str:
        """A version of these files. Returns its number."""
        versions = self._datasets[pid].versions
        number = version or f"{len(versions) + 1}.0"
        versions[number] = {f"{file.folder}/{file.label}": file for file in files}
        return number

    def latest(self, pid: str) -> tuple[Stored, ...]:
        versions = self._datasets[pid].versions
        return tuple(versions[next(reversed(versions))].values()) if versions else ()

    def draft(self, pid: str, *files: Stored) -> None:
        """What who has the token sees of the next version."""
        self._datasets[pid].draft = {file.label: file for file in files}

    def deaccession(self, pid: str, version: str, why: str) -> None:
        self._datasets[pid].deaccessioned[version] = why

    def number(self, pid: str) -> int:
        return self._datasets[pid].id

    def file_pid(self, stored: Stored) -> str:
        owner = self._owner(stored)
        assert owner is not None, "it is in no dataset"
        return f"{owner.pid}/F{stored.id}"

    def _owner(self, stored: Stored) -> _Dataset | None:
        owners = (one for one in self._datasets.values() if any(stored in held.values() for held in self._all(one)))
        return next(owners, None)

    def page_of(self, pid: str) -> str:
        return f"{self.root}/dataset.xhtml?persistentId={pid}"

    def cut_file(self, stored: Stored, after: int) -> None:
        """The next body of a file breaks off."""
        self._cuts[stored.id] = after

    @staticmethod
    def _all(dataset: _Dataset) -> list[dict[str, Stored]]:
        return [*dataset.versions.values(), *([dataset.draft] if dataset.draft is not None else [])]

    def allowed(self, request: Request) -> bool:
        return request.headers.get("x-dataverse-key") == self.token

    def refusal(self, request: Request) -> Reply:
        return _error(401, "User with token null not found.")

    def answer(self, request: Request, path: str) -> Reply | None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        path = re.sub(r"^/api/v1/", "/api/", path)
        if match := re.fullmatch(r"/api/handles/(10\.5072/.+)", path):
            return self._handle(match[1])
        if path == "/api/info/version":
            return _ok({"version": "6.6", "build": "1"})
        if path == "/api/search":
            return self._search(query.get("q", ""))
        if match := re.fullmatch(r"/api/access/datafile/(:persistentId|\d+)/?", path):
            return self._access(match[1], query, request)
        if match := re.fullmatch(r"/api/files/(:persistentId|\d+)/?", path):
            return self._about_file(match[1], query)
        if match := re.fullmatch(r"/api/datasets/(:persistentId|\d+)/?(?:versions/([^/]+))?(/files)?/?", path):
            return self._about(match[1], match[2] or ":latest", bool(match[3]), query, request, whole=not match[2])
        return None

    def _handle(self, name: str) -> Reply:
        pids = [*self._datasets, *(self.file_pid(one) for one in self._files.values() if self._owner(one))]
        known = next((pid for pid in pids if pid.lower().partition(":")[2] == name.lower()), "")
        if not known:
            return reply(404, {"responseCode": 100, "handle": name})
        value = {"format": "string", "value": f"{self.root}/citation?persistentId={known}"}
        return reply(200, {"responseCode": 1, "values": [{"index": 1, "type": "URL", "data": value}]})

    def _about(
        self, id: str, wanted: str, files: bool, query: dict[str, str], request: Request, whole: bool
    ) -> Reply | None:
        pid = query.get("persistentId", "")
        dataset = next((one for one in self._datasets.values() if one.pid == pid or str(one.id) == id), None)
        if dataset is None:
            return _error(404, f"Dataset with Persistent ID {pid or id} not found.")
        drafts = self.allowed(request)
        number = self._number(dataset, wanted, drafts, query.get("includeDeaccessioned") == "true")
        if number is None:
            return _error(404, f"Dataset version {wanted} of dataset {dataset.id} not found")
        if files:
            return self._listing(dataset, number, query)
        said = self._version(dataset, number, query.get("excludeFiles") != "true")
        if not whole:
            return _ok(said)
        about = {"id": dataset.id, "identifier": pid.partition("/")[2], "protocol": pid.partition(":")[0]}
        return _ok({**about, "persistentUrl": f"https://doi.org/{pid[4:]}", "latestVersion": said})

    @staticmethod
    def _number(dataset: _Dataset, wanted: str, drafts: bool, gone: bool) -> str | None:
        known = [number for number in dataset.versions if gone or number not in dataset.deaccessioned]
        if wanted in (":latest", ":draft") and drafts and dataset.draft is not None:
            return "DRAFT"
        if wanted in (":latest", ":latest-published"):
            return known[-1] if known else None
        return wanted if wanted in known else None

    def _version(self, dataset: _Dataset, number: str, files: bool) -> dict[str, Any]:
        major, _, minor = number.partition(".")
        gone = dataset.deaccessioned.get(number)
        state = "DRAFT" if number == "DRAFT" else "RELEASED" if gone is None else "DEACCESSIONED"
        title = {"typeName": "title", "multiple": False, "typeClass": "primitive", "value": "Cells, counted"}
        names = [
            {"authorName": {"typeName": "authorName", "value": name}} for name in ("Noether, Emmy", "Curie, Marie")
        ]
        authors = {"typeName": "author", "multiple": True, "typeClass": "compound", "value": names}
        said: dict[str, Any] = {
            "id": 1000 + dataset.id,
            "datasetId": dataset.id,
            "datasetPersistentId": dataset.pid,
            "versionState": state,
            "license": {"name": "CC0 1.0", "uri": "http://creativecommons.org/publicdomain/zero/1.0"},
            "metadataBlocks": {"citation": {"name": "citation", "fields": [title, authors]}},
        }
        if minor:
            said |= {"versionNumber": int(major), "versionMinorNumber": int(minor)}
        if gone is not None:
            said["deaccessionNote"] = gone
        if files:
            said["files"] = [self._entry(one, dataset) for one in self._held(dataset, number).values()]
        return said

    @staticmethod
    def _held(dataset: _Dataset, number: str) -> dict[str, Stored]:
        return dataset.versions[number] if number != "DRAFT" else dataset.draft or {}

    def _listing(self, dataset: _Dataset, number: str, query: dict[str, str]) -> Reply:
        limit, offset = int(query.get("limit", "0")), int(query.get("offset", "0"))
        if self.hostile == "many":
            many = (Stored(10**7 + n, b"", f"f{n}") for n in range(offset, min(offset + limit, MANY)))
            return reply(200, {"status": "OK", "totalCount": MANY, "data": [self._entry(one, dataset) for one in many]})
        held = self._held(dataset, number)
        found = [held[name] for name in sorted(held, key=lambda name: held[name].label)]
        if self.hostile == "loop":
            return reply(200, {"status": "OK", "totalCount": MANY, "data": [self._entry(found[0], dataset)]})
        if self.hostile == "twins":
            found.append(replace(found[0], id=1))
        if not self.pages:
            return reply(200, {"status": "OK", "data": [self._entry(one, dataset) for one in found]})
        shown = found[offset : offset + min(limit, self.page)] if limit else found
        shown_as = [self._entry(one, dataset) for one in shown]
        return reply(200, {"status": "OK", "totalCount": len(found), "data": shown_as})

    def _entry(self, stored: Stored, dataset: _Dataset) -> dict[str, Any]:
        digest = hashlib.new(self.algorithm.replace("-", "").lower(), stored.body, usedforsecurity=False).hexdigest()
        size = len(stored.body) + (self.hostile == "sizes")
        label = "../../etc/passwd" if self.hostile == "names" else stored.label
        about: dict[str, Any] = {
            "id": stored.id,
            "persistentId": f"{dataset.pid}/F{stored.id}" if self.pids else "",
            "filename": label,
            "contentType": "application/octet-stream",
            "filesize": size,
            "storageIdentifier": f"local://{stored.id:x}",
            "rootDataFileId": -1,
            "checksum": {"type": self.algorithm, "value": digest},
            "tabularData": stored.tabular,
        }
        if self.algorithm == "MD5":
            about["md5"] = digest
        if stored.tabular:
            about |= {"contentType": "text/tab-separated-values", "filesize": len(_archival(stored)) - len(HEADER)}
            about |= {"originalFileFormat": "text/csv", "originalFormatLabel": "Comma Separated Values"}
            about |= {} if stored.old else {"originalFileSize": size, "originalFileName": stored.uploaded}
        if stored.old:
            del about["tabularData"]
        if stored.embargo:
            about["embargo"] = {"dateAvailable": stored.embargo, "reason": "a paper"}
        entry = {"label": label, "restricted": stored.restricted, "version": 1, "dataFile": about}
        return entry | ({"directoryLabel": stored.folder} if stored.folder else {})

    def _stored(self, id: str, query: dict[str, str]) -> tuple[Stored, _Dataset, str] | None:
        wanted = query.get("persistentId", "") if id == ":persistentId" else id
        for dataset in self._datasets.values():
            for number in reversed(dataset.versions):
                for stored in dataset.versions[number].values():
                    if wanted == str(stored.id) or (self.pids and wanted == f"{dataset.pid}/F{stored.id}"):
                        return stored, dataset, number
        return None

    def _about_file(self, id: str, query: dict[str, str]) -> Reply:
        found = self._stored(id, query)
        if found is None:
            return _error(404, f"File with ID {id} not found.")
        stored, dataset, number = found
        entry = self._entry(stored, dataset)
        if self.tells and query.get("returnDatasetVersion") == "true":
            entry["datasetVersion"] = self._version(dataset, number, False)
        return _ok(entry)

    def _search(self, asked: str) -> Reply:
        name, _, value = asked.partition(":")
        items = []
        for dataset in self._datasets.values():
            for stored in self._held(dataset, next(reversed(dataset.versions))).values() if dataset.versions else ():
                own = {"entityId": str(stored.id), "filePersistentId": f"F{stored.id}"}
                if own.get(name) == value:
                    pid = {"file_persistent_id": f"{dataset.pid}/F{stored.id}"} if self.pids else {}
                    about = {"name": stored.label, "type": "file", "file_id": str(stored.id)}
                    items.append(about | pid | {"dataset_persistent_id": dataset.pid})
        return _ok({"q": asked, "total_count": len(items), "start": 0, "items": items})

    def _access(self, id: str, query: dict[str, str], request: Request) -> Reply | None:
        found = self._stored(id, query)
        if found is None or found[0].harvested:
            return _error(404, "File not found.")
        stored = found[0]
        if (stored.restricted or stored.embargo) and not self.allowed(request):
            return _error(403, "Not authorized to access this object via this API endpoint.")
        if stored.guestbook:
            return _error(400, "You may not download this file without the required Guestbook response.")
        original = not stored.tabular or query.get("format") == "original"
        body = stored.body if original else _archival(stored)
        if self.stored:
            path = f"bucket/{stored.id:x}" + ("" if not stored.tabular else ".orig" if original else ".tab")
            return Reply(303, {"Location": self.signed(path, body)}, b"")
        headers = {"Content-Type": "application/octet-stream"}
        if not self.ranges:
            return Reply(200, headers, body)
        return ranged(request, body, headers, self._cuts.pop(stored.id, None))


def _archival(stored: Stored) -> bytes:
    """Something else than what was uploaded."""
    return HEADER + b"made of\t%d\n" % len(stored.body)


def _ok(data: Any) -> Reply:
    return reply(200, {"status": "OK", "data": data})


def _error(status: int, message: str) -> Reply:
    return reply(status, {"status": "ERROR", "code": status, "message": message})
