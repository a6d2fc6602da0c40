"""What came along when a reference was copied from a page or a mail, taken off again."""

from __future__ import annotations

import re

_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
"""Characters without a width, which pages put into long addresses so that they break."""
_AROUND = ("<>", '""', "''", "“”", "‘’", "«»", "()", "[]")
_TRACKING = re.compile(
    r"(?i)utm_\w+|mc_[ce]id|_hs(enc|mi)|(fb|g|y|d)clid|msclkid|igshid|_ga|_gl|ref_src|trk\w*|sourceid|spm|cmpid"
)
"""Parameters by which mails and portals count who came from where; no server needs them."""
_HOST = re.compile(r"(?i)([a-z0-9-]+\.)+[a-z]{2,}/")


def tidy(text: str) -> str:
    """A reference as it was meant: without quotes and brackets around it, the full stop of its sentence, and tracking
    parameters; an address without its ``https://`` gets it. Paths of this machine stay as they are."""
    text = text.strip().translate(_UNSEEN)
    before = ""
    while text != before and not text.startswith(("/", ".", "~")):
        before = text
        text = re.sub(r"[.,;…\s]+$", "", text)
        if text[:1] + text[-1:] in _AROUND:
            text = text[1:-1].strip()
        elif text.endswith(")") and text.count(")") > text.count("("):
            text = text[:-1]
    if text.startswith(("/", ".", "~")):
        return text
    text = re.sub(r"(?i)^(doi:)\s+", r"\1", text)
    if _HOST.match(text) and not text.lower().startswith("file:"):
        text = f"https://{text}"
    return _untracked(text) if re.match("(?i)https?://", text) else text


def _untracked(url: str) -> str:
    front, mark, fragment = url.partition("#")
    path, _, query = front.partition("?")
    kept = "&".join(part for part in query.split("&") if not _TRACKING.fullmatch(part.partition("=")[0]))
    return path + (f"?{kept}" if kept else "") + mark + fragment
