"""A store in a fresh folder, readers that are closed, and retries that don't wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gotdata.report import Event
from gotdata.settings import Settings
from gotdata.store.reader import Reader
from gotdata.store.store import Store

SETTINGS = Settings(store_keep_free=0, retries=2, connections=4, timeout=30)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotdata.store.stream._BACKOFF", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", SETTINGS)


@pytest.fixture
def events() -> list[Event]:
    return []


MakeReader = Callable[..., Reader]


@pytest.fixture
def make_reader(store: Store, events: list[Event]) -> Iterator[MakeReader]:
    made: list[Reader] = []

    def make(settings: Settings = SETTINGS, of: Store = store) -> Reader:
        made.append(Reader(of, settings, events.append))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.fixture
def reader(make_reader: MakeReader) -> Reader:
    return make_reader()
