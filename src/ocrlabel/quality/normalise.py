"""What counts as the same text.

Default: Unicode NFC, upper and lower case are equal, white space is dropped, punctuation stays.
Spaces are dropped because an engine and a truth may cut the same line into different words;
punctuation stays because a label with a wrong comma is a wrong label. Every report carries
`Normalisation.describe()`, since figures made with different rules cannot be compared.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

UnicodeForm = Literal["NFC", "NFKC"]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """The rules, as a value. NFKC also makes full-width and half-width forms equal."""

    form: UnicodeForm = "NFC"
    case: bool = False
    spaces: bool = False
    punctuation: bool = True

    def __call__(self, text: str) -> str:
        """The text that is compared."""
        # ASCII is its own NFC and NFKC
        plain = text if text.isascii() else unicodedata.normalize(self.form, text)
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
