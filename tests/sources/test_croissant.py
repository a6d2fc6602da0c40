from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import IntegrityError, NotFound, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.sources import elsewhere, jsonld
from gotdata.sources.croissant import Croissant
from gotdata.sources.elsewhere import Link
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.invenio_double import Repository
from gotdata.testing.landing_double import Portal
from gotdata.testing.server import Server
from gotdata.testing.source_contract import Place, SourceContract, context
from tests.sources.documents import Lying, Published, listed, resolved

SOURCE = Croissant()


class TestCroissant(SourceContract):
    source = SOURCE
    single = False
    empty_folders = False
    checks = "sha256"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("croissant") as portal:
            yield Published(portal, "croissant")


class TestHostileCroissant(HostileContract):
    source = SOURCE
    lies = ("names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal("croissant") as portal:
            yield Lying(portal, "croissant")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal("croissant") as portal:
        yield portal


def document(portal: Portal, *objects: dict[str, Any], **more: Any) -> dict[str, RemoteFile]:
    """The files of a document with these objects."""
    portal.entries = list(objects)
    return listed(SOURCE, resolved(SOURCE, portal, **more))


def test_the_pin_is_the_document_and_the_lock_gets_its_citation(portal: Portal) -> None:
    portal.put("f", b"1")
    pin = resolved(SOURCE, portal)
    sent = json.dumps(portal.document()).encode()
    assert pin.version == {"sha256": hashlib.sha256(sent).hexdigest()}
    assert pin.ref.url == f"croissant:{portal.url}"
    licence = "https://creativecommons.org/licenses/by/4.0/"
    assert pin.citation == Citation("Cells", ("Noether, Emmy",), "10.5072/fk2/cells", licence)


def test_a_document_that_changed_is_not_read_as_the_pinned_one(portal: Portal) -> None:
    portal.put("f", b"1")
    pin = resolved(SOURCE, portal)
    portal.put("g", b"2")
    with pytest.raises(UpstreamChanged, match=r"lists other files.*lock --update"):
        listed(SOURCE, pin)


def test_a_version_can_not_be_asked_for(portal: Portal) -> None:
    with pytest.raises(ResolveError, match="keeps no versions"):
        resolved(SOURCE, portal, version="1.0")


def test_a_document_that_is_gone_or_names_nothing_is_a_resolve_error(portal: Portal) -> None:
    with pytest.raises(ResolveError, match="names no files"):
        resolved(SOURCE, portal)
    with pytest.raises(ResolveError, match="404"):
        SOURCE.resolve(Ref(f"croissant:{portal.root}/none.json"), context())


def test_what_is_no_croissant_is_said_to_be_none(portal: Portal) -> None:
    at = portal.server.put("x.json", b'{"type": "FeatureCollection"}', kind="application/json")
    with pytest.raises(SourceError, match="no Croissant document"):
        SOURCE.resolve(Ref(f"croissant:{at}"), context())


@pytest.mark.parametrize(
    "sha256",
    [
        "https://github.com/mlcommons/croissant/issues/80",
        "48177550dbb1e9b45b9e9d8a9b1f5a3c",
        "0" * 64,
        "main",
        "",
        None,
        ["nonsense"],
    ],
    ids=str,
)
def test_a_placeholder_is_no_checksum(portal: Portal, sha256: object) -> None:
    portal.put("f", b"1")
    portal.files.clear()
    found = document(portal, {"@type": "cr:FileObject", "@id": "f", "contentUrl": "f", "sha256": sha256})
    assert found["f"].checks == ()


def test_md5_is_taken_where_it_is_all_there_is(portal: Portal) -> None:
    portal.put("f", b"1")
    portal.files.clear()
    found = document(
        portal, {"@type": "sc:FileObject", "@id": "f", "contentUrl": "f", "md5": "C4CA4238A0B923820DCC509A6F75849B"}
    )
    assert found["f"].checks == (Checksum("md5", "c4ca4238a0b923820dcc509a6f75849b"),)


def test_a_size_that_is_a_lie_is_reported_and_the_servers_counts(portal: Portal) -> None:
    portal.put("f", b"1")
    portal.wrong = 1
    said: list[str] = []
    ctx = replace(context(), reporter=lambda event: said.append(event.text))
    [file] = SOURCE.files(resolved(SOURCE, portal), ctx)
    assert file.size == 1
    assert said == [f"{portal.url} says that 'f' has 2 bytes; it has 1"]


@pytest.mark.parametrize(("size", "known"), [("15", 15), ("15 B", 15), ("1.2 MB", None), (" B", None), ("many", None)])
def test_only_exact_sizes_are_compared(size: str, known: int | None) -> None:
    assert jsonld.size({"contentSize": size}) == known


@pytest.mark.parametrize(
    ("id", "name", "at", "path"),
    [
        ("code/compute.py", "compute.py", "api/access/datafile/7", "code/compute.py"),
        ("data-file", "data-file", "v1/31/credit-g.arff", "credit-g.arff"),
        ("a/b_c.csv", "a/b c.csv", "x/y.csv", "a/b c.csv"),
        ("train", "Training data", "files/train.parquet", "train.parquet"),
        ("https://h.example/ids/7", "x.csv", "download", "x.csv"),
        ("#f1", "notes", "download/notes.txt", "notes.txt"),
    ],
)
def test_what_lies_elsewhere_gets_the_name_that_looks_like_a_files(
    portal: Portal, id: str, name: str, at: str, path: str
) -> None:
    with Server() as other:
        address = other.put(at, b"1")
        found = document(portal, {"@type": "cr:FileObject", "@id": id, "name": name, "contentUrl": address})
    assert list(found) == [path]
    assert found[path].at == address


def test_what_lies_in_an_archive_is_that_archive(portal: Portal) -> None:
    portal.put("train.zip", b"PK")
    inside = {"@id": "train.zip"}
    found = document(
        portal,
        {"@type": "cr:FileObject", "@id": "one", "containedIn": inside, "contentUrl": "train/1.jpg"},
        {"@type": "cr:FileSet", "@id": "images", "containedIn": inside, "includes": "*.jpg"},
        {"@type": "cr:FileSet", "@id": "some", "containedIn": [{"@id": "images"}], "includes": ["1*"]},
    )
    assert list(found) == ["train.zip"]


def test_files_are_picked_from_a_repository_that_a_source_knows(portal: Portal) -> None:
    with Repository() as repository:
        id = repository.publish({"a/1.parquet": b"1", "a/2.parquet": b"22", "b/3.parquet": b"333", "README.md": b"x"})
        whole = f"invenio:{repository.root}/records/{id}"
        inside = {"containedIn": {"@id": "repo"}}
        found = document(
            portal,
            {"@type": "cr:FileObject", "@id": "repo", "encodingFormat": "git+https", "contentUrl": whole},
            {"@type": "cr:FileSet", "@id": "all", **inside, "includes": "*/*.parquet", "excludes": ["b/*"]},
            {"@type": "cr:FileObject", "@id": "readme", **inside, "contentUrl": "README.md"},
        )
    assert sorted(found) == ["README.md", "a/1.parquet", "a/2.parquet"]


def test_a_repository_without_file_sets_is_taken_whole(portal: Portal) -> None:
    with Repository() as repository:
        whole = f"invenio:{repository.root}/records/{repository.publish({'x/f': b'1'})}"
        found = document(
            portal, {"@type": "cr:FileObject", "@id": "repo", "encodingFormat": ["git+https"], "contentUrl": whole}
        )
    assert list(found) == ["x/f"]


def test_what_is_missing_may_be_left_out(portal: Portal) -> None:
    portal.put("there", b"1")
    portal.put("gone", b"2")
    portal.remove("gone")
    with pytest.raises(NotFound, match=r"lists 'gone' that can't be had.*`absent: skip`"):
        listed(SOURCE, resolved(SOURCE, portal))
    assert list(listed(SOURCE, resolved(SOURCE, portal, absent="skip"))) == ["there"]


def test_a_link_with_a_secret_is_refused(portal: Portal) -> None:
    with pytest.raises(SourceError, match="holds a secret"):
        document(
            portal,
            {"@type": "cr:FileObject", "@id": "f", "contentUrl": "https://s3.example/f?X-Amz-Signature=a8b7c6d5"},
        )


def test_a_document_behind_a_signed_redirect_is_no_base_for_its_files(portal: Portal) -> None:
    portal.put("f", b"1")
    target = portal.signed("away/croissant.json", json.dumps(portal.document()).encode())
    portal.server.put("d/moved.json", redirect=target)
    pin = SOURCE.resolve(Ref(f"croissant:{portal.root}/d/moved.json"), context())
    [file] = SOURCE.files(pin, context())
    assert file.at == portal.server.at("d/f")


def test_a_document_nested_too_deep_is_an_error(portal: Portal) -> None:
    text = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
    at = portal.server.put("deep/croissant.json", text, kind="application/json")
    with pytest.raises(SourceError, match="croissant"):
        SOURCE.resolve(Ref(at), context())


def leading(portal: Portal, *addresses: str) -> Pin:
    portal.entries = [{"@type": "cr:FileObject", "@id": f"{n}.csv", "contentUrl": at} for n, at in enumerate(addresses)]
    return resolved(SOURCE, portal, absent="skip")


def test_a_pin_names_the_places_that_a_document_leads_to(portal: Portal) -> None:
    portal.put("beside", b"1")
    with Server() as other:
        pin = leading(portal, other.put("x/y", b"1"), other.at("z"), portal.server.put("up", b"1"), "s3://bucket/key")
        named = {other.url, f"{portal.root}/", "s3://bucket/"}
        assert {value for name, value in pin.ref.options if name.startswith("place-")} == named
        # A policy judges these, as what the pin's reference puts behind its URL.
        assert named < set(pin.ref.places)
        reached = leading(portal, other.at("x/y"), portal.server.at("up"))
        assert listed(SOURCE, reached).keys() == {"beside", "0.csv", "1.csv"}
    assert not any(name.startswith("place-") for name, _ in leading(portal).ref.options)


def test_a_forged_locator_leads_to_no_place_that_the_pin_does_not_name(portal: Portal) -> None:
    portal.put("f", b"1")
    pin = resolved(SOURCE, portal)
    with Server() as other:
        for at in (other.put("f", b"2"), portal.server.put("up", b"2"), f"{portal.root}/d/../up"):
            file = RemoteFile("f", 1, at=at)
            with pytest.raises(IntegrityError, match=r"in no place of .*edited"):
                SOURCE.url(pin, file)
            with pytest.raises(IntegrityError):
                SOURCE.read(pin, file, Span(0, 1), context())
        assert not other.requests


def test_a_place_that_the_manifest_names_is_none_of_the_pins(portal: Portal) -> None:
    portal.put("f", b"1")
    options = (("place-1", "https://elsewhere.example/"),)
    pin = SOURCE.resolve(Ref(f"croissant:{portal.url}", options), context())
    assert pin.ref.options == ()


def test_a_link_that_leads_on_to_another_place_is_told(portal: Portal) -> None:
    with Repository() as repository:
        id = repository.publish({"f": b"1"})
        pin = Pin("croissant", Ref(f"croissant:{portal.url}"), portal.url, {"sha256": "0" * 64})
        file = elsewhere.file(Link(f"invenio:{repository.root}/records/{id}/files/f"), portal.url, context())
        with pytest.raises(SourceError, match=rf"names 'f', which lies at {repository.root}/.*: name that"):
            SOURCE._kept(pin, file)


def test_a_document_that_leads_to_too_many_servers_is_refused(portal: Portal) -> None:
    with pytest.raises(SourceError, match="leads to 257 servers"):
        leading(portal, *(f"https://h{number}.example/f" for number in range(257)))


def test_a_word_nested_too_deep_is_none() -> None:
    value: object = "x"
    for _ in range(400):
        value = [{"name": value}]
    assert jsonld.word(value) == ""
    assert jsonld.word([{"name": {"en": "Cells", "de": "Zellen"}}]) == "Cells"


def test_a_key_for_the_document_makes_a_realm_of_its_own(portal: Portal) -> None:
    portal.put("f", b"1")
    pin = resolved(SOURCE, portal)
    held = Credentials([Credential(f"{portal.root}/d/", "cred:mine", (("Authorization", "Bearer x"),))])
    assert SOURCE.realm(pin, context()) == PUBLIC
    assert SOURCE.realm(pin, context(held)) != PUBLIC


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://h.example/x/croissant.json", True),
        ("https://h.example/croissant.json?raw=true", True),
        ("https://h.example/x/cells-croissant.json", True),
        ("https://huggingface.co/api/datasets/a/b/croissant", True),
        ("https://demo.dataverse.org/api/datasets/export?exporter=croissant&persistentId=doi:10.70122/FK2/X", True),
        ("https://h.example/croissant.json.txt", False),
        ("https://h.example/x?file=/croissant.json", False),
        ("https://huggingface.co.evil.example/api/datasets/a/b/croissant", False),
        ("file:///x/croissant.json", False),
        ("https://[bad/croissant.json", True),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed
