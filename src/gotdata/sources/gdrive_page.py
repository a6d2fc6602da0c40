"""The pages that Google Drive answers to who downloads without a credential: one that asks to confirm, since a large
file can't be searched for viruses, and those that refuse."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from gotdata.errors import AuthRequired, GotdataError, ResolveError, SourceUnavailable
from gotdata.paths import redact, shown
from gotdata.sources.http_page import Page

_LOGIN = "`gotdata login gdrive` stores a credential"


class _Form(HTMLParser):
    """The form ``download-form``: where it leads, and its hidden fields; and the texts that say what is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.said: list[str] = []
        self._inside = False
        self._heard = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = named.get("id") == "download-form"
            if self._inside:
                self.action = named.get("action", "")
        elif tag == "input" and self._inside and named.get("type") == "hidden" and named.get("name"):
            self.fields[named["name"]] = named.get("value", "")
        self._heard = tag == "title" or named.get("class", "").startswith("uc-error")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"
        self._heard = False

    def handle_data(self, data: str) -> None:
        if self._heard and data.strip():
            self.said.append(" ".join(data.split()))


def confirmed(page: Page) -> str:
    """The URL that the page's form leads to; empty where it has none. ``uuid`` is of one visit, and left out."""
    form = _read(page)
    if not form.action:
        return ""
    action = urljoin(page.url, form.action)
    asked = {**dict(parse_qsl(urlsplit(action).query)), **form.fields}
    asked.pop("uuid", None)
    return f"{action.partition('?')[0]}?{urlencode(asked)}"


def refusal(page: Page, where: str) -> GotdataError:
    """What a page without such a form means."""
    said = shown(" ".join(_read(page).said))[:200]
    if re.search("(?i)quota|too many users|too many requests", said):
        return SourceUnavailable(
            f"{redact(where)}: this file was downloaded too often today ({said}): try again tomorrow, or {_LOGIN}",
            86_400,
        )
    if re.search("(?i)sign in|signin|access denied|need access|request access", said) or "accounts." in page.url:
        return AuthRequired(f"{redact(where)} is not for everybody ({said}): {_LOGIN}")
    return ResolveError(
        f"{redact(where)} answered a page ({said or 'without a title'}) where a file was due: it is a document, a "
        f"folder, or not shared with everybody; {_LOGIN}"
    )


def _read(page: Page) -> _Form:
    form = _Form()
    form.feed(page.text)
    form.close()
    return form
