"""A node's volumes and holders, with mounts that only say what they were told."""

from __future__ import annotations

import errno
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

from gotdata import policy
from gotdata.errors import DeliveryError, IntegrityError, ManifestError, NotFound, PolicyError, SourceUnavailable
from gotdata.fuse.ledger import Tally
from gotdata.fuse.log import Log
from gotdata.fuse.spec import Spec
from gotdata.policy import Grant, Who
from gotdata.reach import Reach
from gotdata.serve.node import LocalNode
from gotdata.serve.order import Found, Order, Places
from gotdata.settings import Settings

DOCKER = Who(service="docker")
SNAPSHOT = "5a" * 32
FROM = {"from": "https://data.example.org/cells/"}


class Mounts:
    def __init__(self, folder: Path) -> None:
        self.folder, self.specs, self.released = folder, dict[str, Spec](), list[str]()
        self.broken = False

    def begin(self) -> None:
        pass

    def target(self, key: str) -> Path:
        return self.folder / key

    def log(self, key: str) -> Path:
        return self.folder / f"{key}.log"

    def up(self, key: str, spec: Spec) -> Path:
        if self.broken:
            raise DeliveryError("no /dev/fuse")
        self.specs[key] = spec
        return self.target(key)

    def release(self, key: str) -> None:
        self.released.append(key)

    def tally(self, key: str, allow: int | None = None) -> Tally:
        return Tally(0, 0, 0, 0, 0)


class Rules:
    """Allows what begins with one of its words, and remembers what it was asked."""

    def __init__(self) -> None:
        self.allowed = ["https://data.example.org/"]
        self.grant = Grant("class", hide=frozenset({"source"}))
        self.asked: list[policy.Asked] = []

    def __call__(self, asked: policy.Asked) -> Grant:
        self.asked.append(asked)
        if all(any(url.startswith(word) for word in self.allowed) for url in asked.urls):
            return self.grant
        raise PolicyError(f"{asked.who} may not have {asked.urls}")


