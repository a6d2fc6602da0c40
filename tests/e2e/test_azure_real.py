"""The azure source against a real emulator, beyond the contract: signatures, snapshots, what is not public."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.credentials.held import Sent
from gotdata.errors import AccessDenied, AuthRequired, ResolveError, UpstreamChanged
from gotdata.model import Kind, Pin, RemoteFile, Span
from gotdata.sources.azure import Azure
from gotdata.testing.source_contract import BODY, context
from tests.e2e import azurite
from tests.e2e.azurite import Container
from tests.e2e.between import Between
from tests.e2e.servers import Server

SOURCE = Azure()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with azurite.emulator(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def proxy(server: Server) -> Iterator[Between]:
    with azurite.proxied(server) as proxy:
        yield proxy


@pytest.fixture
def container(server: Server, proxy: Between) -> Container:
    return Container(server, proxy)


def listed(container: Container, pin: Pin) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, container.ctx)}


def read(container: Container, pin: Pin, file: RemoteFile, span: Span | None = None) -> bytes:
    with SOURCE.read(pin, file, span or Span(0, file.size or 0), container.ctx) as stream:
        return stream.readall()


def signature(container: Container, hours: int) -> str:
    """A shared access signature for reading and listing, as Azure's own client makes it."""
    blobs = pytest.importorskip("azure.storage.blob", reason="pip install azure-storage-blob")
    may = blobs.ContainerSasPermissions(read=True, list=True)
    until = datetime.now(UTC) + timedelta(hours=hours)
    made: str = blobs.generate_container_sas(
        azurite.ACCOUNT, container.name, account_key=azurite.KEY, permission=may, expiry=until
    )
    return made


def holding(container: Container, query: str) -> Credentials:
    return Credentials([Credential(container.home, "cred:mine", live=lambda _: Sent(query=query))])


def test_a_signature_opens_what_is_private_and_stands_in_no_pin_and_no_message(server: Server, proxy: Between) -> None:
    container = Container(server, proxy, public=None)
    container.write("data/a b", BODY)
    with pytest.raises(AuthRequired, match="gotdata login"):
        SOURCE.resolve(container.ref, container.ctx)
    query = signature(container, 1)
    container.ctx = context(holding(container, query))
    pin = SOURCE.resolve(container.ref, container.ctx)
    file = listed(container, pin)["a b"]
    assert read(container, pin, file, Span(10, 20)) == BODY[10:20]
    assert SOURCE.realm(pin, container.ctx) != PUBLIC
    assert "sig" not in f"{pin} {file} {SOURCE.url(pin, file)}"
    with pytest.raises(ResolveError) as caught:
        SOURCE.resolve(container.at("missing"), container.ctx)
    assert "sig=" not in str(caught.value)


def test_a_signature_that_ended_is_said_to_have(server: Server, proxy: Between) -> None:
    container = Container(server, proxy, public=None)
    container.ctx = context(holding(container, signature(container, -1)))
    with pytest.raises((AuthRequired, AccessDenied), match="credential") as caught:
        SOURCE.resolve(container.ref, container.ctx)
    assert "sig=" not in str(caught.value)


def test_only_blobs_are_public_then_one_is_read_and_the_list_refused(server: Server, proxy: Between) -> None:
    container = Container(server, proxy, public="blob")
    container.write("d/f", BODY)
    pin = SOURCE.resolve(container.at("d/f"), container.ctx)
    assert read(container, pin, listed(container, pin)["f"]) == BODY
    with pytest.raises(AuthRequired, match="not public, or not there"):
        SOURCE.resolve(container.at("d/"), container.ctx)


def test_a_snapshot_stays_what_it_was(container: Container) -> None:
    container.write("f", b"first")
    taken = container.client.get_blob_client("f").create_snapshot()["snapshot"]
    container.write("f", b"second!")
    pin = SOURCE.resolve(container.at("f", snapshot=taken), container.ctx)
    assert read(container, pin, listed(container, pin)["f"]) == b"first"
    assert list(listed(container, SOURCE.resolve(container.at(""), container.ctx))) == ["data-neighbour/x", "f"]


def test_metadata_change_the_etag_and_so_the_version(container: Container) -> None:
    container.write("f", BODY)
    pin = SOURCE.resolve(container.at("f"), container.ctx)
    file = listed(container, pin)["f"]
    container.client.get_blob_client("f").set_blob_metadata({"seen": "yes"})
    with pytest.raises(UpstreamChanged):
        read(container, pin, file)


def test_a_blob_put_together_from_blocks_has_no_md5_and_reads_across_them(container: Container) -> None:
    blob = container.client.get_blob_client("data/blocks")
    blocks = pytest.importorskip("azure.storage.blob", reason="pip install azure-storage-blob").BlobBlock
    for number in range(3):
        blob.stage_block(f"{number:03}", BODY[number * 40_000 : (number + 1) * 40_000])
    blob.commit_block_list([blocks(f"{number:03}") for number in range(3)])
    pin = SOURCE.resolve(container.ref, container.ctx)
    file = listed(container, pin)["blocks"]
    assert file.checks == ()
    assert read(container, pin, file, Span(39_990, 80_010)) == BODY[39_990:80_010]


def test_markers_of_folders_are_folders(container: Container) -> None:
    container.folder("empty")
    container.folder("full")
    container.write("data/full/f", b"1")
    files = listed(container, SOURCE.resolve(container.ref, container.ctx))
    assert {path: file.kind for path, file in files.items()} == {
        "empty": Kind.DIR,
        "full": Kind.DIR,
        "full/f": Kind.FILE,
    }


def test_a_version_asked_of_an_account_that_keeps_none_is_refused(container: Container) -> None:
    container.write("f", b"1")
    with pytest.raises(ResolveError, match="has no versions"):
        SOURCE.resolve(container.at("f", version="2025-07-15T09:45:00.5555555Z"), container.ctx)
