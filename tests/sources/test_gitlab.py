from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AuthRequired, IntegrityError, ResolveError, SourceError
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile, Span
from gotdata.sources.gitlab import GitLab
from gotdata.testing.double import Switched
from gotdata.testing.git_objects import EXECUTABLE, LINK, MODULE, Blob, Repository, pointer
from gotdata.testing.gitlab_double import GitLab as Double
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = GitLab()
PROJECT = "lab/imaging/cells"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Branch(Switched):
    """The newest commit of a project."""

    def __init__(self, double: Double) -> None:
        super().__init__(double)
        self.repo = double.projects.setdefault(PROJECT, Repository())
        self.repo.commit({})
        self.ref = Ref(f"gitlab:{double.root}/{PROJECT}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.repo.commit({**self.repo.head(), path: Blob(body)})

    def remove(self, path: str) -> None:
        self.repo.commit({at: file for at, file in self.repo.head().items() if at != path})

    def folder(self, path: str) -> None:
        """Git keeps none but those of submodules."""
        self.repo.commit({**self.repo.head(), path: Blob(COMMIT.encode(), MODULE)})

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/-/blob/main/{path.replace(' ', '%20')}?ref_type=heads")

    def fill(self, count: int) -> None:
        self.repo.commit({f"many/{number}": b"" for number in range(count)})

    def cut(self, path: str, after: int) -> None:
        self.double.breaks.append(after)


class InLfs(Branch):
    """The same, where every file that is put is in LFS but the empty one."""

    def put(self, path: str, body: bytes) -> None:
        if body:
            self.double.lfs(body)
        super().put(path, pointer(body) if body else b"")

    def cut(self, path: str, after: int) -> None:
        oid = self.repo.head()[path].body.split(b"sha256:")[1][:64].decode()
        self.double.cut(f"lfs/{oid}", after)


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as double:
        yield double


class TestGitLab(SourceContract):
    source = SOURCE
    checks = "git-sha1"
    ranges = False

    @pytest.fixture
    def place(self, double: Double) -> Place:
        return Branch(double)


class TestLfs(SourceContract):
    source = SOURCE
    checks = "sha256"

    @pytest.fixture
    def place(self, double: Double) -> Place:
        return InLfs(double)


class TestLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self, double: Double) -> Liar:
        place = Branch(double)
        place.put("a/f", BODY)
        return place


