"""How gotdata works on this machine: one table. A flag wins over the environment (``GOTDATA_NAME``), that over the file
(``settings.toml`` in the platform's configuration folder, or ``$GOTDATA_SETTINGS``), that over the default."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from gotdata.errors import ManifestError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    store: str = _setting("", "the folder of the store; empty: the platform's cache folder")
    store_quota: int = _setting(0, "bytes the store may hold before the least recently used go; 0: no limit")
    store_keep_free: int = _setting(1 << 30, "bytes that the store leaves free on its file system")
    max_fetch: int = _setting(0, "bytes that a mount may fetch in all before it refuses (EIO); 0: no limit")
    warn_walk: int = _setting(10 << 30, "bytes fetched for one process before a warning names it; 0: never")
    connections: int = _setting(8, "streams at once to one host")
    retries: int = _setting(5, "tries again after an answer that may pass")
    connect_timeout: float = _setting(10.0, "seconds to wait for a connection")
    timeout: float = _setting(60.0, "seconds in which a read ends, with its bytes or with an error")
    workers: int = _setting(1, "processes that fetch for one mount")
    lock_text_limit: int = _setting(10 << 20, "bytes up to which a snapshot's texts are written to be committed")
    shards_url: str = _setting("", "where longer texts are published, written into the lock by `gotdata lock`")
    s3_profile: str = _setting("", "the AWS profile to take keys from")
    here: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "references that lie in folders of this machine: {URL prefix = folder}"}
    )

    @property
    def store_path(self) -> Path:
        return Path(self.store).expanduser() if self.store else Path(platformdirs.user_cache_dir("gotdata"))


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    named = environ.get("GOTDATA_SETTINGS")
    return Path(named) if named else Path(platformdirs.user_config_dir("gotdata")) / "settings.toml"


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force.

    Raises:
        ManifestError: a setting that does not exist, or a value that does not fit; the place is named.
    """
    values: dict[str, Any] = {}
    path = settings_file(environ)
    if path.exists():
        try:
            found = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ManifestError(f"{path}: {error}") from error
        values |= {name: _fit(name, value, str(path)) for name, value in found.items()}
    for setting in fields(Settings):
        variable = f"GOTDATA_{setting.name.upper()}"
        if variable in environ and setting.name != "here":
            values[setting.name] = _fit(setting.name, environ[variable], variable)
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = _fit(name, value, f"--{name.replace('_', '-')}")
    return Settings(**values)


def _fit(name: str, value: Any, where: str) -> Any:
    known = {setting.name: setting for setting in fields(Settings)}
    if name not in known:
        raise ManifestError(f"{where}: no setting {name!r}; there are {', '.join(sorted(known))}")
    default = known[name].default
    try:
        if name == "here":
            if not isinstance(value, dict) or not all(isinstance(folder, str) for folder in value.values()):
                raise ValueError("a table of URL prefix = folder")
            return dict(value)
        if isinstance(default, float):
            return float(value)
        if isinstance(default, int):
            return parse_size(str(value))
        if not isinstance(value, str):
            raise ValueError("text")
        return value
    except ValueError as error:
        raise ManifestError(f"{where}: {name} can't be {value!r}: {error}") from error


def parse_size(text: str) -> int:
    """``"10 GiB"``, ``"500MB"``, ``"4096"`` → bytes. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", text.strip().lower())
    if not match:
        raise ValueError("a number of bytes such as 500MB or 10 GiB is due")
    return int(float(match[1]) * _UNITS[match[2] or ""])
