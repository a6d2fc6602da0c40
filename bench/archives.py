"""One file of an archive behind nginx: by us, by fsspec, and by fetching and unpacking it all. Seconds, and bytes that
left the server. ``python -m bench.archives``"""

from __future__ import annotations

import random
import statistics
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec

from gotdata.loose import Loose
from gotdata.model import Ref, Span
from gotdata.tree.base import find
from tests.e2e import servers

MEMBERS, SIZE, ROUNDS = 1_000, 1 << 20, 5
WANTED = "cells/0500.bin"


def make(folder: Path) -> None:
    noise = random.Random(7)
    member = folder / "member"
    with zipfile.ZipFile(folder / "x.zip", "w") as zipped, tarfile.open(folder / "x.tar", "w") as tar:
        for number in range(MEMBERS):
            member.write_bytes(noise.randbytes(SIZE))
            zipped.write(member, f"cells/{number:04}.bin", zipfile.ZIP_DEFLATED, 1)
            tar.add(member, f"cells/{number:04}.bin")
    member.unlink()


def ours(url: str, folder: Path) -> bytes:
    with Loose.open({"store": str(folder)}) as loose:
        tree = loose.tree(Ref(url, (("unpack", "true"),)))
        return tree.read(find(tree, WANTED).id, Span(0, SIZE))


def peer(url: str, folder: Path) -> bytes:
    with fsspec.open(f"zip://{WANTED}::{url}") as file:
        data: bytes = file.read()
    fsspec.get_filesystem_class("http").clear_instance_cache()
    fsspec.get_filesystem_class("zip").clear_instance_cache()
    return data


def everything(url: str, folder: Path) -> bytes:
    subprocess.run(["curl", "-sSfo", folder / "x", url], check=True)
    unpack = (
        ["unzip", "-q", folder / "x", "-d", folder]
        if url.endswith("zip")
        else ["tar", "-xf", folder / "x", "-C", folder]
    )
    subprocess.run(unpack, check=True)
    return (folder / WANTED).read_bytes()


WAYS: list[tuple[str, str, Callable[[str, Path], bytes]]] = [
    ("zip, gotdata", "x.zip", ours),
    ("zip, fsspec", "x.zip", peer),
    ("zip, curl and unzip", "x.zip", everything),
    ("tar, gotdata", "x.tar", ours),
    ("tar, curl and tar", "x.tar", everything),
]


def main() -> None:
    with tempfile.TemporaryDirectory() as top, servers.open_folder() as root:
        make(root)
        with servers.nginx(root, Path(top)) as server:
            seconds: dict[str, list[float]] = {name: [] for name, _, _ in WAYS}
            moved: dict[str, int] = {}
            seen = set()
            for _ in range(ROUNDS):
                for name, file, way in WAYS:
                    with tempfile.TemporaryDirectory() as folder:
                        before, began = len(server.answers()), time.perf_counter()
                        seen.add(way(f"{server.url}/{file}", Path(folder))[:64])
                        seconds[name].append(time.perf_counter() - began)
                    moved[name] = sum(answer.bytes for answer in server.answers()[before:])
            assert len(seen) == 1, "the ways disagree"
    print(f"| one of {MEMBERS} members of {SIZE >> 20} MiB | seconds, median | MiB from the server |\n|---|---:|---:|")
    for name, all in seconds.items():
        print(f"| {name} | {statistics.median(all):.2f} | {moved[name] / 2**20:.1f} |")


if __name__ == "__main__":
    main()
