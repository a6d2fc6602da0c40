"""Two users of one daemon: what is one's stays hidden from the other, whatever the other claims, names or races for."""

from __future__ import annotations

import ctypes
import json
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

import socket

from gotdata import errors
from gotdata import lock as locks
from gotdata.errors import DeliveryError, IntegrityError, ManifestError, NotFound, PolicyError
from gotdata.fuse import mounting
from gotdata.manifest import NAME as MANIFEST
from gotdata.repository import Repository
from gotdata.serve.binding import bind, unbind
from gotdata.serve.client import ask
from gotdata.serve.control import BODY_LIMIT
from gotdata.snapshot_text import text_id
from tests.e2e import node as nodes
from tests.e2e import servers
from tests.e2e.node import Node

pytestmark = pytest.mark.timeout(600)  # others have a daemon before us: see engines.drivers

ADA, BOB = 61_001, 61_002
RACES = 200
_NEWNS = 0x20000
SECRET, OTHER = (os.urandom(1 << 20) for _ in range(2))
Files = Mapping[str, bytes]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Nginx]:
    """What is below /auth/ needs a key, which the operator has."""
    www = tmp_path_factory.mktemp("www")
    for name, data in {"secret": SECRET, "public": OTHER}.items():
        (www / name).mkdir()
        (www / name / "data.bin").write_bytes(data)
    with servers.nginx(www, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="module")
def homes() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gotdata-homes-") as name:
        homes = Path(name)
        homes.chmod(0o755)
        for user in (ADA, BOB):
            (homes / str(user)).mkdir()
            os.chown(homes / str(user), user, user)
            (homes / str(user)).chmod(0o700)
        yield homes


@pytest.fixture(scope="module")
def node(origin: servers.Nginx, homes: Path) -> Iterator[Node]:
    """Ada may have the secret, Bob what is public; each below the folder of all homes."""
    common = {"as": "volume", "networks": "127.0.0.0/8", "roots": str(homes)}
    ada = {**common, "who": f"uid:{ADA}", "from": f"{origin.url}/auth/secret/"}
    bob = {**common, "who": [f"uid:{BOB}", "service:docker"], "from": f"{origin.url}/public/"}
    with nodes.node(ada, bob) as made:
        folder = made.folder / "home/.config/gotdata"
        folder.mkdir(parents=True)
        (folder / "credentials.toml").write_text(f'["{origin.url}/auth/"]\nbasic = "ada:lovelace"\n')
        (folder / "credentials.toml").chmod(0o600)
        yield made


@pytest.fixture(scope="module")
def secret(node: Node, origin: servers.Nginx) -> Files:
    """Ada's repository, with what a lock can know of the content: sha256 of files and blocks."""
    return locked(node, f"{origin.url}/auth/secret/")


@pytest.fixture(scope="module")
def public(node: Node, origin: servers.Nginx) -> Files:
    return locked(node, f"{origin.url}/public/")


def locked(node: Node, url: str) -> Files:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        (Path(name) / MANIFEST).write_text(json.dumps({"gotdata": 1, "data": {"data": {"from": url}}}))
        patch.setenv("GOTDATA_STORE", f"{name}/store")
        patch.setenv("GOTDATA_CREDENTIALS", str(node.folder / "home/.config/gotdata/credentials.toml"))
        with Repository.find(Path(name)) as repository:
            [done] = repository.lock(hash=True)
            assert done.level == "verified"
            return repository.alone("data", "data")


@dataclass(frozen=True, slots=True)
class User:
    node: Node
    uid: int
    home: Path

    def act(self, what: Callable[[], Any], before: Callable[[], object] = lambda: None) -> Any:
        """In a process of this user's. Gives what JSON can say, or raises what was raised there."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            with open(write, "w") as told:
                try:
                    before()
                    os.setgroups([])
                    os.setresgid(self.uid, self.uid, self.uid)
                    os.setresuid(self.uid, self.uid, self.uid)
                    told.write(json.dumps(["", what()]))
                except BaseException as error:
                    told.write(json.dumps([type(error).__name__, str(error)]))
            os._exit(0)
        os.close(write)
        with open(read) as answer:
            kind, found = json.loads(answer.read())
        os.waitpid(child, 0)
        if kind:
            raise getattr(errors, kind, OSError)(found)
        return found

    def ask(self, route: str, **told: Any) -> Any:
        return self.act(lambda: ask(self.node.places.control, "POST", route, told))

    def folder(self) -> Path:
        """An empty one of this user's."""
        path = tempfile.mkdtemp(dir=self.home)
        os.chown(path, self.uid, self.uid)
        return Path(path)

    def up(self, files: Files) -> Path:
        target = self.folder()
        self.ask("/up", target=str(target), files=dict(files))
        return target

    def down(self, target: Path) -> None:
        self.ask("/down", target=str(target), lazy=True)

    def read(self, target: Path) -> bytes:
        return bytes.fromhex(self.act(lambda: (target / "data.bin").read_bytes().hex()))


