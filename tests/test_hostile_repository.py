"""A stranger's repository, at work against who runs a command in it: links where we write, receipts, locks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import DeliveryError, IntegrityError, ManifestError
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.project import Project
from gotdata.sources.http import Http
from gotdata.sources.invenio import Invenio
from gotdata.testing.server import Server
from gotdata.testing.source_contract import context


@pytest.fixture
def root(tmp_path: Path, store: Path) -> Path:
    """A repository with one dataset, copied from a folder beside it."""
    (tmp_path / "root/src").mkdir(parents=True)
    (tmp_path / "root/src/a").write_text("a")
    entry = {"from": "./src", "as": "copy"}
    (tmp_path / "root/gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": entry}}))
    return tmp_path / "root"


@pytest.mark.parametrize("name", ["receipts/cells.new", "receipts/cells.json", "log/cells.log", "staging/cells"])
def test_a_link_where_we_write_is_not_followed(root: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o500) if name.startswith("staging") else mine.write_text("mine")
    before = mine.stat()
    link = root / ".gotdata" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(mine)
    with Project.find(root) as project, pytest.raises(DeliveryError, match=f"{link} is a link"):
        project.up()
    assert (mine.stat().st_mode, mine.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert not (root / "data").exists()


def test_a_receipt_undoes_nothing_behind_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine/empty").mkdir(parents=True)
    (root / "data").symlink_to(tmp_path / "mine")
    receipt = {
        "name": "x",
        "delivery": "mount",
        "target": "data/empty",
        "snapshot": "",
        "folders": ["data/empty"],
    }
    (root / ".gotdata/receipts").mkdir(parents=True)
    (root / ".gotdata/receipts/x.json").write_text(json.dumps(receipt))
    for verb in (Project.down, Project.status):
        with Project.find(root) as project, pytest.raises(DeliveryError, match="a link on the way leads out"):
            verb(project)
    assert (tmp_path / "mine/empty").is_dir()


def test_links_within_a_repository_and_to_it_are_peoples_own(root: Path, tmp_path: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "data").symlink_to("elsewhere")
    (tmp_path / "way").symlink_to(root)
    with Project.find(tmp_path / "way") as project:
        assert [one.change for one in project.up()] == ["up"]
    with Project.find(root) as project:
        assert [one.change for one in project.up()] == ["same"]
        assert (root / "data/cells/a").read_text() == "a"
        assert project.down() == ["cells"]
    assert not list((root / "elsewhere").iterdir())


def test_reports_ask_nobody_for_the_list_of_files(root: Path) -> None:
    """A lock from a stranger says where its texts lie: `plan` names that host, and only what reads the data asks it."""
    with Server() as server:
        manifest = root / "gotdata.yml"
        manifest.write_text(manifest.read_text().replace("./src", server.put("cells.h5", b"12345678")))
        with Project.find(root) as project:
            project.lock()
        lock = json.loads((root / "gotdata.lock").read_text())
        lock["data"]["cells"]["shards_at"] = "http://127.0.0.1:9/texts"
        (root / "gotdata.lock").write_text(json.dumps(lock))
        shutil.rmtree(root / "gotdata.lock.d")
        asked = len(server.seen())
        with Project.find(root) as project:
            (plan,) = project.plan()
            (status,) = project.status()
        assert len(server.seen()) == asked
        assert plan.hosts == (server.url.split("/")[2], "127.0.0.1:9")
        assert (plan.fetch, status.cached_bytes) == (8, 0)


def test_texts_lie_in_a_folder_and_are_not_asked_by_a_question(root: Path) -> None:
    with Server() as server, Project.find(root) as project:
        url = f"{server.url}delete?everything=1&x="
        with pytest.raises(IntegrityError, match="must be a folder"):
            project.bench.fetch(f"{url}/{'0' * 64}.jsonl.zst")
        assert not server.seen()


def test_an_endpoint_beside_another_reference_hides_nothing(root: Path) -> None:
    with Server() as server:
        url = server.put("cells.h5", b"12345678")
        entry = {"from": {"url": url, "endpoint": "https://zenodo.org"}}
        (root / "gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": entry}}))
        with Project.find(root) as project:
            (plan,) = project.plan()
        assert plan.hosts == (url.split("/")[2],)


Forged = Callable[[str], tuple[Http | Invenio, Pin, RemoteFile]]


def below_no_folder(site: str) -> tuple[Http | Invenio, Pin, RemoteFile]:
    return Http(), Pin("http", Ref(f"{site}priv"), "", {"index": "html"}), RemoteFile("ate/x", 6)


def at_another_host(site: str) -> tuple[Http | Invenio, Pin, RemoteFile]:
    """The name goes on the port: ``http://127.0.0.1:80`` and ``80/private/x``."""
    near, far = site.removesuffix("/")[:-2], site.removesuffix("/")[-2:]
    return Http(), Pin("http", Ref(near), "", {"index": "html"}), RemoteFile(f"{far}/private/x", 6)


def climbing(site: str) -> tuple[Http | Invenio, Pin, RemoteFile]:
    pin = Pin("invenio", Ref(f"invenio:{site}pub/records/1"), "", {"record": "1"})
    return Invenio(), pin, RemoteFile("x", 6, at=f"{site}pub/../private/x")


@pytest.mark.parametrize("forged", [below_no_folder, at_another_host, climbing])
def test_a_forged_locator_reaches_nothing_behind_a_key(forged: Forged) -> None:
    """Else what the key brought would be kept as public: the realm is judged by the reference."""
    with Server() as server:
        server.put("private/x", b"secret", auth="Bearer key")
        key = Credential(f"{server.url}private/", "cred:1", (("Authorization", "Bearer key"),))
        ctx = context(credentials=Credentials([key]))
        source, pin, file = forged(server.url)
        assert source.realm(pin, ctx) == PUBLIC
        with pytest.raises(IntegrityError, match="the lock was edited"):
            source.read(pin, file, Span(0, 6), ctx)
        assert not server.seen("private/x")


def test_http_does_not_pass_for_a_version_that_it_can_t_compare() -> None:
    with Server() as server:
        url = server.put("x", b"newest")
        pin = Pin("http", Ref(url), "", {"size": "6", "name": "x"})
        with pytest.raises(IntegrityError, match="no version of HTTP"):
            Http().read(pin, RemoteFile("x", 6, version="id:older"), Span(0, 6), context())


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of POSIX")
def test_nobody_else_can_hold_our_lock(root: Path) -> None:
    with Project.find(root) as project:
        project.lock()
    assert (root / ".gotdata/busy").stat().st_mode & 0o777 == 0o600


def test_git_runs_nothing_that_a_repository_names(root: Path, tmp_path: Path) -> None:
    """An unpacked archive brings its own .git, of which a file is missing, and programs to watch and to fetch."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    with Project.find(root) as project:
        project.lock()
    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")
    blob = git("rev-parse", "HEAD:gotdata.lock")
    (root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for name, value in {
        "core.fsmonitor": f"touch {tmp_path}/watched",
        "core.sshCommand": f"touch {tmp_path}/fetched",
        "remote.origin.url": "ssh://nobody/nowhere",
        "remote.origin.promisor": "true",
        "extensions.partialClone": "origin",
        "core.repositoryFormatVersion": "1",
    }.items():
        git("config", name, value)
    with Project.find(root) as project:
        project.up()
        with pytest.raises(ManifestError, match="git cat-file"):
            project.diff()
    assert not {"watched", "fetched"} & {path.name for path in tmp_path.iterdir()}
