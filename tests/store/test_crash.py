"""Never wrong bytes, complete or absent: whatever is done to a store in whatever order, and wherever it is cut."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gotdata.errors import IntegrityError, SourceUnavailable, StoreError
from gotdata.model import BLOCK, Span
from gotdata.origin import BLOCK_HASHED, Wanted
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.testing.origins import FakeOrigin, Fault, sha256
from tests.store.conftest import SETTINGS
from tests.store.dying import Died, dying, lose_power

QUICK = replace(SETTINGS, retries=1, store_quota=12 << 20)
GOOD = [random.Random(seed).randbytes(size) for seed, size in enumerate((3 * BLOCK + 17, BLOCK, BLOCK_HASHED + 99))]
WRONG = [bytes([data[0] ^ 1]) + data[1:] for data in GOOD]
HASHES = [
    tuple(hashlib.sha256(data[at : at + BLOCK_HASHED]).digest() for at in range(0, len(data), BLOCK_HASHED))
    for data in GOOD
]


def mirrored(number: int) -> Wanted:
    """With a first mirror whose bytes are wrong, and which breaks; its file has block hashes."""
    bad = FakeOrigin(WRONG[number], url=f"https://bad.example/{number}", faults=[Fault(after=100_000)])
    good = FakeOrigin(GOOD[number], url=f"https://good.example/{number}")
    return Wanted(f"cells/{number}", len(GOOD[number]), sha256(GOOD[number]), (bad, good), HASHES[number])


def weak(number: int) -> Wanted:
    origin = FakeOrigin(GOOD[number], url=f"https://weak.example/{number}", faults=[Fault(after=BLOCK + 1)])
    return Wanted(f"weak/{number}", len(GOOD[number]), "weak:x", (origin,))


def claimed(number: int) -> Wanted:
    """Whose first mirror's bytes are found wrong only when all of them are here."""
    return replace(mirrored(number), name=f"claimed/{number}", blocks=())


