"""``gotdata login``"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gotdata.cli import show, verb
from gotdata.cli.call import Call
from gotdata.errors import ManifestError

if TYPE_CHECKING:
    from gotdata.login import Target
    from gotdata.settings import Settings


@verb.verb("login", exits=(0, 1, 2, 4, 5, 130))
@click.argument("where", metavar="[URL|SOURCE]", required=False)
@click.argument("more", metavar="", nargs=-1)
@click.option("--list", "listed", is_flag=True, help="Say what is known for which URLs; no secret.")
@click.option("--remove", is_flag=True, help="Forget what was stored for it.")
@click.option("--with-token", is_flag=True, help="Read the secret from standard input.")
@click.option("--user", metavar="NAME", default="", help="A name and password, not a token.")
@click.option("--keyring", is_flag=True, help="Keep the secret in the system's keyring.")
@click.option("--client", metavar="ID", default="", help="Your program's id at an OAuth provider.")
@click.option("--no-check", is_flag=True, help="Store it without asking whether it is taken.")
@verb.as_json
def run(
    call: Call,
    where: str | None,
    more: tuple[str, ...],
    listed: bool,
    remove: bool,
    with_token: bool,
    user: str,
    keyring: bool,
    client: str,
    no_check: bool,
) -> None:
    """Asks for a token or password (never shown) or sends you to a page, has it checked, and stores it in
    credentials.toml. SOURCE:URL names the kind of an unknown host."""
    from gotdata import login, settings

    if more:  # click would show what it is
        raise click.UsageError("one URL or source is due; a token comes from a pipe, with --with-token")
    if listed:
        rows = list(login.known())
        head = ("FOR", "ACCOUNT", "KIND", "UNTIL", "FROM")
        cells = ((r.prefix, r.account, r.kind, r.until, f"{r.origin} {r.problem and f'({r.problem})'}") for r in rows)
        call.answer(rows, show.table(head, cells))
        return
    if not where:
        raise click.UsageError("name a URL or source, or --list")
    if remove:
        gone = login.forget(where)
        call.answer({"removed": gone}, [f"{gone}: removed"])
        return
    entries = _entries(where, with_token, user, client, no_check, settings.load(call.flags))
    said = [
        {"prefix": prefix, "account": entry.get("account", ""), "stored": login.keep(prefix, entry, keyring)}
        for prefix, entry in entries.items()
    ]
    call.answer(said, (_line(**one) for one in said))


def _line(prefix: str, account: str, stored: str) -> str:
    return f"{prefix}: stored in {stored}{f' for {account}' if account else ''}"


def _entries(
    where: str, with_token: bool, user: str, client: str, no_check: bool, found: Settings
) -> dict[str, dict[str, Any]]:
    from gotdata import login
    from gotdata.credentials import Credentials
    from gotdata.login_flows import Client, Talk
    from gotdata.sources.http_engine import Engine

    engine = Engine(found, Credentials())
    try:
        target = login.target(where, engine)
        if target.flow and not with_token and (client or not target.page):
            _check_terminal()
            if not client:
                raise ManifestError(f"--client ID is due, as which you make one at {target.flow.client}")
            secret = _hidden("Its client secret (empty: none)", empty=True) if target.flow.kind == "device" else ""
            talk = Talk(engine.post_form, lambda text: click.echo(text, err=True), _hidden)
            entries = login.grant(target, Client(client, secret), talk, found)
        else:
            entries = {target.prefix: _pasted(target, with_token, user)}
    finally:
        engine.close()
    if not no_check:
        entries[target.prefix] = login.check(target, entries[target.prefix], found)
    return entries


def _pasted(target: Target, with_token: bool, user: str) -> dict[str, Any]:
    """The entry that a secret makes which somebody has."""
    if target.form == "basic" or user:
        user = user or ("" if with_token else _asked(f"User at {target.prefix}"))
        secret = _secret(f"Password of {user}", with_token)
        pair = f"{user}:{secret}" if user else secret
        if ":" not in pair:
            raise ManifestError("a password has a user: --user NAME, or NAME:PASSWORD on standard input")
        return {"basic": pair, "account": pair.partition(":")[0]}
    made = f", made at {target.page}" if target.page else ""
    what = "Shared access signature" if target.form == "query" else "Token"
    secret = _secret(f"{what} for {target.prefix}{made}", with_token)
    if target.form == "query":
        return {"query": secret.partition("?")[2] or secret}
    return {"source": target.source, "token": secret} if target.source else {"bearer": secret}


def _secret(what: str, piped: bool) -> str:
    found = sys.stdin.read(64 << 10).strip() if piped else _hidden(what)
    if not found or not found.isprintable():
        raise ManifestError("no secret came: one line of text is due")
    return found


def _hidden(what: str, empty: bool = False) -> str:
    _check_terminal()
    options: dict[str, Any] = {"default": "", "show_default": False} if empty else {}
    return _prompted(what, hide_input=True, **options)


def _asked(what: str) -> str:
    _check_terminal()
    return _prompted(what)


def _prompted(what: str, **options: Any) -> str:
    try:
        return str(click.prompt(what, err=True, **options)).strip()
    except click.Abort as ended:
        # It is what click makes of both: Ctrl-C, and the end of what is typed.
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise ManifestError("no token was given") from None


def _check_terminal() -> None:
    if not sys.stdin.isatty():
        raise ManifestError("no terminal to ask at: pipe the secret in with --with-token")
