"""The many addresses of one object in S3, as people paste them."""

from __future__ import annotations

import pytest

from gotdata.errors import ResolveError
from gotdata.model import Ref
from gotdata.sources.s3 import S3
from gotdata.sources.s3_bucket import Bucket, parse, version
from gotdata.testing.source_contract import context
from tests.sources.s3_double import open_store, serving

SOURCE = S3()


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [
        ("https://lab.s3.amazonaws.com/a%20b/c", Bucket("lab"), "a b/c"),
        ("https://lab.s3.amazonaws.com", Bucket("lab"), ""),
        ("HTTPS://Lab.S3.AmazonAWS.com/A", Bucket("lab"), "A"),
        ("https://my.lab.s3.eu-central-1.amazonaws.com/a", Bucket("my.lab", region="eu-central-1"), "a"),
        ("https://lab.s3-us-west-2.amazonaws.com/a", Bucket("lab", region="us-west-2"), "a"),
        ("https://lab.s3.dualstack.us-gov-west-1.amazonaws.com/a", Bucket("lab", region="us-gov-west-1"), "a"),
        ("https://lab.s3-accelerate.amazonaws.com/a", Bucket("lab"), "a"),
        ("https://lab.s3-accelerate.dualstack.amazonaws.com/a", Bucket("lab"), "a"),
        ("https://lab.s3.cn-north-1.amazonaws.com.cn/a", Bucket("lab", region="cn-north-1"), "a"),
        ("https://s3.amazonaws.com/lab/a/b", Bucket("lab"), "a/b"),
        ("https://s3.amazonaws.com/lab", Bucket("lab"), ""),
        ("https://s3.ap-southeast-2.amazonaws.com/lab/a/", Bucket("lab", region="ap-southeast-2"), "a/"),
        ("https://s3-external-1.amazonaws.com/lab/a", Bucket("lab"), "a"),
        ("https://lab.s3.amazonaws.com/a+b%2Bc", Bucket("lab"), "a b+c"),
        ("https://lab.s3.amazonaws.com/?list-type=2&prefix=csv/", Bucket("lab"), "csv/"),
        ("https://lab.s3.amazonaws.com/index.html#csv/by_year/", Bucket("lab"), "csv/by_year/"),
        ("https://lab.s3.amazonaws.com/index.html", Bucket("lab"), "index.html"),
        (
            "https://s3.console.aws.amazon.com/s3/buckets/lab?region=us-east-1&prefix=a/b/",
            Bucket("lab", region="us-east-1"),
            "a/b/",
        ),
        ("https://eu-west-1.console.aws.amazon.com/s3/buckets/lab?tab=objects", Bucket("lab"), ""),
        (
            "https://eu-west-1.console.aws.amazon.com/s3/object/lab?region=eu-west-1&prefix=a/b",
            Bucket("lab", region="eu-west-1"),
            "a/b",
        ),
        ("s3:https://s3.lab.example:9000/bucket/a%20b", Bucket("bucket", "https://s3.lab.example:9000"), "a b"),
        ("s3:https://lab.s3.amazonaws.com/a", Bucket("lab"), "a"),
    ],
)
def test_all_forms_mean_a_bucket_and_a_key(url: str, bucket: Bucket, key: str) -> None:
    assert SOURCE.claims(Ref(url))
    assert parse(Ref(url)) == (bucket, key)
    assert parse(bucket.ref(key)) == (bucket, key)


@pytest.mark.parametrize(
    "url",
    [
        "https://lab.s3.amazonaws.com.evil.example/a",
        "https://evil.example/lab.s3.amazonaws.com/a",
        "https://s3.amazonaws.com/",
        "https://lab.ec2.amazonaws.com/a",
        "https://key@lab.s3.amazonaws.com/a",
        "https://eu-west-1.console.aws.amazon.com/ec2/home",
        "https://s3.lab.example:9000/bucket/a",
        "ftp://lab.s3.amazonaws.com/a",
    ],
)
def test_other_addresses_are_not_taken_for_s3(url: str) -> None:
    assert not SOURCE.claims(Ref(url))


@pytest.mark.parametrize(
    "host", ["lab.s3-website-us-east-1.amazonaws.com", "lab.s3-website.eu-central-1.amazonaws.com"]
)
def test_the_web_site_of_a_bucket_is_refused_and_the_bucket_named(host: str) -> None:
    assert SOURCE.claims(Ref(f"http://{host}/a/b"))
    with pytest.raises(ResolveError, match="web site of a bucket: s3://lab/a/b"):
        SOURCE.resolve(Ref(f"http://{host}/a/b"), context())


def test_the_version_in_an_address_is_that_which_is_wanted() -> None:
    assert version(Ref("https://lab.s3.amazonaws.com/a?versionId=3HL4")) == "3HL4"
    assert version(Ref("https://lab.s3.amazonaws.com/a?versionId=3HL4", (("version", "other"),))) == "other"
    assert version(Ref("s3://lab/a?versionId=3HL4")) == "", "there it is part of the key"


def test_what_was_found_by_an_address_is_pinned_as_s3() -> None:
    with serving(open_store) as store:
        pin = SOURCE.resolve(Ref(f"s3:{store.url}/bucket/d/"), context())
        assert pin.ref == store.ref("d/")
        assert pin == SOURCE.resolve(store.ref("d/"), context())
