"""A file of a tree as Python's own kind of file."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.model import BLOCK
from gotdata.project import Project
from gotdata.testing.server import Server
from gotdata.tree.file import TreeFile

BODY = random.Random(6).randbytes(32 * BLOCK + 17)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.put("cells.bin", BODY)
        yield server


@pytest.fixture
def file(server: Server, tmp_path: Path, store: Path) -> Iterator[TreeFile]:
    entry = {"from": server.at("cells.bin")}
    (tmp_path / "gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": entry}}))
    with Project.find(tmp_path) as project:
        project.lock()
        server.requests.clear()
        tree = project.tree("cells")
        with TreeFile(tree, tree.lookup(1, "cells.bin").id, "cells.bin") as file:
            yield file


def test_it_reads_as_any_file_does(file: TreeFile) -> None:
    assert file.seek(-17, io.SEEK_END) == 32 * BLOCK
    assert file.read() == BODY[-17:]
    assert file.read(1) == b""
    assert file.seek(3) == 3
    assert file.seek(2, io.SEEK_CUR) == 5
    buffer = bytearray(10)
    assert file.readinto(buffer) == 10
    assert (bytes(buffer), file.tell(), file.readable(), file.writable()) == (BODY[5:15], 15, True, False)
    with pytest.raises(ValueError, match="before its start"):
        file.seek(-1)


def test_who_reads_in_order_is_fetched_ahead_of(file: TreeFile, server: Server) -> None:
    with io.BufferedReader(file, 64 * 1024) as buffered:
        assert buffered.read(100) == BODY[:100]
        assert b"".join(iter(lambda: buffered.read(10_000), b"")) == BODY[100:]
    assert len(server.requests) < 16


def test_who_reads_at_random_is_not(file: TreeFile, server: Server) -> None:
    for block in (20, 3, 11, 30):
        file.seek(block * BLOCK)
        assert file.read(10) == BODY[block * BLOCK : block * BLOCK + 10]
    assert len(server.requests) == 4


def test_a_closed_one_reads_no_more(file: TreeFile) -> None:
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
