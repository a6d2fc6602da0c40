"""With the internet: DOIs of several agencies, and what differs from what the tests believe."""

from __future__ import annotations

import pytest

from gotdata.errors import ResolveError
from gotdata.model import Ref
from gotdata.sources import registry
from gotdata.testing.source_contract import context
from tests.live.reading import check


def test_a_doi_leads_to_its_repository() -> None:
    check(Ref("https://doi.org/10.5281/ZENODO.4924875"), "invenio", "md5")


def test_a_paper_is_refused_with_its_title_and_agency() -> None:
    with pytest.raises(ResolveError, match=r"Crossref"):
        registry.source("doi").resolve(Ref("doi:10.1126/science.1157784"), context())


def test_a_doi_that_nobody_registered_is_said_to_be_unknown() -> None:
    with pytest.raises(ResolveError, match="there is no DOI"):
        registry.source("doi").resolve(Ref("doi:10.5072/gotdata-no-such-doi"), context())