@pytest.fixture
def ada(node: Node, homes: Path) -> User:
    return User(node, ADA, homes / str(ADA))


@pytest.fixture
def bob(node: Node, homes: Path) -> User:
    return User(node, BOB, homes / str(BOB))


@pytest.fixture
def adas(ada: User, secret: Files) -> Iterator[Path]:
    """Ada's data is up, and was read, so that all of it is in the store."""
    target = ada.up(secret)
    assert ada.read(target) == SECRET
    yield target
    ada.down(target)


def forged(public: Files, secret: Files, **changes: Any) -> dict[str, bytes]:
    """Bob's manifest, with a lock that claims for it what is locked of Ada's data."""
    lock, hers = (json.loads(files[locks.NAME]) for files in (public, secret))
    lock["data"]["data"].update({name: hers["data"]["data"][name] for name in ("snapshot", "shards", "files", "bytes")})
    lock["data"]["data"].update(changes)
    content = "gotdata.lock.d/data.content.jsonl"
    return {**public, locks.NAME: json.dumps(lock).encode(), content: secret[content]}


def origins(files: Files) -> list[Any]:
    found: list[Any] = json.loads(files[locks.NAME])["data"]["data"]["origins"]
    return found


def test_what_is_public_and_what_is_ones_own_is_there(adas: Path, bob: User, public: Files) -> None:
    target = bob.up(public)
    assert bob.read(target) == OTHER
    with pytest.raises(OSError, match="Permission denied"):
        bob.read(adas)
    bob.down(target)
    assert not mounting.is_mounted(target)


def test_her_snapshots_id_alone_shows_no_names(adas: Path, bob: User, secret: Files, public: Files) -> None:
    """Not before he has handed them over himself."""
    lock = forged(public, secret)
    del lock["gotdata.lock.d/data.content.jsonl"]
    with pytest.raises(IntegrityError):
        bob.up(lock)


def test_her_content_claimed_for_his_place_is_an_error_to_read(
    adas: Path, ada: User, bob: User, secret: Files, public: Files
) -> None:
    target = bob.up(forged(public, secret))
    assert bob.act(lambda: (target / "data.bin").stat().st_size) == len(SECRET)
    seen = set()
    with suppress(OSError):  # when his own bytes, which are not those, were hashed
        while True:
            seen.add(bob.read(target))
    assert SECRET not in seen
    with pytest.raises(OSError, match="Input/output error"):
        bob.read(target)
    bob.down(target)
    assert ada.read(adas) == SECRET


def test_a_lock_that_leads_to_her_place_is_refused(adas: Path, bob: User, secret: Files, public: Files) -> None:
    hers, his = origins(secret), origins(public)
    texts = {"gotdata.lock.d/data.origins.1.jsonl": secret["gotdata.lock.d/data.origins.0.jsonl"]}
    for lock in (secret, forged(public, secret, origins=hers), forged(public, secret, origins=his + hers) | texts):
        with pytest.raises(PolicyError, match="/auth/secret/"):
            bob.up(lock)


def test_her_snapshot_can_not_be_asked_for_at_his_place(
    adas: Path, node: Node, secret: Files, public: Files, origin: servers.Nginx
) -> None:
    snapshot = json.loads(secret[locks.NAME])["data"]["data"]["snapshot"]
    options = {"from": f"{origin.url}/public/", "snapshot": snapshot}
    assert "was asked for" in node.ask("Create", Name="guessed", Opts=options)["Err"]
    assert "no volume" in node.ask("Get", Name="guessed")["Err"]


def test_the_operators_key_is_not_shown_for_a_locks_texts(
    bob: User, secret: Files, public: Files, origin: servers.Nginx
) -> None:
    shards = ["ab" * 32]
    lock = forged(public, secret, shards=shards, snapshot=text_id(shards), shards_at=f"{origin.url}/auth/secret")
    del lock["gotdata.lock.d/data.content.jsonl"]
    with pytest.raises(PolicyError, match="hand them over"):
        bob.up(lock)
    assert origin.answers(f"/auth/secret/{shards[0]}") == []


def test_what_is_hers_is_not_his_to_take_away(adas: Path, ada: User, bob: User) -> None:
    with pytest.raises(NotFound):
        bob.down(adas)
    assert ada.read(adas) == SECRET


