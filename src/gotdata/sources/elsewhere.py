"""Files that a listing names by links, wherever they lie: each is asked about once, and read where it lies. Those of a
repository that a source of ours knows are that source's affair, as if the link stood in gotdata.yml."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credentials, parse
from gotdata.errors import AuthRequired, GotdataError, IntegrityError, NotFound, ResolveError, SourceError
from gotdata.errors import SourceUnavailable as Unavailable
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, remote_path, shown
from gotdata.report import Event
from gotdata.resolve import resolve
from gotdata.sources import registry
from gotdata.sources.base import Source
from gotdata.sources.http import called, settle
from gotdata.sources.http_page import decoded

_NEVER = (
    "file",
    "http",
    "croissant",
    "datapackage",
    "rocrate",
    "pooch",
    "dvc",
    "signposting",
    "schemaorg",
    "archive",
    "ckan",
)
"""Sources that are no way to one file: plain HTTP reads it, and a list named by a list is a file of that."""
_PLAIN = ("", "etag:", "mtime:")
"""What a version of plain HTTP begins with."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a listing says of one file.

    Attributes:
        url: absolute.
        path: where the file appears; empty for the name that it has where it lies.
        size: bytes; None where the listing says none, or rounds them.
        checks: of the content.
    """

    url: str
    path: str = ""
    size: int | None = None
    checks: tuple[Checksum, ...] = ()


def file(link: Link, home: str, ctx: Context) -> RemoteFile:
    """The file behind a link, with what the place where it lies tells of it: size, version, checksums.

    A size that is not as the listing says is reported, and the place's counts: lists are often old. A checksum is as
    the listing says: bytes that are not what it means must not be taken for it.

    Args:
        home: the URL of the listing, on whose word the link is followed: no credential is used that is not its own.

    Raises:
        AuthRequired: a credential of somebody's would be used on the listing's word.
        NotFound, SourceError: there is no such file, or a page in its place.
    """
    if link.path:
        remote_path(link.path)
    found = _by_source(link, home, ctx) or _by_http(link, home, ctx)
    if link.size not in (None, found.size):
        _warn(ctx, f"{redact(home)} says that '{shown(found.path)}' has {link.size} bytes; it has {found.size}")
    told = {check.algorithm: check for check in found.checks}
    for check in link.checks:
        if told.get(check.algorithm, check) != check:
            _warn(ctx, f"{redact(home)} says that '{shown(found.path)}' is {check}; its server says another")
        told[check.algorithm] = check
    return replace(found, checks=tuple(sorted(told.values())))


def files(url: str, home: str, ctx: Context) -> Iterator[RemoteFile]:
    """All that a repository holds, for a listing that names it whole.

    Raises:
        SourceError: no source of ours knows it.
    """
    for found in _through(url, home, ctx):
        if found is None:
            raise SourceError(f"{redact(home)} names {redact(url)}, which no source here can list")
        if found.kind is Kind.FILE:
            yield found


def repository(doi: str, ctx: Context) -> str:
    """What a DOI that a listing names leads to, asked as nobody: where its files lie, a pin must say."""
    return resolve(Ref(doi), _anonymous(ctx), registry.pick).ref.url


def read(file: RemoteFile, span: Span, home: str, ctx: Context) -> io.RawIOBase:
    """As ``Source.read``, for a file that came from here."""
    if file.at.startswith("{"):
        source, pin, inner = _inner(file)
        nobody = _anonymous(ctx)
        _check_public(source, pin, home, nobody)
        return source.read(pin, inner, span, nobody)
    if not file.version.startswith(_PLAIN[1:]) and file.version:
        # Uncompared, the bytes would be kept as that version, under a URL that another source may know it by.
        raise IntegrityError(f"{redact(file.at)}: {shown(file.version)} is no version of HTTP: the lock was edited")
    return ctx.http.get(url(file), span, size=file.size, version=file.version, home=home)


def url(file: RemoteFile) -> str:
    """As ``Source.url``, for a file that came from here. It may be on any host: whoever reads asks by ``home``."""
    if file.at.startswith("{"):
        source, pin, inner = _inner(file)
        return source.url(pin, inner)
    if parse(file.at).scheme not in ("http", "https"):
        raise IntegrityError(f"{redact(file.at)} is no web address: the lock was edited")
    return file.at


def bare(url: str) -> str:
    """A link without the word of its source before it (``invenio:https://…``)."""
    return re.sub(r"(?i)^[a-z0-9]+:(?=https?://)", "", url)


def _by_http(link: Link, home: str, ctx: Context) -> RemoteFile:
    if parse(link.url).scheme not in ("http", "https"):
        raise SourceError(f"{redact(home)} names {redact(link.url)}, which no source here can read")
    try:
        facts = ctx.http.probe(link.url, home=home)
        found = settle(link.url, link.path or called(link.url, facts), facts, ctx, home)
    except NotFound as error:
        raise NotFound(f"{redact(home)} names a file that is gone: {error}") from error
    return replace(found, at=link.url)


def _by_source(link: Link, home: str, ctx: Context) -> RemoteFile | None:
    """The one file that a source of ours has behind a link; None where it is plain HTTP's, or no single file."""
    try:
        found = list(islice(_through(link.url, home, ctx), 2))
    except Unavailable:
        raise
    except GotdataError:
        return None
    if len(found) != 1 or found[0] is None or found[0].kind is not Kind.FILE:
        return None
    return replace(found[0], path=link.path or found[0].path.rpartition("/")[2])


def _through(url: str, home: str, ctx: Context) -> Iterator[RemoteFile | None]:
    """What a source of ours lists behind a link, each with a locator that leads through that source; None where there
    is no such source, or the link is of a place for which there is a credential."""
    if ctx.credentials.find(url) is not None:
        yield None
        return
    ref = Ref(url)
    try:
        first = registry.pick(ref)
    except (ResolveError, SourceError):
        yield None
        return
    if first.name in _NEVER:
        yield None
        return
    nobody = _anonymous(ctx)
    pin = resolve(ref, nobody, _Stranger)
    source = registry.source(pin.source)
    if pin.source in _NEVER or source.powers.local:
        yield None
        return
    _check_public(source, pin, home, nobody)
    for found in source.files(pin, nobody):
        yield replace(found, at=_locator(pin, found))


class _Stranger:
    """The source of a reference, asked without keys. Those of AWS lie beyond the context: S3 looks for them itself,
    whatever the spelling by which it was found."""

    def __init__(self, ref: Ref) -> None:
        self._source = registry.pick(ref)

    def resolve(self, ref: Ref, ctx: Context) -> Pin | Ref:
        if self._source.name == "s3":
            ref = replace(ref, options=tuple(sorted({**dict(ref.options), "anonymous": "true"}.items())))
        return self._source.resolve(ref, ctx)


def _anonymous(ctx: Context) -> Context:
    """What strangers name is asked as nobody: else their list would have the bytes behind somebody's key read."""
    return replace(ctx, credentials=Credentials(), http=ctx.http.anonymous)


def _check_public(source: Source, pin: Pin, home: str, ctx: Context) -> None:
    """A source that finds keys of its own would have what they open kept as everybody's."""
    if source.realm(pin, ctx) != PUBLIC:
        raise AuthRequired(
            f"{redact(home)} names {redact(pin.ref.url)}, for which there is a credential of yours: "
            "name that itself in gotdata.yml if it may be used"
        )


def _locator(pin: Pin, file: RemoteFile) -> str:
    held = {
        "at": file.at,
        "from": {"url": pin.ref.url, **dict(pin.ref.options)},
        "namespace": pin.namespace,
        "path": file.path,
        "source": pin.source,
        "version": dict(pin.version),
    }
    return json.dumps(held, sort_keys=True, separators=(",", ":"))


def _inner(file: RemoteFile) -> tuple[Source, Pin, RemoteFile]:
    """The source, its pin and its file that a locator stands for. It comes from a lock, which may be forged."""
    try:
        held = decoded(file.at)
        options = {str(name): str(value) for name, value in held["from"].items()}
        version = {str(name): str(value) for name, value in held["version"].items()}
        ref = Ref(options.pop("url"), tuple(sorted(options.items())))
        pin = Pin(str(held["source"]), ref, str(held["namespace"]), version)
        inner = replace(file, path=str(held["path"]), at=str(held["at"]))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise IntegrityError(f"'{shown(file.path)}' has a locator that can't be: the lock was edited") from None
    source = registry.source(pin.source)
    if pin.source in _NEVER or source.powers.local:
        raise IntegrityError(f"'{shown(file.path)}' leads to the source {pin.source}: the lock was edited")
    return source, pin, inner


def _warn(ctx: Context, text: str) -> None:
    ctx.reporter(Event("warning", text=text))
