"""Google Drive: by its API with a credential or an API key, else the download that anyone has of a shared file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import (
    AuthRequired,
    GotdataError,
    IntegrityError,
    NoRanges,
    NotFound,
    ResolveError,
    SourceError,
    UpstreamChanged,
)
from gotdata.model import Checksum, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources import gdrive_api as api
from gotdata.sources import gdrive_page
from gotdata.sources.api import Hosted, below, naming, words
from gotdata.sources.gdrive_place import Place, placed
from gotdata.sources.http import settle
from gotdata.sources.http_answer import Refusal

_CHECKS = ("sha256", "sha512", "sha1", "md5")
_PAGE = 1 << 20
"""Bytes of a page for people."""


class GDrive(Hosted):
    """The pin of a file holds its revision; of a folder, its id. Drive keeps older revisions for some days and for
    editors only, so that a change is noticed and what was there is not had back."""

    name = "gdrive"
    schemes = ("gdrive",)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("gdrive:") or placed(ref.url) is not None

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = placed(ref.url)
        if place is None:
            raise ResolveError(
                f"{redact(unquote(ref.url))} is nothing in Google Drive: https://drive.google.com/file/d/ID/view, "
                "https://drive.google.com/drive/folders/ID or gdrive:ID is due"
            )
        if version := ref.option("version"):
            raise ResolveError(f"{redact(place.text)}: Drive keeps no versions for good, and no {shown(version)}")
        try:
            with naming("Google Drive (gdrive)"):
                if place.kind not in ("", "file", "folders"):
                    raise ResolveError(f"{redact(place.text)} {api.NO_BYTES}")
                held = ctx.credentials.find(f"{place.api}/{place.id}") is not None
                return self._by_api(place, ctx) if held else self._download(place, ctx)
        except NotFound as error:
            raise ResolveError(str(error)) from error

    def _by_api(self, asked: Place, ctx: Context) -> Pin:
        place, found = api.target(asked, ctx)
        if found["mimeType"] == api.FOLDER:
            place = Place(place.site, place.id, place.key, "folders")
            return Pin(self.name, Ref(place.text), f"gdrive:{place.id}", {"folder": place.id})
        file = api.file(found, words(found, "name"), place)
        if file is None:
            raise ResolveError(f"{redact(asked.text)} {api.NO_BYTES}")
        place = Place(place.site, place.id, place.key, "file")
        return self._pin(place, file, {"by": "api"})

    def _download(self, place: Place, ctx: Context) -> Pin:
        if place.kind == "folders":
            raise AuthRequired(
                f"{redact(place.text)}: the API alone lists folders: `gotdata login gdrive` stores a credential; "
                "an API key, which will do for what is shared with everybody, goes into credentials.toml"
            )
        at = place.download
        facts = ctx.http.probe(at)
        if facts.is_page:
            page = ctx.http.text(at, limit=_PAGE)
            at = gdrive_page.confirmed(page)
            if not at:
                raise gdrive_page.refusal(page, place.text)
            self._check(at, place)
            facts = ctx.http.probe(at)
            if facts.is_page:
                raise gdrive_page.refusal(ctx.http.text(at, limit=_PAGE), place.text)
        file = settle(at, facts.name or place.id, facts, ctx)
        place = Place(place.site, place.id, place.key, "file")
        return self._pin(place, RemoteFile(file.path, file.size, at=at, version=file.version, checks=file.checks), {})

    def _pin(self, place: Place, file: RemoteFile, how: dict[str, str]) -> Pin:
        said = {"name": file.path, "size": str(file.size), "at": file.at, **how}
        if file.version:
            said["version"] = file.version
        said |= {check.algorithm: check.hex for check in file.checks}
        return Pin(self.name, Ref(place.text), f"gdrive:{place.id}", said)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        said = pin.version
        if "folder" in said:
            with naming("Google Drive (gdrive)"):
                yield from api.walk(_pinned(pin), ctx)
            return
        checks = tuple(Checksum(name, said[name]) for name in _CHECKS if name in said)
        yield RemoteFile(said["name"], int(said["size"]), at=said["at"], version=said.get("version", ""), checks=checks)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        place, url = _pinned(pin), self.url(pin, file)
        if _is_download(pin):
            try:
                return ctx.http.get(url, span, size=file.size, version=file.version)
            except (UpstreamChanged, NoRanges):
                if ctx.http.probe(url).is_page:
                    raise gdrive_page.refusal(ctx.http.text(url, limit=_PAGE), place.text) from None
                raise
        if not file.version.startswith(("rev:", "md5:", "modified:")):
            # Uncompared, the bytes would be kept as that version.
            raise IntegrityError(f"{redact(url)}: {shown(file.version)} is no version of Drive: the lock was edited")
        parts = urlsplit(url)
        one = Place(place.site, parts.path.rpartition("/")[2], unquote(parts.fragment.removeprefix("resourcekey=")))
        # The bytes come without a version. It is asked before them: while they come, they hold one of the host's
        # streams, and readers that all wait for a second one would wait for each other.
        if file.version not in (now := api.versions(api.metadata(one, ctx))):
            raise UpstreamChanged(f"{redact(url)} has the version {shown(now[0])} now, and had {shown(file.version)}")
        return ctx.http.get(url, span, size=file.size, headers=api.keys(one.id, one.key), explain=self.explain)

    def homes(self, pin: Pin) -> tuple[str, ...]:
        place = _pinned(pin)
        return (f"{place.site}/", f"{place.content}/") if _is_download(pin) else (f"{place.api}/",)

    def explain(self, refusal: Refusal) -> GotdataError | None:
        return api.explain(refusal)

    @staticmethod
    def _check(at: str, place: Place) -> None:
        if not below(at, f"{place.site}/") and not below(at, f"{place.content}/"):
            raise SourceError(f"{redact(place.text)}: its download page leads to {redact(at)}, which is not Drive's")


def recognise(url: str, ctx: Context) -> Ref | None:
    """What the page is about that a DOI leads to, judged by its address."""
    return Ref(url) if placed(url) is not None else None


def _pinned(pin: Pin) -> Place:
    place = placed(pin.ref.url)
    if place is None:
        raise SourceError(f"{redact(pin.ref.url)} is nothing in Google Drive: the lock was edited")
    return place


def _is_download(pin: Pin) -> bool:
    return "folder" not in pin.version and pin.version.get("by") != "api"
