from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata.measure import count, duration, size


@pytest.mark.parametrize(
    ("bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (41_000_000, "41 MB"),
        (312 * 10**9, "312 GB"),
        (5 * 10**12, "5.0 TB"),
        (7 * 10**18, "7.0 EB"),
    ],
)
def test_sizes_are_in_si_units(bytes: int, text: str) -> None:
    assert size(bytes) == text


@given(st.integers(0, 10**19))
def test_a_size_is_right_to_six_percent(bytes: int) -> None:
    number, unit = size(bytes).split()
    power = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].index(unit)
    assert float(number) * 1000**power == pytest.approx(bytes, rel=0.06)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (0.84, "0.8 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts() -> None:
    assert [count(number, "file") for number in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
