"""References as people paste them, in the lists beside this file, and the source that must understand each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.manifest import reference, tidy
from gotdata.sources import registry
from tests.cli.fakes import Line

LISTS = Path(__file__).with_name("pasted")


@pytest.fixture
def gotdata(capsysbinary: pytest.CaptureFixture[bytes]) -> Line:
    return Line(capsysbinary)


def pasted() -> Iterator[tuple[str, str]]:
    for path in sorted(LISTS.glob("*.txt")):
        for line in path.read_text("utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                text, _, source = line.rpartition("\t")
                yield text, source


@pytest.mark.parametrize(("text", "source"), list(pasted()))
def test_what_people_paste_finds_its_source(text: str, source: str) -> None:
    assert registry.pick(reference(tidy(text))).name == source


@pytest.mark.parametrize("name", [name for name in registry.OWN if name != "archive"])
def test_every_source_has_three_references_that_people_paste(name: str) -> None:
    """But for archives, which are asked for by ``unpack: true``."""
    assert sum(source == name for _, source in pasted()) >= 3


def test_add_takes_all_of_them(gotdata: Line, tmp_path: Path) -> None:
    gotdata("init", start=tmp_path)
    for text, source in pasted():
        assert gotdata("add", "--json", "--", text, start=tmp_path).json["source"] == source, text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("  <https://h.org/x.h5>  ", "https://h.org/x.h5"),
        ("(https://h.org/a_(b).csv).", "https://h.org/a_(b).csv"),
        ("https://h.org/a_(b)", "https://h.org/a_(b)"),
        ("https://h.org/x?utm_source=a&id=3&fbclid=x#top", "https://h.org/x?id=3#top"),
        ("https://h.org/x?utm_source=a", "https://h.org/x"),
        ("www.h.org/x", "https://www.h.org/x"),
        ("“doi:10.5281/zenodo.1”.", "doi:10.5281/zenodo.1"),
        ("DOI: 10.5281/zenodo.1", "DOI:10.5281/zenodo.1"),
        ("https://h.org/long\u200bname", "https://h.org/longname"),
        ("s3://b/key?utm_source=x", "s3://b/key?utm_source=x"),
        ("./here.", "./here."),
        ("..", ".."),
        ("/mnt/x.h5,", "/mnt/x.h5,"),
    ],
)
def test_what_came_along_is_taken_off(text: str, meant: str) -> None:
    assert tidy(text) == meant
    assert tidy(meant) == meant
