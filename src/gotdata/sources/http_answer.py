"""What the head of an HTTP answer says: version, size, checksums, name, and what its status means."""

from __future__ import annotations

import base64
import http.client
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote, urlsplit

from gotdata.credentials import Credential
from gotdata.credentials.providers import of
from gotdata.credentials.urls import site, spelt
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Checksum, Span
from gotdata.paths import redact, shown
from gotdata.sources.http_page import HTML

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may pass: the same request is made again."""
_WAITS = frozenset({429, 503})
"""Statuses with which Retry-After counts. Zenodo sends it with every answer."""
_DIGESTS = {"sha-512": "sha512", "sha-256": "sha256", "sha": "sha1", "sha-1": "sha1"}
"""Names of the registry of HTTP digest algorithms that are not ours."""
_LENGTHS = {"sha512": 64, "sha256": 32, "sha1": 20, "md5": 16, "adler32": 4}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one question (``Engine.probe``) tells of a file.

    Attributes:
        url: where the answer came from in the end; maybe signed, so never kept.
        size: None where the server does not say.
        version: as ``RemoteFile.version``.
        kind: the media type, lower case, without parameters.
        name: from Content-Disposition, not judged; or empty.
        links: headers Link, each with the URL that it is relative to: those of redirects first.
    """

    url: str
    size: int | None
    version: str
    checks: tuple[Checksum, ...]
    kind: str
    name: str
    ranges: bool
    links: tuple[tuple[str, str], ...] = ()

    @property
    def is_page(self) -> bool:
        """A page for people. A shared file that is HTML itself comes as an attachment, with its name."""
        return self.kind in HTML and not self.name


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success, for a source that can tell more of it than its status does.

    Attributes:
        url: who answered in the end; maybe signed, so never shown as it is.
        text: the beginning of its body.
        credential: whether the request carried one.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    text: str
    credential: bool


Explain = Callable[[Refusal], GotdataError | None]
"""What a refusal means to a provider; None where it means what its status says."""


def content_length(headers: Mapping[str, str]) -> int | None:
    # One number only: of a list, other readers of the same head may take none, and wait for more than we do.
    text = headers.get("Content-Length", "").strip()
    return int(text) if re.fullmatch(r"\d{1,18}", text) and "Transfer-Encoding" not in headers else None


def content_range(headers: Mapping[str, str]) -> tuple[Span | None, int | None]:
    """The span that a 206 or 416 says it holds, and the whole's size; None for what it leaves open (``*``)."""
    match = re.fullmatch(
        r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", headers.get("Content-Range", "").strip(), re.I
    )
    if not match:
        return None, None
    span = Span(int(match[1]), int(match[2]) + 1) if match[1] else None
    return span, None if match[3] == "*" else int(match[3])


