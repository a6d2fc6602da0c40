"""rocrate, the Python library of RO-Crate's authors, reads what our double publishes, as we do."""

from __future__ import annotations

import hashlib

import pytest

from gotdata.testing.landing_double import Portal

CLIENT = ("rocrate", "rocrate")

rocrate = pytest.importorskip("rocrate.rocrate", reason="rocrate is not installed")


def test_it_reads_the_files_of_a_crate() -> None:
    with Portal("rocrate") as portal:
        portal.put("a b.csv", b"1")
        portal.put("deep/x", b"2")
        crate = rocrate.ROCrate(portal.document())
        found = {one.id: (one.type, one["contentSize"], one["sha256"]) for one in crate.data_entities}
    assert found == {
        "a%20b.csv": ("File", "1", hashlib.sha256(b"1").hexdigest()),
        "deep/x": ("File", "1", hashlib.sha256(b"2").hexdigest()),
    }
    assert crate.name == "Cells"
    assert [author["name"] for author in crate.root_dataset["author"]] == ["Noether, Emmy"]
