"""The rules of the documents: what exists is documented, what is documented exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from gotdata.cli import docs
from gotdata.settings import Settings
from gotdata.sources import registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("bench/*.md")})
ADRS = sorted((DOCS / "adr").glob("*.md"))
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("setting", [setting.name for setting in fields(Settings)])
def test_every_setting_is_documented(setting: str) -> None:
    assert f"`{setting}`" in (DOCS / "settings.md").read_text("utf-8")


def test_every_source_has_a_page_and_every_page_a_source() -> None:
    pages = {page.stem for page in (DOCS / "sources").glob("*.md")} - {"index"}
    assert pages == set(registry.OWN)


def test_the_command_line_page_is_what_the_commands_say() -> None:
    assert (DOCS / "cli.md").read_text("utf-8") == docs.page(), (
        "write it anew: python -m gotdata.cli.docs > docs/cli.md"
    )


def test_decisions_are_numbered_from_one_without_a_gap() -> None:
    assert [path.name[:5] for path in ADRS] == [f"{number:04}-" for number in range(1, len(ADRS) + 1)]


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
def test_a_decision_says_what_was_decided_and_what_was_rejected(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert {"Context", "Decision", "Rejected"} <= set(re.findall(r"^## (.+)$", text, re.M))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert not list(dead_links(path))


def test_every_document_can_be_found_from_the_index() -> None:
    found, ahead = set[Path](), [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        if page not in found and page.exists():
            found.add(page)
            ahead += [target for _, target, _ in links(page) if target.suffix == ".md"]
    assert set(DOCS.rglob("*.md")) <= found


def links(path: Path) -> Iterator[tuple[str, Path, str]]:
    """What a page links to in this repository: the link, its target, and the heading that it names."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
    for link in LINK.findall(text):
        place, _, anchor = link.partition("#")
        if not re.match(r"[a-z]+:", place):
            yield link, (path.parent / place).resolve() if place else path, anchor


def dead_links(path: Path) -> Iterator[str]:
    for link, target, anchor in links(path):
        if not target.is_relative_to(ROOT) or not target.exists():
            yield f"{path.relative_to(ROOT)}: {link} is not there"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{path.relative_to(ROOT)}: {link}: no such heading"


def anchors(path: Path) -> set[str]:
    """The headings of a page as web sites make anchors of them."""
    headings = re.findall(r"^#+ +(.+?) *$", path.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("folder", sorted(ROOT.glob("examples/*/")), ids=lambda folder: folder.name)
def test_every_example_has_a_manifest_and_a_test(folder: Path) -> None:
    assert (folder / "gotdata.yml").exists()
    assert (ROOT / "tests" / "examples" / f"test_{folder.name.replace('-', '_')}.py").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_its_job(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not text or ast.get_docstring(ast.parse(text))


def test_a_dead_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.test_docs.ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# One heading, `two` words\n", "utf-8")
    page = tmp_path / "page.md"
    page.write_text("[a](there.md) [b](there.md#one-heading-two-words) [c](gone.md) [d](there.md#gone) [e](../out.md)")
    dead = list(dead_links(page))
    assert [re.search(r": (\S+?):? (is|no)", line)[1] for line in dead] == ["gone.md", "there.md#gone", "../out.md"]
