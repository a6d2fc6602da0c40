"""Sources whose pin is a document that lists files by their URLs. A subclass only parses."""

from __future__ import annotations

import hashlib
import io
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    IntegrityError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, remote_path, secret, shown
from gotdata.report import Event
from gotdata.sources import elsewhere, places
from gotdata.sources.api import naming
from gotdata.sources.base import Powers
from gotdata.sources.elsewhere import Link
from gotdata.sources.http import ahead, canonical
from gotdata.sources.http_answer import version_of
from gotdata.sources.http_page import Page


@dataclass(frozen=True, slots=True)
class Whole:
    """A repository that a document names as a whole, and which of its files (patterns in which ``*`` means any
    characters; none for all)."""

    url: str
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        wanted = not self.includes or any(fnmatchcase(path, pattern) for pattern in self.includes)
        return wanted and not any(fnmatchcase(path, pattern) for pattern in self.excludes)


@dataclass(frozen=True, slots=True)
class Document:
    """What a parser found.

    Attributes:
        basis: what is hashed for the pin where that is not the document as it was sent: pages change with every visit.
    """

    links: Sequence[Link]
    citation: Citation = field(default_factory=Citation)
    wholes: Sequence[Whole] = ()
    basis: bytes = b""


class Described:
    """``NAME:URL`` reads the document at any URL. The option ``absent: skip`` leaves out, with a warning, what can't be
    had; ``descriptor: "false"`` the document itself, which otherwise is a file of the data where ``descriptor`` says
    its name."""

    name: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    powers: ClassVar[Powers] = Powers()
    accept: ClassVar[str] = "application/json"
    descriptor: ClassVar[str] = ""
    """The name that the format gives its document, where that is a part of the data."""

    def parse(self, page: Page, base: str, ctx: Context) -> Document:
        """The files of a document that was fetched. ``base`` is what relative links begin at.

        Raises:
            SourceError: it is no such document.
        """
        raise NotImplementedError

    def found(self, ref: Ref, page: Page, base: str, ctx: Context) -> Document:
        """As ``parse``, for a format that the reference's options say more of."""
        return self.parse(page, base, ctx)

    def lists(self, link: Link) -> bool:
        """Whether a link is of a list of files, and no file."""
        return False

    def unfold(self, link: Link, home: str, ctx: Context) -> Iterator[Link]:
        """The files that a link stands for. What is asked for that lies where the pin says."""
        yield link

    def known(self, url: str) -> bool:
        """Whether an https URL is of such a document, judged by its text."""
        return False

    def claims(self, ref: Ref) -> bool:
        if ref.url.lower().startswith(f"{self.name}:"):
            return True
        try:
            return ref.url.lower().startswith(("http://", "https://")) and self.known(ref.url)
        except ValueError:
            return False

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        url = self._address(ref)
        if asked := ref.option("version"):
            raise ResolveError(
                f"{redact(url)}: a document keeps no versions, so {redact(asked)} can't be asked for; give its own URL"
            )
        try:
            document, digest, _ = self._read(ref, ctx)
        except NotFound as error:
            raise ResolveError(str(error)) from error
        if not document.links and not document.wholes:
            raise ResolveError(f"{redact(url)} names no files that could be fetched ({self.name})")
        urls = map(elsewhere.bare, [*(one.url for one in document.links), *(one.url for one in document.wholes)])
        kept = places.stamped(Ref(f"{self.name}:{url}", ref.options), url, urls)
        return Pin(self.name, kept, url, {"sha256": digest}, document.citation)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        home = self._address(pin.ref)
        document, digest, page = self._read(pin.ref, ctx)
        if digest != pin.version.get("sha256"):
            raise UpstreamChanged(
                f"{redact(home)} lists other files than when it was pinned ({self.name}); "
                "`gotdata lock --update` takes the new list up"
            )
        if self.descriptor and pin.ref.option("descriptor", "true") != "false":
            yield _itself(home, self.descriptor, page)

        def ask(link: Link) -> RemoteFile | None:
            try:
                return self._kept(pin, elsewhere.file(link, home, ctx))
            except SourceUnavailable:
                raise
            except (NotFound, SourceError) as error:
                if pin.ref.option("absent") == "skip":
                    ctx.reporter(Event("warning", text=f"left out: {error}"))
                    return None
                raise _absent(error, home, link) from error

        links = (one for link in document.links for one in self._unfolded(pin, link, ctx))
        yield from filter(None, ahead(links, ask, ctx.settings.connections))
        for whole in document.wholes:
            listed = (file for file in elsewhere.files(whole.url, home, ctx) if whole.has(file.path))
            yield from (self._kept(pin, file) for file in listed)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        self.url(pin, file)
        return elsewhere.read(file, span, self._address(pin.ref), ctx)

    def url(self, pin: Pin, file: RemoteFile) -> str:
        """Beside the document, or in a place that its pin names, where policies see it. A locator that was forged
        brings nothing that is behind a key: it is read on the document's word, with no credential but its own."""
        url = elsewhere.url(file)
        if not self._is_within(pin, url):
            raise IntegrityError(f"{redact(url)} is in no place of {redact(pin.ref.url)}: the lock was edited")
        return url

    def realm(self, pin: Pin, ctx: Context) -> str:
        return ctx.credentials.realm(self._address(pin.ref))

    def local(self, pin: Pin, file: RemoteFile) -> str:
        return ""

    def _unfolded(self, pin: Pin, link: Link, ctx: Context) -> Iterator[Link]:
        if self.lists(link) and not self._is_within(pin, link.url):
            raise IntegrityError(
                f"{redact(link.url)} is in no place of {redact(pin.ref.url)}: the lock was edited, or it moved; "
                "run `gotdata lock --update`"
            )
        return self.unfold(link, self._address(pin.ref), ctx)

    def _kept(self, pin: Pin, file: RemoteFile) -> RemoteFile:
        """A file that was found, if it lies where its link said: a DOI may lead on to anywhere."""
        if not self._is_within(pin, url := elsewhere.url(file)):
            raise SourceError(
                f"{redact(pin.ref.url)} names '{shown(file.path)}', which lies at {redact(url)}: name that"
            )
        return file

    def _is_within(self, pin: Pin, url: str) -> bool:
        return places.holds(pin.ref, self._address(pin.ref), url)

    def _address(self, ref: Ref) -> str:
        scheme = f"{self.name}:"
        return canonical(ref.url[len(scheme) :] if ref.url.lower().startswith(scheme) else ref.url)

    def _read(self, ref: Ref, ctx: Context) -> tuple[Document, str, Page]:
        """The document, what its pin has of it, and the page that it is."""
        url = self._address(ref)
        with naming(self.name):
            page = ctx.http.text(url, {"Accept": self.accept})
            # A signed URL is of this document alone, and no base for others.
            base = url if "?" in page.url else page.url
            document = self.found(ref, page, base, ctx)
        basis = document.basis or page.text.encode("utf-8", "surrogateescape")
        return document, hashlib.sha256(basis).hexdigest(), page


