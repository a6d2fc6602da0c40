"""What Azure Blob Storage answers: blobs, pages of listings, refusals (REST API)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlencode
from xml.etree import ElementTree

from gotdata.context import Context
from gotdata.errors import AccessDenied, AuthRequired, GotdataError, NotFound, ResolveError, SourceError
from gotdata.errors import SourceUnavailable as Unavailable
from gotdata.model import Checksum, Kind, RemoteFile
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources.api import pages
from gotdata.sources.azure_place import Place
from gotdata.sources.http_answer import Refusal, content_length
from gotdata.sources.http_xml import xml

TOLD = "Azure"
ASKING = {"x-ms-version": "2021-12-02"}
"""The version of the API that is spoken: what nobody names gets that of 2009, without versions and tokens."""
_ARCHIVED = {"BlobArchived", "BlobBeingRehydrated"}
_HIDDEN = {"ResourceNotFound", "PublicAccessNotPermitted", "NoAuthenticationInformation"}
"""What is said of what is not public to who comes without a credential."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What is told of a blob. ``version`` is empty where the account keeps none."""

    name: str
    size: int
    etag: str
    version: str = ""
    checks: tuple[Checksum, ...] = ()
    folder: bool = False
    archived: bool = False


def one(place: Place, wanted: Mapping[str, str], ctx: Context) -> Blob:
    """A blob, as it is now or at a ``version`` or ``snapshot``. Its body is not read; HEAD would not tell what is
    wrong, and a range of an empty blob is answered in odd ways.

    Raises:
        NotFound: there is none.
    """
    url = question(place.url, wanted.get("version", ""), wanted.get("snapshot", ""))
    with ctx.http.get(url, headers=ASKING, encoded=True, explain=explain) as answer:
        told = answer.headers
    size, etag = content_length(told), _quoted(told.get("ETag", ""))
    if "x-ms-blob-type" not in told or size is None or not etag:
        raise SourceError(f"{TOLD}: {redact(place.url)} was answered by something that is no blob: a login, or a wall?")
    return Blob(
        place.key,
        size,
        etag,
        told.get("x-ms-version-id", ""),
        _md5(told.get("x-ms-blob-content-md5") or told.get("Content-MD5", "")),
        told.get("x-ms-meta-hdi_isfolder", "") == "true" or told.get("x-ms-resource-type", "") == "directory",
    )


def question(url: str, version: str, snapshot: str) -> str:
    asked = {name: value for name, value in (("versionid", version), ("snapshot", snapshot)) if value}
    return f"{url}?{urlencode(asked)}" if asked else url


def beginning(place: Place, ctx: Context) -> list[Blob]:
    """The first blobs below a prefix; none where nothing is there."""
    return next((found for found in _pages(place, "100", ctx) if found), [])


def entries(place: Place, versions: bool, ctx: Context) -> Iterator[RemoteFile]:
    """All files below a prefix, page by page. ``versions``: bound to these where there are any, not to ETags."""
    warned = False
    for found in _pages(place, "5000", ctx):
        for blob in found:
            path = blob.name.removeprefix(place.key)
            if not blob.name.startswith(place.key):
                raise SourceError(f"{TOLD}: the listing of {redact(place.url)} holds {shown(blob.name)!r}")
            if blob.folder or (path.endswith("/") and not blob.size):
                if path.strip("/"):
                    yield RemoteFile(path.removesuffix("/"), 0, Kind.DIR)
            elif path:
                yield entry(path, blob, versions)
            if blob.archived and not warned:
                warned = True
                where = redact(place.at(blob.name))
                text = f"{where}, and maybe others, must be taken out of the archive before it can be read"
                ctx.reporter(Event("warning", text=text))


def entry(path: str, blob: Blob, versions: bool) -> RemoteFile:
    version = f"id:{blob.version}" if versions and blob.version else f"etag:{blob.etag}"
    return RemoteFile(path, blob.size, version=version, checks=blob.checks)


