"""The s3 source against real stores, beyond the contract: paging, versions, keys, refusals, odd keys."""

from __future__ import annotations

import base64
import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gotdata.credentials import PUBLIC
from gotdata.digests import begin
from gotdata.errors import AuthRequired, GotdataError, NotFound, ResolveError, UpstreamChanged
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.sources.s3 import S3
from gotdata.testing.source_contract import BODY
from tests.e2e.s3_place import Bucket, give_keys
from tests.e2e.servers import S3Server

S3_SOURCE = S3()


@pytest.fixture(params=["weed", "moto"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    give_keys(monkeypatch, server)
    return server


@pytest.fixture
def keyed_weed(weed: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    give_keys(monkeypatch, weed)
    return weed


def pinned(bucket: Bucket, ref: Ref) -> Pin:
    return S3_SOURCE.resolve(ref, bucket.ctx)


def listed(bucket: Bucket, pin: Pin) -> dict[str, RemoteFile]:
    return {file.path: file for file in S3_SOURCE.files(pin, bucket.ctx)}


def read(bucket: Bucket, pin: Pin, file: RemoteFile, span: Span | None = None) -> bytes:
    with S3_SOURCE.read(pin, file, span or Span(0, file.size or 0), bucket.ctx) as stream:
        return stream.readall()


@pytest.mark.parametrize(("store", "versions"), [("weed", False), ("weed", True), ("moto", True)], indirect=["store"])
def test_a_listing_of_many_pages_is_whole(store: S3Server, versions: bool) -> None:
    bucket = Bucket(store, versions=versions)
    keys = {f"many/{number % 7}/{number:04}": str(number).encode() for number in range(2_500)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda item: bucket.write(*item), keys.items()))
    bucket.write("manyfold", b"a neighbour")
    pin = pinned(bucket, bucket.at("many/"))
    assert pin.version == {"listing": "versions" if versions else "objects"}
    files = listed(bucket, pin)
    assert {f"many/{path}": file.size for path, file in files.items()} == {key: len(keys[key]) for key in keys}
    assert len({file.version for file in files.values()}) == 2_500
    assert all(file.version.startswith("id:" if versions else 'etag:"') for file in files.values())


def test_a_versioned_folder_shows_the_latest_and_nothing_deleted(store: S3Server) -> None:
    bucket = Bucket(store, versions=True)
    bucket.write("d/kept", b"first")
    newest = bucket.write("d/kept", b"second!")["VersionId"]
    bucket.write("d/gone", b"x")
    bucket.delete("d/gone")
    bucket.write("d/back", b"1")
    bucket.delete("d/back")
    bucket.write("d/back", b"22")
    files = listed(bucket, pinned(bucket, bucket.at("d/")))
    assert {path: file.size for path, file in files.items()} == {"kept": 7, "back": 2}
    assert files["kept"].version == f"id:{newest}"


def test_an_older_version_can_be_asked_for(store: S3Server) -> None:
    bucket = Bucket(store, versions=True)
    older = bucket.write("f", b"first")["VersionId"]
    bucket.write("f", b"second!")
    bucket.delete("f")
    pin = pinned(bucket, bucket.at("f", version=older))
    assert pin.version == {"id": older}
    assert "version" not in dict(pin.ref.options), "the pin's version says it"
    assert read(bucket, pin, listed(bucket, pin)["f"]) == b"first"
    with pytest.raises(ResolveError):
        pinned(bucket, bucket.at("f"))


def test_a_version_that_never_was_is_a_resolve_error_that_names_it(store: S3Server) -> None:
    bucket = Bucket(store, versions=True)
    bucket.write("f", b"1")
    with pytest.raises(GotdataError, match=r"f\b.*version") as caught:
        pinned(bucket, bucket.at("f", version="0" * 32))
    assert isinstance(caught.value, ResolveError)


def test_a_version_asked_of_a_bucket_that_keeps_none_is_refused(store: S3Server) -> None:
    bucket = Bucket(store)
    bucket.write("f", b"1")
    with pytest.raises(ResolveError, match="version"):
        pinned(bucket, bucket.at("f", version="0" * 32))


def test_a_version_that_was_deleted_for_good_is_not_found(store: S3Server) -> None:
    bucket = Bucket(store, versions=True)
    version = bucket.write("f", b"first")["VersionId"]
    pin = pinned(bucket, bucket.at("f"))
    file = listed(bucket, pin)["f"]
    bucket.client.delete_object(Bucket=bucket.name, Key="f", VersionId=version)
    with pytest.raises(NotFound, match="no such version"):
        read(bucket, pin, file)


def test_what_was_written_while_versions_were_off_is_bound_to_its_etag(store: S3Server) -> None:
    bucket = Bucket(store)
    bucket.write("d/before", b"0")
    bucket.keep_versions("Enabled")
    bucket.write("d/after", b"1")
    pin = pinned(bucket, bucket.at("d/"))
    files = listed(bucket, pin)
    assert files["before"].version.startswith('etag:"')
    assert files["after"].version.startswith("id:")
    assert {path: read(bucket, pin, file) for path, file in files.items()} == {"before": b"0", "after": b"1"}


def test_an_overwritten_object_is_never_read_as_the_pinned_one(store: S3Server) -> None:
    bucket = Bucket(store)
    bucket.write("f", b"a" * 5_000)
    pin = pinned(bucket, bucket.at("f"))
    file = listed(bucket, pin)["f"]
    bucket.write("f", b"b" * 5_000)
    for span in (Span(0, 5_000), Span(7, 9)):
        with pytest.raises(UpstreamChanged, match="gotdata lock --update"):
            read(bucket, pin, file, span)
    with pytest.raises(UpstreamChanged):
        listed(bucket, pin)


def test_ranges_across_the_parts_of_a_multipart_upload_are_exact(store: S3Server) -> None:
    bucket = Bucket(store)
    body = random.Random(1).randbytes(11 << 20)
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key="mp")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(body), 5 << 20), 1):
        part = {"Bucket": bucket.name, "Key": "mp", "UploadId": upload, "PartNumber": number}
        etag = bucket.client.upload_part(**part, Body=body[start : start + (5 << 20)])["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    done = {"Bucket": bucket.name, "Key": "mp", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    bucket.client.complete_multipart_upload(**done)
    pin = pinned(bucket, bucket.at("mp"))
    file = listed(bucket, pin)["mp"]
    assert "-3" in file.version
    assert not [check for check in file.checks if check.algorithm == "md5"], "it is of the parts' MD5s"
    for start, stop in ((0, 1), ((5 << 20) - 3, (5 << 20) + 3), (100, 10 << 20), (len(body) - 1, len(body))):
        assert read(bucket, pin, file, Span(start, stop)) == body[start:stop]
    assert hashlib.sha256(read(bucket, pin, file)).digest() == hashlib.sha256(body).digest()


def test_a_sha256_that_the_store_knows_of_an_object_is_taken(store: S3Server) -> None:
    bucket = Bucket(store)
    bucket.write("f", b"abc", ChecksumAlgorithm="SHA256")
    (file,) = listed(bucket, pinned(bucket, bucket.at("f"))).values()
    assert Checksum("sha256", hashlib.sha256(b"abc").hexdigest()) in file.checks


def test_a_crc64_that_the_store_keeps_is_that_of_the_bytes(store: S3Server) -> None:
    pytest.importorskip("awscrt", reason="pip install awscrt")
    bucket = Bucket(store)
    bucket.write("f", BODY, ChecksumAlgorithm="CRC64NVME")
    (file,) = listed(bucket, pinned(bucket, bucket.at("f"))).values()
    found = {check.algorithm: check.hex for check in file.checks}
    hash = begin("crc64nvme", len(BODY))
    hash.update(BODY)
    assert found["crc64nvme"] == hash.hexdigest()


def test_the_md5_that_rclone_leaves_is_taken(store: S3Server) -> None:
    bucket = Bucket(store)
    md5 = hashlib.md5(BODY, usedforsecurity=False)
    bucket.write("f", BODY, Metadata={"Md5chksum": base64.b64encode(md5.digest()).decode()})
    (file,) = listed(bucket, pinned(bucket, bucket.at("f"))).values()
    assert Checksum("md5", md5.hexdigest()) in file.checks


def test_a_gzipped_object_is_read_as_it_is_stored(store: S3Server) -> None:
    bucket = Bucket(store)
    bucket.write("f.csv", b"\x1f\x8b not really", ContentEncoding="gzip")
    pin = pinned(bucket, bucket.at("f.csv"))
    assert read(bucket, pin, listed(bucket, pin)["f.csv"]) == b"\x1f\x8b not really"


def test_a_key_is_an_object_before_it_is_a_folder(store: S3Server) -> None:
    bucket = Bucket(store)
    bucket.write("both", b"object")
    bucket.write("both/inner", b"1")
    bucket.write("only/inner", b"1")
    assert list(listed(bucket, pinned(bucket, bucket.at("both")))) == ["both"]
    assert list(listed(bucket, pinned(bucket, bucket.at("both/")))) == ["inner"]
    folder = pinned(bucket, bucket.at("only"))
    assert folder == pinned(bucket, bucket.at("only/"))
    assert folder.ref.url == f"s3://{bucket.name}/only/"
    whole = listed(bucket, pinned(bucket, Ref(f"s3://{bucket.name}", bucket.options)))
    assert sorted(whole) == ["both", "both/inner", "only/inner"], "a file and a folder of one name are handed on"


def test_placeholders_are_folders_and_the_prefix_s_own_is_none(store: S3Server) -> None:
    bucket = Bucket(store)
    bucket.write("d/")
    bucket.write("d/empty/")
    bucket.write("alone/")
    files = listed(bucket, pinned(bucket, bucket.at("d/")))
    assert {path: file.kind for path, file in files.items()} == {"empty": Kind.DIR}
    assert listed(bucket, pinned(bucket, bucket.at("alone"))) == {}


@pytest.mark.parametrize(
    ("store", "names"),
    [("weed", {"c\nd", "e\tf", "..g"}), ("moto", {"a//b", "/abs", "e\\f", "full/", "h/../i"})],
    indirect=["store"],
)
def test_names_that_may_be_dangerous_are_handed_on_as_they_are(store: S3Server, names: set[str]) -> None:
    bucket = Bucket(store)
    for name in names:
        bucket.write(f"d/{name}", b"1")
    assert set(listed(bucket, pinned(bucket, bucket.at("d/")))) == names


def test_an_empty_bucket_is_an_empty_folder_and_an_empty_prefix_is_nothing(store: S3Server) -> None:
    bucket = Bucket(store)
    assert listed(bucket, pinned(bucket, bucket.at(""))) == {}
    with pytest.raises(ResolveError, match="no object's key begins with that"):
        pinned(bucket, bucket.at("nothing/"))


@pytest.mark.parametrize("key", ["", "f", "d/"])
def test_a_bucket_that_is_not_there_is_said_to_be_missing(store: S3Server, key: str) -> None:
    bucket = Bucket(store)
    ref = Ref(f"s3://no-such-bucket-anywhere/{key}", bucket.options)
    with pytest.raises(ResolveError, match="no such bucket"):
        pinned(bucket, ref)


def test_a_public_bucket_is_read_without_keys_and_in_the_public_realm(weed: S3Server) -> None:
    bucket = Bucket(weed, public=True)
    bucket.write("d/f", b"for all")
    pin = pinned(bucket, bucket.at("d/"))
    assert read(bucket, pin, listed(bucket, pin)["f"]) == b"for all"
    assert S3_SOURCE.realm(pin, bucket.ctx) == PUBLIC


def test_anonymous_leaves_the_keys_at_home(keyed_weed: S3Server) -> None:
    bucket = Bucket(keyed_weed, public=True)
    bucket.write("f", b"for all")
    assert S3_SOURCE.realm(pinned(bucket, bucket.at("f")), bucket.ctx) != PUBLIC
    pin = pinned(bucket, bucket.at("f", anonymous="true"))
    assert dict(pin.ref.options)["anonymous"] == "true"
    assert S3_SOURCE.realm(pin, bucket.ctx) == PUBLIC
    assert read(bucket, pin, listed(bucket, pin)["f"]) == b"for all"


@pytest.mark.parametrize("key", ["", "f", "d/", "missing"])
def test_a_private_bucket_asks_who_comes_without_keys(weed: S3Server, key: str) -> None:
    bucket = Bucket(weed)
    bucket.write("f", b"1")
    with pytest.raises(AuthRequired, match=r"without keys .*endpoint_url"):
        pinned(bucket, bucket.at(key))


@pytest.mark.parametrize("key", ["", "f", "d/", "missing"])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"secret": "wrong"}, "the secret key does not fit"), ({"key": "NOBODY"}, "the access key is not known")],
)
def test_keys_that_are_refused_are_told_apart(
    weed: S3Server, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], words: str, key: str
) -> None:
    bucket = Bucket(weed)
    bucket.write("f", b"1")
    give_keys(monkeypatch, weed, **wrong)
    with pytest.raises(AuthRequired, match=words) as caught:
        pinned(bucket, bucket.at(key))
    assert weed.secret not in str(caught.value)


