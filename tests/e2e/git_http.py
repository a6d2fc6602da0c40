"""A real git repository, and git's own program that serves it over HTTP."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from gotdata.testing.git_objects import EXECUTABLE, LINK, Blob
from gotdata.testing.server import Reply, Request, Server
from tests.e2e.servers import program

BRANCH = "main"


def git(*words: str, folder: Path, **more: str) -> str:
    environ = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        **{f"GIT_{who}_{what}": "ada" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        **more,
    }
    command = [program("git", package="apt-get install git"), "-c", "safe.directory=*", *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "surrogateescape")


def made(folder: Path, files: Mapping[str, Blob]) -> str:
    """A repository with one commit. Returns its id."""
    folder.mkdir(parents=True)
    git("init", "-q", "-b", BRANCH, folder=folder)
    for path, (body, mode) in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if mode == LINK:
            file.symlink_to(body.decode())
        else:
            file.write_bytes(body)
            file.chmod(0o755 if mode == EXECUTABLE else 0o644)
    git("add", "--all", "--force", folder=folder)
    git("commit", "-q", "-m", "cells", folder=folder)
    git("tag", "-a", "v1", "-m", "first", folder=folder)
    return git("rev-parse", "HEAD", folder=folder).strip()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address below which the repositories of a folder are cloned."""
    backend = Path(git("--exec-path", folder=folder).strip()) / "git-http-backend"
    if not backend.exists():
        pytest.skip(f"{backend} is not installed")

    def answer(request: Request) -> Reply:
        """As CGI (RFC 3875)."""
        path, _, query = request.path.partition("?")
        asked = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
        environ = {**os.environ, **asked, "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1"}
        environ |= {"REQUEST_METHOD": request.method, "PATH_INFO": path, "QUERY_STRING": query}
        environ |= {"CONTENT_TYPE": request.headers.get("content-type", ""), "CONTENT_LENGTH": str(len(request.body))}
        environ |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        done = subprocess.run([backend], env=environ, input=request.body, capture_output=True, timeout=60)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if line)
        return Reply(int(headers.pop("Status", "200").split()[0]), headers, body)

    with Server(index="") as server:
        server.otherwise = answer
        yield server.url.rstrip("/")
