"""Headers that a server says are to go along when what it names is read: a grant, and nothing of the request itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gotdata.errors import SourceError
from gotdata.paths import redact, shown

_OURS = re.compile(r"(?i)range|if-.*|accept(-.*)?|user-agent|content-type")
"""What is read, and how, is ours to say: they are left out."""
_GRANTS = re.compile(
    r"(?i)authorization|private-token|job-token|x-(?!forwarded|real-|http-|original-|rewrite-)[a-z0-9-]+"
)
"""The others would forge a request (``Content-Length``), or speak for somebody (``Cookie``, ``X-Forwarded-For``)."""


def is_grant(name: str, value: object) -> bool:
    """For those who leave the others out."""
    return bool(_GRANTS.fullmatch(name)) and isinstance(value, str) and value.isascii() and value.isprintable()


def told(pairs: Iterable[tuple[str, str]], home: str) -> dict[str, str]:
    """The headers that may be sent, of those that the answer of ``home`` names.

    Raises:
        SourceError: one is no header, or none that gives leave to read.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or not (value.isascii() and value.isprintable()):
            raise SourceError(f"{redact(home)}: the headers to be sent are none")
        if _OURS.fullmatch(name):
            continue
        if not _GRANTS.fullmatch(name):
            raise SourceError(
                f"{redact(home)} would have the header {shown(name)[:80]} sent, which is no grant: refused"
            )
        found[name.title()] = value
    return found
