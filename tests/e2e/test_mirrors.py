"""Mirrors across kinds: a record behind a DOI, an object store and a web server hold the same data, and one of them
dies, lies or is away."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gotdata.errors import IntegrityError, SourceUnavailable
from gotdata.project import MOUNT, Project
from gotdata.testing.invenio_double import Repository
from tests.e2e import servers
from tests.e2e.s3_place import PrefixPlace, give_keys

MIB = 1 << 20
FILES = {"big.bin": random.Random(1).randbytes(24 * MIB), "small.csv": b"cell,count\na,1\n"}


@dataclass
class Copies:
    """The same files in three places, and how a manifest names each."""

    repository: Repository
    bucket: PrefixPlace
    nginx: servers.Nginx
    www: Path
    refs: dict[str, dict[str, str]]
    ended: ExitStack = field(default_factory=ExitStack)

    def asked(self) -> dict[str, int]:
        """Requests for the big file. SeaweedFS keeps no record that could be read."""
        record = [one for one in self.repository.server.requests if "big.bin" in one.path]
        return {"doi": len(record), "web": len(self.nginx.answers("/data/big.bin"))}


@pytest.fixture
def copies(tmp_path: Path, weed: servers.S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copies]:
    give_keys(monkeypatch, weed)
    www = tmp_path / "www"
    (www / "data").mkdir(parents=True)
    bucket = PrefixPlace(weed)
    with ExitStack() as ended, Repository() as repository:
        record = repository.publish(FILES)
        for name, body in FILES.items():
            (www / "data" / name).write_bytes(body)
            bucket.put(name, body)
        nginx = ended.enter_context(servers.nginx(www, tmp_path / "nginx"))
        refs = {
            "doi": {"url": f"doi:10.5072/zenodo.{record}", "resolver": repository.root},
            "s3": {"url": bucket.ref.url, **dict(bucket.ref.options)},
            "web": {"url": f"{nginx.url}/data/"},
        }
        yield Copies(repository, bucket, nginx, www, refs, ended)


def opened(root: Path, copies: Copies, *order: str, wish: str = "copy") -> Project:
    root.mkdir(exist_ok=True)
    held = {"from": [copies.refs[name] for name in order], "as": wish}
    (root / "gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": held}}))
    return Project.find(root, {"retries": "1", "connect_timeout": "2"})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


DUE = hashlib.sha256(FILES["big.bin"]).hexdigest()


@pytest.mark.parametrize("order", [("doi", "s3", "web"), ("web", "doi", "s3"), ("s3", "web", "doi")])
def test_the_first_is_asked_and_the_others_are_not(
    tmp_path: Path, store: Path, copies: Copies, order: tuple[str, ...]
) -> None:
    with opened(tmp_path / "project", copies, *order) as project:
        project.lock()
        before = copies.asked()
        project.up()
        assert sha256(tmp_path / "project/data/cells/big.bin") == DUE
    for name, asked in copies.asked().items():
        assert (asked > before[name]) is (name == order[0])


@pytest.mark.skipif(bool(MOUNT.refusal()), reason=f"no mounts here: {MOUNT.refusal()}")
@pytest.mark.parametrize("second", ["doi", "s3"])
def test_a_web_server_that_dies_in_the_middle_of_a_mounted_read_is_not_noticed(
    tmp_path: Path, store: Path, copies: Copies, second: str
) -> None:
    with opened(tmp_path / "project", copies, "web", second, wish="mount") as project:
        project.up()
        try:
            digest = hashlib.sha256()
            with (tmp_path / "project/data/cells/big.bin").open("rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                digest.update(file.read(2 * MIB))
                copies.ended.close()
                while piece := file.read(MIB):
                    digest.update(piece)
            assert digest.hexdigest() == DUE
        finally:
            project.down(lazy=True)


def test_a_mirror_that_differs_is_caught_by_the_checksum_and_another_is_read(
    tmp_path: Path, store: Path, copies: Copies
) -> None:
    """nginx tells an ETag only, made of time and size: the record's md5 is what says that its bytes are others."""
    with opened(tmp_path / "project", copies, "web", "doi") as project:
        project.lock()
        place = copies.www / "data/big.bin"
        before = place.stat()
        with place.open("r+b") as file:
            file.seek(MIB)
            file.write(b"!")
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
        project.up()
        assert sha256(tmp_path / "project/data/cells/big.bin") == DUE
    assert all(copies.asked().values())


def test_where_none_has_it_any_more_each_is_told_and_nothing_delivered(
    tmp_path: Path, store: Path, copies: Copies
) -> None:
    with opened(tmp_path / "project", copies, "web", "s3") as project:
        project.lock()
        copies.ended.close()
        copies.bucket.put("big.bin", FILES["big.bin"][:-1] + b"!")
        with pytest.raises(SourceUnavailable, match="none of 2 mirrors could give it") as caught:
            project.up()
    assert copies.nginx.url in str(caught.value)
    assert copies.bucket.name in str(caught.value)
    assert not (tmp_path / "project/data/cells").exists()


def test_copies_that_differ_when_they_are_locked_are_refused(tmp_path: Path, store: Path, copies: Copies) -> None:
    (copies.www / "data/small.csv").write_bytes(b"another")
    with (
        opened(tmp_path / "project", copies, "doi", "web") as project,
        pytest.raises(IntegrityError, match=r"mirrors hold different data.*'small.csv' has 15 bytes here and 7 there"),
    ):
        project.lock()


def test_a_mirror_that_is_away_when_the_data_is_locked_is_left_out_and_told(
    tmp_path: Path, store: Path, copies: Copies
) -> None:
    root = tmp_path / "project"
    with opened(root, copies, "doi", "s3", "web") as project:
        (whole,) = project.lock()
    (root / "gotdata.lock").unlink()
    copies.ended.close()
    said: list[str] = []
    with Project.find(root, {"retries": "0"}, lambda event: said.append(event.text)) as project:
        (done,) = project.lock()
        assert done.snapshot == whole.snapshot, "what the data is does not depend on who was there"
        project.up()
        assert sha256(root / "data/cells/big.bin") == DUE
    assert [text for text in said if "is left out of the lock until `gotdata lock --update`" in text]


def test_the_first_must_be_there_when_the_data_is_locked(tmp_path: Path, store: Path, copies: Copies) -> None:
    copies.ended.close()
    with (
        opened(tmp_path / "project", copies, "web", "doi") as project,
        pytest.raises(SourceUnavailable, match=r"first of the mirrors .* must answer: another can be put first"),
    ):
        project.lock()
    assert not (tmp_path / "project/gotdata.lock").exists()


def test_a_mirror_that_is_away_later_is_passed_by(tmp_path: Path, store: Path, copies: Copies) -> None:
    with opened(tmp_path / "project", copies, "web", "s3") as project:
        project.lock()
        copies.ended.close()
        project.up()
        assert sha256(tmp_path / "project/data/cells/big.bin") == DUE


def test_empty_folders_are_those_of_the_first(tmp_path: Path, store: Path, copies: Copies) -> None:
    """A repository of records has none, a web server has."""
    (copies.www / "data/empty").mkdir()
    for order, there in ((("web", "doi"), True), (("doi", "web"), False)):
        with opened(tmp_path / order[0], copies, *order) as project:
            project.up()
            assert (tmp_path / order[0] / "data/cells/empty").is_dir() is there
