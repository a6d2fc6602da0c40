"""Metalinks, and servers that name mirrors and digests: whichever copy is bad or gone, the right bytes come."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gotdata.credentials import Credential, Credentials
from gotdata.errors import AuthRequired, GotdataError, IntegrityError, SourceError, UpstreamChanged
from gotdata.loose import Loose
from gotdata.model import Checksum, Pin, Ref, RemoteFile, Span
from gotdata.origin import Wanted
from gotdata.report import Event
from gotdata.sources.http import Http
from gotdata.sources.metalink import MIRRORS, parse
from gotdata.testing.server import Reply, Server
from gotdata.testing.source_contract import context, follow

SOURCE = Http()
BODY = bytes(range(256)) * 3000
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def loose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loose]:
    monkeypatch.setenv("GOTDATA_SETTINGS", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "settings.toml").write_text('retries = 0\nconnect_timeout = "2"\n')
    with Loose.open({"store": str(tmp_path / "store")}) as loose:
        yield loose


def meta4(*files: str) -> bytes:
    return (
        f'<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">{"".join(files)}</metalink>'.encode()
    )


def listed(name: str, *urls: str, size: int | None = len(BODY), sha256: str = SHA256) -> str:
    told = f"<size>{size}</size>" if size is not None else ""
    hashed = f'<hash type="sha-256">{sha256}</hash>' if sha256 else ""
    places = "".join(f'<url priority="{rank}">{url}</url>' for rank, url in enumerate(urls, 1))
    return (
        f'<file name="{name}">{told}{hashed}<pieces type="sha-256" length="9"><hash>00</hash></pieces>{places}</file>'
    )


def put(server: Server, text: bytes, name: str = "set.meta4", kind: str = "application/metalink4+xml") -> str:
    return server.put(name, text, kind)


def files(url: str) -> list[RemoteFile]:
    ctx = context()
    return list(SOURCE.files(follow(Ref(url), ctx)[1], ctx))


def test_the_files_of_a_metalink_are_listed_with_sizes_hashes_and_addresses(server: Server) -> None:
    url = put(server, meta4(listed("a/one", "https://m2/x", "one"), listed("two", "https://m1/y")))
    assert files(url) == [
        RemoteFile("a/one", len(BODY), at=f"https://m2/x {server.at('one')}", checks=(Checksum("sha256", SHA256),)),
        RemoteFile("two", len(BODY), at="https://m1/y", checks=(Checksum("sha256", SHA256),)),
    ]


def test_addresses_stand_in_the_order_of_their_priority() -> None:
    text = meta4(
        '<file name="x"><hash type="md5">' + 32 * "0" + "</hash>"
        '<url>https://last/</url><url priority="2">https://b/</url><url priority="1">https://a/</url>'
        '<url priority="1">ftp://never/</url><url>javascript:x</url></file>'
    ).decode()
    (entry,) = parse(text, "https://h/x.meta4")
    assert entry.urls == ("https://a/", "https://b/", "https://last/")


def test_version_3_prefers_the_highest(server: Server) -> None:
    text = (
        '<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="x"><size>3</size><verification>'
        '<hash type="sha1">a9993e364706816aba3e25717850c26c9cd0d89d</hash></verification><resources>'
        '<url type="http" preference="10">http://b/x</url><url type="http" preference="90">http://a/x</url>'
        "</resources></file></files></metalink>"
    )
    url = put(server, text.encode(), "x.metalink", "text/xml")
    (file,) = files(url)
    assert (file.at, file.size) == ("http://a/x http://b/x", 3)
    assert file.checks == (Checksum("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),)


def test_without_a_hash_only_the_first_address_is_believed() -> None:
    (entry,) = parse(meta4(listed("x", "https://a/", "https://b/", sha256="")).decode(), "https://h/")
    assert entry.urls == ("https://a/",)


def test_a_size_that_is_not_listed_is_asked_for(server: Server) -> None:
    server.put("one", BODY)
    (file,) = files(put(server, meta4(listed("x", "one", size=None))))
    assert file.size == len(BODY)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"<html></html>", "its root is <html>"),
        (b"junk", "is no Metalink"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + meta4(), "a document type"),
        (meta4('<file name="x"><url>ftp://h/x</url></file>'), "is at no web address"),
    ],
)
def test_what_is_no_metalink_is_said_to_be_none(server: Server, text: bytes, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        files(put(server, text))


def test_addresses_are_bounded_and_never_lead_out_of_encryption() -> None:
    many = meta4(listed("x", "http://plain/x", *(f"https://h{n}/" for n in range(100)))).decode()
    (entry,) = parse(many, "https://h/x.meta4")
    assert len(entry.urls) == MIRRORS
    assert entry.urls[0] == "https://h0/"


def test_a_metalink_that_changed_is_a_change_upstream(server: Server) -> None:
    url = put(server, meta4(listed("x", "one")))
    ctx = context()
    pin = follow(Ref(url), ctx)[1]
    put(server, meta4(listed("x", "two")))
    with pytest.raises(UpstreamChanged, match="lists other files now"):
        list(SOURCE.files(pin, ctx))


def test_no_key_goes_where_a_metalink_leads(server: Server, other: Server) -> None:
    other.put("x", BODY, auth="Bearer mine")
    url = put(server, meta4(listed("x", other.at("x"))))
    ctx = context(Credentials([Credential(other.url, "cred:mine", (("Authorization", "Bearer mine"),))]))
    pin = follow(Ref(url), ctx)[1]
    (file,) = SOURCE.files(pin, ctx)
    with pytest.raises(AuthRequired, match="for which there is a credential of yours"):
        SOURCE.read(pin, file, Span(0, 5), ctx)
    assert not other.requests


@pytest.mark.parametrize("at", ["file:///etc/passwd", "", "https://a/x ftp://b/x"])
def test_a_forged_address_is_refused(at: str) -> None:
    pin = Pin("http", Ref("https://h/x.meta4"), "https://h/x.meta4", {"metalink": "0" * 64})
    file = RemoteFile("x", 5, at=at, checks=(Checksum("md5", "0" * 32),))
    with pytest.raises(IntegrityError, match="the lock was edited"):
        [SOURCE.url(pin, file), *SOURCE.duplicates(pin, file)]


# The reading engine over them


@pytest.mark.parametrize("first", ["gone", "wrong", "cut", "short", "refused"])
def test_whatever_the_first_mirror_does_the_right_bytes_come(
    server: Server, other: Server, loose: Loose, tmp_path: Path, first: str
) -> None:
    if first == "wrong":
        server.put("x", BODY[:-1] + b"!")
    if first == "cut":
        server.put("x", BODY, cut=100_000)
    if first == "short":
        server.put("x", BODY[:-1])
    if first == "refused":
        server.put("x", BODY, always=403)
    other.put("x", BODY)
    loose.get(Ref(put(server, meta4(listed("x", "x", other.at("x"))))), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BODY
    assert server.seen("x")
    assert other.seen("x")


def digest(name: str = "Repr-Digest") -> dict[str, str]:
    return {name: f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"}


@pytest.mark.parametrize("first", ["gone", "wrong"])
def test_a_mirror_that_a_header_names_is_read_when_its_server_fails(
    server: Server, other: Server, loose: Loose, tmp_path: Path, first: str
) -> None:
    other.put("copy", BODY)
    link = f'<{other.at("copy")}>; rel=duplicate; pri=1, </elsewhere>; rel="next"'
    url = server.put("x.bin", BODY, headers={**digest(), "Link": link}, etag='"one"')
    ctx = loose.ctx
    pin = loose.pin(Ref(url))
    assert pin.version["duplicates"] == other.at("copy")
    server.put("x.bin", BODY[:-1] + b"!", etag='"one"') if first == "wrong" else server.remove("x.bin")
    (file,) = SOURCE.files(pin, ctx)
    origins = loose.mirror(pin, "public")(file)
    assert [origin.url for origin in origins] == [url, other.at("copy")]
    with closing(loose.reader.whole(Wanted("d/x.bin", len(BODY), f"sha256:{SHA256}", tuple(origins)))) as held:
        assert held.pread(Span(0, len(BODY))) == BODY
    assert other.seen("copy")


def test_a_mirror_without_a_digest_is_not_kept(server: Server) -> None:
    url = server.put("x.bin", BODY, headers={"Link": "<https://m/x>; rel=duplicate"})
    assert "duplicates" not in follow(Ref(url), context())[1].version


def test_a_metalink_that_describes_a_file_brings_its_hashes_and_mirrors(server: Server) -> None:
    put(server, meta4(listed("whatever", "https://m1/x", "x.bin")), "x.bin.meta4")
    link = '<x.bin.meta4>; rel=describedby; type="application/metalink4+xml"'
    url = server.put("x.bin", BODY, headers={"Link": link})
    version = follow(Ref(url), context())[1].version
    assert (version["sha256"], version["duplicates"]) == (SHA256, "https://m1/x")


@pytest.mark.parametrize("wrong", ["size", "digest", "none"])
def test_a_description_of_another_file_is_told_and_not_used(server: Server, wrong: str) -> None:
    text = {
        "size": meta4(listed("x", "https://m1/x", size=1)),
        "digest": meta4(listed("x", "https://m1/x", sha256="0" * 64)),
        "none": b"junk",
    }[wrong]
    put(server, text, "x.bin.meta4")
    link = '<x.bin.meta4>; rel=describedby; type="application/metalink4+xml"'
    url = server.put("x.bin", BODY, headers={**digest(), "Link": link})
    said: list[Event] = []
    version = follow(Ref(url), replace(context(), reporter=said.append))[1].version
    assert version["sha256"] == SHA256
    assert "duplicates" not in version
    assert len(said) == 1


@pytest.mark.parametrize(
    ("header", "value", "check"),
    [
        ("Repr-Digest", f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:", "sha256"),
        ("Digest", f"sha-256={base64.b64encode(hashlib.sha256(BODY).digest()).decode()}", "sha256"),
        ("Digest", "adler32=0a1b2c3d", "adler32"),
        ("X-Checksum-Sha256", SHA256, "sha256"),
        ("X-Checksum-Sha1", hashlib.sha1(BODY).hexdigest(), "sha1"),
    ],
)
def test_a_digest_of_the_whole_becomes_a_check(server: Server, header: str, value: str, check: str) -> None:
    url = server.put("x.bin", BODY, headers={header: value})
    assert check in follow(Ref(url), context())[1].version


def test_a_digest_of_what_was_sent_is_not_taken_for_that_of_the_whole(server: Server) -> None:
    """The probe asks for one byte: Content-Digest and Content-MD5 may be that byte's."""
    url = server.put("x.bin", BODY, headers={**digest("Content-Digest"), "Content-MD5": "0" * 32})
    version = follow(Ref(url), context())[1].version
    assert not {"sha256", "md5"} & version.keys()
    server.change("x.bin", ranges=False)
    assert {"sha256", "md5"} <= follow(Ref(url), context())[1].version.keys()


