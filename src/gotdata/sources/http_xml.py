"""XML that strangers send: read without the document types whose entities make a small text a large one."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree


class _Plain(ElementTree.TreeBuilder):
    # The parser calls it once the text is decoded: no other encoding hides a document type.
    def doctype(self, name: Any, pubid: Any, system: Any) -> None:
        raise ElementTree.ParseError("it has a document type, which may define entities")


def xml(text: str) -> ElementTree.Element:
    """The root of a document, whose bytes that are not UTF-8 stand in it as surrogates.

    Raises:
        ValueError: it is no XML, or none that is read here; it says why.
    """
    parser = ElementTree.XMLParser(target=_Plain())  # noqa: S314
    try:
        parser.feed(text.encode("utf-8", "surrogateescape"))
        root = parser.close()
    except (ElementTree.ParseError, LookupError) as error:  # the latter for an encoding that nobody knows
        raise ValueError(str(error)) from None
    assert isinstance(root, ElementTree.Element)
    return root
