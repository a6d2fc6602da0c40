"""A class of thirty: as many containers read one cold file from one Docker volume, at once. Then how long `docker run`
takes to the first byte of 5 TB, beside the same container without a volume. Prints what it found."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOTDATA = Path(sys.executable).with_name("gotdata")
PORT = 18930
"""The one that gotdata.yml and nginx.conf name."""
TAG = f"gotdata-class-{os.getpid()}"
"""The driver's name, and the beginning of all other names."""
IMAGE = os.environ.get("IMAGE", "debian:12-slim")
ARCHIVE, PARTS = 5 * 10**12, 50
PUPIL = """
until [ -e /start/now ]; do sleep 0.02; done
head -c 1 /data/pages.bin >/dev/null
date +%s.%N
sha256sum /data/pages.bin
"""
POLICY = f"""
gotdata: 1
rules:
  - who: service:docker
    from: http://127.0.0.1:{PORT}/
    networks: [127.0.0.0/8]
    local: {HERE}
    as: volume
"""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Attributes:
    first: seconds from the starting signal to the first byte, of each container.
    sums: the sha256 that each of them computed.
    gotdata, containers: bytes of memory (PSS) of their processes, at most.
    """

    first: list[float]
    sums: list[str]
    seconds: float
    gotdata: int
    containers: int


def docker(*words: object) -> str:
    done = subprocess.run(["docker", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise subprocess.SubprocessError(f"docker {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def serve(folder: Path, size: int) -> str:
    """Makes the data, and has nginx serve it; gives the file's sha256."""
    for name in ("lecture", "archive"):
        (folder / name).mkdir()
    numbers = random.Random(30)
    pages = b"".join(numbers.randbytes(1 << 20) for _ in range(size >> 20))
    (folder / "lecture" / "pages.bin").write_bytes(pages)
    for number in range(PARTS):
        with (folder / "archive" / f"part-{number:02}.bin").open("wb") as file:
            file.truncate(ARCHIVE // PARTS)  # holes: they take no room
    image = os.environ.get("ORIGIN_IMAGE", "gotdata-example-origin")
    if "ORIGIN_IMAGE" not in os.environ:
        docker("build", "-q", "--build-arg", f"BASE={IMAGE}", "-t", image, HERE.parent / "docker-compose" / "origin")
    volumes = ("-v", f"{folder}:/srv/www:ro", "-v", f"{HERE}/nginx.conf:/etc/nginx/nginx.conf:ro")
    docker("run", "-d", "--init", "--name", f"{TAG}-origin", "--network=host", *volumes, image)
    wait(answers)
    return hashlib.sha256(pages).hexdigest()


def answers() -> bool:
    with suppress(OSError, http.client.HTTPException):
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/").close()
        return True
    return False


def sent(path: str) -> int:
    """Bytes that nginx sent of what lies below a path, by its log."""
    lines = [line.split() for line in docker("logs", f"{TAG}-origin").splitlines()]
    return sum(int(line[1]) for line in lines if len(line) == 4 and line[3].startswith(path))


@contextmanager
def daemon(folder: Path) -> Iterator[None]:
    """The node's daemon, with a volume driver of its own, until the end of the block; then nothing of it is left."""
    (folder / "policy.yml").write_text(POLICY)
    run = folder / "run"
    command = [GOTDATA, "daemon", f"--plugin={TAG}", f"--run={run}", f"--state={folder}/state"]
    command += [f"--policy={folder}/policy.yml", "--linger=0"]
    with (folder / "log").open("wb+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "CLASS_OF_30": TAG})
        try:
            wait(lambda: process.poll() is not None or b"ready" in (folder / "log").read_bytes())
            if process.poll() is not None:
                raise subprocess.SubprocessError((folder / "log").read_text())
            yield
            wait(lambda: not mounts(run))
        finally:
            process.terminate()
            process.wait()
            for point in mounts(run):
                subprocess.run(["umount", "--lazy", point])
            for pid in ours():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)  # the keeper: it holds nothing any more
            wait(lambda: not ours())


def mounts(folder: Path) -> list[str]:
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{folder}/")]


def wait(until: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise subprocess.SubprocessError("it takes too long")
        time.sleep(0.05)


def ours() -> list[int]:
    """The processes that the daemon began, by what stands in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"CLASS_OF_30={TAG}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def memory(pids: Sequence[int]) -> int:
    """Their proportional set size: what several share is counted once."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def lesson(folder: Path, count: int) -> Lesson:
    """All containers wait until each of them is there, and read."""
    start = folder / "start"
    start.mkdir()
    names = [f"{TAG}-{number:02}" for number in range(count)]
    volumes = ("-v", f"{TAG}-lecture:/data:ro", "-v", f"{start}:/start:ro")
    limits = ("--network=none", "--memory=64m", "--user=1000:1000")
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda name: docker("run", "-d", "--name", name, *volumes, *limits, IMAGE, "sh", "-c", PUPIL), names
            )
        )
    pids = [int(pid) for pid in docker("inspect", "-f", "{{.State.Pid}}", *names).splitlines()]
    began = time.time()
    (start / "now").touch()
    ended, most, beside = subprocess.Popen(["docker", "wait", *names], stdout=subprocess.DEVNULL), 0, 0
    while ended.poll() is None:
        most, beside = max(most, memory(ours())), max(beside, memory(pids))
        with suppress(subprocess.TimeoutExpired):
            ended.wait(0.2)
    seconds = time.time() - began
    said = [docker("logs", name).split() for name in names]
    docker("rm", *names)
    return Lesson([float(one[0]) - began for one in said], [one[1] for one in said], seconds, most, beside)


