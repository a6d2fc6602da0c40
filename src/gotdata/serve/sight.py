"""Whether any container still has a mount of ours: an engine that was killed never says that its containers ended."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from gotdata.fuse import mounting

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

_ALL_PROCESSES = "pid:[4026531836]"
"""The first PID namespace of a machine: Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO."""


def is_seen(point: Path) -> bool:
    """Whether a process in another mount namespace has this file system, at a place of its own: namespaces of the
    machine's services have copies of all mounts, at the same place. True where that can't be known."""
    found = next((mount for mount in mounting.mounts() if mount.point == mounting.place(point)), None)
    if found is None:
        return False
    if os.readlink("/proc/self/ns/pid") != _ALL_PROCESSES:
        return True
    looked_at = {os.readlink("/proc/self/ns/mnt")}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It ended.
            namespace = os.readlink(process / "ns/mnt")
            if namespace not in looked_at:
                table = (process / "mountinfo").read_bytes()
                looked_at.add(namespace)
                if any(mount.device == found.device and mount.point != found.point for mount in mounting.listed(table)):
                    return True
    return False
