"""Git LFS: which files of a repository are pointers, and where what they point to is read.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md and docs/api/batch.md."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Callable
from typing import Any

from pathspec import GitIgnoreSpec

from gotdata.context import Context
from gotdata.errors import AccessDenied, GotdataError, ManifestError, NotFound, SourceError
from gotdata.manifest.files import check_pattern
from gotdata.model import Span
from gotdata.paths import redact, shown
from gotdata.sources.api import rows, table, words
from gotdata.sources.http_answer import Explain, Refusal
from gotdata.sources.http_sent import is_grant

LIMIT = 1024
"""Bytes below which every pointer is."""
ATTRIBUTES = ".gitattributes"
_POINTER = re.compile(
    r"version https://git-lfs\.github\.com/spec/v1\n(?:ext-\d-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n?"
)
Match = Callable[[str], bool]
_MEDIA = "application/vnd.git-lfs+json"
_FULL = frozenset({507, 509})
"""No room, or no more traffic, on the account that pays."""


def pointer(text: str) -> tuple[str, int] | None:
    """The sha256 and the size of what a pointer stands for; None where the text is none."""
    found = _POINTER.fullmatch(text)
    return (found[1], int(found[2])) if found else None


class Tracked:
    """What a repository's attributes say of its paths: so that a pointer is found without reading every small file."""

    def __init__(self) -> None:
        self._folders: dict[str, list[tuple[bool, Match]]] = {}

    def learn(self, folder: str, text: str) -> None:
        """The attributes of a folder (empty: the root), as its ``.gitattributes`` has them."""
        rules = []
        for pattern, said in map(_split, text.splitlines()):
            filters = [word for word in said.split() if re.match(r"[-!]?filter\b", word)]
            if pattern and filters:
                rules.append((filters[-1] == "filter=lfs", _matching(pattern)))
        self._folders[folder] = rules[::-1]

    def __contains__(self, path: str) -> bool:
        folder = path
        while folder:
            folder = posixpath.dirname(folder)
            below = path[len(folder) :].lstrip("/")
            for tracked, match in self._folders.get(folder, ()):
                if match(below):
                    return tracked
        return False


def _matching(pattern: str) -> Match:
    """What git's attributes and its ignored files have in common. A pattern that is none, or made to be slow, matches
    all: a small file that is looked at for nothing costs a question, a pointer taken for data is wrong."""
    try:
        check_pattern(pattern)
    except ManifestError:
        return lambda path: True
    (compiled,) = GitIgnoreSpec.from_lines([pattern]).patterns
    return lambda path: bool(compiled.match_file(path))


def _split(line: str) -> tuple[str, str]:
    """A pattern and its attributes. One with spaces stands in quotes, or says ``[[:space:]]`` for each."""
    line = line.strip()
    if line.startswith(("#", "[attr]")):
        return "", ""
    if quoted := re.match(r'"((?:[^"\\]|\\.)*)"\s+(.*)', line):
        return quoted[1].replace('\\"', '"'), quoted[2]
    pattern, *said = line.split(None, 1)[:2] or [""]
    return pattern.replace("[[:space:]]", "?"), "".join(said)


def read(endpoint: str, oid: str, size: int, span: Span, ctx: Context, explain: Explain) -> io.RawIOBase:
    """Bytes of an object. Where they lie is asked each time: those addresses are signed, and run out.

    Args:
        endpoint: ``https://host/owner/name.git/info/lfs``.
        explain: what a refusal means to the host of the repository.
    """
    asked = {"operation": "download", "transfers": ["basic"], "hash_algo": "sha256"}
    post = {**asked, "objects": [{"oid": oid, "size": size}]}
    url = f"{endpoint}/objects/batch"

    def either(refusal: Refusal) -> GotdataError | None:
        return _explain(refusal) or explain(refusal)

    answer = ctx.http.json(url, {"Accept": _MEDIA, "Content-Type": _MEDIA}, explain=either, post=post)
    found: dict[str, Any] = next(iter(rows(answer, "objects")), {})
    if error := table(found, "error"):
        raise _refused(url, oid, error)
    action = table(table(found, "actions"), "download")
    href, headers = words(action, "href"), table(action, "header")
    if not href.startswith(("http://", "https://")):
        raise SourceError(f"{redact(url)} does not say where object {oid} is")
    # It may name another host: no key goes there but what it gave itself.
    sent = {name.title(): value for name, value in headers.items() if is_grant(name, value)}
    return ctx.http.get(href, span, size=size, headers=sent, home=url)


def _explain(refusal: Refusal) -> GotdataError | None:
    if refusal.status in _FULL:
        return AccessDenied(f"{redact(refusal.url)}: the LFS quota of this repository's owner is used up")
    return None


def _refused(url: str, oid: str, error: Any) -> GotdataError:
    code, message = words(error, "code"), shown(words(error, "message"))[:200]
    text = f"{redact(url)} does not give object {oid}: {code} {message}".rstrip()
    if code in ("404", "410"):
        return NotFound(f"{text}; it was never uploaded, or was removed")
    if code in ("401", "403") or "quota" in message.lower():
        return AccessDenied(text)
    return SourceError(text)
