"""ICDAR 2015: one `gt_NAME.txt` a page, one word a line, `x1,y1,x2,y2,x3,y3,x4,y4,text`.

Layout: SPLIT/images/NAME.jpg and SPLIT/gt/gt_NAME.txt, UTF-8 without a byte order mark.

Corners are rounded to whole pixels, clockwise from the text's top left. A text keeps its commas and
quotes; a word that really reads `###` becomes do-not-care: the format cannot tell.
Comes back: every gt_*.txt; corners that are the table's own, rounded or cut to whole pixels, count
as the table's, and spaces at the ends of a text count for nothing. Files of the MLT sets are read
too, without their scripts.
Source: the task description of the ICDAR 2015 Robust Reading Competition, challenge 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocrlabel.characters import LINE_BREAKS
from ocrlabel.dataset.labels_table import IGNORE, LabelRow
from ocrlabel.errors import DatasetError
from ocrlabel.export.export_pages import ExportWord
from ocrlabel.export.formats import Correction
from ocrlabel.export.import_files import files, lines, number, words_and_classes
from ocrlabel.export.output_folder import export_root
from ocrlabel.export.session import ExportSession, exporter
from ocrlabel.labels import Word

DO_NOT_CARE = "###"
_MLT_SCRIPTS = frozenset({
    "Arabic", "Latin", "Chinese", "Japanese", "Korean",
    "Bangla", "Hindi", "Symbols", "Mixed", "None",
})  # fmt: skip
_TO_SPACE = str.maketrans(dict.fromkeys(LINE_BREAKS, " "))


@exporter(
    "icdar2015",
    training="Images in SPLIT/images, one gt_NAME.txt for each in SPLIT/gt; `###` is do-not-care.",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write SPLIT/gt/gt_NAME.txt and, with images, SPLIT/images/NAME.jpg."""
    for page, _ in session.placed(rows, "{split}", "images"):
        path = session.folder.path(page.split, "gt", f"gt_{page.stem}.txt")
        lines = [_line(word) for word in page.words]
        path.write_text("".join(lines), encoding="utf-8", newline="\n")
        session.made_rectangles(page.words)
        kept = [word.text for word in page.words if not word.ignored]
        session.counts.changed["line_break_made_space"] += sum(one_line(t) != t for t in kept)
        session.listed(page, f"{page.split}/gt/{path.name}", marks={DO_NOT_CARE})


def one_line(text: str) -> str:
    """Return the text with a space for every line break."""
    # no line break is printable, and this looks quicker: it runs for every word of an export
    return text if text.isprintable() else text.translate(_TO_SPACE)


def _line(word: ExportWord) -> str:
    corners = ",".join(f"{round(x)},{round(y)}" for x, y in word.corners)
    return f"{corners},{DO_NOT_CARE if word.ignored else one_line(word.text)}\n"


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every gt_*.txt. Raises DatasetError that names file and line."""
    ours = export_root(folder)
    root = ours or (folder if folder.is_dir() else folder.parent)
    for path in files(folder, "gt_*.txt"):
        found: list[tuple[Word, str]] = []
        numbered = list(lines(path))
        of_2015 = [line for _, line in numbered]
        of_2015 = of_2015 if ours else as_of_2015(of_2015)
        for (at, _), line in zip(numbered, of_2015, strict=True):
            try:
                found.append(_word(line))
            except ValueError as error:
                raise DatasetError(
                    f"{path}, line {at}: not x1,y1,x2,y2,x3,y3,x4,y4,text ({error})"
                ) from error
        name = path.absolute().relative_to(root.absolute()).as_posix()
        yield Correction(name, *words_and_classes(found), "icdar2015")


def as_of_2015(lines: list[str]) -> list[str]:
    """Return the lines of ICDAR's MLT sets without the script that stands before each text.

    Source: https://rrc.cvc.uab.es/?ch=15&com=tasks
    """
    parts = [line.split(",", 9) for line in lines]
    if all(len(each) == 10 and each[8].strip() in _MLT_SCRIPTS for each in parts):
        return [",".join((*each[:8], each[9])) for each in parts]
    return lines


def _word(line: str) -> tuple[Word, str]:
    parts = line.split(",", 8)
    if len(parts) != 9:
        raise ValueError(f"{len(parts)} parts")
    x1, y1, x2, y2, x3, y3, x4, y4 = (number(float(part)) for part in parts[:8])
    text = parts[8].strip(" ")
    ignored = text == DO_NOT_CARE
    polygon = ((x1, y1), (x2, y2), (x3, y3), (x4, y4))
    return Word("" if ignored else text, polygon, None), IGNORE if ignored else ""
