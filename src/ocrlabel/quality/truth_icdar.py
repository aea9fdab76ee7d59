"""ICDAR 2015 truth: `gt_NAME.txt` for the image NAME, one word a line.

A line is `x1,y1,x2,y2,x3,y3,x4,y4,text`, clockwise from the text's own top left; the text may
hold commas; `###` is do-not-care; no text at all means boxes only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocrlabel.errors import DatasetError
from ocrlabel.quality.pages import Level, PageName, TruthPage, TruthWord

_DO_NOT_CARE = "###"


def read_icdar(folder: Path, level: Level = Level.WORD) -> Iterator[TruthPage]:
    """A page a file, in order of the names. Raises DatasetError with file and line."""
    for file in sorted(folder.glob("gt_*.txt")):
        name = file.stem.removeprefix("gt_")
        text = file.read_text(encoding="utf-8-sig")
        words = tuple(
            _word(line, f"{file}, line {number}")
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip()
        )
        yield TruthPage(PageName(name, name, "", 1), 0, 0, level, words)


def _word(line: str, where: str) -> TruthWord:
    parts = line.split(",", 8)
    try:
        numbers = [float(part) for part in parts[:8]]
    except ValueError as error:
        raise DatasetError(f"{where}: eight numbers were expected before the text") from error
    if len(numbers) < 8:
        raise DatasetError(f"{where}: {len(numbers)} numbers, expected x1,y1,...,x4,y4")
    text = parts[8].strip() if len(parts) > 8 else ""
    ignore = text == _DO_NOT_CARE
    polygon = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return TruthWord("" if ignore else text, polygon, ignore)
