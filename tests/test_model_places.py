"""What a policy sees of a reference: every option that may lead somewhere."""

from __future__ import annotations

import pytest

from gotdata.model import Ref


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("base", "doi:10.5281/zenodo.1", True),
        ("base", "DOI:10.5281", True),
        ("base", "//evil.example/x", True),
        ("base", "\\\\evil.example/x", True),
        ("base", " //evil.example/x", True),
        ("base", "v1/files", False),
        ("remote", "//evil.example/x", True),
        ("remote", "s3://bucket/x", True),
        ("endpoint", "evil.example", True),
        ("resolver", "evil.example", True),
        ("other", "//evil.example/x", True),
        ("other", "http://evil.example/x", True),
        ("version", "md5:abc", False),
    ],
)
def test_an_option_that_may_be_an_address_is_a_place(name: str, value: str, seen: bool) -> None:
    assert (value in Ref("https://h/x", ((name, value),)).places) is seen
