"""What a daemon has another process lock for it, and what comes back: that one asks strangers' servers, and reads what
they list; the daemon does neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATASET = "data"
"""What a volume's dataset is called in the repository that is kept for it."""


@dataclass(frozen=True, slots=True)
class Order:
    """Attributes:
    folder: of a repository with a manifest of one dataset; what is locked is kept there.
    store: the folder of the store.
    reach: what may be asked, as ``Reach`` in plain JSON.
    manifest, dataset: another repository's, from which the folder is to be filled first.
    """

    folder: str
    store: str
    reach: Mapping[str, Any]
    manifest: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Attributes:
    arguments: what the processes of a mount make the tree of, see ``fuse.spec``.
    urls: the references as they were written, and what they were resolved to: what a policy judges.
    mtime: seconds, of every entry.
    """

    arguments: Mapping[str, Any]
    snapshot: str
    level: str
    files: int
    bytes: int
    reference: str
    urls: tuple[str, ...] = field(default=())
    mtime: int = 0


Prepare = Callable[[Order], Found]
"""Locks what is new in a repository, and indexes its snapshot. Raises any GotdataError."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a daemon keeps what it knows (``state``: survives a reboot) and what stands (``run``: does not)."""

    state: Path
    run: Path

    @property
    def keeper(self) -> Path:
        return self.run / "keeper" / "keeper.sock"

    @property
    def control(self) -> Path:
        return self.run / "gotdata.sock"

    @property
    def mounts(self) -> Path:
        return self.run / "mounts"

    @property
    def holds(self) -> Path:
        return self.run / "holds"

    @property
    def scratch(self) -> Path:
        return self.state / "scratch"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"
