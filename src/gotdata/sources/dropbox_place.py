"""What people call a thing in Dropbox: the shared link of a file or folder, or a path of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

SITE = "https://www.dropbox.com"
HOSTS = ("dropbox.com", "www.dropbox.com", "dl.dropbox.com", "dl.dropboxusercontent.com")
LASTS_HOURS = ".dl.dropboxusercontent.com"
"""The hosts that downloads are redirected to."""
_FILE = re.compile(r"/(?:s/[\w-]+|scl/fi/[\w-]+)(?:/[^/]+)?")
_FOLDER = re.compile(r"/(?:sh/[\w-]+|scl/fo/[\w-]+)(?:/.+)?")


@dataclass(frozen=True, slots=True)
class Place:
    """Attributes:
    site: who serves its web pages, without a slash at its end.
    link: a shared link, with its ``rlkey``, which is the grant; empty for one's own files.
    path: of one's own file or folder, or of a file in a shared folder; empty for all of it.
    file: it is the link of one file.
    """

    site: str
    link: str = ""
    path: str = ""
    file: bool = False

    @property
    def api(self) -> str:
        return "https://api.dropboxapi.com" if self.site == SITE else self.site

    @property
    def content(self) -> str:
        return "https://content.dropboxapi.com" if self.site == SITE else self.site

    @property
    def download(self) -> str:
        """Of the link of a file. It redirects to a URL that lasts for hours."""
        return f"{self.link}{'&' if '?' in self.link else '?'}dl=1"

    @property
    def text(self) -> str:
        """The one spelling of a reference to it."""
        own = "" if self.site == SITE else "dropbox:"
        if not self.link:
            return f"dropbox:{self.site}/home{quote(self.path)}" if own else f"dropbox:{quote(self.path) or '/'}"
        preview = f"{'&' if '?' in self.link else '?'}preview={quote(self.path[1:])}" if self.path else ""
        return f"{own}{self.link}{preview}"


def placed(text: str) -> Place | None:
    """What a reference means, judged by its text; None for what is no reference to Dropbox."""
    explicit = text[:8].lower() == "dropbox:"
    rest = text[8:] if explicit else text
    if explicit and not re.match("(?i)https?://", rest):
        return _own(SITE, rest.partition("?")[0])
    try:
        parts = urlsplit(rest)
        asked = parse_qs(parts.query)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not (explicit or (parts.hostname or "") in HOSTS):
        return None
    site = SITE if (parts.hostname or "") in HOSTS else f"{parts.scheme}://{parts.netloc}"
    preview = asked.get("preview", [""])[0]
    path = parts.path.rstrip("/")
    if path == "/home" or path.startswith("/home/"):
        return _own(site, path[5:] + (f"/{quote(preview)}" if preview else ""))
    file = bool(_FILE.fullmatch(path))
    if not file and not _FOLDER.fullmatch(path):
        return None
    key = asked.get("rlkey", [""])[0]
    link = f"{site}{path}" + (f"?rlkey={quote(key, safe='')}" if key else "")
    return Place(site, link, f"/{preview}" if preview and not file else "", file)


def _own(site: str, path: str) -> Place:
    """Of slashes, one leads, none ends."""
    decoded = unquote(path).strip("/")
    return Place(site, path=f"/{decoded}" if decoded else "")
