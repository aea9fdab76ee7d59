"""PaddleOCR's detection labels, in the layout that PPOCRLabel opens: SPLIT/Label.txt and images.

One line a page: `SPLIT/image.jpg`, a tab, and a JSON list of
`{"transcription", "points", "difficult"}`. Train with `data_dir` at the export and
`label_file_list` at the Label.txt files; open a split's folder in PPOCRLabel to correct it.

A word that really reads `###` or `*` becomes do-not-care: PaddleOCR cannot tell.
Comes back: every Label.txt, as PPOCRLabel saves it. A word that is `###`, `*` or difficult is
do-not-care; words that were not changed keep the class and confidence of the table, a `key_cls` is
their class. The text that PPOCRLabel itself gives a new box is none, and is counted. A page that
PPOCRLabel's fileState.txt, beside it, calls confirmed was reviewed when Label.txt was saved.
Without images the lines name the table's image_path, which then may hold no tab or line break.
Source: ppocr/data/simple_dataset.py and imaug/label_ops.py (DetLabelEncode) of PaddleOCR.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from PIL import Image

from ocrlabel.dataset.labels_table import IGNORE, LabelRow
from ocrlabel.errors import ConfigError, DatasetError
from ocrlabel.export.export_pages import ExportPage
from ocrlabel.export.formats import Correction
from ocrlabel.export.import_files import files, lines, number, saved_at, words_and_classes
from ocrlabel.export.output_folder import dumps, last_part
from ocrlabel.export.session import ExportSession, exporter
from ocrlabel.images.pillow import upright_size
from ocrlabel.labels import Word

DO_NOT_CARE = "###"
_DO_NOT_CARE = {DO_NOT_CARE, "*"}
_UNREAD = {"TEMPORARY", "待识别"}
"""What PPOCRLabel writes for the text of a new box, in its two languages."""


@exporter(
    "paddleocr",
    training="PaddleOCR, detection: `Train.dataset.data_dir=. "
    "Train.dataset.label_file_list=[SPLIT/Label.txt]`.",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write SPLIT/Label.txt and, with images, SPLIT/*.jpg."""
    files_of = session.by_split(
        lambda split: session.folder.path(split, "Label.txt").open(
            "w", encoding="utf-8", newline=""
        )
    )
    for page, name in session.placed(rows, "{split}"):
        items = [
            {
                "transcription": DO_NOT_CARE if word.ignored else word.text,
                "points": word.polygon,
                "difficult": word.ignored,
            }
            for word in page.words
        ]
        files_of(page.split).write(f"{_one_field(name, page)}\t{dumps(items)}\n")
        session.listed(page, name, marks=_DO_NOT_CARE)


def _one_field(name: str, page: ExportPage) -> str:
    if any(c in name for c in "\t\n\r"):
        raise ConfigError(
            f"{page.row.id}: Label.txt cannot hold {name!r}: a tab or a line break is in it\n"
            "  give --images: then images are copied under names that it can"
        )
    return name


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every Label.txt. Raises DatasetError that names file and line."""
    for path in files(folder, "Label.txt"):
        confirmed, saved = _confirmed(path.with_name("fileState.txt")), saved_at(path)
        for at, line in lines(path):
            name, _, rest = line.partition("\t")
            try:
                words, classes = words_and_classes(map(_word, json.loads(rest)))
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError(
                    f"{path}, line {at}: no line of PaddleOCR's ({error})"
                ) from error
            unread = [n for n, word in enumerate(words) if word.text in _UNREAD]
            yield Correction(
                name,
                tuple(replace(w, text="") if w.text in _UNREAD else w for w in words),
                classes,
                "paddleocr",
                reviewed_at=saved if last_part(name) in confirmed else None,
                passed_over=("placeholder text",) * len(unread),
                without_text=frozenset(unread),
                size_px=_size_px(path.with_name(last_part(name))),
            )


def _size_px(picture: Path) -> tuple[float, float]:
    """Width and height of the picture there, which PPOCRLabel can turn and make smaller."""
    with suppress(OSError, ValueError, Image.DecompressionBombError), Image.open(picture) as found:
        return upright_size(found)
    return 0, 0


def _confirmed(states: Path) -> set[str]:
    """Return the names of the images that PPOCRLabel has as confirmed: `PATH`, a tab, and `1`."""
    found = lines(states) if states.is_file() else ()
    parts = (line.rpartition("\t") for _, line in found)
    return {last_part(name) for name, _, state in parts if state.strip() == "1"}


def _word(item: dict[str, object]) -> tuple[Word, str]:
    text, points = item["transcription"], item["points"]
    if not isinstance(text, str) or not isinstance(points, list):
        raise TypeError("transcription is a text and points are a list")
    ignored = text in _DO_NOT_CARE or bool(item.get("difficult", False))
    polygon = tuple((number(x), number(y)) for x, y in points)
    word = Word("" if text in _DO_NOT_CARE else text, polygon, None)
    label = str(item.get("key_cls") or "")  # PPOCRLabel's for key information, "None" for none
    return word, IGNORE if ignored else "" if label == "None" else label
