"""Listings that Hypothesis makes up: any names that a file system can hold, no two of them in each other's way."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from gotdata.model import Checksum, Kind, RemoteFile
from gotdata.snapshot_lines import sort_key

_BYTES = st.binary(min_size=1, max_size=6).filter(lambda raw: not set(raw) & {0, 0x2F} and raw not in (b".", b".."))
NAMES = st.one_of(
    st.sampled_from(["a", "b", "a-x", "a.b", "a b", "é", "é"]),
    _BYTES.map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
CHECKS = st.dictionaries(
    st.sampled_from(["md5", "crc32c"]), st.binary(min_size=4, max_size=4).map(bytes.hex), max_size=2
).map(lambda found: tuple(Checksum(*check) for check in sorted(found.items())))


@st.composite
def remote_files(draw: st.DrawFn, path: str) -> RemoteFile:
    kind = draw(st.sampled_from([Kind.FILE, Kind.FILE, Kind.LINK, Kind.DIR]))
    if kind is Kind.DIR:
        return RemoteFile(path, None, kind)
    if kind is Kind.LINK:
        return RemoteFile(path, None, kind, target=draw(NAMES))
    checks = draw(CHECKS)
    if draw(st.booleans()):
        checks = tuple(sorted([*checks, Checksum("sha256", draw(st.binary(min_size=32, max_size=32)).hex())]))
    # An @ or ? could make a secret of it, which is refused.
    at = draw(TEXT).replace("@", "").replace("?", "")
    return RemoteFile(path, draw(st.integers(0, 2**53 - 1)), kind, at, draw(TEXT), checks, draw(st.booleans()))


@st.composite
def listings(draw: st.DrawFn) -> list[RemoteFile]:
    """In the order of snapshots, folders that hold something left out."""
    paths = sorted(draw(st.sets(PATHS, max_size=12)), key=sort_key)
    standing = [
        path for path, follower in pairwise([*paths, ""]) if not sort_key(follower).startswith(sort_key(path) + b"\0")
    ]
    return [draw(remote_files(path)) for path in standing]
