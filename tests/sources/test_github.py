from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    IntegrityError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
)
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import github_place
from gotdata.sources.github import GitHub
from gotdata.sources.http_answer import Refusal
from gotdata.testing.double import Switched
from gotdata.testing.git_objects import EXECUTABLE, LINK, MODULE, Blob, pointer
from gotdata.testing.github_double import GitHub as Double
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = GitHub()
REPO = "lab/cells"
GIST = "0123456789abcdef0123456789abcdef"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Branch(Switched):
    """The newest commit of a repository."""

    def __init__(self, double: Double) -> None:
        super().__init__(double)
        self.repo = double.repo(REPO)
        self.repo.commit({})
        self.ref = Ref(f"github:{double.root}/{REPO}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.repo.commit({**self.repo.head(), path: Blob(body)})

    def remove(self, path: str) -> None:
        self.repo.commit({at: file for at, file in self.repo.head().items() if at != path})

    def folder(self, path: str) -> None:
        """Git keeps none but those of submodules."""
        self.repo.commit({**self.repo.head(), path: Blob(COMMIT.encode(), MODULE)})

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/blob/main/{path.replace(' ', '%20')}")

    def fill(self, count: int) -> None:
        self.repo.commit({f"many/{number}": b"" for number in range(count)})

    def cut(self, path: str, after: int) -> None:
        self.double.breaks.append(after)


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as double:
        yield double


class TestGitHub(SourceContract):
    source = SOURCE
    checks = "git-sha1"

    @pytest.fixture
    def place(self, double: Double) -> Place:
        return Branch(double)


class TestCutOffTrees(TestGitHub):
    """The same, where an answer holds few entries."""

    lacks = ("fill",)

    @pytest.fixture
    def place(self, double: Double) -> Place:
        double.entries = 18
        return Branch(double)


class TestLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self, double: Double) -> Liar:
        place = Branch(double)
        place.put("a/f", BODY)
        return place


def resolved(double: Double, rest: str = "", ctx: Context | None = None, **options: str) -> Pin:
    ref = Ref(f"github:{double.root}/{REPO}{rest}", tuple(options.items()))
    pin = SOURCE.resolve(ref, ctx or context())
    assert isinstance(pin, Pin)
    return pin


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


