"""A CKAN portal on loopback, after https://docs.ckan.org/en/2.11/api/: datasets, uploads, links, dumps of a datastore.

It answers what readers ask; it keeps nothing that they can change, and has no search beyond all there is."""

from __future__ import annotations

import json
import posixpath
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from gotdata.testing.double import Double, reply
from gotdata.testing.server import Reply, Request


@dataclass
class _Resource:
    id: str
    name: str
    url: str
    url_type: str | None
    format: str = ""
    size: int | str | None = None
    hash: str = ""
    changed: int = 0


@dataclass
class _Dataset:
    id: str
    name: str
    state: str = "active"
    private: bool = False
    changed: int = 0
    extras: dict[str, str] = field(default_factory=dict)
    resources: dict[str, _Resource] = field(default_factory=dict)


class Portal(Double):
    """Attributes:
    prefix: the path that the portal lies below, ``/data`` for example.
    site: by what address it knows itself; empty for that by which it is asked.
    stored: uploads are sent on to another store by signed URLs, as cloud storage plugins do.
    polite: failures are told with status 200, and ``success`` alone tells them.
    """

    def __init__(self, prefix: str = "", *, stored: bool = False) -> None:
        super().__init__()
        self.prefix, self.stored = prefix, stored
        self.site = ""
        self.polite = False
        self._datasets: dict[str, _Dataset] = {}
        self._clock = 0

    @property
    def base(self) -> str:
        return self.root + self.prefix

    def publish(self, name: str, *, private: bool = False, state: str = "active", **extras: str) -> str:
        """A dataset without resources. Returns its id."""
        dataset = _Dataset(_id(name), name, state, private, self._tick(), extras)
        self._datasets[name] = self._datasets[dataset.id] = dataset
        return dataset.id

    def upload(self, dataset: str, file: str, body: bytes, **told: Any) -> str:
        """A file that the portal keeps; over one of the same name, in its place. Returns the resource's id. ``told``
        are fields of the resource, and ``faults`` of how it is served."""
        id = told.pop("id", "") or _id(dataset, file)
        faults = told.pop("faults", {})
        path = f"{self.prefix}/dataset/{self._datasets[dataset].id}/resource/{id}/download/{file}"
        resource = _Resource(id, told.pop("name", file), path, "upload", size=len(body))
        self._put(dataset, resource, told)
        self._serve(path.removeprefix("/"), body, faults)
        return id

    def link(self, dataset: str, url: str, name: str, **told: Any) -> str:
        """A resource that lies elsewhere. Returns its id."""
        resource = _Resource(_id(dataset, name, url), name, url, None)
        self._put(dataset, resource, told)
        return resource.id

    def dump(self, dataset: str, name: str, body: bytes) -> str:
        """A table of the datastore, which is written anew at each download: without length, ETag or ranges."""
        id = _id(dataset, name)
        resource = _Resource(id, name, f"{self.prefix}/datastore/dump/{id}", "datastore", "CSV")
        self._put(dataset, resource, {})
        self.server.put(
            f"{self.prefix}/datastore/dump/{id}".removeprefix("/"),
            body,
            "text/csv",
            ranges=False,
            etag="",
            modified="",
            length="none",
        )
        return id

    def withdraw(self, dataset: str, resource: str) -> None:
        gone = self._datasets[dataset].resources.pop(resource)
        self._datasets[dataset].changed = self._tick()
        if gone.url_type == "upload":
            for keeper in (self.server, self.store)[: 1 + self.stored]:
                keeper.remove(gone.url.removeprefix("/"))

    def touch(self, dataset: str) -> None:
        """Another word in its description."""
        self._datasets[dataset].changed = self._tick()

    def cut(self, path: str, after: int, times: int = 1) -> None:
        self.server.change(path.removeprefix("/"), cut=after, cuts=times)

    def download(self, dataset: str, resource: str) -> str:
        """The path at which an upload is downloaded."""
        return self._datasets[dataset].resources[resource].url

    def answer(self, request: Request, path: str) -> Reply | None:
        path = path.removeprefix(self.prefix)
        if match := re.fullmatch(r"/api/(?:3/)?action/(\w+)", path):
            return self._action(match[1], _parameters(request), request)
        if re.fullmatch(r"/dataset/[^/]+(/resource/[^/]+)?", path):
            return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html><title>A dataset</title></html>")
        return None

    def refusal(self, request: Request) -> Reply:
        return self._failure(request, 403, "Authorization Error", "Access denied: User None not authorized to read")

    def allowed(self, request: Request) -> bool:
        # The token alone: no scheme before it.
        return request.headers.get("authorization") == self.token

    def _action(self, action: str, asked: Mapping[str, Any], request: Request) -> Reply:
        if action == "status_show":
            return self._success(request, {"ckan_version": "2.12.0", "site_url": self.base, "extensions": []})
        if action == "package_list":
            return self._success(request, sorted({dataset.name for dataset in self._datasets.values()}))
        if action in ("package_show", "dataset_show"):
            return self._package(str(asked.get("id", "")), request)
        if action == "resource_show":
            for dataset in self._datasets.values():
                if resource := dataset.resources.get(str(asked.get("id", ""))):
                    return self._success(request, self._resource(dataset, resource, 0))
            return self._failure(request, 404, "Not Found Error", "Not found")
        return self._failure(request, 400, "", f"Bad request - Action name not known: {action}")

    def _package(self, id: str, request: Request) -> Reply:
        dataset = self._datasets.get(id)
        if dataset is None:
            return self._failure(request, 404, "Not Found Error", "Not found")
        if dataset.private and not self.allowed(request):
            return self.refusal(request)
        resources = list(dataset.resources.values())
        shown = [self._resource(dataset, one, position) for position, one in enumerate(resources)]
        if self.hostile == "names":
            shown[0] |= {"url": posixpath.dirname(shown[0]["url"]) + "/..%2F..%2Fetc%2Fpasswd"}
        if self.hostile == "twins":
            shown.append(dict(shown[0]))
        package = {
            "id": dataset.id,
            "name": dataset.name,
            "title": "Air, measured",
            "author": "Noether, Emmy; Curie, Marie",
            "license_id": "cc-by",
            "state": dataset.state,
            "private": dataset.private,
            "metadata_modified": _time(dataset.changed),
            "version": "",
            "extras": [{"key": key, "value": value} for key, value in dataset.extras.items()],
            "num_resources": len(shown),
            "resources": shown,
        }
        return self._success(request, package)

    def _resource(self, dataset: _Dataset, resource: _Resource, position: int) -> dict[str, Any]:
        url = (self.site or self.root) + quote(resource.url) if resource.url.startswith("/") else resource.url
        return {
            "id": resource.id,
            "package_id": dataset.id,
            "name": resource.name,
            "url": url,
            "url_type": resource.url_type,
            "format": resource.format,
            "size": resource.size,
            "hash": resource.hash,
            "position": position,
            "state": "active",
            "created": _time(0),
            "last_modified": _time(resource.changed) if resource.url_type == "upload" else None,
            "metadata_modified": _time(resource.changed),
        }

    def _put(self, name: str, resource: _Resource, told: Mapping[str, Any]) -> None:
        dataset = self._datasets[name]
        for key, value in told.items():
            setattr(resource, key, value)
        resource.changed = dataset.changed = self._tick()
        dataset.resources[resource.id] = resource

    def _serve(self, path: str, body: bytes, faults: Mapping[str, Any]) -> None:
        if self.hostile == "sizes":
            faults = {"content_range": f"bytes 0-0/{len(body) + 1}", **faults}
        if self.stored:
            self.server.put(path, b"", redirect=self.signed(path, body, **faults))
        else:
            self.server.put(path, body, **faults)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _success(self, request: Request, result: Any) -> Reply:
        return reply(200, {"help": f"{self.base}/api/3/action/help_show", "success": True, "result": result})

    def _failure(self, request: Request, status: int, kind: str, message: str) -> Reply:
        error = {"__type": kind, "message": message}
        help = f"{self.base}/api/3/action/help_show"
        return reply(200 if self.polite else status, {"help": help, "success": False, "error": error})


def _parameters(request: Request) -> Mapping[str, Any]:
    """Of a GET in its query; of a POST in its body, as JSON."""
    if request.method == "GET":
        return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
    found = json.loads(request.body or b"{}")
    return found if isinstance(found, dict) else {}


def _id(*words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(words)))


def _time(seconds: int) -> str:
    """As CKAN writes times: UTC, without saying so."""
    return (datetime(2026, 5, 1) + timedelta(seconds=seconds, microseconds=123456)).isoformat()
