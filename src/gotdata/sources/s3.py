"""``s3:``: an object, or all below a prefix, in AWS S3 and the stores that speak as it does.

botocore finds the keys, lists and signs; the bytes come through the HTTP engine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    NoRanges,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources import s3_bucket, s3_listing
from gotdata.sources.base import Powers
from gotdata.sources.s3_bucket import is_folder, parse

if TYPE_CHECKING:
    from gotdata.sources.s3_access import Access

# It takes long to load, so that waits until it is needed; that it is missing must be said at once.
if find_spec("botocore") is None:
    raise ModuleNotFoundError("No module named 'botocore'", name="botocore")


class S3:
    name = "s3"
    schemes = ("s3",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return s3_bucket.claims(ref.url)

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        from gotdata.sources.s3_access import located, open_access

        bucket, key = parse(ref)
        access = open_access(located(bucket, ctx.settings, ctx.reach), ctx.settings, ctx.reach)
        wanted = s3_bucket.version(ref)
        if wanted and is_folder(key):
            raise ResolveError(f"{redact(ref.url)} is a folder, and `version` is the VersionId of one object")
        try:
            if is_folder(key):
                return self._pin(access, key, s3_listing.folder_version(access, key))
            return self._object_or_folder(access, key, wanted)
        except NotFound as error:
            raise ResolveError(str(error)) from error

    def _object_or_folder(self, access: Access, key: str, wanted: str) -> Pin:
        try:
            return self._pin(access, key, s3_listing.object_version(access, key, wanted))
        except SourceUnavailable:
            raise
        except (NotFound, SourceError):
            if not wanted:
                with suppress(NotFound, AccessDenied, AuthRequired):
                    return self._pin(access, f"{key}/", s3_listing.folder_version(access, f"{key}/"))
            # The refusal of a HEAD has no words.
            access.explain(key, wanted)
            raise

    def _pin(self, access: Access, key: str, version: dict[str, str]) -> Pin:
        return Pin(self.name, access.bucket.ref(key), access.bucket.url(key), version)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        access, key = self._access(pin, ctx)
        if is_folder(key):
            yield from s3_listing.entries(access, key, pin.version, ctx.reporter)
        else:
            yield s3_listing.entry(access, key, pin.version, ctx.reporter)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        access, key = self._access(pin, ctx)
        if is_folder(key):
            key += file.path
        version = file.version.removeprefix("id:") if file.version.startswith("id:") else ""
        with access.asked(key):
            url, headers = access.request(key, version)
        if file.version.startswith("etag:"):
            headers["If-Match"] = file.version.removeprefix("etag:")
        try:
            answer = ctx.http.get(url, span, size=file.size, version=file.version, headers=headers, encoded=True)
        except (SourceUnavailable, NoRanges):
            raise
        except (SourceError, NotFound):
            # The engine knows the status. S3 has words for it: an archived object, keys that ran out, a clock.
            access.explain(key, version)
            raise
        told = answer.headers.get("x-amz-version-id", version)
        if version and told != version:
            answer.close()
            where = redact(self.url(pin, file))
            raise UpstreamChanged(f"{where}: version {shown(version)} was asked for, and {shown(told)} was sent")
        return answer

    def url(self, pin: Pin, file: RemoteFile) -> str:
        bucket, key = parse(pin.ref)
        return bucket.url(key + file.path if is_folder(key) else key)

    def realm(self, pin: Pin, ctx: Context) -> str:
        access, key = self._access(pin, ctx)
        # A request that is not signed goes out as any other does: a credential for its URL would go with it.
        return access.realm or ctx.credentials.realm(access.base(key))

    def local(self, pin: Pin, file: RemoteFile) -> str:
        return ""

    def _access(self, pin: Pin, ctx: Context) -> tuple[Access, str]:
        from gotdata.sources.s3_access import open_access

        bucket, key = parse(pin.ref)
        return open_access(bucket, ctx.settings, ctx.reach), key
