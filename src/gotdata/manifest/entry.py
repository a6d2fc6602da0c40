"""From a manifest's text to its entries. Goes on after what is wrong, so that people see all of it at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from gotdata.errors import ManifestError
from gotdata.manifest.files import check_pattern
from gotdata.manifest.reference import check_option, folder_of, reference
from gotdata.manifest.text import Mapping, Node, Problem, Scalar, Sequence, parse
from gotdata.model import Ref
from gotdata.paths import fold, shown, target_path

VERSION = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
DELIVERIES = ("auto", "mount", "copy", "bake")
PROBLEMS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Dataset:
    """An entry of the manifest.

    Attributes:
        refs: mirrors of the same content, in the order in which they are tried; each carries the entry's ``version``
            among its options, unless it has its own.
        to: relative to the root, joined by ``/``.
        files: patterns, see ``select``. Empty: all.
        version: as written, or empty.
        line: where the entry stands.
    """

    name: str
    refs: tuple[Ref, ...]
    to: str
    files: tuple[str, ...] = ()
    as_: str = "auto"
    version: str = ""
    unpack: bool = False
    description: str = ""
    line: int = 0


def read(text: str, path: str = "gotdata.yml") -> dict[str, Dataset]:
    """The entries of a manifest's text, in their order.

    Raises:
        ManifestError: all that is wrong, a line each: ``path:line:column: what, and what to do``.
    """
    reading = _Reading()
    try:
        return reading.manifest(parse(text.removeprefix("\ufeff")))
    except Problem as problem:
        problems = sorted({*reading.problems, problem}, key=lambda problem: (problem.line, problem.column))
    lines = [f"{path}:{problem.line}:{problem.column}: {problem}" for problem in problems[:PROBLEMS_SHOWN]]
    if len(problems) > PROBLEMS_SHOWN:
        lines.append(f"{path}: and {len(problems) - PROBLEMS_SHOWN} more")
    raise ManifestError("\n".join(lines))


class _Reading:
    """One pass over a manifest."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.who = ""
        """The entry that is being read, as messages begin."""

    def wrong(self, node: Node, message: str) -> None:
        self.problems.append(Problem(node.line, node.column, self.who + message))

    @contextmanager
    def at(self, node: Node) -> Iterator[None]:
        """Where a judgement that knows no places is made."""
        try:
            yield
        except ManifestError as error:
            self.wrong(node, str(error))

    def manifest(self, root: Node | None) -> dict[str, Dataset]:
        """Raises the last Problem where there are some."""
        if root is None:
            raise Problem(1, 1, "nothing is written here: it begins with 'gotdata: 1', or `gotdata init` writes one")
        if not isinstance(root, Mapping):
            raise Problem(root.line, root.column, "this is no manifest: it begins with 'gotdata: 1', then 'data:'")
        top = dict(self.keys(root, {"gotdata": (), "data": ("datasets", "dataset", "sources")}))
        self.format(root, top.get("gotdata"))
        entries = self.entries(top["data"]) if "data" in top else {}
        self.targets(entries)
        if self.problems:
            raise self.problems.pop()
        return {dataset.name: dataset for _, dataset in entries.values()}

    def format(self, root: Node, node: Node | None) -> None:
        number = re.fullmatch(r"[1-9][0-9]{0,8}", node.text) if isinstance(node, Scalar) else None
        if node is None:
            self.wrong(root, "the line 'gotdata: 1' is missing: it says which format this is")
        elif not number:
            self.wrong(node, "the format is a number: gotdata: 1")
        elif int(number[0]) > VERSION:
            self.problems.clear()  # what is unknown to us may be right there
            raise Problem(node.line, node.column, f"format {number[0]} is newer than this gotdata: update it")

    def entries(self, node: Node) -> dict[str, tuple[Node, Dataset]]:
        """By name, with the node that its target stands at."""
        if isinstance(node, Scalar) and node.empty:
            return {}
        if not isinstance(node, Mapping):
            self.wrong(node, f"'data' is {_kind(node)}: names are due, each with its 'from:' below it")
            return {}
        found: dict[str, tuple[Node, Dataset]] = {}
        for key, value in node.items:
            self.who = ""
            if not NAME.fullmatch(key.text):
                self.wrong(
                    key, f"'{shown(key.text)[:60]}' is no name: a-z, 0-9, '.', '_', '-', up to 100, no sign first"
                )
            elif key.text in found:
                self.wrong(key, f"'{key.text}' stands twice, first in line {found[key.text][1].line}")
            else:
                self.who = f"{key.text}: "
                found[key.text] = self.entry(key, value)
        self.who = ""
        return found

    def entry(self, name: Scalar, node: Node) -> tuple[Node, Dataset]:
        dataset = Dataset(name.text, (), f"data/{name.text}", line=name.line)
        place: Node = name
        if not isinstance(node, Mapping):
            given = "nothing" if isinstance(node, Scalar) and node.empty else _kind(node)
            self.wrong(name, f"'from:' is due below it, and there is {given}")
            return place, dataset
        values: dict[str, Any] = {}
        for key, value in self.keys(node, {word: key.mistaken for word, key in KEYS.items()}):
            with self.at(value):
                values[KEYS[key].field] = KEYS[key].read(self, value)
            place = value if key == "to" else place
        if "from" not in {key.text for key, _ in node.items}:
            self.wrong(name, "it does not say where it comes from: 'from:' is missing")
        with self.at(place):
            values["to"] = target_path(values.get("to") or dataset.to)
        values = {field: value for field, value in values.items() if value is not None}
        if version := values.get("version"):
            values["refs"] = tuple(_at_version(ref, version) for ref in values.get("refs", ()))
        return place, replace(dataset, **values)

    def keys(self, node: Mapping, known: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, Node]]:
        """The known keys of a mapping; tells of the others. Those that begin with x- are other tools'."""
        seen: dict[str, int] = {}
        for key, value in node.items:
            if key.text in seen:
                self.wrong(key, f"'{shown(key.text)}' stands twice, first in line {seen[key.text]}")
            elif key.text in known:
                yield key.text, value
            elif not key.text.startswith("x-"):
                self.wrong(key, f"unknown key '{shown(key.text)[:60]}'{_meant(key.text, known)}")
            seen.setdefault(key.text, key.line)

    def text(self, node: Node) -> str:
        if not isinstance(node, Scalar):
            raise ManifestError(f"this is {_kind(node)}: text is due")
        if node.empty or not node.text.strip():
            raise ManifestError("nothing is written here: give a value, or take the line out")
        return node.text

    def word(self, node: Node) -> str:
        if (text := self.text(node)) not in DELIVERIES:
            raise ManifestError(f"'{shown(text)[:60]}' is no delivery{_meant(text, dict.fromkeys(DELIVERIES, ()))}")
        return text

    def truth(self, node: Node) -> bool:
        if (text := self.text(node)) not in ("true", "false"):
            raise ManifestError(f"'{shown(text)[:60]}': true or false is due")
        return text == "true"

    def patterns(self, node: Node) -> tuple[str, ...]:
        items = self.list(node)
        for item in items:
            with self.at(item):
                check_pattern(self.text(item))
        return tuple(item.text for item in items if isinstance(item, Scalar))

    def refs(self, node: Node) -> tuple[Ref, ...]:
        found: list[Ref] = []
        for item in self.list(node):
            with self.at(item):
                ref = self.mapped(item) if isinstance(item, Mapping) else reference(self.text(item))
                if ref in found:
                    raise ManifestError(f"{ref} stands twice")
                if ref:
                    found.append(ref)
        return tuple(found)

    def mapped(self, node: Mapping) -> Ref | None:
        """A reference with options. What they may be, its source says."""
        options: dict[str, str] = {}
        url: Node | None = None
        for key, value in node.items:
            with self.at(value):
                if key.text == "url" and url is None:
                    url = value
                elif key.text in {"url", *options}:
                    self.wrong(key, f"'{key.text}' stands twice")
                elif not key.text.startswith("x-"):
                    check_option(key.text, self.text(value))
                    options[key.text] = self.text(value)
        if url is None:
            wrote = next((key.text for key, _ in node.items), "")
            raise ManifestError(f"a mapping below 'from' needs 'url:'{_meant(wrote, {'url': KEYS['from'].mistaken})}")
        with self.at(url):
            return reference(self.text(url), options)
        return None

    def list(self, node: Node) -> tuple[Node, ...]:
        """One value may stand for a list of one."""
        if isinstance(node, Sequence) and not node.items:
            raise ManifestError("an empty list: give a value, or take the line out")
        return node.items if isinstance(node, Sequence) else (node,)

    def targets(self, entries: dict[str, tuple[Node, Dataset]]) -> None:
        """No target may be another's, or lie in one, or in a folder that data comes from, which would list it."""
        parts = {name: _parts(dataset.to) for name, (_, dataset) in entries.items()}
        taken: dict[tuple[str, ...], str] = {}
        inside: dict[tuple[str, ...], str] = {}
        for name, own in parts.items():
            if (first := taken.setdefault(own, name)) != name:
                self.wrong(entries[name][0], f"{name}: {first} appears at '{entries[first][1].to}', the same place")
            inside |= {own[:length]: name for length in range(len(own) + 1)}
        for name, (place, dataset) in entries.items():
            around = next((taken[part] for part in _around(parts[name]) if part in taken), "")
            if around:
                self.wrong(place, f"{name}: '{dataset.to}' lies inside the target of {around}")
            folders = (folder for ref in dataset.refs if (folder := folder_of(ref.url)) is not None)
            for folder in folders:
                if other := inside.get(_parts(folder)):
                    self.wrong(
                        place, f"{name}: the target of {other} lies inside './{folder}', where {name} comes from"
                    )


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
    read: Callable[[_Reading, Node], Any]
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
        _Reading.refs,
        {
            "description": "where the data is: a reference, a mapping of url and options, or a list of these: mirrors "
            "of the same content, tried in order",
            "anyOf": [*_REF["anyOf"], {"type": "array", "items": _REF, "minItems": 1}],
        },
        ("src", "source", "url", "uri", "href", "ref", "reference", "origin"),
    ),
    "to": Key(
        "to",
        _Reading.text,
        {"description": "where it appears, below the repository's root; data/NAME if not given", **_TEXT},
        ("dst", "dest", "destination", "target", "path", "into", "mountpoint"),
    ),
    "files": Key(
        "files",
        _Reading.patterns,
        {
            "description": "which files of it: git's wildmatch patterns; '!' leaves out, the last that matches decides",
            "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}],
        },
        ("include", "patterns", "glob", "filter", "only"),
    ),
    "as": Key(
        "as_",
        _Reading.word,
        {"description": "how it appears, if it can", "enum": list(DELIVERIES), "default": "auto"},
        ("mode", "how", "delivery", "method"),
    ),
    "version": Key(
        "version",
        _Reading.text,
        {"description": "which version, in the source's own terms; read as it is written", **_WRITTEN},
        ("rev", "revision", "tag", "ver"),
    ),
    "unpack": Key(
        "unpack",
        _Reading.truth,
        {"description": "an archive appears as the folder inside it", "type": "boolean", "default": False},
        ("extract", "unzip", "untar", "archive"),
    ),
    "description": Key(
        "description",
        _Reading.text,
        {"description": "free text", **_WRITTEN},
        ("desc", "title", "comment", "about"),
    ),
}
"""All keys of an entry: the one list of them."""


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


