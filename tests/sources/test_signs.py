"""Sources load when they are used: what they are told apart by before, leaves none out that would claim a reference."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gotdata.errors import ManifestError
from gotdata.manifest import reference, tidy
from gotdata.sources import registry
from gotdata.sources.signs import may_claim
from tests.sources.test_pasted import pasted

ROOT = Path(__file__).parents[2]


def mentioned() -> set[str]:
    """Every reference that the tests and pages of sources hold, as they stand there."""
    texts = [*ROOT.glob("tests/sources/*.py"), *ROOT.glob("docs/sources/*.md"), *ROOT.glob("tests/clients/*.py")]
    found = {text for path in texts for text in re.findall(r"[a-zA-Z0-9]+:[^\s\"'`<>{}|\\]+", path.read_text("utf-8"))}
    return found | {tidy(text) for text, _ in pasted()}


@pytest.mark.parametrize("name", list(registry.OWN))
def test_whatever_a_source_claims_it_is_asked_about(name: str) -> None:
    source = registry.source(name)
    hosts = getattr(sys.modules[type(source).__module__], "HOSTS", ())
    for text in mentioned() | {f"https://{host}/group/name/data/tree/1" for host in hosts}:
        with suppress(ManifestError):
            ref = reference(text)
            assert may_claim(name, ref) or not source.claims(ref), text


def test_a_plain_url_loads_no_other_source() -> None:
    program = (
        "import sys; from gotdata.model import Ref; from gotdata.sources import registry;"
        "registry.pick(Ref('https://example.org/x.h5'));"
        f"print([name for name in {list(registry.OWN)!r} if f'gotdata.sources.{{name}}' in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "['http']"


def test_an_archive_is_told_by_its_option() -> None:
    assert not may_claim("archive", reference("https://example.org/x.zip"))
    assert may_claim("archive", reference("https://example.org/x.zip", {"unpack": "true"}))
