from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.model import Ref
from gotdata.sources.http import Http
from gotdata.testing.server import Server
from gotdata.testing.source_contract import ODD_NAMES, Place, SourceContract, context


class Served:
    """A folder of the server with faults."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ref = Ref(server.at("data/"))
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.server.put(f"data/{path}", body)

    def remove(self, path: str) -> None:
        self.server.remove(f"data/{path}")

    def folder(self, path: str) -> None:
        self.server.put(f"data/{path}/")

    def one(self, path: str) -> Ref:
        return Ref(self.server.at(f"data/{path}"))


class TestHttp(SourceContract):
    source = Http()
    odd_names = (*ODD_NAMES, "line\nbreak", "not-utf8-\udcff")

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Server() as server:
            yield Served(server)
