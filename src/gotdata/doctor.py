"""What this machine can do, found by doing it, and how to get the rest."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from select import select

from gotdata import credentials
from gotdata.credentials import Credential, spelt
from gotdata.errors import GotdataError
from gotdata.measure import size
from gotdata.outcome import Finding
from gotdata.run.ladder import choose
from gotdata.serve.client import Shared
from gotdata.settings import Settings
from gotdata.store import disk
from gotdata.store.store import Store

STORE = "store"
"""The one topic without which nothing works."""

PACKAGES = {
    "botocore": ("s3: references", "pip install 'gotdata[s3]'"),
    "google.auth": ("Google's application default credentials", "pip install 'gotdata[google]'"),
    "keyring": ("credentials in the system's keyring", "pip install 'gotdata[keyring]'"),
    "cryptography": ("passwords of rclone.conf", "pip install 'gotdata[rclone]'"),
    "fsspec": ("gotdata:// in pandas, dask and xarray", "pip install 'gotdata[fsspec]'"),
    "h5py": ("reading HDF5, h5ad and netCDF 4", "pip install h5py"),
    "pandas": ("reading tables", "pip install pandas"),
}

FICLONE = 0x40049409
"""linux/fs.h: makes one file share another's blocks."""

ANSWER = 5.0
"""Seconds in which the kernel greets a new mount."""

_UNSHARE = """
import ctypes, sys
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(ctypes.get_errno() if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) else 0)
"""


def examine(settings: Settings) -> Iterator[Finding]:
    """Tries everything, in the order in which people ask. What is missing is a finding, never an error."""
    yield Finding("python", True, f"{sys.version.split()[0]} on {sys.platform}")
    yield from _store(settings)
    yield from _mounts(settings.store_path)
    yield from _namespaces()
    yield _run()
    yield _daemon(Path(settings.daemon))
    yield _port()
    yield _credentials()
    yield from _packages()


def _credentials() -> Finding:
    try:
        found = [one for one in credentials.known() if isinstance(one, Credential)]
    except GotdataError as error:
        return Finding("credentials", False, str(error))
    over = [one for one in found if one.expires is not None and one.expires <= time.time()]
    said = f"{len({one.realm for one in found})} known; `gotdata login --list` says for which URLs"
    if over:
        where = spelt(over[0].prefix)
        return Finding("credentials", False, f"that for {where} has run out", f"gotdata login {where}")
    return Finding("credentials", True, said)


def _run() -> Finding:
    """By which way a command would have its data, and why not by a better one."""
    try:
        rung, why = choose()
    except GotdataError as error:
        return Finding("run", False, str(error))
    return Finding("run", True, f"`gotdata run` has data for a command as {rung.name}", why)


def _daemon(path: Path) -> Finding:
    refusal = Shared(path).refusal()
    if not refusal:
        return Finding("daemon", True, f"answers at {path}")
    return Finding("daemon", False, refusal, "an operator starts it: `sudo gotdata daemon --install`, see docs/node.md")


def hopeless(found: Iterable[Finding]) -> bool:
    """Whether not even a copy can be made."""
    return any(one.topic == STORE and not one.ok for one in found)


def _store(settings: Settings) -> Iterator[Finding]:
    folder = settings.store_path
    try:
        sparse = Store.open(folder, settings).sparse
    except GotdataError as error:
        yield Finding(STORE, False, str(error))
        return
    kind = disk.file_system(folder)
    if kind in disk.NETWORK:
        cure = "it works, but slowly; set GOTDATA_STORE to a disk of this machine"
        yield Finding(STORE, True, f"{folder} on {kind}, over the network", cure)
    else:
        yield Finding(STORE, True, f"{folder} on {kind}" if kind else str(folder))
    if sparse:
        yield Finding("store: holes", True, "take no space")
    else:
        cure = "set GOTDATA_STORE to a folder on ext4, xfs, btrfs or tmpfs"
        yield Finding("store: holes", False, "take space: files come whole, from their start", cure)
    if _reflinks(folder):
        yield Finding("store: reflinks", True, "a copy shares its blocks with the store")
    else:
        cure = "a store on xfs or btrfs, on the disk of the project, copies at once"
        yield Finding("store: reflinks", False, "a copy takes its own space", cure)
    free, keep = shutil.disk_usage(folder).free, settings.store_keep_free
    cure = "" if free > keep else "free space there, run `gotdata cache gc`, or lower GOTDATA_STORE_KEEP_FREE"
    yield Finding("store: space", free > keep, f"{size(free)} free, of which {size(keep)} are left alone", cure)


