from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.credentials.held import Sent
from gotdata.errors import AccessDenied, AuthRequired, IntegrityError, ResolveError, SourceError
from gotdata.model import Citation, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import figshare, landing
from gotdata.sources.figshare import Figshare
from gotdata.sources.figshare_place import Place as Named
from gotdata.sources.figshare_place import place
from gotdata.sources.http_answer import Refusal
from gotdata.testing.double import Switched
from gotdata.testing.figshare_double import Figshare as Double
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = Figshare()
API = "https://api.figshare.com/v2"
UUID = "e2c59841-4653-45de-a75e-4994b2766a2f"


class Article(Switched):
    """The files of one article. It appears when its first file does."""

    def __init__(self, double: Double) -> None:
        super().__init__(double)
        self.id = double.article()
        self.ref = Ref(f"figshare:{double.root}/v2/articles/{self.id}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.double.put(self.id, {path: body})

    def remove(self, path: str) -> None:
        self.double.remove(self.id, path)

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        try:
            id = self.double.find(self.id, path)
        except KeyError:
            id = "99"
        return Ref(f"{self.ref.url}?file={id}")

    def fill(self, count: int) -> None:
        self.double.put(self.id, {f"many/{number}": b"x" for number in range(count)})

    def cut(self, path: str, after: int) -> None:
        self.double.cut(self.double.find(self.id, path), after)


class TestFigshare(SourceContract):
    source = SOURCE
    checks = "md5"
    empty_folders = False

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Double() as double:
            yield Article(double)


class TestDjehuty(SourceContract):
    source = SOURCE
    checks = "md5"
    empty_folders = False

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Double(djehuty=True) as double:
            yield Article(double)


class TestFigshareThatLies(HostileContract):
    source = SOURCE
    lies = ("sizes", "names", "twins", "many")
    twins_are_told_apart = True

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Double() as double:
            article = Article(double)
            article.put("f", BODY)
            yield article


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as double:
        yield double


def resolved(double: Double, what: str, ctx: Context | None = None, **options: str) -> Pin:
    return SOURCE.resolve(Ref(f"figshare:{double.root}/v2/{what}", tuple(options.items())), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://figshare.com/articles/dataset/Test_data/14763051", Named(API, "14763051")),
        ("https://WWW.Figshare.com/articles/dataset/2020/14763051/2", Named(API, "14763051", version="2")),
        ("https://figshare.com/articles/Test/14763051", Named(API, "14763051")),
        ("https://monash.figshare.com/articles/14763051/3", Named(API, "14763051", version="3")),
        ("https://figshare.com/articles/figure/x/14763051?file=28369770", Named(API, "14763051", file="28369770")),
        ("https://figshare.com/ndownloader/files/28369770", Named(API, file="28369770")),
        ("https://ndownloader.figshare.com/files/28369770", Named(API, file="28369770")),
        ("https://figshare.com/ndownloader/articles/12/versions/2", Named(API, "12", version="2")),
        ("https://figshare.com/collections/Cells/4567/2", Named(API, collection="4567", version="2")),
        ("https://data.4tu.nl/datasets/" + UUID + "/1", Named("https://data.4tu.nl/v2", UUID, version="1")),
        ("https://data.4tu.nl/articles/dataset/BPI_2012/12689204", Named("https://data.4tu.nl/v2", "12689204")),
        ("figshare:14763051.v2", Named(API, "14763051", version="2")),
        ("figshare:10.6084/M9.figshare.14763051.v1", Named(API, "14763051", version="1")),
        ("figshare:doi:10.6084/m9.figshare.c.4567", Named(API, collection="4567")),
        ("figshare:10.48420/32055810", Named(API, doi="10.48420/32055810")),
        ("figshare:10.4121/" + UUID + ".v4", Named("https://data.4tu.nl/v2", UUID, version="4")),
        ("https://figshare.com.evil.example/articles/dataset/x/1", None),
        ("https://figshare.com/browse", None),
        ("https://data.manchester.example/articles/dataset/x/32055810", None),
    ],
)
def test_addresses_name_what_they_name(url: str, named: Named | None) -> None:
    assert place(url) == named
    assert SOURCE.claims(Ref(url)) is (named is not None)


def test_a_doi_without_a_version_means_the_newest_and_the_pin_names_that(double: Double) -> None:
    id = double.article()
    double.put(id, {"a": b"1"})
    double.put(id, {"a": b"22"})
    pin = resolved(double, f"articles/{id}")
    assert pin.version == {"article": id, "version": "2"}
    assert pin.ref.url == f"figshare:{double.root}/v2/articles/{id}/versions/2"
    assert pin.namespace == f"doi:10.6084/m9.figshare.{id}"
    assert pin.citation == Citation(
        "Cells, counted", ("Emmy Noether", "Marie Curie"), f"10.6084/m9.figshare.{id}.v2", "CC BY 4.0"
    )
    old = resolved(double, f"articles/{id}", version="1")
    assert content(old, listed(old)["a"]) == b"1"
    with pytest.raises(ResolveError, match="no version 7; there are 1, 2"):
        resolved(double, f"articles/{id}/versions/7")


