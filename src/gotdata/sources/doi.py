"""DOIs: what the handle system says of one leads to the repository that holds the data."""

from __future__ import annotations

import re
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import NotFound, ResolveError, SourceError
from gotdata.model import Ref
from gotdata.paths import redact, shown
from gotdata.sources import landing
from gotdata.sources.base import Powers

RESOLVER = "https://doi.org"
_DOI = re.compile(r"10\.\d{4,9}(?:\.\d+)*/\S+")
_WEB = re.compile(r"(?i)https?://(?:(?:dx|www)\.)?doi\.org/(10\..*)")


class Doi:
    """Resolves to a Ref only: it has no files. The option ``resolver`` names another server of the handle API."""

    name = "doi"
    schemes = ("doi",)
    powers = Powers()

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("doi:") or bool(_WEB.fullmatch(ref.url) or _DOI.fullmatch(ref.url))

    def resolve(self, ref: Ref, ctx: Context) -> Ref:
        doi = normal(ref.url)
        page = _landing(doi, _resolver(ref), ctx)
        found = landing.recognise(page, ctx)
        if found is None:
            raise ResolveError(
                f"doi:{shown(doi)} leads to {redact(page)}, a page that names no files for programs: "
                "give the URLs of its files instead"
            )
        options = tuple(option for option in ref.options if option[0] != "resolver")
        return Ref(found.url, options)

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


def _landing(doi: str, resolver: str, ctx: Context) -> str:
    """The first URL that the handle API (https://www.doi.org/doi-handbook, "REST API") has for a DOI. The pages that
    https://doi.org/DOI redirects to stand behind walls against robots."""
    try:
        answer = ctx.http.json(f"{resolver}/api/handles/{quote(doi, safe='/')}?type=URL")
    except NotFound as error:
        raise ResolveError(f"there is no DOI {shown(doi)}: check its spelling") from error
    values: list[Any] = answer.get("values", []) if isinstance(answer, dict) else []
    found = [value for value in values if isinstance(value, dict) and isinstance(value.get("index"), int)]
    urls = map(_url, sorted(found, key=lambda value: value["index"]))
    landing = next((url for url in urls if parse(url).scheme in ("http", "https")), "")
    if not landing:
        raise ResolveError(f"doi:{shown(doi)} is registered without a web address")
    return landing


def _url(value: dict[str, Any]) -> str:
    data = value.get("data")
    return str(data.get("value", "")) if value.get("type") == "URL" and isinstance(data, dict) else ""
