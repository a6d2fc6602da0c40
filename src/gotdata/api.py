"""What a notebook calls: the data of the repository that the working folder lies in, by name."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from gotdata.errors import NotFound
from gotdata.model import Kind
from gotdata.outcome import Delivered, State
from gotdata.project import Project
from gotdata.tree.base import find
from gotdata.tree.file import TreeFile


def up(*names: str, root: str | Path = ".", demand: str = "", locked: bool = False) -> list[Delivered]:
    """Makes data appear as ``gotdata up`` does: all of the manifest, or the datasets named.

    Args:
        names: datasets of the manifest.
        root: a folder of the repository.
        demand: ``mount`` or ``copy``: this delivery and no other.
        locked: refuse what is not in the lock as the manifest says it.

    Raises: any ``GotdataError``; its docstring has the tree.
    """
    with Project.find(Path(root)) as project:
        return project.up(names, demand=demand, locked=locked)


def path(name: str, root: str | Path = ".") -> Path:
    """Where a dataset, or a file of it (``NAME/path``), has appeared; brings the dataset up where it is not."""
    dataset, _, inner = name.partition("/")
    with Project.find(Path(root)) as project:
        status = project.status([dataset])[0]
        if status.state is not State.UP:
            project.up([dataset])
        place = project.manifest.root / project.manifest.data[dataset].to / inner
    if not place.exists():
        raise NotFound(f"{dataset} has no {inner}; `gotdata ls {dataset}` lists it")
    return place


def open(name: str, mode: str = "rb", root: str | Path = ".", **options: Any) -> IO[Any]:
    """A file of a dataset (``NAME/path``), read from the store and its origin: nothing needs to be mounted.

    Args:
        mode: ``rb``, or ``r`` (``rt``) for text, which takes the ``options`` of ``io.TextIOWrapper``.

    Raises:
        NotFound: no such dataset or file.
        ValueError: a mode that writes.
    """
    if mode not in {"r", "rt", "rb"}:
        raise ValueError(f"data is read-only: mode {mode!r} can't be; use rb or r")
    dataset, _, inner = name.partition("/")
    tree = Project.find(Path(root)).tree(dataset)
    node = find(tree, inner)
    if node.kind is not Kind.FILE:
        raise IsADirectoryError(f"{name} is a {node.kind}, not a file")
    raw = io.BufferedReader(TreeFile(tree, node.id, name), 128 * 1024)
    return raw if "b" in mode else io.TextIOWrapper(raw, **{"encoding": "utf-8"} | options)


def names(root: str | Path = ".") -> Iterable[str]:
    """The datasets of the manifest."""
    with Project.find(Path(root)) as project:
        return list(project.manifest.data)
