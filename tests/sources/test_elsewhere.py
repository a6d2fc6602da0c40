"""Links that a listing names: followed as nobody, through the source that knows them, and hostile when they come back
from a lock."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AuthRequired, IntegrityError, NotFound, SourceError, SourceUnavailable, UpstreamChanged
from gotdata.model import Checksum, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import elsewhere
from gotdata.sources.elsewhere import Link
from gotdata.testing.invenio_double import Repository
from gotdata.testing.server import Server
from gotdata.testing.source_contract import BODY, context

HOME = "https://lists.example.org/list.json"
MD5 = Checksum("md5", hashlib.md5(BODY, usedforsecurity=False).hexdigest())


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as repository:
        yield repository


def holding(*prefixes: str) -> Context:
    """Who has a key for each of these places."""
    header = (("Authorization", "Bearer let-me-in"),)
    return context(Credentials([Credential(prefix, f"cred:{prefix}", header) for prefix in prefixes]))


def heard(ctx: Context) -> tuple[Context, list[str]]:
    said: list[str] = []

    def hear(event: Event, /) -> None:
        said.append(event.text)

    return replace(ctx, reporter=hear), said


def content(file: RemoteFile, ctx: Context, span: Span | None = None, home: str = HOME) -> bytes:
    with elsewhere.read(file, span or Span(0, file.size or 0), home, ctx) as stream:
        return stream.readall()


def test_what_a_server_tells_of_a_file_is_asked_and_its_bytes_are_read(server: Server) -> None:
    at = server.put("x/some file.bin", BODY)
    file = elsewhere.file(Link(at), HOME, context())
    assert (file.path, file.size, file.at, elsewhere.url(file)) == ("some file.bin", len(BODY), at, at)
    assert file.version.startswith("etag:")
    assert content(file, context(), Span(5, 9)) == BODY[5:9]
    server.put("x/some file.bin", BODY[::-1])
    with pytest.raises(UpstreamChanged):
        content(file, context(), Span(5, 9))


def test_a_path_of_the_listing_wins_over_the_name_there(server: Server) -> None:
    at = server.put("download", BODY, headers={"Content-Disposition": 'attachment; filename="cells.csv"'})
    assert elsewhere.file(Link(at), HOME, context()).path == "cells.csv"
    assert elsewhere.file(Link(at, "a/b.csv"), HOME, context()).path == "a/b.csv"


def test_a_size_that_was_wrong_is_reported_and_the_servers_counts(server: Server) -> None:
    ctx, said = heard(context())
    file = elsewhere.file(Link(server.put("f", BODY), size=7), HOME, ctx)
    assert file.size == len(BODY)
    assert said == [f"{HOME} says that 'f' has 7 bytes; it has {len(BODY)}"]


def test_a_checksum_of_the_listing_stays_whatever_the_server_says(server: Server) -> None:
    ctx, said = heard(context())
    meant = Checksum("md5", "0" * 31 + "1")
    said_there = f"md5=:{base64.b64encode(bytes.fromhex(MD5.hex)).decode()}:, sha-256=:{'A' * 43}=:"
    at = server.put("f", BODY, headers={"Repr-Digest": said_there})
    file = elsewhere.file(Link(at, checks=(meant,)), HOME, ctx)
    assert meant in file.checks
    assert MD5 not in file.checks
    assert {check.algorithm for check in file.checks} == {"md5", "sha256"}
    assert [f"'f' is {meant}" in text for text in said] == [True]


def test_a_link_that_is_dead_is_told_with_who_names_it(server: Server) -> None:
    with pytest.raises(NotFound, match=rf"{HOME} names a file that is gone: {server.url}none"):
        elsewhere.file(Link(server.at("none")), HOME, context())


def test_a_page_in_place_of_a_file_is_told(server: Server) -> None:
    with pytest.raises(SourceError, match="web page"):
        elsewhere.file(Link(server.put("f", b"<html>", kind="text/html")), HOME, context())


@pytest.mark.parametrize("url", ["ftp://h.example/f", "file:///etc/passwd", "mailto:a@b.example", "no-such:x"])
def test_what_no_source_reads_from_the_network_is_refused(url: str) -> None:
    with pytest.raises(SourceError, match="which no source here can read"):
        elsewhere.file(Link(url), HOME, context())


def test_a_path_that_leads_out_is_refused_before_anyone_is_asked(server: Server) -> None:
    with pytest.raises(SourceError, match=r"\.\."):
        elsewhere.file(Link(server.put("f", b"1"), "../f"), HOME, context())
    assert not server.requests


def test_a_length_that_is_not_told_is_counted(server: Server) -> None:
    file = elsewhere.file(Link(server.put("f", BODY, length="none", ranges=False)), HOME, context())
    assert file.size == len(BODY)


# Keys


def test_a_link_to_a_place_with_a_key_of_somebodys_is_not_followed(server: Server) -> None:
    at = server.put("secret/f", BODY, auth="Bearer let-me-in")
    ctx = holding(server.at("secret/"))
    with pytest.raises(AuthRequired, match=r"credential of yours.*name that URL itself"):
        elsewhere.file(Link(at), HOME, ctx)
    assert not server.requests


def test_a_forged_locator_brings_nothing_from_behind_a_key(server: Server) -> None:
    at = server.put("secret/f", BODY, auth="Bearer let-me-in")
    ctx = holding(server.at("secret/"))
    with pytest.raises(AuthRequired):
        content(RemoteFile("f", len(BODY), at=at), ctx)
    assert not server.requests


def test_a_redirect_to_a_place_with_a_key_is_not_followed_with_it(server: Server) -> None:
    with Server() as lab:
        target = lab.put("f", BODY, auth="Bearer let-me-in")
        at = server.put("f", redirect=target)
        with pytest.raises(AuthRequired):
            elsewhere.file(Link(at), HOME, holding(lab.url))
        assert not lab.requests


def test_what_lies_under_the_listings_own_key_is_read_with_it(server: Server) -> None:
    at = server.put("lab/f", BODY, auth="Bearer let-me-in")
    ctx, home = holding(server.at("lab/")), server.at("lab/list.json")
    file = elsewhere.file(Link(at), home, ctx)
    assert content(file, ctx, home=home) == BODY
    assert ctx.credentials.realm(home) != PUBLIC


def test_an_anonymous_engine_shows_no_key_and_knows_no_target_of_who_did(server: Server) -> None:
    with Server() as store:
        target = store.put("f", BODY)
        at = server.put("f", redirect=target)
        ctx = holding(server.url)
        ctx.http.probe(at)
        ctx.http.anonymous.probe(at)
        assert [("authorization" in request.headers) for request in server.seen("f")] == [True, False]


# Through another source


def record(repository: Repository) -> str:
    return f"invenio:{repository.root}/records/{repository.publish({'d/f.bin': BODY, 'other': b''})}"


def test_a_file_that_another_source_knows_goes_through_it(repository: Repository) -> None:
    link = Link(f"{record(repository)}/files/d/f.bin")
    file = elsewhere.file(link, HOME, context())
    assert (file.path, file.size, file.checks) == ("f.bin", len(BODY), (MD5,))
    held = json.loads(file.at)
    assert (held["source"], held["version"]["file"]) == ("invenio", "d/f.bin")
    assert elsewhere.url(file).startswith(f"{repository.root}/records/")
    assert content(file, context(), Span(5, 9)) == BODY[5:9]


def test_it_keeps_the_path_that_the_listing_gives_it(repository: Repository) -> None:
    file = elsewhere.file(Link(f"{record(repository)}/files/d/f.bin", "mine/x.bin"), HOME, context())
    assert file.path == "mine/x.bin"
    assert content(file, context()) == BODY


def test_a_dataset_is_no_file(repository: Repository) -> None:
    with pytest.raises(SourceError, match="no source here can read"):
        elsewhere.file(Link(record(repository)), HOME, context())


def test_a_dataset_may_be_listed_whole(repository: Repository) -> None:
    found = {file.path: file for file in elsewhere.files(record(repository), HOME, context())}
    assert found.keys() == {"d/f.bin", "other"}
    assert content(found["d/f.bin"], context()) == BODY


def test_what_no_source_lists_is_said_to_be_that(server: Server) -> None:
    with pytest.raises(SourceError, match="no source here can list"):
        list(elsewhere.files(server.put("f", b"1"), HOME, context()))


def test_another_source_is_asked_without_keys(repository: Repository) -> None:
    id = repository.publish({"f": BODY}, restricted=True)
    ctx = holding(f"{repository.root}/")
    with pytest.raises(SourceError):
        elsewhere.file(Link(f"invenio:{repository.root}/records/{id}/files/f"), HOME, ctx)
    assert not any("authorization" in request.headers for request in repository.server.requests)


def test_a_repository_that_is_down_is_no_reason_to_read_around_it(repository: Repository) -> None:
    at = record(repository)
    repository.limit = 100
    with pytest.raises(SourceUnavailable):
        elsewhere.file(Link(f"{at}/files/other"), HOME, context())


# Locators that come from a forged lock


def forged(**changes: object) -> RemoteFile:
    held = {
        "at": "https://zenodo.org/records/1/files/f",
        "from": {"url": "invenio:https://zenodo.org/records/1"},
        "namespace": "x",
        "path": "f",
        "source": "invenio",
        "version": {"record": "1"},
    }
    return RemoteFile("f", 4, at=json.dumps({**held, **changes}))


@pytest.mark.parametrize(
    "file",
    [
        forged(source="file", version={"kind": "file"}, **{"from": {"url": "file:///etc/passwd"}}),
        forged(source="http", **{"from": {"url": "https://h.example/f"}}),
        forged(source="croissant"),
        forged(version=[]),
        forged(**{"from": {}}),
        RemoteFile("f", 4, at="{"),
        RemoteFile("f", 4, at="{}"),
        RemoteFile("f", 4, at='{"a":' * 100_000),
        RemoteFile("f", 4, at="file:///etc/passwd"),
        RemoteFile("f", 4, at="/etc/passwd"),
        forged(at="https://zenodo.org.evil.example/records/1/files/f"),
    ],
    ids=str,
)
def test_a_forged_locator_is_refused(file: RemoteFile) -> None:
    with pytest.raises(IntegrityError, match="edited"):
        elsewhere.url(file)
    with pytest.raises(IntegrityError, match="edited"):
        elsewhere.read(file, Span(0, 4), HOME, context())


def test_a_forged_locator_does_not_use_keys_that_a_source_finds_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore", reason="botocore is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    file = forged(source="s3", at="", version={"id": "1"}, **{"from": {"url": "s3://the-labs-own/f"}})
    with pytest.raises(AuthRequired, match="credential of yours"):
        elsewhere.read(file, Span(0, 4), HOME, context())


def test_a_version_that_http_has_no_word_for_is_refused(server: Server) -> None:
    file = RemoteFile("f", len(BODY), at=server.put("f", BODY), version="md5:1")
    with pytest.raises(IntegrityError, match="no version of HTTP"):
        content(file, context())