def version_of(headers: Mapping[str, str]) -> str:
    """As ``RemoteFile.version``: the ETag, else the time of the last change, else empty."""
    etag = headers.get("ETag", "").strip()
    if re.fullmatch(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"', etag) and etag.strip('W/"'):
        return f"etag:{etag}"
    modified = headers.get("Last-Modified", "").strip()
    return f"mtime:{shown(modified)}" if modified else ""


def same_version(headers: Mapping[str, str], wanted: str) -> bool:
    """Whether an answer is of the version that was pinned. A weak ETag matches its strong form too: Apache gives a file
    a weak one in the second in which it was written."""
    if wanted.startswith("etag:W/"):
        return headers.get("ETag", "").strip().removeprefix("W/") == wanted.removeprefix("etag:W/")
    if wanted.startswith("etag:"):
        return headers.get("ETag", "").strip() == wanted.removeprefix("etag:")
    if wanted.startswith("mtime:"):
        return shown(headers.get("Last-Modified", "").strip()) == wanted.removeprefix("mtime:")
    return True


def checks(headers: Mapping[str, str], whole: bool) -> tuple[Checksum, ...]:
    """What the server says of the whole file: Repr-Digest (RFC 9530), Digest (RFC 3230), X-Checksum-… (Artifactory),
    Content-Digest and Content-MD5 (RFC 1864).

    Args:
        whole: this answer carries the whole file. Else Content-Digest and Content-MD5 may be of the part.
    """
    said = _fields(headers, "Repr-Digest", r"([\w-]+)\s*=\s*:([\w+/=]*):")
    said += _fields(headers, "Digest", r"([\w-]+)=([\w+/=]+)")
    said += [(name, headers.get(f"X-Checksum-{name}", "")) for name in ("sha256", "sha1", "md5")]
    if whole:
        said += _fields(headers, "Content-Digest", r"([\w-]+)\s*=\s*:([\w+/=]*):")
        said.append(("md5", headers.get("Content-MD5", "")))
    found: dict[str, Checksum] = {}
    for name, value in said:
        if check := digest_of(name, value):
            found.setdefault(check.algorithm, check)
    return tuple(sorted(found.values()))


def _fields(headers: Mapping[str, str], header: str, pattern: str) -> list[tuple[str, str]]:
    return re.findall(pattern, headers.get(header, ""))


def digest_of(name: str, value: str) -> Checksum | None:
    """A checksum by the name that a header or Metalink has for its algorithm; None where it is none that we know."""
    plain = name.strip().lower()
    algorithm = _DIGESTS.get(plain, plain)
    digest = hexadecimal(value.strip(), _LENGTHS[algorithm]) if algorithm in _LENGTHS else ""
    return Checksum(algorithm, digest) if digest else None


def hexadecimal(text: str, length: int) -> str:
    """A digest of ``length`` bytes, in base64 or (Zenodo, adler32) hexadecimal; empty where it is neither."""
    if re.fullmatch(rf"[0-9a-fA-F]{{{2 * length}}}", text):
        return text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return ""
    return raw.hex() if len(raw) == length else ""


def media_type(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").split(";")[0].strip().lower()


def utf8(text: str) -> str:
    """A header that its server wrote in UTF-8, as many do. HTTP is read as Latin-1."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def file_name(headers: Mapping[str, str]) -> str:
    """The name in Content-Disposition (RFC 6266; the RFC 5987 form wins), its last component only; or empty."""
    text = utf8(headers.get("Content-Disposition", ""))
    extended = re.search(r"(?i)\bfilename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]+)", text)
    if extended:
        name = unquote(extended[2], encoding=extended[1])
    else:
        message = Message()
        message["Content-Disposition"] = re.sub(r"\s", " ", text)
        name = message.get_filename("")
    return re.split(r"[/\\]", name)[-1].strip()


def retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait; it says them as a number or as a date."""
    text = headers.get("Retry-After", "").strip()
    if status not in _WAITS or not text:
        return None
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def login(url: str, source: str = "") -> str:
    """The command that stores a credential for what was refused at ``url``, fit to be pasted into a shell: whoever made
    the URL chose its signs. Where no provider is known by its host, it is for an installation of ``source``, else for
    the folder: what lies above may be open, and does not say what is wanted."""
    known = of(url)
    if source and known and known[0] == source and known[1].prefixes:
        return f"`gotdata login {source}`"
    if source or known:
        return f"`gotdata login {'' if known else f'{source}:'}{_plain(spelt(site(url)))}`"
    return f"`gotdata login {redact(_plain(_folder(url)))}`"


def _folder(url: str) -> str:
    """A name without a dot may be a folder's own, and what is above it open."""
    parent, slash, name = spelt(url).rpartition("/")
    return f"{parent}{slash}" if "." in name else spelt(url)


def _plain(url: str) -> str:
    return quote(url, safe="/:%~@+,=[]")


def fault(
    status: int,
    headers: Mapping[str, str],
    asked: str,
    credential: bool = False,
    url: str = "",
    held: Credential | None = None,
) -> GotdataError:
    """The error that a status means.

    Args:
        asked: the URL that was asked; ``url`` is the one that answered, where a redirect led there.
        credential: whether the request carried one; ``held`` is that, where it is no header of the caller.
    """
    way = f" (by way of {site(url)})" if url and site(url) != site(asked) else ""
    where = redact(asked) + way
    command = login(_refused(asked, url, held))
    if status in PASSING:
        wait = retry_after(status, headers)
        when = f"asks to wait {wait:.0f} s" if wait else "try again later"
        return SourceUnavailable(f"{where} answered {status} ({_reason(status)}): {when}", wait)
    if status == 401 and credential:
        found = f" (from {held.origin})" if held else ""
        text = f"the credential for it{found} was not taken; {command} puts in a new one"
        return AuthRequired(f"{where} answered 401: {text}")
    if status == 401:
        return AuthRequired(f"{where} answered 401: it wants a credential, and there is none for it: {command}")
    if status in (403, 451):
        why = "your credential does not give access" if credential else f"if it wants a credential: {command}"
        return AccessDenied(f"{where} answered {status} ({_reason(status)}): {why}")
    if status in (404, 410):
        return NotFound(
            f"{where} answered {status}: it is not there{' any more' if status == 410 else ''}; check the URL"
        )
    if status in (412, 416):
        return UpstreamChanged(
            f"{where} is not what was pinned any more ({status}); `gotdata lock --update` takes it up"
        )
    if status == 407:
        return AuthRequired(
            f"the proxy on the way to {where} wants a password: http://USER:PASSWORD@HOST in https_proxy"
        )
    if status in (202, 204):
        return SourceError(f"{where} answered {status} without the file: not ready yet, or it keeps programs out")
    return SourceError(f"{where} answered {status} ({_reason(status)})")


def _refused(asked: str, url: str, held: Credential | None) -> str:
    """What a credential is due for: what that was for which was not taken, unless it was for the whole host."""
    if held and (urlsplit(held.prefix).path or "/") != "/":
        return held.prefix
    return url if url and site(url) == site(asked) else asked


def _reason(status: int) -> str:
    return http.client.responses.get(status, "no known status")
