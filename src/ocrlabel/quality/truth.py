"""Read the truth, whatever form it has, as a stream of pages.

| form | recognised by | level |
|---|---|---|
| labels table, ours or the predecessor's | `.parquet` | word, unless asked for otherwise |
| JSON Lines, one page a line (`read_jsonl`) | `.jsonl` | its `level` |
| FUNSD annotations (`read_funsd`) | a folder of `.json` files | word |
| ICDAR 2015 (`read_icdar`) | a folder of `gt_*.txt` files | word |

Other forms (Label Studio, PaddleOCR, COCO, ...) become a labels table with `ocrlabel import`, and
that is the truth then. The other side of a comparison is always a row of a labels table
(`LabelRow`); `as_truth` takes such a row as the truth, for comparing two tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from ocrlabel.characters import writable
from ocrlabel.dataset.input_tables import json_object
from ocrlabel.dataset.labels_table import FROM_ENGINE, IGNORE, LabelRow, read_labels
from ocrlabel.errors import DatasetError
from ocrlabel.export.corrections import exported_pages
from ocrlabel.export.icdar2015 import as_of_2015
from ocrlabel.export.output_folder import export_root
from ocrlabel.export.session import PAGES_FILE
from ocrlabel.labels import Polygon, Word, readable

_DO_NOT_CARE = "###"
_OWN = frozenset({"image", "width", "height", "words", "ignore", "page", "level", "id", "sha256"})
_SCALAR = (str, int, float, bool)
_COLUMNS = frozenset({"engine", "model_version", "split", "original_source", "page_count"})


class Level(StrEnum):
    """What one polygon of the truth holds. Figures of the two are never added up."""

    WORD = "word"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class PageName:
    """Which page of which image. id, path, sha256 are "" where unknown; page counts from 1."""

    id: str
    path: str
    sha256: str
    page: int

    @property
    def document(self) -> str:
        """What the pages of one document, and copies of it, have in common."""
        return self.sha256 or self.id or self.path

    def __str__(self) -> str:
        return f"{readable(self.id or self.path)} page {self.page}"


@dataclass(frozen=True, slots=True)
class TruthWord:
    """One word or line of the truth. text is "" where nobody wrote it down (boxes only)."""

    text: str
    polygon: Polygon
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class TruthPage:
    """One page of the truth; sizes are 0 where unknown; fields are what it can be grouped by."""

    name: PageName
    width_px: int
    height_px: int
    level: Level
    words: tuple[TruthWord, ...]
    fields: Mapping[str, str] = field(default_factory=dict)


def read_truth(path: Path, *, level: Level | None = None) -> Iterator[TruthPage]:
    """Pages of the truth. level is for truth that does not say it itself (default: words).

    Raises DatasetError, with file and line, where it cannot be read.
    """
    if path.is_dir():
        if next(path.glob("gt_*.txt"), None) is not None:
            return read_icdar(path, level or Level.WORD)
        if next(path.glob("*.json"), None) is not None:
            return read_funsd(path, level or Level.WORD)
        raise DatasetError(f"no truth in {path}: neither gt_*.txt (ICDAR 2015) nor *.json (FUNSD)")
    if not path.exists():
        raise DatasetError(f"no truth at {path}: there is no such file or folder")
    if path.suffix == ".parquet":
        return (as_truth(row, level or Level.WORD) for row in read_labels(path))
    if path.suffix in {".jsonl", ".ndjson"}:
        return read_jsonl(path, level)
    raise DatasetError(
        f"{path} is no truth that can be read: give a labels table (.parquet), JSON Lines "
        "(.jsonl), or a folder with FUNSD .json or ICDAR gt_*.txt files; "
        "`ocrlabel import` makes a table of other formats"
    )


def read_reviewed(path: Path) -> Iterator[TruthPage]:
    """The truth, of a labels table only the pages that a person saw: reviewed, else corrected.

    What an engine said is no truth. Raises DatasetError where nobody saw any, and as `read_truth`.
    """
    if path.suffix != ".parquet":
        return read_truth(path)
    reviewed = corrected = of_engine = False
    for row in read_labels(path):
        reviewed |= row.reviewed_at is not None
        corrected |= row.source != FROM_ENGINE
        of_engine = of_engine or any(word.confidence is not None for word in row.words)
    if of_engine and not (reviewed or corrected):
        raise DatasetError(
            f"{path}: no page of it was reviewed, and what an engine said is no truth\n"
            "  bring the corrected pages home with: ocrlabel import ... --reviewed-by NAME"
        )
    rows = read_labels(path)
    if reviewed:
        rows = (row for row in rows if row.reviewed_at)
    elif corrected:
        rows = (row for row in rows if row.source != FROM_ENGINE)
    return map(as_truth, rows)


def read_jsonl(path: Path, level: Level | None = None) -> Iterator[TruthPage]:
    """JSON Lines, one page a line, in the order of the file.

        {"image": "images/a.png", "width": 762, "height": 1000, "level": "word",
         "words": [{"text": "SUBJECT:", "polygon": [[60, 121], [127, 121], [127, 135], [60, 135]]}],
         "ignore": [[[0, 0], [9, 0], [9, 9], [0, 9]]], "page": 0, "id": "a", "sha256": "1f3a..."}

    Only `image` and `words` have to be there. A word may carry `"ignore": true`. `page` may count
    from 0 or from 1, but the lines of one image stand together: the one whose lowest page is 0
    counts from 0. Every other field with a single value (lang, source, ...) can be grouped by.

    Raises DatasetError with file and line.
    """
    for _, group in groupby(_objects(path), key=lambda line: line[1].get("image")):
        lines = list(group)
        numbers = [_number(line, where) for where, line in lines]
        offset = 1 if min(numbers) == 0 else 0
        for (where, line), number in zip(lines, numbers, strict=True):
            try:
                yield _page(line, level, number + offset)
            except KeyError as error:
                raise DatasetError(f"{where} is not a page of truth: it lacks {error}") from error
            except ValueError as error:
                raise DatasetError(f"{where} is not a page of truth: {error}") from error
            except TypeError as error:
                raise DatasetError(
                    f'{where} is not a page of truth: write words as {{"text": "...",'
                    ' "polygon": [[x, y], ...]}, and regions to ignore as such polygons'
                ) from error


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that hold anything, each with the words for where it is."""
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            where = f"{path}, line {number}"
            try:
                text = data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DatasetError(f"{where} is not UTF-8; save the file as UTF-8") from error
            if text.strip():
                yield where, text


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, text in _lines(path):
        yield where, writable(json_object(text, partial(str, where)))


