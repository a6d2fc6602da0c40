"""The operator's rules: the first that fits decides, what none allows is refused, and every refusal says what to do."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata import policy
from gotdata.errors import ManifestError, PolicyError
from gotdata.policy import Asked, Grant, Policy, Who, person
from gotdata.policy_file import DELIVERIES, KEYS, Rule, read, schema
from gotdata.reach import Reach

ALICE = Who("alice", 1000, ("staff", "students"), "control")
BOB = Who("bob", 1001, ("bob",), "control")
DOCKER = Who(service="docker")
URL = "https://data.example/atlas/f"


def rules(text: str) -> Policy:
    return Policy(read(f"gotdata: 1\nrules:\n{text}", "policy.yml"), "policy.yml")


def judge(text: str, who: Who = ALICE, urls: tuple[str, ...] = (URL,), as_: str = "volume", **more: object) -> Grant:
    return rules(text).judge(Asked(who, urls, as_, **more))  # type: ignore[arg-type]


def refused(text: str, *given: object, **more: object) -> str:
    with pytest.raises(PolicyError) as caught:
        judge(text, *given, **more)  # type: ignore[arg-type]
    return str(caught.value)


# Which rule decides


def test_what_no_rule_allows_is_refused() -> None:
    for empty in ("", "[]"):
        with pytest.raises(PolicyError):
            Policy(read(f"gotdata: 1\nrules: {empty}", "p")).judge(Asked(ALICE, (URL,), "volume"))
    with pytest.raises(PolicyError):
        Policy().judge(Asked(ALICE, (URL,), "volume"))


def test_the_first_rule_that_fits_decides() -> None:
    text = """
  - {who: user:bob, from: "*", scratch: 1}
  - {who: user:alice, from: "https://data.example/atlas/", scratch: 2}
  - {who: user:alice, from: "*", scratch: 3}
"""
    assert judge(text).scratch == 2
    assert judge(text, BOB).scratch == 1
    assert judge(text, urls=("https://other.example/",)).scratch == 3


def test_a_denial_stops_where_any_place_fits_and_only_before_what_allows() -> None:
    text = """
  - {who: "*", from: "https://data.example/secret/", deny: true}
  - {who: "*", from: "*"}
  - {who: "*", from: "https://data.example/", deny: true}
"""
    assert judge(text)
    assert "policy.yml:4" in refused(text, urls=(URL, "https://data.example/secret/f"))


def test_a_denial_without_places_denies_all() -> None:
    text = (
        '\n  - {who: user:bob, deny: true}\n  - {who: "*", from: "*", local: /srv, as: [volume, copy], export: true}\n'
    )
    assert judge(text)
    for wanted in ({"as_": "copy"}, {"urls": ("file:///srv/x",)}, {}):
        assert "policy.yml:4" in refused(text, BOB, **wanted)


def test_a_denial_of_some_deliveries_roots_or_folders_leaves_the_others() -> None:
    text = """
  - {who: "*", as: copy, deny: true}
  - {who: "*", roots: /data/private, deny: true}
  - {who: "*", local: /srv/private, deny: true}
  - {who: "*", from: "*", roots: /data, local: /srv, as: [volume, copy], export: true}
