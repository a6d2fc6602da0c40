from __future__ import annotations

import os
from pathlib import Path

import pytest

from gotdata.model import BLOCK, Span
from gotdata.store.keys import CHECK, check
from gotdata.store.partial import Partial

KEY = bytes(range(32))
SIZE = 3 * BLOCK + 1000
DATA = os.urandom(SIZE)


def make(folder: Path, key: bytes = KEY, create: int = 0o600, sparse: bool = True) -> Partial:
    return Partial(folder / "a.data", folder / "a.map", key, SIZE, create, sparse)


def block(number: int) -> memoryview:
    return memoryview(DATA)[number * BLOCK : (number + 1) * BLOCK]


@pytest.fixture
def partial(tmp_path: Path) -> Partial:
    return make(tmp_path)


def test_nothing_is_there_before_it_was_written(partial: Partial) -> None:
    assert partial.missing(0, 4) == [0, 1, 2, 3]
    assert partial.read(Span(0, 1)) is None


def test_a_read_is_exact_across_blocks_and_none_where_one_is_missing(partial: Partial) -> None:
    partial.write(0, block(0))
    partial.write(1, block(1))
    partial.write(3, block(3))
    assert partial.read(Span(10, 2 * BLOCK)) == DATA[10 : 2 * BLOCK]
    assert partial.read(Span(3 * BLOCK, SIZE)) == DATA[3 * BLOCK :]
    assert partial.read(Span(2 * BLOCK - 1, 2 * BLOCK + 1)) is None
    assert partial.missing(0, 4) == [2]
    assert not partial.complete()
    partial.write(2, block(2))
    assert partial.complete()
    assert partial.read(Span(0, SIZE)) == DATA


def test_another_process_sees_what_was_written(partial: Partial, tmp_path: Path) -> None:
    other = make(tmp_path, create=0)
    partial.write(0, memoryview(DATA)[: 2 * BLOCK])
    assert other.read(Span(0, 2 * BLOCK)) == DATA[: 2 * BLOCK]


@pytest.mark.parametrize("damage", ["zeros", "flip", "other block"])
def test_a_block_whose_bytes_were_lost_is_absent_and_can_be_written_again(
    partial: Partial, tmp_path: Path, damage: str
) -> None:
    partial.write(1, block(1))
    partial.close()
    with (tmp_path / "a.data").open("r+b") as file:
        file.seek(BLOCK)
        file.write({"zeros": bytes(BLOCK), "flip": bytes([DATA[BLOCK] ^ 1]), "other block": block(2)}[damage])
    again = make(tmp_path)
    assert again.read(Span(BLOCK, BLOCK + 1)) is None
    assert again.recorded() == []
    again.write(1, block(1))
    assert again.read(Span(BLOCK, 2 * BLOCK)) == block(1)


def test_blocks_that_came_under_another_key_are_absent(partial: Partial, tmp_path: Path) -> None:
    partial.write(0, block(0))
    assert make(tmp_path, key=bytes(32)).read(Span(0, 1)) is None


def test_a_map_without_its_data_tells_of_nothing(partial: Partial, tmp_path: Path) -> None:
    partial.write(0, block(0))
    partial.close()
    (tmp_path / "a.data").unlink()
    assert make(tmp_path).missing(0, 4) == [0, 1, 2, 3]
    assert make(tmp_path).recorded() == []


def test_what_is_removed_is_gone_for_every_process(partial: Partial, tmp_path: Path) -> None:
    other = make(tmp_path)
    assert not other.gone
    partial.remove()
    assert other.gone
    assert not make(tmp_path).gone


def test_a_block_is_recorded_only_after_its_bytes_were_written(
    partial: Partial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite

    def full(fd: int, data: memoryview, offset: int) -> int:
        if len(data) > CHECK:
            raise OSError(28, "No space left on device")
        return write(fd, data, offset)

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        partial.write(0, block(0))
    monkeypatch.undo()
    assert not any((tmp_path / "a.map").read_bytes())
    assert partial.read(Span(0, 1)) is None


def test_the_map_is_as_documented(partial: Partial, tmp_path: Path) -> None:
    partial.write(3, block(3))
    expected = bytes(3 * CHECK) + check(KEY, 3, block(3))
    assert (tmp_path / "a.map").read_bytes() == expected


def test_without_sparse_files_it_is_no_longer_than_what_was_written(tmp_path: Path) -> None:
    partial = make(tmp_path, sparse=False)
    assert (tmp_path / "a.data").stat().st_size == 0
    partial.write(0, block(0))
    assert (tmp_path / "a.data").stat().st_size == BLOCK
    assert partial.missing(0, 4) == [1, 2, 3]


def test_a_missing_partial_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make(tmp_path, create=0)
    assert list(tmp_path.iterdir()) == []
