"""How gotdata works on this machine: one table. A flag wins over the environment (``GOTDATA_NAME``), that over the file
(``settings.toml`` in the platform's configuration folder, or ``$GOTDATA_SETTINGS``), that over the default."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import platformdirs

from gotdata.errors import ManifestError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def _setting(default: Any, unit: str, help: str, least: float = 0) -> Any:
    return field(default=default, metadata={"help": help, "unit": unit, "least": least})


@dataclass(frozen=True, slots=True)
class Settings:
    store: str = _setting("", "folder", "the folder of the store; empty: the platform's cache folder")
    store_quota: int = _setting(
        0,
        "bytes",
        "what the store may hold before the least recently used go; 0: no limit. A larger file can't be fetched",
    )
    store_keep_free: int = _setting(1 << 30, "bytes", "what the store leaves free on its file system")
    max_fetch: int = _setting(0, "bytes", "what a mount may fetch in all before it refuses (EIO); 0: no limit")
    warn_walk: int = _setting(10 << 30, "bytes", "fetched for one process before a warning names it; 0: never")
    connections: int = _setting(8, "number", "streams at once to one host", 1)
    retries: int = _setting(5, "number", "tries again after an answer that may pass")
    connect_timeout: float = _setting(10.0, "seconds", "to wait for a connection", 0.001)
    timeout: float = _setting(60.0, "seconds", "in which a read ends, with its bytes or with an error", 0.001)
    workers: int = _setting(1, "number", "processes that fetch for one mount", 1)
    lock_text_limit: int = _setting(10 << 20, "bytes", "up to which a snapshot's texts are written to be committed")
    shards_url: str = _setting("", "URL", "where longer texts are published, written into the lock by `gotdata lock`")
    s3_profile: str = _setting("", "name", "the AWS profile to take keys from")
    globus_endpoint: str = _setting(
        "",
        "UUID",
        "the Globus collection that writes into globus_folder; UUID/PATH where it knows that by another path",
    )
    globus_folder: str = _setting("", "folder", "where Globus brings files of collections that send none over HTTPS")
    bake_max_size: int = _setting(
        2 * 10**9, "bytes", "what `gotdata bake` may add to an image: all of it is pulled before a container starts"
    )
    policy: str = _setting("/etc/gotdata/policy.yml", "path", "the operator's rules, for the daemon")
    daemon: str = _setting("/run/gotdata/gotdata.sock", "path", "the socket of this machine's daemon")
    networks: str = _setting(
        "", "networks", "private networks that `bake` and `entrypoint` may ask all the same: 10.1.0.0/16, …"
    )
    here: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"help": "references that lie in folders of this machine: URL prefix = folder", "unit": "table"},
    )

    @property
    def network_list(self) -> tuple[str, ...]:
        return tuple(self.networks.replace(",", " ").split())

    @property
    def store_path(self) -> Path:
        return Path(self.store).expanduser() if self.store else Path(platformdirs.user_cache_dir("gotdata"))


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    named = environ.get("GOTDATA_SETTINGS")
    return Path(named) if named else Path(platformdirs.user_config_dir("gotdata")) / "settings.toml"


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force. An empty variable and a flag that is None say nothing.

    Raises:
        ManifestError: a setting that does not exist, or a value that does not fit; the place is named.
    """
    path = settings_file(environ)
    values = {name: _fit(name, value, str(path)) for name, value in _from_file(path, environ).items()}
    for name in _KNOWN.keys() - {"here"}:
        variable = f"GOTDATA_{name.upper()}"
        if environ.get(variable):
            values[name] = _fit(name, environ[variable], variable)
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = _fit(name, value, f"--{name.replace('_', '-')}")
    return Settings(**values)


def _from_file(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if environ.get("GOTDATA_SETTINGS"):
            raise ManifestError(f"{path} is not there, and GOTDATA_SETTINGS names it") from None
        return {}
    except OSError as error:
        raise ManifestError(f"{path}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ManifestError(f"{path}: {error}") from error


_KNOWN = {setting.name: setting for setting in fields(Settings)}


def _fit(name: str, value: Any, where: str) -> Any:
    if name not in _KNOWN:
        raise ManifestError(f"{where}: no setting {name!r}; there are {', '.join(sorted(_KNOWN))}")
    try:
        return _converted(_KNOWN[name].metadata, value)
    except ValueError as error:
        raise ManifestError(f"{where}: {name} can't be {value!r}: {error}") from error


def _converted(setting: Mapping[str, Any], value: Any) -> Any:
    unit = setting["unit"]
    if unit == "table":
        if not isinstance(value, dict) or not all(isinstance(folder, str) and folder for folder in value.values()):
            raise ValueError("a table of URL prefix = folder is due")
        return value
    if unit not in {"bytes", "number", "seconds"}:
        if not isinstance(value, str):
            raise ValueError("text is due")
        for network in value.replace(",", " ").split() if unit == "networks" else ():
            ip_network(network)
        return value
    number = parse_size(str(value)) if unit == "bytes" else _number(str(value), unit)
    if number < setting["least"]:
        raise ValueError(f"{setting['least']} is the least")
    return number


def _number(text: str, unit: str) -> float:
    pattern, kind, due = (r"\d{1,9}", int, "a whole number") if unit == "number" else (r"\d{1,9}(\.\d*)?", float, unit)
    if not re.fullmatch(pattern, text.strip()):
        raise ValueError(f"{due} is due")
    return kind(text)


def parse_size(text: str) -> int:
    """``"10 GiB"``, ``"500MB"``, ``"4096"`` → bytes. Raises ValueError."""
    match = re.fullmatch(r"(\d+)(\.\d+)?\s*([kmgt]i?)?b?", text.strip().lower())
    if not match or (match[2] and not match[3]):
        raise ValueError("a number of bytes such as 500MB or 10 GiB is due")
    whole, fraction, unit = int(match[1]), float(match[2] or 0), _UNITS[match[3] or ""]
    return whole * unit + int(fraction * unit)
