"""``gotdata ls``"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gotdata.cli import verb, where
from gotdata.cli.call import Call
from gotdata.measure import size
from gotdata.model import Kind
from gotdata.outcome import Listed
from gotdata.tree.base import Tree, find


@verb.verb("ls")
@verb.place("NAME[/PATH]|REF")
@click.option("-l", "--long", is_flag=True, help="Type, size and identity too.")
@verb.options
@verb.as_json
def run(call: Call, place: str, long: bool, options: where.Options) -> None:
    """A dataset is listed as it was locked; a reference as it is now."""
    tree, path = where.tree(call, place, options)
    found = entries(tree, path)
    call.answer(found, (_long(one) if long else _name(one) for one in found))


def entries(tree: Tree, path: str) -> Iterator[Listed]:
    """What is in a folder, or the one file or link itself."""
    node = find(tree, path)
    folder = node.kind is Kind.DIR
    prefix = f"{path}/" if folder and path else ""
    for one in tree.children(node.id) if folder else (node,):
        name = prefix + one.name if folder else path
        yield Listed(name, one.kind, one.size, one.executable, one.target, one.identity)


def _name(one: Listed) -> str:
    arrow = f" -> {one.target}" if one.kind == Kind.LINK else ""
    return f"{one.path.rpartition('/')[2]}{'/' if one.kind == Kind.DIR else ''}{arrow}"


def _long(one: Listed) -> str:
    bytes = "-" if one.kind == Kind.DIR else size(one.size)
    return f"{_mode(one)}  {bytes:>7}  {_identity(one.identity):23}  {_name(one)}"


def _mode(one: Listed) -> str:
    if one.kind == Kind.FILE:
        return "-r-xr-xr-x" if one.executable else "-r--r--r--"
    return "dr-xr-xr-x" if one.kind == Kind.DIR else "lrwxrwxrwx"


def _identity(identity: str) -> str:
    """The algorithm and as many digits as tell two files apart; of a weak one only that it is weak."""
    algorithm, _, digits = identity.partition(":")
    return algorithm if algorithm == "weak" else f"{algorithm}:{digits[:16]}".strip(":")
