"""OpenNeuro on loopback, after its GraphQL schema (https://docs.openneuro.org/api): a dataset, its snapshots, their git
trees, and a bucket that keeps versions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.server import Reply, Request

DATASET = "ds000001"
_DEAD = re.compile(r"\b(key|objectpath)\b")
"""Fields that the schema had once."""


class Archive(Double):
    """One dataset. What is put goes into its draft; ``snapshot`` tags that.

    Attributes:
        private: urls of its files are signed, and only who has the token may ask.
        exported: files are in the bucket already; else its own server sends them.
        gateway: answers that tell, with status 200, that another server did not answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store.otherwise = self._object
        self.private = False
        self.exported = True
        self.gateway = 0
        self._draft: dict[str, bytes] = {}
        self._snapshots: dict[str, dict[str, bytes]] = {}
        self._objects: dict[tuple[str, str], bytes] = {}
        self._cuts: dict[str, int] = {}
        self._trees: dict[str, tuple[str, str]] = {}

    @property
    def home(self) -> str:
        """The page of the dataset."""
        return f"{self.root}/datasets/{DATASET}"

    def put(self, path: str, body: bytes) -> None:
        self._draft[path] = body
        self._objects[path, _hash(body)] = body

    def remove(self, path: str) -> None:
        """Out of the draft. Its versions stay in the bucket."""
        del self._draft[path]

    def snapshot(self, tag: str) -> None:
        self._snapshots[tag] = dict(self._draft)

    def cut(self, path: str, after: int, times: int = 1) -> None:
        self._cuts[path] = after

    def allowed(self, request: Request) -> bool:
        return request.headers.get("cookie") == f"accessToken={self.token}"

    def refusal(self, request: Request) -> Reply:
        return self._error("You do not have access to read this dataset.")

    def answer(self, request: Request, path: str) -> Reply | None:
        if path == "/crn/graphql" and request.method == "POST":
            return self._ask(request)
        if match := re.fullmatch(rf"/crn/datasets/{DATASET}/snapshots/([\w.]+)/files/(.+)", path):
            return self._file(self._snapshots[match[1]].get(match[2].replace(":", "/")), request)
        if match := re.fullmatch(rf"/crn/datasets/{DATASET}/objects/([0-9a-f]+)", path):
            return self._file(next((body for (_, id), body in self._objects.items() if id == match[1]), None), request)
        return None

    def _file(self, body: bytes | None, request: Request) -> Reply | None:
        if body is None or (self.private and not self.allowed(request)):
            return None
        return ranged(request, body, {"Content-Type": "application/octet-stream", "ETag": f'"{_hash(body)}"'})

    def _ask(self, request: Request) -> Reply:
        asked = json.loads(request.body)
        query = _filled(asked["query"], asked.get("variables") or {})
        if match := _DEAD.search(query):
            message = f'Cannot query field "{match[1]}" on type "DatasetFile".'
            error = {"message": message, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
            return reply(400, {"errors": [error]})
        if self.gateway:
            self.gateway -= 1
            return self._error("504: Gateway Timeout")
        if self.private and not self.allowed(request):
            return self.refusal(request)
        if match := re.search(r'dataset\(id: "(\w+)"\)', query):
            if match[1] != DATASET:
                return self._error("You do not have access to read this dataset.")
            newest = [*self._snapshots, "0" * 40][max(0, len(self._snapshots) - 1)]
            tags = [{"id": f"{DATASET}:{tag}", "tag": tag} for tag in self._snapshots]
            told = {"id": DATASET, "latestSnapshot": self._shown(newest, query), "snapshots": tags}
            return reply(200, {"data": {"dataset": told}})
        match = re.search(r'snapshot\(datasetId: "(\w+)", tag: "([^"]+)"\)', query)
        if match is None or match[1] != DATASET or match[2] not in self._snapshots:
            return reply(200, {"data": {"snapshot": None}})
        return reply(200, {"data": {"snapshot": self._shown(match[2], query)}})

    def _shown(self, tag: str, query: str) -> dict[str, Any]:
        held = self._snapshots.get(tag, self._draft)
        told: dict[str, Any] = {"id": f"{DATASET}:{tag}", "tag": tag, "hexsha": self._commit(held)}
        told["description"] = {
            "Name": "Brains, seen",
            "Authors": ["Noether, Emmy", "Curie, Marie"],
            "DatasetDOI": f"doi:10.18112/openneuro.{DATASET}.v{tag}",
            "License": "CC0",
        }
        if match := re.search(r'\bfiles(?:\((?:tree: (?:"(\w*)"|null)|(recursive): true)\))? *\{', query):
            told["files"] = list(self._walked(tag, held) if match[2] else self._tree(tag, held, match[1] or ""))
        return told

    def _tree(self, tag: str, held: Mapping[str, bytes], tree: str) -> Iterator[dict[str, Any]]:
        """One level."""
        if self.hostile == "many":
            yield from self._many(tree)
            return
        _, folder = self._trees.get(tree, ("", ""))
        names = {path.removeprefix(folder).partition("/")[::2] for path in held if path.startswith(folder)}
        for name in sorted({name for name, rest in names if rest}):
            yield self._directory(tag, name, f"{folder}{name}/")
        for name in sorted({name for name, rest in names if not rest}):
            listed = self._listed(f"{folder}{name}", name, held[f"{folder}{name}"])
            yield listed
            if self.hostile == "twins":
                yield listed
        if self.hostile == "loop":
            yield self._directory(tag, "again", f"{folder}again/", "again")

    def _many(self, tree: str) -> Iterator[dict[str, Any]]:
        for number in range(1000):
            if tree:
                yield self._listed(f"{tree}/{number}", str(number), b"")
            else:
                yield self._directory("", f"many{number}", f"many{number}/")

    def _walked(self, tag: str, held: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
        for path, body in sorted(held.items()):
            yield self._listed(path, path, body)

    def _directory(self, tag: str, name: str, folder: str, id: str = "") -> dict[str, Any]:
        id = id or hashlib.sha1(f"{tag} {folder}".encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
        self._trees[id] = (tag, folder)
        return {"id": id, "filename": name, "size": 0, "directory": True, "annexed": False, "urls": []}

    def _listed(self, path: str, name: str, body: bytes) -> dict[str, Any]:
        id, size = _hash(body), len(body) + (self.hostile == "sizes")
        url = f"{self.store.at(f'openneuro.org/{DATASET}/{path}')}?versionId={id}"
        if not self.exported:
            url = f"{self.root}/crn/datasets/{DATASET}/objects/{id}?filename={quote(name, safe='')}"
        elif self.private:
            url += "&X-Amz-Signature=s1"
        name = "../../etc/passwd" if self.hostile == "names" else name
        return {"id": id, "filename": name, "size": size, "directory": False, "annexed": True, "urls": [url]}

    def _object(self, request: Request) -> Reply | None:
        url = urlsplit(request.path)
        path = unquote(url.path, errors="surrogateescape").removeprefix(f"/openneuro.org/{DATASET}/")
        version = parse_qs(url.query).get("versionId", [""])[0]
        body = self._objects.get((path, version))
        if body is None:
            return None
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return ranged(request, body, {"ETag": f'"{etag}"', "x-amz-version-id": version}, self._cuts.pop(path, None))

    def _commit(self, held: Mapping[str, bytes]) -> str:
        text = "\n".join(f"{path} {_hash(body)}" for path, body in sorted(held.items()))
        return hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()

    def _error(self, message: str) -> Reply:
        return reply(200, {"errors": [{"message": message}], "data": None})


def _filled(query: str, variables: Mapping[str, Any]) -> str:
    """A query with its variables put in, as far as this server needs to read it."""
    for name, value in sorted(variables.items(), key=lambda pair: -len(pair[0])):
        query = query.replace(f": ${name}", f": {json.dumps(value)}")
    return query


def _hash(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()
