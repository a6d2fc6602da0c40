"""What git knows of a repository: its lock at a revision, and what stays out of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from gotdata import lock as locks
from gotdata.errors import ManifestError
from gotdata.lock_texts import FOLDER, Texts


def earlier(lock_path: Path, rev: str, work: Path, fetch: Callable[[str], bytes]) -> tuple[locks.Lock, Texts]:
    """The lock of a revision and its texts, which are put into ``work``, an empty folder. An empty lock where that
    revision had none. ``fetch`` is asked for texts that were too long to commit.

    Raises:
        ManifestError: there is no such revision, no repository, or no git.
        IntegrityError: what git has is not a lock.
    """
    folder = lock_path.parent
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}").decode().strip()
    listed = _git(folder, "ls-tree", "-z", commit, f"./{lock_path.name}", f"./{FOLDER}/").split(b"\0")
    texts = Texts(work, fetch)
    lock = locks.Lock()
    for line in filter(None, listed):
        kind, digest = line.partition(b"\t")[0].decode().split()[1:]
        name = Path(line.partition(b"\t")[2].decode("utf-8", "surrogateescape")).name
        if kind == "blob":
            data = _git(folder, "cat-file", "blob", digest)
            if name == lock_path.name:
                lock = locks.parse(data, f"{rev}:{name}")
            else:
                (work / name).write_bytes(data)
    return lock, texts


def is_ignored(root: Path, path: str) -> bool:
    """Whether git leaves a path alone. True where git can't tell: nobody adds anything with it then."""
    try:
        return _run(root, "check-ignore", "-q", "--", path).returncode != 1
    except FileNotFoundError:
        return True


def _git(folder: Path, *words: str) -> bytes:
    try:
        done = _run(folder, *words)
    except FileNotFoundError:
        raise ManifestError("git is not installed, and `diff` compares with what git has") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"no revision {words[-1].removesuffix('^{commit}')}"
        raise ManifestError(f"git {words[0]} in {folder}: {said}")
    return done.stdout


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Git, held to reading: an unpacked archive may bring a .git whose settings name programs, to watch files or to
    fetch what is missing."""
    still = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
    alone = {**os.environ, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(["git", "-C", str(folder), *still, *words], capture_output=True, check=False, env=alone)
