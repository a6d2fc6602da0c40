"""``python -m gotdata.fuse``, a mount's processes: ``serve FUSE READY TARGET [LEDGER TIE]``, ``worker LINK DATASET``,
``spare LINK OPENS`` and ``keep SOCKET [GRACE [READY]]``. Numbers are descriptors that were handed over; a spec comes on
standard input; targets and datasets are also there for people who read `ps`."""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")


def main() -> None:
    # Each imports what it needs: a keeper is small, and a server starts while someone waits.
    match sys.argv[1:]:
        case ["keep", path, *more]:
            from gotdata.fuse.keeping import main as keep

            keep(path, *more)
        case ["worker", link, _]:
            from gotdata.fuse.worker import main as work

            _end(work(int(link)))
        case ["serve", fuse, ready, target, *kept]:
            from gotdata.fuse.serving import serve

            _end(serve(int(fuse), int(ready), target, *map(int, kept)))
        case ["spare", link, opens]:
            from gotdata.fuse.spare import stand_by

            _end(stand_by(int(link), opens))
        case _:
            sys.exit("these processes are started by `gotdata up` and `gotdata daemon`")


def _end(status: int) -> None:
    os._exit(status)  # threads may hang in a file system that does not answer


if __name__ == "__main__":
    main()
