"""With the internet: small public files of Harvard's Dataverse, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_table_that_was_ingested_is_the_original() -> None:
    """Open Source at Harvard: one file, which its page shows as a .tab."""
    check(Ref("https://dataverse.harvard.edu/dataset.xhtml?persistentId=doi:10.7910/DVN/TJCLKP"), "dataverse", "md5")


def test_a_doi_leads_to_it() -> None:
    check(Ref("doi:10.7910/DVN/TJCLKP"), "dataverse", "md5")
