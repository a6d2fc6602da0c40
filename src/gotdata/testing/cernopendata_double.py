"""The CERN Open Data portal on loopback, as its own client asks it: records, and files in EOS by XRootD's HTTP."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.server import Reply, Request

EOS = "/eos/opendata/cms/Run2010B"
ERROR = b"<html><title>CERN Open Data Portal</title><body>Something went wrong.</body></html>"


@dataclass
class _Record:
    files: dict[str, bytes] = field(default_factory=dict)
    indexed: set[str] = field(default_factory=set)


class Portal(Double):
    """Records by number; paths of files are below ``EOS``.

    Attributes:
        digests: EOS answers ``Want-Digest``.
        broken: files are answered by a page about an error, with status 200.
        short: checksums are written without their leading zeros.
        twice: files of an index stand in the record's own list too.
        doi: of every record; or empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self.digests, self.broken, self.short, self.twice = True, False, False, False
        self.doi = "10.7483/OPENDATA.CMS.A342.9982"
        self._records: dict[str, _Record] = {}
        self._cuts: dict[str, int] = {}

    def create(self) -> str:
        number = str(5000 + len(self._records))
        self._records[number] = _Record()
        return number

    def put(self, number: str, path: str, body: bytes, indexed: bool = False) -> None:
        """A file of a record; ``indexed``: it stands in one of the record's indices of files."""
        record = self._records[number]
        record.files[path] = body
        if indexed:
            record.indexed.add(path)

    def remove(self, number: str, path: str) -> None:
        del self._records[number].files[path]

    def cut_file(self, path: str, after: int) -> None:
        self._cuts[path] = after

    def answer(self, request: Request, path: str) -> Reply | None:
        if match := re.fullmatch(r"/api/records/(\d+)", path):
            record = self._records.get(match[1])
            return (
                reply(404, {"status": 404, "message": "PID does not exist."}) if record is None else self._json(record)
            )
        if path.startswith(f"{EOS}/"):
            return self._eos(path.removeprefix(f"{EOS}/"), request)
        return None

    def _json(self, record: _Record) -> Reply:
        own = [
            self._entry(path, body) for path, body in record.files.items() if self.twice or path not in record.indexed
        ]
        rest = [self._entry(path, record.files[path]) for path in sorted(record.indexed & record.files.keys())]
        if self.hostile == "twins":
            own.append({**own[0], "size": own[0]["size"] + 1})
        metadata: dict[str, Any] = {
            "title": "Cells, collided",
            "collaboration": {"name": "CMS Collaboration"},
            "license": {"attribution": "CC0-1.0"},
            "files": own,
            "_file_indices": [{"key": "CMS_file_index.json", "files": rest}] if rest else [],
        }
        return reply(200, {"id": 1, "metadata": metadata | ({"doi": self.doi} if self.doi else {})})

    def _entry(self, path: str, body: bytes) -> dict[str, Any]:
        named = "../../etc/passwd" if self.hostile == "names" else path
        digest = f"{zlib.adler32(body):x}" if self.short else f"{zlib.adler32(body):08x}"
        return {
            "uri": f"root://eospublic.cern.ch/{EOS}/{named}",
            "size": len(body) + (self.hostile == "sizes"),
            "checksum": f"adler32:{digest}",
        }

    def _eos(self, path: str, request: Request) -> Reply | None:
        body = next((one.files[path] for one in self._records.values() if path in one.files), None)
        if body is None:
            return None
        if self.broken:
            return Reply(200, {"Content-Type": "text/html"}, ERROR)
        headers = {"Content-Type": "application/octet-stream"}
        if self.digests and "adler32" in request.headers.get("want-digest", ""):
            headers["Digest"] = f"adler32={zlib.adler32(body):08x}"
        return ranged(request, body, headers, self._cuts.pop(path, None))

    def page_of(self, number: str, file: str = "") -> str:
        return f"{self.root}/record/{number}" + (f"/files/{quote(file)}" if file else "")
