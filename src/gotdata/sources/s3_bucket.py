"""What a reference to S3 names: a bucket, a key or prefix, and how the store wants to be spoken to. Text only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from gotdata.errors import ResolveError
from gotdata.model import Ref
from gotdata.paths import redact, shown

_OPTIONS = ("addressing", "anonymous", "endpoint", "region", "requester_pays", "version")
_ADDRESSING = ("auto", "path", "virtual")
_SAFE = "/!$&'()*,:;=@~"


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


def parse(ref: Ref) -> tuple[Bucket, str]:
    """The bucket and the key, or (see ``is_folder``) the prefix, of a reference.

    Raises:
        ResolveError: it is none of S3, and why.
    """
    where = redact(ref.url)
    if unknown := [name for name, _ in ref.options if name not in _OPTIONS]:
        raise ResolveError(f"{where}: s3 knows no option {shown(unknown[0])!r}; there are {', '.join(_OPTIONS)}")
    match = re.fullmatch(r"(?is)s3://([a-z0-9][a-z0-9._-]{1,254})(?:/(.*))?", ref.url)
    if not match:
        raise ResolveError(f"{where} is no reference to S3: s3://BUCKET/KEY or s3://BUCKET/PREFIX/ is due")
    name, key = match[1], match[2] or ""
    if name.endswith("--x-s3"):
        raise ResolveError(f"{where}: directory buckets (S3 Express One Zone) can't be read yet; copy it to another")
    if any(part in (".", "..") for part in key.split("/")):
        raise ResolveError(f"{where}: a key with '.' or '..' between slashes can't be asked for by HTTP")
    addressing = ref.option("addressing", "auto")
    if addressing not in _ADDRESSING:
        raise ResolveError(f"{where}: addressing is one of {', '.join(_ADDRESSING)}, not {shown(addressing)!r}")
    region = ref.option("region")
    # It becomes a part of the host's name.
    if not re.fullmatch(r"[a-z0-9-]{0,40}", region):
        raise ResolveError(f"{where}: {shown(region)!r} is no region: one such as eu-central-1 is due")
    endpoint = ref.option("endpoint")
    bucket = Bucket(
        name=name,
        endpoint=endpoint_url(endpoint) if endpoint else "",
        region=region,
        addressing=addressing,
        anonymous=ref.flag("anonymous"),
        requester_pays=ref.flag("requester_pays"),
    )
    return bucket, key


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
