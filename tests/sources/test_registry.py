from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gotdata.errors import ResolveError, SourceError
from gotdata.model import Ref
from gotdata.sources import registry
from gotdata.sources.base import Source
from gotdata.sources.file import File
from gotdata.sources.http import Http


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    registry.registry.cache_clear()
    registry.source.cache_clear()
    yield
    registry.registry.cache_clear()
    registry.source.cache_clear()


class Sftp(File):
    name = "sftp"
    schemes = ("sftp",)

    def claims(self, ref: Ref) -> bool:
        return ref.url.startswith("sftp:")


def offer(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    points = [EntryPoint(name, value, "gotdata.sources")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("doi:10.5281/zenodo.1", "doi"),
        ("https://doi.org/10.5281/zenodo.1", "doi"),
        ("https://zenodo.org/records/1", "invenio"),
        ("https://example.org/x.csv", "http"),
        ("file:///x", "file"),
    ],
)
def test_the_first_source_that_claims_a_reference_gets_it(url: str, name: str) -> None:
    assert registry.pick(Ref(url)).name == name


@pytest.mark.parametrize("name", [name for name in registry.OWN if name not in registry.EXTRAS])
def test_a_source_is_called_as_it_is_registered(name: str) -> None:
    found: Source = registry.source(name)
    assert found.name == name


def test_an_unknown_reference_lists_what_there_is_and_guesses() -> None:
    with pytest.raises(
        ResolveError, match=r"no source knows htps://x; did you mean https:…\?; there are abfs,.*doi,.*file,"
    ):
        registry.pick(Ref("htps://x"))


def test_a_source_whose_library_is_missing_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gotdata.sources.s3", None)
    with pytest.raises(SourceError, match=r"pip install 'gotdata\[s3\]'"):
        registry.pick(Ref("s3://bucket/key"))
    assert isinstance(registry.pick(Ref("https://example.org/x")), Http), "the others go on working"


def test_a_name_in_a_forged_lock_is_an_error() -> None:
    with pytest.raises(SourceError, match="no source is called 'os:system'"):
        registry.source("os:system")


def test_other_packages_add_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "sftp", f"{__name__}:Sftp")
    assert registry.pick(Ref("sftp://host/x")).name == "sftp"


def test_other_packages_cannot_take_our_names(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "http", f"{__name__}:Sftp")
    assert type(registry.source("http")) is Http
    assert registry.pick(Ref("https://zenodo.org/records/1")).name == "invenio", "nor the place in the order"


def test_ours_are_found_without_looking_through_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(registry, "entry_points")
    assert type(registry.source("http")) is Http


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("unpak", "true", r"knows the option 'unpak'; did you mean unpack\?"),
        ("verison", "2", r"did you mean version\?"),
        ("nonsense", "1", "knows the option 'nonsense'; there are absent, account"),
        ("unpack", "maybe", "unpack is true or false, not 'maybe'"),
    ],
)
@pytest.mark.parametrize("url", ["https://h.org/x.zip", "doi:10.5281/zenodo.1", "s3://b/x.zip"])
def test_an_option_that_nobody_knows_is_refused(url: str, option: str, value: str, why: str) -> None:
    with pytest.raises(ResolveError, match=why):
        registry.pick(Ref(url, ((option, value),)))


@pytest.mark.parametrize("value", ["true", "False", "no", "1"])
def test_an_option_that_is_known_is_taken(value: str) -> None:
    assert registry.pick(Ref("https://h.org/x.zip", (("unpack", value), ("version", "1")))).name in ("archive", "http")


def test_sources_of_other_packages_have_options_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "sftp", f"{__name__}:Sftp")
    assert registry.pick(Ref("sftp://h/x", (("nonsense", "1"),))).name == "sftp"


def test_every_option_that_a_source_of_ours_asks_for_is_known() -> None:
    texts = [path.read_text() for path in Path(registry.__file__).parent.glob("*.py")]
    asked = {name for text in texts for name in re.findall(r"""\bref\.(?:option|flag)\("(\w+)\"""", text)}
    assert asked
    assert asked <= set(registry.OPTIONS)
