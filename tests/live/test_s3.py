"""With the internet: a small public file of AWS S3, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check

ANYBODY = (("anonymous", "true"),)


def test_a_file_of_open_neuro() -> None:
    check(Ref("s3://openneuro.org/ds000001/dataset_description.json", ANYBODY), source="s3")


def test_the_same_by_its_web_address() -> None:
    url = "https://s3.amazonaws.com/openneuro.org/ds000001/dataset_description.json"
    check(Ref(url, ANYBODY), source="s3", checks="md5")
