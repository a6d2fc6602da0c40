"""Records of an InvenioRDM repository: where they are, which versions they have, what their JSON says. Its shape is
InvenioRDM's own or the older one, by version and by what is asked for."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.credentials.urls import spelt
from gotdata.errors import AccessDenied, AuthRequired, GotdataError, NotFound, ResolveError, SourceError
from gotdata.errors import SourceUnavailable as Unavailable
from gotdata.model import Checksum, Citation, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources.api import pages, rows, table, whole, words
from gotdata.sources.http_answer import Refusal

HOSTS = ("zenodo.org", "www.zenodo.org", "sandbox.zenodo.org")
"""Known by their names. Others are found behind a DOI, or named ``invenio:https://host/records/ID``."""
VERSIONS = 1000
"""Versions of one record that are looked through."""
_ACCEPT = {"Accept": "application/vnd.inveniordm.v1+json, application/json;q=0.5"}
_RECORD = re.compile(
    r"(?P<site>.*?)/(?:api/)?(?:records?|doi/10\.[\d.]+)/(?:zenodo\.)?(?P<id>[\w-]+)(?:/(?P<rest>.*))?"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A record, and maybe one file of it. ``root`` is the repository's address, without a slash at its end."""

    root: str
    id: str
    key: str = ""

    @property
    def page(self) -> str:
        return f"{self.root}/records/{self.id}"

    @property
    def api(self) -> str:
        return f"{self.root}/api/records/{self.id}"

    def page_of(self, key: str) -> str:
        """Where people download a file. Zenodo sends ranges there, and not by its API."""
        return f"{self.page}/files/{quote(key, safe='/')}"


def place_of(url: str) -> Place | None:
    try:
        parts = urlsplit(re.sub(r"(?i)^invenio:", "", url))
    except ValueError:
        return None
    match = _RECORD.fullmatch(unquote(parts.path).rstrip("/"))
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc or "@" in parts.netloc or not match:
        return None
    kind, _, rest = (match["rest"] or "").partition("/")
    key = rest.removesuffix("/content") if kind in ("files", "preview") else ""
    known = parts.hostname in HOSTS
    root = f"https://{parts.hostname}".replace("//www.", "//") if known else f"{parts.scheme}://{parts.netloc}".lower()
    return Place(f"{root}{match['site']}", match["id"], key)


def json(url: str, place: Place, ctx: Context) -> Mapping[str, Any]:
    try:
        found = ctx.http.json(url, _ACCEPT, explain=limited)
    except (AccessDenied, AuthRequired) as error:
        raise type(error)(f"{error}. {remedy(place)}") from error
    if not isinstance(found, dict):
        raise SourceError(f"{redact(url)} is not what a repository answers")
    return found


def limited(refusal: Refusal) -> GotdataError | None:
    """When a limit of requests ends. Zenodo says it in one header or the other."""
    reset = refusal.headers.get("X-RateLimit-Reset", "")
    if refusal.status != 429 or "Retry-After" in refusal.headers or not re.fullmatch(r"\d{9,11}", reset):
        return None
    wait = max(1.0, float(reset) - time.time())
    return Unavailable(f"{redact(refusal.url)} answered 429 (too many requests): asks to wait {wait:.0f} s", wait)


def remedy(place: Place) -> str:
    return f"If you may read this record, `gotdata login {spelt(place.root)}` puts in a token"


def record_of(place: Place, ctx: Context) -> Mapping[str, Any]:
    """The record at a place, or the newest version where the place is of all of them together (a "concept")."""
    try:
        record = json(place.api, place, ctx)
    except NotFound as error:
        newest = _newest(place, ctx)
        if newest is None:
            raise ResolveError(f"{error}; there is no such record, or it was withdrawn") from error
        record = json(newest.api, newest, ctx)
    if not re.fullmatch(r"[\w-]+", words(record, "id")):
        raise ResolveError(f"{redact(place.api)} answered something that is no record")
    if record.get("is_draft") is True:
        raise ResolveError(f"{redact(place.page)} is a draft, which may still change: publish it first")
    return record


def _newest(place: Place, ctx: Context) -> Place | None:
    """Where the page of a concept leads: to its newest version. The API knows nothing of concepts at times."""
    try:
        found = place_of(ctx.http.probe(place.page, explain=limited).url)
    except NotFound:
        return None
    return found if found is not None and found.root == place.root and found.id != place.id else None


def version_of(place: Place, record: Mapping[str, Any], wanted: str, ctx: Context) -> Mapping[str, Any]:
    """The version that people mean by their own word for it; else by number, else by id."""
    known = list(_versions(Place(place.root, words(record, "id")), ctx))
    for said in (_own_word, _number, lambda one: words(one, "id")):
        if match := [one for one in known if said(one) == wanted]:
            if len(match) > 1:
                ids = ", ".join(words(one, "id") for one in match)
                raise ResolveError(f"{redact(place.page)}: version {shown(wanted)} may be {ids}; name one of these")
            return match[0]
    there = ", ".join(_own_word(one) or words(one, "id") for one in known)
    raise ResolveError(f"{redact(place.page)} has no version {shown(wanted)}; there are {shown(there)}")


def _versions(place: Place, ctx: Context) -> Iterator[Mapping[str, Any]]:
    def following(page: Mapping[str, Any]) -> tuple[int, str]:
        hits = rows(table(page, "hits"), "hits")
        return len(hits), words(table(page, "links"), "next") if hits else ""

    seen = 0
    first = f"{place.api}/versions?size=25"
    for page in pages(first, lambda url: json(url, place, ctx), following, f"{place.root}/"):
        hits = rows(table(page, "hits"), "hits")
        yield from (hit for hit in hits if "id" in hit)
        seen += len(hits)
        if seen >= VERSIONS:
            return


def _own_word(record: Mapping[str, Any]) -> str:
    return words(table(record, "metadata"), "version")


def _number(record: Mapping[str, Any]) -> str:
    return words(table(record, "versions"), "index")


def check_access(place: Place, record: Mapping[str, Any], ctx: Context) -> None:
    access = table(record, "access")
    if access.get("files") == "restricted" and ctx.credentials.find(place.api) is None:
        until = words(table(access, "embargo"), "until")
        when = f", under embargo until {shown(until)}" if until else ""
        raise AuthRequired(f"the files of {redact(place.page)} are restricted{when}. {remedy(place)}")
    if table(record, "files").get("enabled") is False:
        raise ResolveError(_no_files(place))


def listed(place: Place, key: str, ctx: Context) -> list[RemoteFile]:
    """The files of a record, or only that with a key. Repositories before InvenioRDM list them in the record."""
    try:
        entries = rows(json(f"{place.api}/files", place, ctx), "entries")
    except NotFound:
        record = json(place.api, place, ctx)
        links = table(record, "links")
        bucket = words(links, "bucket") or words(links, "files")
        entries = [{"links": {"self": f"{bucket}/{quote(words(one, 'key'))}"}, **one} for one in rows(record, "files")]
    found = [_file(entry) for entry in entries if not key or entry.get("key") == key]
    if not found:
        raise ResolveError(f"{redact(place.page)} has no file {shown(key)}" if key else _no_files(place))
    return found


def _no_files(place: Place) -> str:
    return f"{redact(place.page)} has no files, only a description"


def _file(entry: Mapping[str, Any]) -> RemoteFile:
    key, size = words(entry, "key"), whole(entry, "size")
    if not key or size is None:
        raise SourceError(f"a file is listed without a name or size: {shown(key)}")
    checksum = words(entry, "checksum").lower()
    algorithm, _, digest = checksum.partition(":")
    checks = (Checksum(algorithm, digest),) if re.fullmatch(r"(md5|sha256|sha512):[0-9a-f]+", checksum) else ()
    # The link to itself is the older repositories' for the content, and of a description in others.
    links = table(entry, "links")
    at = words(links, "content") or words(links, "self")
    return RemoteFile(
        key, size, at=at if at.startswith(("http://", "https://")) else "", version=checksum, checks=checks
    )


def citation(record: Mapping[str, Any]) -> Citation:
    """From either shape."""
    metadata = table(record, "metadata")
    names = [
        words(table(creator, "person_or_org"), "name") or words(creator, "name")
        for creator in rows(metadata, "creators")
    ]
    rights = [words(right, "id") or words(table(right, "title"), "en") for right in rows(metadata, "rights")]
    doi = words(table(table(record, "pids"), "doi"), "identifier") or words(record, "doi")
    licence = ", ".join(filter(None, rights)) or words(table(metadata, "license"), "id")
    return Citation(words(metadata, "title"), tuple(filter(None, names)), doi.lower(), licence)
