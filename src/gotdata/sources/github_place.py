"""What a GitHub reference names, judged by its text, and how GitHub's API is asked about it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import AccessDenied, GotdataError, NotFound, SourceError, SourceUnavailable
from gotdata.paths import redact, shown
from gotdata.sources.api import table
from gotdata.sources.http_answer import Refusal, login
from gotdata.sources.http_page import Page

TITLE = "GitHub"
_JSON = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_NAME = re.compile(r"(?!\.+$)[\w.-]+")
_PAGES = re.compile(
    "about|apps|collections|contact|enterprise|explore|features|login|marketplace|notifications|orgs|pricing|search"
    "|security|settings|site|sponsors|stars|topics|trending|users"
)
"""First words of addresses that no account is called."""
_TREES = ("tree", "blob", "raw", "blame", "commit", "commits", "edit")


@dataclass(frozen=True, slots=True)
class Site:
    """GitHub, or an Enterprise Server: the roots of its pages, its API and its files as they are."""

    web: str
    api: str
    raw: str


PUBLIC = Site("https://github.com", "https://api.github.com", "https://raw.githubusercontent.com")
GIST_RAW = "https://gist.githubusercontent.com"


@dataclass(frozen=True, slots=True)
class Place:
    """Attributes:
    kind: ``tree``, ``release``, ``archive`` or ``gist``.
    names: what follows in the address, not escaped: of a tree a revision and a path, whose border nobody marked; of
        a release its tag (none: the latest) and maybe the name of a file; of an archive its revision and ending.
    """

    site: Site
    owner: str
    repo: str
    kind: str = "tree"
    names: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        if self.kind == "gist":
            return f"https://gist.github.com/{self.owner}/{self.repo}"
        return f"{self.site.web}/{self.owner}/{self.repo}"

    @property
    def api(self) -> str:
        return f"{self.site.api}/{'gists' if self.kind == 'gist' else f'repos/{self.owner}'}/{self.repo}"

    @property
    def lfs(self) -> str:
        return f"{self.page}.git/info/lfs"

    def raw(self, commit: str, path: str = "") -> str:
        root = GIST_RAW if self.kind == "gist" else self.site.raw
        return f"{root}/{self.owner}/{self.repo}/{commit}/{quote(path, safe='/', errors='surrogateescape')}"


def place(url: str) -> Place | None:
    """What a reference names; None where it is no repository's."""
    if re.fullmatch(r"github:(?!/)[^/:]+/[^/:]+", url, re.I):
        name, _, version = url[7:].partition("@")
        url = f"https://github.com/{name}" + (f"/tree/{version}" if version else "")
    if url.lower().startswith("github:"):
        url = url[7:]
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    names = [unquote(name, errors="surrogateescape") for name in parts.path.split("/") if name]
    if host == "gist.github.com":
        return _gist(names)
    if host == "raw.githubusercontent.com":
        return _made(PUBLIC, [*names[:2], "raw", *names[2:]]) if len(names) > 3 else None
    if host in ("github.com", "www.github.com"):
        return _made(PUBLIC, names)
    root = f"{parts.scheme}://{parts.netloc.lower()}"
    return _made(Site(root, f"{root}/api/v3", f"{root}/raw"), names)


def _gist(names: list[str]) -> Place | None:
    if len(names) < 2 or not re.fullmatch(r"[0-9a-f]{20,}", names[1]):
        return None
    return _checked(Place(PUBLIC, names[0], names[1], "gist", tuple(names[2:3])))


def _made(site: Site, names: list[str]) -> Place | None:
    if len(names) < 2 or _PAGES.fullmatch(names[0]):
        return None
    owner, repo, verb, rest = names[0], names[1].removesuffix(".git"), (names[2:] or [""])[0], tuple(names[3:])
    if verb in ("", *_TREES):
        return _checked(Place(site, owner, repo, "tree", rest))
    if verb in ("archive", "zipball", "tarball") and rest:
        ending = ".zip" if verb == "zipball" or rest[-1].endswith(".zip") else ".tar.gz"
        return _checked(Place(site, owner, repo, "archive", (*rest[:-1], rest[-1].removesuffix(ending), ending)))
    if verb == "releases":
        return _checked(Place(site, owner, repo, "release", _release(rest)))
    return None


def _release(rest: tuple[str, ...]) -> tuple[str, ...]:
    if rest[:2] == ("latest", "download"):
        return ("", *rest[2:3])
    if rest[:1] == ("download",) and len(rest) > 2:
        return ("/".join(rest[1:-1]), rest[-1])
    return ("/".join(rest[1:]),) if rest[:1] == ("tag",) else ("",)


def _checked(found: Place) -> Place | None:
    return found if _NAME.fullmatch(found.owner) and _NAME.fullmatch(found.repo) else None


def ask(url: str, ctx: Context) -> Any:
    """What the API says: an object."""
    found = ctx.http.json(url, _JSON, explain=explain)
    if not isinstance(found, dict):
        raise SourceError(f"{redact(url)} is not what {TITLE} answers")
    return found


def ask_page(url: str, ctx: Context) -> Page:
    """A page of a listing, with the headers that lead to the next."""
    return ctx.http.text(url, _JSON, explain=explain)


def ask_commit(of: Place, revision: str, ctx: Context) -> str:
    """The commit that a branch, a tag (an annotated one too) or the beginning of a commit means."""
    url = f"{of.api}/commits/{quote(revision, safe='/', errors='surrogateescape')}"
    text = ctx.http.text(url, {**_JSON, "Accept": "application/vnd.github.sha"}, explain=explain).text.strip()
    if not re.fullmatch(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", text):
        raise SourceError(f"{redact(url)} answered {shown(text[:60])} where a commit was due")
    return text


def explain(refusal: Refusal) -> GotdataError | None:
    """https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api: a limit is a 403 or a 429."""
    headers, url, text = refusal.headers, redact(refusal.url), refusal.text.lower()
    used_up = headers.get("X-RateLimit-Remaining") == "0"
    if refusal.status in (403, 429) and (used_up or "rate limit" in text or "Retry-After" in headers):
        wait = _wait(headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "") if used_up else "")
        higher = "" if refusal.credential else f"; with a token it is higher: {login(refusal.url, 'github')}"
        return SourceUnavailable(
            f"{url}: {TITLE}'s rate limit is used up, for {wait / 60:.0f} more minutes{higher}", wait
        )
    if refusal.status == 403 and "X-GitHub-SSO" in headers:
        return AccessDenied(f"{url}: this organisation wants your token to be authorised for SSO, on {TITLE}'s pages")
    if refusal.status in (409, 422):
        return NotFound(f"{url}: {TITLE} has no such revision, or the repository is empty")
    return None


def _wait(retry_after: str, reset: str) -> float:
    """Seconds. A secondary limit may name none; its documentation says a minute."""
    if re.fullmatch(r"\d{1,6}", retry_after):
        return float(retry_after)
    return max(1.0, float(reset) - time.time()) if re.fullmatch(r"\d{1,12}", reset) else 60.0


def answered(info: Any, default: Place) -> tuple[str, str]:
    """The owner and name that a repository has now."""
    owner, _, repo = str(table(info).get("full_name") or "").partition("/")
    known = bool(_NAME.fullmatch(owner) and _NAME.fullmatch(repo))
    return (owner, repo) if known else (default.owner, default.repo)
