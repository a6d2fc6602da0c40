"""The Hugging Face Hub on loopback, as its API is documented (https://huggingface.co/docs/hub/api) and as
huggingface_hub reads it: commits, trees page by page, LFS files behind signed redirects."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.server import Reply, Request

Files = dict[str, bytes]
_REPO = r"/api/(?P<kind>models|datasets|spaces)/(?P<id>[\w.-]+(?:/[\w.-]+)??)"
_RESOLVE = r"/(?:(?P<kind>datasets|spaces)/)?(?P<id>[\w.-]+/[\w.-]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)"


class Hub(Double):
    """Attributes:
    large: bytes from which a file lies in LFS.
    cached: small files are redirected to ``/api/resolve-cache/``, by an address without a host.
    gated: repositories that want a request for access.
    moved: what a repository was called before, and is now.
    breaks: how many bytes the next bodies of small files have, each once.
    """

    page = 1000

    def __init__(self) -> None:
        super().__init__()
        self.large = 10_000
        self.cached = False
        self.gated: set[str] = set()
        self.moved: dict[str, str] = {}
        self.breaks: list[int] = []
        self._commits: dict[str, dict[str, Files]] = {}
        self._refs: dict[str, dict[str, str]] = {}
        self._stored: dict[str, str] = {}

    def commit(self, repo: str, files: Mapping[str, bytes], ref: str = "main") -> str:
        """A commit that holds these files and no others. ``repo`` as in its page's address."""
        made = _sha1(repr((repo, sorted(files.items()), ref)).encode())
        self._commits.setdefault(repo, {})[made] = dict(files)
        self._refs.setdefault(repo, {})[ref] = made
        for path, body in files.items():
            if self._is_large(path, body):
                self._stored[_sha256(body)] = self.signed(f"lfs/{_sha256(body)}", body)
        return made

    def files(self, repo: str, ref: str = "main") -> Files:
        return dict(self._commits.get(repo, {}).get(self._refs.get(repo, {}).get(ref, ""), {}))

    def break_off(self, repo: str, path: str, after: int) -> None:
        body = self.files(repo)[path]
        if self._is_large(path, body):
            self.cut(f"lfs/{_sha256(body)}", after)
        else:
            self.breaks.append(after)

    def too_many(self) -> Reply:
        return reply(429, {"error": "Too many requests"}, {"RateLimit": '"api";r=0;t=7'})

    def refusal(self, request: Request) -> Reply:
        return _error(401, "RepoNotFound", "Invalid username or password.")

    def answer(self, request: Request, path: str) -> Reply | None:
        raw = urlsplit(request.path).path
        routes: Mapping[str, Callable[[re.Match[str], Request], Reply | None]] = {
            rf"{_REPO}(?:/revision/(?P<rev>[^/]+))?": self._info,
            rf"{_REPO}/tree/(?P<rev>[^/]+)(?:/(?P<path>.*))?": self._tree,
            rf"{_REPO}/paths-info/(?P<rev>[^/]+)": self._paths,
            _RESOLVE: self._resolve,
            r"/api/resolve-cache/(?P<kind>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)/(?P<rev>\w+)/(?P<path>.+)": (
                self._cached
            ),
        }
        for pattern, answer in routes.items():
            if match := re.fullmatch(pattern, raw):
                return answer(match, request)
        return None

    def _is_large(self, path: str, body: bytes) -> bool:
        return len(body) >= self.large

    def _found(self, match: re.Match[str], request: Request) -> tuple[str, str, Files] | Reply:
        """The repository, the commit and its files, or why not."""
        said = match.groupdict()
        kind = said["kind"] or "models"
        repo = said["id"] if kind == "models" else f"{kind}/{said['id']}"
        repo = self.moved.get(repo, repo)
        if repo not in self._refs:
            return self.refusal(request)
        if repo in self.gated and not self.allowed(request) and "/api/" not in request.path:
            return _error(401, "GatedRepo", f"Access to {repo} is restricted.")
        revision = unquote(said.get("rev") or "main")
        commit = self._refs[repo].get(revision, revision)
        if commit not in self._commits[repo]:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repo, commit, self._commits[repo][commit]

    def _info(self, match: re.Match[str], request: Request) -> Reply:
        found = self._found(match, request)
        if isinstance(found, Reply):
            return found
        repo, commit, files = found
        id = repo.removeprefix("datasets/").removeprefix("spaces/")
        said = {
            "_id": "621ffdd236468d709f181d58",
            "id": id,
            "author": id.partition("/")[0],
            "sha": commit,
            "private": False,
            "disabled": False,
            "gated": "manual" if repo in self.gated else False,
            "tags": ["license:cc-by-4.0", "doi:10.57967/hf/0001"],
            "cardData": {"license": "cc-by-4.0", "pretty_name": "Cells, counted"},
            "siblings": [{"rfilename": path} for path in files],
            "downloads": 0,
            "likes": 0,
        }
        return reply(200, said)

    def _tree(self, match: re.Match[str], request: Request) -> Reply:
        found = self._found(match, request)
        if isinstance(found, Reply):
            return found
        _, _, files = found
        asked = parse_qs(urlsplit(request.path).query)
        start = int(asked.get("cursor", ["0"])[0])
        folder = f"{unquote(match['path'] or '')}/".lstrip("/")
        entries: Iterator[dict[str, Any]] | list[dict[str, Any]]
        if self.hostile == "many":
            entries = [_entry(f"f{number}", b"", False) for number in range(start, start + self.page)]
            more = start + self.page < 1_000_000
        else:
            known = self._entries(files, folder, asked.get("recursive") == ["true"])
            entries, more = known[start : start + self.page], start + self.page < len(known)
        headers = {}
        if more or self.hostile == "loop":
            cursor = start + self.page if self.hostile != "loop" else 0
            here = f"{self.root}{urlsplit(request.path).path}"
            headers["Link"] = f'<{here}?recursive=true&expand=false&cursor={cursor}>; rel="next"'
        return reply(200, entries, headers)

    def _entries(self, files: Files, folder: str, recursive: bool) -> list[dict[str, Any]]:
        shown: dict[str, dict[str, Any]] = {}
        for path, body in sorted(files.items()):
            if not path.startswith(folder):
                continue
            parts = path.removeprefix(folder).split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                name = folder + "/".join(parts[:depth])
                shown[name] = {"type": "directory", "path": name, "size": 0, "oid": _sha1(b"tree" + name.encode())}
            if recursive or len(parts) == 1:
                shown[path] = _entry(path, body, self._is_large(path, body))
        return self._lied([*shown.values()])

    def _lied(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.hostile == "sizes":
            for entry in entries:
                entry["size"] += 1
                if "lfs" in entry:
                    entry["lfs"]["size"] += 1
        if self.hostile == "names":
            entries.append(_entry("../../etc/passwd", b"", False))
        return entries * 2 if self.hostile == "twins" else entries

    def _paths(self, match: re.Match[str], request: Request) -> Reply:
        found = self._found(match, request)
        if isinstance(found, Reply):
            return found
        _, _, files = found
        form = "x-www-form-urlencoded" in request.headers.get("content-type", "")
        asked = parse_qs(request.body.decode())["paths"] if form else json.loads(request.body)["paths"]
        known = {entry["path"]: entry for entry in self._entries(files, "", recursive=True)}
        return reply(200, [known[path] for path in asked if path in known])

    def _resolve(self, match: re.Match[str], request: Request) -> Reply:
        found = self._found(match, request)
        if isinstance(found, Reply):
            return found
        _, commit, files = found
        path = unquote(match["path"], errors="surrogateescape")
        if path not in files:
            return _error(404, "EntryNotFound", "Entry not found")
        body = files[path]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if self._is_large(path, body):
            headers |= {"X-Linked-Etag": f'"{_sha256(body)}"', "X-Linked-Size": str(len(body)), "X-Xet-Hash": "0" * 64}
            headers["ETag"] = '"the pointer\'s own"'
            return Reply(302, {**headers, "Location": self._stored[_sha256(body)]}, b"")
        if self.cached:
            kind = match["kind"] or "models"
            headers["ETag"] = f'"{_blob(body)}"'
            at = f"/api/resolve-cache/{kind}/{match['id']}/{commit}/{quote(path, safe='', errors='surrogateescape')}"
            return Reply(307, {**headers, "Location": at}, b"")
        return self._bytes(request, body, headers)

    def _cached(self, match: re.Match[str], request: Request) -> Reply:
        found = self._found(match, request)
        if isinstance(found, Reply):
            return found
        _, commit, files = found
        return self._bytes(request, files[unquote(match["path"], errors="surrogateescape")], {"X-Repo-Commit": commit})

    def _bytes(self, request: Request, body: bytes, headers: Mapping[str, str]) -> Reply:
        cut = self.breaks.pop() if self.breaks else None
        return ranged(request, body, {**headers, "ETag": f'"{_blob(body)}"'}, cut)


def _entry(path: str, body: bytes, large: bool) -> dict[str, Any]:
    if not large:
        return {"type": "file", "oid": _blob(body), "size": len(body), "path": path}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{_sha256(body)}\nsize {len(body)}\n".encode()
    lfs = {"oid": _sha256(body), "size": len(body), "pointerSize": len(pointer)}
    return {"type": "file", "oid": _blob(pointer), "size": len(body), "path": path, "lfs": lfs, "xetHash": "0" * 64}


def _error(status: int, code: str, message: str) -> Reply:
    return reply(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})


def _blob(body: bytes) -> str:
    return _sha1(b"blob %d\0" % len(body) + body)


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
