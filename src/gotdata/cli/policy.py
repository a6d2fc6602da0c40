"""``gotdata policy``"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gotdata.cli import front, verb
from gotdata.cli.call import Call
from gotdata.measure import size
from gotdata.outcome import Allowed, Judged

if TYPE_CHECKING:
    from gotdata.policy import Grant, Policy, Who

REFUSED = 5

rules = click.option("--policy", "path", metavar="FILE", help="The rules (else the setting `policy`).")


@verb.verb("check", exits=verb.LOCAL)
@rules
@verb.as_json
def check(call: Call, path: str | None) -> None:
    """Read the rules, and say all that is wrong with them."""
    from gotdata.errors import ManifestError

    found = _loaded(call, path)
    if found.missing:
        raise ManifestError(f"{found.path} is not there: services refuse everything")
    rules = f"{len(found.rules)} rule{'s' * (len(found.rules) != 1)}"
    call.answer({"path": found.path, "rules": len(found.rules)}, [f"{found.path}: {rules}, nothing wrong"])


@verb.verb("test", exits=(0, 1, 2, REFUSED, 130))
@click.argument("user", metavar="USER")
@click.argument("refs", metavar="REF…", nargs=-1, required=True)
@click.option("--as", "as_", type=click.Choice(["volume", "mount", "copy", "bake"]), default="volume")
@click.option("--root", metavar="DIR", default="", help="Where it would appear.")
@click.option("--service", metavar="NAME", default="", help="Through which it is asked: docker, control, ….")
@click.option("--scratch", metavar="SIZE", default="0", help="How large a writable layer.")
@rules
@verb.as_json
def test(
    call: Call, user: str, refs: tuple[str, ...], as_: str, root: str, service: str, scratch: str, path: str | None
) -> None:
    """Say whether USER (a name, a number, or - for nobody; user:, uid: and service: as in the rules) may have it, and
    by which rule. Nothing is asked of an origin: name what a DOI leads to as well. Exit 5 if it is refused."""
    from gotdata.errors import ManifestError, PolicyError
    from gotdata.manifest import reference
    from gotdata.policy import Asked
    from gotdata.settings import parse_size

    who = _who(user, service)
    places = tuple(place for ref in refs for place in reference(ref).places)
    try:
        asked = Asked(who, places, as_, root=root, scratch=parse_size(scratch))
    except ValueError as error:
        raise ManifestError(f"--scratch: {error}") from None
    try:
        grant = _loaded(call, path).judge(asked)
    except PolicyError as refusal:
        call.answer(Judged(False, str(refusal)), ["refused", *str(refusal).splitlines()])
        raise click.exceptions.Exit(REFUSED) from None
    call.answer(Judged(True, "", _allowed(grant)), lines(grant))


def _who(user: str, service: str) -> Who:
    from gotdata.errors import ManifestError
    from gotdata.policy import Who, person

    if user == "-":
        return Who(service=service)
    kind, colon, name = user.partition(":")
    is_number = (name or user).isdecimal() and len(name or user) <= 10
    if not colon:
        kind, name = "uid" if is_number else "user", user
    if kind == "service":
        return Who(service=name)
    if kind == "user":
        return person(name, service)
    if kind == "uid" and is_number:
        return person(int(name), service)
    raise ManifestError(f"'{user}' is nobody who asks: a name, a number, user:NAME, uid:NUMBER, service:NAME, or -")


def _loaded(call: Call, path: str | None) -> Policy:
    from gotdata import policy, settings

    return policy.load(Path(path or settings.load(call.flags).policy).absolute())


def _allowed(grant: Grant) -> Allowed:
    reach = grant.reach
    return Allowed(grant.rule, tuple(sorted(grant.hide)), reach.networks, reach.local, grant.bytes_a_day, grant.scratch)


def lines(grant: Grant) -> Iterator[str]:
    yield f"allowed by {grant.rule}"
    yield f"hidden        {', '.join(sorted(grant.hide)) or 'nothing'}"
    yield f"reaches       {', '.join(('public addresses', *grant.reach.networks, *grant.reach.local))}"
    yield f"bytes a day   {size(grant.bytes_a_day) if grant.bytes_a_day else 'no limit'}"
    yield f"scratch       {size(grant.scratch) if grant.scratch else 'none'}"


run = click.Group(
    "policy",
    help=front.VERBS["policy"],
    commands=[check, test],
    context_settings=verb.SETTINGS,
    subcommand_metavar="VERB",
)
