"""Registries of Pooch (https://www.fatiando.org/pooch/latest/registry-files.html): a line for each file, with its name,
its hash, and maybe a URL of its own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from gotdata.context import Context
from gotdata.errors import SourceError
from gotdata.model import Checksum, Ref
from gotdata.paths import redact, shown
from gotdata.sources import elsewhere
from gotdata.sources.described import Described, Document, Whole, below, link, option
from gotdata.sources.elsewhere import Link
from gotdata.sources.http_page import HTML, Page

LINE_LIMIT = 8192
"""Characters in a line: to split one takes time that is quadratic in its length."""
_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}


class Pooch(Described):
    """The option ``base`` is what Pooch calls ``base_url``: the URL of a folder, or the DOI of a repository, whose own
    checksums count then; without it the files lie beside the registry. A hash without a prefix is sha256."""

    name = "pooch"
    schemes = ("pooch",)
    accept = "text/plain"

    def found(self, ref: Ref, page: Page, base: str, ctx: Context) -> Document:
        if page.kind in HTML:
            raise SourceError(f"{redact(page.url)} is a web page, no registry of Pooch: name the raw file")
        root = option(ref, "base", base)
        whole = root.startswith("doi:")
        links, names = [], []
        for name, hash, *own in _lines(page):
            if whole and not own:
                names.append(name)
            else:
                links.append(_link(name, hash, own, root if root.endswith("/") or root == base else f"{root}/"))
        wholes = (Whole(elsewhere.repository(root.rstrip("/"), ctx), tuple(names)),) if names else ()
        return Document(links, wholes=wholes)


def _lines(page: Page) -> Iterator[list[str]]:
    """As Pooch splits them: names may be quoted."""
    for number, line in enumerate(page.text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            fields = shlex.split(line) if len(line) <= LINE_LIMIT else []
        except ValueError:
            fields = []
        if len(fields) not in (2, 3):
            where = f"{redact(page.url)}:{number}"
            raise SourceError(f"{where}: '{shown(line[:80])}' is no line of a registry of Pooch: a name, a hash, a URL")
        yield fields


def _link(name: str, hash: str, own: list[str], base: str) -> Link:
    algorithm, _, hex = hash.lower().rpartition(":")
    algorithm = algorithm or "sha256"
    if len(hex) != _DIGITS.get(algorithm, len(hex)) or not all(digit in "0123456789abcdef" for digit in hex):
        raise SourceError(f"{redact(base)}: '{shown(name)}' has the hash '{shown(hash)}', which is none")
    return link(own[0] if own else below(base, name), base, name, None, (Checksum(algorithm, hex),))
