"""systemd units: of the daemon and its keeper, and of a repository whose data is to be there after every boot."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from gotdata.errors import DeliveryError

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

FOLDER = "etc/systemd/system"
RUN = "/run/gotdata"
KEEPER, DAEMON = "gotdata-keeper.service", "gotdata.service"

_KEEPER = """\
[Unit]
Description=gotdata: holds the mounts of this machine while their servers are replaced
# Whoever stops it takes the data away from every container: only a shutdown does.
RefuseManualStop=yes

[Service]
ExecStart={python} -P -m gotdata.fuse keep {run}/keeper/keeper.sock
RuntimeDirectory=gotdata/keeper
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
Restart=always
OOMScoreAdjust=-1000
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
"""

_DAEMON = """\
[Unit]
Description=gotdata: the data of this machine's containers and users
Wants=network-online.target {keeper}
After=network-online.target {keeper}
Before=docker.service

[Service]
Type=notify
ExecStart={gotdata} daemon --keeper-apart{more}
Restart=always
RestartSec=1
# The processes that serve mounts go on without it, and its successor replaces them.
KillMode=process
OOMScoreAdjust=-500
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
"""

_BOOT = """\
[Unit]
Description=gotdata: the data of {title}
Wants=network-online.target
After=network-online.target {daemon}
RequiresMountsFor={mounts}

[Service]
Type=oneshot
RemainAfterExit=yes
User={user}
ExecStart={gotdata} -C {folder} up --locked {names}
ExecStop={gotdata} -C {folder} down --lazy {names}

[Install]
WantedBy=multi-user.target
"""


def daemon(root: Path = Path("/"), words: Sequence[str] = ()) -> list[Path]:
    """Installs and enables the units of the daemon, with more words for its command line, and of its keeper. Raises
    DeliveryError."""
    more = "".join(f" {_quoted(word)}" for word in words)
    told = {"python": _quoted(sys.executable), "gotdata": _program(), "keeper": KEEPER, "run": RUN, "more": more}
    return _install(root, {KEEPER: _KEEPER.format(**told), DAEMON: _DAEMON.format(**told)})


def boot(folder: Path, names: Sequence[str] = (), root: Path = Path("/")) -> Path:
    """Installs and enables a unit that has a repository's data appear at every boot, as the user to whom it belongs.

    Raises:
        DeliveryError: this user may not, or the machine has no systemd.
    """
    folder = Path(os.path.realpath(folder))
    try:
        user = pwd.getpwuid(folder.stat().st_uid).pw_name
    except KeyError:
        raise DeliveryError(f"{folder} belongs to nobody known here: a unit needs a user to run as") from None
    word = re.sub(r"[^A-Za-z0-9_]+", "-", folder.name).strip("-") or "data"
    unit = f"gotdata-{word}-{sha256(os.fsencode(folder)).hexdigest()[:8]}.service"
    text = _BOOT.format(
        title=_quoted(str(folder)).strip('"'),
        daemon=DAEMON,
        folder=_quoted(str(folder)),
        mounts=_quoted(str(folder)).replace("$$", "$"),
        user=user,
        gotdata=_program(),
        names=" ".join(names),
    )
    return _install(root, {unit: text})[0]


def _install(root: Path, units: Mapping[str, str]) -> list[Path]:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise DeliveryError("this machine has no systemd; start it as your init does (a container: see docs/node.md)")
    written = []
    for name, text in units.items():
        path = root / FOLDER / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            raise DeliveryError(f"{path} can't be written: {error.strerror}; run it as root") from error
        written.append(path)
    runs = root == Path("/") and Path("/run/systemd/system").is_dir()
    for command in ([["daemon-reload"]] if runs else []) + [[f"--root={root}", "enable", *units]]:
        done = subprocess.run([systemctl, *command], capture_output=True, text=True)
        if done.returncode:
            raise DeliveryError(f"systemctl {' '.join(command)}: {' '.join(done.stderr.split())}")
    return written


def _program() -> str:
    """This gotdata, in full: units know no PATH."""
    return f"{_quoted(sys.executable)} -P -m gotdata"


def _quoted(path: str) -> str:
    """A path as systemd reads it: its own quotes, and no specifier."""
    if not path.isprintable():
        raise DeliveryError(f"{path!r} can't stand in a unit: rename it")
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
