"""WebDAV: folders of Nextcloud, ownCloud, dCache, EOS and of any web server that speaks it; links that share one."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, quote, urlsplit

from gotdata.context import Context
from gotdata.errors import AuthRequired, NotFound, ResolveError, SourceError, SourceUnavailable
from gotdata.model import Kind, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact
from gotdata.sources.api import Hosted, naming, words
from gotdata.sources.http import canonical, settle
from gotdata.sources.http_answer import same_version
from gotdata.sources.webdav_listing import Entry, explain, listing

TITLE = "WebDAV"
DEPTH = 200
"""Folders in folders, after which it is a loop."""
_DAV = re.compile(r".*/(?:remote|public)\.php/(?:dav|webdav)(?:/.*)?")
_SHARE = re.compile(r"(?P<root>.*?)(?P<index>/index\.php)?/s/(?P<token>[A-Za-z0-9]{8,32})(?:/download)?/?")
_NAMED = "public.php/dav/files/{}/"
"""How files of a share are named, whichever of its addresses works: the oldest has no token in it."""
_ENDPOINTS = {"nextcloud": _NAMED, "owncloud": "remote.php/dav/public-files/{}/", "old": "public.php/webdav/"}


@dataclass(frozen=True, slots=True)
class _Share:
    """A link that shares a folder or a file. ``root`` is the cloud's address, without a slash at its end."""

    root: str
    token: str
    path: str = ""

    @property
    def page(self) -> str:
        return f"{self.root}/s/{self.token}" + (f"?path=/{quote(self.path)}" if self.path else "")

    def base(self, endpoint: str) -> str:
        return f"{self.root}/{_ENDPOINTS[endpoint].format(self.token)}"

    def headers(self, endpoint: str, ctx: Context) -> dict[str, str]:
        """The old address takes the token as a user's name. Who holds a password holds it as a credential."""
        if endpoint != "old" or ctx.credentials.find(self.base(endpoint)) is not None:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(f"{self.token}:".encode()).decode()}


class WebDav(Hosted):
    """A server keeps no versions that anybody could ask for: a file is bound to its ETag, else to its time."""

    name = "webdav"
    schemes = ("webdav", "davs", "dav")

    def claims(self, ref: Ref) -> bool:
        if ref.url.partition(":")[0].lower() in self.schemes:
            return True
        path = urlsplit(ref.url).path
        share = _SHARE.fullmatch(path)
        known = bool(_DAV.fullmatch(path) or (share and share["index"]))
        return known and ref.url.lower().startswith(("http://", "https://"))

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        url = _address(ref.url)
        if asked := ref.option("version"):
            raise ResolveError(f"{redact(url)}: {TITLE} has no versions, so {redact(asked)} can't be asked for")
        share = _share(url)
        try:
            with naming(TITLE):
                endpoint, found = _endpoint(share, ctx) if share else ("", None)
                if share and found:
                    version = {"endpoint": endpoint} | _version(found)
                    return Pin(self.name, Ref(f"webdav:{share.page}"), share.page, version)
                found, _ = listing(url, ctx, depth=0)
                # A folder's address ends in a slash, as all that lies in it stands behind that.
                url = url.rstrip("/") + "/" * found.folder
                return Pin(self.name, Ref(f"webdav:{url}"), url, _version(found))
        except NotFound as error:
            raise ResolveError(str(error)) from error

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        base, headers = self._asked(pin, ctx)
        named = self._named(pin)
        with naming(TITLE):
            if pin.version.get("type") == "file":
                found, _ = listing(base, ctx, depth=0, headers=headers)
                name = found.shown if _share(pin.ref.url.removeprefix("webdav:")) else found.names[-1]
                name = name or ctx.http.probe(base, headers).name or "file"
                yield _file(name, named, base, found, kept(found, base, ctx, headers), ctx)
                return
            bound: str | None = None
            for path, entry in walk(base, ctx, headers):
                if entry is None:
                    yield RemoteFile(path, 0, Kind.DIR)
                    continue
                asked = f"{base}{escaped(path)}"
                if bound is None:
                    bound = kept(entry, asked, ctx, headers)
                yield _file(path, f"{named}{escaped(path)}", asked, entry, bound, ctx)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        base, headers = self._asked(pin, ctx)
        named, url = self._named(pin), self.url(pin, file)
        asked = base + url.removeprefix(named) if url.startswith(named) else url
        return ctx.http.get(asked, span, size=file.size, version=file.version, headers=headers, explain=explain)

    def homes(self, pin: Pin) -> tuple[str, ...]:
        named = self._named(pin)
        return (named if named.endswith("/") else named.rpartition("/")[0] + "/",)

    def _named(self, pin: Pin) -> str:
        """The address that all files of a pin lie at or below, as they are known by."""
        url = pin.ref.url.removeprefix("webdav:")
        share = _share(url) if "endpoint" in pin.version else None
        return share.base("nextcloud") + _below(share, pin) if share else url

    def _asked(self, pin: Pin, ctx: Context) -> tuple[str, Mapping[str, str]]:
        """The same address as it is asked, and what goes with each request."""
        url, endpoint = pin.ref.url.removeprefix("webdav:"), pin.version.get("endpoint", "")
        share = _share(url) if endpoint in _ENDPOINTS else None
        if share is None:
            return url, {}
        return share.base(endpoint) + _below(share, pin), share.headers(endpoint, ctx)


