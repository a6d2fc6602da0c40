"""The Open Science Framework: projects, registrations, components and single files, in OSF's own storage or in the
storages that people connected (API: https://developer.osf.io)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from gotdata.context import Context
from gotdata.errors import GotdataError, NotFound, ResolveError, SourceError, SourceUnavailable
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources.api import Hosted, below, naming, pages, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.http_answer import Refusal, login, retry_after
from gotdata.sources.osf_place import Place, known, place

OWN_STORAGE = "osfstorage"
"""The only storage whose files have versions that OSF keeps."""
_ACCEPT = {"Accept": "application/vnd.api+json"}
_KINDS = ("nodes", "registrations", "preprints")
_EMBED = "?embed=bibliographic_contributors&embed=license&embed=identifiers"
_PAGE = "page%5Bsize%5D=100"
"""Guests have 100 questions an hour, and a page holds 10 entries where nobody asks for more."""
_HASHES = ("sha256", "md5")


class Osf(Hosted):
    """A project can change: its pin names it, and the listing names a version of every file. Of a file the pin names
    the version. The option ``components`` takes in the components below a project, each in a folder named by its id."""

    name = "osf"
    schemes = ("osf",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("osf:") or known(ref.url)

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return _pinned(pin).site.homes

    def explain(self, refusal: Refusal) -> GotdataError | None:
        if refusal.status == 429:
            wait = retry_after(429, refusal.headers)
            hint = f"; guests have 100 questions an hour, {login(refusal.url, self.name)} gives more"
            more = "" if refusal.credential else hint
            when = f"asks to wait {wait:.0f} s" if wait else "asks to wait"
            return SourceUnavailable(f"OSF: {redact(refusal.url)} {when}{more}", wait)
        if refusal.status == 410:
            return NotFound(f"OSF: {redact(refusal.url)} was deleted or withdrawn")
        return None

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        there = place(ref.url)
        if there is None:
            raise ResolveError(f"{redact(ref.url)} names nothing of OSF: osf:abcde or https://osf.io/abcde/ is due")
        with naming("OSF"):
            try:
                entity = self._entity(there, ctx)
            except NotFound as error:
                raise ResolveError(f"{error}; there is no such project or file, or it is private") from error
            if words(entity, "type") == "files":
                return self._file_pin(there, ref, entity, ctx)
            return self._node_pin(there, ref, entity, ctx)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        there = _pinned(pin)
        with naming("OSF"):
            if file := pin.version.get("file"):
                yield self._one(there, file, pin.version.get("version", ""), ctx)
                return
            if folder := pin.version.get("folder"):
                entity = self._ask(f"{there.site.api}/files/{quote(folder)}/", ctx)
                above = words(table(entity, "attributes"), "materialized_path")
                yield from self._walk(there, _related(entity, "files"), "", above, ctx)
                return
            first = f"{there.site.api}/{pin.version['kind']}/{pin.version['node']}/"
            for inside, node in self._nodes(there, first, pin.ref.flag("components"), ctx):
                yield from self._storages(there, node, inside, pin.version, ctx)

    def _ask(self, url: str, ctx: Context) -> Mapping[str, Any]:
        """The ``data`` of one thing."""
        return table(self._page(url, ctx), "data")

    def _page(self, url: str, ctx: Context) -> Any:
        return ctx.http.json(url, _ACCEPT, explain=self.explain)

    def _pages(self, there: Place, url: str, ctx: Context) -> Iterator[list[dict[str, Any]]]:
        def following(page: Any) -> tuple[int, str]:
            return len(rows(page, "data")), words(table(page, "links"), "next")

        first = f"{url}{'&' if '?' in url else '?'}{_PAGE}"
        for page in pages(first, lambda at: self._page(at, ctx), following, f"{there.site.api}/"):
            if not isinstance(table(page).get("data"), list):
                raise SourceError(f"{redact(url)} is no listing of OSF")
            yield rows(page, "data")

    def _entity(self, there: Place, ctx: Context) -> Mapping[str, Any]:
        if there.item:
            return self._ask(f"{there.site.api}/files/{there.item}/", ctx)
        found = self._ask(f"{there.site.api}/guids/{there.guid}/", ctx)
        kind, id = words(found, "type"), words(found, "id")
        if kind == "files":
            return found
        if kind not in _KINDS or not id.isascii() or not id.replace("_", "").isalnum():
            what = f"is of the kind {shown(kind)}" if kind else f"({there.site.api}) answered something else"
            raise ResolveError(f"{there.page} {what}, which has no files")
        return self._ask(f"{there.site.api}/{kind}/{id}/{_EMBED}", ctx)

    def _node_pin(self, there: Place, ref: Ref, node: Mapping[str, Any], ctx: Context) -> Pin:
        attributes, id, kind = table(node, "attributes"), words(node, "id"), words(node, "type")
        if ref.option("version"):
            raise ResolveError(f"{there.page} has no versions: name one of its registrations, or a file")
        if attributes.get("withdrawn") is True or words(attributes, "date_withdrawn"):
            raise ResolveError(f"{there.page} was withdrawn: its files are gone")
        if kind == "nodes":
            text = f"{there.page} is a project, which can change; registrations can't. Each file's version is locked"
            ctx.reporter(Event("warning", text=text))
        version = {"kind": kind, "node": id}
        version |= {key: found for key, found in (("storage", there.storage), ("path", there.path)) if found}
        page = f"{there.site.web}/{id}"
        options = tuple(option for option in ref.options if option[0] == "components")
        return Pin(self.name, Ref(f"osf:{page}", options), page, version, _citation(node))

    def _file_pin(self, there: Place, ref: Ref, entity: Mapping[str, Any], ctx: Context) -> Pin:
        id, attributes = words(entity, "id"), table(entity, "attributes")
        if not id.isascii() or not id.isalnum():
            raise ResolveError(f"{there.page} ({there.site.api}) answered something that is no file")
        if words(attributes, "kind") == "folder":
            version = {"folder": id}
        else:
            version, wanted = {"file": id}, ref.option("version")
            if words(attributes, "provider") == OWN_STORAGE:
                version["version"] = wanted or words(attributes, "current_version")
            elif wanted:
                raise ResolveError(
                    f"{there.page} lies in {words(attributes, 'provider')}, of which OSF keeps no versions"
                )
            self._one(there, id, version.get("version", ""), ctx, entity)
        page = f"{there.site.web}/download/{id}"
        return Pin(self.name, Ref(f"osf:{page}"), page, version, Citation(words(attributes, "name")))

    def _nodes(self, there: Place, url: str, components: bool, ctx: Context) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """A node and, where they are wanted, all components below it, each with the folder that it appears in."""
        root = self._ask(url, ctx)
        waiting, seen = deque([("", root)]), {words(root, "id")}
        while waiting:
            inside, node = waiting.popleft()
            yield inside, node
            if not components:
                return
            for page in self._pages(there, _related(node, "children"), ctx):
                for child in page:
                    id = words(child, "id")
                    if id in seen:
                        raise SourceError(f"{redact(url)}: the component {shown(id)} is its own: a loop on the server")
                    seen.add(id)
                    waiting.append((f"{inside}{id}/", child))

    def _storages(
        self, there: Place, node: Mapping[str, Any], inside: str, version: Mapping[str, str], ctx: Context
    ) -> Iterator[RemoteFile]:
        """OSF's own storage at the top, others in a folder that has their name."""
        wanted, path, found = version.get("storage", ""), version.get("path", ""), False
        for page in self._pages(there, _related(node, "files"), ctx):
            for storage in page:
                provider = words(table(storage, "attributes"), "provider")
                if wanted and provider != wanted:
                    continue
                top = inside if wanted or provider == OWN_STORAGE else f"{inside}{provider}/"
                for file in self._walk(there, _related(storage, "files"), top, f"/{path}/", ctx, path):
                    found = True
                    yield file
        if wanted and not found and path:
            raise ResolveError(f"{redact(there.page)} has no {shown(path)} in {shown(wanted)}")

    def _walk(self, there: Place, url: str, top: str, above: str, ctx: Context, path: str = "") -> Iterator[RemoteFile]:
        """The files of a folder and below it.

        Args:
            top: goes before their paths.
            above: is left away from them.
            path: of the one file or folder that is wanted.
        """
        waiting, seen = deque([(url, "")]), {hash(url)}
        while waiting:
            url, folder = waiting.popleft()
            empty = True
            for entry in (entry for page in self._pages(there, url, ctx) for entry in page):
                empty = False
                attributes = table(entry, "attributes")
                lies = words(attributes, "materialized_path")
                if path and not _towards(path, lies):
                    continue
                name = top + lies.removeprefix(above).lstrip("/")
                if words(attributes, "kind") != "folder":
                    yield self._file(there, entry, lies.rpartition("/")[2] if path == lies.strip("/") else name, ctx)
                    continue
                below_it = _related(entry, "files")
                if hash(below_it) in seen:
                    raise SourceError(f"{redact(url)}: the folder {shown(name)} leads back to itself: a loop")
                seen.add(hash(below_it))
                waiting.append((below_it, name.rstrip("/")))
            if empty and folder:
                yield RemoteFile(folder, 0, Kind.DIR)

    def _one(
        self, there: Place, id: str, version: str, ctx: Context, entity: Mapping[str, Any] | None = None
    ) -> RemoteFile:
        """One file, in a version that may not be its newest."""
        entity = entity or self._ask(f"{there.site.api}/files/{quote(id)}/", ctx)
        attributes = dict(table(entity, "attributes"))
        if version and version != words(attributes, "current_version"):
            attributes |= self._older(there, entity, version, ctx)
        return self._file(there, {**entity, "attributes": attributes}, words(attributes, "name"), ctx)

    def _older(self, there: Place, entity: Mapping[str, Any], version: str, ctx: Context) -> dict[str, Any]:
        """What differs of an older version. The API knows its size, only the storage its checksums."""
        listing = self._pages(there, f"{there.site.api}/files/{words(entity, 'id')}/versions/", ctx)
        known = {words(one, "id"): table(one, "attributes") for page in listing for one in page}
        if version not in known:
            told = ", ".join(known)
            raise ResolveError(f"{there.page} has no version {shown(version)}; there are {shown(told)}")
        hashes = self._history(there, entity, ctx).get(version)
        return {"current_version": version, "size": known[version].get("size"), "extra": {"hashes": hashes}}

    def _history(self, there: Place, entity: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
        """The checksums of each version; none where the storage doesn't tell them."""
        at = words(table(entity, "links"), "upload").partition("?")[0]
        if not any(below(at, home) for home in there.site.files):
            return {}
        try:
            told = rows(self._page(f"{at}?revisions=", ctx), "data")
        except SourceUnavailable:
            raise
        except (SourceError, NotFound):
            return {}
        was = [table(one, "attributes") for one in told]
        return {words(one, "version"): table(table(one, "extra"), "hashes") for one in was}

    def _file(self, there: Place, entry: Mapping[str, Any], path: str, ctx: Context) -> RemoteFile:
        attributes = table(entry, "attributes")
        own = words(attributes, "provider") == OWN_STORAGE
        at = _address(there, entry, words(attributes, "current_version") if own else "")
        size = whole(attributes, "size")
        if size is None and at:
            size = ctx.http.probe(at, explain=self.explain).size
        if not path or size is None or not at:
            raise SourceError(f"{redact(there.page)}: {shown(path or '?')} is listed without a name, size or address")
        hashes = table(table(attributes, "extra"), "hashes")
        checks = tuple(Checksum(name, words(hashes, name).lower()) for name in _HASHES if words(hashes, name))
        version = f"revision:{words(attributes, 'current_version')}" if own else ""
        return RemoteFile(path, size, at=at, version=version, checks=checks)


def recognise(url: str, ctx: Context) -> Ref | None:
    """What a page of OSF stands for. There is one OSF: it is known by its name."""
    return Ref(url) if known(url) else None


def _pinned(pin: Pin) -> Place:
    there = place(pin.ref.url)
    if there is None:
        raise SourceError(f"{redact(pin.ref.url)} is nothing of OSF: the lock was edited")
    return there


def _related(of: Mapping[str, Any], name: str) -> str:
    href = words(table(table(table(table(of, "relationships"), name), "links"), "related"), "href")
    if not href:
        raise SourceError(f"{shown(words(of, 'id') or 'an answer')} has no {name}: not what OSF's API answers")
    return href


def _towards(path: str, lies: str) -> bool:
    """Whether what lies there is the wanted path, lies below it, or is a folder on the way to it."""
    there = lies.strip("/")
    return f"{there}/".startswith(f"{path}/") or (lies.endswith("/") and f"{path}/".startswith(f"{there}/"))


def _address(there: Place, entry: Mapping[str, Any], version: str) -> str:
    """Where the storage itself sends it: the address under ``download`` leads there too, by way of a host for which
    nobody holds a token. Files lie in regions, so the host is as the API names it."""
    links = table(entry, "links")
    found = (words(links, name).partition("?")[0] for name in ("upload", "download"))
    at = next((url for url in found if url and any(below(url, home) for home in there.site.homes)), "")
    return f"{at}?revision={quote(version)}" if at and version else at


def _citation(node: Mapping[str, Any]) -> Citation:
    embeds = table(node, "embeds")
    people = rows(table(embeds, "bibliographic_contributors"), "data")
    users = (table(table(table(table(one, "embeds"), "users"), "data"), "attributes") for one in people)
    identifiers = (table(one, "attributes") for one in rows(table(embeds, "identifiers"), "data"))
    doi = next((words(one, "value") for one in identifiers if words(one, "category") == "doi"), "")
    licence = words(table(table(table(embeds, "license"), "data"), "attributes"), "name")
    title = words(table(node, "attributes"), "title")
    return Citation(title, tuple(filter(None, (words(user, "full_name") for user in users))), doi.lower(), licence)