def option(ref: Ref, name: str, default: str = "") -> str:
    """An option that says where files lie.

    Raises:
        ResolveError: it names a host and no scheme, which would be the document's.
    """
    value = ref.option(name, default)
    if value.lstrip().startswith(("//", "\\\\")):
        raise ResolveError(
            f"the option `{name}` is {redact(value)}, which names no scheme: write https:{redact(value)}"
        )
    return value


def link(target: str, base: str, path: str = "", size: int | None = None, checks: tuple[Checksum, ...] = ()) -> Link:
    """A link of a document: a URI, relative ones to ``base``, where they also say the path.

    Raises:
        SourceError: it is no URI, or holds a secret, which no lock may keep.
    """
    try:
        parts, url = urlsplit(target), urljoin(base, target.strip())
    except ValueError:
        raise SourceError(f"{redact(base)} names '{redact(target)}', which is no URL") from None
    if found := secret(url):
        raise SourceError(f"{redact(base)} names {redact(url)}, which holds a secret ({found}): no lock may keep it")
    if not path and not (parts.scheme or parts.netloc or parts.query or parts.path.startswith("/")):
        path = unquote(parts.path, errors="surrogateescape").removeprefix("./")
    return Link(url.partition("#")[0], path, size, checks)


def below(base: str, path: str) -> str:
    """The URI of a path of a file system, relative to a document: names may hold ``?`` and ``%``."""
    return urljoin(base, "./" + quote(remote_path(path), safe="/", errors="surrogateescape"))


def listed(links: Sequence[Link], extra: Mapping[str, str] | None = None) -> bytes:
    """A basis for pages that change with every visit while what they list stays."""
    lines = sorted(f"{one.url}\t{one.path}\t{one.size}\t{' '.join(map(str, one.checks))}" for one in links)
    return "\n".join([*lines, *(f"{key}\t{value}" for key, value in sorted((extra or {}).items()))]).encode(
        "utf-8", "surrogateescape"
    )


def basename(url: str) -> str:
    """The last component of a URL's path, decoded."""
    return unquote(posixpath.basename(urlsplit(url).path))


def _itself(home: str, default: str, page: Page) -> RemoteFile:
    body = page.text.encode("utf-8", "surrogateescape")
    name = basename(home)
    check = Checksum("sha256", hashlib.sha256(body).hexdigest())
    version = version_of(page.headers)
    return RemoteFile(name if name.endswith(".json") else default, len(body), at=home, version=version, checks=(check,))


def _absent(error: GotdataError, home: str, link: Link) -> GotdataError:
    if isinstance(error, AuthRequired | AccessDenied):
        return error
    called = f"'{shown(link.path)}'" if link.path else "a file"
    return type(error)(
        f"{redact(home)} lists {called} that can't be had: {error}. "
        "The option `absent: skip` of the reference leaves out what is missing"
    )
