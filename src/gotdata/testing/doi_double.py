"""doi.org on loopback: the handle API (https://www.doi.org/doi-handbook), who registered a DOI, and what its agency
answers to who asks for something else than a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gotdata.testing.double import Double, reply
from gotdata.testing.server import Reply, Request


class Registry(Double):
    """Attributes:
    values: of each handle, as the API has them; it does not sort them.
    agencies: who registered a DOI.
    records: by DOI and media type, what the agency answers; else it redirects to the DOI's first URL.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, list[dict[str, Any]]] = {}
        self.agencies: dict[str, str] = {}
        self.records: dict[str, dict[str, Any]] = {}

    def register(self, doi: str, *urls: str, agency: str = "DataCite", records: Mapping[str, Any] | None = None) -> str:
        """A DOI of several places, the first of which has index 1."""
        self.values[doi] = [value(number, "URL", url) for number, url in enumerate(urls, 1)]
        self.agencies[doi] = agency
        self.records[doi] = dict(records or {})
        return doi

    def answer(self, request: Request, path: str) -> Reply | None:
        if path.startswith("/api/handles/"):
            return self._handle(path.removeprefix("/api/handles/").lower(), "type=URL" in request.path)
        if path.startswith("/doiRA/"):
            doi = path.removeprefix("/doiRA/").lower()
            known = self.agencies.get(doi)
            return reply(200, [{"DOI": doi, "RA": known} if known else {"DOI": doi, "status": "DOI does not exist"}])
        return self._negotiated(path.removeprefix("/").lower(), request.headers.get("accept", ""))

    def _handle(self, doi: str, urls_only: bool) -> Reply:
        if doi not in self.values:
            return reply(404, {"responseCode": 100, "handle": doi})
        found = [one for one in self.values[doi] if one["type"] == "URL" or not urls_only]
        if not found:
            return reply(200, {"responseCode": 200, "handle": doi, "values": []})
        return reply(200, {"responseCode": 1, "handle": doi, "values": found[::-1]})

    def _negotiated(self, doi: str, accept: str) -> Reply | None:
        if doi not in self.values:
            return None
        for kind in (one.partition(";")[0].strip() for one in accept.split(",")):
            if kind in self.records[doi]:
                return reply(200, self.records[doi][kind], {"Content-Type": kind})
        urls = [one["data"]["value"] for one in self.values[doi] if one["type"] == "URL"]
        return Reply(302, {"Location": urls[0]}, b"") if urls else None


def value(index: int, kind: str, text: str) -> dict[str, Any]:
    return {"index": index, "type": kind, "data": {"format": "string", "value": text}, "ttl": 86400}
