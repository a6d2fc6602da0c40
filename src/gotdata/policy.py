"""The operator's rules: who may have which data, in what way, from where. The first rule that fits decides; what no
rule allows is refused. docs/policy.md says it in full."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from gotdata.errors import ManifestError, PolicyError
from gotdata.manifest.file import text_of
from gotdata.paths import redact, shown
from gotdata.policy_file import LASTING, Rule, read
from gotdata.policy_place import place, within
from gotdata.reach import PUBLIC_ONLY, Reach, is_below

_MOST = 1 << 18
"""Characters of all places that somebody asks for, each counted as 64 more: judging them is slow, and others wait."""


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

    @property
    def words(self) -> tuple[str, ...]:
        """By which a rule may name them, the most exact first."""
        return (
            *([f"user:{self.user}"] if self.user else []),
            *([f"uid:{self.uid}"] if self.uid is not None else []),
            *(f"group:{group}" for group in self.groups),
            *([f"service:{self.service}"] if self.service else []),
            "*",
        )

    def __str__(self) -> str:
        person = shown(self.user) or (f"uid {self.uid}" if self.uid is not None else "")
        return " by ".join(filter(None, (person, self.service))) or "somebody unknown"


def person(user: str | int, service: str = "") -> Who:
    """A user of this machine, by name or number, as the system's database knows them. It need not know them: then no
    group is theirs."""
    if sys.platform == "win32":
        return Who(user=str(user), service=service)
    import grp
    import pwd

    try:
        found = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        return Who(uid=user, service=service) if isinstance(user, int) else Who(user=user, service=service)
    groups = []
    for gid in os.getgrouplist(found.pw_name, found.pw_gid):
        with suppress(KeyError):
            groups.append(grp.getgrgid(gid).gr_name)
    return Who(found.pw_name, found.pw_uid, tuple(groups), service)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants.

    Attributes:
        urls: all places that are asked for it, see ``Ref.places``: of the references as they are written, and of what
            they were resolved to. One rule must allow every one of them.
        as_: the delivery: ``volume``, ``mount``, ``copy``, ``bake``.
        root: where it is to appear, absolute; empty where the service itself decides.
        manifest: the path of a manifest on this machine; empty for none.
        scratch: bytes of a writable layer.
    """

    who: Who
    urls: tuple[str, ...]
    as_: str
    root: str = ""
    manifest: str = ""
    scratch: int = 0

    def __str__(self) -> str:
        what = [redact(url) for url in self.urls] or [f"the datasets of {shown(self.manifest)}"]
        more = f" and {len(what) - 3} more" if len(what) > 3 else ""
        return f"{', '.join(what[:3])}{more} as {self.as_}" + (f" in {shown(self.root)}" if self.root else "")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a rule allows.

    Attributes:
        rule: which one: its name, if it has one, file and line.
        hide: the extended attributes that are not shown.
        bytes_a_day: that may be fetched for whom it was granted; 0 for no limit.
        scratch: bytes of a writable layer that may be asked for, at most.
        name: under which a day's bytes are counted: the rule's own, which outlives edits above it.
    """

    rule: str
    hide: frozenset[str] = frozenset()
    reach: Reach = PUBLIC_ONLY
    bytes_a_day: int = 0
    scratch: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """Attributes:
    path: of the file; for messages.
    missing: it is not there, so that nothing is allowed.
    """

    rules: tuple[Rule, ...] = ()
    path: str = "policy.yml"
    missing: bool = False

    def judge(self, asked: Asked) -> Grant:
        """What the first rule that fits allows.

        Raises:
            PolicyError: it denies, or there is none; who, what, and which line would have to allow it.
        """
        places = _places(asked)
        for rule in self.rules:
            if rule.deny and _denies(rule, asked, places):
                raise PolicyError(f"{asked.who} may not have {asked}: {self._named(rule)} denies it")
            if not rule.deny and not _unfit(rule, asked, places):
                return self._grant(rule, asked)
        raise PolicyError(f"{asked.who} may not have {asked}: {self._way(asked, places)}")

    def _grant(self, rule: Rule, asked: Asked) -> Grant:
        if asked.scratch > rule.scratch:
            allowed = f"{rule.scratch:,} bytes of scratch" if rule.scratch else "no scratch"
            raise PolicyError(
                f"{asked.who} may not have {asked.scratch:,} bytes of scratch over {asked}: "
                f"{self._named(rule)} allows {allowed}"
            )
        reach = Reach(rule.networks, rule.local)
        name = rule.name or f"line {rule.line}"
        return Grant(self._named(rule), rule.hide, reach, rule.bytes_a_day, rule.scratch, name)

    def _named(self, rule: Rule) -> str:
        return f"the rule {rule.name!r} ({self.path}:{rule.line})" if rule.name else f"the rule {self.path}:{rule.line}"

    def _way(self, asked: Asked, places: Sequence[str]) -> str:
        """What would have to stand where, for it to be allowed."""
        if self.missing:
            return f"{self.path} is not there, and without it nothing is allowed. It could say\n{_example(asked)}"
        words = asked.who.words
        mine = [rule for rule in self.rules if not rule.deny and set(words) & set(rule.who)]
        if not mine:
            return f"no rule of {self.path} allows anything to {' or '.join(words)}. One could be\n{_example(asked)}"
        near = min(mine, key=lambda rule: len(_unfit(rule, asked, places)))
        return f"{self._named(near)} would allow it, but {' and '.join(_unfit(near, asked, places))}"


def load(path: Path) -> Policy:
    """The rules of a file; where there is none, all is refused, and the refusal says what to write.

    Raises:
        ManifestError: others can write to it, or all that is wrong with it.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return Policy(path=str(path), missing=True)
    except OSError as error:
        raise ManifestError(f"{path}: can't be read: {error.strerror}") from error
    if sys.platform != "win32" and status.st_mode & 0o002:
        raise ManifestError(f"{path}: everybody can change these rules; chmod o-w {path}")
    return _read(path, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=8)