def _pages(place: Place, count: str, ctx: Context) -> Iterator[list[Blob]]:
    first = place.listing(maxresults=count)

    def ask(url: str) -> ElementTree.Element:
        try:
            page = ctx.http.text(url, ASKING, explain=explain)
        except (Unavailable, AuthRequired, AccessDenied):
            raise
        except SourceError as error:
            raise SourceError(f"{TOLD}: {error}") from error
        return _parsed(page.text, url)

    def following(page: ElementTree.Element) -> tuple[int, str]:
        mark = page.findtext("NextMarker") or ""
        return len(page.findall("Blobs/Blob")), f"{first}&{urlencode({'marker': mark})}" if mark else ""

    for page in pages(first, ask, following, f"{place.root}/"):
        yield [blob for found in page.iterfind("Blobs/Blob") if (blob := _blob(found, place))]


def _parsed(text: str, url: str) -> ElementTree.Element:
    try:
        found = xml(text)
    except ValueError as error:
        raise SourceError(f"{TOLD}: {redact(url)} answered something that is no listing ({error})") from error
    if found.tag != "EnumerationResults":
        raise SourceError(f"{TOLD}: {redact(url)} answered <{shown(found.tag)[:80]}>, which is no listing")
    return found


def _blob(found: ElementTree.Element, place: Place) -> Blob | None:
    """An entry of a listing; None for an older version, a snapshot, what was deleted."""
    if (
        found.findtext("IsCurrentVersion") == "false"
        or found.findtext("Snapshot")
        or found.findtext("Deleted") == "true"
    ):
        return None
    name, size = found.findtext("Name") or "", found.findtext("Properties/Content-Length") or ""
    named = found.find("Name")
    if named is not None and named.get("Encoded") == "true":  # characters that XML can't hold
        name = unquote(name, errors="surrogateescape")
    folder = found.findtext("Properties/ResourceType") == "directory"
    if not re.fullmatch(r"\d{1,18}", size) and not folder:
        raise SourceError(f"{TOLD}: {redact(place.at(name))} is listed without its size")
    return Blob(
        name,
        int(size or "0"),
        _quoted(found.findtext("Properties/Etag") or ""),
        found.findtext("VersionId") or "",
        _md5(found.findtext("Properties/Content-MD5") or ""),
        folder or found.findtext("Metadata/hdi_isfolder") == "true",
        found.findtext("Properties/AccessTier") == "Archive",
    )


def _quoted(etag: str) -> str:
    """As headers have it; listings leave the quotes out."""
    plain = etag.strip().strip('"')
    return f'"{plain}"' if plain else ""


def _md5(text: str) -> tuple[Checksum, ...]:
    """Of the whole blob, if who put it there said so."""
    with suppress(binascii.Error, ValueError):
        raw = base64.b64decode(text, validate=True)
        if len(raw) == 16:
            return (Checksum("md5", raw.hex()),)
    return ()


def explain(refusal: Refusal) -> GotdataError | None:
    """What a refusal means, by the code that stands in its head or its body."""
    where = f"{TOLD}: {redact(refusal.url.partition('?')[0])}"
    body = re.search(r"<Code>([A-Za-z]{1,80})</Code>", refusal.text)
    code = shown(refusal.headers.get("x-ms-error-code", "") or (body[1] if body else ""))
    login = f"`gotdata login {'/'.join(refusal.url.split('/')[:3])}/` stores a token or a shared access signature"
    if code in _ARCHIVED:
        return AccessDenied(f"{where} is archived ({code}): it must be rehydrated before it can be read")
    if code == "ContainerNotFound":
        return NotFound(f"{where}: there is no such container")
    if code == "BlobNotFound":
        return NotFound(f"{where} is not there")
    if refusal.status == 400 and code == "InvalidQueryParameterValue" and "=" in refusal.url:
        return NotFound(f"{where}: there is no such version")
    if code in ("InvalidResourceName", "InvalidUri", "OutOfRangeInput"):
        return ResolveError(f"{where}: Azure says that this can't be a name ({code})")
    if code == "AuthenticationFailed":
        return AuthRequired(f"{where}: your credential was not taken: it has ended, or this clock is wrong; {login}")
    if code in _HIDDEN or refusal.status in (401, 403):
        if refusal.credential:
            return AccessDenied(f"{where}: your credential gives no access ({code or refusal.status}); {login}")
        return AuthRequired(f"{where} is not public, or not there ({code or refusal.status}); {login}")
    return None
