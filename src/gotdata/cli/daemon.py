"""``gotdata daemon``"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gotdata.cli import verb
from gotdata.cli.call import Call
from gotdata.errors import DeliveryError


@verb.verb("daemon")
@click.option("--state", metavar="DIR", default="/var/lib/gotdata", help="What survives a reboot; the store too.")
@click.option("--run", "run_folder", metavar="DIR", default="/run/gotdata", help="Mounts, sockets, logs.")
@click.option("--plugin", metavar="NAME", default="gotdata", help="What Docker's volume driver is called.")
@click.option("--no-plugin", is_flag=True, help="No volume driver for Docker.")
@click.option("--policy", "rules", metavar="FILE", help="The operator's rules (else the setting `policy`).")
@click.option("--linger", type=float, default=30.0, help="Seconds for which an unused mount stays.")
@click.option("--keeper-apart", is_flag=True, help="Start no keeper: it is a service, or a container, of its own.")
@click.option("--install", is_flag=True, help="Install its systemd units, enable them, and end.")
def run(
    call: Call,
    state: str,
    run_folder: str,
    plugin: str,
    no_plugin: bool,
    rules: str | None,
    linger: float,
    keeper_apart: bool,
    install: bool,
) -> None:
    """Owns the store and the mounts of a machine, until a signal comes. Containers get its data as Docker volumes,
    users by `gotdata up`: whoever the policy allows. It may be killed or upgraded while containers read."""
    if sys.platform != "linux":
        raise DeliveryError("the daemon needs Linux")
    if install:
        _install(call, run_folder)
        return
    from gotdata import policy, settings
    from gotdata.serve.daemon import Daemon
    from gotdata.serve.order import Places
    from gotdata.wire_node import prepare_apart

    found = settings.load({"store": str(Path(state, "store")), **{k: v for k, v in call.flags.items() if v}})
    path = Path(rules or found.policy)
    places = Places(Path(state).absolute(), Path(run_folder).absolute())
    Daemon(
        places,
        found,
        lambda asked: policy.load(path).judge(asked),
        prepare_apart,
        plugin="" if no_plugin else plugin,
        linger=linger,
        keeper_apart=keeper_apart,
    ).run()


def _install(call: Call, run_folder: str) -> None:
    from gotdata.serve import units

    given = click.get_current_context()
    if run_folder != units.RUN:
        raise DeliveryError(f"the units keep what stands in {units.RUN}: leave out --run, or write a unit of your own")
    words = [
        option.opts[-1] if given.params[name] is True else f"{option.opts[-1]}={given.params[name]}"
        for option in given.command.params
        if (name := option.name) not in ("install", "run_folder", "keeper_apart")
        and name is not None
        and given.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    made = units.daemon(words=words)
    call.answer({"units": [str(path) for path in made]}, [f"{path} was enabled" for path in made])
