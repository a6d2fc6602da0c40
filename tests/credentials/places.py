"""A home of its own for tests of what is found in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gotdata import credentials
from gotdata.credentials import Credential, Credentials


def no_network(url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
    raise AssertionError(f"{url} was asked")


def headers(found: Credential | None) -> dict[str, str]:
    assert found is not None
    return dict(found.sent(no_network).headers)


@dataclass
class Home:
    """``environ`` has nothing of the machine's own."""

    path: Path
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
        return place

    def load(self, *, service: bool = False) -> Credentials:
        return credentials.load(self.environ, service=service)


def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return Home(tmp_path, {"GOTDATA_SETTINGS": str(tmp_path / "settings.toml")})
