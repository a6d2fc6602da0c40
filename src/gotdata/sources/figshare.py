"""Figshare, the figshares of institutions, and 4TU.ResearchData: an article in a version, or a collection of articles
(API: https://docs.figshare.com)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from gotdata.context import Context
from gotdata.credentials import parse
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
from gotdata.report import Event
from gotdata.sources.api import Hosted, below, naming, numbered, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.figshare_place import API, PAGES, Place, known, place
from gotdata.sources.http_answer import Facts, Refusal, login
from gotdata.sources.http_page import HTML

PAGE = 1000
"""Entries asked for at once; where nobody asks for a number there are 10."""
ARTICLES = 5000
"""Articles of one collection."""


class Figshare(Hosted):
    """Pins name an article and the number of a version. A collection can change under its number, so its pin names the
    version of each article."""

    name = "figshare"
    schemes = ("figshare",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("figshare:") or known(ref.url)

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (_pinned(pin).home,)

    def explain(self, refusal: Refusal) -> GotdataError | None:
        if refusal.status == 202 or refusal.headers.get("x-amzn-waf-action"):
            return SourceError(f"Figshare: {redact(refusal.url)} answered with a wall against programs, not with data")
        if refusal.status == 401 and not refusal.credential and "/v2/" in refusal.url:
            return AuthRequired(f"Figshare: {redact(refusal.url)} is not public: {login(refusal.url, self.name)}")
        return None

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        there = place(ref.url)
        if there is None:
            raise ResolveError(
                f"{redact(ref.url)} names nothing of Figshare: figshare:ID, or the page of an article, is due"
            )
        if there.private:
            raise ResolveError(
                "the address of a private link of Figshare is a secret, and it ends after a year: publish the article, "
                "or name it by its id and put a token into credentials.toml by `gotdata login figshare`"
            )
        with naming("Figshare"):
            try:
                if there.doi:
                    there = self._found(there, ctx)
                if there.collection:
                    return self._collection_pin(there, ref.option("version") or there.version, ctx)
                if there.article:
                    return self._article_pin(there, ref.option("version") or there.version, ctx)
                if ref.option("version"):
                    raise ResolveError(f"{redact(ref.url)} is a file by its id: it has no versions, its article has")
                self._facts(there, ctx)
            except NotFound as error:
                raise ResolveError(f"{error}; there is no such article or file, or it is not public") from error
        at = f"{there.api}/file/download/{there.file}"
        return Pin(self.name, Ref(f"figshare:{at}"), at, {"file": there.file})

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        there, file = _pinned(pin), pin.version.get("file", "")
        with naming("Figshare"):
            if "articles" in pin.version:
                for one in pin.version["articles"].split():
                    id, _, version = one.partition(".")
                    for found in self._files(there, id, version, ctx):
                        yield RemoteFile(
                            f"{id}/{found.path}", found.size, at=found.at, version=found.version, checks=found.checks
                        )
            elif "article" not in pin.version:
                facts = self._facts(there, ctx)
                yield RemoteFile(
                    facts.name or file, facts.size, at=pin.namespace, version=facts.version, checks=facts.checks
                )
            else:
                yield from self._files(there, pin.version["article"], pin.version["version"], ctx, file)

    def _ask(self, url: str, ctx: Context) -> Any:
        return ctx.http.json(url, explain=self.explain)

    def _thing(self, url: str, ctx: Context) -> Mapping[str, Any]:
        found = self._ask(url, ctx)
        if not _id(found):
            raise SourceError(f"{redact(url)} is not what Figshare's API answers")
        return table(found)

    def _found(self, there: Place, ctx: Context) -> Place:
        """The article of a DOI that does not hold its id."""
        found = rows(self._ask(f"{there.api}/articles?doi={quote(there.doi, safe='')}", ctx))
        id = _id(found[0]) if found else ""
        if not re.fullmatch(r"[\w-]+", id):
            raise ResolveError(f"{there.api} knows no article with the DOI {shown(there.doi)}")
        return Place(there.api, article=id, version=there.version)

    def _article(self, there: Place, id: str, version: str, ctx: Context) -> Mapping[str, Any]:
        url = f"{there.api}/articles/{id}"
        try:
            return self._thing(f"{url}/versions/{quote(version)}" if version else url, ctx)
        except NotFound:
            if not version:
                raise
            known = ", ".join(words(one, "version") for one in rows(self._ask(f"{url}/versions", ctx)))
            raise ResolveError(f"{redact(url)} has no version {shown(version)}; there are {shown(known)}") from None

    def _article_pin(self, there: Place, wanted: str, ctx: Context) -> Pin:
        article = self._article(there, there.article, wanted, ctx)
        version = words(article, "version") or wanted
        if not version.isascii() or not version.isdigit() or version == "0":
            raise ResolveError(f"{there.api}/articles/{there.article} is a draft: only what is published has versions")
        _check_access(there, article, ctx)
        pinned = {"article": there.article, "version": version} | ({"file": there.file} if there.file else {})
        if there.file:
            next(self._files(there, there.article, version, ctx, there.file))
        citation = _citation(article)
        page = f"{there.api}/articles/{there.article}"
        namespace = f"doi:{re.sub(r'[.]v[0-9]+$', '', citation.doi)}" if citation.doi else page
        return Pin(self.name, Ref(f"figshare:{page}/versions/{version}"), namespace, pinned, citation)

    def _collection_pin(self, there: Place, wanted: str, ctx: Context) -> Pin:
        page = f"{there.api}/collections/{there.collection}"
        collection = self._thing(page, ctx)
        version = words(collection, "version")
        if wanted not in ("", version):
            raise ResolveError(f"{page}: its API tells the articles of the newest version only, which is {version}")
        held: list[str] = []
        for one in self._paged(f"{page}/articles", ctx):
            id, doi = _id(one), re.search(r"\.v(\d+)$", words(one, "doi"))
            held.append(f"{id}.{doi[1] if doi else words(self._article(there, id, '', ctx), 'version')}")
            if not re.fullmatch(r"[\w-]+\.\d+", held[-1]) or len(held) > ARTICLES:
                raise SourceError(f"{page} lists more than {ARTICLES} articles, or one without id and version")
        if not held:
            raise ResolveError(f"{page} has no articles")
        citation = _citation(collection)
        namespace = f"doi:{re.sub(r'[.]v[0-9]+$', '', citation.doi)}" if citation.doi else page
        pinned = {"collection": there.collection, "version": version, "articles": " ".join(held)}
        return Pin(self.name, Ref(f"figshare:{page}/versions/{version}"), namespace, pinned, citation)

    def _paged(self, url: str, ctx: Context) -> Iterator[dict[str, Any]]:
        def ask(number: int, _: int) -> list[dict[str, Any]]:
            found = self._ask(f"{url}?page={number + 1}&page_size={PAGE}", ctx)
            if not isinstance(found, list):
                raise SourceError(f"{redact(url)} is no listing of Figshare")
            return rows(found)

        return numbered(ask, _id)

    def _files(self, there: Place, id: str, version: str, ctx: Context, wanted: str = "") -> Iterator[RemoteFile]:
        """The files of an article; of two with one name, the later has its id in its name. What an article itself says
        of its files are ten of them at most."""
        article = self._article(there, id, version, ctx)
        url, folders = f"{there.api}/articles/{id}/versions/{version}", table(article, "folder_structure")
        taken: set[int] = set()
        total = links = found = 0
        for one in self._paged(f"{url}/files", ctx):
            name, size = words(one, "name"), whole(one, "size")
            file = _id(one)
            total += size or 0
            if one.get("is_link_only") is True:
                links += 1
                continue
            if not name or size is None or not file:
                raise SourceError(f"{redact(url)}: {shown(name or '?')} is listed without a name, size or id")
            if wanted not in ("", file):
                continue
            path = posixpath.join(words(folders, file).strip("/"), name) if not wanted else name
            if hash(path) in taken:
                stem, dot, ending = path.rpartition(".") if "." in name.lstrip(".") else (path, "", "")
                path = f"{stem} ({file}){dot}{ending}"
            taken.add(hash(path))
            found += 1
            yield _file(there, one, file, path, size)
            if wanted:
                return
        if total < (whole(article, "size") or 0):
            raise SourceError(f"{redact(url)}: {total} bytes are listed of {article['size']}: the listing breaks off")
        if not found:
            what = f"no file {shown(wanted)}" if wanted else "no files, only a description or links"
            raise ResolveError(f"{redact(url)} has {what}")
        if links:
            text = f"{redact(url)}: {links} of its files are links to other places, and are left out"
            ctx.reporter(Event("warning", text=text))

    def _facts(self, there: Place, ctx: Context) -> Facts:
        """Of a file whose article nobody named: what its bytes tell."""
        at = f"{there.api}/file/download/{there.file}"
        facts = ctx.http.probe(at, explain=self.explain)
        if facts.kind in HTML and not facts.name.lower().endswith((".html", ".htm")):
            raise SourceError(f"{redact(at)} answered a web page where a file was due: a wall against programs")
        return facts


def recognise(url: str, ctx: Context) -> Ref | None:
    """The article that a landing page is of, if Figshare's API knows it as a page of that host, or if the host speaks
    the API itself."""
    if known(url):
        return Ref(url)
    there = place(f"figshare:{url}")
    parsed = parse(url)
    path = parsed.path or ""
    if there is None or not any(re.fullmatch(form, path.rstrip("/"), re.IGNORECASE) for form in PAGES):
        return None
    own = f"{parsed.scheme}://{parsed.netloc}/v2"
    kind, id = ("collections", there.collection) if there.collection else ("articles", there.article)
    root = API if id.isdigit() else own
    try:
        found = ctx.http.json(f"{root}/{kind}/{id}")
    except SourceUnavailable:
        raise
    except (SourceError, NotFound):
        return None
    if root == own:
        answers = isinstance(table(found).get("files"), list)
        suffix = f"/versions/{there.version}" if there.version else ""
        return Ref(f"figshare:{own}/articles/{id}{suffix}") if answers else None
    pages = (words(found, name) for name in ("url_public_html", "figshare_url"))
    hosts = {parse(page).host for page in pages if page}
    return Ref(f"figshare:{url}") if parsed.host in hosts else None


def _pinned(pin: Pin) -> Place:
    there = place(pin.ref.url)
    if there is None:
        raise SourceError(f"{redact(pin.ref.url)} is nothing of Figshare: the lock was edited")
    return there


def _check_access(there: Place, article: Mapping[str, Any], ctx: Context) -> None:
    page = words(article, "url_public_html") or f"{there.api}/articles/{there.article}"
    if article.get("is_metadata_record") is True:
        raise ResolveError(
            f"{redact(page)} has no files, only a description: {shown(words(article, 'metadata_reason'))}"
        )
    if article.get("download_disabled") is True:
        raise AccessDenied(f"{redact(page)}: its owners let nobody download its files; ask them")
    closed = article.get("is_embargoed") is True or article.get("is_confidential") is True
    if closed and ctx.credentials.find(f"{there.api}/articles/{there.article}") is None:
        until = words(article, "embargo_date")
        when = f"under embargo until {shown(until)}" if until else "not public"
        raise AuthRequired(
            f"the files of {redact(page)} are {when}. If you may read them: {login(there.home, 'figshare')}"
        )


def _file(there: Place, one: Mapping[str, Any], id: str, path: str, size: int) -> RemoteFile:
    """Read where the API sends it: the address in ``download_url`` of figshare.com is walled against programs at times.
    4TU's own is below its own host, and there is no other."""
    md5, told = words(one, "computed_md5").lower(), words(one, "download_url")
    checks = (Checksum("md5", md5),) if re.fullmatch(r"[0-9a-f]{32}", md5) else ()
    at = told if told and below(told, there.home) else f"{there.api}/file/download/{quote(id)}"
    return RemoteFile(path, size, at=at, version="" if checks else f"id:{id}", checks=checks)


def _id(of: object) -> str:
    """A number; a UUID where the software is djehuty."""
    return words(of, "id") or words(of, "uuid")


def _citation(of: Mapping[str, Any]) -> Citation:
    names = tuple(filter(None, (words(author, "full_name") for author in rows(of, "authors"))))
    return Citation(words(of, "title"), names, words(of, "doi").lower(), words(table(of, "license"), "name"))
