"""signposting, the Python client of FAIR Signposting's authors, finds what our double offers, as we do."""

from __future__ import annotations

import pytest

from gotdata.testing.landing_double import Format, Portal

CLIENT = ("signposting", "signposting")

signposting = pytest.importorskip("signposting", reason="signposting is not installed")
PATHS = ("a b.csv", "deep/x", "ü,;<.bin")


@pytest.mark.parametrize("format", ["signposting", "linkset"])
def test_it_finds_the_items_of_a_page(format: Format) -> None:
    with Portal(format) as portal:
        wanted = {portal.put(path, b"1") for path in PATHS}
        found = signposting.find_signposting_http(portal.url)
        assert {str(item.target) for item in found.items} == wanted
        assert str(found.citeAs.target) == "https://doi.org/10.5072/cells"


def test_it_finds_the_items_of_a_linkset() -> None:
    with Portal("linkset") as portal:
        wanted = {portal.put(f"{number}.csv", b"1") for number in range(9)}
        page = signposting.find_signposting_http(portal.url)
        assert len(page.items) == 5
        [linkset] = page.linksets
        found = signposting.find_signposting_linkset(str(linkset.target)).for_context(portal.url)
        assert {str(item.target) for item in found.items} == wanted
