"""Files of releases and gists at GitHub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from gotdata.context import Context
from gotdata.errors import IntegrityError, NotFound, SourceError, UpstreamChanged
from gotdata.model import Checksum, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources.api import below, next_link, pages, rows, table, whole, words
from gotdata.sources.github_place import TITLE, Place, ask, ask_page
from gotdata.sources.http import ahead
from gotdata.sources.http_page import Page, parsed

Asset = Mapping[str, Any]


def release(place: Place, tag: str, ctx: Context) -> Mapping[str, Any]:
    """The release of a tag; without one the latest that is neither a draft nor a preview."""
    url = f"{place.api}/releases/{'tags/' + quote(tag, safe='') if tag else 'latest'}"
    found: Mapping[str, Any] = ask(url, ctx)
    if found.get("draft") or not words(found, "tag_name") or whole(found, "id") is None:
        raise SourceError(f"{redact(url)} is no published release")
    return found


def pinned(place: Place, found: Mapping[str, Any], name: str, ctx: Context) -> dict[str, str]:
    """A release as a pin has it. Its files can be replaced, so their ids are a part of it."""
    version = {"release": words(found, "tag_name"), "id": words(found, "id")}
    assets = list(_assets(place, version["id"], ctx))
    if not name:
        return version | {"assets": _digest(assets)}
    one = next((asset for asset in assets if asset.get("name") == name), None)
    if one is None:
        there = ", ".join(words(asset, "name") for asset in assets[:20]) or "no files"
        raise NotFound(
            f"{redact(place.page)}: release {shown(version['release'])} has no {shown(name)}; there are {shown(there)}"
        )
    return version | {"file": name, "asset": words(one, "id")}


def files(place: Place, version: Mapping[str, str], private: bool, ctx: Context) -> Iterator[RemoteFile]:
    """Where anybody may read them, files are read where people download them: the API counts requests."""
    assets = list(_assets(place, version["id"], ctx))
    if "asset" in version:
        assets = [asset for asset in assets if words(asset, "id") == version["asset"]]
    if not assets or version.get("assets", _digest(assets)) != _digest(assets):
        raise UpstreamChanged(
            f"{redact(place.page)}: files of release {shown(version['release'])} were replaced; "
            "`gotdata lock --update` takes them up"
        )

    def settled(asset: Asset) -> RemoteFile:
        file = _asset(place, asset, private)
        facts = ctx.http.probe(file.at)
        if facts.size not in (None, file.size):
            raise SourceError(f"{redact(file.at)} has {facts.size} bytes, and {TITLE} lists {file.size}")
        return replace(file, version=facts.version or f"id:{words(asset, 'id')}")

    if private:
        yield from (_asset(place, asset, private) for asset in assets)
    else:
        yield from ahead(assets, settled, ctx.settings.connections)


def gist(place: Place, found: Mapping[str, Any]) -> Iterator[RemoteFile]:
    """The id of a blob stands in the address of each file."""
    for name, file in table(found, "files").items():
        at, size = words(file, "raw_url"), whole(file, "size")
        blob = re.search(r"/raw/([0-9a-f]{40})/", at)
        if size is None or not blob:
            raise SourceError(f"{redact(place.api)}: {shown(str(name))} is listed without a size or a blob")
        yield RemoteFile(str(name), size, at=at, version=f"id:{blob[1]}", checks=(Checksum("git-sha1", blob[1]),))


def _assets(place: Place, id: str, ctx: Context) -> Iterator[Asset]:
    def ask(url: str) -> tuple[Page, list[dict[str, Any]]]:
        page = ask_page(url, ctx)
        found = parsed(page)
        if not isinstance(found, list):
            raise SourceError(f"{redact(url)} is not what {TITLE} answers")
        return page, rows(found)

    # The API names pages by the repository's number, not its name.
    home = f"{place.site.api}/"
    first = f"{place.api}/releases/{id}/assets?per_page=100"
    for _, found in pages(first, ask, lambda asked: (len(asked[1]), next_link(asked[0])), home):
        yield from found


def _asset(place: Place, asset: Asset, private: bool) -> RemoteFile:
    name, size, id = words(asset, "name"), whole(asset, "size"), words(asset, "id")
    if not name or size is None or not id:
        raise SourceError(f"a file of a release of {redact(place.page)} is listed without a name or size")
    if asset.get("state", "uploaded") != "uploaded":
        raise SourceError(f"{redact(place.page)}: {shown(name)} of this release was never uploaded to its end")
    at = f"{place.api}/releases/assets/{id}" if private else words(asset, "browser_download_url")
    if not below(at, f"{place.page}/releases/download/") and not private:
        raise IntegrityError(f"{redact(place.page)}: {shown(name)} is listed at {redact(at)}, another place")
    digest = re.fullmatch(r"sha256:([0-9a-f]{64})", words(asset, "digest"))
    checks = (Checksum("sha256", digest[1]),) if digest else ()
    return RemoteFile(name, size, at=at, version=f"id:{id}", checks=checks)


def _digest(assets: list[Asset]) -> str:
    ids = sorted(f"{words(asset, 'id')}/{words(asset, 'updated_at')}" for asset in assets)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
