"""What comes from outside and is wrong: a clear error that says what, where and what next; nothing half done."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    IntegrityError,
    ResolveError,
    SourceError,
    SourceUnavailable,
    StoreError,
    UpstreamChanged,
)
from gotdata.project import Project
from gotdata.report import Event
from gotdata.testing.server import Server

BODY = random.Random(0).randbytes(1_000_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def opened(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Project]]:
    """``opened(reference, **keys)``: a project with one dataset, ``cells``, copied."""
    monkeypatch.setenv("GOTDATA_RETRIES", "1")
    root = tmp_path / "root"
    root.mkdir()
    projects: list[Project] = []

    def opened(reference: str = "", said: list[Event] | None = None, **keys: Any) -> Project:
        if reference:
            entry = {"from": reference, "as": "copy", **keys}
            (root / "gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": entry}}))
        projects.append(Project.find(root, reporter=(said if said is not None else []).append))
        return projects[-1]

    yield opened
    for project in projects:
        project.bench.close()


def left_behind(root: Path) -> list[str]:
    """What a failed ``up`` left, but for the lock, its texts and empty folders of its own."""
    return [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.name not in {"gotdata.yml", "gotdata.lock", ".gitignore", "busy", ".gitattributes"}
        if "gotdata.lock.d" not in path.parts
    ] + [name for name in ("data",) if (root / name).exists()]


@pytest.mark.parametrize(
    ("faults", "error", "words"),
    [
        ({"always": 401}, AuthRequired, "gotdata login"),
        ({"always": 403}, AccessDenied, "403"),
        ({"always": 404}, ResolveError, "404"),
        ({"always": 410}, ResolveError, "410"),
        ({"always": 500}, SourceUnavailable, "500"),
        ({"always": 503}, SourceUnavailable, "503"),
        ({"login": True}, SourceError, "web page|HTML|html"),
    ],
)
def test_a_refusal_is_named(
    server: Server, opened: Callable[..., Project], faults: dict[str, Any], error: type[GotdataError], words: str
) -> None:
    url = server.put("cells.h5", BODY, **faults)
    project = opened(url)
    with pytest.raises(error, match=words) as raised:
        project.up()
    assert str(raised.value).startswith("cells: ")
    assert url in str(raised.value)
    assert left_behind(project.manifest.root) == []


@pytest.mark.parametrize(
    "faults", [{"ranges": False}, {"length": "none"}, {"length": "close"}, {"ranges": False, "length": "none"}]
)
@pytest.mark.parametrize("delivery", ["copy", "read"])
def test_servers_without_ranges_or_lengths_still_serve(
    server: Server, opened: Callable[..., Project], faults: dict[str, Any], delivery: str
) -> None:
    project = opened(server.put("cells.h5", BODY, **faults))
    project.lock()
    if delivery == "copy":
        project.up()
        assert (project.manifest.root / "data/cells/cells.h5").read_bytes() == BODY
    else:
        tree = project.tree("cells")
        from gotdata.model import Span

        assert tree.read(tree.lookup(1, "cells.h5").id, Span(700_000, 700_010)) == BODY[700_000:700_010]


def test_a_wrong_length_is_an_error(server: Server, opened: Callable[..., Project]) -> None:
    project = opened(server.put("cells.h5", BODY))
    project.lock()
    server.change("cells.h5", length="wrong")
    with pytest.raises(GotdataError, match=r"cells\.h5"):
        project.up()
    assert left_behind(project.manifest.root) == []


def test_a_body_that_is_cut_goes_on_where_it_broke(server: Server, opened: Callable[..., Project]) -> None:
    project = opened(server.put("cells.h5", BODY))
    project.lock()
    server.change("cells.h5", cut=300_000, cuts=1)
    (done,) = project.up()
    assert (project.manifest.root / "data/cells/cells.h5").read_bytes() == BODY
    assert done.moved < len(BODY) + 400_000


def test_a_body_that_is_always_cut_is_an_error(server: Server, opened: Callable[..., Project]) -> None:
    project = opened(server.put("cells.h5", BODY))
    project.lock()
    server.change("cells.h5", cut=0)
    with pytest.raises(SourceUnavailable, match=r"cells\.h5"):
        project.up()
    assert left_behind(project.manifest.root) == []
    server.change("cells.h5", cut=None)
    project.up()
    assert (project.manifest.root / "data/cells/cells.h5").read_bytes() == BODY


def test_bytes_that_are_not_what_was_hashed_are_refused(server: Server, opened: Callable[..., Project]) -> None:
    url = server.put("cells.h5", BODY, etag='"same"')
    project = opened(url)
    project.lock(hash=True)
    project.bench.store.clear()
    server.put("cells.h5", BODY[:-1] + b"!", etag='"same"')
    with pytest.raises(IntegrityError, match=r"cells/cells\.h5.*expected|block"):
        project.up()
    assert left_behind(project.manifest.root) == []


def test_a_change_upstream_is_told_from_one_of_the_manifest(server: Server, opened: Callable[..., Project]) -> None:
    url = server.put("cells.h5", BODY)
    project = opened(url)
    project.lock()
    assert project.check() == []
    server.put("cells.h5", BODY[::-1])
    assert [drift.kind for drift in project.check()] == ["upstream"]
    with pytest.raises(UpstreamChanged, match=r"lock --update|changed"):
        project.up(locked=True)
    changed = opened(url, files=["*.h5"])
    assert [drift.kind for drift in changed.check()] == ["manifest"]
    with pytest.raises(IntegrityError, match="does not cover cells"):
        changed.up(locked=True)


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "a%00b", "%2e%2e"])
def test_names_that_lead_elsewhere_are_refused_or_left_out(
    server: Server, opened: Callable[..., Project], name: str
) -> None:
    page = f'<html><h1>Index of /x/</h1><pre><a href="{name}">{name}</a> 1\n<a href="ok">ok</a> 1</pre></html>'
    server.put("x/", page.encode(), "text/html")
    server.put("x/ok", b"1")
    project = opened(server.at("x/"))
    try:
        project.up()
    except GotdataError:
        assert left_behind(project.manifest.root) == []
    else:
        assert [path.name for path in (project.manifest.root / "data/cells").iterdir()] == ["ok"]
    assert not (project.manifest.root.parent / "etc").exists()


def test_odd_names_are_carried_byte_by_byte(opened: Callable[..., Project], tmp_path: Path) -> None:
    names = [b"new\nline", b"\xff\xfe raw", "ümlaut".encode(), b"back\\slash", b"\x1b[31mred"]
    (tmp_path / "src").mkdir()
    for name in names:
        (tmp_path / "src" / os.fsdecode(name)).write_bytes(name)
    said: list[Event] = []
    project = opened(f"file://{tmp_path}/src", said)
    project.up()
    copied = {os.fsencode(path.name): path.read_bytes() for path in (project.manifest.root / "data/cells").iterdir()}
    assert copied == {name: name for name in names}
    warnings = [event.text for event in said if event.kind == "warning"]
    assert any("Windows" in text for text in warnings)
    assert not any("\x1b" in text for text in warnings)


def test_names_that_clash_elsewhere_are_warned_of(opened: Callable[..., Project], tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("Readme", "README", "caf\u00e9", "cafe\u0301"):
        (tmp_path / "src" / name).write_text(name)
    (locked,) = opened(f"file://{tmp_path}/src").lock()
    assert sum("are one name" in warning for warning in locked.warnings) == 2


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../outside"])
def test_links_that_point_outside_are_refused(opened: Callable[..., Project], tmp_path: Path, target: str) -> None:
    (tmp_path / "src/a").mkdir(parents=True)
    (tmp_path / "src/link").symlink_to(target)
    with pytest.raises(SourceError, match="link"):
        opened(f"file://{tmp_path}/src").lock()


def test_a_reference_that_no_source_knows(opened: Callable[..., Project]) -> None:
    with pytest.raises(ResolveError, match=r"htps.*did you mean.*there are.*doi.*file.*http"):
        opened("htps://example.org/x").lock()


def test_a_listing_that_leads_back_to_itself_ends(server: Server, opened: Callable[..., Project]) -> None:
    page = '<html><h1>Index of /x/</h1><pre><a href="../x/">x</a>\n<a href="./">.</a>\n<a href="ok">ok</a></pre></html>'
    server.put("x/", page.encode(), "text/html")
    server.put("x/ok", b"1")
    project = opened(server.at("x/"))
    (locked,) = project.lock()
    assert locked.files == 1


# The lock


def forged(project: Project, change: Callable[[dict[str, Any]], object]) -> None:
    path = project.manifest.root / "gotdata.lock"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lock: lock.update(gotdata=2), "newer gotdata"),
        (lambda lock: lock.update(extra=1), "extra"),
        (lambda lock: lock["data"]["cells"].update(files=7), "files"),
        (lambda lock: lock["data"]["cells"].update(bytes=-1), "bytes"),
        (lambda lock: lock["data"]["cells"].update(snapshot="0" * 64), "snapshot"),
        (lambda lock: lock["data"]["cells"]["origins"].clear(), "origins"),
        (lambda lock: lock["data"].update({"../x": lock["data"]["cells"]}), "matching regex"),
    ],
)
def test_a_lock_that_was_edited_or_is_newer(
    server: Server, opened: Callable[..., Project], change: Callable[[dict[str, Any]], object], words: str
) -> None:
    project = opened(server.put("cells.h5", BODY))
    project.lock()
    forged(project, change)
    with pytest.raises(IntegrityError, match=words):
        opened().up()
    assert left_behind(project.manifest.root) == []


@pytest.mark.parametrize("text", ["content", "origins.0"])
def test_a_text_that_was_edited(server: Server, opened: Callable[..., Project], text: str, store: Path) -> None:
    project = opened(server.put("cells.h5", BODY))
    project.lock()
    path = project.manifest.root / f"gotdata.lock.d/cells.{text}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"cells.h5", b"other.h5"))
    with pytest.raises(IntegrityError, match=rf"cells\.{text}"):
        opened().up()


def test_a_forged_lock_gets_nothing_of_a_restricted_realm(
    server: Server, opened: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's key brought a file; a lock that claims its sha256 at an address that nobody answers gets no byte."""
    url = server.put("secret/cells.h5", BODY, auth="Bearer key")
    keys = tmp_path / "credentials.toml"
    keys.write_text(f'["{server.url}secret/"]\nbearer = "key"\n')
    keys.chmod(0o600)
    monkeypatch.setenv("GOTDATA_CREDENTIALS", str(keys))
    project = opened(url)
    project.lock(hash=True)
    project.up()
    project.down()
    old, new = f"{server.url}secret/cells.h5", "http://127.0.0.1:9/elsewhere/cells.h5"
    entry = json.loads((project.manifest.root / "gotdata.lock").read_text())["data"]["cells"]
    assert entry["level"] == "verified"
    forged(project, lambda lock: lock["data"]["cells"]["origins"][0]["from"].update(url=new))
    manifest = project.manifest.root / "gotdata.yml"
    manifest.write_text(manifest.read_text().replace(old, new))
    from gotdata import lock as locks
    from gotdata import manifest as manifests

    dataset = manifests.load(manifest).data["cells"]
    digest = locks.digest(manifests.entry_digest_fields(dataset))
    forged(project, lambda lock: lock["data"]["cells"].update(entry=digest))
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:9"):
        opened().up(locked=True)
    assert left_behind(project.manifest.root) == []


