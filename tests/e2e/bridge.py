"""A network of its own between an engine's containers and this machine: the default one goes when another engine starts
beside it without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network

from tests.e2e.engine import Engine


@dataclass(frozen=True, slots=True)
class Bridge:
    name: str
    subnet: str

    @property
    def address(self) -> str:
        """Where containers reach a server of this machine."""
        return str(next(ip_network(self.subnet).hosts()))


@contextmanager
def bridge(engine: Engine, name: str) -> Iterator[Bridge]:
    name = f"gotdata-test-{name}-{os.getpid()}"
    engine.docker("network", "create", name)
    try:
        [config] = json.loads(engine.docker("network", "inspect", name, "-f", "{{json .IPAM.Config}}").stdout)
        yield Bridge(name, config["Subnet"])
    finally:
        engine.docker("network", "rm", name, check=False)
