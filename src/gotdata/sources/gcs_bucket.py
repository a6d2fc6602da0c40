"""What a reference to Google Cloud Storage names: a bucket, an object or a prefix, maybe a generation. Text only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from gotdata.errors import ResolveError
from gotdata.model import Ref
from gotdata.paths import redact, shown

GOOGLE = "https://storage.googleapis.com"
_OPTIONS = ("billing_project", "version")
_HOSTS = ("storage.googleapis.com", "commondatastorage.googleapis.com")
"""Both as ``HOST/BUCKET/OBJECT`` and as ``BUCKET.HOST/OBJECT``."""
_LOGIN_HOST = "storage.cloud.google.com"
"""``HOST/BUCKET/OBJECT``, for people who are signed in."""
_API = re.compile(r"/(?:download/)?storage/v1/b/(?P<bucket>[^/]+)/o(?:/(?P<key>.*))?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Attributes:
    endpoint: ``https://HOST[:PORT]``; empty for Google's own.
    billing_project: the project that pays for the transfer; empty: the bucket's owner does.
    """

    name: str
    endpoint: str = ""
    billing_project: str = ""

    @property
    def home(self) -> str:
        """Every request about the bucket lies below."""
        return f"{self.endpoint or GOOGLE}/storage/v1/b/{self.name}/"

    def question(self, key: str = "", **parameters: str) -> str:
        """The URL of a request about an object, or about all of them."""
        payer = {"userProject": self.billing_project} if self.billing_project else {}
        path = f"/{quote(key, safe='', errors='surrogateescape')}" if key else ""
        wanted = {name: value for name, value in {**parameters, **payer}.items() if value}
        return f"{self.home}o{path}" + (f"?{urlencode(wanted, errors='surrogateescape')}" if wanted else "")

    def url(self, key: str) -> str:
        """Absolute, and the same for everyone who reads it there. A name, fit to be shown; not what is sent."""
        return f"{self.endpoint or 'gs:/'}/{self.name}/{quote(key, safe='/!$()*,:;=@~', errors='surrogateescape')}"

    def ref(self, key: str) -> Ref:
        """The canonical reference."""
        url = f"gcs:{self.url(key)}" if self.endpoint else f"gs://{self.name}/{key}"
        if re.search(r"#\d{1,20}$", key):  # would be read as a generation
            url = f"gcs:{self.endpoint or GOOGLE}/{self.name}/{quote(key, errors='surrogateescape')}"
        return Ref(url, (("billing_project", self.billing_project),) if self.billing_project else ())


@dataclass(frozen=True, slots=True)
class Named:
    """What a text names. ``generation`` is empty where it names none."""

    bucket: str
    key: str = ""
    generation: str = ""
    endpoint: str = ""


def is_folder(key: str) -> bool:
    return not key or key.endswith("/")


def claims(url: str) -> bool:
    return re.match(r"(?i)(gs|gcs):", url) is not None or named(url) is not None


def parse(ref: Ref) -> tuple[Bucket, str, str]:
    """The bucket, the key or (see ``is_folder``) the prefix, and the generation or an empty text.

    Raises:
        ResolveError: it is none of Google Cloud Storage, and why.
    """
    where = redact(ref.url)
    if unknown := [name for name, _ in ref.options if name not in _OPTIONS]:
        raise ResolveError(f"{where}: gcs knows no option {shown(unknown[0])!r}; there are {', '.join(_OPTIONS)}")
    found = named(ref.url)
    if found is None or not _BUCKET.fullmatch(found.bucket):
        raise ResolveError(f"{where} names nothing in Google Cloud Storage: gs://BUCKET/OBJECT or gs://BUCKET/PREFIX/")
    if any(part in (".", "..") for part in found.key.split("/")):
        raise ResolveError(f"{where}: an object with '.' or '..' between slashes can't be asked for by HTTP")
    generation = ref.option("version") or found.generation
    if not re.fullmatch(r"\d{0,20}", generation) or found.generation not in ("", generation):
        raise ResolveError(
            f"{where}: `version` is the generation of an object, one number: {shown(generation)!r} is not"
        )
    if generation and is_folder(found.key):
        raise ResolveError(f"{where} is a folder, and a generation is of one object")
    project = ref.option("billing_project")
    if not re.fullmatch(r"[a-z0-9:.-]{0,100}", project):
        raise ResolveError(f"{where}: {shown(project)!r} is no id of a Google Cloud project")
    return Bucket(found.bucket, found.endpoint, project), found.key, generation


def named(url: str) -> Named | None:
    """What a URL names; None where it is not one of Google Cloud Storage."""
    if match := re.fullmatch(r"(?is)gs://([^/]+)(?:/(.*?))?(?:#(\d{1,20}))?", url):
        return Named(match[1], match[2] or "", match[3] or "")
    explicit = re.match(r"(?i)gcs:(?=https?://)", url)
    try:
        parts = urlsplit(url[explicit.end() :] if explicit else url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return None
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if host in _HOSTS or host == _LOGIN_HOST:
        return _in_path(parts.path, asked)
    if host == "www.googleapis.com":
        return _in_path(parts.path, asked) if _API.fullmatch(parts.path) else None
    if host == "console.cloud.google.com":
        return _in_console(parts.path, asked)
    for known in _HOSTS:
        if host.endswith(f".{known}"):
            return Named(host.removesuffix(f".{known}"), _decoded(parts.path[1:]), asked.get("generation", ""))
    if not explicit:
        return None
    address = f"[{host}]" if ":" in host else host
    return _in_path(parts.path, asked, f"{parts.scheme}://{address}{f':{port}' if port else ''}")


def _in_path(path: str, asked: Mapping[str, str], endpoint: str = "") -> Named | None:
    if api := _API.fullmatch(path):
        key = _decoded(api["key"]) if api["key"] else asked.get("prefix", "")
        return Named(api["bucket"], key, asked.get("generation", ""), endpoint)
    bucket, _, key = path[1:].partition("/")
    return Named(bucket, _decoded(key), asked.get("generation", ""), endpoint) if bucket else None


def _in_console(path: str, asked: Mapping[str, str]) -> Named | None:
    """A page of the console: ``/storage/browser/BUCKET/PREFIX;tab=x``; of one object, ``…/_details/BUCKET/KEY``."""
    match = re.fullmatch(r"/storage/browser/(_details/)?([^/;]+)(?:/([^;]*))?(?:;.*)?", path)
    if not match:
        return None
    key = _decoded(match[3] or "") or asked.get("prefix", "")
    return Named(match[2], key if match[1] or is_folder(key) else f"{key}/")


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogateescape")
