"""Which writing system a text is in: the class by which agreement is told apart.

An engine that does not know a script invents: by script, that shows at once.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import takewhile

_RANGES = (
    ("hangul", 0x1100, 0x11FF),
    ("kana", 0x3040, 0x30FF),
    ("hangul", 0x3130, 0x318F),
    ("han", 0x3400, 0x4DBF),
    ("han", 0x4E00, 0x9FFF),
    ("hangul", 0xAC00, 0xD7A3),
    ("han", 0xF900, 0xFAFF),
    ("han", 0x20000, 0x3134F),
)
_LATIN_ENDS = 0x24F
SYMBOLS = "symbols"


def script(text: str) -> str:
    """hangul, han, kana, latin, digits, other, or symbols: that of most of its characters.

    Letters come before digits, and digits before symbols: "No.5" is latin, "(12)" is digits.
    """
    letters = Counter(map(_letter, filter(str.isalpha, text)))
    if letters:
        return letters.most_common(1)[0][0]
    return "digits" if any(c.isnumeric() for c in text) else SYMBOLS


@lru_cache(maxsize=4096)
def _letter(character: str) -> str:
    code = ord(character)
    if code <= _LATIN_ENDS:
        return "latin"
    below = takewhile(lambda known: known[1] <= code, _RANGES)
    return next((name for name, _, last in below if code <= last), "other")
