"""AI Stages, the competition format (UFO): jsons/SPLIT.json, images/SPLIT/ and a submission CSV.

`images > file > words > id > points`, with transcription, orientation, language and illegibility
for each word and img_w, img_h for each image; keys are file names without folders. The submission
(submission_SPLIT.csv) has `filename,polygons`, a polygon's whole pixels as `x y x y`, polygons
joined by `|`; words that are illegible are not submitted.

language is set where the script says it (Hangul: ko, kana: ja), else null; orientation is Vertical
for a column of characters (`stands_upright`).
Comes back: every JSON with `images > file > words`.
Source: the baseline code's reader (OCRDataset) and its convert_submission, a released train.json.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrlabel.dataset.labels_table import IGNORE, LabelRow
from ocrlabel.errors import DatasetError
from ocrlabel.export.export_pages import ExportPage, ExportWord
from ocrlabel.export.formats import Correction
from ocrlabel.export.import_files import files, number, read_json, share, words_and_classes
from ocrlabel.export.output_folder import JsonFile, OutputFolder
from ocrlabel.export.recognition import stands_upright
from ocrlabel.export.session import ExportSession, exporter, labels_name
from ocrlabel.labels import Word


@exporter(
    "aistages",
    training="The baseline code: `dataset_base_path` is this folder, with jsons/SPLIT.json and "
    "images/SPLIT; illegible words are do-not-care.",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write jsons/SPLIT.json, submission_SPLIT.csv and, with images, images/SPLIT/*.jpg."""
    files_of = session.by_split(lambda split: _Files(session.folder, split))
    for page, placed in session.placed(rows, "images", "{split}"):
        name = labels_name(page) if session.images is None else placed.rsplit("/", 1)[-1]
        files_of(page.split).add(page, name)
        session.listed(page, name)


class _Files:
    """The two files of a split."""

    def __init__(self, folder: OutputFolder, split: str) -> None:
        labels = folder.path("jsons", f"{split}.json")
        self._json = JsonFile(labels, head='{"images":{', tail="}}")
        submission = folder.path(f"submission_{split}.csv")
        self._table = submission.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._table, lineterminator="\n")
        self._csv.writerow(("filename", "polygons"))

    def add(self, page: ExportPage, name: str) -> None:
        words = {
            f"{number:04d}": _encode_word(word, upright=stands_upright(word, page))
            for number, word in enumerate(page.words, start=1)
        }
        item = {"words": words, "img_w": page.row.width_px, "img_h": page.row.height_px}
        self._json.add(item, key=name)
        polygons = (
            " ".join(f"{round(x)} {round(y)}" for x, y in word.polygon)
            for word in page.words
            if not word.ignored
        )
        self._csv.writerow((name, "|".join(polygons)))

    def close(self) -> None:
        with self._table:
            self._json.close()


def _encode_word(word: ExportWord, *, upright: bool) -> dict[str, object]:
    return {
        "transcription": word.text if word.text or not word.ignored else None,
        "points": word.polygon,
        "orientation": "Vertical" if upright else "Horizontal",
        "language": _language(word.text),
        "illegibility": word.ignored,
        "confidence": word.confidence,
    }


def _language(text: str) -> list[str] | None:
    scripts = {unicodedata.name(c, "").split(" ", 1)[0] for c in text}
    found = ["ko"] if "HANGUL" in scripts else []
    found += ["ja"] if scripts & {"HIRAGANA", "KATAKANA"} else []
    return found or None


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every JSON. Raises DatasetError that names file, image and word."""
    for path in files(folder, "*.json"):
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("images"), dict):
            raise DatasetError(f"{path} is not in AI Stages' format: it has no images")
        for name, image in content["images"].items():
            found: list[tuple[Word, str]] = []
            where = f"{path}, {name}"
            try:
                size_px = number(image.get("img_w") or 0), number(image.get("img_h") or 0)
                for key, item in (image.get("words") or {}).items():
                    where = f"{path}, {name}, word {key}"
                    found.append(_decode_word(item))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DatasetError(f"{where}: {error!r}") from error
            yield Correction(name, *words_and_classes(found), "aistages", size_px=size_px)


def _decode_word(item: dict[str, Any]) -> tuple[Word, str]:
    text, confidence = item.get("transcription"), item.get("confidence")
    polygon = tuple((number(x), number(y)) for x, y in item["points"])
    word = Word(
        "" if text is None else str(text),
        polygon,
        None if confidence is None else share(confidence),
    )
    return word, IGNORE if item.get("illegibility") else ""
