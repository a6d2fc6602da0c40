"""What was found behind a key: the sha256 of content that was hashed here. One small entry a key."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gotdata.store.room import scan


class Grants:
    """A word is kept as the target of a symbolic link, which takes no block of the disk and is there at once or not at
    all; where a file system has no links, as a small file. Nothing is synced: what a crash takes is fetched again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: bytes) -> str:
        """A sha256 in hexadecimal; empty where nothing, or nothing sound, is there."""
        return _sha256(self._path(key)) or ""

    def put(self, key: bytes, sha256: str) -> None:
        path = self._path(key)
        word = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
        with suppress(OSError, NotImplementedError):
            os.symlink(word, path)
            return
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            os.symlink(word, fresh)
        except (OSError, NotImplementedError):
            fresh.write_text(word, "ascii")
        fresh.replace(path)

    def all(self) -> Iterator[tuple[Path, str | None]]:
        """Every entry's file and its sha256; None where it can't be read, as what a killed ``put`` leaves."""
        for shelf in scan(self._folder):
            for path in scan(shelf):
                yield path, _sha256(path) if len(path.name) == 64 else None

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self._folder.joinpath(name[:2], name)


def _sha256(path: Path) -> str | None:
    with suppress(OSError, ValueError):
        try:
            word = os.readlink(path)
        except FileNotFoundError:
            return None
        except OSError:
            word = path.read_text("ascii")
        raw = base64.b64decode(word + "=", altchars=b"-_", validate=True)
        return raw.hex() if len(raw) == 32 else None
    return None
