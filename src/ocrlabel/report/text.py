"""Texts of strangers, made safe to look at: short, and with nothing invisible in them.

Escaping is the page's business (autoescape, textContent). What is left are texts that a browser
shows as something else than what they are: marks that turn the reading direction, control
characters, words of 10,000 letters. They are written out, so that a reader sees what is there.
"""

from __future__ import annotations

import re

TEXT_LENGTH = 300

# Controls, marks of direction, other invisible marks, tags, what is no character. The joiners
# U+200C and U+200D stay: Persian and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
_NAMED = {"\n": "⏎", "\r": "␍", "\t": "⇥"}


def visible(text: str, length: int = TEXT_LENGTH) -> str:
    """The text with what cannot be seen written as ⟨U+202E⟩, and at most so many characters.

    A text that was cut ends with its whole length: "aaa… (10,000 characters)".
    """
    cut = text if len(text) <= length else text[:length]
    shown = _HIDDEN.sub(_written, cut)
    return shown if cut is text else f"{shown}… ({len(text):,} characters)"


def engine_name(engine: str, model: str) -> str:
    """Engine and model without saying the engine twice: local models are named after theirs."""
    return model if model.startswith(engine) else f"{engine} {model}".strip()


def _written(found: re.Match[str]) -> str:
    mark = found[0]
    return _NAMED.get(mark) or f"⟨U+{ord(mark):04X}⟩"
