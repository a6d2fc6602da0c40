"""What other tools' files say about data, as references: repo2data's ``data_requirement.json``, Intake's catalogues,
and the documents that a source of ours reads where they are published."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from gotdata.errors import GotdataError, ManifestError
from gotdata.manifest import reference, tidy
from gotdata.manifest import text as yaml
from gotdata.paths import redact, shown, target_path

_CODE = re.compile(r"\bimport\s|\bfrom\s+\S+\s+import\b|[;(]")
"""repo2data runs such a ``src`` as Python; nobody does here."""
_GLOB = re.compile(r"[*?\[]")
_TEMPLATE = re.compile(r"\{[{a-zA-Z_]")
_LINE_LIMIT = 8192
_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
"""What repo2data unpacks."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry for gotdata.yml, or why there is none.

    Attributes:
        name: as the other tool has it; may be no name of ours.
        ref: as pasted. Empty where ``why`` says what is wrong with it.
        to: where it appears, or empty for the default.
        files: patterns.
    """

    name: str
    ref: str = ""
    to: str = ""
    files: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    why: str = ""


def read(text: str, where: str, base: str = "") -> list[Found]:
    """The data that a file of another tool names.

    Args:
        text: of that file.
        where: its path or URL.
        base: the URL that relative names in it begin at; empty for a file of this machine.

    Raises:
        ManifestError: it is of no kind that is known.
    """
    found = _found(text, where, base)
    return [_abroad(one) for one in found] if base else found


def _abroad(found: Found) -> Found:
    """An entry of a remote file never names files of this machine."""
    if not found.ref.startswith("file:"):
        return found
    return Found(found.name, why=f"'{shown(found.ref)}' would be a file of this machine: write it down by hand")


def _found(text: str, where: str, base: str) -> list[Found]:
    document = _parsed(text)
    name = posixpath.basename(urlsplit(where).path)
    if kind := _document(name, document, text):
        return [_published(kind, where, base)]
    if isinstance(document, dict) and _is_intake(document):
        return list(_intake(document, base))
    if isinstance(document, dict) and (wanted := _repo2data(document)):
        return wanted
    raise ManifestError(
        f"{redact(where)} is no file that can be imported: Croissant, Data Package, RO-Crate, a registry of Pooch, a "
        "file of DVC, an Intake catalogue, or repo2data's data_requirement.json"
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.plain(yaml.parse(text))
    except yaml.Problem:
        return None


def _document(name: str, document: Any, text: str) -> str:
    """Which source of ours reads it where it is published; empty for none."""
    if isinstance(document, dict):
        if "@graph" in document or name.endswith("ro-crate-metadata.json"):
            return "rocrate"
        if "@context" in document and ("distribution" in document or "recordSet" in document):
            return "croissant"
        if isinstance(document.get("resources"), list):
            return "datapackage"
        if "outs" in document or (name == "dvc.lock" and "stages" in document):
            return "dvc"
        return ""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if any(len(line) > _LINE_LIMIT for line in lines):
        return ""
    pattern = re.compile(r"""("[^"]+"|'[^']+'|\S+)\s+([a-z0-9]+:)?[0-9a-fA-F]{32,128}(\s+\S+)?\s*""")
    return "pooch" if lines and all(map(pattern.fullmatch, lines)) else ""


def _published(kind: str, where: str, base: str) -> Found:
    stem = posixpath.splitext(posixpath.basename(urlsplit(where).path))[0]
    name = posixpath.basename(posixpath.dirname(urlsplit(where).path)) if stem in _PLAIN_NAMES else stem
    if base:
        return Found(name or kind, f"{kind}:{base}")
    return Found(
        name or kind, why=f"it is read where it is published: `gotdata import URL`, or `from: {kind}:https://…` by hand"
    )


_PLAIN_NAMES = ("croissant", "datapackage", "ro-crate-metadata", "registry", "dvc", "metadata")


