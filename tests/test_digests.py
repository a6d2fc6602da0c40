"""Providers' own checksums, by vectors that their makers' code gave."""

from __future__ import annotations

import pytest

from gotdata import digests
from gotdata.testing.source_contract import BODY

PART = 64 << 20


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "d41d8cd98f00b204e9800998ecf8427e"),
        (b"abc", "af5da9f45af7a300e3aded972f8ff687"),
        (BODY, "24be4b2f3754b58ada2c4eb08ca60224"),
        (bytes(PART), "a78211a9709e5a28de9e2fd6eda275f2"),
        (bytes(PART + 1), "d4b4f6056a5f5a23cda477d1895a2bbd"),
    ],
    ids=["empty", "abc", "one part", "a whole part", "two parts"],
)
def test_dandi_s_etag_is_as_dandischema_computes_it(body: bytes, told: str) -> None:
    hash = digests.begin("dandi-etag", len(body))
    for start in range(0, len(body), 5_000_001):
        hash.update(body[start : start + 5_000_001])
    assert hash.hexdigest() == told


@pytest.mark.parametrize(
    ("size", "part"),
    [
        (1, PART),
        (9_999 * PART, PART),
        (9_999 * PART + 1, 67_102_154),
        (10_000 * PART, PART),
        (10_000 * PART + 1, PART + 1),
        (10**12, 10**8),
    ],
)
def test_dandi_s_parts_are_as_large_as_dandischema_makes_them(size: int, part: int) -> None:
    assert digests._dandi(size) == part


@pytest.mark.parametrize(
    ("algorithm", "package", "check"),
    [
        ("crc32", "zlib", "cbf43926"),
        ("crc32c", "google_crc32c", "e3069283"),
        ("crc64nvme", "awscrt", "ae8b14860a799888"),
        ("adler32", "zlib", "091e01de"),
    ],
)
def test_running_sums_have_the_check_value_of_their_catalogue(algorithm: str, package: str, check: str) -> None:
    """https://reveng.sourceforge.io/crc-catalogue/: of the nine digits, here in two pieces."""
    pytest.importorskip(package, reason=f"pip install {package}")
    hash = digests.begin(algorithm, 9)
    hash.update(b"1234")
    hash.update(memoryview(b"56789"))
    assert hash.hexdigest() == check
