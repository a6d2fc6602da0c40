"""Dryad: a dataset in a version (API: https://datadryad.org/api)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urljoin

from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
)
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources.api import Hosted, naming, pages, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.http_answer import Refusal
from gotdata.sources.http_page import HTML

HOSTS = ("datadryad.org", "www.datadryad.org")
_ROOT = "https://datadryad.org"
_PAGE = "per_page=100"
_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128, "adler32": 8, "crc32": 8}
"""Digits of the digests that Dryad has; it writes a dash in their names."""
_DOI = r"(?:doi:)?(?P<doi>10\.\d{4,9}/[^/\s?#]+)"
_FORMS = (
    rf"/(?:stash/)?(?:dataset|resource)/{_DOI}",
    rf"/api/v2/datasets/{_DOI}(?:/\w*)?",
    r"/api/v2/versions/(?P<version>\d+)(?:/\w*)?",
    r"/(?:stash/)?downloads/download_resource/(?P<version>\d+)",
    r"/api/v2/files/(?P<file>\d+)(?:/download)?",
    r"/(?:stash/)?downloads/file_stream/(?P<file>\d+)",
)


@dataclass(frozen=True, slots=True)
class _Place:
    """``root`` is the address of the repository, without a slash at its end. One of the others is set; ``version`` is
    the id of one, not its number."""

    root: str
    doi: str = ""
    version: str = ""
    file: str = ""

    @property
    def api(self) -> str:
        return f"{self.root}/api/v2"


class Dryad(Hosted):
    """Pins name the id of a version. The option ``version`` is its number, as the page shows it, or its id."""

    name = "dryad"
    schemes = ("dryad",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("dryad:") or _place(ref.url) is not None

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).root}/",)

    def explain(self, refusal: Refusal) -> GotdataError | None:
        path = parse(refusal.url).path or ""
        if refusal.status in (401, 403) and path.startswith(("/api/", "/downloads/")):
            kind = AccessDenied if refusal.credential else AuthRequired
            return kind(f"Dryad: {redact(refusal.url)} answered {refusal.status}: {_remedy(refusal.url)}")
        if refusal.status == 429:
            wait = _reset(refusal.headers)
            when = f" for {wait:.0f} s" if wait else ""
            return SourceUnavailable(f"Dryad: {redact(refusal.url)} asks to wait{when}: too many requests", wait)
        return None

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        there = _place(ref.url)
        if there is None:
            raise ResolveError(f"{redact(ref.url)} names no dataset of Dryad: its DOI or its page is due")
        with naming("Dryad"):
            try:
                version = self._version(there, ref.option("version"), ctx)
            except NotFound as error:
                raise ResolveError(f"{error}; there is no such dataset, or it is not published") from error
        id, number = _id(version, "self"), words(version, "versionNumber")
        if not id:
            raise ResolveError(f"{there.api} answered something that is no version of a dataset of Dryad")
        doi = unquote(_link(version, "stash:dataset").rpartition("/")[2]).removeprefix("doi:").lower() or there.doi
        pinned = {"version": id, "number": number} | ({"file": there.file} if there.file else {})
        page = f"{there.api}/versions/{id}"
        return Pin(self.name, Ref(f"dryad:{page}"), f"doi:{doi}" if doi else page, pinned, _citation(version, doi))

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        there, file = _pinned(pin), pin.version.get("file", "")
        with naming("Dryad"):
            listed = iter([self._ask(f"{there.api}/files/{file}", ctx)]) if file else self._listed(there, ctx)
            way = found = ""
            for one in listed:
                if words(one, "status") == "deleted":
                    continue
                path, size, id = words(one, "path"), whole(one, "size"), _id(one, "self")
                if not path or size is None or not id:
                    raise SourceError(f"{redact(there.api)}: {shown(path or '?')} is listed without a name, size or id")
                found, way = path, way or self._way(there, id, ctx)
                yield RemoteFile(path, size, at=way.format(id), version=f"id:{id}", checks=_checks(one))
            if not found:
                raise ResolveError(f"{redact(pin.ref.url)} has no files")

    def _ask(self, url: str, ctx: Context) -> Mapping[str, Any]:
        found = ctx.http.json(url, explain=self.explain)
        if not isinstance(found, dict) or "_links" not in found:
            raise SourceError(f"{redact(url)} is not what Dryad's API answers")
        return found

    def _pages(self, there: _Place, url: str, name: str, ctx: Context) -> Iterator[dict[str, Any]]:
        def following(page: Mapping[str, Any]) -> tuple[int, str]:
            url = urljoin(f"{there.root}/", _link(page, "next")) if _link(page, "next") else ""
            if url and "per_page=" not in url:
                url += f"{'&' if '?' in url else '?'}{_PAGE}"
            return len(rows(table(page, "_embedded"), name)), url

        for page in pages(f"{url}?{_PAGE}", lambda at: self._ask(at, ctx), following, f"{there.root}/"):
            yield from rows(table(page, "_embedded"), name)

    def _listed(self, there: _Place, ctx: Context) -> Iterator[dict[str, Any]]:
        return self._pages(there, f"{there.api}/versions/{there.version}/files", "stash:files", ctx)

    def _version(self, there: _Place, wanted: str, ctx: Context) -> Mapping[str, Any]:
        if there.file or there.version:
            id = there.version or _id(self._ask(f"{there.api}/files/{there.file}", ctx), "stash:version")
            version = self._ask(f"{there.api}/versions/{id}", ctx)
            if wanted not in ("", id, words(version, "versionNumber")):
                raise ResolveError(
                    f"{there.api}/versions/{id} is version {words(version, 'versionNumber')}: name its DOI"
                )
            return version
        dataset = f"{there.api}/datasets/{quote(f'doi:{there.doi}', safe='')}"
        if not wanted:
            return self._ask(f"{there.api}/versions/{_id(self._ask(dataset, ctx), 'stash:version')}", ctx)
        known: list[str] = []
        for one in self._pages(there, f"{dataset}/versions", "stash:versions", ctx):
            known.append(words(one, "versionNumber"))
            if wanted in (known[-1], _id(one, "self")):
                return self._ask(f"{there.api}/versions/{_id(one, 'self')}", ctx)
        raise ResolveError(f"doi:{there.doi} has no version {shown(wanted)}; there are {shown(', '.join(known))}")

    def _way(self, there: _Place, id: str, ctx: Context) -> str:
        """Where files are sent: by the API to who has an account, where people download to others, as long as no wall
        against programs stands there. One file tells for all."""
        try:
            ctx.http.probe(_api_way(there).format(id), explain=self.explain)
            return _api_way(there)
        except (AuthRequired, AccessDenied) as refused:
            public = f"{there.root}/downloads/file_stream/{{}}"
            try:
                facts = ctx.http.probe(public.format(id), explain=self.explain)
            except SourceUnavailable:
                raise
            except (SourceError, NotFound):
                raise refused from None
            if facts.kind in HTML and not facts.name.lower().endswith((".html", ".htm")):
                raise AuthRequired(
                    f"{redact(public.format(id))} answered a web page, a wall against programs: {_remedy(there.root)}"
                ) from None
            return public


def recognise(url: str, ctx: Context) -> Ref | None:
    """The dataset whose page it is. There is one Dryad: it is known by its name."""
    return Ref(url) if _place(url) else None


def _place(url: str) -> _Place | None:
    text, explicit = url.removeprefix("dryad:"), url.startswith("dryad:")
    if explicit and "://" not in text:
        match = re.fullmatch(_DOI, unquote(text), re.IGNORECASE)
        return _Place(_ROOT, match["doi"].lower()) if match else None
    try:
        parsed = parse(text)
    except SourceError:
        return None
    if parsed.scheme not in ("http", "https") or not (explicit or parsed.host in HOSTS):
        return None
    root = _ROOT if parsed.host in HOSTS else f"{parsed.scheme}://{parsed.netloc}"
    path = unquote(parsed.path or "").rstrip("/")
    for form in _FORMS:
        if match := re.fullmatch(form, path, re.IGNORECASE):
            return _Place(root, **{name: value.lower() for name, value in match.groupdict().items()})
    return None


def _pinned(pin: Pin) -> _Place:
    there = _place(pin.ref.url)
    if there is None or not there.version:
        raise SourceError(f"{redact(pin.ref.url)} is no version of a dataset of Dryad: the lock was edited")
    return there


def _api_way(there: _Place) -> str:
    return f"{there.api}/files/{{}}/download"


def _link(of: Mapping[str, Any], name: str) -> str:
    return words(table(table(of, "_links"), name), "href")


def _id(of: Mapping[str, Any], name: str) -> str:
    """The number at the end of a link."""
    match = re.search(r"/(\d+)$", _link(of, name))
    return match[1] if match else ""


def _checks(one: Mapping[str, Any]) -> tuple[Checksum, ...]:
    """Old files have none."""
    algorithm, digest = words(one, "digestType").lower().replace("-", ""), words(one, "digest").lower()
    fits = re.fullmatch(r"[0-9a-f]+", digest) and len(digest) == _LENGTHS.get(algorithm)
    return (Checksum(algorithm, digest),) if fits else ()


def _reset(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from ``Retry-After`` or ``RateLimit-Reset``: a number of them, or the time at which it ends."""
    found = (headers.get(name, "").strip() for name in ("Retry-After", "RateLimit-Reset"))
    text = next((one for one in found if re.fullmatch(r"\d{1,12}", one)), "")
    if not text:
        return None
    return max(0.0, float(text) - time.time()) if len(text) > 9 else float(text)


def _remedy(url: str) -> str:
    parsed = parse(url)
    return (
        "it sends files to programs that have an account. Make one for the API (datadryad.org, My account), and store "
        f"its token by `gotdata login {parsed.scheme}://{parsed.netloc}/`"
    )


def _citation(version: Mapping[str, Any], doi: str) -> Citation:
    names = (f"{words(one, 'lastName')}, {words(one, 'firstName')}".strip(", ") for one in rows(version, "authors"))
    return Citation(words(version, "title"), tuple(filter(None, names)), doi, words(version, "license"))
