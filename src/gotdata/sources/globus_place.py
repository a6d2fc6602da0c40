"""What people call a thing in Globus: a collection and a path in it, or the HTTPS address of a file in one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

SITE = "https://app.globus.org"
HOSTS = ("app.globus.org", "www.globus.org", "globus.org")
HTTPS = (".data.globus.org", ".dn.glob.us")
"""The hosts by which collections are read over HTTPS."""
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True, slots=True)
class Place:
    """Attributes:
    site: who serves the web app, without a slash at its end.
    collection: its UUID; empty where only the address of a file is known.
    path: in the collection, absolute, decoded; without a slash at its end but for the root.
    """

    site: str
    collection: str
    path: str

    @property
    def api(self) -> str:
        """The Transfer API."""
        return f"{'https://transfer.api.globus.org' if self.site == SITE else self.site}/v0.10"

    @property
    def text(self) -> str:
        """The one spelling of a reference to it."""
        path = quote(self.path, safe="/~", errors="surrogateescape")
        if self.site == SITE:
            return f"globus://{self.collection}{path}"
        return f"globus:{self.site}/file-manager?{urlencode({'origin_id': self.collection, 'origin_path': self.path})}"


def placed(text: str) -> Place | None:
    """What a reference means, judged by its text; None for what names no collection."""
    if match := re.fullmatch(rf"(?i)globus:(?://)?({_UUID})(/.*)?", text):
        return _place(SITE, match[1], unquote(match[2] or "/", errors="surrogateescape"))
    explicit = text[:7].lower() == "globus:"
    try:
        parts = urlsplit(text[7:] if explicit else text)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    except ValueError:
        return None
    known = (parts.hostname or "") in HOSTS
    if parts.scheme not in ("http", "https") or not (explicit or known):
        return None
    site = SITE if known else f"{parts.scheme}://{parts.netloc}"
    collection = asked.get("origin_id", "")
    if match := re.fullmatch(rf"(?i)/file-manager/collections/({_UUID})(?:/.*)?", parts.path):
        collection = match[1]
    if not re.fullmatch(_UUID, collection.lower()):
        return None
    return _place(site, collection, asked.get("origin_path", asked.get("path", "/")))


def address(text: str) -> str:
    """The HTTPS address of a file in a collection, where a reference is one; else empty. Such an address with another
    host is named ``globus:https://HOST/PATH``."""
    explicit = text[:7].lower() == "globus:"
    rest = text[7:] if explicit else text
    try:
        parts = urlsplit(rest)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.hostname in HOSTS:
        return ""
    known = parts.scheme == "https" and parts.hostname.endswith(HTTPS)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path or '/'}" if explicit or known else ""


def _place(site: str, collection: str, path: str) -> Place:
    return Place(site, collection.lower(), f"/{path.strip('/')}")