def _reflinks(folder: Path) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as clone:
        source.write(b"gotdata")
        source.flush()
        try:
            fcntl.ioctl(clone.fileno(), FICLONE, source.fileno())
        except OSError:
            return False
    return True


if sys.platform == "linux":
    from gotdata.fuse import mounting, protocol
    from gotdata.fuse.connection import Connection
    from gotdata.fuse.resend import says_again

    def _mounts(store: Path) -> Iterator[Finding]:
        with tempfile.TemporaryDirectory(prefix="gotdata-doctor-") as point:
            try:
                connection = Connection(mounting.mount(point))
            except GotdataError as error:
                yield Finding("mount", False, str(error))
            else:
                try:
                    yield Finding("mount", True, "by mount(2), as root" if os.geteuid() == 0 else "by fusermount3")
                    yield from _kernel(connection, store)
                finally:
                    os.close(connection.fd)
                    mounting.unmount(point, lazy=True)
        yield _fusermount3()

    def _kernel(connection: Connection, store: Path) -> Iterator[Finding]:
        """Greets the kernel as a server does, and finds out what it can."""
        select([connection.fd], [], [], ANSWER)
        request = connection.receive()
        if request is None:
            yield Finding("mount: kernel", False, f"did not greet within {ANSWER:g} s", "try again on an idle machine")
            return
        kernel = protocol.greeting(request.body)
        connection.reply(request.unique, protocol.welcome(kernel))
        yield _passthrough(connection, kernel, store)
        yield _keeper(connection)

    def _keeper(connection: Connection) -> Finding:
        """What becomes of readers whose server is killed, where a keeper holds the mount."""
        if says_again(connection.fd):
            return Finding("keeper", True, "readers of a killed server are answered by the next")
        cure = "Linux 6.9 or newer says them again"
        return Finding("keeper", False, "requests that a killed server had taken end in an I/O error", cure)

    def _passthrough(connection: Connection, kernel: protocol.Greeting, store: Path) -> Finding:
        """Hands the kernel a file of the store."""
        topic, lost = "passthrough", "whole files are read through the kernel's cache"
        if protocol.Init.PASSTHROUGH not in kernel.flags:
            return Finding(topic, False, f"not in this kernel; {lost}", "Linux 6.9 or newer has it")
        try:
            with tempfile.TemporaryFile(dir=store) as file:
                connection.backing_close(connection.backing_open(file.fileno()))
        except OSError as error:
            cure = "it needs root (CAP_SYS_ADMIN) and a store that does not lie on an overlay"
            return Finding(topic, False, f"refused: {error.strerror}; {lost}", cure)
        return Finding(topic, True, "whole files are as fast as the store's own file system")

    def _fusermount3() -> Finding:
        """Other users than root need it."""
        topic, program = "fusermount3", shutil.which("fusermount3")
        if program is None:
            return Finding(topic, False, "not installed: only root can mount", "apt install fuse3")
        if not Path(program).stat().st_mode & stat.S_ISUID:
            return Finding(
                topic, False, f"{program} is not setuid: only root can mount", f"chmod u+s {program}, as root"
            )
        return Finding(topic, True, f"{program}: users can mount")
else:

    def _mounts(store: Path) -> Iterator[Finding]:
        cure = "copies, gotdata.open and fsspec work here"
        yield Finding("mount", False, f"needs Linux, this is {sys.platform}", cure)


def _namespaces() -> Iterator[Finding]:
    if sys.platform != "linux":
        return
    # In a process of its own: one that has threads can't enter a user namespace.
    refused = subprocess.run([sys.executable, "-I", "-c", _UNSHARE], stderr=subprocess.DEVNULL).returncode
    if refused:
        cure = (
            "ask for kernel.apparmor_restrict_unprivileged_userns=0, in a container for a seccomp profile with unshare"
        )
        yield Finding("user namespaces", False, f"refused: {os.strerror(refused)}", cure)
    else:
        yield Finding("user namespaces", True, "can be entered")


def _port() -> Finding:
    topic = "loopback port"
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return Finding(topic, True, f"bound 127.0.0.1:{server.getsockname()[1]}")
    except OSError as error:
        return Finding(topic, False, f"127.0.0.1: {error.strerror}", "let this user bind a port of 127.0.0.1")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False


def _packages() -> Iterator[Finding]:
    for name, (purpose, cure) in PACKAGES.items():
        if _is_there(name):
            yield Finding(f"package {name}", True, f"for {purpose}")
        else:
            yield Finding(f"package {name}", False, f"not installed; for {purpose}", cure)
