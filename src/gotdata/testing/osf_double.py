"""The Open Science Framework on loopback: its API (JSON:API, https://developer.osf.io), the service that sends files
(WaterButler), and the store that this redirects to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from gotdata.testing.double import Double, reply
from gotdata.testing.hostile_contract import MANY
from gotdata.testing.server import Reply, Request

_GUIDS = "23456789abcdefghjkmnpqrstuvwxyz"


@dataclass
class _File:
    id: str
    name: str
    parent: str
    storage: str
    versions: list[bytes] = field(default_factory=list)


@dataclass
class _Folder:
    id: str
    name: str
    parent: str
    storage: str


@dataclass
class _Node:
    kind: str
    title: str
    parent: str = ""
    private: bool = False
    withdrawn: bool = False
    storages: list[str] = field(default_factory=lambda: ["osfstorage"])
    entries: dict[str, dict[str, _File | _Folder]] = field(default_factory=dict)
    """Of each folder (its path, the storage in front, ending in ``/``) what it holds."""


class Osf(Double):
    """Attributes:
    key: what a view-only link to private projects carries. Links of answers to it carry it on.
    hashes: whether checksums are told of files that are not in OSF's own storage; mostly they are not.
    sizes: whether the sizes of files in add-ons are told.
    region: the host that the API names for files, where that is not this one.
    """

    key = "see-only"

    def __init__(self) -> None:
        super().__init__()
        self.hashes = False
        self.sizes = True
        self.region = ""
        self._nodes: dict[str, _Node] = {}
        self._files: dict[str, tuple[str, _File | _Folder]] = {}

    def project(self, kind: str = "nodes", title: str = "Cells, counted", parent: str = "", **more: Any) -> str:
        """A new project, registration or component. Returns its id."""
        count = len(self._nodes)
        guid = "abc" + _GUIDS[count // 31] + _GUIDS[count % 31]
        self._nodes[guid] = _Node(kind, title, parent, **more)
        return guid

    def node(self, guid: str) -> _Node:
        return self._nodes[guid]

    def connect(self, guid: str, storage: str) -> None:
        """An add-on: a storage of another provider."""
        self._nodes[guid].storages.append(storage)

    def put(self, guid: str, path: str, body: bytes, storage: str = "osfstorage") -> str:
        """A file, or a new version of it. Returns its long id."""
        above, _, name = path.rpartition("/")
        parent = self.folder(guid, above, storage)
        held = self._nodes[guid].entries.setdefault(parent, {})
        file = held.get(name)
        if not isinstance(file, _File):
            file = _File(self._id(), name, parent, storage)
            held[name] = file
            self._files[file.id] = (guid, file)
        file.versions.append(body)
        self.store.put(f"{file.id}/{len(file.versions)}", body, get_only=True)
        return file.id

    def folder(self, guid: str, path: str, storage: str = "osfstorage") -> str:
        """Makes a folder and all above it; returns its path as ``entries`` has it."""
        there = f"{storage}/"
        for name in filter(None, path.split("/")):
            held = self._nodes[guid].entries.setdefault(there, {})
            if name not in held:
                folder = _Folder(self._id(), name, there, storage)
                held[name] = folder
                self._files[folder.id] = (guid, folder)
            there += f"{name}/"
        self._nodes[guid].entries.setdefault(there, {})
        return there

    def find(self, guid: str, path: str, storage: str = "osfstorage") -> _File | _Folder:
        above, _, name = f"{storage}/{path}".rpartition("/")
        return self._nodes[guid].entries[f"{above}/"][name]

    def remove(self, guid: str, path: str) -> None:
        file = self.find(guid, path)
        del self._nodes[guid].entries[file.parent][file.name]
        del self._files[file.id]

    def refusal(self, request: Request) -> Reply:
        return _errors(401, "Authentication credentials were not provided.")

    def too_many(self) -> Reply:
        said = f"Request was throttled. Expected available in {self.retry_after} seconds."
        return reply(429, {"errors": [{"detail": said}]}, {"Retry-After": self.retry_after})

    def answer(self, request: Request, path: str) -> Reply | None:
        path = re.sub(r"/{2,}", "/", path)  # osfclient asks for //nodes
        query = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        for form, say in (
            (r"/v2/guids/(\w+)/", self._guid),
            (r"/v2/(?:nodes|registrations)/(\w+)/", self._entity),
            (r"/v2/(?:nodes|registrations)/(\w+)/children/", self._children),
            (r"/v2/(?:nodes|registrations)/(\w+)/files/", self._storages),
            (r"/v2/(?:nodes|registrations)/(\w+)/files/(\w+)/(\w*)/?", self._listing),
            (r"/v2/files/(\w+)/", self._detail),
            (r"/v2/files/(\w+)/versions/", self._versions),
            (r"/download/(\w+)/", self._download),
            (r"/v1/resources/(\w+)/providers/\w+/(\w+)", self._bytes),
        ):
            if match := re.fullmatch(form, path):
                return self._guarded(request, query, say, match.groups())
        return None

    def _guarded(self, request: Request, query: dict[str, list[str]], say: Any, words: tuple[str, ...]) -> Reply:
        guid = words[0] if words[0] in self._nodes else self._files.get(words[0], ("", None))[0]
        if guid not in self._nodes:
            return _errors(404, "Not found.")
        opened = self.allowed(request) or self.key in query.get("view_only", [])
        if self._nodes[guid].private and not opened:
            return self.refusal(request)
        answered: Reply = say(query, *words)
        return answered

    def _guid(self, query: dict[str, list[str]], guid: str) -> Reply:
        return Reply(302, {"Location": f"/v2/{self._nodes[guid].kind}/{guid}/"}, b"")

    def _entity(self, query: dict[str, list[str]], guid: str) -> Reply:
        if self._nodes[guid].withdrawn and self._nodes[guid].kind == "nodes":
            return _errors(410, "The requested node is no longer available.")
        return reply(200, {"data": self._shown(guid, query), "meta": {"version": "2.0"}})

    def _shown(self, guid: str, query: dict[str, list[str]]) -> dict[str, Any]:
        node = self._nodes[guid]
        here = f"{self.root}/v2/{node.kind}/{guid}"
        attributes = {
            "title": node.title,
            "description": "",
            "category": "project",
            "date_created": "2019-01-08T14:10:15.355071",
            "date_modified": "2019-03-09T19:23:11.527347",
            "registration": node.kind == "registrations",
            "public": not node.private,
        }
        if node.kind == "registrations":
            attributes["withdrawn"] = node.withdrawn
        shown = {
            "id": guid,
            "type": node.kind,
            "attributes": attributes,
            "relationships": {"files": _link(f"{here}/files/"), "children": _link(f"{here}/children/")},
            "links": {"html": f"{self.root}/{guid}/", "self": f"{here}/"},
        }
        return shown | ({"embeds": _embeds(guid)} if "embed" in query else {})

    def _children(self, query: dict[str, list[str]], guid: str) -> Reply:
        found = [self._shown(id, {}) for id, node in self._nodes.items() if node.parent == guid and not node.private]
        return self._paged(f"{self.root}/v2/{self._nodes[guid].kind}/{guid}/children/", found, query)

    def _storages(self, query: dict[str, list[str]], guid: str) -> Reply:
        here = f"{self.root}/v2/{self._nodes[guid].kind}/{guid}/files/"
        found = []
        for storage in self._nodes[guid].storages:
            bytes_ = f"{self.root}/v1/resources/{guid}/providers/{storage}/"
            attributes = {"kind": "folder", "name": storage, "path": "/", "node": guid, "provider": storage}
            links = {
                "upload": bytes_,
                "new_folder": f"{bytes_}?kind=folder",
                "storage_addons": f"{self.root}/v2/addons/",
            }
            relations = {"files": _link(f"{here}{storage}/")}
            found.append(
                {
                    "id": f"{guid}:{storage}",
                    "type": "files",
                    "attributes": attributes,
                    "relationships": relations,
                    "links": links,
                }
            )
        return self._paged(here, found, query)

    def _listing(self, query: dict[str, list[str]], guid: str, storage: str, id: str) -> Reply:
        node, there = self._nodes[guid], f"{storage}/"
        here = f"{self.root}/v2/{node.kind}/{guid}/files/{storage}/"
        if id:
            if id not in self._files:
                return _errors(404, "Not found.")
            folder = self._files[id][1]
            there, here = f"{folder.parent}{folder.name}/", f"{here}{id}/"
        held = list(node.entries.get(there, {}).values())
        return self._paged(here, held, query, guid)

    def _paged(self, here: str, held: list[Any], query: dict[str, list[str]], guid: str = "") -> Reply:
        """``links.meta`` is where version 2.0 of the API has its totals; a page has 10 entries, 100 at most."""
        size = min(int(query.get("page[size]", ["10"])[0]), self.page)
        number = int(query.get("page", ["1"])[0])
        first, files = (number - 1) * size, bool(guid)
        total = MANY if files and self.hostile == "many" else len(held)
        if files and self.hostile == "many":
            shown = [self._made(held[0], guid, index) for index in range(first, min(first + size, total))]
        else:
            shown = [self._entry(one, guid) if files else one for one in held[first : first + size]]
            if files and "view_only" in query:
                shown = [_with_key(one, self.key) for one in shown]
        if files and self.hostile == "twins":
            shown += shown[-1:]
        following = f"{here}?page={number + 1}&page%5Bsize%5D={size}" if first + size < total else None
        if following and "view_only" in query:
            following += f"&view_only={self.key}"
        if files and self.hostile == "loop":
            following = f"{here}?page%5Bsize%5D={size}"
        links = {
            "first": None,
            "last": None,
            "prev": None,
            "next": following,
            "meta": {"total": total, "per_page": size},
        }
        return reply(200, {"data": shown, "links": links, "meta": {"version": "2.0"}})

    def _made(self, like: _File, guid: str, index: int) -> dict[str, Any]:
        return self._entry(_File(f"{index:024x}", f"f{index}", like.parent, like.storage, like.versions), guid)

    def _entry(self, one: _File | _Folder, guid: str) -> dict[str, Any]:
        own = one.storage == "osfstorage"
        path = "/" + f"{one.parent}{one.name}".partition("/")[2]
        if self.hostile == "names":
            path = "/../../etc/passwd"
        bytes_ = f"{self.region or self.root}/v1/resources/{guid}/providers/{one.storage}/{one.id}"
        here = f"{self.root}/v2/files/{one.id}/"
        attributes: dict[str, Any] = {
            "guid": None,
            "name": one.name,
            "kind": "file" if isinstance(one, _File) else "folder",
            "path": f"/{one.id}" if isinstance(one, _File) else f"/{one.id}/",
            "size": None,
            "provider": one.storage,
            "materialized_path": path,
            "date_modified": None,
            "date_created": None,
            "extra": {"hashes": {"md5": None, "sha256": None}},
            "current_version": 1,
        }
        relations = {"versions": _link(f"{here}versions/")}
        links = {"info": here, "self": here, "move": bytes_, "upload": bytes_, "delete": bytes_}
        if isinstance(one, _File):
            body = one.versions[-1]
            attributes["size"] = len(body) + (self.hostile == "sizes") if own or self.sizes else None
            attributes["current_version"] = len(one.versions) if own else 1
            if own or self.hashes:
                attributes["extra"] = {"hashes": _hashes(body)}
            links |= {"download": f"{self.root}/download/{one.id}/", "html": f"{self.root}/{guid}/files/{one.id}"}
        else:
            attributes["materialized_path"] += "/"
            kind = self._nodes[guid].kind
            relations = {"files": _link(f"{self.root}/v2/{kind}/{guid}/files/{one.storage}/{one.id}/")}
            links["new_folder"] = f"{bytes_}/?kind=folder"
        return {"id": one.id, "type": "files", "attributes": attributes, "relationships": relations, "links": links}

    def _detail(self, query: dict[str, list[str]], id: str) -> Reply:
        guid, one = self._files[id]
        return reply(200, {"data": self._entry(one, guid), "meta": {"version": "2.0"}})

    def _versions(self, query: dict[str, list[str]], id: str) -> Reply:
        """They tell sizes, and no checksums."""
        _, file = self._files[id]
        assert isinstance(file, _File)
        found = [
            {"id": str(number), "type": "file_versions", "attributes": {"size": len(body), "content_type": None}}
            for number, body in list(enumerate(file.versions, 1))[::-1]
        ]
        return self._paged(f"{self.root}/v2/files/{id}/versions/", found, query)

    def _download(self, query: dict[str, list[str]], id: str) -> Reply:
        guid, file = self._files[id]
        asked = f"?revision={query['revision'][0]}" if "revision" in query else ""
        return Reply(302, {"Location": f"/v1/resources/{guid}/providers/{file.storage}/{id}{asked}"}, b"")

    def _bytes(self, query: dict[str, list[str]], guid: str, id: str) -> Reply:
        if id not in self._files:
            return reply(404, {"code": 404, "message": f"Could not retrieve file or directory /{id}"})
        file = self._files[id][1]
        assert isinstance(file, _File)
        if "revisions" in query:
            known = [
                {"id": str(number), "attributes": {"version": str(number), "extra": {"hashes": _hashes(body)}}}
                for number, body in list(enumerate(file.versions, 1))[::-1]
            ]
            return reply(200, {"data": known})
        number = int(query.get("revision", [str(len(file.versions))])[0])
        if not 0 < number <= len(file.versions):
            return reply(404, {"code": 404, "message": f"No such version {number}"})
        self._signed += 1
        where = f"{self.store.at(f'{id}/{number}')}?X-Goog-Signature=s{self._signed}&response-content-disposition="
        return Reply(302, {"Location": where + quote(f'attachment; filename="{quote(file.name)}"')}, b"")

    def _id(self) -> str:
        return f"{len(self._files) + 0x59CEB2079AD5A102CD5C41BB:024x}"


def _link(href: str) -> dict[str, Any]:
    return {"links": {"related": {"href": href, "meta": {}}}}


def _with_key(entry: dict[str, Any], key: str) -> dict[str, Any]:
    return {**entry, "links": {name: f"{href}?view_only={key}" for name, href in entry["links"].items()}}


def _hashes(body: bytes) -> dict[str, str]:
    return {"md5": hashlib.md5(body, usedforsecurity=False).hexdigest(), "sha256": hashlib.sha256(body).hexdigest()}


def _embeds(guid: str) -> dict[str, Any]:
    people = [
        {"id": f"{guid}-{name}", "embeds": {"users": {"data": {"attributes": {"full_name": name}}}}}
        for name in ("Emmy Noether", "Marie Curie")
    ]
    doi = {"attributes": {"category": "doi", "value": f"10.17605/OSF.IO/{guid.upper()}"}}
    licence = {"data": {"attributes": {"name": "CC-By Attribution 4.0 International"}}}
    return {"bibliographic_contributors": {"data": people}, "identifiers": {"data": [doi]}, "license": licence}


def _errors(status: int, detail: str) -> Reply:
    return reply(status, {"errors": [{"detail": detail}]})