def test_the_doi_of_an_institution_is_looked_up(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotdata.sources.figshare_place.API", f"{double.root}/v2")
    id = double.article("10.48420/{}")
    double.put(id, {"a": b"1"})
    double.put(id, {"a": b"22"})
    assert SOURCE.resolve(Ref(f"figshare:10.48420/{id}"), context()).version["version"] == "2"
    with pytest.raises(ResolveError, match="no article with the DOI"):
        SOURCE.resolve(Ref("figshare:10.48420/999"), context())


def test_a_page_of_an_institution_is_recognised_by_what_the_api_says(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figshare, "API", f"{double.root}/v2")
    double.host = "data.manchester.example"
    id = double.article()
    double.put(id, {"a": b"1"})
    page = f"https://data.manchester.example/articles/dataset/Cells/{id}"
    assert landing.recognise(page, context()) == Ref(f"figshare:{page}")
    assert figshare.recognise(f"https://journal.example/articles/dataset/Cells/{id}", context()) is None
    assert figshare.recognise("https://data.manchester.example/articles/dataset/Cells/99", context()) is None
    assert figshare.recognise("https://journal.example/articles/s41586-020-1", context()) is None


def test_a_host_that_speaks_the_api_itself_is_recognised() -> None:
    with Double(djehuty=True) as double:
        id = double.article()
        double.put(id, {"a": b"1"})
        found = figshare.recognise(f"{double.root}/datasets/{id}/1", context())
        assert found == Ref(f"figshare:{double.root}/v2/articles/{id}/versions/1")
        assert listed(SOURCE.resolve(found, context()))["a"].at.startswith(f"{double.root}/file/{id}/")


def test_pages_of_figshare_are_recognised_without_a_question() -> None:
    page = "https://figshare.com/articles/dataset/x/14763051"
    assert landing.recognise(page, context()) == Ref(page)


def test_all_files_are_listed_not_the_ten_that_an_article_shows(double: Double) -> None:
    id = double.article()
    double.put(id, {f"f{number}": b"x" for number in range(2500)})
    assert len(listed(resolved(double, f"articles/{id}"))) == 2500


def test_a_listing_that_breaks_off_is_an_error(double: Double) -> None:
    id = double.article()
    double.put(id, {f"f{number}": b"x" for number in range(1500)})
    double.stuck = True
    with pytest.raises(SourceError, match="1000 bytes are listed of 1500"):
        listed(resolved(double, f"articles/{id}"))


def test_files_with_one_name_are_told_apart_by_their_ids(double: Double) -> None:
    id = double.article()
    double.put(id, {"d/a.csv": b"1", "b": b"2"})
    second, third = double.twin(id, "d/a.csv", b"33"), double.twin(id, "b", b"444")
    pin = resolved(double, f"articles/{id}")
    found = {path: content(pin, file) for path, file in listed(pin).items()}
    assert found == {"d/a.csv": b"1", "b": b"2", f"d/a ({second}).csv": b"33", f"b ({third})": b"444"}
    assert listed(pin) == listed(pin)


def test_links_to_other_places_are_left_out_with_a_warning(double: Double) -> None:
    id = double.article()
    double.put(id, {"a": b"1"})
    double.put(id, {"elsewhere": b""}, link="https://data.example.org/big", md5="")
    told: list[Event] = []
    ctx = context()
    warned = Context(ctx.settings, ctx.credentials, ctx.http, told.append)
    assert list(listed(resolved(double, f"articles/{id}"), warned)) == ["a"]
    assert "1 of its files are links" in told[0].text
    only = double.article()
    double.put(only, {"elsewhere": b""}, link="https://data.example.org/big", md5="")
    with pytest.raises(ResolveError, match="no files"):
        listed(resolved(double, f"articles/{only}"))


def test_a_file_whose_sum_is_not_computed_yet_has_none(double: Double) -> None:
    id = double.article()
    double.put(id, {"a": b"1"}, md5="")
    [file] = listed(resolved(double, f"articles/{id}")).values()
    assert (file.checks, file.version) == ((), f"id:{double.find(id, 'a')}")


def test_files_are_read_from_the_api_not_through_the_wall(double: Double) -> None:
    id = double.article()
    double.put(id, {"a": BODY})
    pin = resolved(double, f"articles/{id}")
    file = listed(pin)["a"]
    assert file.at == f"{double.root}/v2/file/download/{double.find(id, 'a')}"
    with SOURCE.read(pin, file, Span(5, 10), context()) as stream:
        assert stream.readall() == BODY[5:10]
    [asked] = double.store.requests
    assert (asked.method, asked.headers["range"]) == ("GET", "bytes=5-9")


def test_the_address_of_a_download_alone_is_a_file(double: Double) -> None:
    id = double.article()
    double.put(id, {"a.csv": BODY})
    pin = resolved(double, f"file/download/{double.find(id, 'a.csv')}")
    [file] = listed(pin).values()
    assert (file.path, file.size, content(pin, file)) == ("a.csv", len(BODY), BODY)
    assert pin.version == {"file": double.find(id, "a.csv")}
    with pytest.raises(ResolveError, match="no such article or file"):
        resolved(double, "file/download/99")
    with pytest.raises(ResolveError, match="no versions, its article has"):
        resolved(double, f"file/download/{double.find(id, 'a.csv')}", version="2")


def test_a_wall_against_programs_is_named(double: Double) -> None:
    id = double.article()
    double.put(id, {"a": BODY})
    pin = resolved(double, f"articles/{id}")
    file = listed(pin)["a"]
    double.wall = "challenge"
    with pytest.raises(SourceError, match="wall against programs"):
        content(pin, file)
    for status, headers in ((202, {}), (405, {"x-amzn-waf-action": "captcha"})):
        said = SOURCE.explain(Refusal("https://api.figshare.com/v2/articles", status, headers, "", False))
        assert "wall against programs" in str(said)


def test_an_embargo_is_named_with_its_end(double: Double) -> None:
    id = double.article(is_embargoed=True, embargo_date="2031-05-01")
    double.put(id, {"a": b"1"})
    with pytest.raises(AuthRequired, match=r"embargo until 2031-05-01.*gotdata login"):
        resolved(double, f"articles/{id}")


def test_a_description_without_files_is_said_to_be_one(double: Double) -> None:
    id = double.article(is_metadata_record=True, metadata_reason="hosted somewhere else")
    double.put(id, {})
    with pytest.raises(ResolveError, match="only a description: hosted somewhere else"):
        resolved(double, f"articles/{id}")
    other = double.article(download_disabled=True)
    double.put(other, {"a": b"1"})
    with pytest.raises(AccessDenied, match="ask them"):
        resolved(double, f"articles/{other}")


def test_a_draft_is_no_version(double: Double) -> None:
    id = double.article(version=0)
    double.put(id, {"a": b"1"})
    with pytest.raises(ResolveError, match="draft"):
        resolved(double, f"articles/{id}")


@pytest.mark.parametrize("way", ["token", "private link"])
def test_what_opens_it_is_never_sent_to_the_store(double: Double, way: str) -> None:
    id = double.article()
    double.put(id, {"a": BODY})
    double.denied = True
    home = f"{double.root}/"
    by_token = Credential(home, "cred:mine", (("Authorization", f"token {double.token}"),))
    by_link = Credential(home, "cred:link", live=lambda post: Sent(query=f"private_link={double.token}"))
    ctx = context(Credentials([by_token if way == "token" else by_link]))
    pin = resolved(double, f"articles/{id}", ctx)
    file = listed(pin, ctx)["a"]
    assert content(pin, file, ctx) == BODY
    assert SOURCE.realm(pin, ctx) != PUBLIC
    assert double.token not in f"{pin} {file}"
    assert all(double.token not in f"{one.path} {one.headers}" for one in double.store.requests)


def test_the_address_of_a_private_link_is_refused_unshown() -> None:
    with pytest.raises(ResolveError, match="gotdata login figshare") as caught:
        SOURCE.resolve(Ref("https://figshare.com/s/0123456789abcdef"), context())
    assert "0123456789abcdef" not in str(caught.value)


def test_a_collection_is_its_articles_each_in_a_folder_and_a_version(double: Double) -> None:
    first, second = double.article(), double.article()
    double.put(first, {"d/a": b"1"})
    double.put(second, {"a": b"2"})
    id = double.collect(first, second)
    pin = resolved(double, f"collections/{id}")
    assert pin.version == {"collection": id, "version": "2", "articles": f"{first}.1 {second}.1"}
    double.put(second, {"a": b"later"})
    assert {path: content(pin, file) for path, file in listed(pin).items()} == {
        f"{first}/d/a": b"1",
        f"{second}/a": b"2",
    }
    with pytest.raises(ResolveError, match="newest version only"):
        resolved(double, f"collections/{id}/versions/1")


@pytest.mark.parametrize("at", ["https://ndownloader.figshare.com/files/1", "https://api.figshare.com.evil.example/1"])
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("figshare", Ref(f"figshare:{API}/articles/1/versions/1"), "doi:x", {"article": "1", "version": "1"})
    assert SOURCE.url(pin, RemoteFile("f", 4, at=f"{API}/file/download/1")) == f"{API}/file/download/1"
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 4, at=at))
