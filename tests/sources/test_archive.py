from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from gotdata.context import Context
from gotdata.errors import IntegrityError, NoRanges, PolicyError, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.origin import Wanted
from gotdata.reach import Reach
from gotdata.sources.archive import Archive
from gotdata.testing.conformance import shows
from gotdata.testing.hostile_contract import HostileContract
from gotdata.testing.server import Server
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context, follow
from gotdata.wire_trees import Bench

SOURCE = Archive()
Files = dict[str, bytes | None]
"""Path → bytes; None for a folder."""


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for path, body in files.items():
            archive.writestr(zipfile.ZipInfo(path if body is not None else f"{path}/"), body or b"", method)
    return out.getvalue()


def tarred(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, body in files.items():
            member = tarfile.TarInfo(path)
            member.type = tarfile.REGTYPE if body is not None else tarfile.DIRTYPE
            member.size = len(body or b"")
            archive.addfile(member, io.BytesIO(body or b""))
    return out.getvalue()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


class Packaged:
    """An archive behind a web server, made anew with every change."""

    def __init__(self, server: Server, make: Callable[[Files], bytes], name: str) -> None:
        self.server, self.make, self.name = server, make, name
        self.files: Files = {}
        self.ref = Ref(server.at(name), (("unpack", "true"),))
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.files[path] = body
        self._publish()

    def remove(self, path: str) -> None:
        del self.files[path]
        self._publish()

    def folder(self, path: str) -> None:
        self.files[path] = None
        self._publish()

    def one(self, path: str) -> Ref:
        raise NotImplementedError

    def fill(self, count: int) -> None:
        self.files |= {f"many/{number}": b"1" for number in range(count)}
        self._publish()

    def deny(self) -> None:
        self.server.change(self.name, auth="Bearer let-me-in")

    def limit(self, times: int) -> None:
        self.server.change(self.name, statuses=(429,) * times)

    def cut(self, path: str, after: int) -> None:
        self.server.change(self.name, cut=min(after, 300), cuts=1)

    def _publish(self) -> None:
        self.server.put(self.name, self.make(self.files))


class Fresh(Packaged):
    """Each use has a store of its own, in which nothing is: as on another machine."""

    def __init__(self, server: Server, make: Callable[[Files], bytes], name: str, stores: Path) -> None:
        self._stores, self._benches = stores, []
        super().__init__(server, make, name)

    @property
    def ctx(self) -> Context:  # type: ignore[override]
        folder = self._stores / str(len(self._benches))
        bench = Bench(context(store=str(folder), connections=4))
        self._benches.append(bench)
        return bench.ctx

    @ctx.setter
    def ctx(self, _: Context) -> None: ...

    def close(self) -> None:
        for bench in self._benches:
            bench.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(index="") as server:
        yield server


class _ArchiveContract(SourceContract):
    source = SOURCE
    single = False


class TestZip(_ArchiveContract):
    against = "zip"
    checks = "crc32"
    ranges = False

    @pytest.fixture
    def place(self, server: Server) -> Place:
        return Packaged(server, zipped, "x.zip")

    def test_any_range_is_exact(self, place: Place) -> None:
        """Of what is packed only the whole can be had."""
        place.put("f", BODY)
        pin = self.pin(place)
        with pytest.raises(NoRanges):
            SOURCE.read(pin, self.listed(place, pin)["f"], Span(1, 2), place.ctx)


class TestStoredZip(_ArchiveContract):
    against = "zip, stored"
    checks = "crc32"

    @pytest.fixture
    def place(self, server: Server) -> Place:
        return Packaged(server, lambda files: zipped(files, zipfile.ZIP_STORED), "x.zip")


class TestTar(_ArchiveContract):
    against = "tar"
    odd_names = (*ODD_NAMES, "line\nbreak", "not-utf8-\udcff")

    @pytest.fixture
    def place(self, server: Server) -> Place:
        return Packaged(server, tarred, "x.tar")


class TestPackedTar(_ArchiveContract):
    against = "tar.gz"
    checks = "sha256"
    lacks = ("cut",)

    @pytest.fixture
    def place(self, server: Server, tmp_path: Path) -> Iterator[Place]:
        place = Fresh(server, lambda files: PACK["gz"](tarred(files)), "x.tar.gz", tmp_path)
        yield place
        place.close()

    @shows("range")
    def test_any_range_is_exact(self, place: Place) -> None:
        """In one store, as every range of the contract's would be unpacked anew."""
        place.put("a", b"1")
        place.put("f", BODY)
        ctx = place.ctx
        pin = self.pin(place)
        file = {file.path: file for file in SOURCE.files(pin, ctx)}["f"]
        for span in (Span(0, 1), Span(5, 99_000), Span(99_999, 100_000)):
            with SOURCE.read(pin, file, span, ctx) as stream:
                assert stream.readall() == BODY[span.start : span.stop]


class Forger:
    """An archive that lies."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ctx = context()
        self.ref = Ref(server.put("x.zip", zipped({"f": BODY})), (("unpack", "true"),))

    def lie(self, what: str) -> None:
        if what == "names":
            self.server.put("x.zip", zipped({"../../etc/passwd": b"root"}))
        elif what == "twins":
            self.server.put("x.zip", zipped({"f": b"1", "g": b"1"}).replace(b"g", b"f"))
        elif what == "sizes":
            self.server.put("x.zip", larger(zipped({"f": BODY}), "f", len(BODY) + 1))
        else:
            wall: dict[str, Any] = {
                "html": {"login": True},
                "login": {"login": True},
                "challenge": {"always": 202},
                "garbage": {},
            }[what]
            self.server.put("x.zip", b'{"unfinished": [', **wall)

    def asked(self) -> int:
        return len(self.server.requests)


def larger(archive: bytes, name: str, size: int) -> bytes:
    """With another size of a member in the directory."""
    at = archive.rindex(name.encode()) - 46
    return archive[: at + 24] + struct.pack("<L", size) + archive[at + 28 :]


class TestForgedArchives(HostileContract):
    source = SOURCE
    against = "zip"
    told = "x.zip"
    lies = ("sizes", "names", "twins")

    @pytest.fixture
    def liar(self, server: Server) -> Forger:
        return Forger(server)


def pinned(server: Server, name: str, body: bytes, ctx: Context | None = None) -> Pin:
    return follow(Ref(server.put(name, body), (("unpack", "true"),)), ctx or context())[1]


def listed(server: Server, name: str, body: bytes) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pinned(server, name, body), context())}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(context(store=str(tmp_path / "store"))) as bench:
        yield bench


def test_one_member_of_a_large_zip_is_read_without_the_rest(server: Server) -> None:
    noise = bytes((number * number) >> 3 & 255 for number in range(1_000_000))
    body = zipped({f"{number}.bin": noise for number in range(40)}, zipfile.ZIP_STORED)
    pin = pinned(server, "x.zip", body)
    file = next(file for file in SOURCE.files(pin, context()) if file.path == "20.bin")
    before = len(server.requests)
    with SOURCE.read(pin, file, Span(500_000, 500_100), context()) as stream:
        assert stream.readall() == noise[500_000:500_100]
    ranges = [request.headers["range"] for request in server.requests[before:]]
    assert len(ranges) == 2
    assert all(asked < 200 for asked in map(_length, ranges))


def _length(header: str) -> int:
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(last) - int(first)


def test_a_small_archive_is_asked_for_once(server: Server, bench: Bench) -> None:
    pin = pinned(server, "x.zip", zipped({f"{number}": b"1" for number in range(50)}), bench.ctx)
    for file in SOURCE.files(pin, bench.ctx):
        with SOURCE.read(pin, file, Span(0, 1), bench.ctx) as stream:
            assert stream.readall() == b"1"
    assert len([one for one in server.requests if one.headers.get("range") != "bytes=0-0"]) == 1


@pytest.mark.parametrize("packing", PACK)
def test_what_tar_packs_is_unpacked_into_the_store_and_hashed(server: Server, bench: Bench, packing: str) -> None:
    files: Files = {"d/a": BODY, "d/empty": b"", "e": None}
    pin = pinned(server, f"x.tar.{packing}", PACK[packing](tarred(files)), bench.ctx)
    assert pin.version["kind"] == f"tar.{packing}"
    found = {file.path: file for file in SOURCE.files(pin, bench.ctx)}
    assert found.keys() == files.keys()
    assert [check.algorithm for check in found["d/a"].checks] == ["sha256"]
    with SOURCE.read(pin, found["d/a"], Span(7, 5000), bench.ctx) as stream:
        assert stream.readall() == BODY[7:5000]
    assert len([one for one in server.requests if one.headers.get("range") != "bytes=0-0"]) <= 2


@pytest.mark.parametrize("packing", PACK)
def test_a_packed_file_is_a_folder_with_that_file(server: Server, bench: Bench, packing: str) -> None:
    body = PACK[packing](BODY)
    pin = pinned(server, f"counts.csv.{packing}", body + (body if packing != "zst" else b""), bench.ctx)
    [file] = SOURCE.files(pin, bench.ctx)
    assert (file.path, file.size) == ("counts.csv", len(BODY) * (1 if packing == "zst" else 2))
    with SOURCE.read(pin, file, Span(0, file.size), bench.ctx) as stream:
        assert stream.readall()[: len(BODY)] == BODY


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_what_is_cut_off_is_said_to_be_damaged(server: Server, bench: Bench, packing: str) -> None:
    with pytest.raises(SourceError, match=r"can't be unpacked.*cut off"):
        pinned(server, f"x.tar.{packing}", PACK[packing](tarred({"a": BODY}))[:-20], bench.ctx)


def test_links_and_programs_stay_what_they_are(server: Server) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, target, mode in (
            ("./bin/run", tarfile.REGTYPE, "", 0o755),
            ("./bin/soft", tarfile.SYMTYPE, "run", 0o777),
            ("./bin/hard", tarfile.LNKTYPE, "./bin/run", 0o755),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, mode
            member.size = 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"true"))
    found = listed(server, "x.tar", out.getvalue())
    assert (found["bin/run"].executable, found["bin/run"].size) == (True, 4)
    assert (found["bin/soft"].kind, found["bin/soft"].target) == (Kind.LINK, "run")
    assert found["bin/hard"].at == found["bin/run"].at


def test_links_in_a_zip_are_links(server: Server) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("run", b"1")
        link = zipfile.ZipInfo("soft")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "run")
    assert listed(server, "x.zip", out.getvalue())["soft"].target == "run"


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (tarfile.CHRTYPE, "is a device"),
        (tarfile.FIFOTYPE, "is a pipe"),
        (tarfile.LNKTYPE, "which is not before it"),
    ],
)
def test_what_no_snapshot_holds_is_refused(server: Server, member: bytes, words: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("x")
        info.type, info.linkname = member, "elsewhere"
        archive.addfile(info)
    with pytest.raises(SourceError, match=words):
        listed(server, "x.tar", out.getvalue())


def test_a_zip_whose_members_share_their_bytes_is_a_bomb(server: Server) -> None:
    """All members of the directory name the same packed bytes."""
    one = zipped({f"{number:03}": bytes(1 << 20) for number in range(200)})
    start = one.index(b"PK\1\2")
    head, directory, end = one[: one.index(b"PK\3\4", 4)], one[start : one.rindex(b"PK\5\6")], one[-22:]
    entry = len(directory) // 200
    shared = b"".join(
        directory[at : at + 42] + bytes(4) + directory[at + 46 : at + entry] for at in range(0, len(directory), entry)
    )
    forged = head + shared + end[:16] + struct.pack("<L", len(head)) + end[20:]
    with pytest.raises(SourceError, match="more bytes than it has: a bomb"):
        listed(server, "x.zip", forged)


def test_a_size_that_no_stream_can_have_is_a_bomb(server: Server) -> None:
    with pytest.raises(SourceError, match="more than can be in them: a bomb"):
        listed(server, "x.zip", larger(zipped({"f": BODY}), "f", 1 << 31))


def test_what_unpacks_without_end_is_a_bomb(server: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotdata.sources.archive_packed._FREE", 1 << 20)
    with pytest.raises(SourceError, match="bomb"):
        pinned(server, "x.bz2", bz2.compress(bytes(64 << 20)), bench.ctx)


@pytest.mark.parametrize(
    ("flags", "method", "words"), [(1, 0, "is encrypted"), (0, 9, "packed by deflate64"), (0, 77, "method 77")]
)
def test_a_member_that_cannot_be_read_is_named(server: Server, flags: int, method: int, words: str) -> None:
    body = zipped({"secret.csv": BODY}, zipfile.ZIP_STORED)
    at = body.rindex(b"secret.csv") - 46
    forged = body[: at + 8] + struct.pack("<HH", flags, method) + body[at + 12 :]
    with pytest.raises(SourceError, match=f"secret.csv.*{words}"):
        listed(server, "x.zip", forged)


def test_a_zip_beyond_four_gigabytes_is_understood(server: Server) -> None:
    """By its 64-bit fields, forced where 32 bits would do."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", allowZip64=True) as archive, archive.open("f", "w", force_zip64=True) as member:
        member.write(BODY)
    body = out.getvalue()
    start, end = body.index(b"PK\1\2"), body.rindex(b"PK\5\6")
    entry = body[start:end]
    extra = struct.pack("<HHQQQ", 1, 24, len(BODY), len(BODY), 0)
    wide = entry[:20] + b"\xff" * 8 + entry[28:30] + struct.pack("<H", len(extra)) + entry[32:42] + b"\xff" * 4
    wide += entry[46 : 46 + 1] + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(wide), start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + len(wide), 1)
    last = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    pin = pinned(server, "x.zip", body[:start] + wide + end64 + locator + last)
    [file] = SOURCE.files(pin, context())
    with SOURCE.read(pin, file, Span(3, 9), context()) as stream:
        assert stream.readall() == BODY[3:9]


