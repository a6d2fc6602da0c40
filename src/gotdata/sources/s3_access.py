"""How S3 is spoken to: at which endpoint, and with whose keys. botocore is used here and in s3_errors only, and is
loaded with this module."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from functools import partial as bind
from typing import Any

import botocore.session
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError
from botocore.loaders import create_loader
from urllib3.exceptions import HTTPError

from gotdata.credentials import parse
from gotdata.errors import AccessDenied, AuthRequired, PolicyError, SourceError
from gotdata.paths import redact
from gotdata.reach import Reach
from gotdata.settings import Settings
from gotdata.sources.http_reach import bounded, check_host
from gotdata.sources.s3_bucket import Bucket, endpoint_url
from gotdata.sources.s3_errors import passing, translated

_MODELS = create_loader()
"""What botocore knows of S3: read once, as it takes most of the time of making a client."""
ANSWER_LIMIT = 16 << 20
"""Bytes of an answer in XML: a page of a thousand keys, each of a thousand characters that are escaped, has 9 MB."""
_UNSENT = AWSResponse("", 200, {}, None)


@dataclass(frozen=True, slots=True)
class Access:
    """A bucket, with the keys for it if there are any. Safe to use from several threads.

    Attributes:
        client: of botocore, with the keys or unsigned.
        unsigned: why requests are not signed, in words for people; empty if they are.
        realm: of what is read with these keys; empty if unsigned.
    """

    bucket: Bucket
    client: Any
    unsigned: str
    realm: str
    _urls: Any
    _keys: Any = field(repr=False)

    @property
    def wants(self) -> dict[str, str]:
        """What goes with every question."""
        payer = {"RequestPayer": "requester"} if self.bucket.requester_pays else {}
        return {"Bucket": self.bucket.name, **payer}

    def request(self, key: str, version: str) -> tuple[str, dict[str, str]]:
        """The URL that gives an object (at a VersionId, if not empty), and the signature as headers: so that no secret
        stands in a URL. Ranges and conditions are not signed: the caller adds them."""
        wanted = {"Bucket": self.bucket.name, "Key": key, **({"VersionId": version} if version else {})}
        url = str(self._urls.get_object(**wanted)["url"])
        payer = {"x-amz-request-payer": "requester"} if self.bucket.requester_pays else {}
        request = AWSRequest("GET", url, headers=payer)
        if self._keys is not None:
            region = self.client.meta.region_name
            S3SigV4Auth(self._keys.get_frozen_credentials(), "s3", region).add_auth(request)
        return url, dict(request.headers.items())

    def base(self, key: str) -> str:
        """The URL below which the requests of a prefix (or of an object, at it) go."""
        return self.request(f"{key}x", "")[0].removesuffix("x")

    def explain(self, key: str, version: str) -> None:
        """Asks for one byte, so that S3 says in its own words why an object can't be had; they come with GET only.

        Raises:
            GotdataError: what it said.
        """
        wanted = {**self.wants, "Key": key, "Range": "bytes=0-0", **({"VersionId": version} if version else {})}
        with self.asked(key):
            self.client.get_object(**wanted)["Body"].close()

    @contextmanager
    def asked(self, key: str) -> Iterator[None]:
        """Translates the errors of what is asked about ``key`` in the block."""
        try:
            with translated(redact(self.bucket.url(key)), self.unsigned):
                yield
        except (AuthRequired, AccessDenied):
            # The keys may be replaced meanwhile: they are looked for anew the next time.
            _opened.cache_clear()
            raise


def open_access(bucket: Bucket, settings: Settings, reach: Reach) -> Access:
    """The way to a bucket with the keys that this person's AWS configuration binds to its endpoint, and no others.
    ``reach`` bounds where questions go; where the keys are asked for is the configuration's.

    Raises:
        AuthRequired: the configuration names keys that can't be had.
    """
    environ = frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
    limits = (settings.connect_timeout, settings.timeout, settings.connections, settings.retries)
    # One client for all buckets that are spoken to alike: it is dear to make.
    alike = replace(bucket, name="", requester_pays=False)
    with translated(redact(bucket.url(""))):
        return Access(bucket, *_opened(alike, settings.s3_profile, limits, environ, reach))


@lru_cache(maxsize=64)
def _opened(
    bucket: Bucket,
    profile: str,
    limits: tuple[float, float, int, int],
    environ: frozenset[tuple[str, str]],
    reach: Reach,
) -> tuple[Any, str, str, Any, Any]:
    """The fields of ``Access`` after the bucket."""
    session, keys, unsigned = _bound(_session(profile), bucket, dict(environ))
    addressing = "path" if bucket.addressing == "auto" and bucket.endpoint else bucket.addressing
    connect_timeout, timeout, connections, retries = limits
    config = Config(
        region_name=bucket.region or session.get_config_variable("region") or "us-east-1",
        # Where the configuration's endpoint is meant, the pin names it; where it names none, AWS is meant.
        ignore_configured_endpoint_urls=True,
        s3=None if addressing == "auto" else {"addressing_style": addressing},
        retries={"total_max_attempts": retries + 1, "mode": "standard"},
        connect_timeout=connect_timeout,
        read_timeout=timeout,
        max_pool_connections=connections,
        user_agent_extra="gotdata",
    )

    def client(signature: Any) -> Any:
        signed = config.merge(Config(signature_version=signature))
        made = session.create_client("s3", endpoint_url=bucket.endpoint or None, config=signed)
        made.meta.events.register("before-send.s3", bind(_send, _bounded(made._endpoint.http_session, reach)))
        return made

    # Asked for an object it sends nothing, and tells the URL that the endpoint, region and addressing make. (A
    # presigned URL, less its signature, would be of the global endpoint: in other regions than the first it redirects.)
    urls = client(UNSIGNED)
    urls.meta.events.register("before-call.s3.GetObject", lambda params, **_: (_UNSENT, {"url": params["url"]}))
    if keys is None:
        return client(UNSIGNED), unsigned, "", urls, None
    account = keys.get_frozen_credentials().access_key
    realm = "cred:" + hashlib.sha256(f"{bucket.endpoint}\n{account}".encode()).hexdigest()
    return client("s3v4"), "", realm, urls, keys


class _Body:
    """A body that was read, where botocore looks for one to read."""

    def __init__(self, body: bytes) -> None:
        self.stream = lambda: [body]


def _bounded(session: Any, reach: Reach) -> Callable[[Any], Any]:
    """``session.send``, whose connections end where ``reach`` lets them."""
    if reach.anywhere:
        return session.send  # type: ignore[no-any-return]
    session._manager.pool_classes_by_scheme = bounded(session._manager.pool_classes_by_scheme, reach)

    def send(request: Any) -> Any:
        if session._proxy_config.proxy_url_for(request.url):
            check_host(parse(request.url).host or "", reach)
        try:
            return session.send(request)
        except HTTPClientError as error:
            if isinstance(cause := error.kwargs.get("error"), PolicyError):
                raise cause from None
            raise

    return send


def _send(send: Callable[[Any], Any], request: Any, **_: object) -> Any:
    """Sends as botocore does, which reads an answer of any length into memory: here it ends at a limit."""
    if request.stream_output:
        return send(request)
    request.stream_output = True
    answer = send(request)
    body = bytearray()
    try:
        for piece in answer.raw.stream():
            body += piece
            if len(body) > ANSWER_LIMIT:
                answer.raw.close()
                raise SourceError(f"{redact(request.url)} answered more than {ANSWER_LIMIT} bytes to a question")
    except HTTPError as error:
        raise ConnectionClosedError(error=error, request=request, endpoint_url=request.url) from error
    finally:
        request.stream_output = False
    return AWSResponse(answer.url, answer.status_code, answer.headers, _Body(bytes(body)))


def located(bucket: Bucket, settings: Settings, reach: Reach) -> Bucket:
    """The bucket with what this machine's AWS configuration and the bucket say of it: its endpoint and region."""
    with translated("the AWS configuration"):
        bucket = replace(bucket, endpoint=bucket.endpoint or _endpoint(_session(settings.s3_profile), os.environ))
    return replace(bucket, region=_region(bucket, settings, reach) or bucket.region)


