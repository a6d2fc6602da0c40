"""A real CKAN for tests, in its own environment (requirements/ckan.in), on Debian's PostgreSQL and Redis.

Its search engine, Solr, can't be had from Debian or the Python index, and without one CKAN writes nothing. A stand-in
takes its place that keeps documents and finds them by name and id: CKAN is real here, its search is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from gotdata.testing.double import reply
from gotdata.testing.server import Reply, Request
from gotdata.testing.server import Server as Loopback
from tests.e2e.servers import Server, free_ports, program, running

HOME = Path(__file__).parents[2] / ".venv" / "ckan"
"""The environment that CKAN and ckanapi live in."""
USER = "postgres"
"""PostgreSQL refuses to run as root: then as whom it does."""


@dataclass(frozen=True, slots=True)
class Ckan(Server):
    """``token`` is a system administrator's."""

    token: str

    def do(self, action: str, file: tuple[str, bytes] | None = None, **fields: Any) -> Any:
        """An action of the API, with a file to upload or without; what it answers.

        Raises:
            AssertionError: it failed.
        """
        url, headers = f"{self.url}/api/3/action/{action}", {"Authorization": self.token}
        if file:
            answer = urllib3.request("POST", url, headers=headers, fields={**fields, "upload": file})
        else:
            answer = urllib3.request("POST", url, headers=headers, json=fields)
        said = answer.json()
        assert said["success"], said
        return said["result"]


def python() -> str:
    """The interpreter of CKAN's environment; skips the test where there is none."""
    if not (HOME / "stamp").exists():
        pytest.skip("CKAN is not installed: make .venv/ckan/stamp")
    return str(HOME / "bin" / "python")


@contextmanager
def ckan(folder: Path) -> Iterator[Ckan]:
    ckan = str(Path(python()).with_name("ckan"))
    with ExitStack() as stack:
        database = stack.enter_context(_postgresql())
        redis = stack.enter_context(_redis())
        solr = stack.enter_context(_solr())
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        (folder / "ckan.ini").write_text(f"""\
[app:main]
use = egg:ckan
SECRET_KEY = for tests only
ckan.site_url = {url}
sqlalchemy.url = {database}
ckan.redis.url = {redis}
solr_url = {solr}
ckan.storage_path = {folder}/storage
ckan.plugins =
""")
        environ = {"CKAN_INI": f"{folder}/ckan.ini"}

        def run(*words: str) -> str:
            done = subprocess.run([ckan, *words], env={**os.environ, **environ}, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        run("db", "init")
        run("user", "add", "ada", "email=ada@example.org", "password=lovelace1")
        run("sysadmin", "add", "ada")
        token = run("user", "token", "add", "ada", "tests").split()[-1]
        command = [ckan, "run", "-H", "127.0.0.1", "-p", str(port), "--disable-reloader"]
        with running(command, f"{url}/api/3/action/status_show", folder / "log", environ) as process:
            server = Ckan(url, folder / "log", process.pid, token)
            server.do("organization_create", name="lab")
            yield server


@contextmanager
def _postgresql() -> Iterator[str]:
    """The URL of an empty database."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    (port,) = free_ports(1)
    as_whom: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="gotdata-pg-") as folder:
        data = f"{folder}/data"
        if as_whom:
            shutil.chown(folder, USER, USER)

        def run(name: str, *words: str) -> subprocess.CompletedProcess[bytes]:
            return subprocess.run([str(folders[-1] / name), *words], cwd=folder, capture_output=True, **as_whom)

        made = run("initdb", "-A", "trust", "-N", "-U", "ckan", "-D", data)
        assert made.returncode == 0, made.stderr
        options = ("-F", "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", folder)
        with Path(folder, "log").open("wb") as log:
            command = [str(folders[-1] / "postgres"), "-D", data, *options]
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **as_whom)
        try:
            place = ("-h", "127.0.0.1", "-p", str(port), "-U", "ckan")
            while run("createdb", *place, "-T", "template0", "-E", "utf8", "ckan").returncode:
                assert process.poll() is None, Path(folder, "log").read_text()
                time.sleep(0.05)
            yield f"postgresql://ckan@127.0.0.1:{port}/ckan"
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()


@contextmanager
def _redis() -> Iterator[str]:
    binary = program("redis-server", package="apt-get install redis-server")
    (port,) = free_ports(1)
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        # Nobody waits for it: CKAN takes seconds before it asks.
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _solr() -> Iterator[str]:
    """What CKAN asks of Solr when datasets are written and shown."""
    [schema] = HOME.glob("lib/python3*/site-packages/ckan/config/solr/schema.xml")
    held: dict[str, dict[str, Any]] = {}

    def answer(request: Request) -> Reply | None:
        url = urlsplit(request.path)
        if url.path.rstrip("/").endswith("/schema"):
            return Reply(200, {"Content-Type": "text/xml"}, schema.read_bytes())
        if url.path.rstrip("/").endswith("/update"):
            if request.body.startswith(b"["):
                held.update({document["id"]: document for document in json.loads(request.body)})
            elif b"<delete>" in request.body:
                for id in re.findall(r'id:"([^"]+)"', request.body.decode()):
                    held.pop(id, None)
            return reply(200, {"responseHeader": {"status": 0}})
        query = parse_qs(url.query)
        wanted = set(re.findall(r'\b(?:name|id):"([^"]+)"', query["q"][0]))
        found = [one for one in held.values() if not wanted or wanted & {one["id"], one.get("name")}]
        shown = found[: int(query["rows"][0])]
        return reply(
            200,
            {"responseHeader": {"status": 0}, "response": {"numFound": len(found), "start": 0, "docs": shown}},
        )

    with Loopback(index="") as server:
        server.otherwise = answer
        yield f"{server.url}solr/ckan"
