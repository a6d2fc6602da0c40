"""Plain HTTP(S): one file behind a URL, a folder by the index page that its server shows, or what a Metalink lists."""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import AccessDenied, IntegrityError, NotFound, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, remote_path, shown
from gotdata.sources import autoindex, landing, metalink, places
from gotdata.sources.base import Powers
from gotdata.sources.http_answer import Facts
from gotdata.sources.http_page import HTML

T = TypeVar("T")
R = TypeVar("R")

ASKING = {"Want-Repr-Digest": "sha-256=9, sha-512=8, sha=1", "Want-Digest": "sha-256, sha-512;q=0.9, adler32;q=0.5"}
"""Some servers say a checksum only when asked for one (RFC 9530; RFC 3230: dCache, EOS)."""
COUNTED = 256 << 20
"""Bytes up to which a file whose server does not say its size is read once to learn it."""
_PAGES = re.compile(r"\.(x?html?|xht|shtml|php|aspx?|jsp)$", re.I)
_CHECKS = ("sha256", "sha512", "sha1", "md5", "adler32")


class Http:
    """The pin of a file holds all that its server said of it; of a folder, whose files are asked one by one, only what
    kind of index it has."""

    name = "http"
    schemes = ("http", "https")
    powers = Powers(duplicates=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith(("http://", "https://"))

    def resolve(self, ref: Ref, ctx: Context) -> Pin | Ref:
        url = canonical(ref.url)
        if asked := ref.option("version"):
            raise ResolveError(f"{redact(url)}: a web server keeps no versions, so {redact(asked)} can't be asked for")
        try:
            return self._folder(url, ref, ctx) if _path(url).endswith("/") else self._file(url, ref, ctx)
        except NotFound as error:
            raise ResolveError(str(error)) from error

    def _folder(self, url: str, ref: Ref, ctx: Context) -> Pin:
        try:
            index = autoindex.read(url, ctx.http)
        except AccessDenied as error:
            raise AccessDenied(f"{error}; or its server shows no index of folders") from error
        return Pin(self.name, replace(ref, url=url), url, {"index": index.kind})

    def _file(self, url: str, ref: Ref, ctx: Context) -> Pin | Ref:
        facts = ctx.http.probe(url, ASKING)
        if metalink.is_one(url, facts):
            digest, entries = _listed(url, ctx)
            kept = places.stamped(replace(ref, url=url), url, (at for entry in entries for at in entry.urls))
            return Pin(self.name, kept, url, {"metalink": digest})
        if facts.kind in HTML and not _PAGES.search(_path(url)):
            if _path(facts.url).endswith("/") or _is_index(url, ctx):
                return replace(ref, url=f"{url}/")
            if found := landing.recognise(url, ctx):
                return Ref(found.url, ref.options)
            raise _web_page(url)
        file = settle(url, called(url, facts), facts, ctx)
        said = metalink.described(url, replace(facts, size=file.size, checks=file.checks), ctx)
        version = {"name": file.path, "size": str(file.size)}
        if file.version:
            version["version"] = file.version
        version |= {check.algorithm: check.hex for check in said.checks}
        if said.urls:
            version["duplicates"] = " ".join(said.urls)
        return Pin(self.name, places.stamped(replace(ref, url=url), url, said.urls), url, version)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        said = pin.version
        if "size" in said:
            checks = tuple(Checksum(name, said[name]) for name in _CHECKS if name in said)
            size, version = int(said["size"]), said.get("version", "")
            yield RemoteFile(said["name"], size, at=said.get("duplicates", ""), version=version, checks=checks)
            return
        if "metalink" in said:
            yield from self._of_metalink(pin, ctx)
            return

        def ask(entry: autoindex.Entry) -> RemoteFile:
            if entry.path.endswith("/"):
                return RemoteFile(entry.path.removesuffix("/"), 0, Kind.DIR)
            if entry.size is not None:
                return RemoteFile(entry.path, entry.size, version=entry.version)
            url = autoindex.below(pin.ref.url, entry.path)
            return settle(url, entry.path, ctx.http.probe(url, ASKING), ctx)

        yield from ahead(autoindex.walk(pin.ref.url, ctx.http), ask, ctx.settings.connections)

    def _of_metalink(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        home = pin.ref.url
        digest, entries = _listed(home, ctx)
        if digest != pin.version["metalink"]:
            raise UpstreamChanged(f"{redact(home)} lists other files now; `gotdata lock --update` takes them up")

        def ask(entry: metalink.Entry) -> RemoteFile:
            at = " ".join(entry.urls)
            if entry.size is not None:
                return RemoteFile(entry.path, entry.size, at=at, checks=entry.checks)
            first = _judged(pin, entry.urls[0])
            found = settle(first, entry.path, ctx.http.probe(first, ASKING, home=home), ctx, home)
            return RemoteFile(entry.path, found.size, at=at, checks=entry.checks or found.checks)

        yield from ahead(entries, ask, ctx.settings.connections)

    def duplicates(self, pin: Pin, file: RemoteFile) -> tuple[str, ...]:
        urls = tuple(file.at.split())
        return tuple(_judged(pin, url) for url in (urls[1:] if "metalink" in pin.version else urls))

    def read_at(self, url: str, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        return ctx.http.get(_judged(pin, url), span, size=file.size, home=pin.ref.url)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        if "metalink" in pin.version:
            return self.read_at(self.url(pin, file), pin, file, span, ctx)
        if file.version and not file.version.startswith(("etag:", "mtime:")):
            # Uncompared, the bytes would be kept as that version, under a URL that another source may know it by.
            raise IntegrityError(
                f"{redact(pin.ref.url)}: {shown(file.version)} is no version of HTTP: the lock was edited"
            )
        return ctx.http.get(self.url(pin, file), span, size=file.size, version=file.version)

    def url(self, pin: Pin, file: RemoteFile) -> str:
        if "metalink" in pin.version:
            # On any host that the pin names: it is read with no credential but the list's own.
            url, *_ = file.at.split() or [""]
            return _judged(pin, url)
        # Never from a locator: a forged one could have the bytes behind somebody's key kept as anybody's.
        if "size" in pin.version:
            return pin.ref.url
        if not pin.ref.url.endswith("/"):
            # What follows would go on the last name, or the host's: another place, with somebody's key to it.
            raise IntegrityError(
                f"{redact(pin.ref.url)} is no folder: the lock was edited; run `gotdata lock --update`"
            )
        return autoindex.below(pin.ref.url, file.path)

    def realm(self, pin: Pin, ctx: Context) -> str:
        return ctx.credentials.realm(pin.ref.url)

    def local(self, pin: Pin, file: RemoteFile) -> str:
        return ""


def _judged(pin: Pin, url: str) -> str:
    """An address that a list or a locator says, if policies saw its place in the pin: either may be forged."""
    if not metalink.web_address(url, url):
        raise IntegrityError(f"{redact(url)} is no web address: the lock was edited")
    if not places.holds(pin.ref, pin.ref.url, url):
        raise IntegrityError(
            f"{redact(url)} is in no place of {redact(pin.ref.url)}: the lock was edited, or is older; "
            "run `gotdata lock --update`"
        )
    return url


def _listed(url: str, ctx: Context) -> tuple[str, list[metalink.Entry]]:
    """The sha256 of a Metalink, and what it lists."""
    page = ctx.http.text(url)
    digest = hashlib.sha256(page.text.encode("utf-8", "surrogateescape")).hexdigest()
    return digest, metalink.parse(page.text, url)


def settle(url: str, path: str, facts: Facts, ctx: Context, home: str = "") -> RemoteFile:
    """A file of which everything is known: size is mandatory, so where its server does not say it, it is counted.
    ``home`` as of ``Engine.get``.

    Raises:
        SourceError: it is a web page where a file was due, or too long to be counted.
    """
    if facts.kind in HTML and not _PAGES.search(path):
        raise _web_page(url)
    file = RemoteFile(path, facts.size, version=facts.version, checks=facts.checks)
    if facts.size is not None:
        return file
    digest, size = hashlib.sha256(), 0
    piece = memoryview(bytearray(1 << 20))
    with ctx.http.get(url, version=facts.version, home=home) as body:
        while count := body.readinto(piece):
            digest.update(piece[:count])
            size += count
            if size > COUNTED:
                raise SourceError(
                    f"{redact(url)}: its server does not say how long it is, and it is longer than the {COUNTED} bytes "
                    "that are read to learn it; publish it with a Content-Length"
                )
    return replace(file, size=size, checks=(Checksum("sha256", digest.hexdigest()),))


def canonical(url: str) -> str:
    """A URL in the one spelling: scheme and host in lower case, escapes in upper case, no fragment, no default port."""
    parsed = parse(url)
    if not parsed.host or not parsed.scheme:
        raise ResolveError(f"{redact(url)} names no host; https://HOST/PATH is due")
    port = None if parsed.port == {"http": 80, "https": 443}.get(parsed.scheme) else parsed.port
    return parsed._replace(port=port, fragment=None, path=parsed.path or "/").url


def called(url: str, facts: Facts) -> str:
    """A file's name: the last component of its URL. One without a dot (``/download?id=3``) gives way to
    Content-Disposition, but not to a hidden name: `gotdata get` into a home must not bring a start-up file that nobody
    named."""
    named = unquote(posixpath.basename(_path(url)), errors="surrogateescape")
    return remote_path(facts.name if "." not in named and facts.name and facts.name[0] != "." else named)


def _path(url: str) -> str:
    return urlsplit(url).path


def _is_index(url: str, ctx: Context) -> bool:
    index = autoindex.parse(ctx.http.text(url))
    return index is not None and index.certain


def _web_page(url: str) -> SourceError:
    return SourceError(
        f"{redact(url)} answered a web page (text/html) where a file was due: a login, a page about the file, "
        "or an error; give the URL that the page's download button has"
    )


def ahead(items: Iterable[T], ask: Callable[[T], R], width: int) -> Iterator[R]:
    """``ask`` of each item, ``width`` at once, in their order; never more than a few held."""
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(width, "ask")
    try:
        for item in items:
            waiting.append(pool.submit(ask, item))
            if len(waiting) >= 2 * width:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