def _number(line: dict[str, Any], where: str) -> int:
    number = line.get("page", 1)
    if not isinstance(number, int) or number < 0:
        raise DatasetError(f"{where}: page is {number!r}, not a number from 0 or 1")
    return number


def _page(line: dict[str, Any], level: Level | None, page: int) -> TruthPage:
    words = tuple(
        TruthWord(_text(word["text"]), _polygon(word["polygon"]), bool(word.get("ignore", False)))
        for word in line["words"]
    )
    regions = (TruthWord("", _polygon(region), ignore=True) for region in line.get("ignore", ()))
    return TruthPage(
        name=PageName(
            str(line.get("id", "")), str(line["image"]), str(line.get("sha256", "")), page
        ),
        width_px=int(line.get("width", 0)),
        height_px=int(line.get("height", 0)),
        level=level or Level(line.get("level", Level.WORD)),
        words=(*words, *regions),
        fields={
            key: str(value)
            for key, value in line.items()
            if key not in _OWN and isinstance(value, _SCALAR)
        },
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _polygon(points: Any) -> Polygon:
    return tuple((float(x), float(y)) for x, y in points)


def read_funsd(folder: Path, level: Level = Level.WORD) -> Iterator[TruthPage]:
    """FUNSD: `NAME.json` for the image NAME, entities with words and upright boxes, by name.

    Words without a text are do-not-care: FUNSD boxes what its annotators could not read. level line
    takes the entities' own boxes and texts instead of their words. Raises DatasetError with the
    file. Source: https://guillaumejaume.github.io/FUNSD/description/
    """
    for file in sorted(folder.glob("*.json")):
        try:
            form = json.loads(file.read_text(encoding="utf-8-sig"))["form"]
            items = form if level is Level.LINE else [w for entity in form for w in entity["words"]]
            words = tuple(_funsd_word(item) for item in items)
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{file} is no FUNSD annotation: expected form > words > box, text ({error!r})"
            ) from error
        yield TruthPage(PageName(file.stem, file.stem, "", 1), 0, 0, level, words)


