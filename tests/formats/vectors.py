"""The vectors of docs/formats: read as what gotdata must give, written anew by `python tests/formats/vectors.py`, which
is for a new format only: a change here is a change of every lock in the world."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gotdata import lock
from gotdata.lock_texts import FOLDER, Texts
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile
from gotdata.snapshot import Draft, Learned, build, hashed
from gotdata.snapshot_indexing import entries
from gotdata.snapshot_text import cut, lines_at

VECTORS = Path(__file__).parents[2] / "docs/formats/vectors"
LIMIT = 10 << 20


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def remote(file: dict[str, Any]) -> RemoteFile:
    def text(key: str) -> str:
        raw = file.get(f"{key}_b64")
        return b64decode(raw).decode("utf-8", "surrogateescape") if raw else str(file.get(key, ""))

    return RemoteFile(
        text("path"),
        file.get("size"),
        Kind(file.get("type", "file")),
        file.get("at", ""),
        file.get("version", ""),
        tuple(Checksum(*check.split(":")) for check in file.get("checks", [])),
        file.get("exec", False),
        text("target"),
    )


def texts(draft: Draft) -> dict[str, Any]:
    """A draft as the vectors have it."""
    return {
        "content": _lines(draft.content.path),
        "origins": [_lines(origin.path) for origin in draft.origins],
        "shards": list(draft.content.shards),
        "snapshot": draft.snapshot,
        "level": draft.level.value,
    }


def _lines(path: Path) -> list[str]:
    return [line.decode().removesuffix("\n") for line in lines_at(path)]


def built(case: dict[str, Any], work: Path) -> Draft:
    return build(case["namespace"], [map(remote, listing) for listing in case["listings"]], work)


def made_stronger(case: dict[str, Any], work: Path) -> tuple[list[str], list[str]]:
    """The content and the blocks text."""
    learned = [
        Learned(found["path"], found["sha256"], [bytes.fromhex(digest) for digest in found["blocks"]])
        for found in case["learned"]
    ]
    lines = (line.encode() + b"\n" for line in case["content"])
    draft = hashed(entries(lines, "vector"), learned, work)
    assert draft.blocks
    return _lines(draft.content.path), _lines(draft.blocks.path)


def ends(case: dict[str, Any]) -> Iterator[int]:
    """After which lines a shard ends."""
    at = 0
    for shard in cut(f"{number}\n".encode() for number in range(case["lines"])):
        at += shard.count(b"\n")
        yield at


def example(case: dict[str, Any], to: Path) -> None:
    """A lock with its folder, as `gotdata lock` leaves them."""
    with tempfile.TemporaryDirectory() as work:
        draft = built(case, Path(work))
        pins = [
            Pin(
                "http",
                Ref(url),
                case["namespace"],
                {"etag": '"1"'},
                Citation("Counts", ("Ada Lovelace",), "", "CC0-1.0"),
            )
            for url in case["urls"]
        ]
        entry = lock.locked(lock.digest(case["entry"]), pins, draft)
        Texts(to / FOLDER).put("cells", draft, LIMIT)
        lock.write(to / lock.NAME, lock.Lock({"cells": entry}))


def _rewrite() -> None:
    snapshots, blocks, cuts, digests = (load(name) for name in ("snapshots", "blocks", "cuts", "digests"))
    for case in snapshots:
        with tempfile.TemporaryDirectory() as work:
            case |= texts(built(case, Path(work)))
    for case in blocks:
        with tempfile.TemporaryDirectory() as work:
            case["stronger"], case["blocks"] = made_stronger(case, Path(work))
    cuts["ends"] = list(ends(cuts))
    for case in digests:
        case["digest"] = lock.digest(case["entry"])
    for name, found in {"snapshots": snapshots, "blocks": blocks, "cuts": cuts, "digests": digests}.items():
        (VECTORS / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=True) + "\n", "utf-8")
    shutil.rmtree(VECTORS / "lock", ignore_errors=True)
    example(load("example"), VECTORS / "lock")


if __name__ == "__main__":
    sys.exit(_rewrite())
