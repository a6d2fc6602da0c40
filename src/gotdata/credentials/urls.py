"""URLs as they will be sent, and the prefixes to which credentials are bound."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from gotdata.errors import SourceError
from gotdata.paths import redact

PORTS = {"http": 80, "https": 443}


def parse(url: str) -> Url:
    """A URL as it will be sent: one parser for what is judged and what is asked, so that they can't differ.

    Raises:
        SourceError: it is none.
    """
    try:
        urlsplit(url)  # what the standard library can't read would fail later, and elsewhere
        return parse_url(url)
    except (LocationParseError, ValueError):
        raise SourceError(f"{redact(url)} is no URL") from None


def site(url: str) -> str:
    """The web origin of a URL (RFC 6454): scheme, host and port."""
    parsed = parse(url)
    scheme = parsed.scheme or ""
    return f"{scheme}://{parsed.host or ''}:{parsed.port or PORTS.get(scheme, 0)}"


def place(url: str) -> str:
    """A URL in the one spelling in which prefixes are compared, without its query; empty where a part of its path could
    be read as ``..``, which may lead anywhere on that host."""
    path = unquote(parse(url).path or "/")
    if {"..", "."} & set(re.split(r"[/\\;]", path)):  # what follows a ; is no part of a name to some servers
        return ""
    return site(url) + path


def below(place: str, prefix: str) -> bool:
    """At or below, on the boundary of a path's component."""
    if not place or not prefix:
        return False
    return place == prefix or place.startswith(prefix if prefix.endswith("/") else prefix + "/")


def spelt(prefix: str) -> str:
    """A prefix as people write it: ``https://host/folder/``."""
    parsed = parse(prefix)
    port = None if parsed.port == PORTS.get(parsed.scheme or "") else parsed.port
    return str(parsed._replace(port=port, path=parsed.path or "/", query=None, fragment=None, auth=None).url)
