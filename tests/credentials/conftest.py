from __future__ import annotations

from pathlib import Path

import pytest

from tests.credentials import places
from tests.credentials.places import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return places.home(tmp_path, monkeypatch)
