"""policy.yml → rules: with their places, all errors at once. The one list of a rule's keys."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from gotdata.errors import ManifestError, PolicyError
from gotdata.manifest.keys import Key
from gotdata.manifest.reading import Reading, check_format, document, kind
from gotdata.manifest.text import Mapping, Node, Problem, Scalar, Sequence
from gotdata.paths import redact, shown
from gotdata.policy_place import ALL, prefix
from gotdata.settings import parse_size

VERSION = 1
DELIVERIES = ("volume", "mount", "copy", "bake")
LASTING = ("copy", "bake")
"""Deliveries after which the data stays where it was put, whatever the rules say later: they need ``export``."""
HIDDEN = ("source", "dataset", "snapshot")
"""The extended attributes ``user.gotdata.…`` that can be hidden."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the file; see docs/policy.md for its keys. ``as_`` is None where the key is left out, and so are
    ``from_`` and ``roots`` of one that denies: then it denies all."""

    line: int
    name: str = ""
    who: tuple[str, ...] = ()
    from_: tuple[str, ...] | None = None
    roots: tuple[str, ...] | None = None
    as_: tuple[str, ...] | None = None
    export: bool = False
    bytes_a_day: int = 0
    scratch: int = 0
    hide: frozenset[str] = field(default=frozenset({"source"}))
    networks: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    deny: bool = False

    @property
    def deliveries(self) -> tuple[str, ...]:
        if self.as_ is not None:
            return self.as_
        return DELIVERIES if self.export or self.deny else tuple(one for one in DELIVERIES if one not in LASTING)


def read(text: str, path: str) -> tuple[Rule, ...]:
    """The rules of a policy's text, in their order.

    Raises:
        ManifestError: all that is wrong, a line each: ``path:line:column: what, and what to do``.
    """
    return document(text, path, _policy)


def _policy(reading: Reading, root: Node | None) -> tuple[Rule, ...]:
    if root is None:
        raise Problem(1, 1, "nothing is written here: it begins with 'gotdata: 1', then 'rules:'")
    if not isinstance(root, Mapping):
        raise Problem(root.line, root.column, "this is no policy: it begins with 'gotdata: 1', then 'rules:'")
    top = dict(reading.keys(root, {"gotdata": (), "rules": ("rule", "policy", "allow")}))
    check_format(reading, root, top.get("gotdata"), VERSION)
    rules = top.get("rules")
    if rules is None or (isinstance(rules, Scalar) and rules.empty):
        return ()
    if not isinstance(rules, Sequence):
        reading.wrong(rules, f"'rules' is {kind(rules)}: a list is due, each rule after a '-'")
        return ()
    return tuple(_rule(reading, node) for node in rules.items)


def _rule(reading: Reading, node: Node) -> Rule:
    if not isinstance(node, Mapping):
        reading.wrong(node, f"a rule is a mapping, and this is {kind(node)}: - who: …")
        return Rule(node.line)
    values: dict[str, Any] = {}
    problems = len(reading.problems)
    for key, value in reading.keys(node, {word: key.mistaken for word, key in KEYS.items()}):
        with reading.at(value):
            values[KEYS[key].field] = KEYS[key].read(reading, value)
    if len(reading.problems) == problems:
        with reading.at(node):
            _check(values)
    return Rule(node.line, **values)


def _check(values: dict[str, Any]) -> None:
    """What must hold between the keys of a rule. Raises ManifestError."""
    if "who" not in values:
        raise ManifestError("it does not say whom it is for: 'who:' is missing, '*' for everybody")
    if values.get("deny"):
        if useless := [word for word, key in KEYS.items() if key.field in values and key.field in _GRANTED]:
            raise ManifestError(f"'{useless[0]}' has no use in a rule that denies: take it out")
    elif not values.get("from_") and not values.get("local"):
        raise ManifestError("it allows nothing: 'from:' or 'local:' is missing, '*' for every place")
    elif not values.get("export") and (lasting := [one for one in values.get("as_") or () if one in LASTING]):
        raise ManifestError(f"a {lasting[0]} stays when the rule is gone: allow that too, by 'export: true'")


_GRANTED = ("export", "bytes_a_day", "scratch", "hide", "networks")


def _each(read_one: Callable[[str], str]) -> Callable[[Reading, Node], tuple[str, ...]]:
    """A value, or a list of values."""

    def read_all(reading: Reading, node: Node) -> tuple[str, ...]:
        found = []
        for item in reading.items(node):
            with reading.at(item):
                found.append(read_one(reading.text(item)))
        return tuple(found)

    return read_all


def _one_of(words: tuple[str, ...]) -> Callable[[Reading, Node], tuple[str, ...]]:
    def read_all(reading: Reading, node: Node) -> tuple[str, ...]:
        found = []
        for item in reading.items(node):
            with reading.at(item):
                found.append(reading.choice(item, words))
        return tuple(found)

    return read_all


def _hidden(reading: Reading, node: Node) -> frozenset[str]:
    nothing = isinstance(node, Sequence) and not node.items
    return frozenset() if nothing else frozenset(_one_of(HIDDEN)(reading, node))


def _who(text: str) -> str:
    sort, colon, name = text.partition(":")
    if text == ALL:
        return text
    if not colon or sort not in ("user", "group", "uid", "service") or not name or not name.isprintable():
        raise ManifestError(
            f"'{shown(text)[:60]}' names nobody: user:NAME, group:NAME, uid:NUMBER, service:NAME or '*'"
        )
    if sort == "uid" and not re.fullmatch(r"0|[1-9][0-9]{0,9}", name):
        raise ManifestError(f"'{shown(name)[:60]}' is no number: uid:1000, or user:NAME")
    if sort == "user" and name.isdigit():
        raise ManifestError(f"a number is no name: did you mean 'uid:{name}'?")
    return text


def _place(text: str) -> str:
    try:
        return prefix(text)
    except PolicyError as error:
        raise ManifestError(f"'{redact(text)[:200]}': {error}") from None


def _folder(text: str) -> str:
    if not text.startswith("/") or not text.isprintable() or {".", ".."} & set(text.split("/")):
        raise ManifestError(f"'{shown(text)[:200]}' is no folder of this machine: an absolute path without '..' is due")
    return os.path.normpath("/" + text.strip("/"))


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ManifestError(f"'{shown(text)[:60]}' is no network such as 10.1.0.0/16: {error}") from None


def _bytes(reading: Reading, node: Node) -> int:
    try:
        return parse_size(reading.text(node))
    except ValueError as error:
        raise ManifestError(f"'{shown(reading.text(node))[:60]}': {error}") from None


def _truth(reading: Reading, node: Node) -> bool:
    return reading.choice(node, ("true", "false")) == "true"


_TEXT = {"type": "string", "minLength": 1}
_SIZE = {"type": ["string", "integer"]}


def _list(description: str, item: dict[str, Any] = _TEXT, least: int = 1) -> dict[str, Any]:
    """A list, or one value in its place."""
    return {"description": description, "anyOf": [item, {"type": "array", "items": item, "minItems": least}]}


KEYS = {
    "name": Key("name", Reading.text, {"description": "what messages call it", **_TEXT}, ("title", "id", "rule")),
    "who": Key(
        "who",
        _each(_who),
        _list(
            "whom it is for; any of them",
            {"type": "string", "pattern": r"^(\*|user:.*[^0-9].*|group:.+|uid:[0-9]+|service:.+)$"},
        ),
        ("users", "user", "group", "groups", "subject", "for"),
    ),
    "from": Key(
        "from_",
        _each(_place),
        _list("the places that data may come from: prefixes of URLs, or '*'"),
        ("src", "source", "sources", "url", "urls", "uri", "origin", "origins"),
    ),
    "roots": Key(
        "roots",
        _each(_folder),
        _list("the folders below which data may appear where somebody names the target"),
        ("root", "to", "target", "targets", "paths"),
    ),
    "as": Key(
        "as_",
        _one_of(DELIVERIES),
        _list("how it may appear", {"enum": list(DELIVERIES)}),
        ("mode", "how", "delivery", "deliveries", "method"),
    ),
    "export": Key(
        "export",
        _truth,
        {"description": "whether it may be left behind, as a copy or in an image", "type": "boolean", "default": False},
        ("copying", "copyable"),
    ),
    "bytes_a_day": Key(
        "bytes_a_day",
        _bytes,
        {"description": "what may be fetched a day; 0: no limit", **_SIZE, "default": 0},
        ("quota", "limit", "bytes", "bytes_per_day", "daily"),
    ),
    "scratch": Key(
        "scratch",
        _bytes,
        {"description": "how large a writable layer may be asked for; 0: none", **_SIZE, "default": 0},
        ("overlay", "writable"),
    ),
    "hide": Key(
        "hide",
        _hidden,
        _list("which extended attributes are not shown", {"enum": list(HIDDEN)}, least=0) | {"default": ["source"]},
        ("hidden", "conceal"),
    ),
    "networks": Key(
        "networks",
        _each(_network),
        _list("the private networks that may be reached, as 10.1.0.0/16"),
        ("network", "cidr", "subnets", "hosts"),
    ),
    "local": Key(
        "local",
        _each(_folder),
        _list("the folders of this machine that may be read: what file:, a manifest's path and `here` name"),
        ("folders", "files", "file", "paths"),
    ),
    "deny": Key(
        "deny",
        _truth,
        {"description": "refuse what fits, instead of allowing it", "type": "boolean", "default": False},
        ("refuse", "forbid", "block"),
    ),
}


def schema() -> dict[str, Any]:
    """The policy's JSON Schema (draft 2020-12), for editors. What it can't say ``read`` says."""
    rule = {
        "type": "object",
        "properties": {word: key.schema for word, key in KEYS.items()},
        "required": ["who"],
        "patternProperties": {"^x-": {"description": "another tool's"}},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "policy.yml",
        "description": "Who may have which data, in what way",
        "type": "object",
        "properties": {
            "gotdata": {"description": "the format's version", "const": VERSION},
            "rules": {
                "description": "the first that fits decides; what none allows is refused",
                "type": ["array", "null"],
                "items": rule,
            },
        },
        "required": ["gotdata"],
        "patternProperties": {"^x-": {"description": "another tool's"}},
        "additionalProperties": False,
    }
