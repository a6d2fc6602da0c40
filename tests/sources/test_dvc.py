from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gotdata.errors import IntegrityError, ResolveError, SourceError
from gotdata.model import Checksum, Ref
from gotdata.sources.dvc import Dvc
from gotdata.testing.double import Double
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.server import Reply, Request, Server
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context

SOURCE = Dvc()


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


class Repository(Double):
    """A repository behind a web server, with a folder that DVC tracks, and its remote. Also a ``Place`` and a
    ``Liar``."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.listing: list[dict[str, str]] = []
        self.settings = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {self.root}/remote\n"
        self.ref = Ref(f"dvc:{self.root}/repo/in/data.dvc")
        self.ctx = context()

    def answer(self, request: Request, path: str) -> Reply | None:
        if path == "/repo/.dvc/config":
            return Reply(200, {"Content-Type": "text/plain"}, self.settings.encode())
        directory = json.dumps(
            [{"md5": md5(body), "relpath": name} for name, body in sorted(self.files.items())] + self.listing
        ).encode()
        digest = md5(directory)
        if path == "/repo/in/data.dvc":
            text = f"outs:\n- md5: {digest}.dir\n  size: 1\n  nfiles: 2\n  hash: md5\n  path: data\n"
            return Reply(200, {"Content-Type": "text/plain"}, text.encode())
        if path.startswith("/remote/files/md5/") and path.endswith(".dir"):
            return Reply(200, {"Content-Type": "application/octet-stream"}, directory)
        return None

    def kept(self, body: bytes) -> str:
        return f"remote/files/md5/{md5(body)[:2]}/{md5(body)[2:]}"

    def put(self, path: str, body: bytes) -> None:
        self.files[path] = body
        self.server.put(self.kept(body), body)

    def remove(self, path: str) -> None:
        self.server.remove(self.kept(self.files[path]))

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        raise NotImplementedError

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"1")

    def deny(self) -> None:
        self.denied = True

    def cut(self, path: str, after: int, times: int = 1) -> None:
        self.server.change(self.kept(self.files[path]), cut=after, cuts=times)

    def lie(self, what: str) -> None:
        if what in ("names", "twins"):
            self.listing = [{"md5": md5(BODY), "relpath": "../../etc/passwd" if what == "names" else "f"}]
        else:
            self.wall = what

    def asked(self) -> int:
        return len(self.server.requests)


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as repository:
        yield repository


class TestDvc(SourceContract):
    source = SOURCE
    against = "a web server"
    single = False
    empty_folders = False
    checks = "md5"
    lacks = ("limit",)
    odd_names = tuple(name for name in ODD_NAMES if name != "...")

    @pytest.fixture
    def place(self, repository: Repository) -> Place:
        return repository

    @pytest.mark.parametrize("body", [b"other"])
    def test_a_changed_file_is_never_read_as_the_pinned_one(self, place: Place, body: bytes) -> None:
        """What changed has another md5, and so another place: the list is another then."""
        place.put("f", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        place.put("f", body)
        assert self.content(place, pin, file) == BODY


class TestHostileDvc(HostileContract):
    source = SOURCE
    against = "a web server"
    lies = ("names", "twins")

    @pytest.fixture
    def liar(self, repository: Repository) -> Liar:
        repository.put("f", BODY)
        return repository


def tracked(repository: Repository, text: str, **options: str) -> dict[str, tuple[str, tuple[Checksum, ...]]]:
    at = repository.server.put("other/x.dvc", text.encode(), kind="text/plain")
    pin = SOURCE.resolve(Ref(f"dvc:{at}", tuple(options.items())), repository.ctx)
    return {file.path: (file.at, file.checks) for file in SOURCE.files(pin, repository.ctx)}


def test_what_older_versions_wrote_lies_at_the_remote_s_top(repository: Repository) -> None:
    at = repository.server.put(f"old/{md5(BODY)[:2]}/{md5(BODY)[2:]}", BODY)
    found = tracked(repository, f"outs:\n- md5: {md5(BODY)}\n  path: x.bin\n", remote=f"{repository.root}/old")
    assert found == {"x.bin": (at, (Checksum("md5", md5(BODY)),))}


def test_without_a_remote_what_was_imported_comes_from_its_url(repository: Repository) -> None:
    at = repository.server.put("origin/x.bin", BODY)
    found = tracked(repository, f"deps:\n- path: {at}\nouts:\n- md5: {md5(BODY)}\n  path: x.bin\n")
    assert found["x.bin"][0] == at


def test_a_lock_of_stages_names_its_outputs(repository: Repository) -> None:
    repository.server.put(repository.kept(BODY), BODY)
    outs = f"outs:\n    - path: y\n      hash: md5\n      md5: {md5(BODY)}\n"
    text = f"schema: '2.0'\nstages:\n  make:\n    cmd: ./make\n    {outs}"
    assert list(tracked(repository, text, remote=f"{repository.root}/remote")) == ["y"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"outs:\n- md5: {'0' * 32}\n  path: x\n", "no remote is known for 'x': give its URL, as the option `remote`"),
        ("outs:\n- path: x\n", "'x' has no md5"),
        ("a: [", "no file of DVC: not YAML"),
        ("a: b", "names no outputs"),
    ],
)
def test_what_can_not_be_read_is_said(repository: Repository, text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        tracked(repository, text)


def test_the_remote_of_the_settings_is_named_in_the_pin_and_not_asked_before(repository: Repository) -> None:
    with Server() as evil:
        repository.settings = f"[core]\nremote = a\n['remote \"a\"']\nurl = {evil.at('any')}\n"
        pin = SOURCE.resolve(repository.ref, repository.ctx)
        assert evil.at("") in pin.ref.places
        assert not evil.requests
        with pytest.raises(IntegrityError, match="in no place of"):
            list(SOURCE.files(replace(pin, ref=Ref(pin.ref.url)), repository.ctx))
        assert not evil.requests


def test_a_remote_without_a_scheme_is_refused(repository: Repository) -> None:
    with pytest.raises(ResolveError, match="the option `remote` is //evil/x, which names no scheme"):
        tracked(repository, f"outs:\n- md5: {md5(BODY)}\n  path: x\n", remote="//evil/x")
