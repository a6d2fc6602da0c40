"""The daemon's own socket: what the command line asks it, and what an operator's monitoring reads."""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec

from gotdata.errors import DeliveryError, ManifestError, NotFound, PolicyError
from gotdata.policy import person
from gotdata.serve import binding
from gotdata.serve.metrics import Metrics
from gotdata.serve.node import LocalNode
from gotdata.serve.unix_http import Request, Response, Route, answer

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")


BODY_LIMIT = 64 << 20
"""Bytes of a request: a lock and its texts come with it, in base64."""
AT_ONCE = 64
"""Datasets that one user may have up by the daemon: each may take a mount, with its processes, and room on the disk."""


class Up(msgspec.Struct, forbid_unknown_fields=True):
    """``files`` are those of a repository with one dataset, see ``Repository.alone``."""

    target: str
    files: dict[str, bytes]


class May(msgspec.Struct, forbid_unknown_fields=True):
    """``places`` as ``model.Ref`` has them."""

    target: str
    places: Annotated[list[str], msgspec.Meta(max_length=1000)]


class Down(msgspec.Struct, forbid_unknown_fields=True):
    target: str
    lazy: bool = False


class Control:
    """Whoever may connect is known by the kernel's word, and judged by the policy. Volumes and metrics are root's."""

    def __init__(self, node: LocalNode, metrics: Metrics) -> None:
        self._node, self._metrics = node, metrics
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def routes(self) -> Mapping[str, Route]:
        return {
            "GET /health": self._health,
            "GET /metrics": self._show,
            "GET /volumes": self._volumes,
            "POST /may": self._may,
            "POST /up": self._up,
            "POST /down": self._down,
        }

    def _health(self, _: Request) -> Response:
        return answer(self._metrics.health())

    def _show(self, request: Request) -> Response:
        _only_root(request)
        return Response(200, self._metrics.text().encode(), "text/plain; version=0.0.4")

    def _volumes(self, request: Request) -> Response:
        _only_root(request)
        return answer(self._node.volumes())

    def _may(self, request: Request) -> Response:
        asked = msgspec.json.decode(request.body, type=May)
        binding.check_namespace(request.pid)
        self._node.judge(person(request.uid, "control"), tuple(asked.places), root=str(_place(asked.target)))
        return answer({})

    def _up(self, request: Request) -> Response:
        asked = msgspec.json.decode(request.body, type=Up)
        target = _place(asked.target)
        binding.check_namespace(request.pid)
        name = _name(request.uid, target)
        with self._locks[name]:
            with suppress(NotFound):
                self._take_away(name, target, lazy=True)
            self._check_count(request.uid)
            self._node.create(name, {}, person(request.uid, "control"), asked.files, str(target))
            try:
                binding.bind(self._node.mount(name, str(target)), target, request.uid)
            except BaseException:
                self._forget(name, target)
                raise
        return answer({"target": str(target)})

    def _down(self, request: Request) -> Response:
        asked = msgspec.json.decode(request.body, type=Down)
        target = _place(asked.target)
        name = _name(request.uid, target)
        with self._locks[name]:
            self._take_away(name, target, asked.lazy)
        return answer({"target": str(target)})

    def _check_count(self, uid: int) -> None:
        theirs = sum(volume.name.startswith(f"up-{uid}-") for volume in self._node.volumes())
        if uid and theirs >= AT_ONCE:
            raise PolicyError(f"{theirs} datasets of yours are up already, which is the most: take some down first")

    def _take_away(self, name: str, target: Path, lazy: bool) -> None:
        """Only what this user had made: the name says whose it is. What they moved away is not forgotten: so they could
        have any number of mounts."""
        volume = self._node.volume(name)
        if not binding.unbind(target, lazy) and volume.mountpoint:
            places = {holder for each in self._node.volumes() for holder in each.holders}
            if binding.strayed(Path(volume.mountpoint), places):
                raise DeliveryError(f"what was mounted at {target} was moved with its folder: move it back first")
        self._forget(name, target)

    def _forget(self, name: str, target: Path) -> None:
        self._node.unmount(name, str(target))
        self._node.remove(name)


def _name(uid: int, target: Path) -> str:
    return f"up-{uid}-{sha256(os.fsencode(target)).hexdigest()[:24]}"


def _place(text: str) -> Path:
    if not text.startswith("/") or "\0" in text or os.path.normpath(text) != text:
        raise ManifestError(f"{text[:200]!r} is no absolute path in its shortest form")
    return Path(text)


def _only_root(request: Request) -> None:
    if request.uid != 0:
        raise PolicyError("this is for root only")
