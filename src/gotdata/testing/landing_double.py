"""A web server on loopback with a folder of files, and one document that says which there are: in any of the formats
that people publish."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal
from urllib.parse import quote

from gotdata.testing.double import Double, reply
from gotdata.testing.server import Reply, Request

Format = Literal["croissant", "datapackage", "rocrate", "signposting", "linkset", "schemaorg"]
_NAMES = {
    "croissant": "croissant.json",
    "datapackage": "datapackage.json",
    "rocrate": "ro-crate-metadata.json",
    "signposting": "page",
    "linkset": "page",
    "schemaorg": "page",
}
_LD = "application/ld+json"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
}


class Portal(Double):
    """Attributes:
    format: what the document at ``url`` is.
    entries: put into the document besides its files, as the format has them.
    digests: the document says sha256 of each file, where the format has words for it.
    wrong: added to every size that the document tells.
    """

    def __init__(self, format: Format) -> None:
        super().__init__()
        self.format = format
        self.files: dict[str, bytes] = {}
        self.entries: list[Any] = []
        self.digests = True
        self.wrong = 0

    @property
    def path(self) -> str:
        return f"/d/{_NAMES[self.format]}"

    @property
    def url(self) -> str:
        return self.root + self.path

    def put(self, path: str, body: bytes, **faults: Any) -> str:
        self.files[path] = body
        return self.server.put(f"d/{path}", body, **faults)

    def remove(self, path: str) -> None:
        """The file, which the document goes on to name."""
        self.server.remove(f"d/{path}")

    def answer(self, request: Request, path: str) -> Reply | None:
        if path == "/d/linkset" and self.format == "linkset":
            return reply(200, {"linkset": [self._context()]}, {"Content-Type": "application/linkset+json"})
        if path != self.path:
            return None
        if self.format in ("signposting", "linkset", "schemaorg"):
            return Reply(200, {"Content-Type": "text/html; charset=utf-8", **self._links()}, self._page())
        return reply(200, self.document())

    def document(self) -> dict[str, Any]:
        """What is published, as a value of JSON."""
        made: dict[str, Any] = getattr(self, f"_{self.format}")()
        return made

    def _croissant(self) -> dict[str, Any]:
        files = [
            {
                "@type": "cr:FileObject",
                "@id": path,
                "name": path.rpartition("/")[2],
                "contentUrl": quote(path),
                "contentSize": f"{len(body) + self.wrong} B",
                "encodingFormat": "application/octet-stream",
            }
            | ({"sha256": _sha256(body)} if self.digests else {})
            for path, body in self.files.items()
        ]
        return {
            "@context": _CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": "http://mlcommons.org/croissant/1.1",
            "name": "Cells",
            "description": "Cells, counted",
            "url": "https://doi.org/10.5072/FK2/CELLS",
            "license": "https://creativecommons.org/licenses/by/4.0/",
            "creator": [{"@type": "Person", "name": "Noether, Emmy"}],
            "distribution": files + self.entries,
        }

    def _datapackage(self) -> dict[str, Any]:
        files: list[Any] = [
            {"name": f"file-{number}", "path": path, "bytes": len(body) + self.wrong, "mediatype": "text/plain"}
            | ({"hash": f"sha256:{_sha256(body)}"} if self.digests else {})
            for number, (path, body) in enumerate(self.files.items())
        ]
        return {
            "name": "cells",
            "title": "Cells",
            "id": "https://doi.org/10.5072/cells",
            "licenses": [{"name": "CC-BY-4.0"}],
            "contributors": [{"title": "Noether, Emmy"}],
            "resources": files + self.entries,
        }

    def _rocrate(self) -> dict[str, Any]:
        files = [
            {"@id": quote(path), "@type": "File", "contentSize": str(len(body) + self.wrong)}
            | ({"sha256": _sha256(body)} if self.digests else {})
            for path, body in self.files.items()
        ]
        root = {
            "@id": "./",
            "@type": "Dataset",
            "name": "Cells",
            "author": [{"@id": "https://orcid.org/0000-0000-0000-0001"}],
            "license": {"@id": "https://creativecommons.org/licenses/by/4.0/"},
            "identifier": "https://doi.org/10.5072/cells",
            "hasPart": [{"@id": one["@id"]} for one in files],
        }
        about = {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        }
        author = {"@id": "https://orcid.org/0000-0000-0000-0001", "@type": "Person", "name": "Noether, Emmy"}
        graph = [about, root, author, *files, *self.entries]
        return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}

    def _schemaorg(self) -> dict[str, Any]:
        files = [
            {
                "@type": "DataDownload",
                "contentUrl": self._at(path),
                "contentSize": f"{(len(body) + self.wrong) / 1e6} MB",
            }
            | ({"sha256": _sha256(body)} if self.digests else {})
            for path, body in self.files.items()
        ]
        return {
            "@context": "https://schema.org/",
            "@type": "Dataset",
            "name": "Cells",
            "identifier": {"@type": "PropertyValue", "value": "https://doi.org/10.5072/cells"},
            "distribution": files + self.entries,
        }

    def _page(self) -> bytes:
        text = '<html><script>let it = "be";</script>'
        if self.format == "schemaorg":
            broken = '<script type="application/ld+json">{broken</script>'
            crumbs = '<script type="application/ld+json">{"@type": "BreadcrumbList"}</script>'
            text += f"{broken}{crumbs}<SCRIPT TYPE='{_LD}' id=x>{json.dumps(self.document())}</script>"
        return f"{text}<title>Cells</title><p>seen {len(self.server.requests)} times</p></html>".encode()

    def _links(self) -> dict[str, str]:
        cited = '<https://doi.org/10.5072/cells>; rel="cite-as", <https://example.org/a,b;c>; rel=author'
        if self.format == "signposting":
            items = [f'<{self._at(path)}>; rel="item"; type="application/octet-stream"' for path in self.files]
            return {"Link": ", ".join([cited, *items, *self.entries])}
        if self.format == "linkset":
            first = [f'<{self._at(path)}>; rel="item"' for path in list(self.files)[:5]]
            sets = '</d/linkset>; rel="linkset"; type="application/linkset+json"'
            return {"Link": ", ".join([cited, sets, *first])}
        return {}

    def _context(self) -> dict[str, Any]:
        items = [{"href": self._at(path), "type": "application/octet-stream"} for path in self.files]
        return {
            "anchor": self.url,
            "cite-as": [{"href": "https://doi.org/10.5072/cells"}],
            "item": items + self.entries,
        }

    def _at(self, path: str) -> str:
        return self.server.at(f"d/{path}")


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
