"""Azurite, Microsoft's emulator of Azure Storage, which verifies credentials. Azure's own Python client fills it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gotdata.model import Ref
from gotdata.testing.server import Reply
from gotdata.testing.source_contract import context
from tests.e2e.between import Between, between
from tests.e2e.servers import Server, free_ports, running

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of every emulator, and of nobody's data."""
BUSY = Reply(
    503,
    {"Content-Type": "application/xml", "x-ms-error-code": "ServerBusy", "Retry-After": "1"},
    b"<Error><Code>ServerBusy</Code><Message>The server is busy.</Message></Error>",
)
_NODE = 20


@contextmanager
def emulator(folder: Path) -> Iterator[Server]:
    node = shutil.which("node")
    program = Path(sys.prefix) / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    if node is None or not program.exists():
        pytest.skip("Azurite is not installed: `make test` does it where there are node and npm")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(told.strip().removeprefix("v").partition(".")[0]) < _NODE:
        pytest.skip(f"Azurite needs node {_NODE} or newer, and this is {told.strip()}")
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    command = [node, str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    url = f"http://127.0.0.1:{port}"
    with running(command, url, folder / "log") as process:
        yield Server(url, folder / "log", process.pid)


@contextmanager
def proxied(server: Server) -> Iterator[Between]:
    with between(server.url, BUSY, own_host=True) as proxy:
        yield proxy


@cache
def client(url: str) -> Any:
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient(f"{url}/{ACCOUNT}", credential=KEY)


class Container:
    """A container of its own, which the test may fill and change. As ``gotdata.testing.source_contract.Place``: below
    one prefix, with a neighbour that must not be seen."""

    def __init__(self, server: Server, proxy: Between, public: str | None = "container") -> None:
        self.proxy = proxy
        self.name = f"t{uuid.uuid4().hex[:20]}"
        self.client: Any = client(server.url).create_container(self.name, public_access=public)
        self.ctx = context()
        self.write("data-neighbour/x", b"not this")
        self.ref = self.at("data/")

    @property
    def home(self) -> str:
        return f"{self.proxy.url}/{ACCOUNT}/{self.name}"

    def at(self, key: str, **options: str) -> Ref:
        return Ref(f"azure:{self.home}/{quote(key)}", tuple(sorted(options.items())))

    def write(self, key: str, body: bytes, **how: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.upload_blob(key, body, overwrite=True, **how).get_blob_properties()
        return answer

    def put(self, path: str, body: bytes) -> None:
        self.client.upload_blob(f"data/{path}", body, overwrite=True)

    def remove(self, path: str) -> None:
        self.client.delete_blob(f"data/{path}")

    def folder(self, path: str) -> None:
        self.write(f"data/{path}", b"", metadata={"hdi_isfolder": "true"})

    def one(self, path: str) -> Ref:
        return self.at(f"data/{path}")

    def fill(self, count: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: self.put(f"many/{number}", b"1"), range(count)))

    def deny(self) -> None:
        self.client.set_container_access_policy({}, public_access=None)

    def limit(self, times: int) -> None:
        self.proxy.limit = times

    def cut(self, path: str, after: int) -> None:
        self.proxy.cut(f"/data/{path}", after)
