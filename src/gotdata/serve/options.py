"""What a volume can be asked to be: the words behind `-o`, judged before anything is done."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from gotdata.errors import ManifestError
from gotdata.manifest import entry_digest_fields, read, reference
from gotdata.manifest.entry import Dataset
from gotdata.paths import shown
from gotdata.serve.order import DATASET
from gotdata.settings import parse_size

REFERENCE = ("endpoint", "region", "anonymous")
KNOWN = ("from", "files", "version", "snapshot", "manifest", "dataset", "scratch", *REFERENCE)
_SCRATCH_LEAST = 16 << 20
"""Bytes: a file system needs some for itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Attributes:
    repository: the manifest of one dataset as text; empty where another's ``manifest`` is named.
    snapshot: that it must be; empty for whatever it is.
    scratch: bytes of a writable layer for each holder; 0 for none.
    """

    repository: str = ""
    manifest: str = ""
    dataset: str = ""
    snapshot: str = ""
    scratch: int = 0
    urls: tuple[str, ...] = ()


def check_name(name: str) -> None:
    """Raises ManifestError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", name):
        raise ManifestError(
            f"'{shown(name[:80])}' can't be the name of a volume: letters, digits, '_', '.' and '-' can, no path"
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
        return Asked("", options["manifest"], options["dataset"], snapshot, scratch)
    if "dataset" in options:
        raise ManifestError("dataset= belongs to manifest=")
    one = _entry(options)
    entry = {key: value for key, value in entry_digest_fields(one).items() if key != "version"}
    text = json.dumps({"gotdata": 1, "data": {DATASET: entry}})
    return Asked(text, "", "", snapshot, scratch, tuple(ref.url for ref in one.refs))


def _entry(options: Mapping[str, str]) -> Dataset:
    """The options as an entry of a manifest, judged as one."""
    more = {word: options[word] for word in (*REFERENCE, "version") if word in options}
    found = reference(options["from"], more)
    entry = {"from": {"url": found.url, **more}}
    if patterns := options.get("files", "").split():
        entry["files"] = patterns  # type: ignore[assignment]
    [one] = read(json.dumps({"gotdata": 1, "data": {DATASET: entry}}), "the options").values()
    return one


def _scratch(text: str) -> int:
    if not text:
        return 0
    try:
        size = parse_size(text)
    except ValueError as error:
        raise ManifestError(f"scratch={shown(text[:80])}: {error}") from None
    if size < _SCRATCH_LEAST:
        raise ManifestError(f"scratch={shown(text)}: {_SCRATCH_LEAST >> 20} MiB is the least")
    return size
