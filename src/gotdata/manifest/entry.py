"""From a manifest's text to its entries, and what must hold between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gotdata.manifest.keys import KEYS, NAME, VERSION
from gotdata.manifest.reading import Reading, check_format, document, kind
from gotdata.manifest.reference import folder_of
from gotdata.manifest.text import Mapping, Node, Problem, Scalar
from gotdata.model import Ref
from gotdata.paths import fold, shown, target_path


@dataclass(frozen=True, slots=True)
class Dataset:
    """An entry of the manifest.

    Attributes:
        refs: mirrors of the same content, in the order in which they are tried; each carries the entry's ``version``
            and ``unpack`` among its options, unless it has its own.
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
    return document(text, path, _manifest)


def _manifest(reading: Reading, root: Node | None) -> dict[str, Dataset]:
    if root is None:
        raise Problem(1, 1, "nothing is written here: it begins with 'gotdata: 1', or `gotdata init` writes one")
    if not isinstance(root, Mapping):
        raise Problem(root.line, root.column, "this is no manifest: it begins with 'gotdata: 1', then 'data:'")
    top = dict(reading.keys(root, {"gotdata": (), "data": ("datasets", "dataset", "sources")}))
    check_format(reading, root, top.get("gotdata"), VERSION)
    entries = _entries(reading, top["data"]) if "data" in top else {}
    _check_targets(reading, entries)
    return {name: dataset for name, (_, dataset) in entries.items()}


def _entries(reading: Reading, node: Node) -> dict[str, tuple[Node, Dataset]]:
    """By name, with the node that its target stands at."""
    if isinstance(node, Scalar) and node.empty:
        return {}
    if not isinstance(node, Mapping):
        reading.wrong(node, f"'data' is {kind(node)}: names are due, each with its 'from:' below it")
        return {}
    found: dict[str, tuple[Node, Dataset]] = {}
    for key, value in node.items:
        if not NAME.fullmatch(key.text):
            name = shown(key.text)[:60]
            reading.wrong(key, f"'{name}' is no name: a-z, 0-9, '.', '_', '-', up to 100, no sign first")
        elif key.text in found:
            reading.wrong(key, f"'{key.text}' stands twice, first in line {found[key.text][1].line}")
        else:
            reading.who = f"{key.text}: "
            found[key.text] = _entry(reading, key, value)
            reading.who = ""
    return found


def _entry(reading: Reading, name: Scalar, node: Node) -> tuple[Node, Dataset]:
    dataset = Dataset(name.text, (), f"data/{name.text}", line=name.line)
    place: Node = name
    if not isinstance(node, Mapping):
        given = "nothing" if isinstance(node, Scalar) and node.empty else kind(node)
        reading.wrong(name, f"'from:' is due below it, and there is {given}")
        return place, dataset
    values: dict[str, Any] = {}
    for key, value in reading.keys(node, {word: key.mistaken for word, key in KEYS.items()}):
        with reading.at(value):
            values[KEYS[key].field] = KEYS[key].read(reading, value)
        place = value if key == "to" else place
    if "from" not in {key.text for key, _ in node.items}:
        reading.wrong(name, "it does not say where it comes from: 'from:' is missing")
    with reading.at(place):
        values["to"] = target_path(values.get("to", dataset.to))
    for option in ("version", "unpack"):
        if said := values.get(option):
            text = "true" if said is True else said
            values["refs"] = tuple(_with(ref, option, text) for ref in values.get("refs", ()))
    return place, replace(dataset, **values)


def _with(ref: Ref, option: str, value: str) -> Ref:
    return replace(ref, options=tuple(sorted({option: value, **dict(ref.options)}.items())))


def _check_targets(reading: Reading, entries: dict[str, tuple[Node, Dataset]]) -> None:
    """No target may be another's, or lie in one, or in a folder that data comes from, which would list it."""
    parts = {name: _parts(dataset.to) for name, (_, dataset) in entries.items()}
    taken: dict[tuple[str, ...], str] = {}
    inside: dict[tuple[str, ...], str] = {}
    for name, own in parts.items():
        if (first := taken.setdefault(own, name)) != name:
            reading.wrong(entries[name][0], f"{name}: {first} appears at '{entries[first][1].to}', the same place")
        inside |= {own[:length]: name for length in range(len(own) + 1)}
    for name, (place, dataset) in entries.items():
        around = (parts[name][:length] for length in range(1, len(parts[name])))
        if other := next((taken[part] for part in around if part in taken), None):
            reading.wrong(place, f"{name}: '{dataset.to}' lies inside the target of {other}")
        for folder in (folder_of(ref.url) for ref in dataset.refs):
            if folder is not None and (other := inside.get(_parts(folder))):
                reading.wrong(place, f"{name}: the target of {other} lies inside './{folder}', where {name} comes from")


def _parts(path: str) -> tuple[str, ...]:
    """As a file system compares them that ignores case and normalisation."""
    return tuple(fold(part) for part in path.split("/") if part)


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
