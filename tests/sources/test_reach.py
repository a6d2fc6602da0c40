"""Strangers' references reach public addresses and nothing inside: with real sockets, whatever the name, the redirect
or the proxy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gotdata.context import Context
from gotdata.credentials import Credentials
from gotdata.errors import GotdataError, NotFound, PolicyError, ResolveError, SourceError, SourceUnavailable
from gotdata.model import Kind, Pin, Ref, Span
from gotdata.reach import ANYWHERE, PUBLIC_ONLY, Reach
from gotdata.settings import Settings
from gotdata.sources.file import File, here
from gotdata.sources.http_engine import Engine
from gotdata.sources.s3 import S3
from gotdata.wire_trees import Bench

ONE, OTHER = "127.0.0.1", "127.0.0.2"
Resolve = Callable[[str], list[str]]


@dataclass
class Site:
    """A server of one address, and what reached it: ``connected`` counts before a request is read."""

    host: str
    port: int = 0
    location: str = ""
    connected: int = 0
    asked: list[str] = field(default_factory=list)

    def at(self, name: str = "") -> str:
        return f"http://{name or self.host}:{self.port}/f"


@contextmanager
def site(host: str, port: int = 0) -> Iterator[Site]:
    made = Site(host)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(302 if made.location else 200)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"data")

        def log_message(self, *_: object) -> None:
            pass

    class Counting(ThreadingHTTPServer):
        def get_request(self) -> tuple[socket.socket, Any]:
            made.connected += 1
            return super().get_request()

    with Counting((host, port), Handler) as server:
        made.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def inside() -> Iterator[Site]:
    with site(ONE) as made:
        yield made


@pytest.fixture
def allowed(inside: Site) -> Iterator[Site]:
    """Another host at the same port."""
    with site(OTHER, inside.port) as made:
        yield made


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Resolve]:
    """What names resolve to; all else as ever."""
    known: dict[str, Resolve] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *more: Any, **named: Any) -> Any:
        if host not in known:
            return real(host, port, *more, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host](host)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def context(reach: Reach, environ: dict[str, str] | None = None, **values: Any) -> Context:
    chosen = Settings(retries=0, timeout=5.0, connect_timeout=2.0, **values)
    engine = Engine(chosen, Credentials(), environ=environ or {}, reach=reach)
    return Context(chosen, Credentials(), engine, reach=reach)


def read(url: str, reach: Reach, environ: dict[str, str] | None = None) -> bytes:
    with context(reach, environ).http.get(url) as stream:
        return stream.readall()


JUST_OTHER = Reach(networks=(f"{OTHER}/32",))


def test_a_network_of_the_operator_is_reached(allowed: Site) -> None:
    assert read(allowed.at(), JUST_OTHER) == b"data"


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:0:127.0.0.1]",
        "[::127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "[::1%25lo]",
        "[fe80::1%25lo]",
    ],
)
def test_no_spelling_of_this_machine_is_connected_to(inside: Site, name: str) -> None:
    with pytest.raises(GotdataError) as caught:
        read(inside.at(name), PUBLIC_ONLY)
    assert inside.connected == 0
    # Where the machine has no IPv6, or the resolver knows no such number, nothing is resolved at all.
    assert isinstance(caught.value, PolicyError) or "no connection" in str(caught.value)


def test_the_refusal_names_the_host_and_who_can_allow_it_and_not_its_number(
    inside: Site, names: dict[str, Resolve]
) -> None:
    names["intranet.example"] = lambda _: [ONE]
    with pytest.raises(PolicyError, match=r"intranet\.example lies inside .*`networks` allows it") as caught:
        read(inside.at("intranet.example"), PUBLIC_ONLY)
    assert ONE not in str(caught.value)


def test_a_name_that_means_another_address_a_moment_later_leads_nowhere_else(
    inside: Site, allowed: Site, names: dict[str, Resolve]
) -> None:
    answers = iter([[OTHER], [ONE], [ONE]])
    names["rebinding.example"] = lambda _: next(answers)
    assert read(allowed.at("rebinding.example"), JUST_OTHER) == b"data"
    with pytest.raises(PolicyError):
        read(allowed.at("rebinding.example"), JUST_OTHER)
    assert (inside.connected, allowed.connected) == (0, 1)


def test_of_several_addresses_only_those_within_reach_are_tried(
    inside: Site, allowed: Site, names: dict[str, Resolve]
) -> None:
    names["both.example"] = lambda _: [ONE, OTHER]
    assert read(allowed.at("both.example"), JUST_OTHER) == b"data"
    assert inside.connected == 0


def test_the_next_address_is_tried_where_one_does_not_answer(allowed: Site, names: dict[str, Resolve]) -> None:
    names["both.example"] = lambda _: ["127.0.0.9", OTHER]
    reach = Reach(networks=("127.0.0.2/32", "127.0.0.9/32"))
    assert read(allowed.at("both.example"), reach) == b"data"


def test_a_host_that_does_not_answer_is_unavailable_as_ever(inside: Site, names: dict[str, Resolve]) -> None:
    def nothing(_: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    names["gone.example"] = nothing
    with pytest.raises(SourceError, match="no web address"):
        read(f"http://{'a' * 70}.example/f", PUBLIC_ONLY)
    for url in ("http://gone.example/f", f"http://127.0.0.9:{inside.port}/f"):
        with pytest.raises(SourceUnavailable, match="no connection"):
            read(url, Reach(networks=("127.0.0.9/32",)))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_a_redirect_leads_nowhere_inside(inside: Site, allowed: Site, name: str) -> None:
    allowed.location = inside.at(name)
    for _ in range(2):
        with pytest.raises(GotdataError):
            read(allowed.at(), JUST_OTHER)
    assert inside.connected == 0
    assert allowed.asked == ["/f", "/f"]


def test_probes_and_texts_are_bounded_too(inside: Site) -> None:
    http = context(PUBLIC_ONLY).http
    for ask in (http.probe, http.text, http.json):
        with pytest.raises(PolicyError):
            ask(inside.at())
    assert inside.connected == 0


def test_the_operators_proxy_may_be_anywhere_and_is_asked_for_what_may_be_reached(
    inside: Site, names: dict[str, Resolve]
) -> None:
    environ = {"http_proxy": f"http://{ONE}:{inside.port}"}
    names["public.example"] = lambda _: ["93.184.216.34"]
    assert read("http://public.example/f", PUBLIC_ONLY, environ) == b"data"
    assert read("http://only-the-proxy-knows.invalid/f", PUBLIC_ONLY, environ) == b"data"
    names["private.example"] = lambda _: ["93.184.216.34", "10.0.0.1"]
    for name in ("10.0.0.1", "private.example", "169.254.169.254", "2130706433", "[::1]", "[::1%25zz]"):
        with pytest.raises(PolicyError):
            read(f"http://{name}/f", PUBLIC_ONLY, environ)
    assert inside.asked == ["http://public.example/f", "http://only-the-proxy-knows.invalid/f"]


def test_s3_is_bounded_where_it_lists_and_where_it_reads(inside: Site) -> None:
    ref = Ref("s3://bucket/d/", (("anonymous", "true"), ("endpoint", f"http://{ONE}:{inside.port}")))
    ctx = context(PUBLIC_ONLY)
    with pytest.raises(PolicyError, match="may not be reached"):
        S3().resolve(ref, ctx)
    pin = Pin("s3", ref, "s3://bucket/d/", {"listed": "x"})
    with pytest.raises(PolicyError):
        list(S3().files(pin, ctx))
    assert inside.connected == 0
    with pytest.raises(GotdataError):
        S3().resolve(ref, context(ANYWHERE))
    assert inside.connected > 0, "the same question goes out where nothing bounds it"


def test_s3_by_a_proxy_is_judged_by_the_urls_host(
    inside: Site, monkeypatch: pytest.MonkeyPatch, names: dict[str, Resolve]
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{ONE}:{inside.port}")
    ctx = context(PUBLIC_ONLY)
    options = (("anonymous", "true"), ("endpoint", "http://10.0.0.1"))
    with pytest.raises(PolicyError):
        S3().resolve(Ref("s3://bucket/d/", options), ctx)
    assert inside.connected == 0
    names["store.example"] = lambda _: ["93.184.216.34"]
    with pytest.raises(GotdataError):
        S3().resolve(Ref("s3://bucket/d/", (("anonymous", "true"), ("endpoint", "http://store.example"))), ctx)
    assert inside.connected > 0


# Files of this machine


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "f").write_text("data")
    (tmp_path / "secret").write_text("secret")
    return folder


def within(folder: Path) -> Context:
    return context(Reach(local=(str(folder),)))


def test_a_folder_of_the_operator_is_read(archive: Path) -> None:
    source, ctx = File(), within(archive)
    pin = source.resolve(Ref(archive.as_uri()), ctx)
    [file] = source.files(pin, ctx)
    with source.read(pin, file, Span(0, 4), ctx) as stream:
        assert stream.read() == b"data"


def test_no_other_file_of_this_machine_is_read_or_told_of(archive: Path) -> None:
    (archive / "leak").symlink_to(archive.parent / "secret")
    for path in (archive.parent / "secret", archive.parent / "none", archive / "leak", Path("/etc/passwd")):
        with pytest.raises(PolicyError, match=r"`local` in policy\.yml"):
            File().resolve(Ref(path.as_uri()), within(archive))
    with pytest.raises(PolicyError):
        File().resolve(Ref(archive.as_uri()), context(PUBLIC_ONLY))


def test_a_forged_pin_lists_and_reads_nothing(archive: Path) -> None:
    (archive / "sub").symlink_to(archive.parent)
    source, free, ctx = File(), context(ANYWHERE), within(archive)
    pin = source.resolve(Ref(archive.parent.as_uri()), free)
    file = next(file for file in source.files(pin, free) if file.path == "secret" and file.kind is Kind.FILE)
    with pytest.raises(PolicyError):
        list(source.files(pin, ctx))
    with pytest.raises(PolicyError):
        source.read(pin, file, Span(0, 1), ctx)
    with pytest.raises(PolicyError):
        Bench(ctx).mirror(pin, "public")(file)


def test_here_counts_where_its_folder_is_in_reach(archive: Path) -> None:
    found = Settings(here={"https://h.example/a/": str(archive)})
    assert here("https://h.example/a/f", found) == archive / "f"
    assert here("https://h.example/a/f", found, Reach(local=(str(archive),))) == archive / "f"
    assert here("https://h.example/a/f", found, PUBLIC_ONLY) is None


def test_without_a_reach_a_missing_file_is_what_it_was(archive: Path) -> None:
    with pytest.raises((ResolveError, NotFound)):
        File().resolve(Ref((archive / "none").as_uri()), context(ANYWHERE))
