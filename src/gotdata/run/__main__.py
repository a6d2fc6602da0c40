"""``python -m gotdata.run open LINK KNOWN CALLS -- COMMAND``, ``… namespace LINK user|root POINT… -- COMMAND`` and ``…
try …``: the processes of a run. Numbers are descriptors that were handed over."""

from __future__ import annotations

import os
import sys

from gotdata.errors import DeliveryError, GotdataError
from gotdata.run import filtered, unshared

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

import socket


def main() -> None:
    words, command = _parted(sys.argv[1:])
    status = 0
    try:
        match words:
            case ["open", link, known, calls]:
                filtered.serve_opens(socket.socket(fileno=_own(link)), _own(known), _own(calls), command)
            case ["namespace", link, ("user" | "root") as kind, *points]:
                unshared.mount_alone(socket.socket(fileno=_own(link)), kind == "user", points, command)
            case ["try", "open"]:
                filtered.try_opens()
            case ["try", "namespace", ("user" | "root") as kind]:
                unshared.try_mount(kind == "user")
            case _:
                raise DeliveryError("these processes are started by `gotdata run`")
    except GotdataError as error:
        print(f"gotdata: {error}", file=sys.stderr, flush=True)
        status = error.exit_code
    os._exit(status)


def _parted(words: list[str]) -> tuple[list[str], list[str]]:
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def _own(number: str) -> int:
    """The command does not get it."""
    os.set_inheritable(int(number), False)
    return int(number)


if __name__ == "__main__":
    main()