"""
    assert judge(text)
    assert judge(text, root="/data/x", urls=("file:///srv/x",))
    assert "policy.yml:4" in refused(text, as_="copy")
    assert "policy.yml:5" in refused(text, root="/data/private/x")
    assert "policy.yml:6" in refused(text, urls=("file:///srv/private/x",))


@pytest.mark.parametrize(
    ("word", "who"),
    [
        ("user:alice", ALICE),
        ("uid:1000", ALICE),
        ("group:students", ALICE),
        ("service:control", ALICE),
        ("service:docker", DOCKER),
        ('"*"', DOCKER),
        ('"*"', Who()),
        ("[user:bob, uid:1000]", ALICE),
    ],
)
def test_who_is_meant(word: str, who: Who) -> None:
    assert judge(f"\n  - {{who: {word}, from: '*'}}", who)


@pytest.mark.parametrize(
    ("word", "who"),
    [
        ("user:alice", BOB),
        ("user:alice", Who()),
        ("user:Alice", ALICE),
        ("user:alic", ALICE),
        ("user:students", ALICE),
        ("group:alice", ALICE),
        ("uid:100", ALICE),
        ("uid:0", Who("root", None)),
        ("uid:0", DOCKER),
        ("service:docker", ALICE),
        ("service:docker", Who("docker", 5, ("docker",))),
        ("user:x", Who(service="user:x")),
        ("group:x", Who(user="group:x")),
    ],
)
def test_nobody_else_is_meant(word: str, who: Who) -> None:
    refused(f"\n  - {{who: {word}, from: '*'}}", who)


def test_one_rule_must_allow_every_mirror_and_what_it_was_resolved_to() -> None:
    text = "\n  - {who: '*', from: 'doi:10.5281/'}\n  - {who: '*', from: 'https://zenodo.org/'}\n"
    both = ("doi:10.5281/zenodo.1", "invenio:https://zenodo.org/records/1")
    assert judge(text, urls=both[:1])
    assert judge(text, urls=both[1:])
    assert "does not hold https://zenodo.org/records/1" in refused(text, urls=both)
    assert judge("\n  - {who: '*', from: ['doi:10.5281/', 'https://zenodo.org/']}", urls=both)


def test_files_of_this_machine_are_allowed_by_local_alone(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "out").symlink_to(tmp_path)
    text = f"\n  - {{who: '*', from: '*', local: '{tmp_path}/archive'}}"
    inside, outside = (tmp_path / "archive" / "f").as_uri(), (tmp_path / "archive" / "out" / "f").as_uri()
    assert judge(text, urls=(inside,))
    assert "`local` does not hold" in refused(text, urls=(outside,))
    assert "`local` does not hold" in refused("\n  - {who: '*', from: '*'}", urls=(inside,))
    assert judge(text, urls=(), manifest=f"{tmp_path}/archive/gotdata.yml")
    for path in (
        "/etc/gotdata.yml",
        f"{tmp_path}/archive/out/gotdata.yml",
        "gotdata.yml",
        f"{tmp_path}/archive/../x",
        f"{tmp_path}/archive/\0",
    ):
        refused(text, urls=(), manifest=path)


def test_what_would_take_long_to_judge_is_not_judged() -> None:
    """In a second or so; each of these took a minute, in which nobody else was answered."""
    for urls in ((f"https://data.example/{'%252525' * 8_000_000}",), (URL,) * 2_000_000):
        said = refused(f"  - {{who: '*', from: {URL}}}", urls=urls)
        assert "than are judged at once" in said
        assert len(said) < 200


def test_an_answer_to_nothing_is_no() -> None:
    assert "nothing" in refused("\n  - {who: '*', from: '*'}", urls=())


@pytest.mark.parametrize("root", ["/data", "/data/", "/data/x", "/data/x/y", "/data//x", "/home/alice/x"])
def test_roots_hold_what_lies_below_them(root: str) -> None:
    assert judge("\n  - {who: '*', from: '*', roots: [/data/, /home/alice]}", root=root)


@pytest.mark.parametrize("root", ["/", "/dat", "/data2", "/data/../etc", "/data/./x", "data", "/home", "//etc", "/etc"])
def test_roots_hold_nothing_else(root: str) -> None:
    assert "`roots` does not hold" in refused("\n  - {who: '*', from: '*', roots: [/data, /home/alice]}", root=root)
    refused("\n  - {who: '*', from: '*'}", root=root)


def test_what_stays_behind_needs_export() -> None:
    plain, export = "\n  - {who: '*', from: '*'}", "\n  - {who: '*', from: '*', export: true}"
    for as_ in ("volume", "mount"):
        assert judge(plain, as_=as_)
        assert judge(export, as_=as_)
    for as_ in ("copy", "bake"):
        assert "`export`" in refused(plain, as_=as_)
        assert judge(export, as_=as_)
    assert "`as` does not allow bake" in refused("\n  - {who: '*', from: '*', as: copy, export: true}", as_="bake")
    refused(export, as_="teleport")


def test_a_grant_says_what_its_rule_says() -> None:
    text = """
  - name: the class
    who: group:students
    from: https://data.example/
    local: [/srv/archive, /mnt/x/]
    networks: [10.1.0.0/16, "fd12::/16"]
    bytes_a_day: 100GB
    scratch: 10 GiB
    hide: [source, snapshot]
