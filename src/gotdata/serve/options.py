"""What a volume can be asked to be: the words behind `-o`, judged before anything is done."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gotdata.errors import ManifestError
from gotdata.manifest import NAME, find, load, read, reference
from gotdata.manifest.reference import folder_of
from gotdata.paths import shown
from gotdata.serve.order import DATASET
from gotdata.settings import parse_size

REFERENCE = ("endpoint", "region", "anonymous")
KNOWN = ("from", "files", "version", "snapshot", "manifest", "dataset", "scratch", *REFERENCE)
_MANIFEST_MOST = 64 << 10
"""Bytes: reading YAML is slow, and all others wait meanwhile."""
SCRATCH_LEAST = 16 << 20
"""Bytes: a file system needs some for itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Attributes:
    urls: the places that the references name: all of them have to be allowed.
    files: of a repository with one dataset; empty where another's ``manifest`` is named.
    snapshot: that it must be; empty for whatever it is.
    scratch: bytes of a writable layer for each holder; 0 for none.
    """

    urls: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    manifest: str = ""
    dataset: str = ""
    snapshot: str = ""
    scratch: int = 0


def check_name(name: str) -> None:
    """Raises ManifestError."""
    # One letter is a drive to Docker: `-v d:/data` would be an empty volume, and no word said.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", name):
        raise ManifestError(
            f"'{shown(name[:80])}' can't be the name of a volume: two or more of letters, digits, '_', '.', '-' can"
        )


def judged(options: Mapping[str, str]) -> Asked:
    """Raises ManifestError: a word that does not exist, or that does not fit the others."""
    for word in options:
        if word not in KNOWN:
            near = get_close_matches(word, KNOWN, 1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            raise ManifestError(f"there is no option '{shown(word[:80])}'{meant} There are {', '.join(KNOWN)}")
    if ("from" in options) == ("manifest" in options):
        raise ManifestError("say either from=REFERENCE, or manifest=FILE and dataset=NAME")
    snapshot, scratch = options.get("snapshot", ""), _scratch(options.get("scratch", ""))
    if snapshot and not re.fullmatch(r"[0-9a-f]{64}", snapshot):
        raise ManifestError(f"snapshot={shown(snapshot[:80])}: 64 hexadecimal digits are due, as gotdata.lock has them")
    if "manifest" in options:
        if wrong := [word for word in ("files", "version", *REFERENCE) if word in options]:
            raise ManifestError(f"{wrong[0]}= belongs to from=; a manifest says it itself")
        if not options.get("dataset"):
            raise ManifestError("dataset=NAME is missing: which one of the manifest's")
        path, name = Path(options["manifest"]), options["dataset"]
        return Asked(_elsewhere(path, name), {}, str(path), name, snapshot, scratch)
    if "dataset" in options:
        raise ManifestError("dataset= belongs to manifest=")
    more = {word: options[word] for word in (*REFERENCE, "version") if word in options}
    entry: dict[str, Any] = {"from": {"url": reference(options["from"], more).url, **more}}
    if patterns := options.get("files", "").split():
        entry["files"] = patterns
    files = {NAME: json.dumps({"gotdata": 1, "data": {DATASET: entry}}).encode()}
    return replace(handed(files), snapshot=snapshot, scratch=scratch)


def handed(files: Mapping[str, bytes]) -> Asked:
    """What a repository asks for that somebody hands over. Raises ManifestError."""
    manifest = files.get(NAME, b"")
    if len(manifest) > _MANIFEST_MOST:
        raise ManifestError(f"the manifest of one dataset has more than {_MANIFEST_MOST >> 10} KiB")
    found = read(manifest.decode("utf-8", "replace"), "the manifest").get(DATASET)
    if found is None:
        raise ManifestError(f"the manifest has no dataset '{DATASET}'")
    if any(folder_of(ref.url) is not None for ref in found.refs):
        raise ManifestError("a path must be absolute here: nothing says what it is relative to")
    return Asked(tuple(place for ref in found.refs for place in ref.places), files)


def _elsewhere(path: Path, name: str) -> tuple[str, ...]:
    """The references of a dataset in a manifest of this machine."""
    if not path.is_absolute():
        raise ManifestError(f"manifest={shown(str(path))}: the daemon needs the path in full")
    manifest = load(find(path) if path.is_dir() else path)
    if name not in manifest.data:
        raise ManifestError(f"{path} has no dataset '{shown(name)}'; there is {', '.join(manifest.data) or 'none'}")
    refs = manifest.data[name].refs
    inside = [(manifest.root / folder).as_uri() for ref in refs if (folder := folder_of(ref.url)) is not None]
    return (*inside, *(place for ref in refs if folder_of(ref.url) is None for place in ref.places))


def _scratch(text: str) -> int:
    if not text:
        return 0
    try:
        size = parse_size(text)
    except ValueError as error:
        raise ManifestError(f"scratch={shown(text[:80])}: {error}") from None
    if size < SCRATCH_LEAST:
        raise ManifestError(f"scratch={shown(text)}: {SCRATCH_LEAST >> 20} MiB is the least")
    return size
