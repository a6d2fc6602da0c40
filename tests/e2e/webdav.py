"""Real WebDAV servers, each with the files of a folder: WsgiDAV, Apache's mod_dav, nginx with a module."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.servers import Server, free_ports, program, running

USER, PASSWORD = "ada", "lovelace"
_NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")
_APACHE_MODULES = Path("/usr/lib/apache2/modules")


@contextmanager
def wsgidav(root: Path, folder: Path) -> Iterator[Server]:
    """With ``/auth/``, the same files for who gives ``USER`` and ``PASSWORD``."""
    binary = program("wsgidav", package="pip install wsgidav cheroot")
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "host": "127.0.0.1",
        "port": port,
        "server": "cheroot",
        "provider_mapping": {"/": str(root), "/auth": str(root)},
        "simple_dc": {"user_mapping": {"/": True, "/auth": {USER: {"password": PASSWORD}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 1,
    }
    (folder / "wsgidav.json").write_text(json.dumps(config))
    url = f"http://127.0.0.1:{port}"
    command = [binary, "--config", str(folder / "wsgidav.json")]
    with running(command, url, folder / "log") as process:
        yield Server(url, folder / "log", process.pid)


@contextmanager
def apache_dav(root: Path, folder: Path) -> Iterator[Server]:
    """As root it reads as another user: ``root`` is an ``open_folder``."""
    binary = program("apache2", "httpd", package="apt-get install apache2-bin")
    if not (_APACHE_MODULES / "mod_dav_fs.so").exists():
        pytest.skip(f"{_APACHE_MODULES} has no mod_dav_fs: only Debian's Apache is known here")
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    loaded = "\n".join(
        f"LoadModule {name}_module {_APACHE_MODULES}/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "dir", "mime", "dav", "dav_fs", "dav_lock")
        if (_APACHE_MODULES / f"mod_{name}.so").exists()
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
DavLockDB {folder}/locks
<Directory {root}>
  Dav On
  DirectoryIndex disabled
  Require all granted
</Directory>
""")
    command = [binary, "-D", "FOREGROUND", "-d", str(folder), "-f", str(folder / "httpd.conf")]
    url = f"http://127.0.0.1:{port}"
    with running(command, url, folder / "log") as process:
        yield Server(url, folder / "error.log", process.pid)


@contextmanager
def nginx_dav(root: Path, folder: Path) -> Iterator[Server]:
    binary = program("nginx", package="apt-get install nginx-light")
    if not _NGINX_MODULE.exists():
        pytest.skip(f"{_NGINX_MODULE} is not installed: apt-get install libnginx-mod-http-dav-ext")
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""
load_module {_NGINX_MODULE};
{"user root root;" if os.geteuid() == 0 else ""}
daemon off;
pid {folder}/pid;
events {{}}
http {{
{temporary}
  access_log {folder}/access.log;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    location / {{ dav_ext_methods PROPFIND OPTIONS; }}
  }}
}}
""")
    url = f"http://127.0.0.1:{port}"
    command = [binary, "-e", str(folder / "log"), "-c", str(folder / "nginx.conf")]
    with running(command, url, folder / "log") as process:
        yield Server(url, folder / "access.log", process.pid)
