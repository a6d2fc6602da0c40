"""Dryad on loopback, as https://datadryad.org/api has it: HAL, pages of 20, files behind an account or a wall."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from gotdata.testing.double import Double, reply
from gotdata.testing.hostile_contract import MANY
from gotdata.testing.server import Reply, Request

_VALIDATING = b"<!doctype html><html><head><title>Validating...</title></head><body>Please wait</body></html>"


@dataclass(frozen=True)
class _File:
    id: str
    path: str
    body: bytes
    status: str = "created"


@dataclass
class _Version:
    id: str
    doi: str
    number: int
    files: list[_File] = field(default_factory=list)


class Dryad(Double):
    """Every change of a dataset is a new version, in which each file has a new id.

    Attributes:
        guests: the API sends files to anybody; it does not any more.
        wall_of_downloads: where people download stands a page that wants to see a browser.
        relation: the name of the link to a file's bytes, which was another one earlier.
        digest: the kind of sum that files have, in Dryad's spelling; empty: none, as old files.
        short: links to further pages forget how many entries a page had.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guests = False
        self.wall_of_downloads = False
        self.relation = "stash:download"
        self.digest = "sha-256"
        self.short = False
        self._versions: dict[str, _Version] = {}
        self._files: dict[str, tuple[str, _File]] = {}

    def dataset(self, doi: str = "10.5061/dryad.7rh4625") -> str:
        """A new dataset without a version. Returns its DOI."""
        return doi

    def put(self, doi: str, files: dict[str, bytes]) -> str:
        """Publishes a version in which these files are new or replaced. Returns its id."""
        held = {file.path: file.body for file in self.newest(doi).files} if self._of(doi) else {}
        return self._publish(doi, held | files, set(files))

    def remove(self, doi: str, path: str) -> str:
        held = {file.path: file.body for file in self.newest(doi).files if file.path != path}
        return self._publish(doi, held, set())

    def newest(self, doi: str) -> _Version:
        return self._of(doi)[-1]

    def find(self, doi: str, path: str) -> str:
        """The id of a file in the newest version."""
        return {file.path: file.id for file in self.newest(doi).files}[path]

    def mark_deleted(self, doi: str, path: str) -> None:
        """A file that the newest version does not have any more, but still lists."""
        version = self.newest(doi)
        version.files = [
            _File(one.id, one.path, one.body, "deleted") if one.path == path else one for one in version.files
        ]

    def refusal(self, request: Request) -> Reply:
        return reply(401, {"error": "You must be an authenticated user to make this request"})

    def too_many(self) -> Reply:
        return Reply(429, {"RateLimit-Limit": "30", "RateLimit-Reset": self.retry_after}, b"Retry later\n")

    def answer(self, request: Request, path: str) -> Reply | None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        for form, say in (
            (r"/api/v2/datasets/doi:(\S+?)(/versions)?", self._dataset),
            (r"/api/v2/versions/(\d+)(/files)?", self._version),
            (r"/api/v2/files/(\d+)", self._file),
            (r"/(api/v2/files|downloads/file_stream)/(\d+)(?:/download)?", self._bytes),
        ):
            if match := re.fullmatch(form, path):
                answered: Reply = say(request, query, *match.groups())
                return answered
        return None

    def _of(self, doi: str) -> list[_Version]:
        return [one for one in self._versions.values() if one.doi == doi]

    def _publish(self, doi: str, files: dict[str, bytes], new: set[str]) -> str:
        version = _Version(str(26724 + len(self._versions)), doi, len(self._of(doi)) + 1)
        self._versions[version.id] = version
        for path, body in files.items():
            file = _File(str(70000 + len(self._files)), path, body, "created" if path in new else "copied")
            version.files.append(file)
            self._files[file.id] = (version.id, file)
            self.store.put(file.id, body, get_only=True)
        return version.id

    def _dataset(self, request: Request, query: dict[str, str], doi: str, versions: str | None) -> Reply:
        known = self._of(doi)
        if not known:
            return reply(404, {"error": "not-found"})
        here = f"/api/v2/datasets/{quote(f'doi:{doi}', safe='')}"
        if versions:
            return self._paged(f"{here}/versions", "stash:versions", [self._said(one) for one in known], query)
        links = {
            "self": here,
            "stash:versions": f"{here}/versions",
            "stash:version": f"/api/v2/versions/{known[-1].id}",
        }
        return reply(200, {"_links": _links(links), "identifier": f"doi:{doi}", "id": 93, "title": "Cells, counted"})

    def _version(self, request: Request, query: dict[str, str], id: str, files: str | None) -> Reply:
        version = self._versions.get(id)
        if version is None:
            return reply(404, {"error": "not-found"})
        if not files:
            return reply(200, self._said(version))
        here = f"/api/v2/versions/{id}/files"
        if self.hostile == "many":
            size, number = min(int(query.get("per_page", "20")), self.page), int(query.get("page", "1"))
            like = version.files[0]
            made = [_File(like.id, f"f{one}", like.body) for one in range((number - 1) * size, number * size)]
            return self._paged(here, "stash:files", [self._listed(one) for one in made], query, MANY)
        shown = [self._listed(file) for file in version.files]
        return self._paged(here, "stash:files", shown + (shown[-1:] if self.hostile == "twins" else []), query)

    def _paged(self, here: str, name: str, held: list[dict[str, Any]], query: dict[str, str], made: int = 0) -> Reply:
        """``made`` is the total where ``held`` is one page already."""
        size, number = min(int(query.get("per_page", "20")), self.page), int(query.get("page", "1"))
        total, shown = made or len(held), held if made else held[(number - 1) * size : number * size]
        links = {"self": here, "first": here}
        more = "" if self.short else f"&per_page={size}"
        if number * size < total:
            links["next"] = f"{here}?page={number + 1}{more}"
        if self.hostile == "loop":
            links["next"] = f"{here}?page={number}{more}"
        return reply(200, {"_links": _links(links), "count": len(shown), "total": total, "_embedded": {name: shown}})

    def _said(self, version: _Version) -> dict[str, Any]:
        here = f"/api/v2/versions/{version.id}"
        dataset = f"/api/v2/datasets/{quote(f'doi:{version.doi}', safe='')}"
        return {
            "_links": _links({"self": here, "stash:dataset": dataset, "stash:files": f"{here}/files"}),
            "title": "Cells, counted",
            "authors": [{"firstName": "Emmy", "lastName": "Noether"}, {"firstName": "Marie", "lastName": "Curie"}],
            "license": "https://spdx.org/licenses/CC0-1.0.html",
            "versionNumber": version.number,
            "versionStatus": "submitted",
            "curationStatus": "Published",
        }

    def _listed(self, file: _File) -> dict[str, Any]:
        here = f"/api/v2/files/{file.id}"
        of = self._files.get(file.id, ("1", file))[0]
        digest = hashlib.new(self.digest.replace("-", ""), file.body).hexdigest() if self.digest else None
        return {
            "_links": _links(
                {"self": here, "stash:version": f"/api/v2/versions/{of}", self.relation: f"{here}/download"}
            ),
            "path": "../../etc/passwd" if self.hostile == "names" else file.path,
            "size": len(file.body) + (self.hostile == "sizes"),
            "mimeType": "text/plain",
            "status": file.status,
            "digest": digest,
            "digestType": self.digest or None,
        }

    def _file(self, request: Request, query: dict[str, str], id: str) -> Reply:
        return reply(200, self._listed(self._files[id][1])) if id in self._files else reply(404, {"error": "not-found"})

    def _bytes(self, request: Request, query: dict[str, str], way: str, id: str) -> Reply:
        if id not in self._files:
            return reply(404, {"error": "not-found"})
        if way == "downloads/file_stream" and self.wall_of_downloads:
            return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, _VALIDATING)
        if way == "api/v2/files" and not (self.guests or self.allowed(request)):
            return self.refusal(request)
        self._signed += 1
        return Reply(302, {"Location": f"{self.store.at(id)}?X-Amz-Signature=s{self._signed}&X-Amz-Expires=60"}, b"")


def _links(hrefs: dict[str, str]) -> dict[str, Any]:
    return {name: {"href": href} for name, href in hrefs.items()}
