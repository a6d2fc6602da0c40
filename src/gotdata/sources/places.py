"""Where a list leads that is not beside it. The servers stand in its pin, as options of the reference: there policies
judge them, and nothing else is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urljoin

from gotdata.errors import SourceError
from gotdata.model import Ref
from gotdata.paths import redact
from gotdata.sources.api import below

PLACES = 256
"""Servers that one document may lead to."""
_PLACE = "place-"
_SITE = re.compile(r"(?i)[a-z][a-z0-9+.-]*://[^/?#]+")


def stamped(ref: Ref, home: str, urls: Iterable[str]) -> Ref:
    """A reference that names the servers of these URLs, and none that its writer put there.

    Raises:
        SourceError: they are too many.
    """
    beside = urljoin(home, ".")
    found = {match[0] + "/" for url in urls if (match := _SITE.match(url)) and not below(url, beside)}
    if len(found) > PLACES:
        raise SourceError(f"{redact(home)} leads to {len(found)} servers, above {PLACES}: name what you need of it")
    options = {name: value for name, value in ref.options if not name.startswith(_PLACE)}
    options |= {f"{_PLACE}{number}": place for number, place in enumerate(sorted(found), 1)}
    return replace(ref, options=tuple(sorted(options.items())))


def holds(ref: Ref, home: str, url: str) -> bool:
    """Whether a URL lies beside a list, or in a place that its reference names."""
    places = [value for name, value in ref.options if name.startswith(_PLACE)]
    return any(below(url, place) for place in (urljoin(home, "."), *places))
