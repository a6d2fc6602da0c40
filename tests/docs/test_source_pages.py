"""The examples on the pages of sources are manifests that can be read, and are understood by that source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gotdata import manifest
from gotdata.model import Ref
from gotdata.sources import registry

PAGES = sorted((Path(__file__).parents[2] / "docs" / "sources").glob("*.md"))


def examples(page: Path) -> list[Ref]:
    """Every reference of a page's examples."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    found = []
    for block in blocks:
        text = block if block.startswith("gotdata:") else f"gotdata: 1\n{block}"
        found += [ref for dataset in manifest.read(text, page.name).values() for ref in dataset.refs]
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=lambda page: page.stem)
def test_the_examples_of_a_page_are_its_source_s(page: Path) -> None:
    refs = examples(page)
    assert refs, "a page shows how its source is written"
    assert page.stem in {registry.pick(ref).name for ref in refs}
