"""``azure:``: a blob, or all below a prefix, in Azure Blob Storage and its data lakes, by the REST API."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from gotdata.context import Context
from gotdata.errors import AccessDenied, AuthRequired, IntegrityError, NotFound, ResolveError, UpstreamChanged
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources import azure_answers, azure_place
from gotdata.sources.api import below
from gotdata.sources.azure_place import Place, is_folder, parse
from gotdata.sources.base import Powers


class Azure:
    name = "azure"
    schemes = ("az", "abfs", "abfss", "wasb", "wasbs", "azure")
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return azure_place.claims(ref.url)

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place, wanted = parse(ref)
        if is_folder(place.key):
            return self._folder(place, ctx)
        try:
            found = azure_answers.one(place, wanted, ctx)
        except NotFound as error:
            if not wanted:
                with suppress(ResolveError, AccessDenied, AuthRequired):
                    return self._folder(_below(place), ctx)
            raise ResolveError(f"{error}; check the names of the container and of the blob") from error
        if found.folder:
            return self._folder(_below(place), ctx)
        if "version" in wanted and found.version != wanted["version"]:
            raise ResolveError(f"{redact(place.url)} has no versions: its account does not keep them")
        return self._pin(place, self._bound(place, found, wanted, ctx))

    def _bound(
        self, place: Place, found: azure_answers.Blob, wanted: Mapping[str, str], ctx: Context
    ) -> dict[str, str]:
        """How a blob is bound, in the words of a pin."""
        if "snapshot" in wanted:
            return {"snapshot": wanted["snapshot"], "etag": found.etag}
        if found.version and ("version" in wanted or _readable(place, found.version, ctx)):
            return {"version": found.version}
        return {"etag": found.etag, "size": str(found.size)}

    def _folder(self, place: Place, ctx: Context) -> Pin:
        try:
            found = azure_answers.beginning(place, ctx)
        except NotFound as error:
            raise ResolveError(f"{error}; check the name of the container") from error
        if place.key and not found:
            raise ResolveError(f"{redact(place.url)}: no blob's name begins with that")
        kept = next((blob for blob in found if blob.version and not blob.folder), None)
        versions = kept is not None and _readable(replace(place, key=kept.name), kept.version, ctx)
        return self._pin(place, {"listing": "versions" if versions else "etags"})

    def _pin(self, place: Place, version: dict[str, str]) -> Pin:
        return Pin(self.name, place.ref, place.url, version)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place, _ = parse(pin.ref)
        if is_folder(place.key):
            yield from azure_answers.entries(place, pin.version.get("listing") == "versions", ctx)
            return
        found = azure_answers.one(place, pin.version, ctx)
        bound = found.version if "version" in pin.version else found.etag
        if bound != (pinned := pin.version.get("version") or pin.version.get("etag", "")):
            raise _changed(place.url, pinned, bound)
        yield azure_answers.entry(place.key.rpartition("/")[2], found, "version" in pin.version)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        place, _ = parse(pin.ref)
        where = self.url(pin, file)
        version = file.version.removeprefix("id:") if file.version.startswith("id:") else ""
        headers = dict(azure_answers.ASKING)
        if file.version.startswith("etag:"):
            headers["If-Match"] = file.version.removeprefix("etag:")
        url = azure_answers.question(where, version, "" if is_folder(place.key) else pin.version.get("snapshot", ""))
        answer = ctx.http.get(
            url,
            span,
            size=file.size,
            version=file.version,
            headers=headers,
            encoded=True,
            explain=azure_answers.explain,
        )
        told = answer.headers.get("x-ms-version-id", "")
        if version and told != version:
            answer.close()
            raise _changed(where, version, told)
        return answer

    def url(self, pin: Pin, file: RemoteFile) -> str:
        place, _ = parse(pin.ref)
        url = place.at(place.key + file.path if is_folder(place.key) else place.key)
        # A forged path could have the bytes behind somebody's key kept as anybody's.
        if not below(url, place.home):
            raise IntegrityError(f"{redact(url)} is no address in {redact(place.home)}: the lock was edited")
        return url

    def realm(self, pin: Pin, ctx: Context) -> str:
        return ctx.credentials.realm(parse(pin.ref)[0].home)

    def local(self, pin: Pin, file: RemoteFile) -> str:
        return ""


def _below(place: Place) -> Place:
    return replace(place, key=f"{place.key}/")


def _readable(place: Place, version: str, ctx: Context) -> bool:
    """Some who may read a blob may not read it by its version."""
    try:
        return azure_answers.one(place, {"version": version}, ctx).version == version
    except (AccessDenied, AuthRequired, NotFound):
        return False


def _changed(where: str, wanted: str, told: str) -> UpstreamChanged:
    return UpstreamChanged(
        f"{redact(where)} is not what was pinned: {shown(wanted)} was asked for, {shown(told) or 'none'} is there; "
        "`gotdata lock --update` takes the new one up"
    )
