from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.testing.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    """Another web origin."""
    with Server() as other:
        yield other
