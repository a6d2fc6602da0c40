"""The JSON Schema: the one in the docs is the one that is generated, and it judges as ``read`` does."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from gotdata import manifest
from gotdata.errors import ManifestError
from gotdata.manifest import init_text
from gotdata.manifest.keys import KEYS

DOCS = Path(__file__).parents[2] / "docs" / "formats"
SCHEMA = jsonschema.Draft202012Validator(manifest.schema())


def valid(text: str) -> bool:
    return bool(SCHEMA.is_valid(YAML(typ="safe", pure=True).load(text)))


def test_the_schema_in_the_docs_is_the_generated_one() -> None:
    assert (DOCS / "manifest.schema.json").read_text("utf-8") == json.dumps(manifest.schema(), indent=2) + "\n", (
        "write it anew: gotdata schema > docs/formats/manifest.schema.json"
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(manifest.schema())


@pytest.mark.parametrize("word", KEYS)
def test_each_key_is_documented(word: str) -> None:
    assert f"| `{word}` |" in (DOCS / "manifest.md").read_text("utf-8")


def example() -> str:
    return (DOCS / "manifest.md").read_text("utf-8").partition("```yaml\n")[2].partition("```")[0]


@pytest.mark.parametrize(
    "text",
    [
        example(),
        init_text(),
        "gotdata: 1\ndata: {}\nx-a: {b: [c]}",
        "gotdata: 1\ndata: {d: {from: s3://b/k, version: 1.10, x-a: [1]}}",
        "gotdata: 1\ndata: {d: {from: [s3://b/k, {url: s3://b/l, anonymous: true, x-a: [1]}], files: '*.csv'}}",
    ],
)
def test_what_is_read_is_valid(text: str) -> None:
    manifest.read(text)
    assert valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "data: {}",
        "gotdata: 2",
        "gotdata: 1\nother: 1",
        "gotdata: 1\ndata: []",
        "gotdata: 1\ndata: {D: {from: s3://b/k}}",
        "gotdata: 1\ndata: {d: s3://b/k}",
        "gotdata: 1\ndata: {d: {to: x}}",
        "gotdata: 1\ndata: {d: {from: []}}",
        "gotdata: 1\ndata: {d: {from: {region: a}}}",
        "gotdata: 1\ndata: {d: {from: {url: s3://b/k, region: [a]}}}",
        "gotdata: 1\ndata: {d: {from: s3://b/k, as: fast}}",
        "gotdata: 1\ndata: {d: {from: s3://b/k, unpack: 1}}",
        "gotdata: 1\ndata: {d: {from: s3://b/k, files: []}}",
        "gotdata: 1\ndata: {d: {from: s3://b/k, other: 1}}",
    ],
)
def test_what_is_refused_is_invalid(text: str) -> None:
    with pytest.raises(ManifestError):
        manifest.read(text)
    assert not valid(text)
