"""How counts, sums of money and times are said to people."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

# what is copied from the screen: `quoted`, a command up to the next stop, and else a word
_UNBROKEN = re.compile(
    r"[(\"']*`[^`]*`\S*"
    r"|\bocrlabel(?: [^\s,;:.)]\S*?(?=[,;:.)]*(?:\s|$)))+\S*"
    r"|\S+"
)
_JOINED = "\u00a0"


def counted(number: int, one: str, many: str = "") -> str:
    """1 image, 1,200 images. many: the plural where it is not made with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def grown(rows: Mapping[str, int]) -> str:
    """3 kept, 1 new, 0 changed, 0 gone: the rows of an input that has grown."""
    return ", ".join(f"{rows.get(one, 0):,} {one}" for one in ("kept", "new", "changed", "gone"))


def listed(counts: Mapping[str, int]) -> str:
    """3 corrupt, 1 missing: by their names."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def usd(amount: float) -> str:
    """0.0750 USD, 12.50 USD: a page costs a fraction of a cent, so small sums keep four places."""
    return f"{amount:,.2f} USD" if amount >= 10 else f"{amount:.4f} USD"


def ratio(value: float, places: int = 3, *, sign: str = "") -> str:
    """0.667. More places where it would look like all or nothing: 3,012 of 3,013 is 0.9997."""
    return _told_apart(value, places, 1.0, sign)


def percent(value: float, places: int = 1) -> str:
    """66.7%, under the rule of `ratio`."""
    return f"{_told_apart(value * 100, places, 100.0)}%"


def rounded(value: float, places: int = 4) -> float:
    """A share as a number, under the rule of `ratio`."""
    return float(ratio(value, places))


def _told_apart(number: float, places: int, whole: float, sign: str = "") -> str:
    for more in range(places, 12):
        text = f"{number:{sign}.{more}f}"
        if float(text) not in {0.0, whole}:
            return text
    return f"{number:{sign}.{places}f}"


def duration(seconds: float) -> str:
    """42 s, 18 min, 2 h 05 min."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def wrapped(text: str, columns: int) -> str:
    """Lines of at most so many columns where words allow it: paths and commands are never cut."""
    return "\n".join(_wrapped_line(line, columns) for line in text.split("\n"))


def _wrapped_line(line: str, columns: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    units = [unit.replace(" ", _JOINED) for unit in _UNBROKEN.findall(line)]
    wrapper = textwrap.TextWrapper(
        columns,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.fill(" ".join(units)).replace(_JOINED, " ")
