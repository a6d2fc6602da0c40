"""What DVC tracks (https://dvc.org/doc/user-guide/project-structure/dvc-files): a ``.dvc`` file or ``dvc.lock`` names
outputs by their md5, under which a remote keeps them."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit

from gotdata.context import Context
from gotdata.errors import NotFound, SourceError
from gotdata.manifest import text as yaml
from gotdata.model import Checksum, Ref
from gotdata.paths import redact, shown
from gotdata.sources.api import rows, table, whole, words
from gotdata.sources.described import Described, Document, link, option
from gotdata.sources.elsewhere import Link
from gotdata.sources.http_page import HTML, Page

_MD5 = re.compile(r"[0-9a-f]{32}")
_UPWARDS = 8
"""Folders above a .dvc file in which its repository's .dvc/config is looked for."""


class Dvc(Described):
    """The option ``remote`` is the URL of the remote; without it the repository's own settings (.dvc/config) are read,
    above the file. What was imported from a URL comes from there where no remote is known."""

    name = "dvc"
    schemes = ("dvc",)
    accept = "text/plain"

    def known(self, url: str) -> bool:
        return urlsplit(url).path.endswith((".dvc", "/dvc.lock"))

    def found(self, ref: Ref, page: Page, base: str, ctx: Context) -> Document:
        if page.kind in HTML:
            raise SourceError(f"{redact(page.url)} is a web page, no file of DVC: name the raw file")
        document = _yaml(page)
        stages = [document, *map(table, table(document, "stages").values())]
        outs = [(stage, out) for stage in stages for out in rows(stage, "outs")]
        if not outs:
            raise SourceError(f"{redact(page.url)} names no outputs (`outs`): it is no file of DVC")
        remote = option(ref, "remote") or _remote(base, ctx)
        alone = len(outs) == 1
        return Document([link for stage, out in outs for link in _links(stage, out, remote, base, alone)])

    def lists(self, link: Link) -> bool:
        return link.url.endswith(".dir") and not link.checks

    def unfold(self, link: Link, home: str, ctx: Context) -> Iterator[Link]:
        if not self.lists(link):
            yield link
            return
        top = "/".join([*link.url.split("/")[:-2], ""])
        for one in rows(ctx.http.json(link.url, home=home)):
            md5, path = words(one, "md5"), words(one, "relpath")
            if not _MD5.fullmatch(md5):
                raise SourceError(f"{redact(home)}: the list of '{shown(link.path)}' names a file without an md5")
            place = f"{link.path}/{path}" if link.path else path
            yield Link(_kept(top, md5), place, None, (Checksum("md5", md5),))


def _links(stage: Mapping[str, Any], out: Mapping[str, Any], remote: str, base: str, alone: bool) -> Iterator[Link]:
    """The files of an output. A folder that is the only one is the dataset itself."""
    path, md5 = words(out, "path"), words(out, "md5")
    digest = md5.removesuffix(".dir")
    if not path or not _MD5.fullmatch(digest):
        raise SourceError(f"{redact(base)}: the output '{shown(path)}' has no md5: DVC keeps it elsewhere, or not yet")
    imported = [words(dep, "path") for dep in rows(stage, "deps") if not dep.get("repo")]
    if not remote:
        if len(imported) != 1 or md5 != digest or "://" not in imported[0]:
            raise SourceError(
                f"{redact(base)}: no remote is known for '{shown(path)}': give its URL, as the option `remote`"
            )
        yield link(imported[0], base, path, whole(out, "size"), (Checksum("md5", digest),))
        return
    # Since DVC 3 an output says by which hash it is kept; before, it lay at the remote's top.
    top = f"{remote.rstrip('/')}/{'files/md5/' if 'hash' in out else ''}"
    if md5 == digest:
        yield link(_kept(top, digest), base, path, whole(out, "size"), (Checksum("md5", digest),))
        return
    yield replace(link(f"{_kept(top, digest)}.dir", base), path="" if alone else path)


def _kept(top: str, md5: str) -> str:
    return f"{top}{md5[:2]}/{md5[2:]}"


def _remote(base: str, ctx: Context) -> str:
    """What the repository of a .dvc file calls its default remote; empty where that can't be found."""
    folder = base
    for _ in range(_UPWARDS):
        folder = urljoin(folder, ".")
        try:
            page = ctx.http.text(urljoin(folder, ".dvc/config"), home=base)
        except (NotFound, SourceError):
            page = None
        if page and page.kind not in HTML:
            return _default(page.text)
        above = urljoin(folder, "..")
        if above == folder:
            break
        folder = above
    return ""


def _default(config: str) -> str:
    """As git writes settings: a section for each remote, ``['remote "name"']``."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string("\n".join(line.strip() for line in config.splitlines()))
    except configparser.Error:
        return ""
    name = parser.get("core", "remote", fallback="")
    for section in (f"'remote \"{name}\"'", f'remote "{name}"'):
        if parser.has_option(section, "url"):
            return parser.get(section, "url")
    return ""


def _yaml(page: Page) -> Mapping[str, Any]:
    try:
        return table(yaml.plain(yaml.parse(page.text)))
    except yaml.Problem as problem:
        raise SourceError(f"{redact(page.url)}:{problem.line}: no file of DVC: {problem.message}") from None
