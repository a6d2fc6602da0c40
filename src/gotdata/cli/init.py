"""``gotdata init``"""

from __future__ import annotations

from pathlib import Path

from gotdata import manifest
from gotdata.cli import verb
from gotdata.cli.call import Call
from gotdata.errors import ManifestError
from gotdata.manifest.file import BINDER, NAME


@verb.verb("init", exits=verb.LOCAL)
@verb.as_json
def run(call: Call) -> None:
    """Into binder/ or .binder/ where there is such a folder, else here. Nothing is overwritten."""
    if there := _existing():
        raise ManifestError(f"{there} is there already; `gotdata add REF` adds to it")
    folder = next((path for path in map(Path, BINDER) if path.is_dir()), Path())
    path = folder / NAME
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(manifest.init_text())
    call.answer({"path": path.absolute()}, [f"{path}: written; next: `gotdata add REF`, or edit it"])


def _existing() -> Path | None:
    try:
        return manifest.find(Path())
    except ManifestError:
        return None
