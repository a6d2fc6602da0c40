"""Figshare on loopback (https://docs.figshare.com), or djehuty (4TU.ResearchData), which speaks the same API."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID

from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.hostile_contract import MANY
from gotdata.testing.server import Reply, Request


@dataclass(frozen=True)
class _File:
    id: str
    name: str
    folder: str
    body: bytes
    md5: str = ""
    link: str = ""


@dataclass
class _Article:
    id: str
    doi: str
    versions: list[list[_File]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


class Figshare(Double):
    """Every change of an article is published as a new version, in which unchanged files keep their ids.

    Attributes:
        djehuty: ids are UUIDs, listings know no pages, files have addresses of their own.
        stuck: pages of listings are ignored, though there are more.
        host: of the institution whose pages the articles have.
    """

    page = 1000

    def __init__(self, djehuty: bool = False) -> None:
        super().__init__()
        self.djehuty = djehuty
        self.stuck = False
        self.host = "figshare.com"
        self._articles: dict[str, _Article] = {}
        self._collections: dict[str, list[str]] = {}
        self._files: dict[str, _File] = {}
        self._cuts: dict[str, int] = {}

    def article(self, doi: str = "10.6084/m9.figshare.{}", **more: Any) -> str:
        """A new article without a version. ``more`` is said of it in every answer."""
        number = 14763051 + len(self._articles)
        id = str(UUID(int=number)) if self.djehuty else str(number)
        self._articles[id] = _Article(id, doi.format(id), more=more)
        return id

    def collect(self, *articles: str) -> str:
        id = str(4567 + len(self._collections))
        self._collections[id] = list(articles)
        return id

    def put(self, id: str, files: dict[str, bytes], **more: Any) -> None:
        """Publishes a version in which these files are new or replaced. ``more`` is of each file."""
        versions = self._articles[id].versions
        held = {(file.folder, file.name): file for file in versions[-1]} if versions else {}
        for path, body in files.items():
            folder, _, name = path.rpartition("/")
            held[folder, name] = self._made(name, folder, body, **more)
        versions.append(list(held.values()))

    def twin(self, id: str, path: str, body: bytes) -> str:
        """A further file with a name that one has, in the newest version. Returns its id."""
        folder, _, name = path.rpartition("/")
        file = self._made(name, folder, body)
        self._articles[id].versions[-1].append(file)
        return file.id

    def remove(self, id: str, path: str) -> None:
        versions = self._articles[id].versions
        versions.append([file for file in versions[-1] if f"{file.folder}/{file.name}".lstrip("/") != path])

    def find(self, id: str, path: str) -> str:
        """The id of a file in the newest version."""
        held = {f"{file.folder}/{file.name}".lstrip("/"): file.id for file in self._articles[id].versions[-1]}
        return held[path]

    def cut(self, path: str, after: int, times: int = 1) -> None:
        if not self.djehuty:
            return super().cut(path, after, times)
        self._cuts[path] = after
        return None

    def allowed(self, request: Request) -> bool:
        """By a token, or by the key of a private link."""
        key = parse_qs(urlsplit(request.path).query).get("private_link") == [self.token]
        return key or request.headers.get("authorization") == f"token {self.token}"

    def refusal(self, request: Request) -> Reply:
        return reply(403, {"message": "You do not have access to this resource", "code": "Forbidden"})

    def answer(self, request: Request, path: str) -> Reply | None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        if match := re.fullmatch(r"/v2/articles/([\w-]+)(?:/versions/(\d+))?(/files|/versions)?", path):
            return self._article_said(match[1], match[2] or "", match[3] or "", query)
        if match := re.fullmatch(r"/v2/collections/(\d+)(/articles)?", path):
            return self._collection(match[1], bool(match[2]), query)
        if match := re.fullmatch(r"/(?:v2/file/download|file/[\w-]+)/([\w-]+)", path):
            return self._bytes(match[1], request, path)
        if path == "/v2/articles":
            found = [one for one in self._articles.values() if one.versions and query["doi"] in self._dois(one)]
            return reply(200, [self._brief(one) for one in found])
        if path.startswith("/ndownloader/"):
            return Reply(202, {"x-amzn-waf-action": "challenge"}, b"")
        return None

    def _article_said(self, id: str, version: str, part: str, query: dict[str, str]) -> Reply:
        article = self._articles.get(id)
        count = len(article.versions) if article else 0
        number = int(version or count)
        if article is None or not 0 < number <= count:
            return reply(404, {"message": "Entity not found: article", "code": "EntityNotFound"})
        if part == "/versions":
            here = f"{self.root}/v2/articles/{id}/versions"
            return reply(200, [{"version": one, "url": f"{here}/{one}"} for one in range(1, count + 1)])
        files = article.versions[number - 1]
        if part == "/files":
            return self._page(files, id, query)
        return reply(200, self._complete(article, number, files))

    def _page(self, files: list[_File], id: str, query: dict[str, str]) -> Reply:
        size, number = min(int(query.get("page_size", "10")), self.page), int(query.get("page", "1"))
        first = 0 if self.stuck else (number - 1) * size
        if self.hostile == "many":
            like = files[0]
            made = range(first, min(first + size, MANY))
            return reply(200, [self._shown(_File(f"{one}", f"f{one}", "", like.body), id) for one in made])
        shown = [self._shown(file, id) for file in (files if self.djehuty else files[first : first + size])]
        if self.hostile == "twins" and number == 1:
            shown += [{**shown[-1], "id": 99, "uuid": str(UUID(int=99))}]
        return reply(200, shown)

    def _complete(self, article: _Article, number: int, files: list[_File]) -> dict[str, Any]:
        """The whole of an article: ten of its files, and the folders of all."""
        size = sum(len(file.body) for file in files)
        return {
            **self._brief(article, number),
            "version": number,
            "files": [self._shown(file, article.id) for file in files[:10]],
            "folder_structure": {file.id: file.folder for file in files if file.folder},
            "size": MANY * size if self.hostile == "many" else size,
            "authors": [{"id": 1, "full_name": "Emmy Noether"}, {"id": 2, "full_name": "Marie Curie"}],
            "license": {"value": 1, "name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
            "figshare_url": f"https://{self.host}/articles/dataset/Cells_counted/{article.id}/{number}",
            "download_disabled": False,
            "is_embargoed": False,
            "embargo_type": "file",
            "is_confidential": False,
            "is_metadata_record": False,
            **article.more,
        }

    def _brief(self, article: _Article, number: int = 0) -> dict[str, Any]:
        return {
            "id": None if self.djehuty else int(article.id),
            "uuid": article.id if self.djehuty else None,
            "title": "Cells, counted",
            "doi": f"{article.doi}.v{number or len(article.versions)}",
            "url": f"{self.root}/v2/articles/{article.id}",
            "url_public_html": f"https://{self.host}/articles/dataset/Cells_counted/{article.id}",
            "defined_type": 3,
        }

    def _shown(self, file: _File, article: str) -> dict[str, Any]:
        download = f"https://ndownloader.figshare.com/files/{file.id}"
        if self.djehuty:
            download = f"{self.root}/file/{article}/{file.id}"
        return {
            "id": None if self.djehuty else int(file.id),
            "uuid": file.id if self.djehuty else None,
            "name": "../../etc/passwd" if self.hostile == "names" else file.name,
            "size": len(file.body) + (self.hostile == "sizes"),
            "is_link_only": bool(file.link),
            "download_url": file.link or download,
            "supplied_md5": "",
            "computed_md5": file.md5,
            "mimetype": "text/plain",
        }

    def _collection(self, id: str, articles: bool, query: dict[str, str]) -> Reply:
        if id not in self._collections:
            return reply(404, {"message": "Entity not found: collection", "code": "EntityNotFound"})
        if not articles:
            about = {"id": int(id), "title": "Cells of many", "doi": f"10.6084/m9.figshare.c.{id}.v2", "version": 2}
            return reply(200, {**about, "articles_count": len(self._collections[id])})
        size, number = int(query.get("page_size", "10")), int(query.get("page", "1"))
        held = self._collections[id][(number - 1) * size : number * size]
        return reply(200, [self._brief(self._articles[one]) for one in held])

    def _bytes(self, id: str, request: Request, path: str) -> Reply:
        file = self._files.get(id)
        if file is None or self.djehuty is path.startswith("/v2"):
            return reply(404, {"message": "File not found", "code": "FileNotFound"})
        if self.djehuty:
            return ranged(request, file.body, {"Content-Type": "application/octet-stream"}, self._cuts.pop(id, None))
        self._signed += 1
        return Reply(302, {"Location": f"{self.store.at(id)}?X-Amz-Signature=s{self._signed}&X-Amz-Expires=10"}, b"")

    def _made(self, name: str, folder: str, body: bytes, md5: str | None = None, link: str = "") -> _File:
        number = 28369770 + len(self._files)
        told = hashlib.md5(body, usedforsecurity=False).hexdigest() if md5 is None else md5
        file = _File(str(UUID(int=number)) if self.djehuty else str(number), name, folder, body, told, link)
        self._files[file.id] = file
        named = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        self.store.put(file.id, body, get_only=True, headers={"Content-Disposition": named})
        return file

    @staticmethod
    def _dois(article: _Article) -> set[str]:
        return {article.doi} | {f"{article.doi}.v{number + 1}" for number in range(len(article.versions))}
