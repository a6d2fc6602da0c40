from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from gotdata.errors import AccessDenied, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Kind, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.settings import Settings
from gotdata.sources.file import File, here
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context

SOURCE = File()


def write(path: Path, body: bytes) -> None:
    """So that the change is seen by the clocks of old kernels too, which tick every 4 ms."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(body)
    now = path.stat().st_mtime_ns
    os.utime(path, ns=(now, max(now, before + 1)))


class Folder:
    def __init__(self, top: Path) -> None:
        self.top = top
        self.ref = Ref(f"file://{quote(str(top))}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        write(self.top / path, body)

    def remove(self, path: str) -> None:
        (self.top / path).unlink()

    def folder(self, path: str) -> None:
        (self.top / path).mkdir(parents=True)

    def one(self, path: str) -> Ref:
        return Ref(f"file://{quote(str(self.top / path))}")


class TestFile(SourceContract):
    source = SOURCE
    against = "this machine"
    lacks = ("fill", "deny", "limit", "cut")
    odd_names = (*ODD_NAMES, "line\nbreak", "not-utf8-\udcff")

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Folder(tmp_path)


def listed(top: Path) -> dict[str, RemoteFile]:
    folder = Folder(top)
    return {file.path: file for file in SOURCE.files(SOURCE.resolve(folder.ref, folder.ctx), folder.ctx)}


def test_a_link_inside_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"1")
    (tmp_path / "plain").symlink_to("d/f")
    (tmp_path / "d/up").symlink_to("../plain")
    (tmp_path / "folder").symlink_to("d")
    (tmp_path / "absolute").symlink_to(tmp_path / "d" / "f")
    (tmp_path / "d/around").symlink_to(f"../../{tmp_path.name}/d/f")
    (tmp_path / "down-up").symlink_to("d/../d/f")
    (tmp_path / "dangling").symlink_to("nothing")
    targets = {path: file.target for path, file in listed(tmp_path).items() if file.kind is Kind.LINK}
    assert targets == {
        "plain": "d/f",
        "d/up": "../plain",
        "folder": "d",
        "absolute": "d/f",
        "d/around": "f",
        "down-up": "d/f",
        "dangling": "nothing",
    }


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "d/../../secret", "../top-2/f"])
def test_a_link_that_points_outside_is_an_error_that_names_it(tmp_path: Path, target: str) -> None:
    top = tmp_path / "top"
    (top / "d").mkdir(parents=True)
    (top / "bad").symlink_to(target)
    with pytest.raises(SourceError, match=r"/bad points outside"):
        listed(top)


def test_a_link_to_its_own_folder_is_no_loop(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to(".")
    assert listed(tmp_path)["self"].target == "."


def test_pipes_and_sockets_are_left_out_with_a_warning(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "f").write_bytes(b"1")
    events: list[Event] = []
    ctx = context()
    heard = type(ctx)(ctx.settings, ctx.credentials, ctx.http, events.append)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        files = list(SOURCE.files(SOURCE.resolve(Folder(tmp_path).ref, heard), heard))
    assert [file.path for file in files] == ["f"]
    assert sorted(event.path for event in events if event.kind == "warning") == ["pipe", "socket"]


def test_the_executable_bit_is_kept(tmp_path: Path) -> None:
    for name, mode in (("run", 0o755), ("read", 0o644)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    assert {path: file.executable for path, file in listed(tmp_path).items()} == {"run": True, "read": False}


def test_a_relative_reference_is_below_its_root(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big/f").write_bytes(BODY)
    ref = Ref("file:big", (("root", str(tmp_path)),))
    pin = SOURCE.resolve(ref, context())
    [file] = SOURCE.files(pin, context())
    assert SOURCE.local(pin, file) == str(tmp_path / "big/f")
    assert pin.namespace == "file:big", "the same on every machine"
    with pytest.raises(ResolveError, match="relative"):
        SOURCE.resolve(Ref("file:big"), context())


def test_a_link_that_took_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(BODY)
    folder = Folder(tmp_path)
    pin = SOURCE.resolve(folder.ref, folder.ctx)
    [file] = SOURCE.files(pin, folder.ctx)
    (tmp_path / "f").rename(tmp_path / "g")
    (tmp_path / "f").symlink_to("g")
    with pytest.raises(SourceError):
        SOURCE.read(pin, file, Span(0, 1), folder.ctx)


def test_a_pipe_that_took_the_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(BODY)
    folder = Folder(tmp_path)
    pin = SOURCE.resolve(folder.ref, folder.ctx)
    [file] = SOURCE.files(pin, folder.ctx)
    (tmp_path / "f").unlink()
    os.mkfifo(tmp_path / "f")
    with pytest.raises(UpstreamChanged):
        SOURCE.read(pin, file, Span(0, 1), folder.ctx)


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(BODY)
    folder = Folder(tmp_path)
    pin = SOURCE.resolve(folder.ref, folder.ctx)
    [file] = SOURCE.files(pin, folder.ctx)
    with SOURCE.read(pin, file, Span(0, len(BODY)), folder.ctx) as stream:
        stream.read(10)
        write(tmp_path / "f", bytes(len(BODY)))
        with pytest.raises(UpstreamChanged):
            stream.readall()


def test_a_folder_that_may_not_be_read_is_access_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AccessDenied, match=tmp_path.name):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://archive/data", "mounted"),
        ("https://archive/data/x%20y", "mounted/x y"),
        ("https://archive/data/cells/a", "cells/a"),
        ("https://archive/database", None),
        ("https://archive/data/nothing", None),
        ("https://archive.evil/data", None),
    ],
)
def test_here_maps_the_longest_prefix(tmp_path: Path, url: str, found: str | None) -> None:
    for path in ("mounted/x y", "mounted/base", "cells/a"):
        (tmp_path / path).mkdir(parents=True)
    here_is = {
        "https://archive/data": str(tmp_path / "mounted"),
        "https://archive/data/cells/": str(tmp_path / "cells"),
    }
    assert here(url, Settings(here=here_is)) == (tmp_path / found if found else None)


def test_here_never_leaves_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    for way in ("..", "%2e%2e", "a/../.."):
        with pytest.raises(SourceError):
            here(f"https://archive/data/{way}", Settings(here={"https://archive/data/": str(tmp_path / "mounted")}))


def test_another_hosts_file_is_refused() -> None:
    with pytest.raises(ResolveError, match="server"):
        SOURCE.resolve(Ref("file://server/share/x"), context())