def _repo2data(document: Mapping[str, Any]) -> list[Found]:
    """https://github.com/SIMEXP/Repo2Data: one requirement, or several by name."""
    if "src" in document:
        return [_requirement(str(document.get("projectName") or "data"), document)]
    several = {name: one for name, one in document.items() if isinstance(one, dict) and "src" in one}
    return [_requirement(str(one.get("projectName") or name), one) for name, one in several.items()]


def _requirement(name: str, wanted: Mapping[str, Any]) -> Found:
    source = str(wanted["src"]).strip()
    code = _CODE.search(source)
    if code and not re.match(r"(https?|s3|doi):", source):
        return Found(name, why="its `src` is Python, which is never run: name where the data is")
    if re.match(r"(?i)git(\+\w+)?:", source) or source.endswith(".git"):
        return Found(
            name, why=f"{redact(source)} is a DataLad or git repository, which can't be read yet: name its files"
        )
    source = source.removeprefix("osf ").strip()
    folder = str(wanted.get("dst") or "").strip()
    to = posixpath.normpath(posixpath.join(folder, str(wanted.get("projectName") or ""))) if folder else ""
    try:
        to = target_path(to) if to not in ("", ".") else ""
    except ManifestError:
        to = ""  # repo2data may write anywhere on a machine; data of a repository lies in it
    unpacked = re.split("[?#]", source)[0].lower().endswith(_ARCHIVES)
    return _checked(Found(name, source, to, options=(("unpack", "true"),) if unpacked else ()))


def _is_intake(document: Mapping[str, Any]) -> bool:
    return isinstance(document.get("sources"), dict) or (
        isinstance(document.get("data"), dict) and isinstance(document.get("entries"), dict)
    )


def _intake(document: Mapping[str, Any], base: str) -> Iterator[Found]:
    """https://intake.readthedocs.io/en/latest/catalog.html (``sources``), and the form of Intake 2 (``data``)."""
    for name, entry in (document.get("sources") or document.get("data") or {}).items():
        said = entry if isinstance(entry, dict) else {}
        args = said.get("args") or said.get("kwargs")
        args = args if isinstance(args, dict) else {}
        found = args.get("urlpath") or args.get("url") or args.get("path") or args.get("uri") or args.get("store")
        urls = [str(url) for url in found] if isinstance(found, list) else [str(found)] if found else []
        storage = args.get("storage_options") or {}
        if not urls:
            yield Found(str(name), why="it names no place (`urlpath`)")
        for number, url in enumerate(urls):
            yield _place(str(name) if len(urls) == 1 else f"{name}-{number + 1}", url, storage, base)


def _place(name: str, url: str, storage: Any, base: str) -> Found:
    url = re.sub(r"\{\{\s*CATALOG_DIR\s*\}\}/?", urljoin(base, ".") if base else "./", url)
    url = url.rpartition("::")[2]  # caches and the like of fsspec come before
    if _TEMPLATE.search(url):
        return Found(name, why=f"'{shown(url)}' has parameters: write down what they stand for")
    if base and not re.match("(?i)[a-z0-9+.-]+:", url):
        url = urljoin(base, url)
    front = _GLOB.split(url)[0]
    folder, pattern = front.rpartition("/")[0] + "/", url[front.rfind("/") + 1 :]
    files = (pattern,) if len(front) < len(url) else ()
    said = storage if isinstance(storage, dict) and url.startswith("s3:") else {}
    wanted = {"anonymous": said.get("anon"), "requester_pays": said.get("requester_pays")}
    options = tuple((option, "true") for option, value in wanted.items() if str(value).lower() == "true")
    return _checked(Found(name, folder if files else url, files=files, options=options))


def _checked(found: Found) -> Found:
    try:
        return Found(found.name, reference(tidy(found.ref)).url, found.to, found.files, found.options)
    except GotdataError as error:
        return Found(found.name, why=str(error))
