from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gotdata.model import BLOCK, Span
from gotdata.store.window import LIMIT, RUNS, SLACK, Window

READ = 128 * 1024


def test_the_first_read_asks_for_nothing_more() -> None:
    assert Window().read(Span(0, READ)) == 0


def test_a_sequential_reader_has_as_much_ahead_as_it_has_read() -> None:
    window = Window()
    asked = 0
    for start in range(0, 2 * LIMIT, READ):
        span = Span(start, start + READ)
        if ahead := window.read(span):
            assert span.stop + ahead > asked
            asked = span.stop + ahead
            assert asked - span.stop <= min(span.stop, LIMIT)
        if span.stop >= 4 * BLOCK:
            assert asked - span.stop >= min(span.stop, LIMIT) // 4
    assert asked > 2 * LIMIT


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=200, unique=True))
def test_random_reads_ask_for_nothing(places: list[int]) -> None:
    window = Window()
    for place in places:
        start = place * 3 * SLACK
        assert window.read(Span(start, start + 4096)) == 0


def test_reads_of_one_run_may_come_out_of_order() -> None:
    window = Window()
    order = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]
    assert any(window.read(Span(at * READ, (at + 1) * READ)) for at in order)


def test_readers_at_several_places_of_one_file_are_told_apart() -> None:
    window = Window()
    bases = [n * 100 * SLACK for n in range(RUNS)]
    ahead = dict.fromkeys(bases, 0)
    for step in range(20):
        for base in bases:
            ahead[base] += window.read(Span(base + step * READ, base + (step + 1) * READ))
    assert all(ahead.values())


def test_reading_the_same_bytes_again_does_not_grow_the_window() -> None:
    window = Window()
    assert not any(window.read(Span(0, 4096)) for _ in range(1000))
