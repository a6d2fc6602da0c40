"""Reading files again from their first byte to their last: what `verify` and `lock --hash` do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from gotdata.errors import GotdataError, IntegrityError, UpstreamChanged
from gotdata.origin import BLOCK_HASHED, Wanted
from gotdata.outcome import Verified
from gotdata.report import Event, Reporter
from gotdata.snapshot import MTIME, Learned
from gotdata.snapshot_index import Index
from gotdata.store.base import Held, pieces
from gotdata.store.held import LocalHeld
from gotdata.store.store import Store
from gotdata.store.verify import Verdict
from gotdata.tree.locked import LockedTree

_TIME = f"mtime:{MTIME * 10**9}"
"""Of what gotdata copied and nobody touched."""


def learn(files: Iterable[tuple[str, Held]]) -> Iterator[Learned]:
    """The hashes of whole files, which are closed one by one."""
    for path, held in files:
        try:
            whole, blocks = sha256(), []
            for data in pieces(held, BLOCK_HASHED):
                whole.update(data)
                blocks.append(sha256(data).digest())
        finally:
            held.close()
        yield Learned(path, whole.hexdigest(), blocks)


def verify(tree: LockedTree, index: Index, store: Store, copied: Path | None, reporter: Reporter) -> Verified:
    """Compares what is here with the lock. ``copied`` is where the dataset was copied to; else the store is read."""
    files = size = absent = 0
    bad = []
    for path, node in index.files():
        wanted = tree.wanted(node.id)
        try:
            stored = store.peek(wanted)
            held = LocalHeld(wanted.name, str(copied / path), node.size, _TIME) if copied else stored
            if held is None:
                absent += 1
                continue
            try:
                verdict = Verdict(wanted, wanted.origins[0])
                for data in pieces(held, BLOCK_HASHED):
                    verdict.update(data)
                verdict.judge()
                if stored and stored.path.name != verdict.sha256():
                    raise IntegrityError(f"{wanted.name} is not what was fetched: its sha256 is {verdict.sha256()}")
            finally:
                held.close()
                if stored:
                    stored.close()
        except FileNotFoundError:
            absent += 1
            continue
        except GotdataError as error:
            bad.append(path)
            if copied and isinstance(error, UpstreamChanged):
                said = f"{copied / path} was changed by hand; delete {copied}, and `gotdata up` brings it anew"
            elif copied:
                said = str(error)
            else:
                said = f"the store's copy is damaged, and `gotdata cache fsck` removes it: {error}"
            reporter(Event("warning", dataset=tree.name, path=path, text=said))
        files += 1
        size += node.size
        reporter(Event("delivered", dataset=tree.name, path=path, bytes=node.size, files=1))
    return Verified(tree.name, files, size, absent, tuple(bad))


def is_same(wanted: Wanted, place: Path) -> bool:
    """Whether a file is known, by a checksum, to be what is wanted."""
    try:
        held = LocalHeld(wanted.name, str(place), wanted.size, "")
    except GotdataError:
        return False
    try:
        verdict = Verdict(wanted, wanted.origins[0])
        for data in pieces(held, BLOCK_HASHED):
            verdict.update(data)
        verdict.judge()
    except IntegrityError:
        return False
    finally:
        held.close()
    return bool(verdict.expected)
