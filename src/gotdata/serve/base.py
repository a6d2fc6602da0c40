"""The seam between a node's daemon, which has the data appear, and the adapters through which it is asked: Docker's
volume plugin, the control socket, the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gotdata.policy import Who


@dataclass(frozen=True, slots=True)
class Volume:
    """A data set under a name, as its users ask for it.

    Attributes:
        options: as they were given, see ``Node.create``.
        holders: who has it mounted now, each under the word by which it will be given back.
        mountpoint: where it was mounted last; empty while nobody has it.
        facts: for people: snapshot, level, files, bytes, reference.
    """

    name: str
    options: Mapping[str, str]
    holders: tuple[str, ...] = ()
    mountpoint: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


class Node(Protocol):
    """The data of one machine. Thread-safe. Every method raises a ``GotdataError`` whose message is for the user of the
    adapter: what was asked, why not, what to do."""

    def create(self, name: str, options: Mapping[str, str], who: Who) -> Volume:
        """Makes a volume known. The reference is resolved and listed now, so that what is wrong is said here; no byte
        of data is fetched. The same name with the same options again changes nothing.

        Args:
            options: ``from`` (a reference) with ``files``, ``version`` and ``snapshot`` (refused if it is another); or
                ``manifest`` (a gotdata.yml or its folder on this machine) with ``dataset``. And ``scratch`` (a size: a
                writable layer of at most that much for each holder).

        Raises:
            ManifestError: an option that does not exist, or doesn't fit; a name that can't be one.
            PolicyError: the operator's rules say no.
            DeliveryError: there is one of that name with other options.
            SourceError, ResolveError, IntegrityError: what the reference led to.
        """

    def remove(self, name: str) -> None:
        """Raises NotFound; DeliveryError while it is held."""

    def volume(self, name: str) -> Volume:
        """Raises NotFound."""

    def volumes(self) -> list[Volume]: ...

    def mount(self, name: str, holder: str) -> Path:
        """The folder in which a volume has appeared, for one holder: read-only, or with a scratch layer of its own. No
        origin is asked. Asked again by the same holder it gives the same."""

    def unmount(self, name: str, holder: str) -> None:
        """Takes back what ``mount`` gave; nothing where it gave nothing."""
