from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gotdata.errors import StoreError
from gotdata.model import BLOCK, Span
from gotdata.origin import Wanted
from gotdata.settings import Settings
from gotdata.store import disk
from gotdata.store.partial import Partial
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.testing.origins import FakeOrigin, sha256, wanted
from tests.store.conftest import SETTINGS, MakeReader

SIZE = 4 * BLOCK
MIB = 1 << 20


def file(number: int, size: int = SIZE) -> Wanted:
    data = bytes([number]) * size
    return wanted(FakeOrigin(data, url=f"https://data.example/{number}"), size=size, identity=sha256(data))


def bring(reader: Reader, *files: Wanted) -> None:
    for one in files:
        reader.whole(one).close()


def used_at(store: Store, one: Wanted, seconds: int) -> None:
    """As if it had last been used then."""
    held = store.peek(one)
    assert held is not None
    os.utime(held.fd, (seconds, seconds))
    held.close()


def here(store: Store, *files: Wanted) -> list[bool]:
    return [store.cached(one) == one.size for one in files]


# The folder


def test_a_store_is_private_and_marked(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "store"
    Store.open(root, SETTINGS)
    Store.open(root, SETTINGS)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert (root / "version").read_text() == "gotdata store 1\n"
    assert (root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_a_store_that_others_could_enter_is_closed_to_them(tmp_path: Path) -> None:
    root = tmp_path / "store"
    Store.open(root, SETTINGS)
    root.chmod(0o755)
    Store.open(root, SETTINGS)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    before = tmp_path.stat().st_mode
    with pytest.raises(StoreError, match=r"holds something else \(thesis.tex\): set GOTDATA_STORE"):
        Store.open(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert tmp_path.stat().st_mode == before


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("gotdata store 2\n")
    with pytest.raises(StoreError, match="upgrade gotdata"):
        Store.open(tmp_path, SETTINGS)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_store_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    os.chown(root, 12345, 12345)
    with pytest.raises(StoreError, match=r"another user.s.*GOTDATA_STORE"):
        Store.open(root, SETTINGS)


def test_a_place_that_cannot_be_made_is_an_error_that_says_what_next(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"opening the store .*file/store"):
        Store.open(tmp_path / "file" / "store", SETTINGS)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "ext4"), ("/home/me/x", "nfs4"), ("/home2", "ext4"), ("/my disk/store", "vfat")],
)
def test_the_file_system_is_found_in_the_mount_table(tmp_path: Path, path: str, kind: str) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /home rw shared:1 - nfs4 server:/home rw\n"
        "31 22 8:2 / /my\\040disk rw - vfat /dev/sdb1 rw\n"
    )
    assert disk.file_system(Path(path), table) == kind


# The layout, as docs/formats/store.md has it


def test_the_layout_is_as_documented(store: Store, reader: Reader) -> None:
    data = b"x" * (BLOCK + 1)
    origin = FakeOrigin(data, url="https://data.example/é", version='etag:"1"')
    one = wanted(origin, size=len(data), identity=sha256(data))
    reader.ensure(one, Span(BLOCK, BLOCK + 1))
    text = '["source","public","https://data.example/\\u00e9","etag:\\"1\\"",262145]'
    assert text == json.dumps(["source", "public", origin.url, origin.version, len(data)], separators=(",", ":"))
    key = hashlib.sha256(text.encode()).digest()
    map = store.root / "partial" / key.hex()[:2] / f"{key.hex()}.map"
    assert map.read_bytes() == bytes(16) + hashlib.sha256(key + (1).to_bytes(8, "big") + b"x").digest()[:16]
    assert map.with_suffix(".data").stat().st_size == len(data)
    reader.whole(one).close()
    digest = hashlib.sha256(data)
    assert (store.root / "objects" / digest.hexdigest()[:2] / digest.hexdigest()).read_bytes() == data
    word = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
    content = hashlib.sha256(f'["content","public","{one.identity}"]'.encode()).hexdigest()
    for name in (key.hex(), content):
        assert os.readlink(store.root / "grants" / name[:2] / name) == word


