"""``gs:``: an object, or all below a prefix, in Google Cloud Storage, by its JSON API. Each object is bound to its
generation."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress

from gotdata.context import Context
from gotdata.errors import AccessDenied, AuthRequired, NotFound, ResolveError, UpstreamChanged
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources import gcs_answers, gcs_bucket
from gotdata.sources.base import Powers
from gotdata.sources.gcs_bucket import Bucket, is_folder, parse

_AS_STORED = {"Accept-Encoding": "gzip"}
"""Else an object that was stored compressed is unpacked on its way: then size, ranges and checksums are of other
bytes. What lies there uncompressed comes as it is."""


class Gcs:
    name = "gcs"
    schemes = ("gs", "gcs")
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return gcs_bucket.claims(ref.url)

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        bucket, key, generation = parse(ref)
        if is_folder(key):
            return self._folder(bucket, key, ctx)
        try:
            found = gcs_answers.one(bucket, key, generation, ctx)
        except NotFound as error:
            if not generation:
                with suppress(ResolveError, AccessDenied, AuthRequired):
                    return self._folder(bucket, f"{key}/", ctx)
            raise ResolveError(f"{error}; check the name of the bucket, and of the object") from error
        return self._pin(bucket, key, {"generation": str(found["generation"])})

    def _folder(self, bucket: Bucket, prefix: str, ctx: Context) -> Pin:
        try:
            known = gcs_answers.anything(bucket, prefix, ctx) or not prefix
        except NotFound as error:
            raise ResolveError(f"{error}; check the name of the bucket") from error
        if not known:
            raise ResolveError(f"{redact(bucket.url(prefix))}: no object's name begins with that")
        return self._pin(bucket, prefix, {"listing": "generations"})

    def _pin(self, bucket: Bucket, key: str, version: dict[str, str]) -> Pin:
        return Pin(self.name, bucket.ref(key), bucket.url(key), version)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        bucket, key, _ = parse(pin.ref)
        if is_folder(key):
            yield from gcs_answers.entries(bucket, key, ctx)
        else:
            found = gcs_answers.one(bucket, key, pin.version.get("generation", ""), ctx)
            yield gcs_answers.entry(key.rpartition("/")[2], found)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        bucket, key, _ = parse(pin.ref)
        key += file.path if is_folder(key) else ""
        generation = file.version.removeprefix("id:")
        url = bucket.question(key, alt="media", generation=generation)
        try:
            answer = ctx.http.get(
                url, span, size=file.size, headers=_AS_STORED, encoded=True, explain=gcs_answers.explain
            )
        except NotFound:
            # Most buckets keep one generation only: is it gone, or was it replaced?
            gcs_answers.one(bucket, key, "", ctx)
            raise UpstreamChanged(
                f"{redact(bucket.url(key))}: generation {shown(generation)} was replaced and is not kept; "
                "`gotdata lock --update` takes the new one up"
            ) from None
        told = answer.headers.get("x-goog-generation", generation)
        if told != generation:
            answer.close()
            where = redact(bucket.url(key))
            raise UpstreamChanged(f"{where}: generation {shown(generation)} was asked for, and {shown(told)} was sent")
        return answer

    def url(self, pin: Pin, file: RemoteFile) -> str:
        bucket, key, _ = parse(pin.ref)
        return bucket.url(key + file.path if is_folder(key) else key)

    def realm(self, pin: Pin, ctx: Context) -> str:
        return ctx.credentials.realm(parse(pin.ref)[0].home)

    def local(self, pin: Pin, file: RemoteFile) -> str:
        return ""
