"""The API of a CKAN portal: what its addresses mean, what it is asked, and what its refusals say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import AccessDenied, AuthRequired, GotdataError, NotFound, ResolveError, SourceError
from gotdata.model import Citation
from gotdata.paths import redact, shown
from gotdata.sources.api import naming, rows, table, words
from gotdata.sources.http_answer import Refusal

HOSTS = frozenset(
    {
        "catalog.data.gov",
        "catalogue.data.govt.nz",
        "ckan.publishing.service.gov.uk",
        "data.gov.au",
        "data.gov.ie",
        "data.humdata.org",
        "data.nhm.ac.uk",
        "data.stadt-zuerich.ch",
        "demo.ckan.org",
        "energydata.info",
        "open.canada.ca",
    }
)
"""Portals known by their names. Others are asked what they are, or named ``ckan:https://host/dataset/NAME``."""
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PAGE = re.compile(
    r"(?P<root>.*?)/dataset/(?:(?:activity|groups|followers|edit)/)?(?P<dataset>[^/]+)"
    r"(?:/resource/(?P<resource>[\w-]+))?(?:/.*)?"
)
_ACTION = re.compile(r"(?P<root>.*?)/api/(?:\d/)?action/(?P<action>package_show|dataset_show|resource_show)/?")
_OURS = re.compile(rf".*/dataset/[^/]+/resource/{_UUID}(?:/view/.*)?/?")


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset of a portal, or one resource of it. ``root`` is the portal's address, without a slash at its end. A
    resource may be named without its dataset."""

    root: str
    dataset: str
    resource: str = ""

    @property
    def page(self) -> str:
        page = f"{self.root}/dataset/{quote(self.dataset, safe='')}"
        return f"{page}/resource/{self.resource}" if self.resource else page


def is_known(url: str) -> bool:
    """Whether the host is a portal that is known by its name."""
    host = urlsplit(url).hostname or ""
    return host.removeprefix("www.") in HOSTS


def is_claimed(url: str) -> bool:
    """Whether a URL can be nothing but CKAN's, judged by its text. A download on a host that is not known is a file
    like any other."""
    if place_of(url) is None:
        return False
    path = urlsplit(url).path
    return is_known(url) or bool(_ACTION.fullmatch(path) or _OURS.fullmatch(path))


def place_of(url: str) -> Place | None:
    """What a page, or a call of the API, is about; None where it is neither."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    site = f"{parts.scheme.lower()}://{parts.netloc.lower()}"
    if match := _PAGE.fullmatch(parts.path.rstrip("/")):
        return Place(site + match["root"], unquote(match["dataset"]), match["resource"] or "")
    match = _ACTION.fullmatch(parts.path)
    id = parse_qs(parts.query).get("id", [""])[0]
    if not match or not id:
        return None
    return Place(site + match["root"], *(("", id) if match["action"] == "resource_show" else (id,)))


def ask(place: Place, action: str, id: str, ctx: Context) -> Mapping[str, Any]:
    """What the API says of a dataset or resource."""
    url = f"{place.root}/api/3/action/{action}?id={quote(id, safe='')}"
    try:
        with naming("CKAN"):
            answer = ctx.http.json(url, explain=explain)
            found = table(answer, "result")
            # The status may be 200 for a failure.
            if table(answer).get("success") is not True or not found:
                raise _told(table(answer, "error"), url, ctx.credentials.find(url) is not None) or SourceError(
                    f"{redact(url)} is not what CKAN answers"
                )
    except NotFound as error:
        raise ResolveError(f"{error}; there is no such dataset, it is private, or this is no CKAN portal") from error
    return found


def package_of(place: Place, ctx: Context) -> Mapping[str, Any]:
    """What the API says of a dataset, which is published."""
    package = ask(place, "package_show", place.dataset, ctx)
    if not re.fullmatch(r"[\w-]+", words(package, "id")):
        raise SourceError(f"CKAN: {redact(place.page)} is answered with something that is no dataset")
    if (state := words(package, "state")) not in ("active", ""):
        raise ResolveError(f"CKAN: {redact(place.page)} is {shown(state)}: only published datasets are read")
    return package


def explain(refusal: Refusal) -> GotdataError | None:
    """As ``http_answer.Explain``."""
    try:
        answer = json.loads(refusal.text)
    except ValueError:
        return None
    return _told(table(answer, "error"), refusal.url, refusal.credential)


def _told(error: Mapping[str, Any], url: str, credential: bool) -> GotdataError | None:
    """What an error of the API means (https://docs.ckan.org/en/2.11/api/)."""
    kind, text = words(error, "__type"), shown(words(error, "message"))
    if kind == "Not Found Error":
        return NotFound(f"CKAN: {redact(url)}: {text or 'not found'}")
    if kind != "Authorization Error":
        return SourceError(f"CKAN: {redact(url)}: {shown(kind)}: {text}") if kind else None
    root = url.partition("/api/")[0]
    remedy = f"`gotdata login {redact(root)}/` stores an API token; CKAN wants it in the header Authorization, without "
    if credential:
        return AccessDenied(f"CKAN: {redact(url)}: your token does not give access: {text}; {remedy}the word Bearer")
    return AuthRequired(f"CKAN: {redact(url)}: {text or 'not authorized'}; if you may read it, {remedy}the word Bearer")


def citation_of(package: Mapping[str, Any]) -> Citation:
    extras = {words(extra, "key").lower(): words(extra, "value") for extra in rows(package, "extras")}
    doi = re.sub(r"(?i)^(https?://(dx\.)?doi\.org/|doi:)", "", words(package, "doi") or extras.get("doi", "")).lower()
    creators = [name.strip() for name in words(package, "author").split(";")]
    return Citation(
        words(package, "title") or words(package, "name"),
        tuple(filter(None, creators)),
        doi if doi.startswith("10.") else "",
        words(package, "license_id") or words(package, "license_title"),
    )
