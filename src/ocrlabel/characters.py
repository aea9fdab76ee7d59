"""Which characters of a text can be seen on a page, and so learned.

The labels table keeps the text as the engine gave it. What is learned from it, or compared with a
truth, is `learnable`: Unicode form NFC, every space a plain one and none at the ends, and nothing
in it that nobody can see. Tabs and line breaks stay: each format has its own way with them.
Whatever is altered is named, so that exports can count it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""All that some reader takes for the end of a line (`str.splitlines`)."""
_PLAIN = re.compile("(?:[!-~가-힣一-鿿]+(?: +[!-~가-힣一-鿿]+)*)?")
# Default_Ignorable_Code_Point of Unicode, and what is drawn as a blank (Hangul fillers, Braille).
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    # joiners have a meaning between letters of Arabic, Indic and their neighbours only
    "|(?<![\u0600-\u10ff\u1780-\u1cff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u10ff\u1780-\u1cff])"
)
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_SPACE = re.compile(r"[^\S\t\n\v\f\r\x85\u2028\u2029]")


def _without_stray_marks(text: str) -> str:
    """Without combining marks that stand on no letter: at the start, or after a space."""
    kept = ""
    for character in text:
        if unicodedata.category(character)[0] != "M" or kept[-1:].strip():
            kept += character
    return kept


def _with_plain_spaces(text: str) -> str:
    return _SPACE.sub(" ", text).strip(" ") if text.strip() else ""


_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("invisible_removed", lambda text: _UNSEEN.sub("", text)),
    ("control_removed", lambda text: _CONTROL.sub("", text)),
    ("made_nfc", lambda text: unicodedata.normalize("NFC", text)),
    ("stray_mark_removed", _without_stray_marks),
    ("space_made_plain", _with_plain_spaces),
)


def learnable(text: str) -> tuple[str, tuple[str, ...]]:
    """Return what can be learned of a text, "" if nothing, and what had to be altered for it."""
    if _PLAIN.fullmatch(text):
        return text, ()
    altered: list[str] = []
    for what, step in _STEPS:
        before, text = text, step(text)
        if text != before:
            altered.append(what)
    return text, tuple(altered)


def has_no_meaning(text: str) -> bool:
    """Whether a character is in it that means nothing outside its font, or stands for none."""
    return any(c in "\ufffc\ufffd" or unicodedata.category(c) in {"Co", "Cn"} for c in text)


def writable(value: Any) -> Any:
    """Return a value of JSON's kinds with every half of a surrogate pair in it as "?".

    Python's JSON reads what is left of an emoji that was cut, and no file format can hold it.
    """
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {writable(name): writable(one) for name, one in value.items()}
        case list() | tuple():
            return [writable(one) for one in value]
        case _:
            return value
