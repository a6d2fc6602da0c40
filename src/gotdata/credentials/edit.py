"""Edits of credentials.toml that keep comments and order: one entry is put in, replaced or taken out."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from gotdata.credentials.held import holder
from gotdata.errors import ManifestError

_LOCK = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
"""Of a lock's file nothing is changed: who may write to the folder could put a link to another file there."""


def put(path: Path, prefix: str, entry: Mapping[str, Any]) -> None:
    """Raises ManifestError: the file can't be edited without changing more than the entry."""
    lines = [f"{key} = {_value(value)}" for key, value in entry.items()]
    _edit(path, prefix, [f"[{_quoted(prefix)}]", *lines], dict(entry))


def remove(path: Path, prefix: str) -> None:
    """Raises ManifestError: as ``put``."""
    _edit(path, prefix, [], None)


def replace_refresh(path: Path, prefix: str, token: str, account: str) -> None:
    """Keeps a refresh token that its provider gave ``account`` in place of the one that was used, and the account with
    it. Where it can't be written (a mounted secret), this process goes on with it, and the next one with the old one.
    An entry that became another account's in the meantime stays."""
    with suppress(ManifestError, OSError, ValueError):
        held = tomllib.loads(path.read_text("utf-8")).get(prefix)
        if not isinstance(held, dict) or not isinstance(held.get("refresh"), str):
            return
        if (held.get("account") or holder(str(held.get("client", "")), held["refresh"])) == account:
            put(path, prefix, {**held, "refresh": token, "account": account})


def _edit(path: Path, prefix: str, fresh: list[str], entry: dict[str, Any] | None) -> None:
    with _locked(path):
        old = path.read_text("utf-8") if path.exists() else ""
        try:
            held = tomllib.loads(old)
            text = _replaced(old, prefix, fresh)
            becomes = {**held, prefix: entry}
            if entry is None:
                del becomes[prefix]
            if tomllib.loads(text) != becomes:
                raise ValueError
        except ValueError:
            raise ManifestError(f"{path}: it can't be edited without changing more; mend it by hand") from None
        _write(path, text)


def _replaced(text: str, prefix: str, fresh: list[str]) -> str:
    """An entry's own lines of comment stay where it is replaced, and go with it."""
    lines = text.removesuffix("\n").split("\n") if text else []  # splitlines() knows more ends of lines than TOML
    start = next((at for at, line in enumerate(lines) if _header(line) == prefix), None)
    if start is None:
        gap = [""] if lines and lines[-1].strip() and fresh else []
        return "\n".join([*lines, *gap, *fresh]) + "\n"
    stop = next((at for at in range(start + 1, len(lines)) if re.match(r"\s*\[", lines[at])), len(lines))
    while stop > start + 1 and not lines[stop - 1].split("#")[0].strip():
        stop -= 1  # what stands above the next entry is that one's
    kept = [line for line in lines[start + 1 : stop] if line.lstrip().startswith("#")] if fresh else []
    return "\n".join([*lines[:start], *fresh[:1], *kept, *fresh[1:], *lines[stop:]]) + "\n"


def _header(line: str) -> str:
    """The name of the table that a line begins; empty where it begins none."""
    if not line.lstrip().startswith("["):
        return ""
    try:
        names = list(tomllib.loads(line))
    except ValueError:
        return ""
    return names[0] if len(names) == 1 else ""


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return _quoted(str(value))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'


def _write(path: Path, text: str) -> None:
    """In place of the old file at once, for its owner's eyes only from the beginning."""
    place = path.resolve()
    fresh = place.with_name(f".{place.name}.{token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(place)
    except OSError as error:
        raise ManifestError(f"{path}: can't be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """So that of two edits at once none is lost."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path.with_name(f".{path.name}.lock"), _LOCK, 0o600), "wb") as file:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise ManifestError(f"{path}: can't be written: {error.strerror}") from error
