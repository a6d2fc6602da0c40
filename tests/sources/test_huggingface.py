from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AccessDenied, AuthRequired, IntegrityError, ResolveError, SourceUnavailable
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.sources.http_answer import Refusal
from gotdata.sources.huggingface import HuggingFace
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.huggingface_double import Hub
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = HuggingFace()
REPO = "datasets/lab/cells"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Dataset(Switched):
    """The newest commit of a dataset."""

    def __init__(self, hub: Hub, repo: str = REPO) -> None:
        super().__init__(hub)
        self.repo = repo
        hub.commit(repo, {})
        self.ref = Ref(f"huggingface:{hub.root}/{repo}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.double.commit(self.repo, {**self.double.files(self.repo), path: body})

    def remove(self, path: str) -> None:
        self.double.commit(self.repo, {at: body for at, body in self.double.files(self.repo).items() if at != path})

    def folder(self, path: str) -> None:
        raise NotImplementedError("git keeps no empty folders")

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/blob/main/{path.replace(' ', '%20')}")

    def fill(self, count: int) -> None:
        self.double.commit(self.repo, {f"many/{number}": b"" for number in range(count)})

    def cut(self, path: str, after: int) -> None:
        self.double.break_off(self.repo, path, after)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


class TestHuggingFace(SourceContract):
    source = SOURCE
    checks = "sha256"
    empty_folders = False

    @pytest.fixture
    def place(self, hub: Hub) -> Place:
        return Dataset(hub)


class TestSmallFiles(TestHuggingFace):
    """The same, where every file is a git blob, and redirected once on its own host."""

    checks = "git-sha1"

    @pytest.fixture
    def place(self, hub: Hub) -> Place:
        hub.large, hub.cached = 1 << 40, True
        return Dataset(hub, "lab/model")


class TestLies(HostileContract):
    source = SOURCE
    told = "Hugging Face"

    @pytest.fixture
    def liar(self, hub: Hub) -> Liar:
        place = Dataset(hub)
        place.put("a/f", BODY)
        return place


def resolved(url: str, ctx: Context | None = None, **options: str) -> Pin:
    return SOURCE.resolve(Ref(url, tuple(options.items())), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def holder(hub: Hub) -> Context:
    return context(Credentials([Credential(f"{hub.root}/", "cred:x", (("Authorization", f"Bearer {hub.token}"),))]))


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://huggingface.co/datasets/lab/cells", True),
        ("https://www.HuggingFace.co/datasets/lab/cells/tree/main/data", True),
        ("https://hf.co/lab/model/blob/main/README.md", True),
        ("https://huggingface.co/gpt2", True),
        ("hf://datasets/lab/cells@v1/data/x.parquet", True),
        ("huggingface:https://hub.lab.example/datasets/lab/cells", True),
        ("https://huggingface.co/docs/hub/api", False),
        ("https://huggingface.co/datasets", False),
        ("https://huggingface.co/", False),
        ("https://huggingface.co.evil.example/datasets/lab/cells", False),
        ("https://example.org/datasets/lab/cells", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


def test_a_branch_a_tag_and_a_commit_mean_a_commit(hub: Hub) -> None:
    first = hub.commit(REPO, {"a": b"1"}, "v1")
    newest = hub.commit(REPO, {"a": b"22"})
    page = f"huggingface:{hub.root}/{REPO}"
    assert resolved(page).version == {"commit": newest}
    for url in (f"{page}/tree/v1", f"{page}/commit/{first}"):
        assert resolved(url).version == {"commit": first}
    assert resolved(page, version="v1").version == {"commit": first}
    with pytest.raises(ResolveError, match=r"no such revision"):
        resolved(page, version="v9")


@pytest.mark.parametrize("written", ["refs%2Fpr%2F1", "refs/pr/1"])
def test_a_revision_with_slashes_is_asked_for_whole(hub: Hub, written: str) -> None:
    hub.commit(REPO, {"a": b"main"})
    proposed = hub.commit(REPO, {"d/a": b"proposed"}, "refs/pr/1")
    pin = resolved(f"huggingface:{hub.root}/{REPO}/tree/{written}/d")
    assert pin.version == {"commit": proposed, "path": "d", "type": "directory"}
    assert list(listed(pin)) == ["a"]
    assert "/revision/refs%2Fpr%2F1" in hub.server.requests[0].path


def test_a_branch_with_an_escaped_slash_is_one_revision(hub: Hub) -> None:
    commit = hub.commit(REPO, {"x/f": b"1"}, "feature/x")
    pin = resolved(f"huggingface:{hub.root}/{REPO}/resolve/feature%2Fx/x/f?download=true")
    assert pin.version == {"commit": commit, "path": "x/f", "type": "file"}


def test_a_large_file_has_the_checksum_of_its_bytes_and_not_of_its_pointer(hub: Hub) -> None:
    hub.commit(REPO, {"big": BODY, "small": b"1"})
    files = listed(resolved(f"huggingface:{hub.root}/{REPO}"))
    assert [check.algorithm for check in files["big"].checks] == ["sha256"]
    assert files["small"].checks == (Checksum("git-sha1", "56a6051ca2b02b04ef92d5150c9ef600403cb1de"),)


def test_the_listing_is_read_past_its_first_page(hub: Hub) -> None:
    hub.page = 7
    hub.commit(REPO, {f"d/{number:02}": b"" for number in range(40)})
    assert len(listed(resolved(f"huggingface:{hub.root}/{REPO}"))) == 40


def test_the_etag_of_the_store_behind_is_no_version(hub: Hub) -> None:
    hub.commit(REPO, {"big": BODY})
    pin = resolved(f"huggingface:{hub.root}/{REPO}")
    file = listed(pin)["big"]
    with SOURCE.read(pin, file, Span(5, 10), context()) as stream:
        assert stream.readall() == BODY[5:10]
    assert "Signature" not in file.at
    assert {request.method for request in hub.store.requests} == {"GET"}
    assert not any("authorization" in request.headers for request in hub.store.requests)


def test_xet_is_not_asked_for(hub: Hub) -> None:
    hub.commit(REPO, {"big": BODY})
    pin = resolved(f"huggingface:{hub.root}/{REPO}")
    SOURCE.read(pin, listed(pin)["big"], Span(0, 5), context()).close()
    assert not any("xet" in request.headers.get("accept", "") for request in hub.server.requests)


def test_a_gated_repository_says_how_to_get_in(hub: Hub) -> None:
    hub.commit(REPO, {"big": BODY})
    pin = resolved(f"huggingface:{hub.root}/{REPO}")
    file = listed(pin)["big"]
    hub.gated.add(REPO)
    with pytest.raises(AuthRequired, match=r"gated: ask for access.*gotdata login huggingface:http://127"):
        SOURCE.read(pin, file, Span(0, 5), context())


def test_a_token_opens_a_gated_repository_in_a_realm_of_its_own(hub: Hub) -> None:
    hub.gated.add(REPO)
    hub.commit(REPO, {"big": BODY})
    ctx = holder(hub)
    pin = resolved(f"huggingface:{hub.root}/{REPO}", ctx)
    with SOURCE.read(pin, listed(pin, ctx)["big"], Span(0, 5), ctx) as stream:
        assert stream.readall() == BODY[:5]
    assert SOURCE.realm(pin, ctx) != PUBLIC
    assert not any(hub.token in str(request.headers) for request in hub.store.requests)


def test_a_token_that_was_not_let_in_is_told_so(hub: Hub) -> None:
    hub.gated.add(REPO)
    hub.commit(REPO, {"big": BODY})
    ctx = holder(hub)
    pin = resolved(f"huggingface:{hub.root}/{REPO}", ctx)
    file = listed(pin, ctx)["big"]
    hub.token = "another"
    with pytest.raises(AccessDenied, match="gated"):
        SOURCE.read(pin, file, Span(0, 5), ctx)


def test_a_private_repository_can_not_be_told_from_a_missing_one(hub: Hub) -> None:
    with pytest.raises(AuthRequired, match="private, or there is no such repository"):
        resolved(f"huggingface:{hub.root}/datasets/lab/none")
    with pytest.raises(ResolveError, match="your token does not open it"):
        resolved(f"huggingface:{hub.root}/datasets/lab/none", holder(hub))


def test_a_rate_limit_says_how_long(hub: Hub) -> None:
    hub.commit(REPO, {"a": b""})
    hub.limit = 99
    with pytest.raises(SourceUnavailable, match="asked too often; a token has a higher limit") as caught:
        resolved(f"huggingface:{hub.root}/{REPO}")
    assert caught.value.retry_after == 7


def test_a_repository_that_the_hub_disabled_is_said_to_be_so() -> None:
    refusal = Refusal("https://huggingface.co/datasets/lab/cells", 403, {"X-Error-Code": "DisabledRepo"}, "", False)
    assert "was disabled by Hugging Face" in str(SOURCE.explain(refusal))


def test_a_repository_that_moved_is_pinned_by_its_name_of_now(hub: Hub) -> None:
    hub.commit(REPO, {"a": b""})
    hub.moved["datasets/cells/old"] = REPO
    pin = resolved(f"huggingface:{hub.root}/datasets/cells/old")
    assert pin.ref.url == f"huggingface:{hub.root}/{REPO}"


def test_the_citation_is_that_of_its_card(hub: Hub) -> None:
    hub.commit(REPO, {"a": b""})
    pin = resolved(f"huggingface:{hub.root}/{REPO}")
    assert pin.citation == Citation("Cells, counted", ("lab",), "10.57967/hf/0001", "cc-by-4.0")


@pytest.mark.parametrize(
    "at",
    [
        f"https://huggingface.co/datasets/other/cells/resolve/{COMMIT}/f",
        "https://huggingface.co/datasets/lab/cells/resolve/main/f",
        f"https://huggingface.co.evil.example/datasets/lab/cells/resolve/{COMMIT}/f",
        f"https://huggingface.co/datasets/lab/cells/resolve/{COMMIT}/../../../private/resolve/main/f",
    ],
)
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("huggingface", Ref("huggingface:https://huggingface.co/datasets/lab/cells"), "x", {"commit": COMMIT})
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 1, at=at))