def test_where_there_are_no_symbolic_links_a_grant_is_a_small_file(
    store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(word: str, path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.symlink", refuse)
    bring(reader, file(1))
    assert all(path.is_file() and not path.is_symlink() for path in (store.root / "grants").glob("*/*"))
    assert here(store, file(1)) == [True]


@pytest.mark.parametrize("word", ["", "x", "é", "A" * 43 + "!", "../../../etc/passwd", "A" * 100])
def test_a_damaged_grant_grants_nothing(store: Store, reader: Reader, word: str) -> None:
    bring(reader, file(1))
    for grant in (store.root / "grants").glob("*/*"):
        grant.unlink()
        grant.write_text(word)
    assert store.peek(file(1)) is None


def test_an_object_of_another_size_than_the_lock_says_is_not_served(store: Store, reader: Reader) -> None:
    bring(reader, file(1))
    assert store.peek(replace(file(1), size=SIZE - 1)) is None


# Space


def test_the_least_recently_used_go_when_the_quota_is_reached(tmp_path: Path, make_reader: MakeReader) -> None:
    settings = replace(SETTINGS, store_quota=5 * MIB)
    store = Store.open(tmp_path / "small", settings)
    reader = make_reader(settings, store)
    files = [file(number) for number in range(4)]
    bring(reader, *files)
    for seconds, number in enumerate((2, 0, 3, 1)):
        used_at(store, files[number], 1000 + seconds)
    bring(reader, file(9), file(10))
    assert here(store, *files) == [True, True, False, True]
    bring(reader, file(11))
    assert here(store, *files) == [False, True, False, True]
    assert store.room.used() <= 5 * MIB


def test_a_use_is_remembered(store: Store, reader: Reader) -> None:
    bring(reader, file(1))
    used_at(store, file(1), 1000)
    store.held(file(1)).close()
    (stored,) = store.room.files()
    assert stored.used > 10**18


def test_what_is_open_is_never_evicted(tmp_path: Path, make_reader: MakeReader) -> None:
    settings = replace(SETTINGS, store_quota=3 * MIB)
    store = Store.open(tmp_path / "small", settings)
    reader = make_reader(settings, store)
    held = reader.whole(file(1))
    used_at(store, file(1), 1)
    bring(reader, file(2), file(3), file(4))
    assert held.pread(Span(0, SIZE)) == bytes([1]) * SIZE
    assert here(store, file(1)) == [True]


def test_what_another_process_has_open_is_never_evicted(store: Store, reader: Reader) -> None:
    bring(reader, file(1))
    object = store.object(file(1).identity.removeprefix("sha256:"))
    hold = "import fcntl,sys; f=open(sys.argv[1]); fcntl.flock(f,fcntl.LOCK_SH); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold, object], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert store.room.evict(MIB) == 0
        assert store.clear().kept == 1
        other.communicate()
    assert store.room.evict(MIB) == SIZE


def test_a_quota_that_cannot_be_kept_is_an_error_that_names_it(tmp_path: Path, make_reader: MakeReader) -> None:
    settings = replace(SETTINGS, store_quota=MIB + MIB // 2)
    store = Store.open(tmp_path / "small", settings)
    reader = make_reader(settings, store)
    held = reader.whole(file(1))
    with pytest.raises(StoreError, match="store_quota"):
        reader.whole(file(2))
    held.close()
    bring(reader, file(2))


def test_free_space_is_kept(store: Store, tmp_path: Path, make_reader: MakeReader) -> None:
    settings = replace(SETTINGS, store_keep_free=1 << 60)
    reader = make_reader(settings, Store.open(tmp_path / "other", settings))
    origin = FakeOrigin(bytes(SIZE))
    with pytest.raises(StoreError, match="store_keep_free"):
        reader.ensure(wanted(origin, size=SIZE), Span(0, 1))
    assert origin.spans == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"can't mount a small disk: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_fills_up_is_an_error_and_what_is_there_stays_right(
    small_disk: Path, make_reader: MakeReader
) -> None:
    store = Store.open(small_disk / "store", SETTINGS)
    reader = make_reader(of=store)
    data = os.urandom(8 * MIB)
    one = wanted(FakeOrigin(data), size=len(data))
    settings = replace(SETTINGS, store_keep_free=0)
    store.room = type(store.room)(store.root, settings)
    for at in range(0, 3 * MIB, BLOCK):
        reader.ensure(one, Span(at, at + 1))
    with pytest.raises(StoreError, match=r"free.*GOTDATA_STORE"):
        reader.ensure(one, Span(0, len(data)))
    held = store.held(one)
    assert held.pread(Span(0, 3 * MIB)) == data[: 3 * MIB]
    found = [held.pread(Span(at, at + BLOCK)) for at in range(0, len(data), BLOCK)]
    assert any(block is None for block in found)
    assert all(block in (None, data[i * BLOCK : (i + 1) * BLOCK]) for i, block in enumerate(found))


def test_a_full_disk_while_writing_evicts_what_is_old(
    store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(reader, file(1))
    write = Partial.write
    full = [OSError(28, "No space left on device")]

    def once(self: Partial, block: int, data: memoryview) -> None:
        if full:
            raise full.pop()
        write(self, block, data)

    monkeypatch.setattr(Partial, "write", once)
    bring(reader, file(2))
    assert here(store, file(1), file(2)) == [False, True]


def test_a_full_disk_with_nothing_to_evict_is_an_error(
    store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Partial, block: int, data: memoryview) -> None:
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(Partial, "write", full)
    with pytest.raises(StoreError, match=r"Disk quota exceeded; free some space"):
        reader.ensure(file(1), Span(0, 1))


@pytest.fixture
def flat_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system without holes, links and modes."""
    image, disk = tmp_path / "image", tmp_path / "vfat"
    disk.mkdir()
    with image.open("wb") as made:
        made.truncate(24 * MIB)
    for command in (["mkfs.vfat", image], ["mount", "-o", "loop", image, disk]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("mkfs.vfat (dosfstools) is not installed")
        if done.returncode:
            pytest.skip(f"can't mount a vfat disk: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_store_works_on_a_file_system_without_holes_and_links(flat_disk: Path, events: list[object]) -> None:
    store = Store.open(flat_disk / "store", SETTINGS, events.append)
    assert not store.sparse
    assert len(events) == 1
    data = os.urandom(SIZE + 5)
    origin = FakeOrigin(data)
    one = wanted(origin, size=len(data), identity=sha256(data))
    with Reader(store, SETTINGS) as reader:
        reader.ensure(one, Span(3 * BLOCK, 3 * BLOCK + 1))
        held = reader.whole(one)
        assert held.pread(Span(0, len(data))) == data
        held.close()
    assert origin.spans == [Span(0, len(data))]


# Upkeep


def test_info_counts_what_is_there(store: Store, reader: Reader) -> None:
    bring(reader, file(1), file(2))
    reader.ensure(file(3), Span(0, 1))
    info = store.info()
    assert (info.objects, info.object_bytes) == (2, 2 * SIZE)
    assert (info.partials, info.partial_bytes) == (1, BLOCK)
    assert info.root == store.root
    assert info.local
    assert info.free > 0


def test_cached_tells_how_much_of_a_file_is_here(store: Store, reader: Reader) -> None:
    one = file(1, SIZE - 7)
    assert store.cached(one) == 0
    reader.ensure(one, Span(SIZE - 8, SIZE - 7))
    assert store.cached(one) == BLOCK - 7
    bring(reader, one)
    assert store.cached(one) == SIZE - 7


def test_clear_removes_all_that_is_not_in_use(store: Store, reader: Reader) -> None:
    bring(reader, file(1))
    held = reader.whole(file(2))
    reader.ensure(file(3), Span(0, 1))
    reader.close()
    (store.root / "index" / "snapshot.sqlite").write_text("x")
    freed = store.clear()
    assert (freed.files, freed.kept) == (2, 1)
    assert here(store, file(1), file(2), file(3)) == [False, False, False]
    assert held.pread(Span(0, 1)) == b"\2"
    held.close()
    store.gc()
    assert [path for path in store.root.rglob("*") if path.is_file()] == [
        path for path in store.root.rglob("*") if path.name in {"version", "CACHEDIR.TAG"}
    ]


def test_gc_removes_only_what_nothing_leads_to(store: Store, reader: Reader) -> None:
    bring(reader, file(1), file(2))
    reader.ensure(file(3), Span(0, 1))
    store.object(file(2).identity[7:]).unlink()
    orphan = store.object("ab" * 32)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(bytes(SIZE))
    map = store.root / "partial" / "ab" / f"{'ab' * 32}.map"
    map.parent.mkdir(exist_ok=True)
    map.write_bytes(bytes(16))
    grants = len(list((store.root / "grants").glob("*/*")))
    assert store.gc().bytes == SIZE
    assert not orphan.exists()
    assert not map.exists()
    assert len(list((store.root / "grants").glob("*/*"))) == grants // 2
    assert here(store, file(1)) == [True]
    assert store.cached(file(3)) == BLOCK


def test_fsck_finds_nothing_in_a_sound_store(store: Store, reader: Reader) -> None:
    bring(reader, file(1))
    reader.ensure(file(2), Span(0, 2 * BLOCK))
    checked = store.fsck()
    assert checked.sound
    assert (checked.objects, checked.bytes, checked.blocks, checked.orphans) == (1, SIZE, 2, 0)


def test_fsck_finds_and_removes_what_was_damaged(store: Store, reader: Reader) -> None:
    bring(reader, file(1), file(2))
    reader.ensure(file(3), Span(0, 2 * BLOCK))
    reader.close()
    damaged = store.object(file(1).identity[7:])
    damaged.chmod(0o600)
    for path in (damaged, *(store.root / "partial").glob("*/*.data")):
        with path.open("r+b") as broken:
            broken.write(b"!")
    looked = store.fsck(repair=False)
    assert (looked.objects, looked.damaged, looked.blocks, looked.torn) == (2, 1, 2, 1)
    assert damaged.exists()
    assert store.fsck().damaged == 1
    assert here(store, file(1), file(2)) == [False, True]
    assert store.cached(file(3)) == BLOCK
    assert store.fsck().sound


def test_two_stores_on_one_folder_see_each_other(store: Store, reader: Reader, make_reader: MakeReader) -> None:
    other = Store.open(store.root, SETTINGS)
    bring(reader, file(1))
    origin = file(1).origins[0]
    make_reader(of=other).whole(wanted(origin, size=SIZE, identity=file(1).identity)).close()
    assert here(other, file(1)) == [True]


def test_eviction_while_readers_open_and_close_never_gives_wrong_bytes(tmp_path: Path) -> None:
    settings = Settings(store_keep_free=0, store_quota=3 * MIB, connections=2)
    store = Store.open(tmp_path / "small", settings)
    wrong: list[object] = []

    def work(seed: int) -> None:
        try:
            with Reader(store, settings) as reader:
                for step in range(12):
                    number = (seed * 7 + step * 5) % 6
                    held = reader.whole(file(number))
                    if held.pread(Span(0, SIZE)) != bytes([number]) * SIZE:
                        wrong.append(number)
                    held.close()
        except BaseException as error:
            if "store_quota" not in str(error):
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.fsck().sound
