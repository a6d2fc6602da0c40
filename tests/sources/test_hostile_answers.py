"""Answers made to break the reader: each is refused in words, or read as it may be."""

from __future__ import annotations

import json

import pytest

from gotdata.errors import ResolveError, SourceError
from gotdata.model import Pin, Ref
from gotdata.sources import autoindex, azure_answers, drs_access, elsewhere, globus_transfer, metalink, signposting
from gotdata.sources.globus import _is_server
from gotdata.sources.globus_place import placed
from gotdata.sources.http_page import Page, parsed
from gotdata.sources.http_xml import xml
from gotdata.sources.s3 import S3
from gotdata.testing.globus_double import COLLECTION
from gotdata.testing.source_contract import context

HOME = "https://drs.example.org/"


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Expect",
        "Proxy-Authorization",
        "Cookie",
        "X-Forwarded-For",
        "X-Real-IP",
        "TE",
        "Trailer",
        "Upgrade",
        "Content_Length",
        "X-HTTP-Method-Override",
    ],
)
def test_a_header_that_is_no_grant_is_refused(name: str) -> None:
    with pytest.raises(SourceError, match="no grant"):
        drs_access.asked_for({"url": "https://h/x", "headers": [f"{name}: 1"]}, HOME)


def test_a_grant_is_sent_and_the_range_is_ours() -> None:
    said = {"Authorization": "Bearer a", "X-Amz-Date": "1", "Range": "bytes=0-1", "Accept": "x/y"}
    _, sent = drs_access.asked_for({"url": "https://h/x", "headers": said}, HOME)
    assert sent == {"Authorization": "Bearer a", "X-Amz-Date": "1"}


@pytest.mark.parametrize(
    "url", ["https://priv.s3.amazonaws.com/key", "https://s3.amazonaws.com/priv/key", "S3://priv/key", "s3://priv/key"]
)
def test_s3_is_asked_without_keys_however_a_list_spells_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore", reason="botocore is not installed")
    asked: list[Ref] = []

    def resolve(self: S3, ref: Ref, ctx: object) -> Pin:
        asked.append(ref)
        raise ResolveError("enough")

    monkeypatch.setattr(S3, "resolve", resolve)
    with pytest.raises(ResolveError, match="enough"):
        list(elsewhere.files(url, HOME, context()))
    assert [ref.flag("anonymous") for ref in asked] == [True]


@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_in_every_encoding(coding: str) -> None:
    text = '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'.encode(coding).decode("utf-8", "surrogateescape")
    with pytest.raises(ValueError, match="a document type"):
        xml(text)


def test_an_encoding_that_nobody_knows_is_refused() -> None:
    text = '<?xml version="1.0" encoding="foo"?><x/>'
    with pytest.raises(SourceError, match="no Metalink"):
        metalink.parse(text, HOME)
    with pytest.raises(SourceError, match="no listing"):
        azure_answers._parsed(text, HOME)


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '["\\udc80"]', '{"\\uDBFF": 1}'])
def test_half_a_character_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="not JSON"):
        parsed(Page(HOME, "application/json", text))


def test_whole_characters_and_bytes_that_are_not_utf8_are_read() -> None:
    assert parsed(Page(HOME, "application/json", '["\\ud83d\\ude00", "\udc80"]')) == ["\U0001f600", "\udc80"]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(SourceError, match="no URL"):
        signposting._absolute(signposting.Typed("http://\u2100/", ("item",), "", ""), HOME)
    assert not _is_server("http://\u2100/", HOME)


def test_a_web_page_of_many_mebibytes_is_read_as_no_index() -> None:
    with pytest.raises(SourceError, match="16 MiB"):
        autoindex.parse(Page(HOME, "text/html", "<" * (autoindex.LIMIT + 1)))


def test_a_task_of_globus_that_never_ends_is_given_up_and_canceled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(place: object, path: str, ctx: object, **more: object) -> object:
        asked.append(path)
        return json.loads('{"status": "ACTIVE"}')

    monkeypatch.setattr(globus_transfer.api, "ask", ask)
    monkeypatch.setattr(globus_transfer, "DEADLINE", 0.0)
    place = placed(f"globus://{COLLECTION}/x")
    assert place is not None
    with pytest.raises(SourceError, match="given up"):
        globus_transfer._wait(place, "1", "/x", context())
    assert asked == ["task/1", "task/1/cancel"]
