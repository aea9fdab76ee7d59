"""What counts as the same text, and how far apart two texts are.

Default: Unicode NFC without what nobody sees (`characters.learnable`), upper and lower case are
equal, white space is dropped, punctuation stays.
Spaces are dropped because an engine and a truth may cut the same line into different words;
punctuation stays because a label with a wrong comma is a wrong label. Every report carries
`Normalisation.describe()`, since figures made with different rules cannot be compared.

Distance is counted in edits. CER is the number of edits over the number of the truth's characters,
so it weighs long words more and can pass 1. 1-NED is the mean over pairs of 1 - edits / the longer
text's length, so every word weighs the same. Both are of matched pairs only: what was missed shows
in recall.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Literal

from rapidfuzz.distance import Levenshtein

from ocrlabel.characters import learnable

UnicodeForm = Literal["NFC", "NFKC"]
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


@dataclass(frozen=True, slots=True)
class Normalisation:
    """The rules, as a value. NFKC also makes full-width and half-width forms equal."""

    form: UnicodeForm = "NFC"
    case: bool = False
    spaces: bool = False
    punctuation: bool = True

    def __call__(self, text: str) -> str:
        """The text that is compared."""
        plain = text
        # ASCII is its own NFC and NFKC, and what is printable hides nothing
        if not (text.isascii() and text.isprintable()):
            plain, _ = learnable(unicodedata.normalize(self.form, text))
        if not self.case:
            # casefold can leave a form that NFC would join again ("ǰ" becomes j and a caron)
            folded = plain.casefold()
            plain = folded if folded.isascii() else unicodedata.normalize(self.form, folded)
        if not self.punctuation:
            plain = "".join(c for c in plain if not unicodedata.category(c).startswith("P"))
        return " ".join(plain.split()) if self.spaces else "".join(plain.split())

    def describe(self) -> str:
        """The rules in words, for reports."""
        return ", ".join(
            (
                self.form,
                "case counts" if self.case else "case ignored",
                "spaces count" if self.spaces else "spaces ignored",
                "punctuation counts" if self.punctuation else "punctuation ignored",
            )
        )


@dataclass(frozen=True, slots=True)
class ComparedTexts:
    """One matched pair, after normalisation."""

    edits: int
    truth_characters: int
    likeness: float

    @property
    def same(self) -> bool:
        """The texts are equal."""
        return self.edits == 0


def compare(truth: str, read: str) -> ComparedTexts:
    """Compare two texts that were normalised alike; likeness is 1 - normalised edit distance."""
    if truth == read:
        return ComparedTexts(0, len(truth), 1.0)
    edits = Levenshtein.distance(truth, read)
    return ComparedTexts(edits, len(truth), 1 - edits / max(len(truth), len(read)))


def script(text: str) -> str:
    """Which writing system a text is in: hangul, han, kana, latin, digits, other, or symbols.

    That of most of its characters. An engine that does not know a script invents: by script, that
    shows at once.
    Letters come before digits, and digits before symbols: "No.5" is latin, "(12)" is digits.
    """
    letters = Counter(map(_letter, filter(str.isalpha, text)))
    if letters:
        return letters.most_common(1)[0][0]
    return "digits" if any(c.isnumeric() for c in text) else "symbols"


@lru_cache(maxsize=4096)
def _letter(character: str) -> str:
    code = ord(character)
    if code <= _LATIN_ENDS:
        return "latin"
    below = takewhile(lambda known: known[1] <= code, _RANGES)
    return next((name for name, _, last in below if code <= last), "other")