def _read(path: Path, *_: int) -> Policy:
    """As long as the file's time, size and number are the same, so is what was read."""
    return Policy(read(text_of(path), str(path)), str(path))


def _places(asked: Asked) -> tuple[str, ...]:
    """Every place that has to be allowed, the manifest's own among them."""
    if not asked.urls and not asked.manifest:
        raise PolicyError(f"{asked.who} asks for nothing")
    if sum(64 + len(url) for url in asked.urls) > _MOST:
        raise PolicyError(f"{asked.who} asks for more or longer places than are judged at once: {len(asked.urls)}")
    found = []
    for url in asked.urls:
        try:
            found.append(place(url))
        except PolicyError as error:
            raise PolicyError(f"{asked.who} may not have {redact(url)}: {error}") from None
    return (*found, *([f"file:{asked.manifest}"] if asked.manifest else []))


def _denies(rule: Rule, asked: Asked, places: Sequence[str]) -> bool:
    if not set(asked.who.words) & set(rule.who) or asked.as_ not in rule.deliveries:
        return False
    if rule.roots is not None and not _rooted(rule, asked):
        return False
    return (rule.from_ is None and not rule.local) or any(_covers(rule, found) for found in places)


def _unfit(rule: Rule, asked: Asked, places: Sequence[str]) -> list[str]:
    """Why a rule does not allow this; nothing where it does."""
    reasons = [
        f"`{'local' if found.startswith('file:') else 'from'}` does not hold {redact(_written(found))}"
        for found in places
        if not _covers(rule, found)
    ]
    if not set(asked.who.words) & set(rule.who):
        reasons.append(f"`who` does not hold {' or '.join(asked.who.words)}")
    if asked.as_ not in rule.deliveries:
        export = " and `export`" if asked.as_ in LASTING and not rule.export else ""
        reasons.append(f"`as`{export} does not allow {asked.as_}")
    if asked.root and not _rooted(rule, asked):
        reasons.append(f"`roots` does not hold {shown(asked.root)}")
    return reasons


def _covers(rule: Rule, found: str) -> bool:
    if found.startswith("file:"):
        return Reach(local=rule.local).path(found.removeprefix("file:"))
    return any(within(found, above) for above in rule.from_ or ())


def _rooted(rule: Rule, asked: Asked) -> bool:
    if not asked.root.startswith("/") or {".", ".."} & set(asked.root.split("/")):
        return False
    return any(is_below(os.path.normpath("/" + asked.root.strip("/")), root) for root in rule.roots or ())


def _written(found: str) -> str:
    """A place as people write it in a rule."""
    if not found.startswith(("http:", "https:")):
        return found
    plain = re.sub(r"^(http://[^/]*):80/|^(https://[^/]*):443/", lambda match: f"{match[1] or match[2]}/", found)
    return quote(plain, safe="/:@!$&'(),;=+~[]", errors="surrogateescape")


def _example(asked: Asked) -> str:
    """The lines that would allow it. Hostile text stands in them as JSON, which YAML reads."""
    urls = [_written(found) for found in map(place, asked.urls)]
    lines = ["gotdata: 1", "rules:", f"  - who: {json.dumps(asked.who.words[0])}"]
    away = [redact(url) for url in urls if not url.startswith("file:")]
    here = [url.removeprefix("file:") for url in urls if url.startswith("file:")]
    here += [asked.manifest] if asked.manifest else []
    lines += [f"    from: {json.dumps(away)}"] if away else []
    lines += [f"    local: {json.dumps(here)}"] if here else []
    lines += [f"    roots: {json.dumps(asked.root)}"] if asked.root else []
    lines += [f"    as: {asked.as_}"] + (["    export: true"] if asked.as_ in LASTING else [])
    return "\n".join(lines)
