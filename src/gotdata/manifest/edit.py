"""Editing a manifest as text: what people wrote stays byte for byte, comments, quotes and order included."""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from pathspec import GitIgnoreSpec

from gotdata.errors import ManifestError
from gotdata.manifest import text as nodes
from gotdata.manifest.entry import Dataset, read
from gotdata.manifest.file import root_of, text_of
from gotdata.manifest.reference import reference
from gotdata.model import Ref


def init_text() -> str:
    """A manifest without entries whose comments say what one may hold."""
    return """\
# What data this repository uses, from where, and where it appears. `gotdata up` brings it.
gotdata: 1

data:
  # cells:                                # a name: a-z, 0-9, '.', '_', '-'
  #   from: doi:10.5281/zenodo.1234567    # a DOI, https://…, s3://bucket/prefix, ./folder; or a list of mirrors
  #   to: data/cells                      # where it appears, below this repository; this is the default
  #   files: ["counts/**", "!**/*.bam"]   # only these, if not all; the last pattern that matches a file decides
  #   as: auto                            # mount, copy or bake, where it must be one of them
  #   version: "1.2"                      # in the source's own terms, if not the newest
  #   description: counts per cell and gene
"""


def add(
    path: Path,
    name: str,
    ref: str,
    to: str = "",
    as_: str = "",
    options: Mapping[str, str] | None = None,
    files: Collection[str] = (),
    like: str = "",
) -> Dataset:
    """Puts an entry at the end of a manifest, and its target into the root's .gitignore.

    Args:
        name: empty for one made from the reference.
        to, as_, files: empty for the defaults, which are not written down.
        like: what a name is made from, in place of the reference.

    Raises:
        ManifestError: the manifest is wrong, has that name, or would be wrong with the entry. Nothing is written then.
    """
    before = text_of(path)
    there = read(before, str(path))
    found = reference(ref, options)
    name = name or propose_name(Ref(like) if like else found, there)
    if name in there:
        raise ManifestError(f"{path}:{there[name].line}: '{name}' is there already: choose another name by --name")
    entry = _entry(name, ref, dict(found.options), to, as_, files)
    after = _inserted(before, entry)
    now = read(after, f"{path} with {name}") if after else {}
    if [replace(dataset, line=0) for dataset in there.values()] != [
        replace(dataset, line=0) for dataset in now.values() if dataset.name != name
    ] or name not in now:
        raise ManifestError(
            f"{path} is written in a way that can't be edited safely; add this by hand:\n" + "".join(entry)
        )
    ignore(root_of(path), now[name].to)
    _write(path, after.encode())
    return now[name]


def propose_name(ref: Ref, taken: Collection[str] = ()) -> str:
    """A dataset's name made from the last part of a reference, without what a file's name ends in."""
    last = unquote(re.split("[?#]", ref.url)[0].rstrip("/").rpartition("/")[2].rpartition(":")[2])
    plain = unicodedata.normalize("NFKD", last.casefold()).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"(?<=.)(\.[a-z][a-z0-9]{0,4})?(\.(gz|bz2|xz|zst|zip))?$", "", plain)
    name = re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:90] or "data"
    return next(
        free for free in (name, *(f"{name}-{count}" for count in range(2, len(taken) + 3))) if free not in taken
    )


def ignore(root: Path, target: str) -> None:
    """Puts a target into the root's .gitignore, where git does not ignore it yet. Raises ManifestError."""
    path = root / ".gitignore"
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
    except OSError as error:
        raise ManifestError(f"{path}: can't be read: {error.strerror}") from error
    line = "/" + re.sub(r"([\\*?\[])", r"\\\1", target)
    line = line[:-1] + "\\ " if line.endswith(" ") else line
    if _ignored(text.splitlines(), target, line):
        return
    end = _line_end(text)
    text += "" if not text or text.endswith("\n") else end
    _write(path, f"{text}{line}{end}".encode("utf-8", "surrogateescape"))


def _ignored(lines: list[str], target: str, line: str) -> bool:
    if line in lines:
        return True
    try:
        return GitIgnoreSpec.from_lines(lines).match_file(f"{target}/")
    except (ValueError, re.error):  # a line that git itself passes over
        return False


def _entry(name: str, ref: str, options: dict[str, str], to: str, as_: str, files: Collection[str] = ()) -> list[str]:
    version = options.pop("version", "")
    lines = [f"{name}:\n"]
    if options:
        lines += ["  from:\n", f"    url: {_scalar(ref)}\n"]
        lines += [f"    {option}: {_scalar(value)}\n" for option, value in options.items()]
    else:
        lines.append(f"  from: {_scalar(ref)}\n")
    lines += [f"  {key}: {_scalar(value)}\n" for key, value in (("to", to), ("as", as_), ("version", version)) if value]
    lines += (
        [f"  files: [{', '.join(json.dumps(pattern, ensure_ascii=False) for pattern in files)}]\n"] if files else []
    )
    return lines


def _scalar(text: str) -> str:
    """Without quotes only where no reader of YAML could take it for anything but this text."""
    plain = re.fullmatch(r"[A-Za-z./][A-Za-z0-9_./:@%+=~-]*[A-Za-z0-9_/]", text) and not re.fullmatch(
        r"(?i)true|false|null|yes|no|on|off|\.inf|\.nan|\.?[0-9].*", text
    )
    return text if plain else json.dumps(text, ensure_ascii=False)


def _inserted(text: str, entry: list[str]) -> str:
    """The text with the entry after the last one, or empty where its form leaves no place for it."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body, end = text.removeprefix(mark), _line_end(text)
    root = nodes.parse(body)
    if not isinstance(root, nodes.Mapping) or root.flow:
        return ""
    data = next(((key, value) for key, value in root.items if key.text == "data"), None)
    indent, column = "  ", 2
    if data is None:
        at, entry = len(body), ["data:\n", *(f"  {line}" for line in entry)]
        indent = ""
    elif isinstance(data[1], nodes.Mapping) and data[1].items:
        if data[1].flow:
            return ""
        column = data[1].column - 1
        indent = " " * column
        at = _after_comments(body, data[1].end, column)
    else:
        written = body[data[1].start : data[1].end]
        at = _next_line(body, data[0].end)
        if written:
            body = body[: data[0].end + 1] + body[data[1].end :]
            at = _next_line(body, data[0].end)
    head = body[:at] + ("" if not at or body[at - 1] == "\n" else end)
    return mark + head + "".join(f"{indent}{line}" for line in entry).replace("\n", end) + body[at:]


def _next_line(text: str, index: int) -> int:
    return text.find("\n", index) + 1 or len(text)


def _after_comments(text: str, index: int, column: int) -> int:
    """Where the lines end that belong to an entry whose content ends at ``index``: comments that stand further in."""
    at = ahead = index if text[index - 1 : index] == "\n" else _next_line(text, index)
    while ahead < len(text):
        stop = _next_line(text, ahead)
        line = text[ahead:stop]
        if line.strip() and not (line.lstrip().startswith("#") and len(line) - len(line.lstrip()) > column):
            break
        ahead = stop
        at = ahead if line.strip() else at
    return at


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _write(path: Path, content: bytes) -> None:
    """All or nothing; a link is not followed, as it could lead out of the repository."""
    if path.is_symlink():
        raise ManifestError(f"{path} is a link: change what it points to, by hand")
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if path.exists():
            shutil.copymode(path, fresh)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ManifestError(f"{path}: can't be written: {error.strerror}") from error