def resolved(double: Double, rest: str = "", ctx: Context | None = None, **options: str) -> Pin:
    ref = Ref(f"gitlab:{double.root}/{PROJECT}{rest}", tuple(options.items()))
    return SOURCE.resolve(ref, ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://gitlab.com/lab/imaging/cells", True),
        ("https://www.GitLab.com/lab/cells.git", True),
        ("https://gitlab.com/lab/cells/-/tree/main/data?ref_type=heads", True),
        ("https://gitlab.com/lab/cells/-/releases", True),
        ("https://git.lab.example/group/sub/cells/-/raw/v1/a.csv", True),
        ("gitlab:https://git.lab.example/group/cells", True),
        ("https://gitlab.com/explore/projects", False),
        ("https://gitlab.com/lab", False),
        ("https://gitlab.com.evil.example/lab/cells", False),
        ("https://git.lab.example/group/cells", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


def test_a_branch_a_tag_and_a_commit_mean_a_commit(double: Double) -> None:
    repo = Branch(double).repo
    first = repo.commit({"a": b"1"}, "tags/v1")
    newest = repo.commit({"a": b"22"})
    assert resolved(double).version == {"commit": newest, "project": "1"}
    for rest in ("/-/tree/v1", f"/-/commit/{first}"):
        assert resolved(double, rest).version["commit"] == first
    assert resolved(double, version="v1").version["commit"] == first
    with pytest.raises(ResolveError, match="has no revision v9"):
        resolved(double, version="v9")


def test_the_border_of_a_branch_with_slashes_is_found(double: Double) -> None:
    repo = Branch(double).repo
    commit = repo.commit({"data/f": b"x"}, "heads/feature/x")
    pin = resolved(double, "/-/tree/feature/x/data")
    assert pin.version == {"commit": commit, "project": "1", "path": "data", "type": "folder"}
    assert list(listed(pin)) == ["f"]


def test_modes_become_what_they_are(double: Double) -> None:
    module = Blob(COMMIT.encode(), MODULE)
    Branch(double).repo.commit({"run": Blob(b"#!", EXECUTABLE), "d/link": Blob(b"../run", LINK), "sub": module})
    found = listed(resolved(double))
    assert {path: file.kind for path, file in found.items()} == {
        "run": Kind.FILE,
        "d/link": Kind.LINK,
        "sub": Kind.DIR,
    }
    assert found["run"].executable
    assert found["d/link"].target == "../run"


def test_sizes_are_asked_for_a_page_at_a_time(double: Double) -> None:
    Branch(double).fill(250)
    assert len(listed(resolved(double))) == 250
    assert sum(request.path == "/api/graphql" for request in double.server.requests) == 3


def test_what_graphql_refuses_is_told(double: Double) -> None:
    Branch(double).put("f", b"1")
    pin = resolved(double)
    double.graphql_error = "Query has complexity of 300, which exceeds max complexity of 200"
    with pytest.raises(SourceError, match="max complexity of 200"):
        listed(pin)


def test_an_lfs_file_is_read_by_range_from_its_store(double: Double) -> None:
    InLfs(double).put("big", BODY)
    pin = resolved(double, "/-/blob/main/big")
    [file] = listed(pin).values()
    assert (file.size, file.checks[0].algorithm) == (len(BODY), "sha256")
    with SOURCE.read(pin, file, Span(5, 50), context()) as stream:
        assert stream.readall() == BODY[5:50]
    assert "Signature" not in file.at


def test_a_private_project_can_not_be_told_from_a_missing_one(double: Double) -> None:
    Branch(double).put("a", b"1")
    double.private.add(PROJECT)
    with pytest.raises(AuthRequired, match="private, or there is no such project"):
        resolved(double)
    token = (("PRIVATE-TOKEN", double.token),)
    ctx = context(Credentials([Credential(f"{double.root}/", "cred:x", token)]))
    pin = resolved(double, ctx=ctx)
    assert content(pin, listed(pin, ctx)["a"], ctx) == b"1"
    assert SOURCE.realm(pin, ctx) != PUBLIC
    double.token = "another"
    with pytest.raises(ResolveError, match="your token does not open it"):
        resolved(double, ctx=ctx)


def test_who_has_a_lock_of_a_private_project_is_told_of_the_login(double: Double) -> None:
    Branch(double).put("a", b"1")
    pin = resolved(double)
    file = listed(pin)["a"]
    double.private.add(PROJECT)
    with pytest.raises(AuthRequired, match=rf"private, or not there any more: `gotdata login gitlab:{double.root}/`"):
        content(pin, file)


def test_the_pin_has_the_name_of_now_and_its_citation(double: Double) -> None:
    Branch(double)
    pin = SOURCE.resolve(Ref(f"gitlab:{double.root}/LAB/Imaging/cells"), context())
    assert pin.ref.url == f"gitlab:{double.root}/{PROJECT}"
    assert pin.citation == Citation("Cells, counted", ("lab/imaging",), "", "cc-by-4.0")


def test_the_checksum_of_a_blob_is_what_git_calls_it(double: Double) -> None:
    Branch(double).put("a", b"1")
    [file] = listed(resolved(double)).values()
    assert file.checks == (Checksum("git-sha1", "56a6051ca2b02b04ef92d5150c9ef600403cb1de"),)


@pytest.mark.parametrize(
    "at",
    [
        f"https://gitlab.com/api/v4/projects/8/repository/files/f/raw?ref={COMMIT}&lfs=true",
        "https://gitlab.com/api/v4/projects/7/repository/files/f/raw?ref=main&lfs=true",
        f"https://gitlab.com/api/v4/projects/7/repository/files/../../../8/f/raw?ref={COMMIT}&lfs=true",
        f"https://gitlab.com.evil.example/api/v4/projects/7/repository/files/f/raw?ref={COMMIT}&lfs=true",
    ],
)
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("gitlab", Ref("gitlab:https://gitlab.com/lab/cells"), "x", {"commit": COMMIT, "project": "7"})
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 1, at=at))
