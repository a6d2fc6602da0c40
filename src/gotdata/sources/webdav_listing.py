"""What a WebDAV server says of a folder: the answer to PROPFIND (RFC 4918), read with distrust."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as Xml

from gotdata.context import Context
from gotdata.errors import GotdataError, ResolveError, SourceError, SourceUnavailable
from gotdata.model import Checksum
from gotdata.paths import redact
from gotdata.sources.http_answer import Refusal, fault
from gotdata.sources.http_page import HTML, Page
from gotdata.sources.http_xml import xml

_D, _OC = "{DAV:}", "{http://owncloud.org/ns}"
_BODY = (
    b'<?xml version="1.0" encoding="utf-8"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop>'
    b"<d:resourcetype/><d:getcontentlength/><d:getetag/><d:getlastmodified/><d:displayname/><oc:checksums/>"
    b"</d:prop></d:propfind>"
)
_ACCOUNT = re.compile(r"https?://[^?#]*?/remote\.php/(?:dav/(?:files|spaces)/[^/?#]+|webdav)/")
"""The address of all that an account of Nextcloud or ownCloud has, or a space of the latter."""
_LENGTHS = {"sha256": 64, "sha1": 40, "md5": 32, "adler32": 8}


@dataclass(frozen=True, slots=True)
class Entry:
    """Attributes:
    names: the components of its address, decoded.
    etag, modified: as the headers of the same names have them; or empty.
    shown: the name that people see; or empty.
    """

    names: tuple[str, ...]
    folder: bool
    size: int | None
    etag: str
    modified: str
    shown: str
    checks: tuple[Checksum, ...]


def listing(
    url: str, ctx: Context, *, depth: int = 1, headers: Mapping[str, str] | None = None
) -> tuple[Entry, list[Entry]]:
    """What is at ``url``, and what is right below it.

    Raises:
        ResolveError: there is no WebDAV.
        SourceError: the answer is something else, or names what is not right below.
    """
    # Nextcloud answers strangers' PROPFIND of a share only so, where it does not federate.
    sent = {"Depth": str(depth), "Content-Type": "application/xml", "X-Requested-With": "XMLHttpRequest"}
    page = ctx.http.text(url, {**sent, **(headers or {})}, explain=explain, method="PROPFIND", body=_BODY)
    found = list(_entries(page))
    asked = _names(urlsplit(page.url).path)
    itself = [entry for entry in found if entry.names == asked] or found[:1]
    if not itself:
        raise SourceError(f"{redact(url)} lists nothing, not even itself: no WebDAV server does that")
    above = itself[0].names
    if len(itself) > 1:
        raise SourceError(f"{redact(url)} lists itself more than once: a loop on the server")
    inside = [entry for entry in found if entry is not itself[0]]
    for entry in inside:
        if entry.names[:-1] != above:
            raise SourceError(
                f"{redact(url)} lists {redact('/'.join(entry.names))}, which is not right below it: a loop on the "
                "server, or a list of something else"
            )
    return itself[0], inside


def explain(refusal: Refusal) -> GotdataError | None:
    """A password is an account's, not a folder's."""
    if refusal.status == 401 and (account := _ACCOUNT.match(refusal.url)):
        return fault(401, refusal.headers, account[0], refusal.credential)
    if refusal.status == 423:
        return SourceUnavailable(f"{redact(refusal.url)} is locked (423): somebody writes to it")
    if refusal.status in (405, 501):
        return ResolveError(f"{redact(refusal.url)} answered {refusal.status}: no WebDAV there")
    return None


def _entries(page: Page) -> Iterator[Entry]:
    if page.kind in HTML:
        raise SourceError(
            f"{redact(page.url)} answered a web page where a listing of WebDAV was due: a login, or no WebDAV there"
        )
    try:
        root = xml(page.text)
    except ValueError as error:
        what = page.kind or "something"
        raise SourceError(f"{redact(page.url)} answered {what} that is no WebDAV listing: {error}") from None
    if root.tag != f"{_D}multistatus":
        raise SourceError(f"{redact(page.url)} answered XML that is no WebDAV listing")
    for response in root.iter(f"{_D}response"):
        status = response.findtext(f"{_D}status", "")
        if not status or " 200" in status:
            yield _entry(response)


def _entry(response: Xml.Element) -> Entry:
    said: dict[str, Xml.Element] = {}
    for part in response.iter(f"{_D}propstat"):
        if " 200" in part.findtext(f"{_D}status", " 200"):
            said |= {found.tag: found for group in part.iter(f"{_D}prop") for found in group}

    def text(name: str) -> str:
        found = said.get(name)
        return (found.text or "").strip() if found is not None else ""

    kind = said.get(f"{_D}resourcetype")
    length = text(f"{_D}getcontentlength")
    return Entry(
        names=_names(re.sub(r"(?i)^https?://[^/]*", "", response.findtext(f"{_D}href", "").strip())),
        folder=kind is not None and kind.find(f"{_D}collection") is not None,
        size=int(length) if re.fullmatch(r"\d{1,18}", length) else None,
        etag=_quoted(text(f"{_D}getetag")),
        modified=text(f"{_D}getlastmodified"),
        shown=text(f"{_D}displayname"),
        checks=tuple(_checks(said.get(f"{_OC}checksums"))),
    )


def _names(path: str) -> tuple[str, ...]:
    return tuple(unquote(name, errors="surrogateescape") for name in path.split("/") if name)


def _quoted(etag: str) -> str:
    return f'"{etag}"' if etag and not etag.endswith('"') else etag


def _checks(found: Xml.Element | None) -> Iterator[Checksum]:
    """ownCloud and Nextcloud: ``SHA1:… MD5:… ADLER32:…``, in one element or several."""
    for word in " ".join(found.itertext()).split() if found is not None else ():
        name, _, digest = word.lower().partition(":")
        if re.fullmatch(rf"[0-9a-f]{{{_LENGTHS.get(name, 0)}}}", digest) and digest:
            yield Checksum(name, digest)
