"""References as people write them, in one canonical spelling."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from gotdata.errors import ManifestError
from gotdata.model import Ref
from gotdata.paths import redact, secret, secret_name, shown

LENGTH_LIMIT = 8192

_ELSEWHERE = "credentials come from the environment or from the tools' own files, never from a reference"


def reference(text: str, options: Mapping[str, str] | None = None) -> Ref:
    """What ``from:`` or the word of a command means.

    A path of this machine becomes ``file:///mnt/x`` (absolute) or ``file:big/x`` (relative to the repository's root),
    percent-encoded; it begins with ``/``, ``./`` or ``../``, so that a forgotten scheme isn't taken for a folder. A
    bare DOI gets its ``doi:``; a scheme becomes lower case. All else stays as written.

    Raises:
        ManifestError: not a reference, or one that holds a secret. The secret is not told.
    """
    for name, value in (options or {}).items():
        check_option(name, value)
    return Ref(_canonical(text), tuple(sorted((options or {}).items())))


def _canonical(text: str) -> str:
    if not text:
        raise ManifestError("an empty reference")
    if found := secret(text):
        raise ManifestError(f"{redact(text)} holds a secret ({found}): {_ELSEWHERE}. If it was shared, have it changed")
    if len(text) > LENGTH_LIMIT or not text.isprintable():
        raise ManifestError(f"'{redact(text[:80])}' is no reference: it is too long, or holds control characters")
    if text in (".", "..") or text.startswith(("/", "./", "../")):
        return _file(text.encode())
    if re.match(r"10\.\d{4,9}/", text):
        return f"doi:{text}"
    scheme, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"(?!(?i:ds)\d{6})[A-Za-z][A-Za-z0-9+.-]+", scheme):
        raise ManifestError(_no_scheme(text))
    if scheme.lower() == "file":
        host = re.match(r"//([^/]*)", rest)
        if host and host[1] not in ("", "localhost"):
            raise ManifestError(f"{redact(text)} names the host '{host[1]}': a file is of this machine, file:///path")
        return _file(unquote_to_bytes(rest[host.end() :] if host else rest))
    if not rest.strip("/"):
        raise ManifestError(f"{redact(text)} ends after its scheme")
    try:
        urlsplit(text.partition(":")[2] if "://" in rest else text)
    except ValueError as error:
        raise ManifestError(f"{redact(text)} is no URL: {error}") from None
    if " " in text:
        raise ManifestError(f"{redact(text)} holds a space: write it as %20")
    return f"{scheme.lower()}:{rest}"


def _file(path: bytes) -> str:
    if b"\0" in path or not path:
        raise ManifestError("a file: reference without a path, or with a NUL in it")
    kept = "/".join(quote(part, safe="!$&'()*+,;=:@~") for part in path.split(b"/") if part not in (b"", b"."))
    return f"file:///{kept}" if path.startswith(b"/") else f"file:{kept or '.'}"


def _no_scheme(text: str) -> str:
    if text.startswith("~"):
        return f"'{text}' begins with '~', which means another folder for everybody: write the path in full"
    if re.match(r"[A-Za-z]:[\\/]", text):
        return f"'{text}' is a path of Windows: write it as file:///{text[0]}:/folder"
    if missing := re.match(r"([A-Za-z][A-Za-z0-9+.-]*[A-Za-z0-9])/{2,}", text):
        return f"'{redact(text)}' lacks the colon after its scheme: {missing[1].lower()}://…"
    if clone := re.fullmatch(r"git@([\w.-]+):([\w./~-]+?)(?:\.git)?/?", text):
        return f"'{redact(text)}' is an address for git: write https://{clone[1]}/{clone[2].lstrip('/')}"
    if re.fullmatch(r"(?i)ds\d{6,}([:/@].*)?", text):
        return f"'{text}' has no scheme: of OpenNeuro it would be openneuro:{text}"
    return (
        f"'{redact(text)}' has no scheme: https://…, s3://…, doi:…, or ./{redact(text)} for a folder of the repository"
    )


def check_option(name: str, value: str) -> None:
    """One of the other keys of a reference's mapping. Raises ManifestError."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise ManifestError(f"'{shown(name)}' is no name of an option")
    if secret_name(name):
        raise ManifestError(f"'{name}' would hold a secret: {_ELSEWHERE}")
    if secret(value):
        raise ManifestError(f"the value of '{name}' holds a secret: {_ELSEWHERE}")
    if not value.isprintable() or not value:
        raise ManifestError(f"the value of '{name}' is empty or holds control characters")


def folder_of(url: str) -> str | None:
    """The path that a canonical reference names relative to the root (``""`` is the root), or None."""
    if not url.startswith("file:") or url.startswith("file:/"):
        return None
    path = posixpath.normpath(unquote(url.removeprefix("file:")))
    if path == ".." or path.startswith("../"):
        return None
    return "" if path == "." else path
