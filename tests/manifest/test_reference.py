"""One spelling for what people write as a reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata.errors import ManifestError
from gotdata.manifest import reference
from gotdata.manifest.reference import folder_of
from gotdata.model import Ref


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("https://h.org/x?y=1#z", "https://h.org/x?y=1#z"),
        ("HTTPS://h.org/X", "https://h.org/X"),
        ("s3://b/K", "s3://b/K"),
        ("DOI:10.5281/zenodo.1", "doi:10.5281/zenodo.1"),
        ("10.5281/zenodo.1", "doi:10.5281/zenodo.1"),
        ("osf:abcde", "osf:abcde"),
        ("./big", "file:big"),
        ("./big/", "file:big"),
        (".", "file:."),
        ("./", "file:."),
        ("..", "file:.."),
        ("../shared/./x", "file:../shared/x"),
        ("/", "file:///"),
        ("/mnt/big data", "file:///mnt/big%20data"),
        ("/mnt//x/", "file:///mnt/x"),
        ("./ä%20#?", "file:%C3%A4%2520%23%3F"),
        ("file:big", "file:big"),
        ("file:./big//x", "file:big/x"),
        ("file:.", "file:."),
        ("file:/x", "file:///x"),
        ("file:///x%20y", "file:///x%20y"),
        ("file://localhost/x", "file:///x"),
        ("File:///%78", "file:///x"),
        ("file:///%ff", "file:///%FF"),
    ],
)
def test_the_canonical_spelling(written: str, canonical: str) -> None:
    assert reference(written) == Ref(canonical)
    assert reference(canonical) == Ref(canonical)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.dropbox.com/scl/fi/ID/a.csv?rlkey=x",
        "https://drive.google.com/file/d/ID/view?resourcekey=x",
        "s3://b/x?key=1",
        "https://figshare.com/articles/dataset/s/1",
    ],
)
def test_a_grant_that_a_shared_link_is_stays(url: str) -> None:
    assert reference(url).url == url


def test_options_are_sorted() -> None:
    assert reference("s3://b", {"region": "r", "anonymous": "true"}).options == (("anonymous", "true"), ("region", "r"))


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "empty"),
        ("big", "'big' has no scheme: .* or ./big"),
        ("example.org/x", "has no scheme"),
        ("10.5/x", "has no scheme"),
        ("~/x", "begins with '~'"),
        ("C:\\x", "file:///C:/folder"),
        ("c:/x", "file:///c:/folder"),
        ("x:y", "has no scheme"),
        ("file://nas/x", "the host 'nas'"),
        ("file:", "without a path"),
        ("file:///a%00b", "NUL"),
        ("s3:", "ends after its scheme"),
        ("https://", "ends after its scheme"),
        ("https://h.org/a b", "%20"),
        ("https://h.org/\x1b[2J", "control characters"),
        ("https://h.org/" + "a" * 8192, "too long"),
        ("https://u:hunter2@h.org/", "password"),
        ("https://h.org/?sig=hunter2", "the parameter sig"),
        ("https://h.org/f?key=hunter2", "the parameter key"),
        ("croissant:https://h.org/f?a=1&KEY=hunter2", "the parameter KEY"),
        ("https://figshare.com/s/hunter2hunter2", "a private link"),
        ("https://uni.figshare.com/s/hunter2", "a private link"),
        ("figshare:https://figshare.com/s/hunter2", "a private link"),
        ("https://datadryad.org/stash/share/hunter2-x", "a private link"),
        ("https://datadryad.org/share/hunter2", "a private link"),
        ("https//h.org/x", "lacks the colon after its scheme: https://…"),
        ("git@github.com:o/r.git", "address for git: write https://github.com/o/r$"),
        ("ds000224:1.0.1", "openneuro:ds000224:1.0.1$"),
        ("ds000224", "openneuro:ds000224$"),
    ],
)
def test_what_is_no_reference(written: str, why: str) -> None:
    with pytest.raises(ManifestError, match=why) as caught:
        reference(written)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_canonical_spelling_is_its_own(text: str) -> None:
    for written in (text, f"./{text}", f"/{text}", f"file:{text}"):
        try:
            found = reference(written)
        except ManifestError:
            continue
        assert reference(found.url) == found


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:big/x", "big/x"),
        ("file:a/../b%20c", "b c"),
        ("file:.", ""),
        ("file:.hidden", ".hidden"),
        ("file:..data", "..data"),
        ("file:..", None),
        ("file:../x", None),
        ("file:///x", None),
        ("s3://b/x", None),
    ],
)
def test_the_folder_of_a_relative_reference(url: str, folder: str | None) -> None:
    assert folder_of(url) == folder


@pytest.mark.parametrize("text", ["http://[evil/x", "https://[::1/x", "http://[evil]/x", "invenio:http://[e/records/1"])
def test_a_host_that_can_t_be_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="is no URL"):
        reference(text)
