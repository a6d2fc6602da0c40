"""A download past the store, to where a person wants it: resumed after a cut, complete or absent."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gotdata.errors import IntegrityError, SourceUnavailable, StoreError
from gotdata.origin import Origin, Wanted
from gotdata.store import disk
from gotdata.store.filling import Filling, Means
from gotdata.store.keys import partial_key
from gotdata.store.partial import Partial


@contextmanager
def saving(wanted: Wanted, origin: Origin, dest: Path, means: Means) -> Iterator[Filling]:
    """What is here of the file, beside ``dest``, to be read and judged. It then takes its place; where it was judged to
    be wrong it goes; where it broke off it stays, for the next time."""
    data, map = (dest.with_name(f".{dest.name}.gotdata-{kind}") for kind in ("part", "map"))
    with disk.told(f"writing {data}"):
        sparse = disk.keeps_holes(dest.parent)
        partial = Partial(data, map, partial_key(wanted, origin), wanted.size, 0o666, sparse)
    if sys.platform != "win32" and os.fstat(partial.fd).st_uid != os.geteuid():
        partial.close()
        raise StoreError(f"{data} is another user's, who could change what is downloaded; remove it, or go elsewhere")
    filling = Filling(wanted, origin, partial, means, sparse)
    filling.hold()
    try:
        yield filling
        with disk.told(f"writing {dest}"):
            disk.sync(partial.fd)
            data.replace(dest)
            disk.sync_folder(dest.parent)
            map.unlink()
    except IntegrityError:
        partial.remove()
        raise
    finally:
        filling.release()
        filling.close(SourceUnavailable("the download was given up"))
