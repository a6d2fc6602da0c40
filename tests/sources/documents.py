"""What the tests of sources that read documents share: a portal as a place, and one that lies."""

from __future__ import annotations

from gotdata.model import Pin, Ref, RemoteFile
from gotdata.sources.described import Described
from gotdata.testing.landing_double import Format, Portal
from gotdata.testing.source_contract import BODY, context


class Published:
    """The files that a portal's document names."""

    def __init__(self, portal: Portal, source: str) -> None:
        self.portal = portal
        # The document is a file of its data in some formats: the contract counts what it has put.
        self.ref = Ref(f"{source}:{portal.url}", (("descriptor", "false"),))
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.portal.put(path, body)

    def remove(self, path: str) -> None:
        self.portal.remove(path)

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        raise NotImplementedError

    def fill(self, count: int) -> None:
        folder = "many-" if self.portal.format in ("signposting", "linkset", "schemaorg") else "many/"
        for number in range(count):
            self.portal.put(f"{folder}{number}", b"1")

    def deny(self) -> None:
        self.portal.denied = True

    def limit(self, times: int) -> None:
        self.portal.limit = times

    def cut(self, path: str, after: int) -> None:
        self.portal.server.change(f"d/{path}", cut=after, cuts=1)


class Lying:
    """A document with one file, that lies when it is told to."""

    def __init__(self, portal: Portal, source: str) -> None:
        self.portal = portal
        portal.put("f", BODY)
        self.ref = Ref(f"{source}:{portal.url}")
        self.ctx = context()

    def lie(self, what: str) -> None:
        if what in ("names", "twins"):
            path = "../../etc/passwd" if what == "names" else "f"
            self.portal.entries.append(self.entry(path))
        else:
            self.portal.wall = what

    def entry(self, path: str) -> object:
        portal = self.portal
        at = portal.server.put("f", BODY)
        match portal.format:
            case "croissant":
                return {"@type": "cr:FileObject", "@id": path, "name": path, "contentUrl": path}
            case "datapackage":
                return {"name": "other", "path": path if path != "f" else at}
            case "rocrate":
                return {"@id": "x", "@type": "File", "localPath": path, "contentUrl": at}
            case "signposting":
                return f'<{at}>; rel="item"'
            case "linkset":
                return {"href": at}
        return {"@type": "DataDownload", "contentUrl": at}

    def asked(self) -> int:
        return len(self.portal.server.requests)


def resolved(source: Described, portal: Portal, **options: str) -> Pin:
    return source.resolve(Ref(f"{source.name}:{portal.url}", tuple(sorted(options.items()))), context())


def listed(source: Described, pin: Pin) -> dict[str, RemoteFile]:
    return {file.path: file for file in source.files(pin, context())}


__all__ = ["Format", "Lying", "Published", "listed", "resolved"]
