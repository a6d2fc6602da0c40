"""The s3 source against a store that lies, is a wall, or is elsewhere than was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gotdata.errors import AccessDenied, AuthRequired
from gotdata.model import Checksum, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources.s3 import S3
from gotdata.sources.s3_listing import checksums
from gotdata.testing.double import LOGIN
from gotdata.testing.hostile_contract import MANY, HostileContract
from gotdata.testing.source_contract import context
from tests.sources.s3_double import Asked, Said, Store, error, lists, page, serving

SOURCE = S3()
BODY = b"0123456789"
_WALLS: dict[str, Said] = {
    "html": (200, {"Content-Type": "text/html"}, "<html><title>A portal</title></html>"),
    "login": (200, {"Content-Type": "text/html"}, LOGIN.decode()),
    "challenge": (202, {"x-amzn-waf-action": "challenge"}, ""),
    "garbage": (200, {"Content-Type": "application/json"}, '{"unfinished": ['),
}


class Liar:
    """As ``hostile_contract.Liar``."""

    def __init__(self) -> None:
        self.ctx = context(retries=0)
        self.lies = ""
        self.store: Store

    def __call__(self, asked: Asked) -> Said:
        if self.lies in _WALLS:
            return _WALLS[self.lies]
        if "list-type" in asked.query:
            return self.listing(int(asked.query.get("continuation-token", "0")))
        if asked.query:
            return error(501, "NotImplemented")
        return 200, {"ETag": '"e"'}, BODY.decode()

    def listing(self, start: int) -> Said:
        if self.lies == "many":
            more = str(start + 1000) if start + 1000 < MANY else ""
            return page(*((f"d/many/{number:07}", 1) for number in range(start, start + 1000)), token=more)
        entries = [("d/f", len(BODY) + (self.lies == "sizes"))]
        entries += {"names": [("d/../../etc/passwd", 1)], "twins": entries[:1]}.get(self.lies, [])
        return page(*entries, token="0" if self.lies == "loop" else "")

    def lie(self, what: str) -> None:
        self.lies = what

    @property
    def ref(self) -> Ref:
        return self.store.ref("d/")

    def asked(self) -> int:
        return len(self.store.asked)


class TestS3AgainstLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        liar = Liar()
        with serving(liar) as liar.store:
            yield liar


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDKEYOFLAB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-indeed")


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    "refusal",
    [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed"), (403, "AccessDenied")],
)
def test_the_region_in_any_refusal_is_followed(monkeypatch: pytest.MonkeyPatch, refusal: tuple[int, str]) -> None:
    def say(asked: Asked) -> Said:
        if asked.method == "HEAD" and asked.path == "/bucket":
            return refusal[0], {"x-amz-bucket-region": "eu-north-1"}, ""
        return lists(lambda _: page(("d/x", 1)))(asked)

    with serving(say) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        pin = SOURCE.resolve(store.ref(region="us-west-2"), context(retries=0))
        assert dict(pin.ref.options)["region"] == "eu-north-1"
        assert [file.path for file in SOURCE.files(pin, context(retries=0))] == ["x"]
        signed = [asked.headers["authorization"] for asked in store.asked if "authorization" in asked.headers]
        assert signed
        assert all("/eu-north-1/s3/aws4_request" in header for header in signed)


def test_one_object_is_read_without_the_right_to_list() -> None:
    def say(asked: Asked) -> Said:
        if asked.query or asked.path != "/bucket/d/x":
            return error(403, "AccessDenied")
        return 200, {"ETag": '"e"'}, "1"

    with serving(say) as store:
        pin = SOURCE.resolve(store.ref("d/x"), context())
        (file,) = SOURCE.files(pin, context())
        with SOURCE.read(pin, file, Span(0, 1), context()) as stream:
            assert stream.read() == b"1"
        for key in ("d/", "d/missing"):
            with pytest.raises(AuthRequired, match="where listing is not allowed, S3 says the same"):
                SOURCE.resolve(store.ref(key), context())


def test_what_is_archived_is_named_with_its_class() -> None:
    def say(asked: Asked) -> Said:
        if "list-type" in asked.query:
            listed = page(("d/cold", 1), ("d/warm", 1), ("d/ice", 1))[2]
            for key, kind in (("cold", "DEEP_ARCHIVE"), ("warm", "GLACIER_IR"), ("ice", "GLACIER")):
                listed = listed.replace(f"<Key>d/{key}</Key>", f"<Key>d/{key}</Key><StorageClass>{kind}</StorageClass>")
            return 200, {}, listed
        if asked.query:
            return error(501, "NotImplemented")
        status, headers, body = error(403, "InvalidObjectState")
        return status, headers, body.replace("<Message>", "<StorageClass>DEEP_ARCHIVE</StorageClass><Message>")

    told: list[Event] = []
    ctx = context(retries=0)
    with serving(say) as store:
        ctx = replace(ctx, reporter=told.append)
        pin = SOURCE.resolve(store.ref(), ctx)
        assert len(list(SOURCE.files(pin, ctx))) == 3
        where = f"{store.url}/bucket/d/cold is archived (DEEP_ARCHIVE)"
        assert [event.text for event in told] == [
            f"{where}: it and maybe others must be restored before they can be read"
        ]
        with pytest.raises(AccessDenied, match=r"archived \(DEEP_ARCHIVE\)"):
            SOURCE.read(pin, RemoteFile("cold", 1, version='etag:"e"'), Span(0, 1), ctx)


@pytest.mark.parametrize(
    ("headers", "warned"),
    [
        ({"x-amz-storage-class": "GLACIER"}, True),
        ({"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="true"'}, True),
        ({"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="false", expiry-date="x"'}, False),
        ({"x-amz-storage-class": "GLACIER_IR"}, False),
    ],
)
def test_an_object_that_was_restored_is_not_warned_of(headers: dict[str, str], warned: bool) -> None:
    told: list[Event] = []
    ctx = context(retries=0)
    with serving(lambda _: (200, {"ETag": '"e"', **headers}, "1")) as store:
        ctx = replace(ctx, reporter=told.append)
        pin = Pin("s3", store.ref("x"), "", {"etag": '"e"'})
        assert len(list(SOURCE.files(pin, ctx))) == 1
    assert bool(told) == warned


MD5 = "kAFQmDzST7DWlj99KOF/cg=="


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ({"ETag": '"e-2"', "Metadata": {"md5chksum": MD5}}, (Checksum("md5", "900150983cd24fb0d6963f7d28e17f72"),)),
        ({"ETag": '"e-2"', "Metadata": {"md5chksum": "nonsense"}}, ()),
        ({"ETag": '"e-2"', "Metadata": {"md5chksum": "AAAA"}}, ()),
        (
            {"ETag": '"e-2"', "ChecksumCRC64NVME": "rosUhgp5mIg=", "ChecksumType": "FULL_OBJECT"},
            (Checksum("crc64nvme", "ae8b14860a799888"),),
        ),
    ],
)
def test_md5_of_rclone_and_crc64_are_taken(head: dict[str, object], found: tuple[Checksum, ...]) -> None:
    assert checksums(head, in_aws=False) == found
