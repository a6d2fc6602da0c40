"""GitHub on loopback, with the addresses of an Enterprise Server, as https://docs.github.com/en/rest documents it:
trees that are cut off, files as they are, releases, LFS by its batch API, limits that are a 403."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.git_objects import FILE, FOLDER, MODULE, Entry, Repository, named, raw
from gotdata.testing.server import Reply, Request

_API = r"/api/v3/repos/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)"
_LINK = "120000"


class GitHub(Double):
    """Attributes:
    entries: of a tree, after which an answer is cut off.
    private: repositories that only who holds ``token`` sees.
    moved: what a repository was called before, and is now.
    lfs_header: what the batch API says must be sent to where an object lies; empty: nothing.
    lfs_more: what else it says must be sent.
    lfs_error: what it says of every object instead.
    breaks: how many bytes the next bodies have, each once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries = 100_000
        self.private: set[str] = set()
        self.moved: dict[str, str] = {}
        self.lfs_header = ""
        self.lfs_more: dict[str, Any] = {}
        self.lfs_error: dict[str, Any] = {}
        self.breaks: list[int] = []
        self._repos: dict[str, Repository] = {}
        self._releases: dict[str, list[dict[str, Any]]] = {}
        self._assets: dict[int, bytes] = {}
        self._gists: dict[str, list[str]] = {}
        self._next = 1000

    def repo(self, name: str) -> Repository:
        return self._repos.setdefault(name, Repository())

    def lfs(self, body: bytes) -> None:
        """Keeps an object, to which pointers may point."""
        oid = hashlib.sha256(body).hexdigest()
        self.store.put(f"lfs/{oid}", body, get_only=True, auth=self.lfs_header)

    def release(self, repo: str, tag: str, assets: Mapping[str, bytes], digests: bool = True, **said: Any) -> int:
        """A release; files may be put into it later."""
        self._next += 1
        made: dict[str, Any] = {
            "id": self._next,
            "url": f"{self.root}/api/v3/repos/{repo}/releases/{self._next}",
            "tag_name": tag,
            "name": tag,
            "draft": False,
            "prerelease": False,
            **said,
            "assets": [],
        }
        self._releases.setdefault(repo, []).append(made)
        for name, body in assets.items():
            self.upload(repo, tag, name, body, digests)
        return int(made["id"])

    def upload(self, repo: str, tag: str, name: str, body: bytes, digests: bool = True) -> None:
        """A file of a release; one of that name is replaced, under a new id."""
        self._next += 1
        release = self._tagged(repo, tag)
        assert release is not None
        self._assets[self._next] = body
        at = f"{self.root}/{repo}/releases/download/{quote(tag)}/{quote(name)}"
        asset = {
            "id": self._next,
            "url": f"{self.root}/api/v3/repos/{repo}/releases/assets/{self._next}",
            "name": name,
            "state": "uploaded",
            "size": len(body),
            "digest": f"sha256:{hashlib.sha256(body).hexdigest()}" if digests else None,
            "updated_at": "2026-01-01T00:00:00Z",
            "browser_download_url": at,
        }
        release["assets"] = [one for one in release["assets"] if one["name"] != name] + [asset]
        self.signed(f"assets/{repo}/{tag}/{name}", body)

    def gist(self, id: str, files: Mapping[str, bytes]) -> str:
        """The next revision of a gist of ``ada``'s. Returns its commit."""
        commit = self.repo(f"gist/{id}").commit(files)
        for name, body in files.items():
            self.server.put(f"gist-raw/ada/{id}/raw/{named('blob', body)}/{name}", body)
        self._gists.setdefault(id, []).insert(0, commit)
        return commit

    def too_many(self) -> Reply:
        headers = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"}
        headers["X-RateLimit-Reset"] = str(int(time.time()) + 7)
        return _say(403, "API rate limit exceeded for 127.0.0.1.", headers)

    def refusal(self, request: Request) -> Reply:
        return _say(404, "Not Found")

    def answer(self, request: Request, path: str) -> Reply | None:
        routes: Mapping[str, Callable[[re.Match[str], Request], Reply | None]] = {
            _API: self._info,
            rf"{_API}/commits/(?P<ref>.+)": self._commit,
            rf"{_API}/git/trees/(?P<sha>[^/]+)": self._tree,
            rf"{_API}/git/blobs/(?P<sha>[0-9a-f]+)": self._blob,
            rf"{_API}/releases/latest": lambda match, request: self._release(self._latest(_name(match))),
            rf"{_API}/releases/tags/(?P<tag>[^/]+)": (
                lambda match, request: self._release(self._tagged(_name(match), unquote(match["tag"])))
            ),
            rf"{_API}/releases/assets/(?P<id>\d+)": self._asset,
            r"/api/v3/(?:repos/[^/]+/[^/]+|repositories/\d+)/releases/(?P<id>\d+)/assets": self._list_assets,
            rf"{_API}/releases/(?P<id>\d+)": self._by_id,
            r"/api/v3/gists/(?P<id>[0-9a-f]+)(?:/(?P<commit>[0-9a-f]+))?": self._gist,
            r"/raw/(?P<owner>[^/]+)/(?P<name>[^/]+)/(?P<ref>[^/]+)/(?P<path>.+)": self._raw,
            r"/(?P<owner>[^/]+)/(?P<name>[^/]+)/releases/download/(?P<path>.+)": self._download,
            r"/(?P<owner>[^/]+)/(?P<name>[^/]+?)(?:\.git)?/info/lfs/objects/batch": self._batch,
        }
        plain = urlsplit(request.path).path
        for pattern, answer in routes.items():
            if match := re.fullmatch(pattern, plain):
                refused = self._allowed(match, request) if "name" in match.groupdict() else None
                return refused or answer(match, request)
        return None

    def _allowed(self, match: re.Match[str], request: Request) -> Reply | None:
        """Why not: the repository is nobody's, private, or has another name now."""
        name = _name(match)
        if name in self.moved:
            return Reply(301, {"Location": request.path.replace(name, self.moved[name])}, b"")
        if name not in self._repos or (name in self.private and not self.allowed(request)):
            return self.refusal(request)
        return None

    def _info(self, match: re.Match[str], request: Request) -> Reply:
        name = _name(match)
        said = {
            "id": 522492300,
            "full_name": name,
            "name": match["name"],
            "owner": {"login": match["owner"], "type": "User"},
            "private": name in self.private,
            "url": f"{self.root}/api/v3/repos/{name}",
            "html_url": f"{self.root}/{name}",
            "description": "Cells, counted",
            "default_branch": "main",
            "license": {"key": "cc-by-4.0", "spdx_id": "CC-BY-4.0"},
        }
        return reply(200, said)

    def _commit(self, match: re.Match[str], request: Request) -> Reply:
        repo, ref = self._repos[_name(match)], unquote(match["ref"])
        if not repo.commits:
            return _say(409, "Git Repository is empty.")
        found = repo.find(ref)
        if not found:
            return _say(422, f"No commit found for SHA: {ref}")
        if "sha" in request.headers.get("accept", ""):
            return Reply(200, {"Content-Type": "application/vnd.github.sha; charset=utf-8"}, found.encode())
        url = f"{self.root}/api/v3/repos/{_name(match)}"
        return reply(
            200, {"sha": found, "commit": {"tree": {"sha": repo.roots[found]}}, "url": f"{url}/commits/{found}"}
        )

    def _tree(self, match: re.Match[str], request: Request) -> Reply:
        repo, sha = self._repos[_name(match)], match["sha"]
        root = repo.roots.get(repo.find(sha), sha)
        if self.hostile == "many":
            return self._endless(sha, request)
        if root not in repo.trees:
            return _say(404, "Not Found")
        recursive = "recursive" in parse_qs(urlsplit(request.path).query)
        cut = recursive and self.hostile == "loop"
        found = list(_walk(repo, root) if recursive else ((entry.name, entry) for entry in repo.trees[root]))
        if self.hostile == "loop":
            found.append(("inner", Entry("inner", FOLDER, root, 0)))
        shown = [self._entry(path, entry) for path, entry in found[: self.entries]]
        return reply(200, {"sha": root, "tree": self._lied(shown), "truncated": len(found) > self.entries or cut})

    def _entry(self, path: str, entry: Entry) -> dict[str, Any]:
        said = {"path": path, "mode": entry.mode, "type": entry.type, "sha": entry.id}
        return said | ({"size": entry.size} if entry.type == "blob" else {})

    def _lied(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.hostile == "sizes":
            return [{**entry, "size": entry.get("size", 0) + 1} for entry in entries]
        if self.hostile == "names":
            return [*entries, self._entry("../../etc/passwd", Entry("", FILE, "0" * 40, 1))]
        return entries * 2 if self.hostile == "twins" else entries

    def _endless(self, sha: str, request: Request) -> Reply:
        """A million files in a thousand folders: more than one answer holds."""
        number = int(sha, 16) if sha.startswith("0" * 30) else -1
        if number < 0:
            inside = [Entry(f"d{number}", FOLDER, f"{number:040x}", 0) for number in range(1000)]
        else:
            inside = [Entry(f"f{file}", FILE, "0" * 40, 1) for file in range(1000)]
        cut = number < 0 and "recursive" in request.path
        return reply(200, {"sha": sha, "tree": [self._entry(one.name, one) for one in inside], "truncated": cut})

    def _blob(self, match: re.Match[str], request: Request) -> Reply:
        body = self._repos[_name(match)].blobs.get(match["sha"])
        if body is None:
            return _say(404, "Not Found")
        content = base64.encodebytes(body).decode()
        url = f"{self.root}/api/v3/repos/{_name(match)}/git/blobs/{match['sha']}"
        said = {"sha": match["sha"], "size": len(body), "encoding": "base64", "content": content, "url": url}
        return reply(200, said)

    def _raw(self, match: re.Match[str], request: Request) -> Reply:
        repo, path = self._repos[_name(match)], unquote(match["path"], errors="surrogateescape")
        file = repo.commits.get(repo.find(match["ref"]), {}).get(path)
        if file is None or file.mode == MODULE:
            return Reply(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404: Not Found")
        headers = {"Content-Type": "text/plain; charset=utf-8", "ETag": f'W/"{named("blob", file.body)}"'}
        return ranged(request, file.body, headers, self.breaks.pop() if self.breaks else None)

    def _latest(self, repo: str) -> dict[str, Any] | None:
        known = [one for one in self._releases.get(repo, []) if not one["draft"] and not one["prerelease"]]
        return known[-1] if known else None

    def _tagged(self, repo: str, tag: str) -> dict[str, Any] | None:
        return next((one for one in self._releases.get(repo, []) if one["tag_name"] == tag), None)

    @staticmethod
    def _release(found: dict[str, Any] | None) -> Reply:
        return reply(200, found) if found else _say(404, "Not Found")

    def _by_id(self, match: re.Match[str], request: Request) -> Reply:
        known = self._releases.get(_name(match), [])
        return self._release(next((one for one in known if one["id"] == int(match["id"])), None))

    def _list_assets(self, match: re.Match[str], request: Request) -> Reply:
        known = [release for repo in self._releases.values() for release in repo]
        release = next((one for one in known if one["id"] == int(match["id"])), None)
        if release is None:
            return _say(404, "Not Found")
        page = int(parse_qs(urlsplit(request.path).query).get("page", ["1"])[0])
        shown = release["assets"][(page - 1) * self.page : page * self.page]
        # By number, as GitHub does.
        here = f"{self.root}/api/v3/repositories/522492300/releases/{match['id']}/assets"
        more = len(release["assets"]) > page * self.page
        headers = {"Link": f'<{here}?page={page + 1}>; rel="next", <{here}?page=99>; rel="last"'} if more else {}
        return reply(200, shown, headers)

    def _asset(self, match: re.Match[str], request: Request) -> Reply:
        for release in self._releases.get(_name(match), []):
            for asset in release["assets"]:
                if asset["id"] == int(match["id"]):
                    if "octet-stream" not in request.headers.get("accept", ""):
                        return reply(200, asset)
                    body = self._assets[asset["id"]]
                    return Reply(302, {"Location": self.signed(f"assets/{asset['id']}", body)}, b"")
        return _say(404, "Not Found")

    def _download(self, match: re.Match[str], request: Request) -> Reply:
        """Where people download a file. It knows no tokens, as GitHub's pages don't."""
        path = f"assets/{_name(match)}/{unquote(match['path'])}"
        if _name(match) in self.private or self.store.find(raw(path)) is None:
            return Reply(404, {"Content-Type": "text/html"}, b"<html>Not Found</html>")
        return Reply(302, {"Location": f"{self.store.at(path)}?X-Amz-Signature=s1"}, b"")

    def _gist(self, match: re.Match[str], request: Request) -> Reply:
        history = self._gists.get(match["id"], [])
        commit = match["commit"] or (history or [""])[0]
        if commit not in history:
            return _say(404, "Not Found")
        files = {}
        for name, file in self.repo(f"gist/{match['id']}").commits[commit].items():
            at = f"{self.root}/gist-raw/ada/{match['id']}/raw/{named('blob', file.body)}/{quote(name)}"
            files[name] = {"filename": name, "size": len(file.body), "raw_url": at, "truncated": False}
        said = {"id": match["id"], "owner": {"login": "ada"}, "description": "Two cells", "public": True}
        return reply(200, {**said, "files": files, "history": [{"version": one} for one in history]})

    def _batch(self, match: re.Match[str], request: Request) -> Reply:
        media = "application/vnd.git-lfs+json"
        if not request.headers.get("content-type", "").startswith(media):
            return _say(415, "Unsupported Media Type")
        said = []
        for asked in json.loads(request.body)["objects"]:
            found: dict[str, Any] = {"oid": asked["oid"], "size": asked["size"]}
            if self.lfs_error or self.store.find(f"lfs/{asked['oid']}".encode()) is None:
                found["error"] = self.lfs_error or {"code": 404, "message": "Object does not exist on the server"}
            else:
                header = {**self.lfs_more, **({"Authorization": self.lfs_header} if self.lfs_header else {})}
                href = f"{self.store.at('lfs/' + asked['oid'])}?X-Amz-Signature=s1"
                found["actions"] = {"download": {"href": href, "header": header, "expires_in": 3600}}
            said.append(found)
        return reply(200, {"transfer": "basic", "objects": said}, {"Content-Type": media})


def _walk(repo: Repository, tree: str, above: str = "") -> Iterator[tuple[str, Entry]]:
    for entry in repo.trees[tree]:
        yield above + entry.name, entry
        if entry.mode == FOLDER:
            yield from _walk(repo, entry.id, f"{above}{entry.name}/")


def _name(match: re.Match[str]) -> str:
    return f"{match['owner']}/{match['name']}"


def _say(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return reply(status, {"message": message, "documentation_url": "https://docs.github.com/rest"}, headers)