"""
    assert judge(text) == Grant(
        "the rule 'the class' (policy.yml:4)",
        frozenset({"source", "snapshot"}),
        Reach(("10.1.0.0/16", "fd12::/16"), ("/srv/archive", "/mnt/x")),
        100 * 10**9,
        10 << 30,
        "the class",
    )


def test_a_service_shows_no_source_and_reaches_nothing_inside_unless_a_rule_says_so() -> None:
    grant = judge("\n  - {who: '*', from: '*'}")
    assert (grant.hide, grant.reach, grant.scratch, grant.bytes_a_day) == (frozenset({"source"}), Reach(), 0, 0)
    assert judge("\n  - {who: '*', from: '*', hide: []}").hide == frozenset()


def test_scratch_has_a_limit() -> None:
    assert judge("\n  - {who: '*', from: '*', scratch: 10GB}", scratch=10**10)
    assert "allows 10,000,000,000 bytes" in refused("\n  - {who: '*', from: '*', scratch: 10GB}", scratch=10**10 + 1)
    assert "allows no scratch" in refused("\n  - {who: '*', from: '*'}", scratch=1)


# What a refusal says


def test_the_refusal_names_who_what_and_the_line_that_would_have_to_allow_it() -> None:
    text = """
  - {who: user:alice, from: "https://zenodo.org/", as: mount}
  - {name: near, who: user:alice, from: "https://data.example/cells/"}
  - {who: user:bob, from: "*"}
