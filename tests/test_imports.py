"""The import rule: a stage imports what stands left of it, and the leaves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

TIERS = (
    {
        "model",
        "digests",
        "errors",
        "paths",
        "settings",
        "report",
        "measure",
        "credentials",
        "context",
        "origin",
        "outcome",
        "reach",
    },  # leaves
    {"manifest"},
    {"sources", "resolve"},
    {"snapshot", "lock", "policy"},
    {"store"},
    {"tree"},
    {"fuse", "deliver", "run"},
    {"serve"},
    {"provenance"},
    {
        "wire",
        "repository",
        "project",
        "loose",
        "export",
        "history",
        "imports",
        "verifying",
        "hint",
        "login",
        "choice",
        "running",
        "doctor",
        "testing",
    },  # where the parts are joined
    {"", "api", "fs", "cli", "progress", "entrypoint", "repo2docker"},  # what people call
)
RANKS = {stage: rank for rank, tier in enumerate(TIERS) for stage in tier}
"""By a module's first name after ``gotdata``, cut at an underscore (``snapshot_index`` is a part of ``snapshot``)."""

HANDED_TREES = {"store", "tree", "fuse", "deliver", "run", "serve"}
"""Never import a source: they are handed origins or trees, so that what serves strangers holds no credentials."""


def stage(module: str) -> str:
    return module.removeprefix("gotdata").removeprefix(".").split(".")[0].split("_")[0]


def imports(module: str, text: str) -> Iterator[str]:
    """What a module imports of gotdata when it runs: what only a type checker sees is free."""
    tree = ast.parse(text)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "gotdata")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
            if node.module == "gotdata":
                yield from (f"gotdata.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("gotdata."):
                yield node.module


def broken_rules(module: str, text: str) -> Iterator[str]:
    own = stage(module)
    if own not in RANKS:
        yield f"{module} has no rank: give {own!r} one in {Path(__file__).name}"
        return
    for imported in imports(module, text):
        other = stage(imported)
        if RANKS.get(other, 99) > RANKS[own]:
            yield f"{module} imports {imported}, which stands right of it"
        if own in HANDED_TREES and other == "sources":
            yield f"{module} imports {imported}, and {own} is handed trees"


def modules() -> list[tuple[str, Path]]:
    found = sorted((SOURCE / "gotdata").rglob("*.py"))
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for path in found]
    return list(zip(names, found, strict=True))


def test_every_module_imports_only_what_stands_left_of_it() -> None:
    broken = [rule for module, path in modules() for rule in broken_rules(module, path.read_text("utf-8"))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("module", "text", "word"),
    [
        ("gotdata.model", "from gotdata.lock import read", "right of it"),
        ("gotdata.store.blocks", "import gotdata.sources.http", "handed trees"),
        ("gotdata.deliver.copy", "def up():\n    from gotdata import sources", "handed trees"),
        ("gotdata.tree.locked", "from gotdata import wire", "right of it"),
        ("gotdata.helpers", "", "no rank"),
    ],
)
def test_a_module_that_breaks_the_rule_is_found(module: str, text: str, word: str) -> None:
    assert [rule for rule in broken_rules(module, text) if word in rule]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("gotdata.snapshot_index", "from gotdata.snapshot import write"),
        ("gotdata.context", "if TYPE_CHECKING:\n    from gotdata.sources.http_engine import Engine"),
        ("gotdata.wire", "from gotdata.sources.registry import pick"),
        ("gotdata.tree.base", "from pathlib import Path\nfrom gotdata.model import Node"),
    ],
)
def test_a_module_that_keeps_the_rule_passes(module: str, text: str) -> None:
    assert not list(broken_rules(module, text))
