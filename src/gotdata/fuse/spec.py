"""What the processes of a mount are told, and how they are told it: JSON on standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import Any, cast

import msgspec

from gotdata.errors import DeliveryError
from gotdata.report import Reporter, silent
from gotdata.tree.base import Lazy

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A mount, as its processes see it. Comes from the launcher, which is trusted: factories are code.

    Attributes:
        dataset: its name, for messages.
        log: the file that the processes write to.
        opens: ``module:function`` that gives the server its tree: names and what the store holds, no network.
        fetches: ``module:function`` that gives a worker its tree, on which ``ensure`` is called.
        arguments: keyword arguments for both. A factory with a parameter ``reporter`` is handed one as well.
        mtime: seconds, the same for every entry.
        bytes: of all files together, for statfs; ``files`` likewise.
        xattrs: of every entry, ``user.gotdata.…`` → value. ``user.gotdata.identity`` is added to each file, a
            weak one only beside ``user.gotdata.source``: both name the origin.
        writable: the modes say that everyone may write: for what is laid over the mount, which itself takes no write.
        timeout, workers, warn_walk, max_fetch: as in the settings.
    """

    dataset: str
    log: str
    opens: str
    fetches: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    mtime: int = 0
    bytes: int = 0
    files: int = 0
    xattrs: Mapping[str, str] = field(default_factory=dict)
    writable: bool = False
    timeout: float = 60.0
    workers: int = 1
    warn_walk: int = 0
    max_fetch: int = 0


def write(spec: Spec) -> bytes:
    return msgspec.json.encode(spec)


def read(text: bytes) -> Spec:
    return msgspec.json.decode(text, type=Spec)


def pipe(spec: Spec) -> int:
    """A descriptor to read the spec from, of any length; the caller closes it."""
    fd = os.memfd_create("gotdata-spec")
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(write(spec))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def tree(factory: str, arguments: Mapping[str, Any], reporter: Reporter = silent) -> Lazy:
    """What a factory gives.

    Raises:
        DeliveryError: there is none of that name.
    """
    module, _, function = factory.partition(":")
    try:
        make = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise DeliveryError(f"no tree can be made by {factory!r}: {error}") from error
    reports = {"reporter": reporter} if "reporter" in signature(make).parameters else {}
    return cast("Lazy", make(**arguments, **reports))
