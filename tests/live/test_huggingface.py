"""With the internet: a small public file of Hugging Face, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_the_card_of_a_dataset() -> None:
    check(Ref("https://huggingface.co/datasets/nyu-mll/glue/blob/main/README.md"), "huggingface", "git-sha1")