def _region(bucket: Bucket, settings: Settings, reach: Reach) -> str:
    """The region that a bucket says it is in, or empty. Asked unsigned: the answer stands in the refusal too, where a
    signature for another region would only be refused."""
    access = open_access(replace(bucket, anonymous=True), settings, reach)
    with access.asked(""):
        try:
            answer = access.client.head_bucket(Bucket=bucket.name)
        except ClientError as error:
            if passing(error):
                raise
            answer = error.response
    region = str(answer["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region", ""))
    return region if re.fullmatch(r"[a-z0-9-]{1,40}", region) else ""


def _session(profile: str) -> botocore.session.Session:
    session = botocore.session.Session(profile=profile or None)
    session.register_component("data_loader", _MODELS)
    return session


def _bound(
    session: botocore.session.Session, bucket: Bucket, environ: Mapping[str, str]
) -> tuple[botocore.session.Session, Any, str]:
    """The session whose keys are meant for the bucket's endpoint, and these keys; else why there are none.

    A manifest names an endpoint, and a stranger wrote the manifest: keys go nowhere but where the configuration of this
    machine sends them itself. Keys for AWS go to AWS, keys of a profile with an ``endpoint_url`` to that endpoint.
    """
    if bucket.anonymous:
        return session, None, "`anonymous: true` is set"
    configured = _endpoint(session, environ)
    if configured == bucket.endpoint:
        keys = session.get_credentials()
        none = "no keys were found: see `aws configure`, AWS_ACCESS_KEY_ID, or the setting s3_profile"
        return session, keys, "" if keys else none
    if not bucket.endpoint:
        return session, None, f"your keys are configured for {redact(configured)}, and this is in AWS"
    for profile in session.available_profiles:
        other = _session(profile)
        if _endpoint(other, {}) == bucket.endpoint and (keys := other.get_credentials()):
            return other, keys, ""
    return (
        session,
        None,
        (
            f"no keys are bound to {redact(bucket.endpoint)}: give a profile in ~/.aws/config its `endpoint_url`, "
            "or set AWS_ENDPOINT_URL_S3 beside AWS_ACCESS_KEY_ID"
        ),
    )


def _endpoint(session: botocore.session.Session, environ: Mapping[str, str]) -> str:
    """The endpoint that is configured for S3, by the rules of the AWS SDKs ("Service-specific endpoints")."""
    scoped = session.get_scoped_config()
    ignore = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or scoped.get("ignore_configured_endpoint_urls", "")
    if str(ignore).lower() == "true":
        return ""
    services = session.full_config.get("services", {}).get(scoped.get("services"), {})
    found = (
        environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or services.get("s3", {}).get("endpoint_url")
        or scoped.get("endpoint_url")
    )
    return endpoint_url(found) if found else ""