def recognise(url: str, ctx: Context) -> Ref | None:
    """The share that a page of Nextcloud's or ownCloud's shows."""
    share = _share(url)
    if share is None:
        return None
    try:
        status = ctx.http.json(f"{share.root}/status.php")
    except SourceUnavailable:
        raise
    except (SourceError, NotFound):
        return None
    return Ref(f"webdav:{share.page}") if words(status, "versionstring") else None


def _address(text: str) -> str:
    scheme, _, rest = text.partition(":")
    url = {"davs": f"https:{rest}", "dav": f"http:{rest}", "webdav": rest}.get(scheme.lower(), text)
    if not url.lower().startswith(("http://", "https://")):
        raise ResolveError(f"{redact(text)} names no host: webdav:https://HOST/FOLDER/ or davs://HOST/FOLDER/ is due")
    return canonical(url)


def _share(url: str) -> _Share | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    match = _SHARE.fullmatch(parts.path)
    if not match or parts.scheme not in ("http", "https"):
        return None
    asked = parse_qs(parts.query)
    names = [*asked.get("path", asked.get("dir", [""]))[:1], *asked.get("files", [])[:1]]
    path = "/".join(filter(None, (name.strip("/") for name in names)))
    return _Share(f"{parts.scheme}://{parts.netloc.lower()}{match['root']}", match["token"], path)


def _endpoint(share: _Share, ctx: Context) -> tuple[str, Entry | None]:
    """Which of a share's addresses works, and what is there. None does where ``/s/…`` is a mere folder's name."""
    closed: AuthRequired | None = None
    for endpoint in _ENDPOINTS:
        url = share.base(endpoint) + escaped(share.path)
        try:
            return endpoint, listing(url, ctx, depth=0, headers=share.headers(endpoint, ctx))[0]
        except AuthRequired as error:
            closed = closed or error
        except SourceUnavailable:
            raise
        except (NotFound, ResolveError, SourceError):
            continue
    if closed:
        raise AuthRequired(
            f"{redact(share.page)} does not exist any more, or has a password, which "
            f"`gotdata login {share.base('nextcloud')}` takes (user: anonymous)"
        ) from closed
    return "", None


def _below(share: _Share, pin: Pin) -> str:
    folder = "/" if pin.version.get("type") == "folder" and share.path else ""
    return escaped(share.path) + folder


def _version(found: Entry) -> dict[str, str]:
    """Nextcloud's ETag of a folder changes with all that lies in it."""
    said = {"type": "folder" if found.folder else "file", "etag": found.etag}
    return {name: value for name, value in said.items() if value}


def walk(base: str, ctx: Context, headers: Mapping[str, str]) -> Iterator[tuple[str, Entry | None]]:
    """All files with their paths, folder by folder (servers refuse to list all at once); empty folders as None."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        if folder.count("/") > DEPTH:
            raise SourceError(f"{redact(base)}: its folders hold each other {DEPTH} deep: a loop on the server")
        _, inside = listing(f"{base}{escaped(folder)}", ctx, headers=headers)
        if folder and not inside:
            yield folder.rstrip("/"), None
        for entry in inside:
            path = folder + entry.names[-1]
            if entry.folder:
                waiting.append(f"{path}/")
            else:
                yield path, entry


def kept(entry: Entry, url: str, ctx: Context, headers: Mapping[str, str]) -> str:
    """By what files are bound: ``etag`` or ``mtime``, if the server says the same when a file is read. One question for
    all: it's one server."""
    part = Span(0, 1) if (entry.size or 0) > 1 else None
    with suppress(SourceError, NotFound), ctx.http.get(url, part, headers=headers) as answer:
        for kind, version in versions(entry).items():
            if not version.endswith(":") and same_version(answer.headers, version):
                return kind
    return ""


def versions(entry: Entry) -> dict[str, str]:
    return {"etag": f"etag:{entry.etag}", "mtime": f"mtime:{entry.modified}"}


def _file(path: str, at: str, asked: str, entry: Entry, bound: str, ctx: Context) -> RemoteFile:
    """``at`` is how a file is known, ``asked`` where it is."""
    if entry.size is None:
        return replace(settle(asked, path, ctx.http.probe(asked), ctx), at=at)
    return RemoteFile(path, entry.size, at=at, version=versions(entry).get(bound, ""), checks=entry.checks)


def escaped(path: str) -> str:
    return quote(path, safe="/~!$&'()*+,;=:@", errors="surrogateescape")
