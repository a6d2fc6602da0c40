"""Games with URLs: what looks as if it lay below a prefix, and does not; and what lies outside of one that denies, and
does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gotdata.errors import PolicyError
from gotdata.policy_place import place, prefix, within

BELOW = [
    ("https://h.org/a/", "https://h.org/a/"),
    ("https://h.org/a/", "https://h.org/a/b"),
    ("https://h.org/a/", "https://h.org:443/a/b"),
    ("https://h.org:443/a/", "https://h.org/a/b"),
    ("https://H.org/a/", "HTTPS://h.ORG/a/b"),
    ("https://h.org/a", "https://h.org/a/b"),
    ("https://h.org/a", "https://h.org/a"),
    ("https://h.org/a", "https://h.org/a?v=1"),
    ("https://h.org/a/", "https://h.org/a/?v=1#x"),
    ("https://h.org/a/", "https://h.org/%61/b"),
    ("https://h.org/%61/", "https://h.org/a/b"),
    ("https://h.org/", "https://h.org"),
    ("https://h.org", "https://h.org/a"),
    ("https://h.org/a b/".replace(" ", "%20"), "https://h.org/a%20b/c"),
    ("https://zenodo.org/", "invenio:https://zenodo.org/records/1"),
    ("invenio:https://zenodo.org/", "https://zenodo.org/records/1"),
    ("http://[::1]:8000/", "http://[::1]:8000/x"),
    ("http://10.0.0.1/", "http://10.0.0.1:80/x"),
    ("s3://bucket/", "s3://bucket/key"),
    ("s3://bucket", "s3://bucket/key"),
    ("s3://bucket/", "s3://bucket"),
    ("s3://bucket/p/", "S3://bucket/p/%2e%61?b#c".replace("%2e", "")),
    ("doi:10.5281", "doi:10.5281/zenodo.1"),
    ("doi:10.5281/", "DOI:10.5281/ZENODO.1"),
    ("doi:10.5281/", "https://doi.org/10.5281/zenodo.1"),
    ("doi:10.5281/", "doi:10.5281%2Fzenodo.1"),
    ("doi:10.5281/", "http://dx.doi.org/10.5281/zenodo.1"),
    ("https://doi.org/10.5281/", "doi:10.5281/zenodo.1"),
    ("doi:10.1002/", "doi:10.1002/(SICI)1097-0258(19980815/30)17:15/16"),
    ("doi:", "doi:10.1/x"),
    ("s3://", "s3://any/key"),
    ("https:", "https://any.org/x"),
    ("osf:abcde", "osf:abcde/f"),
    ("*", "https://any.org/x"),
    ("*", "doi:10.1/x"),
]

OUTSIDE = [
    ("https://h.org/a/", "https://h.org/a"),
    ("https://h.org/a/", "https://h.org/ab"),
    ("https://h.org/a", "https://h.org/ab"),
    ("https://h.org/a/", "https://h.org/A/b"),
    ("https://h.org/a/", "http://h.org/a/b"),
    ("https://h.org/%ff/", "https://h.org/%fe/b"),
    ("http://h.org/a/", "https://h.org/a/b"),
    ("https://h.org/a/", "https://h.org:8443/a/b"),
    ("https://h.org/a/", "https://h.org.evil.net/a/b"),
    ("https://h.org/a/", "https://evil.net/https://h.org/a/".replace("//h", "/h")),
    ("https://h.org/a/", "https://xh.org/a/b"),
    ("https://h.org/a/", "https://www.h.org/a/b"),
    ("https://h.org/a/", "https://evil.net/a/?https://h.org/a/"),
    ("https://h.org/a/", "https://evil.net/#https://h.org/a/"),
    ("https://h.org/a/", "https://h.org/?/a/b"),
    ("https://h.org/a/", "https://h.org/#/a/b"),
    ("https://h.org/a/", "https://h.org/b/a/"),
    ("https://h.org/a/", "https://h.org/a;x/b"),
    ("https://h.org/a/", "xn--h-ywa.org:https"),
    ("http://127.0.0.1/", "http://2130706433/x"),
    ("http://127.0.0.1/", "http://0x7f.1/x"),
    ("http://127.0.0.1/", "http://127.1/x"),
    ("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/x"),
    ("s3://bucket/", "s3://bucket2/key"),
    ("s3://bucket/", "s3://Bucket/key"),
    ("s3://bucket/p/", "s3://bucket/%70/x"),
    ("s3://bucket/p/", "s3://bucket/P/x"),
    ("s3://bucket/p/", "s3://bucket/?p/x"),
    ("s3://bucket/", "s3:bucket/key"),
    ("s3://bucket/", "s3://bucket@evil/key"),
    ("s3://bucket/", "s3://bucket:80/key"),
    ("s3://bucket/", "https://bucket/key"),
    ("doi:10.5281/", "doi:10.52810/x"),
    ("doi:10.528", "doi:10.5281/x"),
    ("doi:10.5281/", "https://doi.org.evil.net/10.5281/x"),
    ("doi:10.5281/", "https://evil.net/10.5281/x"),
    ("doi:", "https://zenodo.org/records/1"),
    ("https:", "http://h.org/x"),
    ("osf:abcde", "osf:abcdef"),
    ("osf:abcde", "osf:ABCDE"),
    ("*", "file:///etc/passwd"),
    ("*", "FILE:///etc/passwd"),
    ("*", "file://localhost/etc/passwd"),
]

REFUSED = [
    "https://h.org/a/../b",
    "https://h.org/a/./b",
    "https://h.org/a/..",
    "https://h.org/a/%2e%2e/b",
    "https://h.org/a/%2E%2e/b",
    "https://h.org/a/.%2e/b",
    "https://h.org/a/%252e%252e/b",
    "https://h.org/a/%25252e%25252e/b",
    "https://h.org/a/%2525252525252e%2e/b",
    "https://h.org/a%2F..%2Fb",
    "https://h.org/a%2fb",
    "https://h.org/a%252fb",
    "https://h.org/a%5cb",
    "https://h.org/a/%5c..%5cb",
    "https://h.org/a\\..\\b",
    "https://h.org\\@evil.net/a/",
    "https://h.org/a\\b",
    "https://h.org/a/..;/b",
    "https://h.org/a/.;x/b",
    "https://h.org//a/b",
    "https://h.org/a//b",
    "https://h.org/a/b//",
    "https://h.org@evil.net/a/",
    "https://h.org:443@evil.net/a/",
    "https://user:secret@h.org/a/",
    "https://@h.org/a/",
    "https://h.org%40evil.net/a/",
    "https://h.org./a/",
    "https://h.org../a/",
    "https://.h.org/a/",
    "https://h..org/a/",
    "https://h%2eorg/a/",
    "https://%68.org/a/",
    "https://h.org:/a/\t",
    "https://h.org/a/\n",
    "https://h.org /a/",
    " https://h.org/a/",
    "https://h.org/a/\u2215..",
    "https://ｈ.org/a/",
    "https://h\u3002org/a/",
    "https://hö.org/a/",
    "https://h.org/a/\x00",
    "https://h.org:99999/a/",
    "https://h.org:x/a/",
    "https:///a/b",
    "https:/h.org/a/",
    "https:h.org/a/",
    "https://#",
    "https://[::1/a/",
    "https://[fe80::1%25lo]/a/",
    "https://[::1%2525]/a/",
    "https://?/h.org/a/",
    "s3://bucket/a/../b",
    "s3://bucket/a/%2e%2e/b",
    "s3://bucket//a",
    "s3:///bucket/a",
    "s3://bucket/a%2fb",
    "doi:10.5281/../10.9/x",
    "doi:10.5281/%2e%2e/x",
    "doi:10.5281//x",
    "https://doi.org/10.5281%2Fx",
    "invenio:https://h.org/a/../b",
    "invenio:https://user@h.org/a",
    "file:a/b",
    "file:///srv/../etc",
    "file:///srv/%2e%2e/etc",
    "file:///srv/./x",
    "file://evil.net/srv",
    "file:////srv",
    "file:///srv/%00",
]


@pytest.mark.parametrize(("above", "text"), BELOW, ids=lambda text: ascii(text))
def test_below(above: str, text: str) -> None:
    assert within(place(text), prefix(above))


@pytest.mark.parametrize(("above", "text"), OUTSIDE, ids=lambda text: ascii(text))
def test_outside(above: str, text: str) -> None:
    assert not within(place(text), prefix(above))


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text))
def test_what_can_be_read_in_two_ways_has_no_place_and_is_no_prefix(text: str) -> None:
    with pytest.raises(PolicyError):
        place(text)
    with pytest.raises(PolicyError):
        prefix(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://*.h.org/", "no pattern"),
        ("https://h.org/*", "no pattern"),
        ("https://h.org/a?x=1", "before"),
        ("https://h.org/a#x", "before"),
        ("file:///srv", "`local:`"),
        ("/srv", "a scheme is due"),
        ("h.org", "a scheme is due"),
        ("zenodo", "a scheme is due"),
        ("", "a scheme is due"),
    ],
)
def test_what_is_no_prefix_is_told_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        prefix(text)


def test_a_path_of_this_machine_is_decoded() -> None:
    assert place("file:///srv/a%20b") == place("file://localhost/srv/a%20b") == "file:/srv/a b"


_SEGMENT = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-._~%+@:"), min_size=1)
_PATH = st.lists(_SEGMENT, max_size=4).map("/".join)


@given(_PATH, _PATH, st.sampled_from(["https://h.org/", "s3://bucket/", "doi:10.1/"]))
def test_below_is_below_by_whole_components(above: str, text: str, base: str) -> None:
    """Whatever passes has the components of the prefix first, however they are encoded."""
    try:
        found, top = place(base + text), prefix(base + above)
    except PolicyError:
        assume(False)
    if within(found, top):
        parts, first = found.split("/"), top.removesuffix("/").split("/")
        assert parts[: len(first)] == first
        assert not {"", ".", ".."} & set(parts[3:-1])
    assert within(place(base + text), prefix(base))


@given(st.text(st.characters(codec="ascii"), max_size=30))
def test_no_path_leads_to_another_host(tail: str) -> None:
    """What urllib3 and the standard library connect to is the host that was judged."""
    from urllib.parse import urlsplit

    from gotdata.credentials import parse

    url = f"https://h.org{tail}"
    try:
        found = place(url)
    except PolicyError:
        return
    if within(found, prefix("https://h.org/")):
        assert parse(url).host == urlsplit(url).hostname == "h.org"
        assert not re.search(r"(^|[/;\\])\.\.?([/;\\]|$)", found.partition("//")[2].partition("/")[2])
