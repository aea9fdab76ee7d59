"""The characters and the length that a recogniser can learn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ocrlabel.errors import ConfigError
from ocrlabel.export.base import Options

LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""All that some reader takes for the end of a line (`str.splitlines`)."""

TOO_LONG = "too_long"
NOT_IN_CHARSET = "not_in_charset"
LINE_BREAK = "line_break_or_tab"


def why_unfit(text: str, options: Options) -> str | None:
    """Why a recognition set leaves this text out; None when it fits.

    Its label files are lines with tabs, so a text with either has no place in them.
    """
    if any(c in text for c in LINE_BREAKS + "\t"):
        return LINE_BREAK
    if len(text) > options.max_length:
        return TOO_LONG
    if options.charset is not None and not options.charset.issuperset(text):
        return NOT_IN_CHARSET
    return None


def read_charset(path: Path) -> frozenset[str]:
    """Read a charset file: one character a line, or all on one line. A space always counts.

    Raises ConfigError when the file cannot be read or holds nothing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--charset {path} cannot be read: {error}") from error
    characters = frozenset(text) - {"\n", "\r", "\t"}
    if not characters:
        raise ConfigError(f"--charset {path} holds no characters\n  write one a line, in UTF-8")
    return characters | {" "}


def write_charset(path: Path, characters: Iterable[str]) -> None:
    """Write one character a line, in code point order, as PaddleOCR's character_dict_path wants.

    The space is not written: PaddleOCR adds it itself (use_space_char).
    """
    lines = [f"{c}\n" for c in sorted(set(characters) - {" "})]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