def test_old_names_are_read_by_their_code_page(server: Server) -> None:
    body = zipped({"gr?n": b"1"}).replace(b"gr?n", b"gr\x81n")
    assert list(listed(server, "x.zip", body)) == ["grün"]


def test_what_is_no_archive_is_said_to_be_none(server: Server) -> None:
    with pytest.raises(ResolveError, match="it is no zip, tar, gz"):
        pinned(server, "x.csv", b"a,b\n1,2\n")


def test_several_files_are_no_archive() -> None:
    with Server() as server:
        server.put("d/a.zip", zipped({"f": b"1"}))
        server.put("d/b.zip", zipped({"f": b"1"}))
        with pytest.raises(ResolveError, match=r"a\.zip, b\.zip.*for one archive; name the URL"):
            follow(Ref(server.at("d/"), (("unpack", "true"),)), context())


def test_a_changed_archive_is_noticed_in_the_middle(server: Server) -> None:
    pin = pinned(server, "x.zip", zipped({"f": BODY}))
    [file] = SOURCE.files(pin, context())
    body = bytearray(zipped({"f": BODY}))
    body[60] ^= 255
    etag = pin.version["version"].removeprefix("etag:")
    server.put("x.zip", bytes(body), etag=etag)
    with pytest.raises(UpstreamChanged, match="the archive changed, or is damaged"):
        SOURCE.read(pin, file, Span(0, len(BODY)), context()).readall()


