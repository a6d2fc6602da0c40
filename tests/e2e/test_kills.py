"""What containers read when the processes behind their data are killed: the same bytes, a little later."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as examples

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

from gotdata.errors import DeliveryError
from tests.e2e import node as nodes
from tests.e2e import servers
from tests.e2e.engine import Engine
from tests.e2e.node import PATIENCE, Node, kill, stuck
from tests.e2e.reader import content

pytestmark = pytest.mark.timeout(600)  # others have a daemon before us: see engines.drivers

CAMPAIGN = examples.default is not None and examples.default.max_examples > 1000
ROUNDS, CONTAINERS, FILES = (50, 10, 120) if CAMPAIGN else (5, 4, 12)
SIZE = (2 << 20) + 12_345
WAYS = ("sequential", "random", "mapped", "held")
ALONE = ("--network=none",)
READER = Path(__file__).with_name("reader.py")


@pytest.fixture(scope="module")
def engine(own_engine: Engine) -> Engine:
    return own_engine


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Nginx]:
    www = tmp_path_factory.mktemp("www")
    for number in range(FILES):
        (www / f"{number:04}.bin").write_bytes(content(number, 0, SIZE + number))
    with servers.nginx(www, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture
def node(origin: servers.Nginx) -> Iterator[Node]:
    rule = {"who": "service:docker", "from": f"{origin.url}/", "as": "volume", "networks": "127.0.0.0/8"}
    with nodes.node({**rule, "scratch": "64MiB"}) as made:
        yield made


class Place:
    """What a test makes in the engine, and takes away."""

    def __init__(self, engine: Engine, node: Node, url: str, news: Path) -> None:
        self.engine, self._node, self._url, self._news = engine, node, url, news
        self._containers: list[str] = []
        self._names: list[str] = []

    def volume(self, folder: str = "/", *options: str) -> str:
        name = f"{self._node.driver}-{len(self._names)}"
        words = [word for option in (f"from={self._url}{folder}", *options) for word in ("-o", option)]
        self._names.append(name)
        self.engine.docker("volume", "create", "-d", self._node.driver, *words, name)
        return name

    def run(self, volume: str, *command: str) -> str:
        """A container in the background, with the volume at /data and the test's folder at /news; its id."""
        places = [f"{volume}:/data:ro", f"{self._news}:/news", f"{READER}:/reader.py:ro"]
        done = self.engine.run(self.engine.image, *command, volumes=places, detach=True, options=ALONE)
        self._containers.append(done.stdout.strip())
        return self._containers[-1]

    def read(self, volume: str) -> None:
        """In a container of its own, to the end: all is there, and right."""
        command = ("python3", "/reader.py", "/data", "/dev/null", "0", "once")
        places = [f"{volume}:/data:ro", f"{READER}:/reader.py:ro"]
        done = self.engine.run(self.engine.image, *command, volumes=places, options=ALONE)
        told = json.loads(done.stdout)
        assert (told["reads"], told["wrong"]) == (FILES, [])

    def end(self, container: str) -> dict[str, Any]:
        """The report of a reader, which ran until now."""
        assert self.engine.docker("inspect", "-f", "{{.State.Running}}", container).stdout == "true\n"
        self.engine.docker("kill", "-s", "TERM", container)
        assert self.engine.docker("wait", container).stdout == "0\n"
        told: dict[str, Any] = json.loads(self.engine.docker("logs", container).stdout)
        return told

    def clear(self) -> None:
        if self._containers:
            self.engine.docker("rm", "-f", *self._containers, check=False)
        if self._names:
            self.engine.docker("volume", "rm", "-f", *self._names, check=False)


@pytest.fixture
def place(engine: Engine, node: Node, origin: servers.Nginx, tmp_path: Path) -> Iterator[Place]:
    made = Place(engine, node, origin.url, tmp_path)
    try:
        yield made
    finally:
        made.clear()


