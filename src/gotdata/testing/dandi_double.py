"""A DANDI archive on loopback, after the OpenAPI document of https://api.dandiarchive.org/swagger/ and the views of
dandi-archive: dandisets, their versions, assets, Zarrs, and a bucket behind signed URLs."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from gotdata.digests import begin
from gotdata.testing.double import Double, reply
from gotdata.testing.server import Reply, Request

DANDISET = "000027"
PART = 64 << 20


@dataclass
class _Asset:
    id: str
    path: str
    size: int
    digest: dict[str, str]
    zarr: str | None = None


@dataclass
class _Zarr:
    files: dict[str, bytes] = field(default_factory=dict)


class Archive(Double):
    """One dandiset. What is put goes into its draft; ``publish`` makes a version of that.

    Attributes:
        embargoed: the dandiset is shown to who has the token only.
        hashed: sha256 sums are known already: the archive computes them some time after an upload.
        largest: assets that one page can have.
    """

    largest = 1000

    def __init__(self) -> None:
        super().__init__()
        self.embargoed = False
        self.hashed = True
        self._draft: dict[str, _Asset] = {}
        self._versions: dict[str, dict[str, _Asset]] = {}
        self._assets: dict[str, _Asset] = {}
        self._zarrs: dict[str, _Zarr] = {}
        self._changes = 0

    @property
    def api(self) -> str:
        return f"{self.root}/api"

    def put(self, path: str, body: bytes) -> str:
        """An asset of the draft; of one that is there, another in its place. Returns its id."""
        etag = begin("dandi-etag", len(body))
        etag.update(body)
        digest = {"dandi:dandi-etag": f"{etag.hexdigest()}-{-(-len(body) // PART)}"}
        if self.hashed:
            digest["dandi:sha2-256"] = hashlib.sha256(body).hexdigest()
        asset = self._add(path, len(body), digest)
        self.store.put(self.key(asset.id), body, get_only=True, etag=f'"{digest["dandi:dandi-etag"]}"')
        return asset.id

    def put_zarr(self, path: str, files: Mapping[str, bytes]) -> str:
        """A Zarr of the draft. Returns its id."""
        zarr = str(uuid.uuid5(uuid.NAMESPACE_URL, path))
        self._zarrs[zarr] = _Zarr()
        asset = self._add(path, sum(map(len, files.values())), {"dandi:dandi-zarr-checksum": f"{'0' * 32}-1--1"})
        asset.zarr = zarr
        for key, body in files.items():
            self.put_chunk(zarr, key, body)
        return zarr

    def put_chunk(self, zarr: str, key: str, body: bytes) -> None:
        self._zarrs[zarr].files[key] = body
        self.store.put(f"zarr/{zarr}/{key}", body, get_only=True, etag=f'"{_md5(body)}"')

    def remove(self, path: str) -> None:
        """Out of the draft. Assets are never deleted."""
        del self._draft[path]
        self._changes += 1

    def fill(self, count: int) -> None:
        for number in range(count):
            self._add(f"many/{number}", 1, {"dandi:dandi-etag": f"{'0' * 32}-1"})

    def publish(self, version: str) -> None:
        self._versions[version] = dict(self._draft)

    def key(self, asset: str) -> str:
        """Where the bytes of an asset lie in the bucket."""
        return f"blobs/{asset[:3]}/{asset[3:6]}/{asset}"

    def allowed(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"token {self.token}"

    def refusal(self, request: Request) -> Reply:
        return reply(401, {"detail": "Authentication credentials were not provided."})

    def answer(self, request: Request, path: str) -> Reply | None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        if match := re.fullmatch(r"/api/zarr/([\w-]+)/files/", path):
            return self._files(match[1], query)
        if path.startswith("/api/") and not path.endswith("/"):
            there, _, rest = request.path.partition("?")
            return Reply(301, {"Location": f"{there}/" + (f"?{rest}" if rest else "")}, b"")
        if path == "/api/info/":
            return reply(200, self._server())
        if self.embargoed and not self.allowed(request):
            return self.refusal(request)
        if path == f"/api/dandisets/{DANDISET}/":
            return reply(200, self._dandiset())
        if match := re.fullmatch(rf"/api/dandisets/{DANDISET}/versions/([\w.]+)/(assets/|info/)?", path):
            return self._version(match[1], match[2] or "", query)
        if match := re.fullmatch(r"/api/(?:dandisets/\d+/versions/[\w.]+/)?assets/([\w-]+)/(download/|info/)?", path):
            return self._asset(match[1], match[2] or "")
        return reply(404, {"detail": "Not found."})

    def _server(self) -> dict[str, Any]:
        services = {name: {"url": self.root} for name in ("webui", "webdav", "jupyterhub")}
        return {
            "$schema": "https://example.org/schema.json",
            "schema_version": "0.6.10",
            "schema_url": "https://example.org/schema.json",
            "version": "0.4.0",
            "cli-minimal-version": "0.60.0",
            "cli-bad-versions": [],
            "services": {"api": {"url": self.api}, **services},
            "instance_config": {"instance_name": "DANDI-DOUBLE"},
        }

    def _dandiset(self) -> dict[str, Any]:
        newest = max(self._versions, default="")
        return {
            "identifier": DANDISET,
            "created": _time(0),
            "modified": _time(self._changes),
            "contact_person": "Noether, Emmy",
            "embargo_status": "EMBARGOED" if self.embargoed else "OPEN",
            "most_recent_published_version": self._info(newest, self._versions[newest]) if newest else None,
            "draft_version": self._info("draft", self._draft),
        }

    def _info(self, version: str, assets: Mapping[str, _Asset]) -> dict[str, Any]:
        return {
            "version": version,
            "name": "Cells, listened to",
            "asset_count": len(assets),
            "size": sum(asset.size for asset in assets.values()),
            "status": "Valid" if version == "draft" else "Published",
            "created": _time(0),
            "modified": _time(self._changes if version == "draft" else 0),
        }

    def _version(self, version: str, part: str, query: Mapping[str, str]) -> Reply:
        held = self._draft if version == "draft" else self._versions.get(version)
        if held is None:
            return reply(404, {"detail": "Not found."})
        if part == "assets/":
            return self._page(f"{self.api}/dandisets/{DANDISET}/versions/{version}/assets/", held, query)
        doi = {} if version == "draft" else {"doi": f"10.48324/dandi.{DANDISET}/{version}"}
        metadata: dict[str, Any] = {
            "identifier": f"DANDI:{DANDISET}",
            "name": "Cells, listened to",
            "version": version,
            "license": ["spdx:CC-BY-4.0"],
            "contributor": [
                {"name": "Noether, Emmy", "includeInCitation": True, "roleName": ["dcite:Author"]},
                {"name": "A foundation", "includeInCitation": False, "roleName": ["dcite:Funder"]},
            ],
        }
        metadata |= doi
        return reply(200, {**self._info(version, held), "metadata": metadata} if part else metadata)

    def _page(self, url: str, held: Mapping[str, _Asset], query: Mapping[str, str]) -> Reply:
        size = min(int(query.get("page_size", "100")), self.largest)
        number = int(query.get("page", "1"))
        # The filter ignores case, as the archive's does.
        prefix = query.get("path", "").lower()
        chosen = (held[path] for path in sorted(held) if path.lower().startswith(prefix))
        shown = list(islice(self._lying(chosen), (number - 1) * size, number * size + 1))
        following = {**query, "page": str(1 if self.hostile == "loop" else number + 1)}
        more = len(shown) > size or self.hostile == "loop"
        results = [self._listed(asset, query.get("metadata") == "true") for asset in shown[:size]]
        return reply(
            200,
            {
                "count": len(held) if number == 1 else None,
                "next": f"{url}?{urlencode(following)}" if more else None,
                "previous": None,
                "results": results,
            },
        )

    def _lying(self, assets: Iterable[_Asset]) -> Iterator[_Asset]:
        for asset in assets:
            if self.hostile == "names":
                yield _Asset(asset.id, "../../etc/passwd", asset.size, asset.digest)
            elif self.hostile == "sizes":
                yield _Asset(asset.id, asset.path, asset.size + 1, asset.digest)
            else:
                yield asset
            if self.hostile == "twins":
                yield asset
        if self.hostile == "many":
            for number in range(1_000_000):
                yield _Asset(str(uuid.UUID(int=number)), f"many/{number}", 1, {})

    def _listed(self, asset: _Asset, metadata: bool) -> dict[str, Any]:
        told: dict[str, Any] = {
            "asset_id": asset.id,
            "blob": None if asset.zarr else asset.id,
            "zarr": asset.zarr,
            "path": asset.path,
            "size": asset.size,
            "created": _time(0),
            "modified": _time(0),
        }
        return told | {"metadata": self._metadata(asset)} if metadata else told

    def _metadata(self, asset: _Asset) -> dict[str, Any]:
        bucket = self.store.at(f"zarr/{asset.zarr}/" if asset.zarr else self.key(asset.id))
        urls = [f"{self.api}/assets/{asset.id}/download/", bucket]
        return {"path": asset.path, "contentSize": asset.size, "digest": asset.digest, "contentUrl": urls}

    def _asset(self, id: str, part: str) -> Reply:
        asset = self._assets.get(id)
        if asset is None:
            return reply(404, {"detail": "Not found."})
        if not part:
            return reply(200, self._metadata(asset))
        if part == "info/":
            return reply(200, self._listed(asset, True))
        if asset.zarr:
            return reply(400, "Unable to provide download link for zarr assets.")
        return self._sent_on(self.key(id))

    def _files(self, id: str, query: Mapping[str, str]) -> Reply:
        zarr = self._zarrs.get(id)
        if zarr is None:
            return reply(404, {"detail": "Not found."})
        if query.get("download") == "true":
            return self._sent_on(f"zarr/{id}/{query['prefix']}")
        limit = min(int(query.get("limit", "1000")), self.page)
        keys = [key for key in sorted(zarr.files) if key.startswith(query.get("prefix", ""))]
        shown = [key for key in keys if key > query.get("after", "")]
        results = [
            {"Key": key, "LastModified": _time(0), "ETag": _md5(zarr.files[key]), "Size": len(zarr.files[key])}
            for key in shown[:limit]
        ]
        following = (
            f"{self.api}/zarr/{id}/files/?{urlencode({**query, 'after': results[-1]['Key']})}" if results else ""
        )
        return reply(200, {"next": following if len(shown) > limit else None, "results": results})

    def _sent_on(self, key: str) -> Reply:
        self._signed += 1
        target = f"{self.store.at(key)}?X-Amz-Signature=s{self._signed}&X-Amz-Expires=60"
        return Reply(302, {"Location": target}, b"")

    def _add(self, path: str, size: int, digest: dict[str, str]) -> _Asset:
        self._changes += 1
        asset = _Asset(str(uuid.uuid5(uuid.NAMESPACE_URL, f"{path} {self._changes}")), path, size, digest)
        self._draft[path] = self._assets[asset.id] = asset
        return asset


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _time(seconds: int) -> str:
    return f"{(datetime(2026, 5, 1) + timedelta(seconds=seconds)).isoformat()}.123456Z"