def first_byte(number: int, volume: bool) -> float:
    """Seconds from `docker run` until a byte of a file comes out of it: of the 5 TB, or of the image."""
    words = ("-v", f"{TAG}-archive:/data:ro") if volume else ()
    file = f"/data/part-{number % PARTS:02}.bin" if volume else "/etc/debian_version"
    command = ["docker", "run", "--rm", "--network=none", *words, IMAGE, "head", "-c", "1", file]
    time.sleep(1)  # as on a machine where nothing has just ended
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.read(1):
            raise subprocess.SubprocessError("no byte came")
        return time.perf_counter() - began


def compare(pairs: int, what: str) -> None:
    """The same container without a volume and with one, in turn."""
    plain, volume = [], []
    for number in range(pairs):
        plain.append(first_byte(number, volume=False))
        volume.append(first_byte(number, volume=True))
    more = statistics.median(volume) - statistics.median(plain)
    print(f"docker run to the first byte of 5 TB, {what}: {spread(volume)}")
    print(f"  without a volume {spread(plain)}: it costs {more * 1000:+.0f} ms", flush=True)


def tour(size: int, count: int, pairs: int) -> bool:
    """Whether all is as it has to be."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gotdata-class-")))
        folder.chmod(0o755)
        for name in ("www", "node"):
            (folder / name).mkdir()
        stack.callback(clear)
        digest = serve(folder / "www", size)
        stack.enter_context(daemon(folder / "node"))
        stack.callback(clear, f"{TAG}-lecture", f"{TAG}-archive")
        for dataset in ("lecture", "archive"):
            began = time.perf_counter()
            options = ("-o", f"manifest={HERE}/gotdata.yml", "-o", f"dataset={dataset}")
            docker("volume", "create", "-d", TAG, *options, f"{TAG}-{dataset}")
            print(f"volume {dataset}: listed and indexed in {time.perf_counter() - began:.2f} s", flush=True)
        before = sent("/lecture/pages.bin")
        found = lesson(folder, count)
        wait(lambda: sent("/lecture/pages.bin") >= size)
        ratio = (sent("/lecture/pages.bin") - before) / size
        right = found.sums.count(digest)
        print(f"{count} containers read a cold file of {mib(size)} at once, in {found.seconds:.1f} s")
        print(f"  {right} of {count} have its sha256; the origin sent {ratio:.3f} times its size")
        print(f"  first byte after {spread(found.first)}")
        print(
            f"  memory: {mib(found.gotdata)} gotdata's processes, {mib(found.containers)} the containers'", flush=True
        )
        compare(pairs, "mounted for it")
        volume = ("-v", f"{TAG}-archive:/data:ro")
        docker("run", "-d", "--init", "--network=none", "--name", f"{TAG}-0", *volume, IMAGE, "sleep", "infinity")
        compare(pairs, "mounted already")
    return right == count and ratio <= 1.05


def clear(*volumes: str) -> None:
    """Removes what this run has made in the engine."""
    with suppress(subprocess.SubprocessError):
        if left := docker("ps", "-aq", "--filter", f"name=^{TAG}-{'[0-9]' if volumes else ''}").split():
            docker("rm", "-f", *left)
    for volume in volumes:
        with suppress(subprocess.SubprocessError):
            docker("volume", "rm", volume)


def mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def spread(seconds: Sequence[float]) -> str:
    low, middle, high = (1000 * one for one in (min(seconds), statistics.median(seconds), max(seconds)))
    return f"{middle:.0f} ms (median; {low:.0f} to {high:.0f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="of the file that all read")
    parser.add_argument("--containers", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=15, help="of runs with and without a volume")
    given = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit(f"the daemon mounts for others, which only root may: sudo {sys.executable} {sys.argv[0]}")
    try:
        return 0 if tour(given.size << 20, given.containers, given.pairs) else 1
    except (OSError, subprocess.SubprocessError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
