"""``gotdata cat``"""

from __future__ import annotations

import sys

from gotdata.cli import verb, where
from gotdata.cli.call import Call
from gotdata.errors import NotFound
from gotdata.model import Kind, Node, Span
from gotdata.tree.base import ROOT, Tree, find

CHUNK = 8 << 20
"""Bytes asked for at once: enough for several streams from the origin."""


@verb.verb("cat")
@verb.place("NAME/PATH|REF")
@verb.options
def run(call: Call, place: str, options: where.Options) -> None:
    """The bytes as they are, whole. What a reference gives must be one file."""
    tree, path = where.tree(call, place, options)
    node = find(tree, path) if path else _only(tree, place)
    if node.kind is not Kind.FILE:
        raise NotFound(f"{place} is a {node.kind}, not a file; `gotdata ls {place}` lists it")
    for start in range(0, node.size, CHUNK):
        sys.stdout.buffer.write(tree.read(node.id, Span(start, min(start + CHUNK, node.size))))
    sys.stdout.buffer.flush()


def _only(tree: Tree, place: str) -> Node:
    """The file of a tree that is one file, else the root."""
    entries = tree.children(ROOT)
    first = next(entries, None)
    return tree.node(ROOT) if first is None or next(entries, None) else first
