"""What people call a thing in Google Drive: the address of a file or folder as a browser shows it, or its id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit

SITE = "https://drive.google.com"
HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
_ID = r"(?P<id>[\w-]{10,})"
_PATHS = (
    re.compile(rf"/(?P<kind>file)/(?:u/\d+/)?d/{_ID}(?:/.*)?"),
    re.compile(rf"/drive/(?:u/\d+/|mobile/)?(?P<kind>folders)/{_ID}"),
    re.compile(rf"/(?P<kind>document|spreadsheets|presentation|forms|drawings)/(?:u/\d+/)?d/(?:e/)?{_ID}(?:/.*)?"),
    re.compile(rf"/drive/v3/files/{_ID}"),
)
_QUERIES = {"/open": "", "/uc": "file", "/download": "file", "/folderview": "folders", "/embeddedfolderview": "folders"}


@dataclass(frozen=True, slots=True)
class Place:
    """Attributes:
    site: who serves its web pages, without a slash at its end.
    key: the resource key, which is a part of the grant of older links; or empty.
    kind: ``file``, ``folders``, what a document is called; empty where the address does not tell.
    """

    site: str
    id: str
    key: str = ""
    kind: str = ""

    @property
    def api(self) -> str:
        """Where the API has files, without a slash at its end."""
        site = "https://www.googleapis.com" if self.site == SITE else self.site
        return f"{site}/drive/v3/files"

    @property
    def content(self) -> str:
        """Who sends what anyone may download."""
        return "https://drive.usercontent.google.com" if self.site == SITE else self.site

    @property
    def download(self) -> str:
        return f"{self.site}/uc?export=download&id={self.id}" + (f"&resourcekey={quote(self.key)}" if self.key else "")

    @property
    def text(self) -> str:
        """The one spelling of a reference to it."""
        own = "" if self.site == SITE else "gdrive:"
        path = {"file": f"file/d/{self.id}/view", "folders": f"drive/folders/{self.id}"}.get(self.kind)
        key = f"resourcekey={quote(self.key)}" if self.key else ""
        if path:
            return f"{own}{self.site}/{path}" + (f"?{key}" if key else "")
        return f"{own}{self.site}/open?id={self.id}" + (f"&{key}" if key else "")


def placed(text: str) -> Place | None:
    """What a reference means, judged by its text; None for what is no reference to Google Drive."""
    explicit = text[:7].lower() == "gdrive:"
    rest = text[7:] if explicit else text
    if explicit and (bare := re.fullmatch(_ID, rest)):
        return Place(SITE, bare["id"])
    try:
        parts = urlsplit(rest)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    except ValueError:
        return None
    host = parts.hostname or ""
    api = host == "www.googleapis.com" and parts.path.startswith("/drive/v3/files/")
    if parts.scheme not in ("http", "https") or not (explicit or api or host in HOSTS):
        return None
    site = SITE if api or host in HOSTS else f"{parts.scheme}://{parts.netloc}"
    key = next((value for name, value in asked.items() if name.lower() == "resourcekey"), "")
    path = parts.path.rstrip("/")
    for pattern in _PATHS:
        if match := pattern.fullmatch(path):
            return Place(site, match["id"], key, match.groupdict().get("kind", ""))
    if path in _QUERIES and re.fullmatch(_ID, asked.get("id", "")):
        return Place(site, asked["id"], key, _QUERIES[path])
    return None
