"""The manifest as a file of a repository: found, read, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gotdata.errors import ManifestError
from gotdata.manifest.entry import Dataset, read
from gotdata.manifest.text import SIZE_LIMIT

NAME = "gotdata.yml"
BINDER = ("binder", ".binder")


@dataclass(frozen=True, slots=True)
class Manifest:
    """``root`` is the repository's: all paths are relative to it. ``path`` is the file's."""

    root: Path
    path: Path
    data: Mapping[str, Dataset]


def find(start: Path) -> Path:
    """The manifest of the repository that ``start`` lies in, from there up to git's root or the file system's.

    Raises:
        ManifestError: none, or two in one repository.
    """
    found, folder = _nearest(Path(os.path.abspath(start)))
    if found is None:
        raise ManifestError(
            f"no {NAME} in {os.path.abspath(start)}, nor above it up to {folder}: `gotdata init` makes one"
        )
    return found


def exists(start: Path) -> bool:
    """Whether ``find`` would find one. Raises ManifestError: two."""
    return _nearest(Path(os.path.abspath(start)))[0] is not None


def at(root: Path) -> Path | None:
    """The manifest of the repository with this root. Raises ManifestError: two."""
    found = [path for path in (root / part / NAME for part in (*BINDER, "")) if os.path.isfile(path)]
    if len(found) > 1:
        raise ManifestError(f"two manifests: {found[0]} and {found[1]}: keep one of them")
    return found[0] if found else None


def _nearest(start: Path) -> tuple[Path | None, Path]:
    """The manifest, and the last folder that was looked into."""
    for folder in (start, *start.parents):
        if _is_part(folder):
            continue
        if found := at(folder):
            return found, folder
        if os.path.lexists(folder / ".git"):
            break
    return None, folder


def root_of(path: Path) -> Path:
    """The root of the repository whose manifest lies at ``path``."""
    folder = Path(os.path.abspath(path)).parent
    return folder.parent if _is_part(folder) else folder


def _is_part(folder: Path) -> bool:
    """Whether what lies in ``folder`` belongs to the repository around it, as a binder/ does."""
    return folder.name in BINDER and not os.path.lexists(folder / ".git")


def load(path: Path) -> Manifest:
    """Reads and checks a manifest.

    Raises:
        ManifestError: all that is wrong with it, a line each: ``file:line:column: what, and what to do``.
    """
    return Manifest(root_of(path), Path(os.path.abspath(path)), read(text_of(path), str(path)))


def text_of(path: Path) -> str:
    """A manifest's text, its line ends and byte order mark as they are. Raises ManifestError."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise ManifestError(f"{path}: can't be read: {error.strerror}") from error
    if len(raw) > SIZE_LIMIT:
        raise ManifestError(f"{path}: more than {SIZE_LIMIT >> 20} MiB: a manifest names data, it does not hold it")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start)
        raise ManifestError(f"{path}:{line}:{column}: not UTF-8: save it as UTF-8") from error
