"""With the internet: a small public file of a web server, and a redirector that names mirrors."""

from __future__ import annotations

from gotdata.model import Ref
from gotdata.sources.http import Http
from gotdata.testing.source_contract import context, follow
from tests.live.reading import check


def test_a_file_of_physionet() -> None:
    check(Ref("https://physionet.org/files/mitdb/1.0.0/100.hea"), source="http")


def test_a_redirector_of_downloads_names_mirrors_and_a_digest() -> None:
    url = "https://download.documentfoundation.org/libreoffice/src/24.8.4/libreoffice-translations-24.8.4.2.tar.xz"
    ctx = context()
    pin = follow(Ref(url), ctx)[1]
    (file,) = Http().files(pin, ctx)
    assert pin.version.get("duplicates"), f"it names no mirrors any more: {dict(pin.version)}"
    assert {"sha256", "sha1", "md5"} & {check.algorithm for check in file.checks}