def _funsd_word(item: Any) -> TruthWord:
    left, top, right, bottom = (float(edge) for edge in item["box"])
    text = _text(item["text"]).strip()
    polygon = ((left, top), (right, top), (right, bottom), (left, bottom))
    return TruthWord(text, polygon, ignore=not text)


def read_icdar(folder: Path, level: Level = Level.WORD) -> Iterator[TruthPage]:
    """ICDAR 2015: `gt_NAME.txt` for the image NAME, one word a line, in order of the names.

    A line is `x1,y1,x2,y2,x3,y3,x4,y4,text`, clockwise from the text's own top left; the text may
    hold commas; `###` is do-not-care; no text at all means boxes only. In an export of ours its
    list of pages says which page a file is about: two images may have one name.

    Raises DatasetError with file and line.
    """
    root = export_root(folder, PAGES_FILE) or folder
    ours = {root / file: (id_, page) for file, id_, page in exported_pages(folder)}
    for file in sorted(folder.glob("gt_*.txt")):
        name, page = ours.get(file.absolute(), (file.stem.removeprefix("gt_"), 1))
        found = list(_lines(file))
        texts = [text for _, text in found]
        texts = texts if ours else as_of_2015(texts)
        words = tuple(map(_icdar_word, texts, (where for where, _ in found)))
        yield TruthPage(PageName(name, name, "", page), 0, 0, level, words)


def _icdar_word(line: str, where: str) -> TruthWord:
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


def as_truth(row: LabelRow, level: Level = Level.WORD) -> TruthPage:
    """A row of a labels table taken as the truth (or as the partner in a comparison)."""
    return TruthPage(
        name=name_of(row),
        width_px=row.width_px,
        height_px=row.height_px,
        level=level,
        words=tuple(
            TruthWord(word.text, word.polygon, is_ignored(row, at))
            for at, word in enumerate(row.words)
        ),
        fields=_scalars(row.input_row),
    )


def name_of(row: LabelRow) -> PageName:
    """The page that a row of a labels table is about."""
    return PageName(row.id, row.image_path or row.image_filename, row.image_sha256, row.page)


def is_ignored(row: LabelRow, at: int) -> bool:
    """Whether the word at this place of a row is marked as do-not-care."""
    return at < len(row.classes) and row.classes[at] == IGNORE


def cared(row: LabelRow) -> tuple[Word, ...]:
    """The words of a row that are labels: not those marked as do-not-care."""
    if IGNORE not in row.classes:
        return row.words
    return tuple(word for at, word in enumerate(row.words) if not is_ignored(row, at))


def group_of(by: str, row: LabelRow, truth: TruthPage | None = None) -> str:
    """The value of a column: of the labels table, else of its input row, else of the truth.

    "" where none of them has it.
    """
    if by in _COLUMNS:
        return str(getattr(row, by))
    own = _scalars(row.input_row)
    if by in own:
        return own[by]
    return truth.fields.get(by, "") if truth is not None else ""


def _scalars(input_row: str) -> dict[str, str]:
    try:
        values = json.loads(input_row)
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(key): str(value) for key, value in values.items() if isinstance(value, _SCALAR)}
