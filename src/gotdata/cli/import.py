"""``gotdata import``"""

from __future__ import annotations

import re
from pathlib import Path

import click

from gotdata import imports, manifest
from gotdata.cli import verb
from gotdata.cli.call import Call
from gotdata.errors import GotdataError, ManifestError
from gotdata.paths import redact

LIMIT = 16 << 20
"""Bytes of a file that is imported."""


@verb.verb("import")
@click.argument("place", metavar="FILE|URL")
@verb.as_json
def run(call: Call, place: str) -> None:
    """Croissant, Data Package, RO-Crate, registries of Pooch and files of DVC are read where they are published: give
    their URL. Of Intake's catalogues and repo2data's data_requirement.json each dataset becomes an entry; Python in
    them is never run. What can't be an entry is said, and the exit code is then 1."""
    path = manifest.find(Path())
    text, base = _text(call, manifest.tidy(place))
    rows, lines, missing = [], [], 0
    for found in imports.read(text, place, base):
        row = {"name": found.name, "from": redact(found.ref), "why": found.why}
        if there := not found.why and _there(path, found):
            row |= {"name": there.name, "to": there.to}
            lines.append(f"{there.name}: {row['from']} is there already")
        elif not found.why:
            try:
                made = manifest.add(path, "", found.ref, found.to, "", dict(found.options), found.files, found.name)
                row |= {"name": made.name, "to": made.to}
                lines.append(f"{made.name}: {row['from']} will appear at {made.to}")
            except GotdataError as error:
                row["why"] = str(error)
        if row["why"]:
            missing += 1
            lines.append(f"{found.name}: left out: {row['why']}")
        rows.append(row)
    call.answer(rows, lines)
    if missing:
        raise GotdataError(f"{missing} of {len(rows)} could not be imported; the others stand in {path.name}")


def _there(path: Path, found: imports.Found) -> manifest.Dataset | None:
    """The entry that an earlier import made of it, whatever it is called by now."""
    refs = (manifest.reference(found.ref, dict(found.options)),)
    entries = manifest.load(path).data.values()
    return next((one for one in entries if one.refs == refs and one.files == found.files), None)


def _text(call: Call, place: str) -> tuple[str, str]:
    """The file's text, and its URL where it has one."""
    if re.match(r"(?i)https?://", place):
        return call.loose().ctx.http.text(place, limit=LIMIT).text, place
    path = Path(place)
    try:
        if path.stat().st_size > LIMIT:
            raise ManifestError(f"{place} has more than {LIMIT} bytes: it is no list of data")
        return path.read_text("utf-8"), ""
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{place}: can't be read: {error}") from None
