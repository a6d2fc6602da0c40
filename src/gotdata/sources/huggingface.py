"""Hugging Face Hub: datasets, models and spaces, each a git repository whose large files lie in LFS."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
)
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources.api import Hosted, naming, next_link, pages, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.http_answer import Refusal, login, retry_after
from gotdata.sources.http_page import Page, parsed

TITLE = "Hugging Face"
HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
"""Other installations are named ``huggingface:https://host/…``."""
_KINDS = ("datasets", "spaces", "models")
_VERBS = ("tree", "blob", "resolve", "raw", "commit")
_NAME = re.compile(r"(?!\.+$)[\w.-]+")
_PAGES = re.compile(
    "api|blog|buckets|chat|collections|docs|enterprise|inference|jobs|join|learn|login|models|new|organizations|papers"
    "|posts|pricing|privacy|search|settings|storage|tasks|terms-of-service|welcome"
)
"""First words of addresses that no model's name begins with."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What a reference names. ``kind`` as in the API; ``revision`` is empty where none is named."""

    root: str
    kind: str
    id: str
    revision: str = ""
    path: str = ""

    @property
    def page(self) -> str:
        return f"{self.root}/{'' if self.kind == 'models' else self.kind + '/'}{self.id}"

    @property
    def api(self) -> str:
        return f"{self.root}/api/{self.kind}/{self.id}"


class HuggingFace(Hosted):
    """Pins name a commit. Xet is not spoken: the Hub gives the plain bytes of such files to who does not ask for it."""

    name = "huggingface"
    schemes = ("huggingface", "hf")
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        scheme = ref.url.partition(":")[0].lower()
        return scheme in self.schemes or (urlsplit(ref.url).hostname in HOSTS and _place(ref.url) is not None)

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = _place(ref.url)
        if place is None:
            raise ResolveError(
                f"{redact(ref.url)} names no repository of {TITLE}: hf://datasets/OWNER/NAME is due, or a page's URL"
            )
        revision = ref.option("version") or place.revision or "main"
        try:
            with naming(TITLE):
                info = table(ctx.http.json(f"{place.api}/revision/{quote(revision, safe='')}", explain=self.explain))
                commit, id = words(info, "sha"), words(info, "id") or place.id
                if not re.fullmatch(r"[0-9a-f]{40}", commit) or not all(map(_NAME.fullmatch, id.split("/"))):
                    raise SourceError(f"{redact(place.api)} answered something that is no repository")
                place = replace(place, id=id)
                version = {"commit": commit}
                if place.path:
                    version |= {"path": place.path, "type": words(self._entry(place, commit, ctx), "type")}
        except NotFound as error:
            raise ResolveError(str(error)) from error
        return Pin(self.name, Ref(f"huggingface:{place.page}"), place.page, version, _citation(place, info))

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place, commit = _pinned(pin), pin.version["commit"]
        with naming(TITLE):
            if pin.version.get("type") == "file":
                file = _file(place, commit, self._entry(place, commit, ctx))
                yield replace(file, path=posixpath.basename(file.path))
                return
            below = f"{place.path}/" if place.path else ""
            for entry in self._tree(place, commit, ctx):
                if entry.get("type") == "file":
                    file = _file(place, commit, entry)
                    yield replace(file, path=file.path.removeprefix(below))

    def homes(self, pin: Pin) -> tuple[str, ...]:
        place = _pinned(pin)
        return (f"{place.page}/resolve/{pin.version.get('commit')}/", f"{place.api}/")

    def explain(self, refusal: Refusal) -> GotdataError | None:
        """By the code that the Hub sends beside its status (https://huggingface.co/docs/hub/api)."""
        code, url = refusal.headers.get("X-Error-Code", ""), redact(refusal.url)
        command = login(refusal.url, self.name)
        if refusal.status == 429:
            reset = re.search(r"\bt=(\d{1,6})\b", refusal.headers.get("RateLimit", ""))
            wait = float(reset[1]) if reset else retry_after(429, refusal.headers)
            return SourceUnavailable(f"{url}: {TITLE} was asked too often; a token has a higher limit: {command}", wait)
        if code == "GatedRepo":
            kind = AccessDenied if refusal.credential else AuthRequired
            return kind(f"{url} is gated: ask for access on its page at {TITLE}, then {command}")
        if code == "DisabledRepo":
            return AccessDenied(f"{url} was disabled by {TITLE}")
        if code == "RepoNotFound" or (refusal.status == 401 and not code):
            if refusal.credential:
                return NotFound(f"{url}: there is no such repository at {TITLE}, or your token does not open it")
            return AuthRequired(f"{url} is private, or there is no such repository at {TITLE}: {command}")
        if code in ("RevisionNotFound", "EntryNotFound"):
            what = "revision (a branch, a tag, a commit)" if code == "RevisionNotFound" else "file or folder"
            return NotFound(f"{url}: {TITLE} has no such {what} in this repository")
        return None

    def _tree(self, place: _Place, commit: str, ctx: Context) -> Iterator[dict[str, Any]]:
        folder = f"/{quote(place.path, safe='/')}" if place.path else ""
        first = f"{place.api}/tree/{commit}{folder}?recursive=true&expand=false"

        def ask(url: str) -> tuple[Page, list[dict[str, Any]]]:
            page = ctx.http.text(url, {"Accept": "application/json"}, explain=self.explain)
            return page, rows(_list(page))

        for _, entries in pages(first, ask, lambda asked: (len(asked[1]), next_link(asked[0])), f"{place.api}/"):
            yield from entries

    def _entry(self, place: _Place, commit: str, ctx: Context) -> dict[str, Any]:
        """What the Hub says of one path. It leaves out what is not there, and says nothing of that."""
        url = f"{place.api}/paths-info/{commit}"
        found = rows(ctx.http.json(url, explain=self.explain, post={"paths": [place.path], "expand": False}))
        if not found or found[0].get("path") != place.path:
            raise NotFound(f"{redact(place.page)} has no {shown(place.path)} at {commit[:12]}")
        return found[0]


