"""Dropbox: shared links of files, which anyone may read, and by its API shared folders and one's own files."""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    IntegrityError,
    NoRanges,
    NotFound,
    ResolveError,
    SourceError,
    UpstreamChanged,
)
from gotdata.model import Checksum, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources import dropbox_api as api
from gotdata.sources.api import Hosted, naming, words
from gotdata.sources.dropbox_place import LASTS_HOURS, Place, placed
from gotdata.sources.http import settle
from gotdata.sources.http_answer import Refusal

_CHECKS = ("dropbox", "sha256", "sha512", "sha1", "md5")
_LOGIN = "`gotdata login dropbox` stores a credential"


class Dropbox(Hosted):
    """The pin of a file holds its revision; of a folder, of which Dropbox keeps no versions, its id. A shared link to a
    file is read as its download, which needs no account; where that is refused, and all else, by the API."""

    name = "dropbox"
    schemes = ("dropbox",)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("dropbox:") or placed(ref.url) is not None or _host(ref).endswith(LASTS_HOURS)

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = placed(ref.url)
        if place is None:
            raise ResolveError(_no_place(ref))
        try:
            with naming("Dropbox"):
                pin = self._download(place, ctx) if place.file else None
                return pin or self._by_api(place, ref.option("version"), ctx)
        except NotFound as error:
            raise ResolveError(str(error)) from error

    def _download(self, place: Place, ctx: Context) -> Pin | None:
        """None where Dropbox answers a page, or refuses, and there is a credential by which the API may do better."""
        held = ctx.credentials.find(f"{place.api}/2/") is not None
        try:
            facts = ctx.http.probe(place.download, explain=self.explain)
        except (NotFound, AccessDenied, AuthRequired):
            if held:
                return None
            raise
        if facts.is_page:
            if held:
                return None
            raise AccessDenied(_page(place))
        file = settle(place.download, facts.name or posixpath.basename(urlsplit(place.link).path), facts, ctx)
        said = {"name": file.path, "size": str(file.size), "version": file.version}
        said |= {check.algorithm: check.hex for check in file.checks}
        return Pin(self.name, Ref(place.text), place.link.partition("?")[0], {k: v for k, v in said.items() if v})

    def _by_api(self, place: Place, version: str, ctx: Context) -> Pin:
        if ctx.credentials.find(f"{place.api}/2/") is None:
            raise AuthRequired(f"{redact(place.text)}: only its own users may ask the API at {place.api}: {_LOGIN}")
        if version and place.link:
            raise ResolveError(f"{redact(place.text)}: a shared link means what is there now, and no {shown(version)}")
        found = api.metadata(place, ctx)
        if version:
            found = api.revision(place, words(found, "id"), version, ctx)
        if found.get(".tag") == "folder":
            known = words(found, "id") or place.text
            return Pin(self.name, Ref(place.text), f"dropbox:{known}", {"folder": known})
        said = {"id": words(found, "id"), "rev": words(found, "rev"), "name": words(found, "name")}
        said |= {"size": words(found, "size")}
        if not all(said.values()):
            raise SourceError(f"{redact(place.text)}: {place.api} answered something that is no file")
        file = api.file(found, "")
        if file is None:
            raise ResolveError(f"{redact(place.text)} {api.NO_BYTES}")
        said |= {check.algorithm: check.hex for check in file.checks}
        return Pin(self.name, Ref(place.text), f"dropbox:{said['id']}", said)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        said = pin.version
        if "folder" in said:
            with naming("Dropbox"):
                yield from api.walk(_pinned(pin), ctx)
            return
        version = f"rev:{said['rev']}" if "rev" in said else said.get("version", "")
        checks = tuple(Checksum(name, said[name]) for name in _CHECKS if name in said)
        yield RemoteFile(said["name"], int(said["size"]), version=version, checks=checks)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        place, url = _pinned(pin), self.url(pin, file)
        if _is_download(pin):
            try:
                return ctx.http.get(url, span, size=file.size, version=file.version, explain=self.explain)
            except (UpstreamChanged, NoRanges):
                if ctx.http.probe(url, explain=self.explain).is_page:
                    raise AccessDenied(f"Dropbox: {_page(place)}") from None
                raise
        if not file.version.startswith("rev:"):
            # Uncompared, the bytes would be kept as that version.
            raise IntegrityError(f"{redact(url)}: {shown(file.version)} is no revision: the lock was edited")
        arg = {"url": place.link} if place.link else {"path": file.version}
        if place.link and (path := _path(place, pin, file)):
            arg["path"] = path
        response = ctx.http.get(
            url, span, size=file.size, headers={"Dropbox-API-Arg": json.dumps(arg)}, explain=self.explain
        )
        rev = words(api.result(response.headers), "rev")
        if f"rev:{rev}" != file.version:
            response.close()
            raise UpstreamChanged(f"{redact(url)} has the revision {shown(rev)} now, and had {file.version[4:]}")
        return response

    def url(self, pin: Pin, file: RemoteFile) -> str:
        """Of what the API sends, its address, and what is asked there as a fragment, which is never sent: one URL for
        each file, though the API has one for all."""
        place = _pinned(pin)
        if _is_download(pin):
            return place.download
        path = quote(_path(place, pin, file), errors="surrogateescape")
        return f"{place.content}/2/" + (
            f"sharing/get_shared_link_file#{place.link}&path={path}" if place.link else f"files/download#{path}"
        )

    def homes(self, pin: Pin) -> tuple[str, ...]:
        place = _pinned(pin)
        return (place.download,) if _is_download(pin) else (f"{place.content}/2/", f"{place.api}/2/")

    def explain(self, refusal: Refusal) -> GotdataError | None:
        return api.explain(refusal)


def recognise(url: str, ctx: Context) -> Ref | None:
    """What the page is about that a DOI leads to, judged by its address."""
    return Ref(url) if placed(url) is not None else None


def _path(place: Place, pin: Pin, file: RemoteFile) -> str:
    return place.path if "folder" not in pin.version else f"{place.path}/{file.path}"


def _is_download(pin: Pin) -> bool:
    return "folder" not in pin.version and "rev" not in pin.version


def _pinned(pin: Pin) -> Place:
    place = placed(pin.ref.url)
    if place is None or (_is_download(pin) and not place.file):
        raise SourceError(f"{redact(pin.ref.url)} is nothing in Dropbox: the lock was edited")
    return place


def _page(place: Place) -> str:
    return (
        f"{redact(place.link)} answered a web page where a file was due: the link was disabled, has run out, wants a "
        f"password or a member of its team. If you may read it, {_LOGIN}"
    )


def _host(ref: Ref) -> str:
    try:
        return urlsplit(ref.url).hostname or ""
    except ValueError:
        return ""


def _no_place(ref: Ref) -> str:
    if _host(ref).endswith(LASTS_HOURS):
        return f"{redact(ref.url)} is what a download was redirected to, and lasts for hours: give its shared link"
    return (
        f"{redact(unquote(ref.url))} is no shared link and no path in Dropbox: https://www.dropbox.com/scl/fi/…, "
        "https://www.dropbox.com/scl/fo/… or dropbox:/PATH is due"
    )