class News:
    """A pipe into which each reader says its number after each read that was right."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def wait(self, readers: Iterable[int]) -> None:
        """Until each has read twice from now on."""
        with suppress(BlockingIOError):
            while os.read(self._fd, 1 << 16):
                pass
        due = Counter({reader: 2 for reader in readers})
        while due := +due:
            assert select.select([self._fd], [], [], 2 * PATIENCE)[0], f"readers {sorted(due)} wait for ever"
            due.subtract(reader for reader in os.read(self._fd, 1 << 16) if reader in due)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def news(tmp_path: Path) -> Iterator[News]:
    with contextlib.closing(News(tmp_path / "news")) as made:
        yield made


def kill_daemon(node: Node) -> None:
    node.kill()
    node.start()


def kill_plugin(node: Node) -> None:
    """It is a thread of the daemon."""
    assert nodes.listener(node.plugin) == node.pid
    kill_daemon(node)


def kill_server(node: Node) -> None:
    kill(random.choice(node.servers()))


def kill_worker(node: Node) -> None:
    kill(random.choice(node.workers()))


def upgrade(node: Node) -> None:
    node.stop()
    node.start()


def under_fire(place: Place, node: Node, news: News, containers: int, fire: Sequence[Callable[[Node], None]]) -> None:
    keeper = node.keeper()
    volumes = place.volume("/"), place.volume("/slow/")
    running = {}
    for number in range(containers):
        told = ("/data", "/news/news", str(number), WAYS[number % len(WAYS)])
        running[number] = place.run(volumes[number % 3 == 2], "python3", "/reader.py", *told)
    news.wait(running)
    for shot in fire:
        shot(node)
        news.wait(running)
    reports = {number: place.end(container) for number, container in running.items()}
    assert {number: report["wrong"] for number, report in reports.items()} == {number: [] for number in running}
    assert node.keeper() == keeper
    assert stuck() == []
    reads, size = (sum(report[word] for report in reports.values()) for word in ("reads", "bytes"))
    print(f"{len(fire)} times, {containers} containers: {reads:,} reads of {size:,} bytes, none wrong")


def test_every_byte_is_right_whoever_is_killed(place: Place, node: Node, news: News) -> None:
    shots = (kill_daemon, kill_server, kill_worker, kill_plugin)
    under_fire(place, node, news, CONTAINERS, [shots[number % len(shots)] for number in range(ROUNDS)])


def test_an_upgrade_is_not_noticed(place: Place, node: Node, news: News) -> None:
    under_fire(place, node, news, 2, [upgrade] * (ROUNDS // 5))


def test_a_shell_reads_on_from_the_descriptor_that_it_holds(place: Place, node: Node, tmp_path: Path) -> None:
    for name in ("said", "go"):
        os.mkfifo(tmp_path / name)
    script = """exec 3</data/0001.bin
head -c 1000000 <&3 | sha256sum
echo >/news/said
read go </news/go
cat <&3 | sha256sum"""
    container = place.run(place.volume("/slow/"), "sh", "-c", script)
    (tmp_path / "said").read_text()
    node.kill()
    for pid in node.servers():
        kill(pid)
    (tmp_path / "go").write_text("\n")
    node.start()
    assert place.engine.docker("wait", container).stdout == "0\n"
    whole = content(1, 0, SIZE + 1)
    sums = [hashlib.sha256(part).hexdigest() for part in (whole[:1_000_000], whole[1_000_000:])]
    assert place.engine.docker("logs", container).stdout == "".join(f"{one}  -\n" for one in sums)


def test_without_its_keeper_what_is_served_goes_on_and_what_is_new_comes(place: Place, node: Node, news: News) -> None:
    volume = place.volume()
    reader = place.run(volume, "python3", "/reader.py", "/data", "/news/news", "0", "held")
    news.wait([0])
    kill(node.keeper())
    assert node.ended() != 0
    assert "this daemon is to start again" in node.log()
    news.wait([0])
    node.start()
    place.read(volume)
    news.wait([0])
    assert place.end(reader)["wrong"] == []


STEPS = ("Create", "Mount", "Unmount", "Remove")


def test_a_daemon_that_is_killed_at_work_leaves_what_the_next_one_finishes(node: Node, origin: servers.Nginx) -> None:
    """The engine asks again what was not answered."""
    takes: dict[str, float] = {}

    def step(verb: str, name: str) -> str:
        options = {"from": f"{origin.url}/", "scratch": "16MiB"}
        more = {"Create": {"Opts": options}, "Mount": {"ID": name}, "Unmount": {"ID": name}, "Remove": {}}
        begin = time.monotonic()
        said: str = node.ask(verb, Name=name, **more[verb])["Err"]
        takes[verb] = time.monotonic() - begin
        return said

    assert [step(verb, "first") for verb in STEPS] == [""] * len(STEPS)
    for number in range(ROUNDS):
        name, at = f"volume{number}", number % len(STEPS)
        for verb in STEPS[:at]:
            assert step(verb, name) == ""
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(step, STEPS[at], name)
            wait([asked], random.uniform(0, takes[STEPS[at]]))
            node.kill()
            with suppress(DeliveryError):
                asked.result()
        node.start()
        for verb in STEPS[at:]:
            said = step(verb, name)
            assert said == "" or (verb == "Remove" and "no volume" in said), node.log()
        assert node.ask("List")["Volumes"] == []
        places = (node.places.volumes, node.places.holds, node.places.scratch)
        assert [left for folder in places for left in folder.iterdir()] == []
    while node.mounts():  # until the last one was unused for a second
        wait([], 0.1)
    assert node.ask("Create", Name="last", Opts={"from": f"{origin.url}/"}) == {"Err": ""}