"""
    said = refused(text)
    assert said.startswith(f"alice by control may not have {URL} as volume: ")
    assert f"'near' (policy.yml:5) would allow it, but `from` does not hold {URL}" in said


def test_where_no_rule_is_for_them_the_refusal_writes_one_that_works() -> None:
    said = refused("\n  - {who: user:bob, from: '*'}", urls=(URL, "file:///srv/x"), root="/data", as_="copy")
    assert "user:alice or uid:1000 or group:staff" in said
    lines = said.partition("One could be\n")[2]
    asked = Asked(ALICE, (URL, "file:///srv/x"), "copy", "/data")
    assert Policy(read(lines, "p")).judge(asked).scratch == 0


def test_a_missing_file_refuses_everything_and_says_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    asked = Asked(DOCKER, ("doi:10.5281/zenodo.1", "https://h.org:8443/a b".replace(" ", "%20")), "volume")
    with pytest.raises(PolicyError) as caught:
        policy.load(path).judge(asked)
    head, _, lines = str(caught.value).partition("It could say\n")
    assert str(path) in head
    path.write_text(lines)
    assert policy.load(path).judge(asked)


def test_hostile_words_do_not_leave_their_place_in_the_refusal() -> None:
    url = 'https://h.org/"]%0a%20%20-%20{who:%20"%2A"}'
    who = Who('x"], y: "*" #')
    said = refused("\n  - {who: user:bob, from: '*'}", who, (url,))
    [rule] = read(said.partition("One could be\n")[2], "p")
    assert rule.who == ('user:x"], y: "*" #',)
    assert rule.from_ == ('https://h.org:443/"]\n  - {who: "*"}',)


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@h.org/", "https://h.org/?token=hunter2", "https://h.org/a#sig=hunter2"]
)
def test_no_refusal_tells_a_secret(url: str, tmp_path: Path) -> None:
    for found in (rules("\n  - {who: user:bob, from: 'https://h.org/'}"), policy.load(tmp_path / "none")):
        with pytest.raises(PolicyError) as caught:
            found.judge(Asked(ALICE, (url,), "volume"))
        assert "hunter2" not in str(caught.value)


def test_many_places_are_told_in_short() -> None:
    urls = tuple(f"https://h{number}.org/" for number in range(50))
    assert "and 47 more" in refused("\n  - {who: user:bob, from: '*'}", urls=urls).partition("One could")[0]


# The file


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", ["1:1: nothing is written here"]),
        ("rules", ["1:1: this is no policy"]),
        ("rules: []", ["1:1: the line 'gotdata: 1' is missing"]),
        ("gotdata: 2\nrules: []", ["1:10: format 2 is newer"]),
        ("gotdata: one\nrules: []", ["1:10: the format is a number"]),
        ("gotdata: 1\nrule: []", ["2:1: unknown key 'rule': did you mean 'rules'?"]),
        ("gotdata: 1\nrules: {}", ["2:8: 'rules' is a mapping: a list is due"]),
        ("gotdata: 1\nrules: [x]", ["2:9: a rule is a mapping, and this is text"]),
        ("gotdata: 1\nrules:\n- from: '*'", ["3:3: it does not say whom it is for"]),
        ("gotdata: 1\nrules:\n- who: '*'", ["3:3: it allows nothing"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  form: '*'", ["4:3: unknown key 'form': did you mean 'from'?"]),
        ("gotdata: 1\nrules:\n- users: x\n  src: x\n  to: x", ["3:3", "'who'", "4:3", "'from'", "5:3", "'roots'"]),
        ("gotdata: 1\nrules:\n- who: alice\n  from: h.org", ["3:8: 'alice' names nobody", "4:9: 'h.org': a scheme"]),
        ("gotdata: 1\nrules:\n- who: [user:1000, uid:x, uid:01, 'group:', '**']\n  from: '*'", ["3:9", "'uid:1000'?"]),
        ("gotdata: 1\nrules:\n- who: 'us:x'\n  from: '*'", ["3:8: 'us:x' names nobody"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: []", ["4:9: an empty list"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from:", ["4:8: nothing is written here"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: [file:///srv]", ["4:10: 'file:///srv': folders of this machine"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: 'https://h.org/a/../b'", ["4:9", "'..'"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: 'https://*.h.org/'", ["4:9", "no pattern"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  as: volumes", ["5:7", "did you mean 'volume'?"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  as: [copy]", ["3:3: a copy stays when the rule is gone"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  roots: data", ["5:10: 'data' is no folder"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  local: /srv/../etc", ["5:10: '/srv/../etc' is no folder"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  networks: 10.1.2.3/8", ["5:13", "host bits set"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  networks: lan", ["5:13: 'lan' is no network"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  scratch: much", ["5:12: 'much'", "500MB"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  bytes_a_day: -1", ["5:16: '-1'"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  hide: origin", ["5:9: 'origin' can't be here"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  from: '*'\n  export: yes", ["5:11: 'yes' can't be here"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  deny: true\n  scratch: 1", ["3:3: 'scratch' has no use"]),
        ("gotdata: 1\nrules:\n- who: '*'\n  who: x\n  from: '*'", ["4:3: 'who' stands twice"]),
        ("gotdata: 1\nrules:\n- who: *x\n", ["3:8: an alias"]),
        ("gotdata: 1\nrules:\n- who: !x y\n", ["3:8: a tag"]),
        ("gotdata: 1\nrules:\n\t- who: x\n", ["3:1: a tab"]),
        ("gotdata: 1\n---\ngotdata: 1", ["a second document"]),
    ],
)
def test_all_that_is_wrong_is_told_with_its_place(text: str, places: list[str]) -> None:
    with pytest.raises(ManifestError) as caught:
        read(text, "policy.yml")
    said = str(caught.value)
    assert said.startswith("policy.yml:")
    for place in places:
        assert place in said


def test_a_secret_in_a_rule_is_not_told() -> None:
    with pytest.raises(ManifestError) as caught:
        read("gotdata: 1\nrules:\n- {who: '*', from: 'https://me:hunter2@h.org/'}", "p")
    assert "hunter2" not in str(caught.value)


def test_every_key_is_read_into_its_field() -> None:
    assert {key.field for key in KEYS.values()} == {name for name in Rule.__slots__ if name != "line"}


def test_the_page_has_every_key_and_its_example_works() -> None:
    page = (Path(__file__).parents[1] / "docs" / "policy.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == set(KEYS)
    example = Policy(read(page.partition("```yaml\n")[2].partition("```")[0], "p"), "p")
    clinic, student = "https://archive.example.org/clinic/scan", Who("eve", 5, ("students",))
    for who in (ALICE, student):
        with pytest.raises(PolicyError, match="never the patients' scans"):
            example.judge(Asked(who, (clinic,), "volume"))
    zenodo = ("doi:10.5281/zenodo.1", "invenio:https://zenodo.org/records/1")
    assert example.judge(Asked(student, zenodo, "mount", "/home/eve/x", scratch=10**10)).bytes_a_day == 10**11
    assert example.judge(Asked(ALICE, ("file:///srv/archive/x", "https://any.org/"), "copy", "/data/x"))


def test_other_tools_keys_are_left_alone() -> None:
    assert judge("\n  - {who: '*', from: '*', x-note: why}")


def test_the_schema_says_what_the_reader_says() -> None:
    rule = schema()["properties"]["rules"]["items"]
    assert set(rule["properties"]) == set(KEYS)
    assert rule["properties"]["as"]["anyOf"][0]["enum"] == list(DELIVERIES)
    assert rule["additionalProperties"] is False
    jsonschema.Draft202012Validator.check_schema(schema())
    judges = jsonschema.Draft202012Validator(schema())
    full = {"who": "group:a", "from": ["doi:10.1/"], "as": "copy", "export": True, "scratch": "1GB", "hide": []}
    for sound in (full, {"who": ["*"], "deny": True}, {"who": "uid:5", "local": "/srv", "x-note": 1}):
        judges.validate({"gotdata": 1, "rules": [sound]})
        assert read(json.dumps({"gotdata": 1, "rules": [sound]}), "p")
    for wrong in ({}, {"who": "alice"}, {"who": "user:1"}, {"who": "uid:x"}, full | {"as": "x"}, full | {"form": "x"}):
        assert not judges.is_valid({"gotdata": 1, "rules": [wrong]})
        with pytest.raises(ManifestError):
            read(json.dumps({"gotdata": 1, "rules": [wrong]}), "p")


def test_the_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    path, asked = tmp_path / "policy.yml", Asked(ALICE, (URL,), "volume")
    path.write_text("gotdata: 1\nrules: [{who: 'user:alice', from: '*'}]")
    assert policy.load(path).judge(asked)
    path.write_text("gotdata: 1\nrules: [{who: 'user:bob', from: '*'}]")
    with pytest.raises(PolicyError):
        policy.load(path).judge(asked)
    path.unlink()
    assert policy.load(path).missing


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_rules_that_everybody_can_change_are_none(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text("gotdata: 1\nrules: [{who: '*', from: '*'}]")
    path.chmod(0o666)
    with pytest.raises(ManifestError, match="chmod o-w"):
        policy.load(path)
    path.chmod(0o664)
    assert policy.load(path).rules


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(ManifestError, match="can't be read"):
            policy.load(path)


# Users of this machine


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such database")
def test_users_are_known_by_name_and_number_with_their_groups() -> None:
    import grp
    import pwd

    own = pwd.getpwuid(os.getuid())
    found = person(own.pw_uid, "control")
    assert found == person(own.pw_name, "control")
    assert (found.user, found.uid, found.service) == (own.pw_name, own.pw_uid, "control")
    assert grp.getgrgid(own.pw_gid).gr_name in found.groups


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such database")
def test_whom_the_database_does_not_know_has_a_name_or_a_number_and_no_group() -> None:
    assert person(3_999_999_999) == Who(uid=3_999_999_999)
    assert person(1 << 70).uid == 1 << 70
    assert person("no-such-user") == Who("no-such-user")
    assert person("3999999999") == Who("3999999999")


def test_people_are_named_in_messages_by_what_is_known_of_them() -> None:
    assert [str(who) for who in (ALICE, Who(uid=5), DOCKER, Who())] == [
        "alice by control",
        "uid 5",
        "docker",
        "somebody unknown",
    ]
    assert "\n" not in str(Who("a\nb"))


# Anything at all

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(
        ["*", "user:a", "uid:5", "https://h.org/", "doi:", "/srv", "10.0.0.0/8", "copy", "1GB", "source"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)
_RULES = st.lists(st.dictionaries(st.sampled_from([*KEYS, "x-y", "form"]), _VALUES, max_size=6), max_size=4)
_WORDS = st.text(max_size=20) | st.sampled_from(
    ["file:///srv", "https://h.org/a", "s3://b", "doi:10.1/x", "https://[", "file:"]
)


@given(st.text() | _RULES.map(lambda rules: json.dumps({"gotdata": 1, "rules": rules})))
def test_any_text_is_rules_or_an_error_with_a_place(text: str) -> None:
    try:
        found, wrong = read(text, "p"), "p:"
    except ManifestError as error:
        found, wrong = (), str(error)
    assert all(line.startswith("p:") for line in wrong.split("\n"))
    assert all(rule.who and (rule.deny or rule.from_ or rule.local) for rule in found)


@given(st.lists(_WORDS, max_size=3), _WORDS, _WORDS, _WORDS, st.booleans())
def test_any_question_is_granted_or_refused(urls: list[str], root: str, manifest: str, user: str, deny: bool) -> None:
    allow = "\n  - {who: '*', from: '*', local: /, roots: /}"
    found = rules((f"\n  - {{who: '*', from: 'https://h.org/', deny: {str(deny).lower()}}}" if deny else "") + allow)
    try:
        found.judge(Asked(Who(user), tuple(urls), "volume", root, manifest))
    except PolicyError:
        return
    assert not root or root.startswith("/")
    assert not manifest or manifest.startswith("/")
    assert not deny or not any(url.startswith("https://h.org") for url in urls)
