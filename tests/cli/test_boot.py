"""Units are installed where that is asked for, and only after the data is up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.fakes import FakeManifest, Line

if sys.platform != "linux":
    pytest.skip("units need Linux", allow_module_level=True)

from gotdata.errors import DeliveryError
from gotdata.serve import units


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []

    def boot(folder: Path, names: Any) -> Path:
        made.append((folder, names))
        return Path("/etc/systemd/system/gotdata-x.service")

    monkeypatch.setattr(units, "boot", boot)
    monkeypatch.setattr(units, "daemon", lambda words: made.append(words) or [Path("/etc/systemd/system/a.service")])
    return made


class Manifest(FakeManifest):
    root = Path("/srv/class")


def test_up_boot_installs_a_unit_for_the_repository_and_says_how_to_undo_it(gotdata: Line, made: list[Any]) -> None:
    gotdata.project.manifest = Manifest({})
    gotdata.project.answers["up"] = []
    said = gotdata("up", "cells", "--boot")
    assert said.code == 0
    assert made == [(Path("/srv/class"), ("cells",))]
    assert "systemctl disable gotdata-x.service" in said.err


def test_what_is_not_up_now_is_not_brought_up_at_boot(gotdata: Line, made: list[Any]) -> None:
    gotdata.project.manifest = Manifest({})
    gotdata.project.answers["up"] = DeliveryError("taken")
    assert gotdata("up", "--boot").code == 1
    assert made == []


def test_daemon_install_installs_its_units_and_ends(gotdata: Line, made: list[Any]) -> None:
    assert gotdata("daemon", "--install").code == 0
    assert gotdata("daemon", "--install", "--plugin", "data", "--no-plugin", "--linger=5").code == 0
    assert made == [[], ["--plugin=data", "--no-plugin", "--linger=5.0"]]


def test_what_the_units_can_not_have_is_refused(gotdata: Line, made: list[Any]) -> None:
    assert "leave out --run" in gotdata("daemon", "--install", "--run", "/elsewhere").err
    assert made == []
