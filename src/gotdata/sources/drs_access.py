"""How the bytes of a DRS object can be had, of the ways that its server names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gotdata.credentials import parse
from gotdata.errors import SourceError
from gotdata.model import Checksum
from gotdata.paths import redact
from gotdata.sources.api import rows, table, words
from gotdata.sources.http_answer import hexadecimal
from gotdata.sources.http_sent import told

_PREFERRED = ("https", "s3", "gs")
"""With an id of an access, servers of the latter two answer a signed web address."""
_LENGTHS = {"md5": 16, "sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64, "crc32": 4, "crc32c": 4}


def way(found: Mapping[str, Any]) -> str:
    """The id of the access to be asked for; empty where the object itself tells an address, or nothing helps."""
    method = next(iter(_usable(found)), {})
    return "" if _address(method) else words(method, "access_id")


def asked_for(said: Mapping[str, Any], home: str) -> tuple[str, dict[str, str]]:
    """The web address, and the headers to be sent there, that an object or an access of it tells.

    Raises:
        SourceError: it tells none that can be used, or one that is less safe than its server.
    """
    access = said
    if rows(said, "access_methods"):
        method = next(filter(_address, _usable(said)), None)
        if method is None:
            raise _unreadable(said, home)
        access = {**table(method, "access_url"), "url": _address(method)}
    url = web(words(access, "url"))
    if not url:
        raise SourceError(f"{redact(home)} leads to {redact(words(access, 'url')) or 'nowhere'}, which can't be read")
    if parse(home).scheme == "https" and parse(url).scheme != "https":
        raise SourceError(f"{redact(home)} leads to {redact(url)}, without encryption: refused")
    return url, _headers(access, home)


def _usable(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The best first."""
    methods = [one for one in rows(found, "access_methods") if one.get("available") is not False]
    methods = [one for one in methods if words(one, "type").lower() in _PREFERRED]
    methods = [one for one in methods if _address(one) or words(one, "access_id")]
    return sorted(methods, key=lambda one: _PREFERRED.index(words(one, "type").lower()))


def _unreadable(found: Mapping[str, Any], where: str) -> SourceError:
    methods = rows(found, "access_methods")
    kinds = ", ".join(sorted({words(one, "type") for one in methods}))
    archived = any(one.get("available") is False for one in methods)
    why = " (not available now: archived)" if archived else ""
    return SourceError(f"{redact(where)} can be had by {redact(kinds)} only{why}: https, s3 and gs are read here")


def web(url: str, region: str = "") -> str:
    """An address as HTTPS has it; empty where it has none. Objects of S3 and Google that are public have one."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme.lower() in ("https", "http") and bucket:
        return url
    if not bucket or not key:
        return ""
    if scheme.lower() == "gs":
        return f"https://storage.googleapis.com/{bucket}/{quote(key)}"
    if scheme.lower() == "s3":
        host = f"s3.{region}.amazonaws.com" if re.fullmatch(r"[a-z0-9-]+", region) else "s3.amazonaws.com"
        return f"https://{host}/{bucket}/{quote(key)}"
    return ""


def _address(method: Mapping[str, Any]) -> str:
    return web(words(table(method, "access_url"), "url"), words(method, "region"))


def _headers(access: Mapping[str, Any], home: str) -> dict[str, str]:
    """A list of ``Name: value``; some servers send an object."""
    said = access.get("headers")
    if isinstance(said, dict):
        pairs = [(str(name), str(value)) for name, value in said.items()]
    else:
        lines = [line for line in said if isinstance(line, str)] if isinstance(said, list) else []
        pairs = [(name, value) for name, _, value in (line.partition(":") for line in lines)]
    return told(((name.strip(), value.strip()) for name, value in pairs), home)


def checks(found: Mapping[str, Any]) -> tuple[Checksum, ...]:
    """The checksums whose names are known: ``sha-256`` and ``sha256``, hexadecimal or (crc32c of Google's) base64. An
    ``etag`` is none."""
    known: dict[str, str] = {}
    for one in rows(found, "checksums"):
        name = re.sub(r"[-_ ]", "", words(one, "type").lower())
        if (length := _LENGTHS.get(name, 0)) and (digest := hexadecimal(words(one, "checksum"), length)):
            known.setdefault(name, digest)
    return tuple(Checksum(name, digest) for name, digest in sorted(known.items()))
