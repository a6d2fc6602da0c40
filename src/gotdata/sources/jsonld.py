"""JSON-LD as documents about data have it: schema.org's words with or without a prefix, one value or a list of them.
No vocabulary is fetched: what a document means must not hang on a third server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gotdata.model import Checksum, Citation

_PREFIXES = (
    "",
    "schema:",
    "sc:",
    "cr:",
    "http://schema.org/",
    "https://schema.org/",
    "http://mlcommons.org/croissant/",
)
_LENGTHS = {"sha256": 64, "sha512": 128, "sha384": 96, "sha1": 40, "md5": 32}
_DOI = re.compile(r"(?i)(?:doi:\s*|https?://(?:dx\.|www\.)?doi\.org/)?(10\.\d{4,9}(?:\.\d+)*/\S+)")
DEPTH = 30
"""Levels of nodes in which a dataset is looked for."""


def values(of: object, name: str) -> list[Any]:
    """All that a node says under a name."""
    if not isinstance(of, dict):
        return []
    found = next((of[prefix + name] for prefix in _PREFIXES if prefix + name in of), None)
    return found if isinstance(found, list) else [] if found is None else [found]


def text(of: object, name: str) -> str:
    """The first plain word under a name; of a node there, its value, name or id."""
    return next(filter(None, map(word, values(of, name))), "")


def word(value: object, depth: int = 5) -> str:
    """A value as a plain word: of a node its value, name or id, of a list its first."""
    if isinstance(value, dict) and depth:
        keys = ["@value", "value", "name", "@id", "url"]
        # Else it may be one text in several languages.
        keys += [key for key in value if re.fullmatch(r"[a-z]{2,3}(-\w+)?", key) and key not in keys]
        return next(filter(None, (word(value.get(key), depth - 1) for key in keys)), "")
    if isinstance(value, list) and depth:
        return next(filter(None, (word(one, depth - 1) for one in value)), "")
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def is_a(of: object, *kinds: str) -> bool:
    found = of.get("@type") if isinstance(of, dict) else None
    said = found if isinstance(found, list) else [found]
    return any(isinstance(one, str) and re.split(r"[:/#]", one)[-1] in kinds for one in said)


def nodes(of: object, depth: int = DEPTH) -> Iterator[Mapping[str, Any]]:
    """Every node of a document, outer ones first."""
    if depth and isinstance(of, dict):
        yield of
        for value in of.values():
            yield from nodes(value, depth - 1)
    elif depth and isinstance(of, list):
        for value in of:
            yield from nodes(value, depth - 1)


def size(of: object) -> int | None:
    """``contentSize`` where it is exact: a number, or one with the unit B. "1.2 MB" was rounded."""
    match = re.fullmatch(r"(\d{1,18})(?:\s*(?:b|bytes?))?", text(of, "contentSize"), re.I)
    return int(match[1]) if match else None


def checks(of: object) -> tuple[Checksum, ...]:
    """The checksums that can be: people write URLs and other placeholders where one is due."""
    found = ((name, text(of, name).lower().removeprefix(f"{name}:")) for name in _LENGTHS)
    return tuple(Checksum(name, hex) for name, hex in found if is_digest(name, hex))


def is_digest(algorithm: str, hex: str) -> bool:
    """Whether this can be a digest of an algorithm: it has the right length, and not one digit all over."""
    return bool(re.fullmatch(rf"[0-9a-f]{{{_LENGTHS.get(algorithm, 0)}}}", hex)) and len(set(hex)) > 1


def citation(of: object) -> Citation:
    creators = [name for one in values(of, "creator") or values(of, "author") if (name := word(one))]
    named = (_DOI.fullmatch(word(one)) for key in ("identifier", "@id", "url", "sameAs") for one in values(of, key))
    doi = next((found[1].lower() for found in named if found), "")
    return Citation(text(of, "name"), tuple(creators), doi, text(of, "license"))