class Bench:
    """A node, and all that is around it."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder / "state", folder / "run")
        self.rules, self.orders = Rules(), list[Order]()
        self.found = Found(
            arguments={"name": "data", "index": "i"},
            snapshot=SNAPSHOT,
            level="bound",
            files=2,
            bytes=7,
            reference="https://data.example.org/cells/",
            urls=("https://data.example.org/cells/",),
        )
        self.error: Exception | None = None
        self.start()

    def start(self) -> None:
        """A daemon that knows nothing but what lies in files."""
        self.mounts: Any = Mounts(self.places.mounts)
        self.node = LocalNode(self.places, Settings(store="/nowhere"), self.rules, self._prepare, Log())
        self.node.begin(self.mounts)

    def _prepare(self, order: Order) -> Found:
        self.orders.append(order)
        if self.error:
            raise self.error
        return self.found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_volume_is_locked_once_and_known_after_a_restart(bench: Bench) -> None:
    made = bench.node.create("cells", FROM, DOCKER)
    assert made.facts["snapshot"] == SNAPSHOT
    assert bench.node.create("cells", FROM, DOCKER) == made
    bench.start()
    assert bench.node.volumes() == [made]
    written = Path(bench.orders[0].folder, "gotdata.yml").read_text()
    assert '"url": "https://data.example.org/cells/"' in written


def test_a_name_is_not_given_twice(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    with pytest.raises(DeliveryError, match="with other options"):
        bench.node.create("cells", {**FROM, "files": "*.csv"}, DOCKER)
    bench.node.remove("cells")
    bench.node.create("cells", {**FROM, "files": "*.csv"}, DOCKER)


def test_the_policy_is_asked_for_what_is_written_and_for_what_it_leads_to(bench: Bench) -> None:
    bench.found = replace(bench.found, urls=(*bench.found.urls, "https://elsewhere.example.org/"))
    with pytest.raises(PolicyError, match="elsewhere"):
        bench.node.create("cells", FROM, DOCKER)
    assert bench.node.volumes() == []
    assert not list(bench.places.volumes.iterdir())
    with pytest.raises(PolicyError):
        bench.node.create("cells", {"from": "https://evil.example.org/"}, DOCKER)
    assert len(bench.orders) == 1, "what the policy refuses as it is written is not even listed"


def test_what_is_given_back_while_one_looks_is_left_out(bench: Bench) -> None:
    """An engine that hears of an error believes that there is no such volume, and never gives back what it holds."""
    bench.node.create("cells", FROM, DOCKER)
    bench.node.mount("cells", "one")
    (bench.places.holds / "cells" / "gone.json").symlink_to("nowhere")  # listed, and not there when it is read
    assert bench.node.volume("cells").holders == ("one",)


def test_a_rule_that_is_taken_away_holds_for_the_next_container(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    bench.node.mount("cells", "one")
    bench.rules.allowed = []
    with pytest.raises(PolicyError):
        bench.node.mount("cells", "two")
    assert bench.node.volume("cells").holders == ("one",)


def test_another_snapshot_than_the_one_asked_for_is_refused(bench: Bench) -> None:
    with pytest.raises(IntegrityError, match=f"is snapshot {SNAPSHOT} now"):
        bench.node.create("cells", {**FROM, "snapshot": "ab" * 32}, DOCKER)
    assert bench.node.volumes() == []
    bench.node.create("cells", {**FROM, "snapshot": SNAPSHOT}, DOCKER)


def test_patterns_that_match_nothing_are_refused(bench: Bench) -> None:
    bench.found = replace(bench.found, files=0)
    with pytest.raises(ManifestError, match=r"no file of .* matches files=\*.nothing"):
        bench.node.create("cells", {**FROM, "files": "*.nothing"}, DOCKER)


def test_what_is_refused_is_told_to_the_operator_too(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.rules.allowed = []
    with pytest.raises(PolicyError):
        bench.node.create("cells", FROM, DOCKER)
    assert "volume cells for docker: refused: docker may not have" in capsys.readouterr().err


def test_what_fails_leaves_no_volume(bench: Bench) -> None:
    bench.error = SourceUnavailable("data.example.org did not answer")
    with pytest.raises(SourceUnavailable):
        bench.node.create("cells", FROM, DOCKER)
    assert not list(bench.places.volumes.iterdir())


def test_a_full_disk_is_told_to_whoever_creates_a_volume(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DeliveryError, match=r"'cells' on its disk: .*No space left on device"):
        bench.node.create("cells", FROM, DOCKER)
    assert not list(bench.places.volumes.iterdir())


def test_all_who_want_the_same_share_a_mount_and_the_last_lets_go_of_it(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    bench.node.create("again", FROM, DOCKER)
    first = bench.node.mount("cells", "one")
    assert bench.node.mount("cells", "two") == first == bench.node.mount("again", "three")
    [key] = bench.mounts.specs
    for volume, holder in (("cells", "one"), ("again", "three"), ("cells", "nobody")):
        bench.node.unmount(volume, holder)
        assert bench.node.held(key)
    bench.node.unmount("cells", "two")
    assert not bench.node.held(key)


def test_other_rights_are_another_mount(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    first = bench.node.mount("cells", "one")
    bench.rules.grant = replace(bench.rules.grant, hide=frozenset())
    assert bench.node.mount("cells", "two") != first


def test_what_the_policy_hides_is_not_among_the_attributes(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    bench.node.mount("cells", "one")
    [spec] = bench.mounts.specs.values()
    assert "user.gotdata.snapshot" in spec.xattrs
    assert "user.gotdata.source" not in spec.xattrs
    assert spec.opens == "gotdata.wire_trees:held"


def test_a_holder_that_asks_again_is_one_holder_also_after_a_restart(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    place = bench.node.mount("cells", "one")
    bench.start()
    assert bench.node.volume("cells").mountpoint == str(place)
    bench.node.mount("cells", "one")
    assert bench.node.volume("cells").holders == ("one",)
    assert bench.node.held(place.name)


def test_a_volume_in_use_is_not_removed(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    bench.node.mount("cells", "one")
    with pytest.raises(DeliveryError, match="in use by 1"):
        bench.node.remove("cells")
    bench.node.unmount("cells", "one")
    bench.node.remove("cells")
    with pytest.raises(NotFound, match="no volume 'cells'"):
        bench.node.volume("cells")


def test_a_mount_that_fails_holds_nothing(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    bench.mounts.broken = True
    with pytest.raises(DeliveryError, match="/dev/fuse"):
        bench.node.mount("cells", "one")
    assert bench.node.volume("cells").holders == ()


def test_a_scratch_beyond_what_the_rule_allows_is_the_policys_to_refuse(bench: Bench) -> None:
    bench.rules.allowed = []
    with pytest.raises(PolicyError):
        bench.node.create("cells", {**FROM, "scratch": "1GiB"}, DOCKER)
    assert bench.rules.asked[-1].scratch == 1 << 30


def test_files_that_are_handed_over_stay_below_their_folder(bench: Bench, tmp_path: Path) -> None:
    manifest = b'{"gotdata": 1, "data": {"data": {"from": "https://data.example.org/cells/"}}}'
    with pytest.raises(Exception, match="evil"):
        bench.node.create("cells", {}, DOCKER, {"gotdata.yml": manifest, "../evil": b"x"})
    assert not list(tmp_path.rglob("evil"))
    assert not list(bench.places.volumes.iterdir())


def test_where_a_user_wants_it_is_judged_then_and_at_each_mount(bench: Bench) -> None:
    manifest = b'{"gotdata": 1, "data": {"data": {"from": "https://data.example.org/cells/"}}}'
    bench.node.create("cells", {}, Who(user="alice", uid=1000), {"gotdata.yml": manifest}, "/home/alice/data")
    bench.node.mount("cells", "x")
    assert {asked.root for asked in bench.rules.asked} == {"/home/alice/data"}
    assert {asked.who.user for asked in bench.rules.asked} == {"alice"}


def test_a_daemon_that_starts_finds_anew_what_its_mounts_are_made_of(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    bench.found = replace(bench.found, arguments={"name": "data", "index": "i", "realms": ["another"]})
    bench.start()
    for thread in threading.enumerate():
        if thread.name == "refresh":
            thread.join()
    bench.node.mount("cells", "one")
    [spec] = bench.mounts.specs.values()
    assert spec.arguments["realms"] == ["another"]


def test_a_mount_reaches_what_the_rule_of_now_lets_it(bench: Bench) -> None:
    bench.node.create("cells", FROM, DOCKER)
    first = bench.node.mount("cells", "one")
    bench.rules.grant = replace(bench.rules.grant, reach=Reach(networks=("10.0.0.0/8",)))
    second = bench.node.mount("cells", "two")
    assert first != second, "no mount of another reach is shared"
    reached = [bench.mounts.specs[path.name].arguments["reach"]["networks"] for path in (first, second)]
    assert [list(networks) for networks in reached] == [[], ["10.0.0.0/8"]]


def test_a_manifest_that_is_not_allowed_is_not_read(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "gotdata.yml").write_text("root:hunter2: x")
    bench.node = LocalNode(bench.places, Settings(), policy.Policy().judge, bench._prepare, Log())
    for name in ("gotdata.yml", "none.yml"):
        with pytest.raises(PolicyError) as caught:
            bench.node.create("cells", {"manifest": str(tmp_path / name), "dataset": "x"}, DOCKER)
        assert "hunter2" not in str(caught.value)
