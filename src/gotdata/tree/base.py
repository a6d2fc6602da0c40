"""The seam between data and the ways in which it appears: a read-only view that deliveries and servers are handed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from gotdata.errors import NotFound
from gotdata.model import Node, Span
from gotdata.paths import shown
from gotdata.store.base import Held

ROOT = 1


class Tree(Protocol):
    """A read-only view of one snapshot. Immutable: the same question has the same answer for ever, in every process.
    Safe to use from several threads."""

    snapshot: str
    """The snapshot's id, 64 hexadecimal digits."""

    def node(self, id: int) -> Node:
        """Raises NotFound."""

    def lookup(self, parent: int, name: str) -> Node:
        """The child of a folder by its name. Raises NotFound."""

    def children(self, parent: int, after: int = 0) -> Iterator[Node]:
        """The entries of a folder in order of their ids, those with an id above ``after``."""

    def read(self, id: int, span: Span) -> bytes:
        """Exactly the bytes of ``span`` cut to the file's size, verified as far as the snapshot's level allows.

        Raises: SourceError, IntegrityError, StoreError: see ``gotdata.errors``. Never fewer bytes.
        """


class Lazy(Tree, Protocol):
    """A tree whose bytes come to the store as they are asked for. The process that answers the kernel uses ``held``
    only, worker processes ``ensure``; both open the same snapshot and the same store."""

    def held(self, id: int) -> Held:
        """The store's copy of a file, whole or partial, opened; the caller closes it. No network."""

    def ensure(self, id: int, span: Span, prefetch: int = 0) -> None:
        """Returns when ``held(id).pread(span)`` has the bytes; ``prefetch`` bytes after them may come later, or never.
        May fetch more than asked. Single flight: callers that ask for the same block, in any process, fetch it once.
        Raises as ``read``."""


def find(tree: Tree, path: str) -> Node:
    """The node at a path; ``""`` is the root. Raises NotFound."""
    node = tree.node(ROOT)
    for name in filter(None, path.split("/")):
        try:
            node = tree.lookup(node.id, name)
        except NotFound as error:
            raise NotFound(f"there is no '{shown(path)}' in it; `gotdata ls` lists what there is") from error
    return node


def walk(tree: Tree, id: int = ROOT, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every entry below a folder with its path, parents before their children, in the order of the snapshot."""
    for node in tree.children(id):
        path = f"{prefix}{node.name}"
        yield path, node
        if node.kind == "dir":
            yield from walk(tree, node.id, f"{path}/")
