"""Globus: listed by the Transfer API, read over HTTPS from the collection itself."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.credentials import site
from gotdata.errors import (
    AuthRequired,
    IntegrityError,
    NoRanges,
    NotFound,
    ResolveError,
    SourceError,
    UpstreamChanged,
)
from gotdata.model import Citation, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources import globus_api as api
from gotdata.sources import globus_transfer
from gotdata.sources.api import Hosted, naming, words
from gotdata.sources.globus_place import Place, address, placed
from gotdata.sources.http_answer import media_type, version_of
from gotdata.sources.http_page import HTML

_HEADERS = {"X-Requested-With": "XMLHttpRequest"}
"""A program is told 401; who else asks is led to a page to log in."""
_FOLDER = "httpd/unix-directory"


class Globus(Hosted):
    """The pin names the collection, or of a file that is known by its address alone, what its server tells of it. There
    are no versions: a change is noticed by its time and size."""

    name = "globus"
    schemes = ("globus",)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("globus:") or placed(ref.url) is not None or address(ref.url) != ""

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        if version := ref.option("version"):
            raise ResolveError(f"{redact(ref.url)}: Globus keeps no versions, and no {shown(version)}")
        try:
            with naming("Globus"):
                if place := placed(ref.url):
                    return self._in_collection(place, ctx)
                if url := address(ref.url):
                    return self._by_address(ref, url, ctx)
        except NotFound as error:
            raise ResolveError(str(error)) from error
        raise ResolveError(f"{redact(unquote(ref.url))} names no collection: globus://UUID/PATH is due")

    def _in_collection(self, place: Place, ctx: Context) -> Pin:
        about = api.collection(place, ctx)
        server = words(about, "https_server").rstrip("/")
        if server and not _is_server(server, place.site):
            raise SourceError(f"{place.text}: {place.api} names the server {redact(server)}, which is no address")
        found = {"type": "dir"} if place.path == "/" else api.stat(place, place.path, ctx)
        if not server:
            globus_transfer.local(place, ctx)
        said = {"server": server} if server else {"by": "transfer"}
        if found.get("type") == "dir":
            said["folder"] = place.path
        else:
            file = api.file(found, posixpath.basename(place.path), "")
            said |= {"name": file.path, "size": str(file.size), "version": file.version}
        citation = Citation(title=words(about, "display_name"))
        return Pin(self.name, Ref(place.text), f"globus://{place.collection}{place.path}", said, citation)

    def _by_address(self, ref: Ref, url: str, ctx: Context) -> Pin:
        """A byte's range tells no size here (``0-0/*``), so the whole is asked for, and its head taken."""
        with ctx.http.get(url, headers=_HEADERS, explain=partial(api.explain, place=url)) as response:
            kind, size, version = media_type(response.headers), response.length, version_of(response.headers)
            came = response.url
        if kind in HTML and site(came) != site(url):
            raise _login(url, url)
        if kind == _FOLDER or url.endswith("/"):
            raise ResolveError(f"{redact(url)} is a folder, which HTTPS does not list: globus://UUID/PATH of it is due")
        if size is None:
            raise SourceError(f"{redact(url)}: its server does not say how long it is: globus://UUID/PATH of it is due")
        name = unquote(posixpath.basename(urlsplit(url).path), errors="surrogateescape")
        said = {"address": url, "name": name, "size": str(size), "version": version}
        text = f"globus:{url}" if ref.url[:7].lower() == "globus:" else url
        return Pin(self.name, Ref(text), url, said)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        said = pin.version
        if "folder" not in said:
            yield RemoteFile(said["name"], int(said["size"]), version=said["version"])
            return
        with naming("Globus"):
            for path, entry in api.walk(_pinned(pin), ctx):
                yield api.file(entry, path, "")

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        url = self.url(pin, file)
        if "address" in pin.version:
            return self._get(url, span, file, file.version, url, ctx)
        place = _pinned(pin)
        if not file.version.startswith("modified:"):
            # Uncompared, the bytes would be kept as that version.
            raise IntegrityError(f"{redact(url)}: {shown(file.version)} is no time of change: the lock was edited")
        if "server" in pin.version:
            response = self._get(url, span, file, "", f"globus://{place.collection}", ctx)
            try:
                _check_unchanged(place, _path(pin, file), file, ctx)
            except BaseException:
                response.close()
                raise
            return response
        if span != Span(0, file.size or 0):
            raise NoRanges(f"{redact(url)} is brought by a transfer, and that brings it whole")
        stream = globus_transfer.brought(place, _path(pin, file), span.size, ctx)
        try:
            _check_unchanged(place, _path(pin, file), file, ctx)
        except BaseException:
            stream.close()
            raise
        return stream

    def _get(self, url: str, span: Span, file: RemoteFile, version: str, place: str, ctx: Context) -> io.RawIOBase:
        explain = partial(api.explain, place=place)
        try:
            return ctx.http.get(url, span, size=file.size, version=version, headers=_HEADERS, explain=explain)
        except (UpstreamChanged, NoRanges):
            facts = ctx.http.probe(url, _HEADERS, explain=explain)
            if facts.kind in HTML and site(facts.url) != site(url):
                raise _login(url, place) from None
            raise

    def url(self, pin: Pin, file: RemoteFile) -> str:
        if "address" in pin.version:
            return pin.version["address"]
        return super().url(pin, replace(file, at=_server(pin) + _quoted(_path(pin, file))))

    def homes(self, pin: Pin) -> tuple[str, ...]:
        if "address" in pin.version:
            return (pin.version["address"],)
        folder = pin.version.get("folder") or posixpath.dirname(_pinned(pin).path)
        return (f"{_server(pin)}{_quoted(folder).rstrip('/')}/",)


def recognise(url: str, ctx: Context) -> Ref | None:
    """What the page is about that a DOI leads to, judged by its address."""
    return Ref(url) if placed(url) is not None else None


def _path(pin: Pin, file: RemoteFile) -> str:
    """In the collection."""
    place = _pinned(pin)
    return place.path if "folder" not in pin.version else f"{place.path.rstrip('/')}/{file.path}"


def _server(pin: Pin) -> str:
    """Who sends the files; of what is brought by a transfer, who tells of them."""
    place = _pinned(pin)
    return pin.version.get("server") or f"{place.api}/endpoint/{place.collection}"


def _quoted(path: str) -> str:
    return quote(path, safe="/~", errors="surrogateescape")


def _check_unchanged(place: Place, path: str, file: RemoteFile, ctx: Context) -> None:
    """HTTPS tells no version of what it sends, so the Transfer API is asked. Without a credential for that, what was
    published openly is held to its size."""
    if ctx.credentials.find(f"{place.api}/") is None:
        return
    now = api.file(api.stat(place, path, ctx), file.path, "")
    if (now.size, now.version) != (file.size, file.version):
        raise UpstreamChanged(
            f"{place.text}: '{shown(path)}' has {now.size} bytes of {now.version.partition(':')[2]} now, and had "
            f"{file.size} of {file.version.partition(':')[2]}"
        )


def _pinned(pin: Pin) -> Place:
    place = placed(pin.ref.url)
    if place is None:
        raise SourceError(f"{redact(pin.ref.url)} names no collection of Globus: the lock was edited")
    return place


def _login(url: str, place: str) -> AuthRequired:
    return AuthRequired(f"{redact(url)} leads to a page to log in: `gotdata login {redact(place)}` stores a credential")


def _is_server(text: str, site: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.scheme in ("https", urlsplit(site).scheme)
    except ValueError:
        return False
