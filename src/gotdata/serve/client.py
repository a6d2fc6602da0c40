"""The daemon of this machine, asked from the command line, and the delivery that it makes possible."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec

from gotdata import errors
from gotdata.deliver.base import Job, Receipt, clear_way, make_way
from gotdata.errors import DeliveryError, GotdataError, NotFound
from gotdata.outcome import State

_PATIENCE = 660.0
"""Seconds: somebody else's listing may have to be made first."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        if sys.platform == "win32":
            raise OSError("there are no daemons on Windows")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, method: str, route: str, told: Mapping[str, Any] | None = None) -> Any:
    """Raises what the daemon raised; DeliveryError where none answers."""
    body = msgspec.json.encode(told) if told is not None else None
    try:
        with closing(_Connection(path)) as connection:
            connection.request(method, route, body)
            answer = connection.getresponse()
            text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"no daemon answers at {path} ({error}); the operator starts it") from error
    try:
        found = json.loads(text)
    except ValueError:
        raise DeliveryError(f"what answers at {path} is no daemon of gotdata") from None
    if answer.status == 200:
        return found
    kind: Any = getattr(errors, str(found.get("error")), GotdataError)
    raise (kind if isinstance(kind, type) and issubclass(kind, GotdataError) else GotdataError)(found.get("message"))


class Shared:
    """The daemon's mount, which all who want the same tree share, bound to the target."""

    name = "volume"

    def __init__(self, path: Path) -> None:
        self._path = path

    def there(self) -> bool:
        return self._path.exists()

    def refusal(self) -> str:
        if not self.there():
            return "no daemon runs here"
        try:
            ask(self._path, "GET", "/health")
        except GotdataError as error:
            return str(error)
        return ""

    def may(self, places: Sequence[str], target: Path) -> str:
        """Why the daemon would not make this appear; empty where it would."""
        if refusal := self.refusal():
            return refusal
        try:
            ask(self._path, "POST", "/may", {"target": str(target), "places": places})
        except GotdataError as error:
            return str(error)
        return ""

    def up(self, job: Job) -> Receipt:
        from gotdata.fuse import mounting

        job.clear()
        folders = make_way(job.root, job.target)
        try:
            ask(self._path, "POST", "/up", {"target": mounting.place(job.target), "files": job.alone()})
        except BaseException:
            clear_way(job.root, folders)
            raise
        return Receipt(job.name, self.name, str(job.target.relative_to(job.root)), job.tree.snapshot, folders)

    def state(self, root: Path, receipt: Receipt) -> tuple[State, str]:
        from gotdata.fuse import mounting

        target = root / receipt.target
        if not mounting.is_mounted(target):
            return State.BROKEN, f"nothing is mounted at {receipt.target} any more"
        if mounting.is_dead(target):
            return State.BROKEN, f"the daemon's mount behind {receipt.target} is gone"
        return State.UP, ""

    def down(self, root: Path, receipt: Receipt, lazy: bool = False) -> None:
        from gotdata.fuse import mounting

        with suppress(NotFound):  # after a reboot there is nothing left to take away
            ask(self._path, "POST", "/down", {"target": mounting.place(root / receipt.target), "lazy": lazy})
        clear_way(root, receipt.folders)
