"""What the agency of a DOI knows of it, told to whoever can't be given its files: most often it is the paper's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

from gotdata.context import Context
from gotdata.errors import NotFound, ResolveError, SourceError
from gotdata.paths import redact, shown
from gotdata.sources.api import rows, table, words

_ACCEPT = {"Accept": "application/vnd.datacite.datacite+json, application/vnd.citationstyles.csl+json;q=0.9"}
"""DataCite has the first, every agency the second."""
_DATA = ("issupplementedby", "haspart", "isderivedfrom", "isbasedon", "documents", "describes")
"""Relations of a work to its data, in either spelling (DataCite: IsSupplementedBy; Crossref: is-supplemented-by)."""
_NAMED = 5


def refusal(doi: str, page: str, resolver: str, ctx: Context) -> str:
    """Why a DOI can't be a reference, and what may be one in its place."""
    about = f"doi:{shown(doi)}"
    record: object = None
    with suppress(SourceError, NotFound, ResolveError):
        record = ctx.http.json(f"{resolver}/{quote(doi, safe='/')}", _ACCEPT)
    title = _title(record)
    by = _agency(doi, resolver, ctx)
    if title or by:
        about += f" ({', '.join(filter(None, (f'“{shown(title[:100])}”' if title else '', by)))})"
    data = list(dict.fromkeys(_related(record)))
    if data:
        more = f" and {len(data) - _NAMED} more" if len(data) > _NAMED else ""
        cure = f"its data may be {', '.join(data[:_NAMED])}{more}: name one of these instead"
    else:
        cure = "give the DOI of the data, or the URLs of its files, instead"
    return f"{about} leads to {redact(page)}, {_why(page, ctx)}; {cure}"


def _why(page: str, ctx: Context) -> str:
    try:
        ctx.http.probe(page)
    except (SourceError, NotFound) as error:
        return f"which can't be read ({error})"
    return "a page that names no files for programs"


def _agency(doi: str, resolver: str, ctx: Context) -> str:
    """Who registered it: Crossref has papers, DataCite data."""
    with suppress(SourceError, NotFound, ResolveError):
        said = ctx.http.json(f"{resolver}/doiRA/{quote(doi, safe='/')}")
        return shown(next((words(one, "RA") for one in rows(said)), ""))
    return ""


def _title(record: object) -> str:
    titles = [words(one, "title") for one in rows(record, "titles")]
    said = table(record).get("title")
    first = said[0] if isinstance(said, list) and said else said
    return next(filter(None, titles), "") or (first if isinstance(first, str) else "")


def _related(record: object) -> Iterator[str]:
    for one in rows(record, "relatedIdentifiers"):
        if _is_data(words(one, "relationType")):
            yield from _named(words(one, "relatedIdentifierType"), words(one, "relatedIdentifier"))
    relation = table(record, "relation")
    for kind in relation:
        if _is_data(str(kind)):
            for one in rows(relation, kind):
                yield from _named(words(one, "id-type"), words(one, "id"))


def _is_data(relation: str) -> bool:
    return relation.replace("-", "").lower() in _DATA


def _named(kind: str, id: str) -> Iterator[str]:
    if kind.lower() == "doi" and id:
        bare = id.lower().removeprefix("https://doi.org/").removeprefix("doi:")
        yield f"doi:{shown(bare)}"
    elif kind.lower() in ("url", "uri") and id.lower().startswith(("http://", "https://")):
        yield redact(id)
