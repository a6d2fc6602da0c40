"""Buckets of real stores, as the contract of sources and other tests want them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from gotdata.context import Context
from gotdata.model import Ref
from gotdata.testing.server import Reply
from gotdata.testing.source_contract import context
from tests.e2e.between import Between, between
from tests.e2e.servers import S3Server


@cache
def client(server: S3Server) -> Any:
    return botocore.session.Session().create_client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=server.key,
        aws_secret_access_key=server.secret,
        config=Config(s3={"addressing_style": "path"}),
    )


class Bucket:
    """A bucket of its own, which the test may fill and change, and who reads it: by way of a proxy, where one is
    given."""

    def __init__(
        self,
        server: S3Server,
        *,
        versions: bool = False,
        public: bool = False,
        proxy: Between | None = None,
        **settings: Any,
    ) -> None:
        self.proxy = proxy
        self.server = replace(server, url=proxy.url) if proxy else server
        self.name = f"t{uuid.uuid4().hex[:20]}"
        self.options = (("endpoint", self.server.url),)
        self.ctx: Context = context(**settings)
        self.client = client(server)
        self.client.create_bucket(Bucket=self.name)
        if versions:
            self.keep_versions("Enabled")
        self.public = public
        if public:
            read = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
            arn = f"arn:aws:s3:::{self.name}"
            policy = {"Version": "2012-10-17", "Statement": [{**read, "Resource": [arn, f"{arn}/*"]}]}
            self.client.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))

    def keep_versions(self, status: str) -> None:
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": status})

    def at(self, key: str, **options: str) -> Ref:
        return Ref(f"s3://{self.name}/{key}", tuple(sorted({**dict(self.options), **options}.items())))

    def write(self, key: str, body: bytes = b"", **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.put_object(Bucket=self.name, Key=key, Body=body, **more)
        return answer

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)


class PrefixPlace(Bucket):
    """As ``gotdata.testing.source_contract.Place``: below one prefix, with a neighbour that must not be seen."""

    def __init__(self, server: S3Server, **how: Any) -> None:
        super().__init__(server, **how)
        self.write("data-neighbour/x", b"not this")
        self.ref = self.at("data/")

    def put(self, path: str, body: bytes) -> None:
        self.write(f"data/{path}", body)

    def remove(self, path: str) -> None:
        self.delete(f"data/{path}")

    def folder(self, path: str) -> None:
        self.write(f"data/{path}/")

    def one(self, path: str) -> Ref:
        return self.at(f"data/{path}")

    def fill(self, count: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: self.put(f"many/{number}", b"1"), range(count)))

    def deny(self) -> None:
        """Takes away what let this place be read: the policy that made it public, or the keys."""
        if self.public:
            self.client.delete_bucket_policy(Bucket=self.name)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            os.environ.pop(name, None)

    def limit(self, times: int) -> None:
        assert self.proxy is not None
        self.proxy.limit = times

    def cut(self, path: str, after: int) -> None:
        assert self.proxy is not None
        self.proxy.cut(f"/data/{path}", after)


SLOW_DOWN = Reply(
    503,
    {"Content-Type": "application/xml"},
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
)


@contextmanager
def proxied(server: S3Server) -> Iterator[Between]:
    with between(server.url, SLOW_DOWN) as proxy:
        yield proxy


def give_keys(patch: pytest.MonkeyPatch, server: S3Server, *, secret: str = "", key: str = "") -> None:
    """Keys for a server, bound to it, as a person would put them into the environment."""
    patch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    patch.setenv("AWS_ACCESS_KEY_ID", key or server.key)
    patch.setenv("AWS_SECRET_ACCESS_KEY", secret or server.secret)