def entry_digest_fields(dataset: Dataset) -> dict[str, Any]:
    """What of an entry decides its content, for the lock's digest: only what is set, so that a key of a later format
    changes no digest of an entry that lacks it."""
    fields = {
        "from": [{"url": ref.url, **dict(ref.options)} for ref in dataset.refs],
        "files": list(dataset.files),
        "version": dataset.version,
        "unpack": dataset.unpack,
    }
    return {name: value for name, value in fields.items() if value}


def _kind(node: Node) -> str:
    return {Scalar: "text", Sequence: "a list", Mapping: "a mapping"}[type(node)]


def _meant(wrote: str, known: dict[str, tuple[str, ...]]) -> str:
    """What was probably meant, else what there is."""
    word = wrote.strip().lower()
    close = next((right for right, wrong in known.items() if word in wrong), None) or next(
        iter(difflib.get_close_matches(word[:60], known, n=1)), None
    )
    return f": did you mean '{close}'?" if close else f": there are {', '.join(known)}"


def _at_version(ref: Ref, version: str) -> Ref:
    return replace(ref, options=tuple(sorted({"version": version, **dict(ref.options)}.items())))


def _parts(path: str) -> tuple[str, ...]:
    """As a file system compares them that ignores case and normalisation."""
    return tuple(fold(part) for part in path.split("/") if part)


def _around(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (parts[:length] for length in range(1, len(parts)))
