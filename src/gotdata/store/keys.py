"""The names under which the store keeps things: digests of what was truly asked, never of what a lock claims."""

from __future__ import annotations

import hashlib
import json

from gotdata.origin import Origin, Wanted

CHECK = 16
"""Bytes of a block's check. All zero: the block is not here."""


def digest(*words: str | int) -> bytes:
    """sha256 of the words as a JSON array: unlike any joining, no two lists of words give the same text."""
    text = json.dumps(words, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def source_key(origin: Origin, size: int) -> bytes:
    """Of one version of one file at one URL, as one realm sees it."""
    return digest("source", origin.realm, origin.url, origin.version, size)


def partial_key(wanted: Wanted, origin: Origin) -> bytes:
    """Of the blocks of one mirror's copy. Where the lock has hashes of them, they are kept apart from those that came
    without: what is found under this key was compared."""
    if not wanted.blocks:
        return source_key(origin, wanted.size)
    hashes = hashlib.sha256(b"".join(wanted.blocks)).hexdigest()
    return digest("hashed", origin.realm, origin.url, origin.version, wanted.size, hashes)


def content_key(identity: str) -> bytes:
    """Of public content by its strong identity, ``sha256:…``."""
    return digest("content", "public", identity)


def fact_key(identity: str) -> bytes:
    """Of what was found once for whoever may have the content: which sha256 the content of this identity has."""
    return digest("fact", identity)


def check(key: bytes, block: int, data: bytes | memoryview) -> bytes:
    """Of a block of a partial file: binds the bytes to the file's key and their place in it."""
    check = hashlib.sha256(key + block.to_bytes(8, "big"))
    check.update(data)
    return check.digest()[:CHECK]
