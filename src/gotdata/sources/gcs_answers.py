"""What Google Cloud Storage answers: objects, pages of listings, refusals (JSON API, version 1)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from gotdata.context import Context
from gotdata.errors import AccessDenied, AuthRequired, GotdataError, NotFound, ResolveError, SourceError
from gotdata.errors import SourceUnavailable as Unavailable
from gotdata.model import Checksum, Kind, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources.api import pages, rows, table, whole, words
from gotdata.sources.gcs_bucket import Bucket
from gotdata.sources.http_answer import Refusal

TOLD = "Google Cloud Storage"
_FIELDS = "kind,name,generation,size,md5Hash,crc32c"
_BUSY = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "backendError"}
"""Reasons of a 403 that may pass."""


def one(bucket: Bucket, key: str, generation: str, ctx: Context) -> Mapping[str, Any]:
    """What is known of an object, at a generation or as it is now.

    Raises:
        NotFound: there is none.
    """
    found = _asked(bucket.question(key, fields=_FIELDS, generation=generation), "storage#object", ctx)
    if not words(found, "generation").isdigit():
        raise SourceError(f"{TOLD}: {redact(bucket.url(key))} is told of without its generation")
    return found


def anything(bucket: Bucket, prefix: str, ctx: Context) -> bool:
    """Whether some object's key begins so."""
    listing = _listing(bucket, prefix, "1")
    return any(rows(page, "items") for page in pages(listing, lambda url: _page(url, ctx), _next(listing), bucket.home))


def entries(bucket: Bucket, prefix: str, ctx: Context) -> Iterator[RemoteFile]:
    """All files below a prefix, page by page."""
    listing = _listing(bucket, prefix, "1000")
    for page in pages(listing, lambda url: _page(url, ctx), _next(listing), bucket.home):
        for found in rows(page, "items"):
            key = words(found, "name")
            path = key.removeprefix(prefix)
            if not key.startswith(prefix):
                raise SourceError(f"{TOLD}: the listing of {redact(bucket.url(prefix))} holds {shown(key)!r}")
            if path.endswith("/") and whole(found, "size") == 0:
                yield RemoteFile(path.removesuffix("/"), 0, Kind.DIR)
            elif path:
                yield entry(path, found)


def entry(path: str, found: Mapping[str, Any]) -> RemoteFile:
    """A file, as an object's resource tells of it."""
    size, generation = whole(found, "size"), words(found, "generation")
    if size is None or not generation.isdigit():
        raise SourceError(f"{TOLD}: {shown(path)!r} is listed without its size or generation")
    return RemoteFile(path, size, version=f"id:{generation}", checks=tuple(_checks(found)))


def _checks(found: Mapping[str, Any]) -> Iterator[Checksum]:
    """md5 is missing where an object was composed of others (parallel uploads); crc32c is of the bytes as they lie
    there, in big-endian order."""
    for field, algorithm, length in (("crc32c", "crc32c", 4), ("md5Hash", "md5", 16)):
        with suppress(binascii.Error, ValueError):
            raw = base64.b64decode(words(found, field), validate=True)
            if len(raw) == length:
                yield Checksum(algorithm, raw.hex())


def _listing(bucket: Bucket, prefix: str, count: str) -> str:
    fields = f"kind,nextPageToken,items({_FIELDS.removeprefix('kind,')})"
    return bucket.question(prefix=prefix, maxResults=count, fields=fields)


def _page(url: str, ctx: Context) -> Mapping[str, Any]:
    return _asked(url, "storage#objects", ctx)


def _next(listing: str) -> Any:
    def following(page: Mapping[str, Any]) -> tuple[int, str]:
        token = words(page, "nextPageToken")
        return len(rows(page, "items")), f"{listing}&pageToken={quote(token, safe='')}" if token else ""

    return following


def _asked(url: str, kind: str, ctx: Context) -> Mapping[str, Any]:
    try:
        found = table(ctx.http.json(url, explain=explain))
    except (Unavailable, AuthRequired, AccessDenied):
        raise
    except SourceError as error:
        raise SourceError(f"{TOLD}: {error}") from error
    if words(found, "kind") != kind:
        # Any object of JSON would pass for an empty listing.
        raise SourceError(f"{TOLD}: {redact(url)} answered something that is no {kind}")
    return found


def explain(refusal: Refusal) -> GotdataError | None:
    """What a refusal means. Its body is JSON, or plain text where bytes were asked for."""
    where = f"{TOLD}: {redact(refusal.url.partition('?')[0])}"
    site = "/".join(refusal.url.split("/")[:3])
    said, reasons = refusal.text.strip()[:300], set()
    with suppress(ValueError, RecursionError):
        error = table(json.loads(refusal.text), "error")
        said, reasons = words(error, "message"), {words(one, "reason") for one in rows(error, "errors")}
    said = redact(said)
    if refusal.status == 403 and reasons & _BUSY:
        return Unavailable(f"{where}: asked too often ({said}); try again later")
    if refusal.status == 400 and "requester pays" in said.lower():
        return ResolveError(f"{where}: who reads this bucket pays: `billing_project:` names your project that does")
    if refusal.status == 401:
        held = "your credential was not taken" if refusal.credential else "it is not public"
        return AuthRequired(f"{where}: {held} ({said}); `gotdata login {site}/` gives a credential")
    if refusal.status == 403:
        held = "your credential gives no access" if refusal.credential else "it is not public"
        missing = "where listing is not allowed, Google says the same of what does not exist"
        return AccessDenied(f"{where}: {held} ({said}); {missing}. `gotdata login {site}/` gives another credential")
    if refusal.status == 404:
        return NotFound(f"{where} is not there ({said or 'no reason given'})")
    return None