numbers = st.integers(0, len(GOOD) - 1)
kinds = st.sampled_from([mirrored, weak])
cuts = st.integers(0, 60)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="store-"))
        self.store = Store.open(self.root / "store", QUICK)
        self.reader = Reader(self.store, QUICK)

    def teardown(self) -> None:
        self.reader.close()
        shutil.rmtree(self.root, ignore_errors=True)  # a thread that died may take its time

    def restart(self) -> None:
        self.reader.close()
        self.store = Store.open(self.root / "store", QUICK)
        self.reader = Reader(self.store, QUICK)

    def attempt(self, cut: int | None, work: Callable[[], object]) -> None:
        """Does it, or dies in the middle of it and starts anew."""
        if cut is None:
            work()
            return
        with dying(cut), suppress(Died, StoreError, SourceUnavailable):
            work()
            self.reader.close()
        self.restart()

    @rule(
        kind=kinds,
        number=numbers,
        start=st.integers(0, BLOCK_HASHED),
        size=st.integers(1, 2 * BLOCK),
        cut=st.none() | cuts,
    )
    def ensure(self, kind: Callable[[int], Wanted], number: int, start: int, size: int, cut: int | None) -> None:
        file = kind(number)
        span = Span(min(start, file.size), min(start + size, file.size))

        def read() -> None:
            self.reader.ensure(file, span, prefetch=BLOCK)
            held = self.store.held(file)
            data = held.pread(span)
            held.close()
            assert data in (None, GOOD[number][span.start : span.stop])

        self.attempt(cut, read)

    @rule(kind=st.sampled_from([mirrored, weak, claimed]), number=numbers, cut=st.none() | cuts)
    def whole(self, kind: Callable[[int], Wanted], number: int, cut: int | None) -> None:
        def read() -> None:
            held = self.reader.whole(kind(number))
            assert held.pread(Span(0, held.size)) == GOOD[number]
            held.close()

        self.attempt(cut, read)

    @rule(number=numbers, cut=st.none() | cuts)
    def whole_from_a_liar(self, number: int, cut: int | None) -> None:
        file = mirrored(number)
        lying = replace(file, origins=file.origins[:1], blocks=())

        def read() -> None:
            with pytest.raises(IntegrityError):
                self.reader.whole(lying)

        if self.store.peek(lying) is None:
            self.attempt(cut, read)

    @rule(number=numbers, cut=st.none() | cuts)
    def save(self, number: int, cut: int | None) -> None:
        dest = self.root / f"saved-{number}"
        dest.unlink(missing_ok=True)
        self.attempt(cut, lambda: self.reader.save(claimed(number), dest))
        assert not dest.exists() or dest.read_bytes() == GOOD[number]
        assert cut is not None or dest.exists()

    @rule(size=st.integers(0, 8 << 20), cut=st.none() | cuts)
    def evict(self, size: int, cut: int | None) -> None:
        self.attempt(cut, lambda: self.store.room.evict(size))

    @rule(cut=st.none() | cuts)
    def gc(self, cut: int | None) -> None:
        self.attempt(cut, self.store.gc)

    @rule(cut=st.none() | cuts)
    def clear(self, cut: int | None) -> None:
        self.attempt(cut, self.store.clear)

    @rule(cut=st.none() | cuts)
    def fsck(self, cut: int | None) -> None:
        self.attempt(cut, lambda: self.store.fsck().damaged == 0 or pytest.fail("a whole file is damaged"))

    @rule(at=st.integers(0, BLOCK_HASHED))
    def power_fails(self, at: int) -> None:
        self.reader.close()
        lose_power(self.root / "store", at)
        self.restart()

    @invariant()
    def every_object_is_what_its_name_says(self) -> None:
        for path in (self.root / "store" / "objects").glob("*/*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name

    @invariant()
    def what_can_be_read_is_right(self) -> None:
        for number, data in enumerate(GOOD):
            for file in (mirrored(number), weak(number)):
                held = self.store.held(file)
                for at in range(0, file.size, BLOCK):
                    assert held.pread(Span(at, at + BLOCK)) in (None, data[at : at + BLOCK])
                held.close()


TestMachine = Machine.TestCase
TestMachine.settings = examples(
    max_examples=examples.default.max_examples * 3 // 10,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_dying_between_any_two_steps_of_becoming_whole_leaves_it_complete_or_to_be_completed(tmp_path: Path) -> None:
    for cut in range(200):
        root = tmp_path / str(cut)
        store = Store.open(root, QUICK)
        reader = Reader(store, QUICK)
        with dying(cut) as died, suppress(Died):
            reader.whole(weak(0)).close()
        reader.close()
        store = Store.open(root, QUICK)
        if held := store.peek(weak(0)):
            assert held.pread(Span(0, held.size)) == GOOD[0]
            held.close()
        with Reader(store, QUICK) as again:
            held = again.whole(weak(0))
            assert held.pread(Span(0, held.size)) == GOOD[0]
            held.close()
        assert store.fsck().sound
        assert store.info().partials == 0
        shutil.rmtree(root)
        if not died[0]:
            break
    else:
        pytest.fail("it never came to its end")
    assert cut > 10


KILLED = """
import sys, random
from pathlib import Path
from gotdata.origin import Wanted
from gotdata.settings import Settings
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.testing.origins import FakeOrigin, wanted
settings = Settings(store_keep_free=0)
reader = Reader(Store.open(Path(sys.argv[1]), settings), settings)
print("ready", flush=True)
for seed in range(1000):
    data = random.Random(seed).randbytes(1_500_000)
    reader.whole(wanted(FakeOrigin(data, url=f"https://data.example/{seed}"), size=len(data))).close()
    print(seed, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_leaves_only_what_is_right(tmp_path: Path) -> None:
    for round in range(3):
        with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "store"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(3 + round):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    store = Store.open(tmp_path / "store", SETTINGS)
    assert store.fsck().damaged == 0
    found = 0
    for seed in range(1000):
        data = random.Random(seed).randbytes(1_500_000)
        file = Wanted("x/y", len(data), "weak:test#file#1", (FakeOrigin(data, url=f"https://data.example/{seed}"),))
        held = store.peek(file)
        if held is None:
            break
        assert held.pread(Span(0, file.size)) == data
        held.close()
        found += 1
    assert found >= 4
