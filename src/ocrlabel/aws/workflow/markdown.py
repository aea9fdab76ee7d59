"""Markdown for a summary, in which no name can be more than a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@])")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Text as it stands, whatever is in it: no markup, no link, no mention, one line."""
    return _SPECIAL.sub(r"\\\1", _UNSEEN.sub(" ", text))


def code(text: str) -> str:
    """On one line in code type; a backtick in it becomes an apostrophe."""
    return f"`{_UNSEEN.sub(' ', text).replace('`', chr(39)).replace('|', '/')}`"


def link(text: str, url: str) -> str:
    """A link; the address is ours."""
    return f"[{plain(text)}]({url})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(lines: Sequence[str]) -> str:
    """Lines of a log, which cannot close their own fence."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *(_UNSEEN.sub(" ", line) for line in lines), fence])
