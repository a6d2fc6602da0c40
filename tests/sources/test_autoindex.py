from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.errors import SourceError
from gotdata.sources import autoindex
from gotdata.sources.autoindex import Entry
from gotdata.sources.http_page import Page
from gotdata.testing.server import Reply, Server
from gotdata.testing.source_contract import context

URL = "https://host/pub/d/"

NGINX = """<html>
<head><title>Index of /pub/d/</title></head>
<body>
<h1>Index of /pub/d/</h1><hr><pre><a href="../">../</a>
<a href="sub/">sub/</a>                                               06-Nov-1994 08:49                   -
<a href="a%20b%26c.csv">a b&amp;c.csv</a>                             06-Nov-1994 08:49                1234
<a href="a-very-long-name-that-is-cut-in-what-is-shown-to-people.h5">a-very-long-name-that-is-cut-in-..&gt;</a>
</pre><hr></body>
</html>
"""
APACHE_FANCY = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">
<html><head><title>Index of /pub/d</title></head><body>
<h1>Index of /pub/d</h1>
<table><tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th><th><a href="?C=N;O=D">Name</a></th>
<th><a href="?C=M;O=A">Last modified</a></th><th><a href="?C=S;O=A">Size</a></th></tr>
<tr><td valign="top"><img src="/icons/back.gif" alt="[PARENTDIR]"></td><td><a href="/pub/">Parent Directory</a></td>
<tr><td><a href="sub/"><img src="/icons/folder.gif" alt="[DIR]"></a></td><td><a href="sub/">sub/</a></td></tr>
<tr><td><img src="/icons/text.gif"></td><td><a href="a%20b&amp;c.csv">a b&amp;c.csv</a></td><td>1.2K</td></tr>
</table><address>Apache/2.4.62 (Debian) Server at host Port 443</address>
</body></html>
"""
APACHE_PLAIN = """<html><head><title>Index of /pub/d</title></head><body><h1>Index of /pub/d</h1>
<ul><li><a href="/pub/"> Parent Directory</a></li>
<li><a href="sub/"> sub/</a></li>
<li><a href="a%20b&amp;c.csv"> a b&amp;c.csv</a></li>
</ul></body></html>
"""
PYTHON = """<!DOCTYPE HTML>
<html lang="en"><head><meta charset="utf-8"><title>Directory listing for /pub/d/</title></head>
<body><h1>Directory listing for /pub/d/</h1><hr><ul>
<li><a href="sub/">sub/</a></li>
<li><a href="a%20b%26c.csv">a b&amp;c.csv</a></li>
<li><a href="link">link@</a></li>
</ul><hr></body></html>
"""


def names(text: str, url: str = URL) -> list[str]:
    index = autoindex.parse(Page(url, "text/html", text))
    assert index is not None
    assert index.certain
    return [entry.path for entry in index.entries]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (NGINX, ["sub/", "a b&c.csv", "a-very-long-name-that-is-cut-in-what-is-shown-to-people.h5"]),
        (APACHE_FANCY, ["sub/", "a b&c.csv"]),
        (APACHE_PLAIN, ["sub/", "a b&c.csv"]),
        (PYTHON, ["sub/", "a b&c.csv", "link"]),
    ],
    ids=["nginx", "apache fancy", "apache plain", "python"],
)
def test_the_pages_of_servers_are_understood(text: str, found: list[str]) -> None:
    assert names(text) == found


@pytest.mark.parametrize(
    "href",
    [
        "..",
        "../",
        "/",
        "/pub/",
        "/pub/other/",
        "/pub/d/",
        ".",
        "",
        "?C=N;O=D",
        "x?y",
        "x#y",
        "#top",
        "https://host:8443/pub/d/x",
        "http://host/pub/d/x",
        "https://evil/pub/d/x",
        "//evil/pub/d/x",
        "sub/deep",
        "mailto:me@host",
        "javascript:x",
        "https://[/",
    ],
)
def test_only_what_lies_directly_below_is_followed(href: str) -> None:
    assert names(f'<title>Index of</title><a href="{href}">x</a>') == []


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("/pub/d/x", "x"),
        ("./x:y", "x:y"),
        ("https://host/pub/d/x", "x"),
        (" x ", "x"),
        ("%ff%fe", "\udcff\udcfe"),
        ("gr%C3%BCn", "grün"),
        ("grün", "grün"),
        ("100%25", "100%"),
        ("a%0Ab", "a\nb"),
    ],
)
def test_names_are_decoded(href: str, name: str) -> None:
    assert names(f'<title>Index of</title><a href="{href}">x</a>') == [name]


@pytest.mark.parametrize("href", ["%2e%2e", "%2e%2e/", "a%00b", "%2e"])
def test_a_name_that_no_file_may_have_is_refused(href: str) -> None:
    with pytest.raises(SourceError, match="refused the file"):
        names(f'<title>Index of</title><a href="{href}">x</a>')


def test_a_name_that_is_linked_twice_is_one_file() -> None:
    assert names('<title>Index of</title><a href="x">icon</a><a href="x">x</a>') == ["x"]


def test_json_tells_sizes_and_times() -> None:
    text = """[
    { "name":"sub", "type":"directory", "mtime":"Sun, 06 Nov 1994 08:49:37 GMT" },
    { "name":"x", "type":"file", "mtime":"Sun, 06 Nov 1994 08:49:37 GMT", "size":12 }
    ]"""
    index = autoindex.parse(Page(URL, "application/json", text))
    assert index is not None
    assert index.entries == (Entry("sub/"), Entry("x", 12, "mtime:Sun, 06 Nov 1994 08:49:37 GMT"))


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"name":1}]', '[{"name":"x"}]', "[" * 10_000])
def test_other_json_is_no_index(text: str) -> None:
    assert autoindex.parse(Page(URL, "application/json", text)) is None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def walked(server: Server, path: str = "d/") -> set[str]:
    return {entry.path for entry in autoindex.walk(server.at(path), context().http)}


def test_folders_are_walked_to_their_ends(server: Server) -> None:
    for path in ("d/x", "d/a/x", "d/a/b/c/x", "d/empty/", "else/x"):
        server.put(path)
    assert walked(server) == {"x", "a/x", "a/b/c/x", "empty/"}
    assert len({request.path for request in server.requests}) == len(server.requests), "each folder is asked once"


def test_a_folder_that_holds_itself_ends_with_an_error(server: Server) -> None:
    page = b'<title>Index of</title><a href="again/">again/</a><a href="more/">more/</a>'
    server.otherwise = lambda request: Reply(200, {"Content-Type": "text/html"}, page)
    with pytest.raises(SourceError, match=r"more than 64 folders .* a loop\?"):
        walked(server)
    assert len(server.requests) < 100


def test_a_web_page_below_an_index_is_not_taken_for_an_empty_folder(server: Server) -> None:
    server.put("d/x")
    server.put("d/site/x")
    page = Reply(200, {"Content-Type": "text/html"}, b"<title>Welcome</title><a href='/'>home</a>")
    server.otherwise = lambda request: page if request.path == "/d/site/" else None
    with pytest.raises(SourceError, match=r"/d/site/ shows a web page where an index of the folder was due"):
        walked(server)
