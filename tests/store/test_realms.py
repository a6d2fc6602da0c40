"""A claimed checksum opens nothing: hostile locks against the store."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing

import pytest

from gotdata.errors import AccessDenied, GotdataError, IntegrityError
from gotdata.model import BLOCK, Span
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.testing.origins import FakeOrigin, Fault, sha256, wanted

DATA = os.urandom(2 * BLOCK + 5)
SIZE = len(DATA)
SECRET = "cred:" + "ab" * 32


def refusing(url: str, realm: str) -> FakeOrigin:
    return FakeOrigin(DATA, url=url, realm=realm, faults=[Fault(AccessDenied("no")) for _ in range(9)])


def bring(reader: Reader, realm: str, url: str = "https://lab.example/a") -> None:
    reader.whole(wanted(FakeOrigin(DATA, url=url, realm=realm), size=SIZE, identity=sha256(DATA))).close()


@pytest.mark.parametrize("realm", ["public", "cred:" + "cd" * 32])
def test_a_restricted_file_is_not_served_by_its_hash(store: Store, reader: Reader, realm: str) -> None:
    bring(reader, SECRET)
    forged = wanted(refusing("https://evil.example/x", realm), size=SIZE, identity=sha256(DATA))
    assert store.peek(forged) is None
    assert store.held(forged).pread(Span(0, 1)) is None
    assert store.cached(forged) == 0
    with pytest.raises(AccessDenied):
        reader.whole(forged)


def test_a_restricted_file_is_not_served_to_another_realm_by_its_url(store: Store, reader: Reader) -> None:
    bring(reader, SECRET)
    same_url = wanted(refusing("https://lab.example/a", "public"), size=SIZE, identity=sha256(DATA))
    assert store.peek(same_url) is None
    with pytest.raises(GotdataError):
        reader.ensure(same_url, Span(0, 1))


def test_blocks_of_an_incomplete_file_are_the_realms_own(store: Store, reader: Reader) -> None:
    origin = FakeOrigin(DATA, realm=SECRET)
    reader.ensure(wanted(origin, size=SIZE), Span(0, 1))
    other = wanted(refusing(origin.url, "public"), size=SIZE)
    assert store.held(other).pread(Span(0, 1)) is None


@pytest.mark.parametrize("field", ["url", "version", "size"])
def test_blocks_belong_to_one_url_version_and_size(store: Store, reader: Reader, field: str) -> None:
    reader.ensure(wanted(FakeOrigin(DATA), size=SIZE), Span(0, 1))
    changed = FakeOrigin(DATA)
    if field == "url":
        changed.url += "2"
    elif field == "version":
        changed.version = 'etag:"2"'
    assert store.held(wanted(changed, size=SIZE - (field == "size"))).pread(Span(0, 1)) is None


def test_a_restricted_realm_is_not_served_public_content_by_a_hash_alone(store: Store, reader: Reader) -> None:
    bring(reader, "public")
    assert store.peek(wanted(refusing("https://lab.example/b", SECRET), size=SIZE, identity=sha256(DATA))) is None


def test_public_content_is_served_to_the_public_by_its_hash_from_any_url(store: Store, reader: Reader) -> None:
    bring(reader, "public")
    mirror = refusing("https://mirror.example/b", "public")
    held = reader.whole(wanted(mirror, size=SIZE, identity=sha256(DATA)))
    assert held.pread(Span(0, SIZE)) == DATA
    assert mirror.spans == []


def test_a_false_hash_does_not_poison_the_true_one(store: Store, reader: Reader) -> None:
    popular = sha256(DATA)
    poison = FakeOrigin(os.urandom(SIZE), url="https://evil.example/x")
    with pytest.raises(IntegrityError):
        reader.whole(wanted(poison, size=SIZE, identity=popular))
    honest = wanted(FakeOrigin(DATA), size=SIZE, identity=popular)
    assert store.peek(honest) is None
    assert reader.whole(honest).pread(Span(0, SIZE)) == DATA


def test_a_weak_lock_does_not_poison_a_hash(store: Store, reader: Reader) -> None:
    """Content that came without any claim is public by the hash that it has, never by one that it was given."""
    poison = os.urandom(SIZE)
    reader.whole(wanted(FakeOrigin(poison, url="https://evil.example/x"), size=SIZE)).close()
    assert store.peek(wanted(FakeOrigin(DATA), size=SIZE, identity=sha256(DATA))) is None


def test_a_forged_hash_for_a_cached_url_is_refused_and_leaves_the_cache_alone(store: Store, reader: Reader) -> None:
    bring(reader, "public")
    false = sha256(b"another")
    origin = FakeOrigin(DATA, url="https://lab.example/a")
    with pytest.raises(IntegrityError, match=r"expected sha256:.*got sha256:"):
        reader.whole(wanted(origin, size=SIZE, identity=false))
    honest = store.peek(wanted(origin, size=SIZE, identity=sha256(DATA)))
    assert honest is not None
    assert honest.pread(Span(0, SIZE)) == DATA


def test_the_same_content_from_two_realms_is_stored_once(store: Store, reader: Reader) -> None:
    bring(reader, "public")
    bring(reader, SECRET)
    assert store.info().objects == 1
    own = store.peek(wanted(refusing("https://lab.example/a", SECRET), size=SIZE))
    assert own is not None
    assert own.pread(Span(0, SIZE)) == DATA


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("realm", ["public", SECRET])
def test_what_a_url_gave_is_not_served_for_another_identity(
    store: Store, reader: Reader, algorithm: str, realm: str
) -> None:
    """An origin without versions: its URL gave one content, and is locked as another."""
    for data in (DATA, DATA[::-1]):
        identity = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        origin = FakeOrigin(data, version="", realm=realm)
        with closing(reader.whole(wanted(origin, size=SIZE, identity=identity))) as held:
            assert held.pread(Span(0, SIZE)) == data
