"""What ``files:`` selects: git's wildmatch patterns, in which the last one that matches a path decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pathspec import GitIgnoreSpec

from gotdata.errors import ManifestError
from gotdata.paths import shown

STARS = 3
"""How many ``*`` may stand in one component, and ``**`` in one pattern: more can cost hours on a name made for it."""


def select(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path is selected. A pattern takes in what it matches, one that begins with ``!`` leaves it out, and the
    last that matches decides. What none matches is out, except where all patterns begin with ``!``.

    Raises:
        ManifestError: see ``check_pattern``.
    """
    rules = []
    for pattern in patterns:
        check_pattern(pattern)
        takes = not pattern.startswith("!")
        (compiled,) = GitIgnoreSpec.from_lines([pattern.removeprefix("!")]).patterns
        rules.append((takes, compiled.match_file))
    otherwise = not any(takes for takes, _ in rules)
    rules.reverse()

    def selects(path: str) -> bool:
        path = path.replace("\n", "\1")  # patterns hold neither, and the compiled ones stop at the end of a line
        return next((takes for takes, match in rules if match(path)), otherwise)

    return selects


def check_pattern(pattern: str) -> None:
    """Raises ManifestError where git would ignore it, or where it is made to be slow."""
    bare = pattern.removeprefix("!")
    if not bare.strip(" /") or len(pattern) > 1024 or not pattern.isprintable():
        raise ManifestError(f"'{shown(pattern[:60])}' is no pattern: it is empty, too long, or not printable")
    if bare.startswith(("#", "!")):
        raise ManifestError(f"'{pattern}' would be a comment or a double negation: write \\{bare} for such a name")
    components = bare.split("/")
    if max(components.count("**"), *(part.count("*") for part in components if part != "**"), 0) > STARS:
        raise ManifestError(f"'{pattern}' has more than {STARS} '*' in one name, or '**' in all: use several patterns")
    if any("**" in part and part != "**" for part in components):
        raise ManifestError(f"'{pattern}' has '**' beside other characters, where it means '*': write that")
    if "[" in re.sub(r"\\.|\[[!^]?+\]?+[^]]*\]", "", bare):
        raise ManifestError(f"'{pattern}' has a '[' without its ']': write \\[ for such a name")
    try:
        GitIgnoreSpec.from_lines([bare])
    except (ValueError, re.error) as error:
        raise ManifestError(f"'{pattern}' is no pattern: {error}") from error
