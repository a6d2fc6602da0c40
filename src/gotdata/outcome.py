"""What the verbs answer: plain values that a program prints, or turns into JSON field by field."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    UP = "up"
    DOWN = "down"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Locked:
    """``change`` is ``new``, ``changed``, ``same`` or ``removed``; ``warnings`` are for people."""

    name: str
    change: str
    source: str
    reference: str
    snapshot: str
    level: str
    files: int
    bytes: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """``kind`` is ``manifest`` (the entry is not what was locked), ``upstream`` (the origin is not), ``unlocked`` (no
    entry in the lock) or ``orphan`` (no entry in the manifest)."""

    name: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``up`` would do. ``fetch`` is bytes that would come from ``hosts`` before ``up`` returns; ``lazy`` those
    that may come later, as they are read. ``why`` says why this delivery and not a better one."""

    name: str
    reference: str
    to: str
    delivery: str
    why: str
    files: int
    bytes: int
    fetch: int
    lazy: int
    hosts: tuple[str, ...]
    level: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivered:
    """``moved`` is bytes that came from origins, ``seconds`` all that it took, ``hint`` a line of Python or R that
    opens the data, ``change`` what happened: ``up`` or ``same`` (it was up already)."""

    name: str
    to: str
    delivery: str
    why: str
    change: str
    snapshot: str
    level: str
    files: int
    bytes: int
    moved: int
    seconds: float
    source: str
    licence: str
    hint: str


@dataclass(frozen=True, slots=True)
class Status:
    """``cached_bytes`` of ``bytes`` are in the store; ``why`` says what is broken."""

    name: str
    state: State
    delivery: str
    to: str
    snapshot: str
    level: str
    files: int
    bytes: int
    cached_bytes: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    name: str
    files: int
    bytes: int
    moved: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Verified:
    """``files`` were read again, ``absent`` are not here, ``bad`` are the paths whose bytes are not what was locked."""

    name: str
    files: int
    bytes: int
    absent: int
    bad: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths between two locks, sorted."""

    name: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    path: str
    kind: str
    size: int
    executable: bool
    target: str
    identity: str


@dataclass(frozen=True, slots=True)
class Known:
    """A source as ``gotdata sources`` lists it; ``missing`` is the command that installs what it needs, or empty."""

    name: str
    schemes: tuple[str, ...]
    missing: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What ``doctor`` found by doing it: ``ok``, what was seen, and how to get the rest."""

    topic: str
    ok: bool
    seen: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a rule of the operator's policy allows, see ``gotdata.policy.Grant``."""

    rule: str
    hide: tuple[str, ...]
    networks: tuple[str, ...]
    local: tuple[str, ...]
    bytes_a_day: int
    scratch: int


@dataclass(frozen=True, slots=True)
class Judged:
    """How the operator's policy judges something; ``why`` is empty where it is allowed."""

    allowed: bool
    why: str
    grant: Allowed | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A credential, without its secret. ``prefix`` is what it is for, ``kind`` how it is sent (``bearer``, ``basic``, a
    header's name, …), ``origin`` where it was found, ``until`` when it ends (RFC 3339, UTC; empty: not known, or
    renewed), ``problem`` why it is of no use; each may be empty."""

    prefix: str
    account: str
    kind: str
    origin: str
    until: str
    problem: str
