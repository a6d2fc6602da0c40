"""One table of settings: which place wins, what does not fit, and that all of it is documented."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from gotdata import settings
from gotdata.errors import ManifestError
from gotdata.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment whose settings file is empty."""
    (tmp_path / "settings.toml").write_text("", "utf-8")
    return {"GOTDATA_SETTINGS": str(tmp_path / "settings.toml")}


def write(environ: dict[str, str], text: str) -> None:
    Path(environ["GOTDATA_SETTINGS"]).write_text(text, "utf-8")


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(environ: dict[str, str]) -> None:
    assert settings.load({}, environ).connections == 8
    write(environ, "connections = 2")
    assert settings.load({}, environ).connections == 2
    environ["GOTDATA_CONNECTIONS"] = "3"
    assert settings.load({}, environ).connections == 3
    assert settings.load({"connections": 4}, environ).connections == 4


def test_an_empty_variable_and_a_flag_not_given_say_nothing(environ: dict[str, str]) -> None:
    write(environ, "connections = 2")
    environ["GOTDATA_CONNECTIONS"] = ""
    assert settings.load({"connections": None}, environ).connections == 2


def test_the_file_is_looked_for_in_the_platforms_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_config_dir", lambda name: str(tmp_path / name))
    assert settings.load({}, {}) == Settings()
    (tmp_path / "gotdata").mkdir()
    (tmp_path / "gotdata" / "settings.toml").write_text("retries = 1", "utf-8")
    assert settings.load({}, {}).retries == 1


def test_here_is_a_table_of_the_file(environ: dict[str, str]) -> None:
    write(environ, '[here]\n"https://h.org/a/" = "/mnt/a"')
    environ["GOTDATA_HERE"] = "not read"
    assert settings.load({}, environ).here == {"https://h.org/a/": "/mnt/a"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("conections = 2", "no setting 'conections'"),
        ("connections = ", "Invalid value"),
        ("connections = 2\nconnections = 3", "Cannot overwrite"),
        ("connections = 0", "1 is the least"),
        ("connections = 1.5", "a whole number"),
        ("connections = '8 KiB'", "a whole number"),
        ("connections = true", "a whole number"),
        ("retries = -1", "a whole number"),
        ("timeout = 0", "0.001 is the least"),
        ("timeout = inf", "seconds"),
        ("timeout = nan", "seconds"),
        ("timeout = true", "seconds"),
        ("store = 3", "text is due"),
        ("store_quota = 'much'", "500MB or 10 GiB"),
        ("store_quota = -1", "500MB or 10 GiB"),
        ("here = 'x'", "a table"),
        ("[here]\na = 3", "a table"),
        ("[here]\na = ''", "a table"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(environ: dict[str, str], text: str, why: str) -> None:
    write(environ, text)
    with pytest.raises(ManifestError) as caught:
        settings.load({}, environ)
    assert why in str(caught.value)
    assert environ["GOTDATA_SETTINGS"] in str(caught.value)


def test_a_wrong_variable_or_flag_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ManifestError, match="--store-quota: store_quota can't be 'x'"):
        settings.load({"store_quota": "x"}, environ)
    with pytest.raises(ManifestError, match="GOTDATA_STORE_QUOTA: store_quota can't be 'x'"):
        settings.load({}, {**environ, "GOTDATA_STORE_QUOTA": "x"})


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="GOTDATA_SETTINGS names it"):
        settings.load({}, {"GOTDATA_SETTINGS": str(tmp_path / "none.toml")})
    with pytest.raises(ManifestError, match="can't be read"):
        settings.load({}, {"GOTDATA_SETTINGS": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("1 k", 1000), ("1KiB", 1024), ("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("2t", 2 * 10**12)],
)
def test_sizes(text: str, size: int) -> None:
    assert settings.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "1.5", "-1", "1 XB", "1e3", "1 GiB x"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="a number of bytes"):
        settings.parse_size(text)


def test_the_store_is_where_the_setting_says_else_in_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"/cache/{name}")
    assert Settings(store="~/data").store_path == Path("/home/me/data")
    assert Settings().store_path == Path("/cache/gotdata")


@pytest.mark.parametrize("name", [setting.name for setting in fields(Settings)])
def test_the_page_has_each_setting_with_unit_default_and_help(name: str) -> None:
    setting = next(setting for setting in fields(Settings) if setting.name == name)
    default = getattr(Settings(), name)
    seen = "empty" if default in ("", {}) else default
    row = f"| `{name}` | {setting.metadata['unit']} | {seen} | {setting.metadata['help']} |"
    assert row in PAGE.read_text("utf-8").splitlines()
