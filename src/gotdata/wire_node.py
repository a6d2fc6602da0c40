"""A dataset locked for a node's daemon, in a process of its own: ``python -m gotdata.wire_node``. What it is told comes
on standard input, and what it found, or why not, goes to standard output: both JSON."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from gotdata import errors
from gotdata import manifest as manifests
from gotdata.errors import DeliveryError, GotdataError
from gotdata.paths import redact
from gotdata.reach import Reach
from gotdata.repository import Repository
from gotdata.serve.order import DATASET, Found, Order
from gotdata.snapshot import MTIME
from gotdata.wire import Workbench

_PATIENCE = 600.0
"""Seconds for a listing, and its index."""


class Answer(msgspec.Struct):
    """``found``, or the class and the message of an error."""

    found: Found | None = None
    error: str = ""
    message: str = ""


def prepare(order: Order) -> Found:
    """As ``order.Prepare``, in this process."""
    with Workbench.open({"store": order.store}, reach=msgspec.convert(order.reach, Reach)) as bench:
        if order.manifest:
            _fill(order, bench)
        repository = Repository(manifests.load(Path(order.folder, manifests.NAME)), bench)
        [locked] = repository.lock([DATASET])
        return Found(
            arguments={**repository.arguments(DATASET), "reach": order.reach},
            snapshot=locked.snapshot,
            level=locked.level,
            files=locked.files,
            bytes=locked.bytes,
            reference=locked.reference,
            urls=repository.urls(DATASET),
            mtime=MTIME,
        )


def _fill(order: Order, bench: Workbench) -> None:
    """Takes one dataset, and what is locked of it, out of another repository."""
    path = Path(order.manifest)
    there = Repository(manifests.load(manifests.find(path) if path.is_dir() else path), bench)
    for name, data in there.alone(order.dataset, DATASET).items():
        place = Path(order.folder, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def prepare_apart(order: Order) -> Found:
    """As ``order.Prepare``, in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "gotdata.wire_node"],
            input=msgspec.json.encode(order),
            capture_output=True,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise DeliveryError(f"the listing took longer than {_PATIENCE:g} s; ask the operator to lock it") from None
    try:
        answer = msgspec.json.decode(done.stdout, type=Answer)
    except msgspec.MsgspecError:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DeliveryError(f"the process that lists ended ({done.returncode}): {' '.join(said)}") from None
    if answer.found is None:
        raise _known(answer.error)(answer.message)
    return answer.found


def _known(name: str) -> type[GotdataError]:
    kind: Any = getattr(errors, name, GotdataError)
    return kind if isinstance(kind, type) and issubclass(kind, GotdataError) else GotdataError


def main() -> None:
    try:
        answer = Answer(prepare(msgspec.json.decode(sys.stdin.buffer.read(), type=Order)))
    except GotdataError as error:
        answer = Answer(error=type(error).__name__, message=redact(str(error)))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
