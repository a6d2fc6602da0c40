"""The gcs source against a real emulator, beyond the contract: what Google's own client writes, and reads of it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from gotdata.digests import begin, computable
from gotdata.errors import ResolveError
from gotdata.model import Checksum, Pin, RemoteFile, Span
from gotdata.sources.gcs import Gcs
from gotdata.testing.source_contract import BODY
from tests.e2e import gcs
from tests.e2e.gcs import Bucket
from tests.e2e.servers import Server

SOURCE = Gcs()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with gcs.emulator(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def bucket(server: Server) -> Iterator[Bucket]:
    with gcs.proxied(server) as proxy:
        yield Bucket(server, proxy, versions=True)


def listed(bucket: Bucket, pin: Pin) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, bucket.ctx)}


def read(bucket: Bucket, pin: Pin, file: RemoteFile, span: Span | None = None) -> bytes:
    with SOURCE.read(pin, file, span or Span(0, file.size or 0), bucket.ctx) as stream:
        return stream.readall()


def test_what_google_s_client_knows_of_an_object_is_what_is_listed(bucket: Bucket) -> None:
    blob = bucket.write("data/f", BODY)
    file = listed(bucket, SOURCE.resolve(bucket.ref, bucket.ctx))["f"]
    assert (file.version, file.size) == (f"id:{blob.generation}", blob.size)
    for check in file.checks:
        if not computable(check.algorithm):
            pytest.skip(f"{check.algorithm} needs a package that is not installed")
        hash = begin(check.algorithm, len(BODY))
        hash.update(BODY)
        assert check == Checksum(check.algorithm, hash.hexdigest())
    assert {check.algorithm for check in file.checks} == {"crc32c", "md5"}


def test_an_older_generation_is_read_after_an_overwrite(bucket: Bucket) -> None:
    older = bucket.write("f", b"first").generation
    bucket.write("f", b"second!")
    pin = SOURCE.resolve(bucket.at("f", version=str(older)), bucket.ctx)
    assert read(bucket, pin, listed(bucket, pin)["f"]) == b"first"
    with pytest.raises(ResolveError):
        SOURCE.resolve(bucket.at("f", version="1519931085896733"), bucket.ctx)


def test_a_compressed_object_is_read_as_it_is_stored(bucket: Bucket) -> None:
    body = gzip.compress(BODY, mtime=0)
    bucket.write("data/f.csv", body, content_encoding="gzip")
    pin = SOURCE.resolve(bucket.ref, bucket.ctx)
    file = listed(bucket, pin)["f.csv"]
    assert read(bucket, pin, file) == body
    assert read(bucket, pin, file, Span(3, 40)) == body[3:40]


def test_a_composed_object_is_read_across_its_parts(bucket: Bucket) -> None:
    parts = [bucket.write(f"part{number}", BODY[number * 40_000 : (number + 1) * 40_000]) for number in range(3)]
    bucket.bucket.blob("data/whole").compose(parts)
    pin = SOURCE.resolve(bucket.ref, bucket.ctx)
    file = listed(bucket, pin)["whole"]
    assert read(bucket, pin, file) == BODY
    assert read(bucket, pin, file, Span(39_990, 80_010)) == BODY[39_990:80_010]


def test_a_bucket_that_is_not_there_is_said_to_be_missing(bucket: Bucket) -> None:
    bucket.name = "no-such-bucket-anywhere"
    for key in ("", "f", "d/"):
        with pytest.raises(ResolveError, match="not there"):
            SOURCE.resolve(bucket.at(key), bucket.ctx)
