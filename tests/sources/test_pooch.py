from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.errors import IntegrityError, ResolveError, SourceError
from gotdata.model import Checksum, Ref, Span
from gotdata.sources.pooch import Pooch
from gotdata.testing.double import Double
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.invenio_double import Repository
from gotdata.testing.server import Reply, Request
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context
from gotdata.wire_trees import Bench

SOURCE = Pooch()


class Registry(Double):
    """A web server with files, and a registry that Pooch reads beside them. Also a ``Place`` and a ``Liar``."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, str] = {}
        self.ref = Ref(f"pooch:{self.root}/d/registry.txt")
        self.ctx = context()

    def answer(self, request: Request, path: str) -> Reply | None:
        if path != "/d/registry.txt":
            return None
        return Reply(200, {"Content-Type": "text/plain"}, "".join(self.lines.values()).encode())

    def put(self, path: str, body: bytes) -> None:
        self.server.put(f"d/{path}", body)
        self.lines[path] = f"'{path}' {hashlib.sha256(body).hexdigest()}\n"

    def remove(self, path: str) -> None:
        self.server.remove(f"d/{path}")

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        raise NotImplementedError

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"1")

    def deny(self) -> None:
        self.denied = True

    def limit_rate(self, times: int) -> None:
        self.limit = times

    def cut(self, path: str, after: int, times: int = 1) -> None:
        self.server.change(f"d/{path}", cut=after, cuts=times)

    def lie(self, what: str) -> None:
        self.put("f", BODY)
        if what == "names":
            self.lines["x"] = f"../../etc/passwd {'0' * 64} {self.server.at('d/f')}\n"
        elif what == "twins":
            self.lines["x"] = self.lines["f"]
        else:
            self.wall = what

    def asked(self) -> int:
        return len(self.server.requests)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


class TestPooch(SourceContract):
    source = SOURCE
    against = "a web server"
    single = False
    empty_folders = False
    checks = "sha256"
    lacks = ("limit",)
    odd_names = tuple(name for name in ODD_NAMES if "'" not in name and name != "...")

    @pytest.fixture
    def place(self, registry: Registry) -> Place:
        return registry


class TestHostilePooch(HostileContract):
    source = SOURCE
    against = "a web server"
    lies = ("names", "twins")

    @pytest.fixture
    def liar(self, registry: Registry) -> Liar:
        registry.put("f", BODY)
        return registry


def listed(registry: Registry, **options: str) -> dict[str, tuple[Checksum, ...]]:
    ref = Ref(registry.ref.url, tuple(options.items()))
    pin = SOURCE.resolve(ref, registry.ctx)
    return {file.path: file.checks for file in SOURCE.files(pin, registry.ctx)}


def test_hashes_have_their_algorithm_before_them_or_are_sha256(registry: Registry) -> None:
    md5 = hashlib.md5(BODY).hexdigest()
    registry.server.put("d/a b.csv", BODY)
    registry.lines["x"] = f"# a comment\n\n'a b.csv' MD5:{md5.upper()}\n"
    assert listed(registry) == {"a b.csv": (Checksum("md5", md5),)}


def test_a_file_may_have_a_url_of_its_own(registry: Registry) -> None:
    at = registry.server.put("elsewhere/x.bin", BODY)
    registry.lines["x"] = f"data/y.bin {hashlib.sha256(BODY).hexdigest()} {at}\n"
    assert list(listed(registry)) == ["data/y.bin"]


def test_the_base_is_an_option(registry: Registry) -> None:
    registry.server.put("v1/f", BODY)
    registry.lines["x"] = f"f {hashlib.sha256(BODY).hexdigest()}\n"
    assert list(listed(registry, base=registry.server.at("v1"))) == ["f"]


def test_the_base_may_be_the_doi_of_a_repository(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    with Repository() as repository:
        monkeypatch.setattr("gotdata.sources.doi.RESOLVER", repository.root)
        id = repository.publish({"f": BODY, "other": b"1"})
        registry.lines["x"] = f"f md5:{hashlib.md5(BODY).hexdigest()}\n"
        pin = SOURCE.resolve(Ref(registry.ref.url, (("base", f"doi:{repository.doi(id)}"),)), registry.ctx)
        [file] = SOURCE.files(pin, registry.ctx)
        assert pin.ref.option("place-1") == f"{repository.root}/"
        with SOURCE.read(pin, file, Span(0, 5), registry.ctx) as stream:
            assert (file.path, stream.readall()) == ("f", BODY[:5])


def test_what_is_no_registry_is_named_by_its_line(registry: Registry) -> None:
    registry.lines["x"] = "f 00\n"
    with pytest.raises(SourceError, match="'f' has the hash '00'"):
        listed(registry)
    registry.lines["x"] = "one two three four\n"
    with pytest.raises(SourceError, match=r"registry\.txt:1: 'one two three four' is no line"):
        listed(registry)


def test_a_file_that_is_not_what_the_registry_says_is_refused(registry: Registry, tmp_path: Path) -> None:
    registry.put("f", BODY)
    registry.server.put("d/f", BODY[::-1])
    with Bench(context(store=str(tmp_path))) as bench:
        from gotdata.origin import Bound, Wanted

        pin = SOURCE.resolve(registry.ref, bench.ctx)
        [file] = SOURCE.files(pin, bench.ctx)
        (origin,) = bench.mirror(pin, bench.realm(pin))(file)
        assert isinstance(origin, Bound)
        with pytest.raises(IntegrityError, match="is not what is due"):
            bench.reader.whole(Wanted("d/f", len(BODY), f"sha256:{file.checks[0].hex}", (origin,)))


def test_a_line_that_would_take_hours_to_split_is_refused() -> None:
    # Quadratic time would run into the suite's limit for a hang.
    with Registry() as registry:
        registry.lines["x"] = "'" + "a" * 5_000_000 + "'\n"
        with pytest.raises(SourceError, match="no line of a registry of Pooch"):
            SOURCE.resolve(registry.ref, registry.ctx)


def test_a_base_without_a_scheme_is_refused(registry: Registry) -> None:
    with pytest.raises(ResolveError, match="the option `base` is //evil/x, which names no scheme"):
        listed(registry, base="//evil/x")
