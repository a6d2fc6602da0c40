"""What a reference to S3 names: a bucket, a key or prefix, and how the store wants to be spoken to. Text only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, unquote, unquote_plus, urlsplit

from gotdata.errors import ResolveError
from gotdata.model import Ref
from gotdata.paths import redact, shown

_OPTIONS = ("addressing", "anonymous", "endpoint", "region", "requester_pays", "version")
_ADDRESSING = ("auto", "path", "virtual")
_SAFE = "/!$&'()*,:;=@~"
_AWS = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9._-]*)\.)?s3(?P<kind>-website|-accelerate|-fips|-external-1)?(?:\.dualstack)?"
    r"(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com(?:\.cn)?"
)
"""``BUCKET.s3.REGION.amazonaws.com`` and ``s3.REGION.amazonaws.com/BUCKET``, in all spellings that AWS had."""
_CONSOLE = re.compile(r"(?:s3|[a-z0-9-]+)\.console\.aws\.amazon\.com")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, and how it is spoken to.

    Attributes:
        endpoint: as ``endpoint_url`` gives it; empty for AWS itself.
        region: empty where it is not known.
        addressing: ``path``, ``virtual`` (the bucket stands in the host's name), or ``auto``: ``path`` at an endpoint
            of its own, else what AWS wants.
        anonymous: no keys may be used, even if there are some.
    """

    name: str
    endpoint: str = ""
    region: str = ""
    addressing: str = "auto"
    anonymous: bool = False
    requester_pays: bool = False

    def url(self, key: str) -> str:
        """Absolute, and the same for everyone who reads it there. A name, fit to be shown; not what is sent."""
        return f"{self.endpoint or 's3:/'}/{self.name}/{quote(key, safe=_SAFE, errors='surrogateescape')}"

    def ref(self, key: str) -> Ref:
        """The canonical reference."""
        options = {
            "addressing": "" if self.addressing == "auto" else self.addressing,
            "anonymous": "true" if self.anonymous else "",
            "endpoint": self.endpoint,
            "region": self.region,
            "requester_pays": "true" if self.requester_pays else "",
        }
        return Ref(f"s3://{self.name}/{key}", tuple(item for item in sorted(options.items()) if item[1]))


def is_folder(key: str) -> bool:
    return not key or key.endswith("/")


@dataclass(frozen=True, slots=True)
class _Named:
    """What a URL names, as far as it says."""

    bucket: str
    key: str
    region: str = ""
    endpoint: str = ""
    version: str = ""


def claims(url: str) -> bool:
    if url.lower().startswith("s3:"):
        return True
    parts = _split(url)
    return parts is not None and _of_aws(parts)


def version(ref: Ref) -> str:
    """The VersionId that a reference asks for, or empty."""
    return ref.option("version") or _named(ref.url).version


def parse(ref: Ref) -> tuple[Bucket, str]:
    """The bucket and the key, or (see ``is_folder``) the prefix, of a reference.

    Raises:
        ResolveError: it is none of S3, and why.
    """
    where = redact(ref.url)
    for name, _ in ref.options:
        if name == "profile":
            raise ResolveError(f"{where}: a manifest can't choose among your keys: set AWS_PROFILE, or s3_profile")
        if name not in _OPTIONS:
            raise ResolveError(f"{where}: s3 knows no option {shown(name)!r}; there are {', '.join(_OPTIONS)}")
    found = _named(ref.url)
    if found.bucket.endswith("--x-s3"):
        raise ResolveError(f"{where}: directory buckets (S3 Express One Zone) can't be read yet; copy it to another")
    if any(part in (".", "..") for part in found.key.split("/")):
        raise ResolveError(f"{where}: a key with '.' or '..' between slashes can't be asked for by HTTP")
    addressing = ref.option("addressing", "auto")
    if addressing not in _ADDRESSING:
        raise ResolveError(f"{where}: addressing is one of {', '.join(_ADDRESSING)}, not {shown(addressing)!r}")
    region = ref.option("region") or found.region
    # It becomes a part of the host's name.
    if not re.fullmatch(r"[a-z0-9-]{0,40}", region):
        raise ResolveError(f"{where}: {shown(region)!r} is no region: one such as eu-central-1 is due")
    endpoint = ref.option("endpoint") or found.endpoint
    bucket = Bucket(
        name=found.bucket,
        endpoint=endpoint_url(endpoint) if endpoint else "",
        region=region,
        addressing=addressing,
        anonymous=ref.flag("anonymous"),
        requester_pays=ref.flag("requester_pays"),
    )
    return bucket, found.key


