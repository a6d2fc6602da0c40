"""The one list of an entry's keys: how the value of each is read, and what an editor is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gotdata.errors import ManifestError
from gotdata.manifest.files import check_pattern
from gotdata.manifest.reading import Reading, meant
from gotdata.manifest.reference import check_option, reference
from gotdata.manifest.text import Mapping, Node
from gotdata.model import Ref

VERSION = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
DELIVERIES = ("auto", "mount", "copy", "bake")


def _delivery(reading: Reading, node: Node) -> str:
    return reading.choice(node, DELIVERIES)


def _truth(reading: Reading, node: Node) -> bool:
    return reading.choice(node, ("true", "false")) == "true"


def _version(reading: Reading, node: Node) -> str:
    check_option("version", reading.text(node))
    return reading.text(node)


def _patterns(reading: Reading, node: Node) -> tuple[str, ...]:
    found: list[str] = []
    for item in reading.items(node):
        with reading.at(item):
            check_pattern(reading.text(item))
            found.append(reading.text(item))
    return tuple(found)


def _refs(reading: Reading, node: Node) -> tuple[Ref, ...]:
    found: list[Ref] = []
    for item in reading.items(node):
        with reading.at(item):
            ref = _mapped(reading, item) if isinstance(item, Mapping) else reference(reading.text(item))
            if ref in found:
                raise ManifestError(f"{ref} stands twice")
            if ref:
                found.append(ref)
    return tuple(found)


def _mapped(reading: Reading, node: Mapping) -> Ref | None:
    """A reference with options. What they may be, its source says."""
    options: dict[str, str] = {}
    url: Node | None = None
    for key, value in node.items:
        with reading.at(value):
            if key.text == "url" and url is None:
                url = value
            elif key.text in {"url", *options}:
                reading.wrong(key, f"'{key.text}' stands twice")
            elif not key.text.startswith("x-"):
                check_option(key.text, reading.text(value))
                options[key.text] = reading.text(value)
    if url is None:
        wrote = next((key.text for key, _ in node.items), "")
        raise ManifestError(f"a mapping below 'from' needs 'url:'{meant(wrote, {'url': KEYS['from'].mistaken})}")
    with reading.at(url):
        return reference(reading.text(url), options)
    return None


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an entry.

    Attributes:
        field: of Dataset.
        read: from the value's node; raises ManifestError.
        schema: what an editor is told.
        mistaken: words that people write for it.
    """

    field: str
    read: Callable[[Reading, Node], Any]
    schema: dict[str, Any]
    mistaken: tuple[str, ...] = ()


_TEXT = {"type": "string", "minLength": 1}
_WRITTEN = {"type": ["string", "number", "boolean"]}
"""What is read as it is written, whatever YAML takes it for."""
_OTHERS = {"^x-": {"description": "another tool's"}}
_REF = {
    "anyOf": [
        _TEXT,
        {
            "type": "object",
            "properties": {"url": _TEXT},
            "required": ["url"],
            "patternProperties": _OTHERS,
            "additionalProperties": _WRITTEN,
        },
    ]
}

KEYS = {
    "from": Key(
        "refs",
        _refs,
        {
            "description": "where the data is: a reference, a mapping of url and options, or a list of these: mirrors "
            "of the same content, tried in order",
            "anyOf": [*_REF["anyOf"], {"type": "array", "items": _REF, "minItems": 1}],
        },
        ("src", "source", "url", "uri", "href", "ref", "reference", "origin"),
    ),
    "to": Key(
        "to",
        Reading.text,
        {"description": "where it appears, below the repository's root; data/NAME if not given", **_TEXT},
        ("dst", "dest", "destination", "target", "path", "into", "mountpoint"),
    ),
    "files": Key(
        "files",
        _patterns,
        {
            "description": "which files of it: git's wildmatch patterns; '!' leaves out, the last that matches decides",
            "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}],
        },
        ("include", "patterns", "glob", "filter", "only"),
    ),
    "as": Key(
        "as_",
        _delivery,
        {"description": "how it appears, if it can", "enum": list(DELIVERIES), "default": "auto"},
        ("mode", "how", "delivery", "method"),
    ),
    "version": Key(
        "version",
        _version,
        {"description": "which version, in the source's own terms; read as it is written", **_WRITTEN},
        ("rev", "revision", "tag", "ver"),
    ),
    "unpack": Key(
        "unpack",
        _truth,
        {"description": "an archive appears as the folder inside it", "type": "boolean", "default": False},
        ("extract", "unzip", "untar", "archive"),
    ),
    "description": Key(
        "description",
        Reading.text,
        {"description": "free text", **_WRITTEN},
        ("desc", "title", "comment", "about"),
    ),
}


def schema() -> dict[str, Any]:
    """The manifest's JSON Schema (draft 2020-12), for editors. What it can't say (targets, secrets) ``read`` says."""
    entry = {
        "type": "object",
        "properties": {word: key.schema for word, key in KEYS.items()},
        "required": ["from"],
        "patternProperties": _OTHERS,
        "additionalProperties": False,
    }
    names = {
        "type": ["object", "null"],
        "patternProperties": {f"^{NAME.pattern}$": entry},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gotdata.yml",
        "description": "Where data comes from, and where it appears",
        "type": "object",
        "properties": {
            "gotdata": {"description": "the format's version", "const": VERSION},
            "data": {"description": "the datasets, by name", **names},
        },
        "required": ["gotdata"],
        "patternProperties": _OTHERS,
        "additionalProperties": False,
    }