def test_keys_that_are_refused_while_reading_are_said_to_be(weed: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    give_keys(monkeypatch, weed)
    bucket = Bucket(weed)
    bucket.write("f", b"1")
    pin = pinned(bucket, bucket.at("f"))
    file = listed(bucket, pin)["f"]
    give_keys(monkeypatch, weed, secret="wrong")
    with pytest.raises(AuthRequired, match="the secret key does not fit"):
        read(bucket, pin, file)


def test_keys_that_were_replaced_in_a_file_are_found_after_a_refusal(
    weed: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def write(secret: str) -> None:
        keys.write_text(f"[lab]\naws_access_key_id = {weed.key}\naws_secret_access_key = {secret}\n")

    keys, config = tmp_path / "credentials", tmp_path / "config"
    config.write_text(f"[profile lab]\nendpoint_url = {weed.url}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    bucket = Bucket(weed)
    bucket.write("f", b"1")
    write("wrong")
    with pytest.raises(AuthRequired):
        pinned(bucket, bucket.at("f"))
    write(weed.secret)
    pin = pinned(bucket, bucket.at("f"))
    assert read(bucket, pin, listed(bucket, pin)["f"]) == b"1"


def test_the_region_that_a_bucket_names_is_pinned(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    give_keys(monkeypatch, moto)
    bucket = Bucket(moto)
    bucket.client.create_bucket(
        Bucket=f"{bucket.name}-eu", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    bucket.client.put_object(Bucket=f"{bucket.name}-eu", Key="f", Body=b"1")
    pin = pinned(bucket, Ref(f"s3://{bucket.name}-eu/f", (*bucket.options, ("region", "us-west-2"))))
    assert dict(pin.ref.options)["region"] == "eu-central-1"
    assert read(bucket, pin, listed(bucket, pin)["f"]) == b"1"