def _named(url: str) -> _Named:
    match = re.fullmatch(r"(?is)s3://([^/]*)(?:/(.*))?", url)
    parts = None if match else _split(re.sub(r"(?i)^s3:(?=https?://)", "", url))
    if match:
        found = _Named(match[1], match[2] or "")
    elif parts is not None and _of_aws(parts):
        found = _in_aws(parts)
    elif parts is not None and url.lower().startswith("s3:"):
        bucket, _, key = parts.path[1:].partition("/")
        asked = _asked(parts)
        endpoint = f"{parts.scheme}://{parts.netloc}"
        found = _Named(bucket, unquote(key, errors="surrogateescape"), "", endpoint, asked.get("versionId", ""))
    else:
        found = _Named("", "")
    if not re.fullmatch(r"(?i)[a-z0-9][a-z0-9._-]{1,254}", found.bucket):
        raise ResolveError(f"{redact(url)} is no reference to S3: s3://BUCKET/KEY or s3://BUCKET/PREFIX/ is due")
    return found


def _in_aws(parts: SplitResult) -> _Named:
    asked, host = _asked(parts), parts.hostname or ""
    if _CONSOLE.fullmatch(host):
        kind, _, bucket = parts.path.removeprefix("/s3/").partition("/")
        prefix = asked.get("prefix", "")
        whole = prefix if kind == "object" or is_folder(prefix) else f"{prefix}/"
        return _Named(bucket, whole, asked.get("region", ""), "", asked.get("versionId", ""))
    known = _AWS.fullmatch(host)
    assert known is not None  # as the caller found out
    # AWS reads a plus in a path as a space, as forms have it.
    path = unquote_plus(parts.path[1:], errors="surrogateescape")
    bucket, key = (known["bucket"], path) if known["bucket"] else path.partition("/")[::2]
    if known["kind"] == "-website":
        raise ResolveError(
            f"{redact(parts.geturl())} is the web site of a bucket: s3://{bucket}/{shown(key)} is the bucket"
        )
    if key == "index.html" and parts.fragment:  # of the page by which many open buckets are browsed
        key = unquote(parts.fragment, errors="surrogateescape")
    return _Named(bucket, key or asked.get("prefix", ""), known["region"] or "", "", asked.get("versionId", ""))


def _of_aws(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if _CONSOLE.fullmatch(host):
        return re.fullmatch(r"/s3/(buckets|object)/[^/]+", parts.path) is not None
    known = _AWS.fullmatch(host)
    return known is not None and bool(known["bucket"] or parts.path.strip("/"))


def _split(url: str) -> SplitResult | None:
    """The parts of a web address; None where it is none, or holds a user's name."""
    try:
        parts = urlsplit(url)
        return parts if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc else None
    except ValueError:
        return None


def _asked(parts: SplitResult) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


def endpoint_url(text: str) -> str:
    """An endpoint in the one spelling by which it is compared.

    Raises:
        ResolveError: it is none.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise ResolveError(f"the endpoint {redact(text)} is no address: https://HOST or https://HOST:PORT is due")
    if parts.username is not None or parts.query or parts.fragment or not re.fullmatch(r"[\w.:-]+", host):
        raise ResolveError(f"the endpoint {redact(text)} may hold a host, a port and a path, and nothing else")
    host = f"[{host}]" if ":" in host else host
    standard = port is None or port == {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}{'' if standard else f':{port}'}{parts.path.rstrip('/')}"
