"""GitLab on loopback, as https://docs.gitlab.com/api/ documents it: projects in groups, trees page by page without
sizes, sizes by GraphQL, files that are sent whole but for those in LFS."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.testing.double import Double, reply
from gotdata.testing.git_objects import FILE, FOLDER, LINK, Blob, Repository, named, raw
from gotdata.testing.server import Reply, Request

_PROJECT = r"/api/v4/projects/(?P<project>[^/]+)"


class GitLab(Double):
    """Attributes:
    projects: by their whole path.
    private: those that only who holds ``token`` sees.
    breaks: how many bytes the next bodies have, each once.
    graphql_error: what GraphQL answers instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.projects: dict[str, Repository] = {}
        self.private: set[str] = set()
        self.breaks: list[int] = []
        self.graphql_error = ""
        self._lfs: dict[str, bytes] = {}
        self._known: dict[tuple[str, str, bool, str], list[dict[str, Any]]] = {}

    def lfs(self, body: bytes) -> None:
        """Keeps an object, to which pointers may point."""
        oid = hashlib.sha256(body).hexdigest()
        self._lfs[oid] = body
        self.signed(f"lfs/{oid}", body)

    def refusal(self, request: Request) -> Reply:
        return reply(404, {"message": "404 Project Not Found"})

    def too_many(self) -> Reply:
        return Reply(429, {"Retry-After": self.retry_after, "RateLimit-Remaining": "0"}, b"Retry later\n")

    def allowed(self, request: Request) -> bool:
        return request.headers.get("private-token") == self.token or super().allowed(request)

    def answer(self, request: Request, path: str) -> Reply | None:
        plain = urlsplit(request.path).path
        if plain == "/api/graphql" and request.method == "POST":
            return self._graphql(request)
        routes: Mapping[str, Callable[[re.Match[str], str, Request], Reply]] = {
            _PROJECT: self._project,
            rf"{_PROJECT}/repository/commits/(?P<ref>[^/]+)": self._commit,
            rf"{_PROJECT}/repository/tree": self._tree,
            rf"{_PROJECT}/repository/files/(?P<path>[^/]+)(?P<raw>/raw)?": self._file,
        }
        for pattern, answer in routes.items():
            if match := re.fullmatch(pattern, plain):
                name = self._named(unquote(match["project"]))
                closed = name in self.private and not self.allowed(request)
                return self.refusal(request) if not name or closed else answer(match, name, request)
        return None

    def _named(self, text: str) -> str:
        """A project by its path or its number."""
        if text.isdigit() and 0 < int(text) <= len(self.projects):
            return [*self.projects][int(text) - 1]
        return next((name for name in self.projects if name.lower() == text.lower()), "")

    def _project(self, match: re.Match[str], name: str, request: Request) -> Reply:
        said = {
            "id": [*self.projects].index(name) + 1,
            "path_with_namespace": name,
            "name": name.rpartition("/")[2],
            "description": "Cells, counted",
            "default_branch": "main",
            "visibility": "private" if name in self.private else "public",
            "web_url": f"{self.root}/{name}",
            "license": {"key": "cc-by-4.0", "name": "CC BY 4.0"},
        }
        return reply(200, said)

    def _commit(self, match: re.Match[str], name: str, request: Request) -> Reply:
        found = self.projects[name].find(unquote(match["ref"]))
        if not found:
            return reply(404, {"message": "404 Commit Not Found"})
        return reply(200, {"id": found, "short_id": found[:8], "title": "a commit"})

    def _tree(self, match: re.Match[str], name: str, request: Request) -> Reply:
        asked = {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}
        repo = self.projects[name]
        commit = repo.find(asked.get("ref", "main"))
        above = asked.get("path", "").strip("/")
        start, size = int(asked.get("page_token", 0)), min(int(asked.get("per_page", 20)), self.page)
        if self.hostile == "many":
            found: list[dict[str, Any]] = [_row(f"f{n}", Blob(b"1"), "0" * 40) for n in range(start, start + size)]
            more = start + size < 1_000_000
        else:
            known = self._rows(repo, commit, above, asked.get("recursive", "").lower() == "true")
            if not commit or (above and not known):
                return reply(404, {"message": "404 Tree Not Found"})
            found, more = known[start : start + size], start + size < len(known)
        headers = {}
        if more or self.hostile == "loop":
            token = start + size if self.hostile != "loop" else 0
            query = f"ref={asked.get('ref', 'main')}&path={quote(above, safe='')}&per_page={size}&pagination=keyset"
            query += f"&recursive={asked.get('recursive', 'false')}&page_token={token}"
            here = f"{self.root}{urlsplit(request.path).path}?{query}"
            headers["Link"] = f'<{here}>; rel="next"'
        return reply(200, found, headers)

    def _rows(self, repo: Repository, commit: str, above: str, recursive: bool) -> list[dict[str, Any]]:
        key = (commit, above, recursive, self.hostile)
        if key not in self._known:
            self._known[key] = self._lied(_rows(repo, commit, above, recursive))
        return self._known[key]

    def _lied(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.hostile == "names":
            return [*entries, _row("../../etc/passwd", Blob(b"1"), "0" * 40)]
        return entries * 2 if self.hostile == "twins" else entries

    def _graphql(self, request: Request) -> Reply:
        asked = json.loads(request.body)["variables"]
        name = self._named(asked["project"])
        if self.graphql_error:
            return reply(200, {"errors": [{"message": self.graphql_error}]})
        if not name or (name in self.private and not self.allowed(request)):
            return reply(200, {"data": {"project": None}})
        files = self.projects[name].commits.get(asked["ref"], {})
        if self.hostile in ("many", "names"):
            files = {**dict.fromkeys(asked["paths"], Blob(b"1")), **files}
        nodes = [self._node(path, files[path]) for path in asked["paths"][:100] if path in files]
        return reply(200, {"data": {"project": {"repository": {"blobs": {"nodes": nodes}}}}})

    def _node(self, path: str, file: Blob) -> dict[str, Any]:
        body = self._stands_for(file.body)
        lfs = hashlib.sha256(body).hexdigest() if body is not file.body else None
        # Large integers are text.
        size = str(len(body) + (self.hostile == "sizes"))
        return {"path": path, "oid": named("blob", file.body), "mode": file.mode, "rawSize": size, "lfsOid": lfs}

    def _stands_for(self, body: bytes) -> bytes:
        match = re.search(rb"\noid sha256:([0-9a-f]{64})\n", body)
        return self._lfs.get(match[1].decode(), body) if match else body

    def _file(self, match: re.Match[str], name: str, request: Request) -> Reply:
        asked = parse_qs(urlsplit(request.path).query)
        repo = self.projects[name]
        commit = repo.find(asked.get("ref", ["main"])[0])
        path = unquote(match["path"], errors="surrogateescape")
        file = repo.commits.get(commit, {}).get(path)
        if file is None:
            return reply(404, {"message": "404 File Not Found"})
        body = self._stands_for(file.body)
        if not match["raw"]:
            content = base64.b64encode(file.body).decode()
            said = {"file_name": path.rpartition("/")[2], "file_path": path, "size": len(file.body)}
            said |= {"encoding": "base64", "content": content, "ref": commit, "blob_id": named("blob", file.body)}
            return reply(200, said)
        if body is not file.body and asked.get("lfs") == ["true"]:
            oid = hashlib.sha256(body).hexdigest()
            return Reply(302, {"Location": f"{self.store.at('lfs/' + oid)}?X-Amz-Signature=s1"}, b"")
        # Sent by a program that knows no ranges.
        cut = self.breaks.pop() if self.breaks else None
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(file.body))}
        if cut is not None:
            return Reply(200, {**headers, "Connection": "close"}, file.body[:cut])
        return Reply(200, headers, file.body)


def _rows(repo: Repository, commit: str, above: str, recursive: bool) -> list[dict[str, Any]]:
    """Folders first, as GitLab sorts."""
    folders: dict[str, dict[str, Any]] = {}
    files = []
    for path, file in sorted(repo.commits.get(commit, {}).items(), key=lambda item: raw(item[0])):
        if above and not path.startswith(f"{above}/"):
            continue
        parts = path.removeprefix(f"{above}/" if above else "").split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            name = "/".join(filter(None, (above, *parts[:depth])))
            folders[name] = _row(name, Blob(b"", FOLDER), named("tree", raw(name)))
        if recursive or len(parts) == 1:
            files.append(_row(path, file, file.body.decode() if file.mode == "160000" else named("blob", file.body)))
    return [*folders.values(), *files]


def _row(path: str, file: Blob, id: str) -> dict[str, Any]:
    kind = {FOLDER: "tree", "160000": "commit", LINK: "blob", FILE: "blob"}.get(file.mode, "blob")
    return {"id": id, "name": path.rpartition("/")[2], "type": kind, "path": path, "mode": file.mode}
