"""The operator's rules: who may have which data, in what way, from where. The first rule that fits decides; what no
rule allows is refused. See docs/policy.md."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from gotdata.errors import PolicyError
from gotdata.reach import ANYWHERE, PUBLIC_ONLY, Reach


@dataclass(frozen=True, slots=True)
class Who:
    """Attributes:
    user, groups: names of the system's database; empty where it knows none.
    uid: None where no process of this machine asks (a Docker engine tells nobody's).
    service: through which it is asked: ``docker``, ``control``, …
    """

    user: str = ""
    uid: int | None = None
    groups: tuple[str, ...] = ()
    service: str = ""

    def __str__(self) -> str:
        person = self.user or (f"uid {self.uid}" if self.uid is not None else "")
        return " by ".join(filter(None, (person, self.service))) or "nobody"


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants.

    Attributes:
        urls: all places that are asked for it: see ``places``. One rule must allow every one of them.
        as_: the delivery: ``volume``, ``mount``, ``copy``, ``bake``.
        root: the folder below which it is to appear, absolute; empty where the service itself decides.
        manifest: the path of a manifest on this machine; empty for none.
        scratch: bytes of a writable layer.
    """

    who: Who
    urls: tuple[str, ...]
    as_: str
    root: str = ""
    manifest: str = ""
    scratch: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What a rule allows.

    Attributes:
        rule: its name and line.
        hide: the extended attributes that are not shown.
        bytes_a_day: that may be fetched for whom it was granted; 0 for no limit.
        scratch: bytes of a writable layer that may be asked for, at most.
    """

    rule: str
    hide: frozenset[str] = field(default=frozenset())
    reach: Reach = PUBLIC_ONLY
    bytes_a_day: int = 0
    scratch: int = 0


class Policy:
    def judge(self, asked: Asked) -> Grant:
        """Raises PolicyError: the rules say no."""
        raise PolicyError(f"{asked.who} may not have this")


class _Open(Policy):
    def judge(self, asked: Asked) -> Grant:
        return Grant("", reach=ANYWHERE, scratch=sys.maxsize)


DENY = Policy()
"""Nothing for anybody."""
ALLOW: Policy = _Open()
"""For a person's own command: the system's rights are theirs."""


def load(path: Path | None) -> Policy:
    """The rules of a file; where there is none, all is refused."""
    return DENY
