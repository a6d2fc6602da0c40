"""The s3 source where no real store can be had to misbehave so: hostile answers, refusals, odd references."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Checksum, Pin, Ref, RemoteFile, Span
from gotdata.reach import ANYWHERE
from gotdata.settings import Settings
from gotdata.sources import registry
from gotdata.sources.s3 import S3
from gotdata.sources.s3_access import open_access
from gotdata.sources.s3_bucket import Bucket, endpoint_url, parse
from gotdata.sources.s3_listing import EMPTY_PAGES, checksums
from gotdata.testing.source_contract import context
from tests.sources.s3_double import Asked, Said, Store, error, lists, open_store, page, serving

SOURCE = S3()


def listing(store: Store) -> list[RemoteFile]:
    ctx = context(retries=0)
    return list(SOURCE.files(SOURCE.resolve(store.ref(), ctx), ctx))


def test_a_region_that_is_no_region_is_not_believed() -> None:
    def say(asked: Asked) -> Said:
        status, headers, body = open_store(asked)
        return status, {**headers, "x-amz-bucket-region": "a.evil/"}, body

    with serving(say) as store:
        assert "region" not in dict(SOURCE.resolve(store.ref(), context()).ref.options)


def test_virtual_addressing_puts_the_bucket_into_the_host() -> None:
    access = open_access(
        Bucket("bucket", "https://store.example", addressing="virtual", anonymous=True), Settings(), ANYWHERE
    )
    assert access.request("a b", "")[0] == "https://bucket.store.example/a%20b"
    assert access.base("d/") == "https://bucket.store.example/d/"


def test_aws_is_asked_where_the_bucket_s_region_is() -> None:
    access = open_access(Bucket("bucket", region="eu-central-1", anonymous=True), Settings(), ANYWHERE)
    url, headers = access.request("d/é+", "v 1")
    assert url == "https://bucket.s3.eu-central-1.amazonaws.com/d/%C3%A9%2B?versionId=v%201"
    assert headers == {}


def test_a_listing_that_leads_back_to_itself_is_an_error() -> None:
    tokens = iter(range(10_000))
    with (
        serving(lists(lambda asked: page(("d/x", 1), ("d/y", 1), token=f"t{next(tokens)}"))) as store,
        pytest.raises(SourceError, match="leads back to 'd/x'"),
    ):
        listing(store)


def test_a_listing_of_endless_empty_pages_is_an_error() -> None:
    tokens = iter(range(10_000))
    with serving(lists(lambda asked: page(token=f"t{next(tokens)}"))) as store:
        with pytest.raises(SourceError, match="there is more"):
            listing(store)
        assert sum("list-type" in asked.query for asked in store.asked) < EMPTY_PAGES + 5


def test_a_listing_that_goes_on_without_saying_where_is_an_error() -> None:
    truncated = page(("d/x", 1))[2].replace("false", "true")
    with serving(lists(lambda asked: (200, {}, truncated))) as store, pytest.raises(SourceError, match="not where"):
        listing(store)


@pytest.mark.parametrize("entry", [("elsewhere/x", 1), ("d", 1), ("d/x", -1)])
def test_an_entry_that_cannot_be_is_refused(entry: tuple[str, int]) -> None:
    with serving(lists(lambda asked: page(entry))) as store, pytest.raises(SourceError, match="which can't be"):
        listing(store)


def test_empty_pages_in_the_midst_of_a_listing_are_passed() -> None:
    pages = {"": page(("d/x", 1), token="1"), "1": page(token="2"), "2": page(("d/y", 2))}
    with serving(lists(lambda asked: pages[asked.query.get("continuation-token", "")])) as store:
        assert [file.path for file in listing(store)] == ["x", "y"]


@pytest.mark.parametrize("body", ["<html>Welcome</html>", "not <xml", '{"a": 1}'], ids=["html", "text", "json"])
def test_what_is_no_answer_of_s3_is_a_source_error(body: str) -> None:
    with serving(lists(lambda asked: (200, {}, body))) as store, pytest.raises(GotdataError) as caught:
        assert listing(store) == ["nothing can be listed"]
    assert isinstance(caught.value, SourceError)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (error(503, "SlowDown"), SourceUnavailable, "SlowDown"),
        (error(500, "InternalError"), SourceUnavailable, "try again"),
        (error(429, "TooManyRequests"), SourceUnavailable, "try again"),
        (error(403, "AccessDenied"), AuthRequired, "without keys"),
        (error(400, "ExpiredToken"), AuthRequired, "has ended"),
        (error(403, "RequestTimeTooSkewed"), SourceError, "clock"),
        (error(301, "PermanentRedirect"), SourceError, "set `region:`"),
        (error(404, "NoSuchBucket"), ResolveError, "no such bucket"),
        (error(418, "Teapot", "short \x1b[31m and stout"), SourceError, "Teapot"),
    ],
    ids=lambda value: value[2].split("</Code>")[0].rpartition(">")[2] if isinstance(value, tuple) else "",
)
def test_what_s3_says_of_a_folder_becomes_our_error(said: Said, kind: type[GotdataError], words: str) -> None:
    with serving(lambda asked: said if asked.query else (200, {}, "")) as store:
        with pytest.raises(kind, match=words) as caught:
            SOURCE.resolve(store.ref(), context(retries=0))
        assert f"{store.url}/bucket/d/" in str(caught.value)
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (error(403, "InvalidObjectState"), AccessDenied, "archived"),
        (error(403, "RequestTimeTooSkewed"), SourceError, "clock"),
        (error(400, "ExpiredToken"), AuthRequired, "has ended"),
        (error(403, "AccessDenied"), AuthRequired, "without keys"),
    ],
)
def test_what_s3_says_of_a_read_becomes_our_error(said: Said, kind: type[GotdataError], words: str) -> None:
    with serving(lambda asked: said) as store:
        pin = Pin("s3", store.ref(), "s3://bucket/d/", {"listing": "objects"})
        with pytest.raises(kind, match=words):
            SOURCE.read(pin, RemoteFile("x", 3, version='etag:"e"'), Span(1, 2), context(retries=0))


def test_a_busy_store_is_asked_again_for_bytes() -> None:
    answers = [error(503, "SlowDown"), (206, {"ETag": '"e"', "Content-Range": "bytes 1-1/3"}, "x")]
    with serving(lambda asked: answers.pop(0)) as store:
        pin = Pin("s3", store.ref(), "s3://bucket/d/", {"listing": "objects"})
        with SOURCE.read(pin, RemoteFile("x", 3, version='etag:"e"'), Span(1, 2), context()) as stream:
            assert stream.read() == b"x"


def test_a_read_says_to_the_store_what_it_is_bound_to() -> None:
    with serving(lambda asked: (206, {"ETag": '"e"', "Content-Range": "bytes 1-1/3"}, "x")) as store:
        pin = Pin("s3", store.ref(), "s3://bucket/d/", {"listing": "objects"})
        SOURCE.read(pin, RemoteFile("x", 3, version='etag:"e"'), Span(1, 2), context()).close()
        SOURCE.read(pin, RemoteFile("x", 3, version="id:v/1"), Span(1, 2), context()).close()
        by_etag, by_id = store.asked
        assert (by_etag.headers["if-match"], by_etag.query) == ('"e"', {})
        assert ("if-match" in by_id.headers, by_id.query) == (False, {"versionId": "v/1"})


def test_another_version_than_was_asked_for_is_a_change_upstream() -> None:
    with serving(lambda asked: (206, {"x-amz-version-id": "v2", "Content-Range": "bytes 1-1/3"}, "x")) as store:
        pin = Pin("s3", store.ref(), "s3://bucket/d/", {"listing": "versions"})
        with pytest.raises(UpstreamChanged, match="v1 was asked for"):
            SOURCE.read(pin, RemoteFile("x", 3, version="id:v1"), Span(1, 2), context())


def test_who_may_read_objects_but_no_versions_is_bound_to_etags() -> None:
    def say(asked: Asked) -> Said:
        if "versionId" in asked.query:
            return error(403, "AccessDenied")
        if "versions" in asked.query:
            entry = "<Key>d/x</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest><Size>1</Size>"
            return 200, {}, f"<ListVersionsResult><Version>{entry}</Version></ListVersionsResult>"
        if "list-type" in asked.query:
            return page(("d/x", 1))
        return 200, {"ETag": '"e"', "x-amz-version-id": "v1"}, "1"

    with serving(say) as store:
        assert SOURCE.resolve(store.ref(), context()).version == {"listing": "objects"}
        assert SOURCE.resolve(store.ref("d/x"), context()).version == {"etag": '"e"', "size": "1"}


HEX = "900150983cd24fb0d6963f7d28e17f72"
SHA256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
MD5 = Checksum("md5", HEX)
STRONG = Checksum("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


@pytest.mark.parametrize(
    ("head", "in_aws", "wanted"),
    [
        ({"ETag": f'"{HEX}"'}, True, (MD5,)),
        ({"ETag": f'"{HEX}"', "ServerSideEncryption": "AES256"}, True, (MD5,)),
        ({"ETag": f'"{HEX}"', "ServerSideEncryption": "aws:kms"}, True, ()),
        ({"ETag": f'"{HEX}"', "SSECustomerAlgorithm": "AES256"}, True, ()),
        ({"ETag": f'"{HEX}"'}, False, ()),
        ({"ETag": f'"{HEX}-2"'}, True, ()),
        ({"ETag": '"e"', "ChecksumSHA256": SHA256, "ChecksumType": "FULL_OBJECT"}, False, (STRONG,)),
        ({"ETag": f'"{HEX}-2"', "ChecksumSHA256": SHA256, "ChecksumType": "FULL_OBJECT"}, False, (STRONG,)),
        ({"ETag": f'"{HEX}-2"', "ChecksumSHA256": SHA256, "ChecksumType": "COMPOSITE"}, False, ()),
        ({"ETag": f'"{HEX}-2"', "ChecksumSHA256": SHA256}, False, ()),
        ({"ETag": '"e"', "ChecksumSHA256": f"{SHA256}-2"}, False, ()),
        ({"ETag": '"e"', "ChecksumSHA256": "AAAA"}, False, ()),
        ({"ETag": '"e"', "ChecksumSHA256": SHA256}, False, (STRONG,)),
        ({"ETag": '"e"', "ChecksumCRC32": "NSRBwg=="}, False, (Checksum("crc32", "352441c2"),)),
    ],
)
def test_only_checksums_of_the_whole_object_are_taken(
    head: dict[str, str], in_aws: bool, wanted: tuple[Checksum, ...]
) -> None:
    assert checksums(head, in_aws) == wanted


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [
        ("s3://bucket", Bucket("bucket"), ""),
        ("s3://bucket/", Bucket("bucket"), ""),
        ("S3://bucket/a/", Bucket("bucket"), "a/"),
        ("s3://my.bucket-1/a b?c#d%20é", Bucket("my.bucket-1"), "a b?c#d%20é"),
    ],
)
def test_a_reference_is_read_as_it_is_written(url: str, bucket: Bucket, key: str) -> None:
    assert parse(Ref(url)) == (bucket, key)
    assert parse(bucket.ref(key)) == (bucket, key)


def test_a_canonical_reference_holds_all_options() -> None:
    options = {
        "addressing": "virtual",
        "anonymous": "true",
        "endpoint": "https://store.example:9000",
        "region": "r-1",
        "requester_pays": "true",
    }
    bucket, key = parse(Ref("s3://bucket/k", tuple(options.items())))
    assert bucket.ref(key) == Ref("s3://bucket/k", tuple(sorted(options.items())))


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("s3:bucket/a", {}, "s3://BUCKET/KEY"),
        ("s3://", {}, "s3://BUCKET/KEY"),
        ("s3://a b/c", {}, "s3://BUCKET/KEY"),
        ("s3://user:password@bucket/c", {}, "s3://BUCKET/KEY"),
        ("s3://arn:aws:s3:us-west-2:1:accesspoint/x", {}, "s3://BUCKET/KEY"),
        ("s3://fast--usw2-az1--x-s3/a", {}, "directory buckets"),
        ("s3://bucket/a/../b", {}, "between slashes"),
        ("s3://bucket/a", {"profile": "work"}, "can't choose among your keys: set AWS_PROFILE"),
        ("s3://bucket/a", {"region": "a.evil/"}, "is no region"),
        ("s3://bucket/a", {"addressing": "dns"}, "addressing is one of"),
        ("s3://bucket/a", {"endpoint": "ftp://x"}, "no address"),
        ("s3://bucket/a", {"endpoint": "store.example"}, "no address"),
        ("s3://bucket/a", {"endpoint": "http://x:99999"}, "no address"),
        ("s3://bucket/a", {"endpoint": "https://key:secret@x"}, "nothing else"),
        ("s3://bucket/a", {"endpoint": "https://x?y=z"}, "nothing else"),
        ("s3://bucket/a/", {"version": "v"}, "is a folder"),
        ("s3://bucket/a", {"version": "null"}, "replaced by the next write"),
    ],
)
def test_a_reference_that_cannot_be_says_why(url: str, options: dict[str, str], words: str) -> None:
    with serving(open_store) as store:
        ref = Ref(url, tuple({"endpoint": store.url, **options}.items()))
        with pytest.raises(ResolveError, match=words) as caught:
            SOURCE.resolve(ref, context())
        assert "password" not in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("HTTPS://Store.Example:443/", "https://store.example"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://127.0.0.1:8333", "http://127.0.0.1:8333"),
        ("https://[::1]:9000/s3/", "https://[::1]:9000/s3"),
    ],
)
def test_an_endpoint_has_one_spelling(written: str, canonical: str) -> None:
    assert endpoint_url(written) == canonical


def test_stores_are_told_apart_by_their_urls() -> None:
    file = RemoteFile("a b", 1)
    urls = {
        SOURCE.url(Pin("s3", Ref("s3://bucket/d/", options), ""), file)
        for options in ((), (("endpoint", "https://x.example"),), (("endpoint", "https://y.example"),))
    }
    assert urls == {
        "s3://bucket/d/a%20b",
        "https://x.example/bucket/d/a%20b",
        "https://y.example/bucket/d/a%20b",
    }


def test_without_botocore_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    for module in [name for name in sys.modules if name.startswith("gotdata.sources.s3")]:
        monkeypatch.delitem(sys.modules, module)
    registry.source.cache_clear()
    with pytest.raises(SourceError, match=r"botocore.*pip install 'gotdata\[s3\]'"):
        registry.source("s3")


def test_naming_the_source_does_not_load_botocore() -> None:
    code = "import sys; from gotdata.sources.s3 import S3; assert 'botocore' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
