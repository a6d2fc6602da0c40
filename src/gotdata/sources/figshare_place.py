"""What an address of a figshare names: an article in a version, a collection, a file. Institutions have figshares on
hosts of their own, all behind one API; 4TU.ResearchData speaks that API itself, by software called djehuty."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from gotdata.credentials import parse
from gotdata.errors import SourceError

API = "https://api.figshare.com/v2"
_OTHERS = {"data.4tu.nl": "https://data.4tu.nl/v2"}
_TYPES = (
    "dataset|figure|media|poster|journal_contribution|presentation|thesis|software|online_resource|preprint|book|"
    "conference_contribution|chapter|peer_review|educational_resource|report|standard|composition|funding|"
    "physical_object|data_management_plan|workflow|monograph|performance|event|service|model|fileset|code|paper"
)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TITLE = rf"(?:(?:{_TYPES})/[^/]*/|[^/]*[^/\d][^/]*/)?"
"""A title may be a number, but then a type goes before it."""
PAGES = (
    rf"/articles/{_TITLE}(?P<article>\d+)(?:/(?P<version>\d+))?",
    rf"/datasets/(?P<article>{_UUID})(?:/(?P<version>\d+))?",
    r"/collections/(?:[^/]*[^/\d][^/]*/)?(?P<collection>\d+)(?:/(?P<version>\d+))?",
)
"""The pages that also institutions have."""
_FORMS = (
    *PAGES,
    rf"/v2/articles/(?P<article>\d+|{_UUID})(?:/versions/(?P<version>\d+))?(?:/files)?",
    r"/v2/collections/(?P<collection>\d+)(?:/versions/(?P<version>\d+))?(?:/articles)?",
    r"/ndownloader/articles/(?P<article>\d+)(?:/versions/(?P<version>\d+))?",
    r"/(?:ndownloader/)?files/(?P<file>\d+)",
    r"/v2/file/download/(?P<file>\d+)",
    rf"/file/(?P<article>{_UUID})/(?P<file>{_UUID})",
    r"/s/(?P<private>\w+)",
)
_HOST = re.compile(r"(?:[\w-]+\.)*figshare\.com")
_DOI = re.compile(rf"(?:doi:)?(10\.\d{{4,9}}/(?:.*?figshare\.(c\.)?(\d+)|({_UUID})|\S+?)(?:\.v(\d+))?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Attributes:
    api: the address of the API, without a slash at its end.
    version: a number, or empty for the newest.
    file: the only one that is wanted; without an article it stands for itself.
    private: it is a private link, whose address is the secret.
    doi: where it does not hold the article's id.
    """

    api: str
    article: str = ""
    collection: str = ""
    version: str = ""
    file: str = ""
    private: str = ""
    doi: str = ""

    @property
    def home(self) -> str:
        return f"{self.api.rpartition('/v2')[0]}/"


def known(url: str) -> bool:
    """Whether it is an address of figshare itself, or of another host that is known, which names something."""
    return not url.startswith("figshare:") and place(url) is not None


def place(url: str) -> Place | None:
    """What a reference names; None where it names nothing. After ``figshare:`` any host may stand, an id or a DOI."""
    text, explicit = url.removeprefix("figshare:"), url.startswith("figshare:")
    if explicit and "://" not in text:
        return _named(text)
    try:
        parsed = parse(text)
    except SourceError:
        return None
    host = parsed.host or ""
    if parsed.scheme not in ("http", "https") or not (explicit or _HOST.fullmatch(host) or host in _OTHERS):
        return None
    path = re.sub(r"/{2,}", "/", unquote(parsed.path or "")).rstrip("/")
    api = _OTHERS.get(host, API)
    if explicit and host not in _OTHERS and not _HOST.fullmatch(host) and re.match(r"/(v2|file)/", path):
        api = f"{parsed.scheme}://{parsed.netloc}/v2"
    for form in _FORMS:
        if match := re.fullmatch(form, path, re.IGNORECASE):
            found = {name: (value or "").lower() for name, value in match.groupdict().items()}
            file = found.get("file") or next(iter(parse_qs(parsed.query or "").get("file", [])), "")
            if file and not re.fullmatch(rf"\d+|{_UUID}", file):
                return None
            article, collection = found.get("article", ""), found.get("collection", "")
            return Place(api, article, collection, found.get("version", ""), file, found.get("private", ""))
    return None


def _named(text: str) -> Place | None:
    if match := re.fullmatch(r"(\d+)(?:[/.]v?(\d+))?", text):
        return Place(API, article=match[1], version=match[2] or "")
    match = _DOI.fullmatch(unquote(text))
    if not match:
        return None
    doi, collection, id, uuid, version = match[1], match[2], match[3], match[4], match[5] or ""
    if uuid:
        return Place(_OTHERS["data.4tu.nl"], article=uuid.lower(), version=version)
    if collection:
        return Place(API, collection=id, version=version)
    return Place(API, article=id or "", version=version, doi="" if id else doi.lower())