@pytest.mark.parametrize(
    "forged", [{"source": "archive"}, {"size": "x"}, {"kind": "exe"}, {"content": ""}, {"sha256": "", "kind": "gz"}]
)
def test_a_forged_pin_is_refused(server: Server, bench: Bench, forged: dict[str, str]) -> None:
    pin = pinned(server, "x.csv.gz", gzip.compress(b"1"), bench.ctx)
    [file] = SOURCE.files(pin, bench.ctx)
    said = {name: value for name, value in {**pin.version, **forged}.items() if value}
    with pytest.raises((IntegrityError, SourceError)):
        SOURCE.read(Pin(pin.source, pin.ref, pin.namespace, said), file, Span(0, 1), bench.ctx)


def edited(pin: Pin, url: str = "", **words: str) -> Pin:
    said = {name: value for name, value in {**pin.version, **words}.items() if value}
    return Pin(pin.source, replace(pin.ref, url=url or pin.ref.url), pin.namespace, said)


@pytest.fixture
def allowed(tmp_path: Path) -> Iterator[tuple[Pin, Context]]:
    """A pin of an archive in the one folder that may be read, beside which a secret lies."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "allowed/link").symlink_to(tmp_path / "secret")
    (tmp_path / "allowed/a.tar").write_bytes(tarred({"f": b"public"}))
    ref = Ref(f"file://{tmp_path}/allowed/a.tar", (("unpack", "true"),))
    with Bench(context(store=str(tmp_path / "store"))) as bench:
        pin = SOURCE.resolve(ref, bench.ctx)
        yield pin, replace(bench.ctx, reach=Reach(local=(str(tmp_path / "allowed"),)))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file://{}/allowed", {"file": "../secret", "in.kind": "folder"}),
        ("file://{}/allowed", {"file": "link", "in.kind": "folder"}),
        ("file://{}/allowed/link", {"file": "link"}),
        ("file://{}/secret", {"file": "secret"}),
        ("s3:/{}/secret", {"file": "secret"}),
    ],
)
def test_a_forged_pin_reads_no_other_file_of_this_machine(
    allowed: tuple[Pin, Context], tmp_path: Path, url: str, words: dict[str, str]
) -> None:
    pin, ctx = allowed
    forged = edited(pin, url.format(tmp_path), size="6", kind="tar", version="", **words)
    file = RemoteFile("f", 6, at="0")
    with pytest.raises((IntegrityError, PolicyError)):
        SOURCE.read(forged, file, Span(0, 6), ctx).readall()
    with pytest.raises((IntegrityError, PolicyError)):
        list(SOURCE.files(forged, ctx))


def test_what_another_lock_reads_elsewhere_in_an_archive_is_kept_apart(server: Server, bench: Bench) -> None:
    pin = pinned(server, "x.tar", tarred({"a.bin": b"A" * 600, "b.bin": b"B" * 600}), bench.ctx)
    honest, other = SOURCE.files(pin, bench.ctx)
    mirror = bench.mirror(pin, bench.realm(pin))
    forged = replace(honest, at=other.at)
    wanted = [Wanted("x", 600, "weak:x#a.bin#1", mirror(file)) for file in (forged, honest)]
    bench.reader.whole(wanted[0]).close()
    assert bench.reader.whole(wanted[1]).pread(Span(0, 600)) == b"A" * 600


def test_a_file_of_another_version_than_its_archive_is_refused(server: Server) -> None:
    pin = pinned(server, "x.tar", tarred({"f": BODY}))
    [file] = SOURCE.files(pin, context())
    with pytest.raises(IntegrityError, match="of another version"):
        SOURCE.read(pin, replace(file, version='etag:"newer"'), Span(0, 1), context())


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_thousands_of_streams_are_one_file(server: Server, bench: Bench, packing: str) -> None:
    """As bgzip writes them."""
    pin = pinned(server, f"x.vcf.{packing}", b"".join(PACK[packing](b"%04d" % n) for n in range(3000)), bench.ctx)
    [file] = SOURCE.files(pin, bench.ctx)
    with SOURCE.read(pin, file, Span(0, 12_000), bench.ctx) as stream:
        assert stream.readall() == b"".join(b"%04d" % n for n in range(3000))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_is_longer_than_any_is_a_bomb(server: Server, kind: bytes) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 2 << 30
    with pytest.raises(SourceError, match="has a header of"):
        listed(server, "x.tar", header.tobuf() + bytes(1024))


def test_headers_about_headers_end(server: Server) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    with pytest.raises(SourceError, match="no whole tar"):
        listed(server, "x.tar", (header.tobuf() + b"y\0" + bytes(510)) * 3000)


def test_a_directory_beyond_the_file_is_told(server: Server) -> None:
    body = zipped({"f": BODY})
    end = body.rindex(b"PK\5\6")
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, (1 << 64) - 1, 1)
    with pytest.raises(SourceError, match="zip64"):
        listed(server, "x.zip", body[:end] + locator + body[end:])


def test_the_checksum_of_the_archive_is_held_to(server: Server, bench: Bench) -> None:
    """What a server says of the whole is compared before anything in it is believed."""
    body = gzip.compress(tarred({"f": BODY}))
    wrong = {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}
    server.put("x.tar.gz", body, headers=wrong)
    with pytest.raises(IntegrityError, match=r"x\.tar\.gz is not what is due"):
        follow(Ref(server.at("x.tar.gz"), (("unpack", "true"),)), bench.ctx)


def test_crc32_of_members_is_listed(server: Server) -> None:
    file = listed(server, "x.zip", zipped({"f": BODY}))["f"]
    assert file.checks == (Checksum("crc32", f"{zlib.crc32(BODY):08x}"),)