# The machine


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a small file system is mounted by root only")
def test_a_disk_that_fills_up(
    server: Server, opened: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs here: {done.stderr.strip()}")
    try:
        monkeypatch.setenv("GOTDATA_STORE", str(small / "store"))
        monkeypatch.setenv("GOTDATA_STORE_KEEP_FREE", "0")
        project = opened(server.put("cells.h5", BODY))
        with pytest.raises(StoreError, match="free some"):
            project.up()
        assert left_behind(project.manifest.root) == []
        project.bench.close()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_ctrl_c_leaves_nothing_half_done(server: Server, opened: Callable[..., Project]) -> None:
    held = threading.Event()
    asked = threading.Event()

    class Held(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            asked.set()
            return held.wait(timeout)

    project = opened(server.put("cells.h5", BODY))
    project.lock()
    server.change("cells.h5", hold=Held())
    root = project.manifest.root
    up = subprocess.Popen([sys.executable, "-m", "gotdata", "-C", str(root), "up"], stderr=subprocess.PIPE, text=True)
    assert asked.wait(60)
    up.send_signal(signal.SIGINT)
    _, said = up.communicate(timeout=60)
    held.set()
    assert up.returncode == 130
    assert "Traceback" not in said
    assert left_behind(root) == []
    server.change("cells.h5", hold=None)
    project.up()
    assert (root / "data/cells/cells.h5").read_bytes() == BODY


def test_kills_at_any_moment_leave_a_copy_complete_or_absent(
    server: Server, opened: Callable[..., Project], store: Path
) -> None:
    for number in range(20):
        server.put(f"many/{number}.bin", random.Random(number).randbytes(200_000))
    project = opened(server.at("many/"))
    project.lock()
    root = project.manifest.root
    turns = random.Random(4)
    for _ in range(8):
        shutil.rmtree(root / "data", ignore_errors=True)
        (root / ".gotdata/receipts/cells.json").unlink(missing_ok=True)
        up = subprocess.Popen([sys.executable, "-m", "gotdata", "-C", str(root), "-q", "up"], stderr=subprocess.PIPE)
        seen = len(server.requests)
        due = turns.randrange(0, 30)
        while up.poll() is None and len(server.requests) - seen < due:
            threading.Event().wait(0.005)
        up.kill()
        up.communicate()
        there = list((root / "data/cells").iterdir()) if (root / "data/cells").exists() else []
        assert len(there) in (0, 20)
    shutil.rmtree(root / "data", ignore_errors=True)
    (root / ".gotdata/receipts/cells.json").unlink(missing_ok=True)
    project.up()
    for number in range(20):
        assert (root / f"data/cells/{number}.bin").read_bytes() == random.Random(number).randbytes(200_000)


def test_what_lies_here_in_place_of_a_bound_origin_is_unverified(
    server: Server, opened: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ETag tells nothing of another copy: only hashes do, and then they are compared."""
    server.put("set/cells.h5", BODY)
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "cells.h5").write_bytes(bytes(len(BODY)))
    project = opened(server.at("set/"))
    assert project.lock()[0].level == "bound"
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[here]\n"{server.at("set/")}" = "{archive}"\n')
    monkeypatch.setenv("GOTDATA_SETTINGS", str(settings))
    (plan,) = opened().plan()
    assert (plan.level, plan.hosts, "--hash" in plan.warnings[0]) == ("unverified", (), True)
    assert opened().status()[0].level == "unverified"
    monkeypatch.delenv("GOTDATA_SETTINGS")
    opened().lock(hash=True)
    monkeypatch.setenv("GOTDATA_SETTINGS", str(settings))
    with pytest.raises(IntegrityError, match=r"cells\.h5"):
        opened().up()
    (archive / "cells.h5").write_bytes(BODY)
    (done,) = opened().up()
    assert (done.level, done.moved) == ("verified", 0)


def test_more_than_the_disk_holds_is_not_begun(server: Server, opened: Callable[..., Project]) -> None:
    project = opened(server.put("cells.h5", BODY))
    project.lock()
    asked = len(server.requests)
    full = opened()
    full.bench.ctx = dataclasses.replace(
        full.bench.ctx, settings=dataclasses.replace(full.bench.settings, store_keep_free=1 << 60)
    )
    full.ctx = full.bench.ctx
    with pytest.raises(StoreError, match="1,000,000 bytes are missing"):
        full.fetch("cells")
    assert len(server.requests) == asked


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_in_place_of_a_lock_hangs_nobody(server: Server, opened: Callable[..., Project]) -> None:
    project = opened(server.put("cells.h5", BODY))
    os.mkfifo(project.manifest.root / "gotdata.lock")
    with pytest.raises(IntegrityError, match=r"gotdata\.lock: not a file"):
        project.status()


def test_one_dataset_that_fails_does_not_keep_the_others_away(server: Server, opened: Callable[..., Project]) -> None:
    entries = {
        "bad": {"from": server.put("bad.h5", BODY, always=503), "as": "copy"},
        "good": {"from": server.put("good.h5", BODY), "as": "copy"},
    }
    manifest = opened(server.at("x")).manifest.path
    manifest.write_text(json.dumps({"gotdata": 1, "data": entries}))
    with pytest.raises(SourceUnavailable, match=r"bad\.h5(.|\n)*up: good"):
        opened().up()
    assert (manifest.parent / "data/good/good.h5").read_bytes() == BODY
    assert not (manifest.parent / "data/bad").exists()


def test_hashes_stay_where_an_update_finds_nothing_new(server: Server, opened: Callable[..., Project]) -> None:
    server.put("set/cells.h5", BODY)
    project = opened(server.at("set/"))
    (hashed,) = project.lock(hash=True)
    (again,) = project.lock(update=True)
    assert (hashed.level, again.level, again.change) == ("verified", "verified", "same")
    assert again.snapshot == hashed.snapshot
    server.put("set/cells.h5", BODY[::-1])
    (changed,) = project.lock(update=True)
    assert (changed.level, changed.change) == ("bound", "changed")
