"""``gotdata policy``: what the rules say to whom, without a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.fakes import Line

RULES = """\
gotdata: 1
rules:
  - name: the class
    who: [user:alice, uid:4242, service:docker]
    from: [doi:10.5281/, https://zenodo.org/]
    roots: /data
    networks: 10.1.0.0/16
    scratch: 10GB
"""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy.yml"
    path.write_text(RULES)
    monkeypatch.setenv("GOTDATA_POLICY", str(path))
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("alice", "https://zenodo.org/records/1"),
        ("alice", "10.5281/zenodo.1", "invenio:https://zenodo.org/records/1"),
        ("4242", "doi:10.5281/zenodo.1", "--root", "/data/x"),
        ("-", "doi:10.5281/zenodo.1", "--service", "docker", "--scratch", "10GB"),
        ("nobody-known", "doi:10.5281/zenodo.1", "--service", "docker", "--as", "mount"),
        ("service:docker", "doi:10.5281/zenodo.1"),
        ("user:alice", "doi:10.5281/zenodo.1"),
        ("uid:4242", "doi:10.5281/zenodo.1"),
    ],
)
def test_what_is_allowed_is_told_with_its_rule(gotdata: Line, rules: Path, words: tuple[str, ...]) -> None:
    said = gotdata("policy", "test", *words)
    assert said.code == 0, said.err
    assert f"allowed by the rule 'the class' ({rules}:3)" in said.out
    assert "public addresses, 10.1.0.0/16" in said.out
    assert "10 GB" in said.out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("bob", "doi:10.5281/x"), "no rule of"),
        (("4243", "doi:10.5281/x"), "uid 4243"),
        (("-", "doi:10.5281/x"), "somebody unknown"),
        (("alice", "https://h.org/x"), "does not hold https://h.org/x"),
        (("alice", "doi:10.5281/x", "https://h.org/x"), "does not hold https://h.org/x"),
        (("alice", "doi:10.5281/x", "--as", "copy"), "does not allow copy"),
        (("alice", "doi:10.5281/x", "--root", "/etc"), "does not hold /etc"),
        (("alice", "doi:10.5281/x", "--scratch", "11GB"), "10,000,000,000 bytes of scratch"),
        (("alice", "file:///etc/passwd"), "`local`"),
        (("alice", "./x"), "relative"),
        (("alice", "https://zenodo.org/a/../b"), "'..'"),
        (("9" * 5000, "doi:10.5281/x"), "no rule of"),
    ],
)
def test_what_is_refused_ends_with_5_and_says_why(gotdata: Line, rules: Path, words: tuple[str, ...], why: str) -> None:
    said = gotdata("policy", "test", *words)
    assert said.code == 5
    assert said.out.startswith("refused\n")
    assert why in said.out


def test_programs_get_one_document_either_way(gotdata: Line, rules: Path) -> None:
    said = gotdata("policy", "test", "alice", "doi:10.5281/x", "--json")
    assert said.code == 0
    assert said.json["allowed"] is True
    assert said.json["grant"]["networks"] == ["10.1.0.0/16"]
    said = gotdata("policy", "test", "bob", "doi:10.5281/x", "--json")
    assert said.code == 5
    assert (said.json["allowed"], said.json["grant"]) == (False, None)
    assert str(rules) in said.json["why"]


def test_another_file_can_be_named(gotdata: Line, rules: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    said = gotdata("policy", "test", "alice", "doi:10.5281/x", "--policy", str(other))
    assert said.code == 5
    assert f"{other} is not there" in said.out
    other.write_text("gotdata: 1")
    assert gotdata("policy", "check", "--policy", str(other)).out == f"{other}: 0 rules, nothing wrong\n"


def test_check_tells_all_that_is_wrong(gotdata: Line, rules: Path) -> None:
    assert gotdata("policy", "check").out == f"{rules}: 1 rule, nothing wrong\n"
    assert gotdata("policy", "check", "--json").json == {"path": str(rules), "rules": 1}
    rules.write_text("gotdata: 1\nrules:\n- who: x\n- form: y\n")
    said = gotdata("policy", "check")
    assert said.code == 2
    assert f"{rules}:3:8: 'x' names nobody" in said.err
    assert f"{rules}:4:3: unknown key 'form'" in said.err
    assert gotdata("policy", "test", "alice", "doi:10.5281/x").code == 2
    rules.unlink()
    said = gotdata("policy", "check")
    assert (said.code, "refuse everything" in said.err) == (2, True)


def test_a_wrong_word_is_one_of_the_command_line(gotdata: Line, rules: Path) -> None:
    wrong = (("alice",), ("alice", "x", "--as", "y"), ("alice", "nothing"), ("alice", "s3://x", "--scratch", "y"))
    for words in (*wrong, ("group:students", "doi:10.5281/x"), ("uid:alice", "doi:10.5281/x")):
        assert gotdata("policy", "test", *words).code == 2


def test_the_schema_of_the_rules_is_printed(gotdata: Line) -> None:
    assert json.loads(gotdata("schema", "--policy").out)["title"] == "policy.yml"
    assert json.loads(gotdata("schema").out)["title"] == "gotdata.yml"
