"""Stage 1: gotdata.yml → Manifest. What data, from where, to where, as people write it down."""

from gotdata.manifest.edit import add, init_text
from gotdata.manifest.entry import Dataset, entry_digest_fields, read
from gotdata.manifest.file import NAME, Manifest, at, exists, find, load, root_of
from gotdata.manifest.files import select
from gotdata.manifest.keys import schema
from gotdata.manifest.pasted import tidy
from gotdata.manifest.reference import reference

__all__ = [
    "NAME",
    "Dataset",
    "Manifest",
    "add",
    "at",
    "entry_digest_fields",
    "exists",
    "find",
    "init_text",
    "load",
    "read",
    "reference",
    "root_of",
    "schema",
    "select",
    "tidy",
]
