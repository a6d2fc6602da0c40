"""An answer that was read whole: a listing, a record, a page in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gotdata.errors import SourceError
from gotdata.paths import redact

HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class Page:
    """A text that was read whole. ``url`` is where it came from in the end."""

    url: str
    kind: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


def parsed(page: Page) -> Any:
    """The JSON of an answer.

    Raises:
        SourceError: it is something else; what it is, is told.
    """
    if page.kind in HTML:
        title = re.search(r"(?is)<title[^>]*>\s*(.{1,80}?)\s*</title", page.text[:20_000])
        called = f" called '{redact(title[1])}'" if title else ""
        raise SourceError(
            f"{redact(page.url)} answered a web page{called} where JSON was due: a login, a wall against programs, or "
            "no such API there"
        )
    try:
        return decoded(page.text)
    except (ValueError, RecursionError):
        raise SourceError(f"{redact(page.url)} answered {page.kind or 'something'} that is not JSON") from None


def decoded(text: str) -> Any:
    """The JSON of a text that a stranger wrote.

    Raises:
        ValueError, RecursionError: it is none, or has half a character (``\\ud800``), which no name nor URL can hold.
    """
    found = json.loads(text)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        # Bytes that are not UTF-8 are surrogates as well, and may stay: here the escaped ones are judged.
        plain = json.loads(text.encode("utf-8", "replace"))
        json.dumps(plain, ensure_ascii=False).encode("utf-8")
    return found
