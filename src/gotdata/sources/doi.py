"""DOIs: what the handle system says of one leads to the repository that holds the data."""

from __future__ import annotations

import re
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import NotFound, ResolveError, SourceError
from gotdata.model import Ref
from gotdata.paths import redact, shown
from gotdata.sources import doi_record, landing, schemaorg
from gotdata.sources.api import naming, rows, table, words
from gotdata.sources.base import Powers

RESOLVER = "https://doi.org"
ALIASES = 3
"""Names that one DOI is followed through."""
_DOI = re.compile(r"10\.\d{4,9}(?:\.\d+)*/\S+")
_WEB = re.compile(r"(?i)https?://(?:(?:dx|www)\.)?doi\.org/(?:doi:)?(10\..*)")


class Doi:
    """Resolves to a Ref only: it has no files. The option ``resolver`` names another server of the handle API."""

    name = "doi"
    schemes = ("doi",)
    powers = Powers()

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("doi:") or bool(_WEB.fullmatch(ref.url) or _DOI.fullmatch(ref.url))

    def resolve(self, ref: Ref, ctx: Context) -> Ref:
        doi, resolver = normal(ref.url), _resolver(ref)
        page = _landing(doi, resolver, ctx)
        # What a repository deposited with its agency comes last: a page knows more of its own files.
        found = landing.recognise(page, ctx) or schemaorg.recognise(_at(resolver, doi), ctx)
        if found is None:
            raise ResolveError(doi_record.refusal(doi, page, resolver, ctx))
        options = {name: value for name, value in ref.options if name != "resolver"}
        return Ref(found.url, tuple(sorted({**dict(found.options), **options}.items())))

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise SourceError("a DOI is never a pin: the lock was edited; make it anew by `gotdata lock`")

    files = read = url = realm = local = _refuse


def normal(text: str) -> str:
    """A DOI in lower case (they ignore case), decoded, without what was before its ``10.``.

    Raises:
        ResolveError: it is none.
    """
    web = _WEB.fullmatch(text)
    bare = web[1].partition("?")[0].partition("#")[0] if web else re.sub(r"(?i)^doi:\s*", "", text)
    doi = unquote(bare).strip().lower()
    if not _DOI.fullmatch(doi) or not doi.isprintable():
        raise ResolveError(f"{redact(text)} is no DOI: doi:10.NNNN/SOMETHING is due")
    return doi


def _resolver(ref: Ref) -> str:
    url = ref.option("resolver", RESOLVER).rstrip("/")
    parsed = parse(url)
    if parsed.scheme != "https" and not (
        parsed.scheme == "http" and parsed.host in ("127.0.0.1", "localhost", "[::1]")
    ):
        raise ResolveError(f"the resolver {redact(url)} must be https")
    return url


def _at(resolver: str, doi: str) -> str:
    return f"{resolver}/{quote(doi, safe='/')}"


def _landing(doi: str, resolver: str, ctx: Context) -> str:
    """The first URL that the handle API (https://www.doi.org/doi-handbook, "REST API") has for a DOI. The pages that
    https://doi.org/DOI redirects to stand behind walls against robots."""
    name = doi
    for _ in range(ALIASES):
        if url := _first(map(_url, _values(name, "?type=URL", resolver, ctx))):
            return url
        # Seldom: places to choose from, or another name.
        values = _values(name, "", resolver, ctx)
        if url := _first(place for value in values for place in _locations(value)):
            return url
        alias = next(filter(None, (_said(value, "HS_ALIAS") for value in values)), "")
        if not alias:
            break
        name = alias.lower()
    raise ResolveError(f"doi:{shown(doi)} is registered without a web address")


def _values(doi: str, query: str, resolver: str, ctx: Context) -> list[dict[str, Any]]:
    """What a handle has, in the order of its indices, as the API does not sort."""
    try:
        with naming("doi"):
            answer = ctx.http.json(f"{resolver}/api/handles/{quote(doi, safe='/')}{query}")
    except NotFound as error:
        tests = "; 10.5072 is for tests, and leads nowhere" if doi.startswith("10.5072/") else ""
        raise ResolveError(f"there is no DOI {shown(doi)}: check its spelling{tests}") from error
    found = [value for value in rows(answer, "values") if isinstance(value.get("index"), int)]
    return sorted(found, key=lambda value: int(value["index"]))


def _first(urls: Any) -> str:
    for url in urls:
        with suppress(SourceError):
            if url and parse(url).scheme in ("http", "https"):
                return str(url)
    return ""


def _url(value: dict[str, Any]) -> str:
    return _said(value, "URL")


def _said(value: dict[str, Any], kind: str) -> str:
    return words(table(value, "data"), "value") if str(value.get("type", "")).upper() == kind else ""


def _locations(value: dict[str, Any]) -> list[str]:
    """The places in a value of the type 10320/loc (DOI Handbook, "Multiple resolution"), the heaviest first; those for
    machines that negotiate are none."""
    found: list[tuple[float, str]] = []

    class Places(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            said = {name: text or "" for name, text in attrs}
            if tag == "location" and said.get("href") and said.get("http_role") != "conneg":
                weight = said.get("weight", "1")
                found.append((float(weight) if re.fullmatch(r"\d{1,3}(\.\d{1,3})?", weight) else 0.0, said["href"]))

    Places().feed(_said(value, "10320/LOC"))
    return [href for _, href in sorted(found, key=lambda place: -place[0])]
