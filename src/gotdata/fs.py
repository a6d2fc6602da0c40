"""fsspec's ``gotdata://NAME/path``: the datasets of a repository as one read-only file system (extra ``fsspec``)."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from gotdata.model import Kind, Node, Span
from gotdata.project import Project
from gotdata.tree.base import Lazy, find


class GotdataFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Read-only. Picklable: another process opens the same repository and finds the same snapshot.

    Args:
        root: a folder of the repository; the working folder where it is empty.
    """

    protocol = "gotdata"
    root_marker = ""

    def __init__(self, root: str = "", **options: Any) -> None:
        super().__init__(root=root, **options)
        self._root = str(Path(root or ".").resolve())
        self._project: Project | None = None

    def __reduce__(self) -> Any:
        return type(self), (self._root,)

    @property
    def project(self) -> Project:
        if self._project is None:
            self._project = Project.find(Path(self._root))
        return self._project

    def _find(self, path: str) -> tuple[Lazy, Node]:
        dataset, _, inner = self._strip_protocol(path).partition("/")
        tree = self.project.tree(dataset)
        return tree, find(tree, inner)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        if not path:
            found = [{"name": name, "size": 0, "type": "directory"} for name in self.project.manifest.data]
        else:
            tree, node = self._find(path)
            if node.kind is Kind.DIR:
                found = [_info(f"{path}/{child.name}", child) for child in tree.children(node.id)]
            else:
                found = [_info(path, node)]
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "size": 0, "type": "directory"}
        return _info(path, self._find(path)[1])

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        tree, node = self._find(path)
        if node.kind is Kind.DIR:
            raise IsADirectoryError(path)
        first, last, _step = slice(start, end).indices(node.size)
        return tree.read(node.id, Span(first, max(first, last)))

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> AbstractBufferedFile:
        if mode != "rb":
            raise _read_only(path)
        options["size"] = self.info(path)["size"]
        return GotdataFile(self, path, mode, block_size or 128 * 1024, **options)

    def checksum(self, path: str) -> str:
        return str(self.info(path).get("identity", ""))

    def ukey(self, path: str) -> str:
        return self.checksum(path)

    def _refuse(self, path: Any, *_: Any, **__: Any) -> None:
        raise _read_only(path)

    mkdir = makedirs = rmdir = rm = rm_file = _rm = cp_file = mv = put_file = pipe_file = touch = _refuse


class GotdataFile(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.cat_file(self.path, start, end)
        return data


def _info(path: str, node: Node) -> dict[str, Any]:
    kinds = {Kind.FILE: "file", Kind.DIR: "directory", Kind.LINK: "link"}
    info = {"name": path, "size": node.size, "type": kinds[node.kind], "identity": node.identity}
    return info | ({"islink": True, "destination": node.target} if node.kind is Kind.LINK else {})


def _read_only(path: Any) -> OSError:
    return OSError(errno.EROFS, "gotdata is read-only", str(path))
