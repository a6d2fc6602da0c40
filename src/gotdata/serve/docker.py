"""Docker's volume plugin protocol, version 1, over a node: https://docs.docker.com/engine/extend/plugins_volume/."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from gotdata.errors import GotdataError, NotFound
from gotdata.policy import Who
from gotdata.serve.base import Node, Volume
from gotdata.serve.unix_http import Request, Response, Route, message

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

_WHO = Who(service="docker")
"""The engine does not tell whose container it is: whoever may use the engine is trusted alike."""
_CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json"

Answer = Mapping[str, Any]


class _Nothing(msgspec.Struct):
    pass


class _Named(msgspec.Struct):
    name: str = msgspec.field(name="Name")


class _Create(_Named):
    options: dict[str, str] | None = msgspec.field(name="Opts", default=None)


class _Held(_Named):
    """``holder``: a word of the engine's, of its own for each place where a container has the volume."""

    holder: str = msgspec.field(name="ID")


Asked = TypeVar("Asked", bound=msgspec.Struct)


class Plugin:
    """What is wrong is told in ``Err``, which the engine shows to its user."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> Mapping[str, Route]:
        return {
            "POST /Plugin.Activate": _route(_Nothing, lambda _: {"Implements": ["VolumeDriver"]}),
            "POST /VolumeDriver.Capabilities": _route(_Nothing, lambda _: {"Capabilities": {"Scope": "local"}}),
            "POST /VolumeDriver.Create": _route(_Create, self._create),
            "POST /VolumeDriver.Remove": _route(_Named, self._remove),
            "POST /VolumeDriver.Mount": _route(_Held, self._mount),
            "POST /VolumeDriver.Unmount": _route(_Held, self._unmount),
            "POST /VolumeDriver.Path": _route(_Named, self._path),
            "POST /VolumeDriver.Get": _route(_Named, self._get),
            "POST /VolumeDriver.List": _route(_Nothing, self._list),
        }

    def _create(self, asked: _Create) -> Answer:
        self._node.create(asked.name, asked.options or {}, _WHO)
        return {}

    def _remove(self, asked: _Named) -> Answer:
        self._node.remove(self._volume(asked.name).name)
        return {}

    def _mount(self, asked: _Held) -> Answer:
        return {"Mountpoint": str(self._node.mount(self._volume(asked.name).name, asked.holder))}

    def _unmount(self, asked: _Held) -> Answer:
        self._node.unmount(self._volume(asked.name).name, asked.holder)
        return {}

    def _path(self, asked: _Named) -> Answer:
        return {"Mountpoint": self._volume(asked.name).mountpoint}

    def _get(self, asked: _Named) -> Answer:
        volume = self._volume(asked.name)
        return {"Volume": {**_listed(volume), "Status": volume.facts}}

    def _list(self, _: _Nothing) -> Answer:
        return {"Volumes": [_listed(volume) for volume in self._node.volumes() if volume.options]}

    def _volume(self, name: str) -> Volume:
        """What `gotdata up` had made for a user of the machine has no options, and is no engine's to give away."""
        volume = self._node.volume(name)
        if not volume.options:
            raise NotFound(f"'{name}' is no volume of Docker's")
        return volume


def _listed(volume: Volume) -> Answer:
    return {"Name": volume.name, "Mountpoint": volume.mountpoint}


def _route(kind: type[Asked], ask: Callable[[Asked], Answer]) -> Route:
    def route(request: Request) -> Response:
        try:
            told = {**ask(msgspec.json.decode(request.body or b"{}", type=kind)), "Err": ""}
        except msgspec.MsgspecError as error:
            told = {"Err": f"the engine's request can't be read: {error}"}
        except GotdataError as error:
            told = {"Err": message(error)}
        return Response(200, msgspec.json.encode(told), _CONTENT_TYPE)

    return route
