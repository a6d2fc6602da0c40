"""Pelican federations, the Open Science Data Federation (OSDF) first: a director sends each read to a cache nearby.

https://docs.pelicanplatform.org/about-pelican/core-concepts."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.credentials import PUBLIC, parse
from gotdata.errors import AuthRequired, GotdataError, NotFound, ResolveError, SourceError, SourceUnavailable
from gotdata.model import Kind, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources.api import Hosted, naming, words
from gotdata.sources.http import settle
from gotdata.sources.http_answer import Refusal
from gotdata.sources.http_page import Page
from gotdata.sources.webdav import escaped, kept, versions, walk
from gotdata.sources.webdav_listing import listing

TITLE = "OSDF/Pelican"
FEDERATION = "https://osg-htc.org"
"""What ``osdf:`` means."""
_OBJECT = "/api/v1.0/director/object"
_LINK = re.compile(r"<([^<>]+)>[^,<]*;\s*rel=\"?duplicate\b")


@dataclass(frozen=True, slots=True)
class _Place:
    """``path`` begins with a slash and is not escaped."""

    federation: str
    path: str

    @property
    def url(self) -> str:
        """What a file is called here: whoever the director is, and wherever it sends to."""
        return self.federation + quote(self.path, safe="/~!$&'()*+,;=:@", errors="surrogateescape")


class Osdf(Hosted):
    """All is asked for as anybody: whom a director sends to is the federation's choice, not that of who holds a key.
    What lies in a federation is not to change under its name, so caches don't look for changes."""

    name = "osdf"
    schemes = ("osdf", "pelican", "stash")

    def claims(self, ref: Ref) -> bool:
        return ref.url.partition(":")[0].lower() in self.schemes

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = _place(ref.url)
        if asked := ref.option("version"):
            raise ResolveError(f"{redact(ref.url)}: {TITLE} keeps no versions, so {redact(asked)} can't be asked for")
        anybody = replace(ctx, http=ctx.http.anonymous)
        try:
            with naming(TITLE):
                director = _director(place, anybody)
                collections = _ask(place, director, anybody)
                version = {"type": "file"}
                if collections:
                    found, _ = listing(collections + escaped(place.path), anybody, depth=0)
                    version = {"type": "folder" if found.folder else "file"}
                if version["type"] == "file":
                    facts = anybody.http.probe(_object(place, director), explain=self.explain)
                    version |= {"version": facts.version} if facts.version else {}
        except NotFound as error:
            raise ResolveError(str(error)) from error
        place = replace(place, path=place.path.rstrip("/") + "/" * (version["type"] == "folder"))
        name = f"pelican://{urlsplit(place.federation).netloc}{place.path}"
        return Pin(self.name, Ref(f"osdf:{place.url}"), name, version)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place, anybody = _place(pin.ref.url), replace(ctx, http=ctx.http.anonymous)
        with naming(TITLE):
            director = _director(place, anybody)
            if pin.version.get("type") != "folder":
                url = _object(place, director)
                file = settle(
                    url, posixpath.basename(place.path), anybody.http.probe(url, explain=self.explain), anybody
                )
                yield replace(file, at=place.url)
                return
            bound: str | None = None
            for path, entry in walk(_ask(place, director, anybody) + escaped(place.path), anybody, {}):
                if entry is None:
                    yield RemoteFile(path, 0, Kind.DIR)
                    continue
                there = replace(place, path=place.path + path)
                if entry.size is None:
                    raise SourceError(f"{redact(there.url)} is listed without a size")
                if bound is None:
                    # An origin lists, a cache answers: what the one says need not be what the other says.
                    bound = kept(entry, _object(there, director), anybody, {})
                yield RemoteFile(path, entry.size, at=there.url, version=versions(entry).get(bound, ""))

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        url = self.url(pin, file)
        place, http = _place(f"osdf:{url}"), ctx.http.anonymous
        anybody = replace(ctx, http=http)
        with naming(TITLE):
            asked = _object(place, _director(place, anybody))
            try:
                return http.get(asked, span, size=file.size, version=file.version, explain=self.explain)
            except SourceUnavailable:
                for other in _LINK.findall(http.hop(asked).headers.get("Link", "")):
                    with suppress(SourceError, NotFound):
                        return http.get(other, span, size=file.size, version=file.version, home=place.federation)
                raise

    def homes(self, pin: Pin) -> tuple[str, ...]:
        place = _place(pin.ref.url)
        return (place.url if place.url.endswith("/") else place.url.rpartition("/")[0] + "/",)

    def realm(self, pin: Pin, ctx: Context) -> str:
        return PUBLIC

    def explain(self, refusal: Refusal) -> GotdataError | None:
        if refusal.status in (401, 403):
            return AuthRequired(f"{redact(refusal.url)} wants a token, and gotdata has no way to give one to a cache")
        return None


def _place(text: str) -> _Place:
    """``osdf:///path``, ``pelican://federation/path``, ``osdf:https://federation/path``."""
    scheme, _, rest = text.partition(":")
    rest = re.sub(r"[?#].*", "", rest)
    if rest.lower().startswith(("http://", "https://")):
        parsed = parse(rest)
        federation = f"{parsed.scheme}://{parsed.netloc}"
        path = urlsplit(rest).path
    elif scheme.lower() == "pelican":
        match = re.fullmatch(r"//([^/@]+)(/.*)", rest)
        if not match:
            raise ResolveError(f"{redact(text)} names no federation: pelican://HOST/PATH is due")
        federation, path = f"https://{match[1].lower()}", match[2]
    else:
        # osdf://path means /path too: there is one such federation.
        federation, path = FEDERATION, "/" + rest.lstrip("/")
    path = unquote(path, errors="surrogateescape")
    if not path.strip("/") or {"..", "."} & set(path.split("/")):
        raise ResolveError(f"{redact(text)} names no path in a federation")
    return _Place(federation, re.sub("/+", "/", path))


def _director(place: _Place, ctx: Context) -> str:
    """Asked each time: in a lock it would be a place that no policy has seen."""
    url = f"{place.federation}/.well-known/pelican-configuration"
    director = words(ctx.http.json(url), "director_endpoint").rstrip("/")
    if not director.startswith((f"{urlsplit(place.federation).scheme}://", "https://")):
        raise SourceError(f"{redact(url)} names no director: no federation there")
    return director


def _object(place: _Place, director: str) -> str:
    return f"{director}{_OBJECT}{escaped(place.path)}"


def _ask(place: _Place, director: str, ctx: Context) -> str:
    """Where folders of a path's namespace are listed; empty where they are not.

    Raises:
        AuthRequired: its bytes are for those who hold a token.
    """
    page: Page = ctx.http.hop(_object(place, director))
    said: dict[str, str] = dict(re.findall(r"([\w-]+)=([^,\s]+)", page.headers.get("X-Pelican-Namespace", "")))
    if "namespace" not in said:
        raise SourceError(f"{redact(director)} says nothing of {shown(place.path)}: no director of {TITLE}")
    collections = said.get("collections-url", "").rstrip("/")
    if said.get("require-token", "").lower() == "true":
        origin = f": with a token for it, name webdav:{redact(collections)}{escaped(place.path)}" if collections else ""
        raise AuthRequired(
            f"{redact(place.url)} is for those who hold a token of {shown(said['namespace'])}, which caches can't be "
            f"given{origin}" + (f", after `gotdata login {redact(collections)}`" if collections else "")
        )
    return collections
