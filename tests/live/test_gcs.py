"""With the internet: a small public file of Google Cloud Storage, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_file_of_the_sample_data() -> None:
    check(Ref("gs://cloud-samples-data/bigquery/us-states/us-states.csv"), source="gcs", checks="crc32c")


def test_the_same_by_its_web_address() -> None:
    check(Ref("https://storage.googleapis.com/cloud-samples-data/bigquery/us-states/us-states.csv"), source="gcs")
