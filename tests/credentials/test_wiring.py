"""Credentials where the parts are joined: who gets which, and what is said of those that end."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from gotdata.credentials import Credential, Credentials
from gotdata.model import Pin, Ref
from gotdata.reach import ANYWHERE, Reach
from gotdata.wire import LASTING, Workbench
from gotdata.wire_trees import Bench
from tests.credentials.places import Home


@pytest.fixture
def person(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home.write("settings.toml", "")
    for name, value in {
        **home.environ,
        "GOTDATA_STORE": str(tmp_path / "store"),
        "XDG_CACHE_HOME": "",
        "HF_HOME": "",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("HF_TOKEN", "GOTDATA_CREDENTIALS", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    return home


def test_what_works_for_others_takes_nothing_that_tools_left_in_its_home(person: Home) -> None:
    person.write(".cache/huggingface/token", "hf_x")
    with Bench.open(reach=ANYWHERE) as mine, Bench.open(reach=Reach()) as theirs:
        assert mine.ctx.credentials.find("https://huggingface.co/x")
        assert theirs.ctx.credentials.find("https://huggingface.co/x") is None


@pytest.mark.parametrize(("lasts", "warned"), [(LASTING - 60, True), (LASTING + 60, False), (None, False)])
def test_a_credential_that_ends_while_a_mount_is_up_is_warned_of(
    person: Home, lasts: float | None, warned: bool
) -> None:
    until = None if lasts is None else time.time() + lasts
    held = Credentials(
        Credential(f"https://{host}:443/", f"cred:{host}", expires=until, origin="here") for host in ("h", "elsewhere")
    )
    with Workbench.open() as bench:
        bench.ctx = replace(bench.ctx, credentials=held)
        pin = Pin("http", Ref("https://h/x"), "https://h/x", {"size": "1", "name": "x"})
        assert bool(bench.ending(pin)) is warned
        assert all(one.prefix == "https://h:443/" for one in bench.ending(pin))