def holder(double: Double) -> Context:
    token = (("Authorization", f"Bearer {double.token}"),)
    return context(Credentials([Credential(f"{double.root}/", "cred:x", token)]))


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://github.com/lab/cells", True),
        ("https://www.GitHub.com/lab/cells.git", True),
        ("https://github.com/lab/cells/tree/main/data", True),
        ("https://github.com/lab/cells/releases/latest", True),
        ("https://github.com/lab/cells/archive/refs/heads/main.zip", True),
        ("https://raw.githubusercontent.com/lab/cells/main/a.csv", True),
        ("https://gist.github.com/ada/0123456789abcdef0123456789abcdef", True),
        ("github:lab/cells@v1", True),
        ("github:https://git.lab.example/lab/cells", True),
        ("https://github.com/lab/cells/issues/7", False),
        ("https://github.com/lab", False),
        ("https://github.com/orgs/lab/repositories", False),
        ("https://github.com.evil.example/lab/cells", False),
        ("https://example.org/lab/cells", False),
        ("https://codeload.github.com/lab/cells/zip/refs/heads/main", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


def test_a_branch_a_tag_and_a_commit_mean_a_commit(double: Double) -> None:
    repo = double.repo(REPO)
    first = repo.commit({"a": b"1"}, "tags/v1")
    newest = repo.commit({"a": b"22"})
    assert resolved(double).version == {"commit": newest}
    for rest in ("/tree/v1", f"/commit/{first}", f"/tree/{first[:10]}"):
        assert resolved(double, rest).version == {"commit": first}
    assert resolved(double, version="v1").version == {"commit": first}
    with pytest.raises(ResolveError, match="has no revision v9"):
        resolved(double, version="v9")


@pytest.mark.parametrize("rest", ["/tree/feature/x/data", "/tree/feature%2Fx/data", "/raw/refs/heads/feature/x/data"])
def test_the_border_of_a_branch_with_slashes_is_found(double: Double, rest: str) -> None:
    repo = double.repo(REPO)
    repo.commit({"a": b"main"})
    commit = repo.commit({"data/f": b"x"}, "heads/feature/x")
    pin = resolved(double, rest)
    assert pin.version == {"commit": commit, "path": "data"}
    assert list(listed(pin)) == ["f"]


def test_an_empty_repository_is_said_to_be_so(double: Double) -> None:
    double.repo(REPO)
    with pytest.raises(ResolveError, match="main"):
        resolved(double)


def test_modes_become_what_they_are(double: Double) -> None:
    module = Blob(COMMIT.encode(), MODULE)
    files = {"run": Blob(b"#!", EXECUTABLE), "d/link": Blob(b"../run", LINK), "sub": module, "plain": Blob(b"1")}
    double.repo(REPO).commit(files)
    found = listed(resolved(double))
    assert {path: file.kind for path, file in found.items()} == {
        "run": Kind.FILE,
        "d/link": Kind.LINK,
        "sub": Kind.DIR,
        "plain": Kind.FILE,
    }
    assert found["run"].executable
    assert not found["plain"].executable
    assert found["d/link"].target == "../run"


def test_a_link_whose_text_is_not_the_blob_is_refused(double: Double) -> None:
    commit = double.repo(REPO).commit({"link": Blob(b"run", LINK)})
    pin = resolved(double)
    double.repo(REPO).commits[commit]["link"] = Blob(b"../", LINK)
    with pytest.raises(SourceError, match="is not the blob"):
        listed(pin)


def with_lfs(double: Double) -> Pin:
    double.lfs(BODY)
    attributes = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"
    fake = pointer(b"never uploaded")
    files = {".gitattributes": attributes, "d/big.bin": pointer(BODY), "fake.txt": fake, "small.bin": b"no pointer"}
    double.repo(REPO).commit(files)
    return resolved(double)


@pytest.mark.parametrize("header", ["", "RemoteAuth abc"])
def test_lfs_files_are_read_by_the_batch_api(double: Double, header: str) -> None:
    double.lfs_header = header
    pin = with_lfs(double)
    files = listed(pin)
    assert files["d/big.bin"].size == len(BODY)
    assert files["d/big.bin"].checks[0].algorithm == "sha256"
    with SOURCE.read(pin, files["d/big.bin"], Span(7, 70), context()) as stream:
        assert stream.readall() == BODY[7:70]
    assert content(pin, files["d/big.bin"]) == BODY
    assert "Signature" not in files["d/big.bin"].at


def test_what_lfs_wants_sent_can_not_change_the_request(double: Double) -> None:
    double.lfs_more = {"range": "bytes=0-0", "Host": "evil.example", "X-Amz-Date": "2026", "X-Bad": "a\r\nb", "N": 1}
    pin = with_lfs(double)
    assert content(pin, listed(pin)["d/big.bin"]) == BODY
    sent = double.store.requests[-1].headers
    assert sent["x-amz-date"] == "2026"
    assert "range" not in sent
    assert "x-bad" not in sent
    assert sent["host"].startswith("127.0.0.1")


def test_only_what_the_attributes_name_is_looked_at_for_pointers(double: Double) -> None:
    pin = with_lfs(double)
    files = listed(pin)
    assert files["fake.txt"].size == len(pointer(b"never uploaded"))
    assert content(pin, files["small.bin"]) == b"no pointer"
    raw = [request.path for request in double.server.requests if request.path.startswith("/raw/")]
    assert not any(path.endswith("fake.txt") for path in raw)


def test_attributes_above_a_folder_count_in_it(double: Double) -> None:
    with_lfs(double)
    assert listed(resolved(double, "/tree/main/d"))["big.bin"].size == len(BODY)
    assert listed(resolved(double, "/blob/main/d/big.bin"))["big.bin"].size == len(BODY)


def test_an_object_that_lfs_does_not_give_says_why(double: Double) -> None:
    pin = with_lfs(double)
    file = listed(pin)["d/big.bin"]
    double.lfs_error = {"code": 403, "message": "This repository is over its data quota."}
    with pytest.raises(AccessDenied, match="over its data quota"):
        content(pin, file)
    double.lfs_error = {"code": 404, "message": "Object does not exist"}
    with pytest.raises(FileNotFoundError, match="never uploaded"):
        content(pin, file)


def test_a_release_has_its_files_with_their_digests(double: Double) -> None:
    double.repo(REPO).commit({})
    id = double.release(REPO, "v1/a", {"cells.h5": BODY, "read me.txt": b"1"})
    pin = resolved(double, "/releases/tag/v1/a")
    assert (pin.version["release"], pin.version["id"]) == ("v1/a", str(id))
    files = listed(pin)
    assert {path: file.size for path, file in files.items()} == {"cells.h5": len(BODY), "read me.txt": 1}
    assert files["cells.h5"].checks[0].algorithm == "sha256"
    with SOURCE.read(pin, files["cells.h5"], Span(5, 50), context()) as stream:
        assert stream.readall() == BODY[5:50]
    assert {request.method for request in double.store.requests} == {"GET"}


def test_the_latest_release_is_pinned_and_no_preview(double: Double) -> None:
    double.repo(REPO).commit({})
    double.release(REPO, "v1", {"a": b"1"})
    double.release(REPO, "v2", {"a": b"2"}, prerelease=True)
    for rest in ("/releases", "/releases/latest"):
        pin = resolved(double, rest)
        assert pin.version["release"] == "v1"
        assert pin.ref.url.endswith("/releases/tag/v1")
    assert resolved(double, "/releases/latest", version="v2").version["release"] == "v2"


@pytest.mark.parametrize("rest", ["/releases/download/v1/a.txt", "/releases/latest/download/a.txt"])
def test_one_file_of_a_release(double: Double, rest: str) -> None:
    double.repo(REPO).commit({})
    double.release(REPO, "v1", {"a.txt": b"1", "b.txt": b"2"})
    pin = resolved(double, rest)
    assert list(listed(pin)) == ["a.txt"]
    assert content(pin, listed(pin)["a.txt"]) == b"1"
    with pytest.raises(ResolveError, match=r"there are a\.txt, b\.txt"):
        resolved(double, "/releases/download/v1/c.txt")


def test_a_replaced_file_of_a_release_is_noticed(double: Double) -> None:
    double.repo(REPO).commit({})
    double.release(REPO, "v1", {"a": BODY}, digests=False)
    pin = resolved(double, "/releases/tag/v1")
    file = listed(pin)["a"]
    assert file.checks == ()
    double.upload(REPO, "v1", "a", BODY[::-1])
    with pytest.raises(IntegrityError, match="not what was pinned"):
        content(pin, file)
    with pytest.raises(IntegrityError, match="were replaced"):
        listed(pin)


def test_a_release_with_many_files_is_read_to_its_end(double: Double) -> None:
    double.page = 3
    double.repo(REPO).commit({})
    double.release(REPO, "v1", {f"f{number}": b"" for number in range(10)})
    assert len(listed(resolved(double, "/releases/tag/v1"))) == 10


def test_a_private_release_is_read_by_the_api(double: Double) -> None:
    double.repo(REPO).commit({})
    double.private.add(REPO)
    double.release(REPO, "v1", {"a": BODY})
    ctx = holder(double)
    pin = resolved(double, "/releases/tag/v1", ctx)
    assert content(pin, listed(pin, ctx)["a"], ctx) == BODY
    assert SOURCE.realm(pin, ctx) != PUBLIC


def test_a_private_repository_can_not_be_told_from_a_missing_one(double: Double) -> None:
    double.repo(REPO).commit({"a": b"1"})
    double.private.add(REPO)
    with pytest.raises(AuthRequired, match="private, or there is no such repository"):
        resolved(double)
    ctx = holder(double)
    pin = resolved(double, ctx=ctx)
    assert content(pin, listed(pin, ctx)["a"], ctx) == b"1"
    double.token = "another"
    with pytest.raises(ResolveError, match="your token does not open it"):
        resolved(double, ctx=ctx)


def test_who_has_a_lock_of_a_private_repository_is_told_of_the_login(double: Double) -> None:
    double.repo(REPO).commit({"a": b"1"})
    pin = resolved(double)
    file = listed(pin)["a"]
    double.private.add(REPO)
    with pytest.raises(AuthRequired, match=rf"private, or not there any more: `gotdata login github:{double.root}/`"):
        content(pin, file)
    double.token = "another"
    with pytest.raises(NotFound):
        content(pin, file, context(Credentials([Credential(f"{double.root}/", "cred:x", (("X", "old"),))])))


def test_who_has_a_lock_of_private_lfs_files_is_told_of_the_login(double: Double) -> None:
    pin = with_lfs(double)
    file = next(file for file in listed(pin).values() if "/info/lfs/" in file.at)
    double.private.add(REPO)
    with pytest.raises(AuthRequired, match=r"private, or not there any more: `gotdata login github:http"):
        content(pin, file)


@pytest.mark.parametrize(
    ("url", "command"),
    [("https://api.github.com/x", "login github`"), ("https://git.lab/api/v3/x", "login github:https://git.lab/`")],
)
def test_the_limit_names_the_installation_whose_token_raises_it(url: str, command: str) -> None:
    assert command in str(SOURCE.explain(Refusal(url, 429, {}, "rate limit", False)))


def test_a_used_up_limit_says_what_raises_it(double: Double) -> None:
    double.repo(REPO).commit({})
    double.limit = 99
    with pytest.raises(SourceUnavailable, match=r"rate limit is used up.*with a token it is higher") as caught:
        resolved(double)
    assert 1 <= (caught.value.retry_after or 0) <= 8


@pytest.mark.parametrize(
    ("status", "headers", "text", "kind", "words"),
    [
        (403, {"Retry-After": "30"}, "", SourceUnavailable, "rate limit"),
        (403, {}, '{"message": "You have exceeded a secondary rate limit"}', SourceUnavailable, "for 1 more minutes"),
        (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, "", SourceUnavailable, "rate limit"),
        (403, {"X-GitHub-SSO": "required; url=https://github.com/orgs/lab/sso"}, "", AccessDenied, "SSO"),
    ],
)
def test_a_refusal_is_read_as_github_means_it(
    status: int, headers: dict[str, str], text: str, kind: type, words: str
) -> None:
    error = SOURCE.explain(Refusal("https://api.github.com/repos/lab/cells", status, headers, text, True))
    assert isinstance(error, kind)
    assert words in str(error)


def test_a_plain_refusal_is_left_to_its_status() -> None:
    assert SOURCE.explain(Refusal("https://api.github.com/repos/lab/cells", 403, {}, "Forbidden", True)) is None


def test_a_repository_that_moved_is_pinned_by_its_name_of_now(double: Double) -> None:
    double.repo(REPO).commit({"a": b"1"})
    double.moved["old/name"] = REPO
    pin = SOURCE.resolve(Ref(f"github:{double.root}/old/name"), context())
    assert isinstance(pin, Pin)
    assert pin.ref.url == f"github:{double.root}/{REPO}"


def test_an_archive_leads_to_its_commit_with_a_warning(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Event] = []
    ctx = context()
    ctx = Context(ctx.settings, ctx.credentials, ctx.http, said.append)
    monkeypatch.setattr("gotdata.sources.github.ask_commit", lambda *_: COMMIT)
    monkeypatch.setattr("gotdata.sources.github.ask", lambda *_: {"full_name": "lab/cells"})
    found = SOURCE.resolve(Ref("https://github.com/lab/cells/archive/refs/tags/v1.0.tar.gz"), ctx)
    assert found == Ref(f"https://codeload.github.com/lab/cells/tar.gz/{COMMIT}")
    assert "makes this archive anew" in said[0].text


def test_a_gist_is_pinned_to_its_revision(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    site = github_place.Site(double.root, f"{double.root}/api/v3", f"{double.root}/raw")
    monkeypatch.setattr(github_place, "PUBLIC", site)
    monkeypatch.setattr(github_place, "GIST_RAW", f"{double.root}/gist-raw")
    first = double.gist(GIST, {"a b.csv": b"1"})
    newest = double.gist(GIST, {"a b.csv": b"22", "c.py": b"3"})
    for url, commit, bodies in (
        (f"https://gist.github.com/ada/{GIST}", newest, {"a b.csv": b"22", "c.py": b"3"}),
        (f"https://gist.github.com/ada/{GIST}/{first}#file-a-b-csv", first, {"a b.csv": b"1"}),
    ):
        pin = SOURCE.resolve(Ref(url), context())
        assert isinstance(pin, Pin)
        assert pin.version == {"commit": commit}
        assert {path: content(pin, file) for path, file in listed(pin).items()} == bodies
        assert {file.checks[0].algorithm for file in listed(pin).values()} == {"git-sha1"}


def test_the_citation_is_that_of_the_repository(double: Double) -> None:
    double.repo(REPO).commit({})
    assert resolved(double).citation == Citation("Cells, counted", ("lab",), "", "CC-BY-4.0")


def test_a_folder_with_more_than_github_lists_is_refused(double: Double) -> None:
    double.entries = 3
    double.repo(REPO).commit({f"f{number}": b"" for number in range(5)})
    with pytest.raises(SourceError, match="more entries than GitHub lists"):
        listed(resolved(double))


def test_the_checksum_of_a_blob_is_what_git_calls_it(double: Double) -> None:
    double.repo(REPO).commit({"a": b"1"})
    [file] = listed(resolved(double)).values()
    assert file.checks == (Checksum("git-sha1", "56a6051ca2b02b04ef92d5150c9ef600403cb1de"),)


@pytest.mark.parametrize(
    "at",
    [
        f"https://raw.githubusercontent.com/lab/other/{COMMIT}/f",
        "https://raw.githubusercontent.com/lab/cells/main/f",
        f"https://raw.githubusercontent.com/lab/cells/{COMMIT}/../../../lab/secret/main/f",
        f"https://raw.githubusercontent.com.evil.example/lab/cells/{COMMIT}/f",
        "https://github.com/lab/cells.git/info/lfs/objects/../../../../other",
    ],
)
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("github", Ref("github:https://github.com/lab/cells"), "x", {"commit": COMMIT})
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 1, at=at))
