"""What Dataverse's listing of a version says of its files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from gotdata.errors import SourceError
from gotdata.model import Checksum, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources.api import rows, table, whole, words
from gotdata.sources.dataverse_place import Place

PAGE = 2000
"""Files in one page of a listing. Pages are cut from an order by names, in which those of several folders may tie: most
datasets must come in one."""
_ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}
_EXTENSIONS = {
    "application/x-rlang-transport": ".RData",
    "application/x-spss-por": ".por",
    "application/x-spss-sav": ".sav",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "text/comma-separated-values": ".csv",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/tsv": ".tsv",
}
"""Of originals whose name an old dataset does not tell."""


def entries(dataset: Place, number: str, ask: Callable[[str], Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    first, offset = "", 0
    while True:
        url = dataset.api("datasets", f"/versions/{number}/files", f"limit={PAGE}&offset={offset}")
        answer = ask(url)
        page, total = rows(answer, "data"), whole(answer, "totalCount")
        begins = words(table(page[0], "dataFile"), "id") if page else ""
        if offset and begins and begins == first:
            if total is None:  # before 5.14 an installation knows no pages: this is the whole again
                return
            raise SourceError(f"{redact(url)}: its listing begins again: a loop on the server")
        yield from page
        first, offset = first or begins, offset + len(page)
        if (total is None and len(page) != PAGE) or offset == total:
            return
        if not page:
            raise SourceError(f"{redact(url)}: its listing ended after {offset} files, and has {total}")


def described(entry: Mapping[str, Any], dataset: Place) -> RemoteFile:
    data = table(entry, "dataFile")
    id, label, folder = words(data, "id"), words(entry, "label"), words(entry, "directoryLabel")
    if not id.isdigit() or not label:
        raise SourceError(f"{redact(dataset.page)}: a file is listed without an id or a name: {shown(label or id)}")
    tabular = data.get("tabularData") is True or bool(words(data, "originalFileFormat"))
    name = _original(label, data) if tabular else label
    return RemoteFile(
        f"{folder}/{name}" if folder else name,
        whole(data, "originalFileSize" if tabular else "filesize"),
        # Of a file that is not tabular, the format is ignored. Without gbrecs a download is counted and recorded.
        at=f"{dataset.root}/api/access/datafile/{id}?format=original&gbrecs=true",
        version=f"id:{id}",
        checks=_checks(data),
    )


def _original(label: str, data: Mapping[str, Any]) -> str:
    """The name of a tabular file as it was uploaded, which is what its checksum is of: ``x.tab`` is what was made of
    ``x.xlsx``. The part before the extension is the label's, by which files of one folder are told apart."""
    uploaded, stem = words(data, "originalFileName"), re.sub(r"\.tab$", "", label)
    if uploaded and stem == label:
        return uploaded
    format = words(data, "originalFileFormat").partition(";")[0].strip().lower()
    known = ".dta" if "stata" in format else _EXTENSIONS.get(format, ".original")
    dot = re.search(r"\.[^.]+$", uploaded)
    return stem + (dot[0] if dot else known if not uploaded else "")


def _checks(data: Mapping[str, Any]) -> tuple[Checksum, ...]:
    said = table(data, "checksum")
    algorithm = _ALGORITHMS.get(words(said, "type").upper(), "")
    digest = (words(said, "value") if algorithm else words(data, "md5")).lower()
    return (Checksum(algorithm or "md5", digest),) if re.fullmatch(r"[0-9a-f]{32,128}", digest) else ()


def closed(entry: Mapping[str, Any]) -> bool:
    """Whether it is restricted, under embargo, or past its retention."""
    data = table(entry, "dataFile")
    today = date.today().isoformat()
    until, since = words(table(data, "embargo"), "dateAvailable"), words(table(data, "retention"), "dateUnavailable")
    return entry.get("restricted") is True or until > today or "" < since <= today
