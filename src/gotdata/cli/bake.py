"""``gotdata bake``"""

from __future__ import annotations

from pathlib import Path

import click

from gotdata.cli import up, verb
from gotdata.cli.call import Call


@verb.verb("bake")
@verb.names
@click.option("--max-size", metavar="SIZE", help="What it may add to the image, as 34GB; else `bake_max_size`, 2 GB.")
@verb.as_json
def run(call: Call, names: tuple[str, ...], max_size: str | None) -> None:
    """In a Dockerfile's RUN, or repo2docker's postBuild: a verified copy of the datasets named, or of all with
    `as: bake`. It needs gotdata.lock. Of the build no store and no credential stay; where the store of this call
    lies on a mount (BuildKit's cache, or memory), it is used and kept."""
    from gotdata import manifest as manifests
    from gotdata.deliver.bake import build_store
    from gotdata.settings import load

    call.flags["bake_max_size"] = max_size
    root = Path(manifests.root_of(manifests.find(Path()))).resolve()
    with build_store(root, load(call.flags).store_path) as store:
        call.flags["store"] = str(store)
        with call.project(bounded=True) as project:  # closed before its store goes
            baked = project.bake(names)
    call.answer(baked, up.lines(baked))