@pytest.mark.parametrize("way", ["hers", "a link to hers", "a link on the way", "above", "nobody's", "below no root"])
def test_nothing_appears_where_he_may_not_write(way: str, ada: User, bob: User, homes: Path, public: Files) -> None:
    hers, his = ada.folder(), bob.folder()
    (his / "link").symlink_to(hers)
    (his / "way").symlink_to(hers.parent)
    (homes / "roots").mkdir(exist_ok=True)
    target = {
        "hers": str(hers),
        "a link to hers": str(his / "link"),
        "a link on the way": str(his / "way" / hers.name),
        "above": f"{his}/../../{ADA}/{hers.name}",
        "nobody's": str(homes / "roots"),
        "below no root": "/mnt",
    }[way]
    before = shown(bob.node)
    with pytest.raises((PolicyError, DeliveryError, ManifestError)):
        bob.ask("/up", target=target, files=dict(public))
    assert shown(bob.node) == before
    held = {volume["name"] for volume in ask(bob.node.places.control, "GET", "/volumes") if volume["holders"]}
    assert held == set()


def shown(node: Node) -> list[str]:
    """Where the node's mounts appear to users."""
    return [mount.point for mount in node.mounts() if not mount.point.startswith(str(node.folder))]


def test_a_process_in_a_namespace_of_its_own_is_told(bob: User, public: Files) -> None:
    target = bob.folder()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    told = {"target": str(target), "files": dict(public)}
    with pytest.raises(DeliveryError, match="mount namespace of its own"):
        bob.act(lambda: ask(bob.node.places.control, "POST", "/up", told), before=lambda: unshare(_NEWNS))
    assert not mounting.is_mounted(target)


def test_links_that_are_swapped_meanwhile_lead_nowhere(ada: User, bob: User, public: Files) -> None:
    """The way to his folder is at any moment a folder of his, or a link to hers."""
    there, hers, his = bob.up(public), ada.folder(), bob.folder()
    (hers / "data").mkdir()
    (his / "way/data").mkdir(parents=True)
    (his / "link").symlink_to(hers)
    for folder in (his / "way", his / "way/data"):
        os.chown(folder, BOB, BOB)
    (source, *_), target = bob.node.places.mounts.iterdir(), his / "way/data"
    outcomes = Counter[str]()
    with subprocess.Popen([sys.executable, "-c", _SWAP, his / "way", his / "link"]) as swapper, ended(swapper):
        while outcomes.total() < 2 * RACES or not (outcomes["up"] and outcomes["down"] and outcomes["DeliveryError"]):
            for name, step in (("up", partial(bind, source, target, BOB)), ("down", partial(unbind, target, True))):
                try:
                    step()
                    outcomes[name] += 1
                except (PolicyError, DeliveryError) as error:
                    outcomes[type(error).__name__] += 1
                assert not mounting.is_mounted(hers / "data")
    unbind((his / "link/data" if (his / "way").is_symlink() else target), lazy=True)
    assert shown(bob.node) == [str(there)]
    bob.down(there)


def test_a_folder_that_is_moved_away_makes_no_room_for_another(bob: User, public: Files) -> None:
    """Else one user could fill the machine's table of mounts."""
    top = bob.folder()
    target = top / "way/data"

    def made() -> None:
        target.mkdir(parents=True)

    bob.act(made)
    bob.ask("/up", target=str(target), files=dict(public))
    bob.act(lambda: os.rename(top / "way", top / "away"))
    bob.act(made)
    for ask_again in (lambda: bob.down(target), lambda: bob.ask("/up", target=str(target), files=dict(public))):
        with pytest.raises(DeliveryError, match="move it back first"):
            ask_again()
    assert shown(bob.node) == [str(top / "away/data")]
    bob.act(lambda: os.rename(top / "way", top / "other"))
    bob.act(lambda: os.rename(top / "away", top / "way"))
    bob.down(target)
    assert shown(bob.node) == []


def test_many_at_once_at_one_folder_are_one_mount(bob: User, public: Files) -> None:
    target = bob.folder()

    def up(_: int) -> str:
        with suppress(PolicyError, DeliveryError):
            ask(bob.node.places.control, "POST", "/up", {"target": str(target), "files": dict(public)})
        return ""

    def race() -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(up, range(24)))

    bob.act(race)
    assert shown(bob.node) == [str(target)]
    bob.down(target)
    assert shown(bob.node) == []


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


_SWAP = """
import ctypes, os, sys
exchange = lambda: ctypes.CDLL(None).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)
while True:
    exchange()
"""


def test_one_user_takes_no_more_memory_than_one_request_may(bob: User) -> None:
    """Of two that are as long as one may be, one is refused before it is read."""

    def flood() -> str:
        head = f"POST /up HTTP/1.1\r\nContent-Length: {BODY_LIMIT}\r\n\r\n".encode()
        with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
            for each in (one, other):
                each.connect(str(bob.node.places.control))
                each.sendall(head)
            [answered], _, _ = select.select([one, other], [], [])
            with answered.makefile() as said:
                return str(said.read())

    assert "other large requests of yours" in bob.act(flood)


def test_a_manifest_that_would_take_long_to_read_is_not_read(bob: User, public: Files) -> None:
    with pytest.raises(ManifestError, match="more than 64 KiB"):
        bob.up({**public, MANIFEST: b"[" * (1 << 20)})