def _place(url: str) -> _Place | None:
    scheme, _, rest = url.partition(":")
    if scheme.lower() == "hf":
        return _short(rest.lstrip("/"))
    if scheme.lower() == "huggingface":
        url = rest
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    root = f"{parts.scheme}://{parts.netloc.lower()}"
    root = "https://huggingface.co" if parts.hostname in HOSTS else root
    names = [name for name in parts.path.split("/") if name]
    kind = names.pop(0) if names and names[0] in _KINDS[:2] else "models"
    if not names or (kind == "models" and _PAGES.fullmatch(names[0])):
        return None
    verb = next((at for at in (1, 2) if at < len(names) and names[at] in _VERBS), 0)
    rest_of = names[verb + 1 :] if verb else []
    return _made(root, kind, names[: verb or 2], *_revision(rest_of))


def _short(text: str) -> _Place | None:
    """``[datasets/|spaces/]OWNER/NAME[@REVISION][/PATH]``, as huggingface_hub's file system has it."""
    names = [name for name in text.split("/") if name]
    kind = names.pop(0) if names and names[0] in _KINDS else "models"
    if not names or names[0] == "buckets":
        return None
    at = next((index for index, name in enumerate(names[:2]) if "@" in name), -1)
    if at < 0:
        return _made("https://huggingface.co", kind, names[:2], "", names[2:])
    name, _, first = names[at].partition("@")
    return _made("https://huggingface.co", kind, [*names[:at], name], *_revision([first, *names[at + 1 :]]))


def _revision(names: list[str]) -> tuple[str, list[str]]:
    """A revision and the path after it. Its slashes are escaped but in ``refs/pr/1`` and ``refs/convert/parquet``."""
    if names[:1] == ["refs"] and len(names) > 2 and names[1] in ("pr", "convert"):
        return "/".join(names[:3]), names[3:]
    return (unquote(names[0]), names[1:]) if names else ("", [])


def _made(root: str, kind: str, id: list[str], revision: str, path: list[str]) -> _Place | None:
    if not id or not all(map(_NAME.fullmatch, id)):
        return None
    return _Place(root, kind, "/".join(id), revision, "/".join(unquote(name) for name in path))


def _pinned(pin: Pin) -> _Place:
    place = _place(pin.ref.url)
    if place is None or not re.fullmatch(r"[0-9a-f]{40}", pin.version.get("commit", "")):
        raise SourceError(f"{redact(pin.ref.url)} is no commit of a repository at {TITLE}: the lock was edited")
    return replace(place, path=pin.version.get("path", ""))


def _list(page: Page) -> object:
    found = parsed(page)
    if not isinstance(found, list):
        raise SourceError(f"{redact(page.url)} answered something that is no listing")
    return found


def _file(place: _Place, commit: str, entry: dict[str, Any]) -> RemoteFile:
    """The ``oid`` of a large file is that of its pointer: what its bytes have is ``lfs.oid``."""
    path, oid, large = words(entry, "path"), words(entry, "oid"), table(entry, "lfs")
    size = whole(large or entry, "size")
    if not path or size is None:
        raise SourceError(f"a file of {redact(place.page)} is listed without a name or size: {shown(path)}")
    sha256 = (words(large, "oid") or words(large, "sha256")).removeprefix("sha256:").lower()
    checks: tuple[Checksum, ...] = ()
    if re.fullmatch(r"[0-9a-f]{64}", sha256):
        checks = (Checksum("sha256", sha256),)
    elif not large and re.fullmatch(r"[0-9a-f]{40}", oid):
        checks = (Checksum("git-sha1", oid),)
    at = f"{place.page}/resolve/{commit}/{quote(path, safe='/', errors='surrogateescape')}"
    return RemoteFile(path, size, at=at, version=f"id:{oid}" if oid else "", checks=checks)


def _citation(place: _Place, info: Mapping[str, Any]) -> Citation:
    card = table(info, "cardData")
    tags = [tag for tag in info.get("tags") or [] if isinstance(tag, str)]
    doi = next((tag.removeprefix("doi:").lower() for tag in tags if tag.startswith("doi:")), "")
    title = words(card, "pretty_name") or words(card, "title") or place.id
    licence = words(card, "license") or next((tag[8:] for tag in tags if tag.startswith("license:")), "")
    author = words(info, "author")
    return Citation(title, (author,) if author else (), doi, licence)