def test_servers_are_asked_for_digests(server: Server) -> None:
    url = server.put("x.bin", BODY)
    follow(Ref(url), context())
    assert "sha-256" in server.seen("x.bin")[0].headers["want-repr-digest"]
    assert "adler32" in server.seen("x.bin")[0].headers["want-digest"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (("../../etc/passwd",), "passwd"),
        (("/etc/passwd",), "passwd"),
        (("x", "x"), "listed twice"),
        (("x", "x/y"), "no file system can hold both"),
    ],
)
def test_names_that_can_t_be_are_refused_before_anything_is_written(
    server: Server, loose: Loose, tmp_path: Path, entries: tuple[str, ...], words: str
) -> None:
    server.put("f", BODY)
    with pytest.raises(GotdataError, match=words):
        loose.get(Ref(put(server, meta4(*(listed(name, "f") for name in entries)))), tmp_path / "out" / "deep")
    assert not (tmp_path / "out").exists()
    assert not server.seen("f")


def test_a_size_that_is_a_lie_is_found(server: Server, loose: Loose, tmp_path: Path) -> None:
    server.put("f", BODY)
    with pytest.raises(UpstreamChanged, match=f"it has {len(BODY)} bytes, and had 5"):
        loose.get(Ref(put(server, meta4(listed("x", "f", size=5)))), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_login_page_in_place_of_a_metalink_is_said_to_be_one(server: Server) -> None:
    with pytest.raises(SourceError, match=r"answered a web page|is no Metalink"):
        files(server.put("set.meta4", login=True))


@pytest.mark.parametrize("described", [True, False])
def test_a_server_that_hands_on_to_mirrors_says_itself_what_they_have(
    server: Server, other: Server, loose: Loose, described: bool
) -> None:
    """RFC 6249 as download redirectors do it: mirrors and digest stand in the redirect, not in the mirror's answer."""
    mirror, further = other.put("x.bin", BODY), other.put("further", BODY)
    value = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    headers = {"Location": mirror, "Link": f"<{further}>; rel=duplicate; pri=2", "Digest": f"SHA-256={value}"}
    if described:
        link = '</x.bin.meta4>; rel=describedby; type="application/metalink4+xml"'
        headers = {"Location": mirror, "Link": link}
    put(server, meta4(listed("x.bin", further)), "x.bin.meta4")
    server.otherwise = lambda request: Reply(302, headers, b"")
    pin = loose.pin(Ref(server.at("x.bin")))
    assert (pin.version["sha256"], pin.version["duplicates"]) == (SHA256, further)
    other.remove("x.bin")
    (file,) = SOURCE.files(pin, loose.ctx)
    origins = tuple(loose.mirror(pin, "public")(file))
    with closing(loose.reader.whole(Wanted("d/x.bin", len(BODY), f"sha256:{SHA256}", origins))) as held:
        assert held.pread(Span(0, len(BODY))) == BODY
    assert other.seen("further")


# Policies judge where it leads


def test_the_pin_names_the_servers_that_a_metalink_leads_to(server: Server, other: Server) -> None:
    url = put(server, meta4(listed("x", server.at("up"), other.at("any/x"))), "sets/set.meta4")
    options = (("place-9", "https://elsewhere.example/"),)
    pin = follow(Ref(url, options), context())[1]
    assert pin.ref.places == (url, *sorted([server.at(""), other.at("")]))


def test_the_pin_names_the_servers_of_duplicates(server: Server, other: Server) -> None:
    url = server.put("x.bin", BODY, headers={**digest(), "Link": f"<{other.at('any/x')}>; rel=duplicate"})
    assert follow(Ref(url), context())[1].ref.places == (url, other.at(""))


def test_a_file_beside_its_metalink_needs_no_place(server: Server) -> None:
    url = put(server, meta4(listed("x", server.at("sets/x"))), "sets/set.meta4")
    assert follow(Ref(url), context())[1].ref.places == (url,)


@pytest.mark.parametrize("version", [{"metalink": "0" * 64}, {"size": "5", "name": "x"}])
@pytest.mark.parametrize("beside", [True, False])
def test_a_forged_locator_leads_to_no_server_that_the_pin_does_not_name(
    server: Server, other: Server, version: dict[str, str], beside: bool
) -> None:
    evil = server.put("secretarea/other", BODY) if beside else other.put("x", BODY)
    home = server.at("pub/x.meta4")
    pin = Pin("http", Ref(home), home, version)
    file = RemoteFile("x", 5, at=f"{evil} {evil}", checks=(Checksum("md5", "0" * 32),))
    with pytest.raises(IntegrityError, match=r"in no place of .*edited"):
        SOURCE.duplicates(pin, file)
    with pytest.raises(IntegrityError, match="in no place of"):
        SOURCE.read_at(evil, pin, file, Span(0, 5), context())
    if "metalink" in version:
        with pytest.raises(IntegrityError, match="in no place of"):
            SOURCE.read(pin, file, Span(0, 5), context())
    assert not server.requests
    assert not other.requests
