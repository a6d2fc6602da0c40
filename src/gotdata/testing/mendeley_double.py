"""Mendeley Data on loopback. Its public API is not documented; this follows what its users ask and are answered."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from gotdata.testing.double import Double, reply
from gotdata.testing.hostile_contract import MANY
from gotdata.testing.server import Reply, Request


@dataclass(frozen=True)
class _File:
    id: str
    content: str
    body: bytes


@dataclass
class _Version:
    files: dict[str, _File] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    """The id of each path."""


class Mendeley(Double):
    """Every change of a dataset is a new version.

    Attributes:
        paged: listings know ``$start`` and ``$limit``, and send ``page`` entries at most; else they send all.
        described: versions have a description.
        elsewhere: the host that addresses of files name, where that is not this one.
    """

    page = 1000

    def __init__(self) -> None:
        super().__init__()
        self.paged = True
        self.described = True
        self.elsewhere = ""
        self._datasets: dict[str, list[_Version]] = {}
        self._bodies: dict[str, str] = {}
        self._count = 0

    def put(self, id: str, files: dict[str, bytes]) -> None:
        """Publishes a version in which these files are new or replaced."""
        version = self._next(id)
        for path, body in files.items():
            self._folder(version, path.rpartition("/")[0])
            file = _File(self._id(), self._id(), body)
            version.files[path] = file
            self._bodies[file.content] = path
            self.store.put(file.content, body, get_only=True)

    def folder(self, id: str, path: str) -> None:
        self._folder(self._next(id), path)

    def remove(self, id: str, path: str) -> None:
        del self._next(id).files[path]

    def tangle(self, id: str) -> None:
        """Two folders, each in the other."""
        self._datasets[id][-1].folders |= {"d": self._id(), "d/e": self._id()}

    def find(self, id: str, path: str) -> str:
        """The id in the address of a file of the newest version."""
        return self._datasets[id][-1].files[path].content

    def answer(self, request: Request, path: str) -> Reply | None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        if match := re.fullmatch(r"/public-files/datasets/\w+/files/([\w-]+)/file_downloaded", path):
            return self._bytes(match[1])
        match = re.fullmatch(r"/public-api/datasets/(\w+)/(versions|files|folders|snapshot)(?:/(\d+))?", path)
        known = self._datasets.get(match[1], []) if match else []
        if match is None or not known:
            return reply(404, {"message": "Dataset not found"})
        number = int(match[3] or query.get("version", "1"))
        if match[2] == "versions":
            return reply(200, [{"id": match[1], "version": one} for one in range(len(known), 0, -1)])
        if not 0 < number <= len(known):
            return reply(404, {"message": "Version not found"})
        if match[2] == "snapshot":
            return reply(200, _about(match[1], number)) if self.described else reply(404, {"message": "Not found"})
        if match[2] == "folders":
            return reply(200, self._folders(known[number - 1]))
        return self._files(match[1], known[number - 1], query)

    def _folders(self, version: _Version) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = [
            {"id": id, "name": path.rpartition("/")[2], "parent_id": version.folders.get(path.rpartition("/")[0])}
            for path, id in version.folders.items()
        ]
        if self.hostile == "loop":
            tangled = [{"id": "p", "name": "p", "parent_id": "q"}, {"id": "q", "name": "q", "parent_id": "p"}]
            said += tangled
        return said

    def _files(self, dataset: str, version: _Version, query: dict[str, str]) -> Reply:
        above = {"root": ""} | {id: path for path, id in version.folders.items()}
        folder = above.get(query["folder_id"])
        held = [(path, file) for path, file in version.files.items() if path.rpartition("/")[0] == folder]
        start, limit = int(query.get("$start", "0")), min(int(query.get("$limit", "100")), self.page)
        if self.hostile == "many":
            made = range(start, min(start + limit, MANY))
            like = held[0][1]
            held = [(f"f{one}", _File(str(UUID(int=one)), like.content, like.body)) for one in made]
        elif self.paged:
            held = held[start : start + limit]
        shown = [self._shown(dataset, path, file) for path, file in held]
        if self.hostile == "twins" and shown:
            shown.append({**shown[-1], "id": "another"})
        return reply(200, shown)

    def _shown(self, dataset: str, path: str, file: _File) -> dict[str, Any]:
        home = self.elsewhere or self.root
        return {
            "id": file.id,
            "filename": "../../etc/passwd" if self.hostile == "names" else path.rpartition("/")[2],
            "size": len(file.body) + (self.hostile == "sizes"),
            "content_details": {
                "id": file.content,
                "sha256_hash": hashlib.sha256(file.body).hexdigest(),
                "size": len(file.body),
                "content_type": "text/plain",
                "created_date": "2021-02-19T11:33:02.148Z",
                "download_url": f"{home}/public-files/datasets/{dataset}/files/{file.content}/file_downloaded",
            },
        }

    def _bytes(self, id: str) -> Reply:
        if id not in self._bodies:
            return reply(404, {"message": "File not found"})
        self._signed += 1
        return Reply(302, {"Location": f"{self.store.at(id)}?X-Amz-Signature=s{self._signed}&X-Amz-Expires=60"}, b"")

    def _next(self, id: str) -> _Version:
        known = self._datasets.setdefault(id, [])
        version = _Version(dict(known[-1].files), dict(known[-1].folders)) if known else _Version()
        known.append(version)
        return version

    def _folder(self, version: _Version, path: str) -> None:
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            version.folders.setdefault("/".join(parts[:depth]), self._id())

    def _id(self) -> str:
        self._count += 1
        return str(UUID(int=0xA0 << 120 | self._count))


def _about(dataset: str, number: int) -> dict[str, Any]:
    return {
        "id": dataset,
        "name": "Cells, counted",
        "version": number,
        "doi": {"id": f"10.17632/{dataset}.{number}", "status": "live"},
        "contributors": [
            {"first_name": "Emmy", "last_name": "Noether"},
            {"first_name": "Marie", "last_name": "Curie"},
        ],
        "data_licence": {"short_name": "CC BY 4.0", "full_name": "Creative Commons Attribution 4.0 International"},
    }
