"""Labelled pages for tests: rows made by hand, rows made by hypothesis, and pictures for them."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image, ImageDraw

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.export.formats import ImageFile, NoImage
from ocrlabel.labels import Polygon, Word

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def word(text: str = "word", at: tuple[float, float] = (10, 10), confidence: float | None = 0.9,
         size: tuple[float, float] = (60, 20)) -> Word:  # fmt: skip
    (x, y), (w, h) = at, size
    return Word(text, ((x, y), (x + w, y), (x + w, y + h), (x, y + h)), confidence)


def row(name: str = "a.jpg", words: Sequence[Word] = (), **changes) -> LabelRow:
    values = {
        "id": name,
        "image_path": f"receipts/{name}",
        "image_filename": name.rsplit("/", 1)[-1],
        "width_px": 200,
        "height_px": 100,
        "words": tuple(words),
        "classes": ("text",) * len(words),
        "page_confidence": 0.5,
        "engine": "rapidocr",
        "model_version": "v5",
        "image_sha256": hashlib.sha256(name.encode()).hexdigest(),
        "labelled_at": AT,
    }
    return LabelRow(**{**values, **changes})


class Pictures:
    """An image for every row: white, with each word's box filled in its own grey."""

    def file(self, row: LabelRow) -> ImageFile:
        out = io.BytesIO()
        self.pixels(row).save(out, "PNG")
        return ImageFile(out.getvalue(), ".png")

    def pixels(self, row: LabelRow) -> Image.Image:
        picture = Image.new("RGB", (row.width_px, row.height_px), "white")
        draw = ImageDraw.Draw(picture)
        for number, each in enumerate(row.words):
            draw.polygon(each.polygon, fill=(number * 20, 0, 0))
        return picture


class NoPictures:
    """Images that are not there."""

    def file(self, row: LabelRow) -> ImageFile:
        raise NoImage("not found")

    def pixels(self, row: LabelRow) -> Image.Image:
        raise NoImage("not found")


def submitted(folder: Path) -> None:
    """What a person does in Label Studio who submits every task as it came."""
    path = folder / "tasks.json"
    tasks = json.loads(path.read_text())
    for task in tasks:
        result = task.pop("predictions")[0]["result"]
        person = {"completed_by": {"email": "kim@x.org"}, "updated_at": AT.isoformat()}
        task["annotations"] = [{"id": 1, "result": result, **person}]
    path.write_text(json.dumps(tasks))


_HARD_TEXTS = ("", "\t", "a\nb", "1,200", '"x"', "a\r\nb", "영수증", "영수증", "שלום", "🧾", "###",
               "*", "</td>", "\u2028", " ", "'", "\\n", "null")  # fmt: skip

texts = st.sampled_from(_HARD_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
hundredths = st.integers(0, 100_00).map(lambda n: n / 100)
confidences = st.none() | st.integers(0, 1000).map(lambda n: n / 1000)


@st.composite
def rotated_quads(draw) -> Polygon:
    x, y = draw(hundredths), draw(hundredths)
    w, h = draw(st.integers(3, 90)), draw(st.integers(3, 30))
    angle = draw(st.floats(-math.pi, math.pi))
    cos, sin = math.cos(angle), math.sin(angle)
    return tuple(
        (round(x + dx * cos - dy * sin, 2), round(y + dx * sin + dy * cos, 2))
        for dx, dy in ((0, 0), (w, 0), (w, h), (0, h))
    )


@st.composite
def many_cornered(draw) -> Polygon:
    corners = draw(st.integers(3, 9))
    x, y, r = draw(hundredths), draw(hundredths), draw(st.integers(4, 40))
    turns = [2 * math.pi * n / corners for n in range(corners)]
    return tuple((round(x + r * math.cos(t), 2), round(y + r * math.sin(t), 2)) for t in turns)


words = st.builds(Word, texts, rotated_quads() | many_cornered(), confidences)
names = st.sampled_from(
    ["a.jpg", "b/a.jpg", "../../etc/a.jpg", "영수증.jpg", "영수증.jpg", "A.JPG", ".jpg", "a.png",
     "it's \"quoted\", #1 (50%).jpg", "C:\\x\\a.jpg", "a" * 300 + ".jpg", "tab\there.jpg", "..", "a"]
)  # fmt: skip


@st.composite
def rows(draw, max_size: int = 5) -> list[LabelRow]:
    """A table: ids are unique, names and texts as bad as they get, some pages of documents."""
    table = []
    for number, name in enumerate(draw(st.lists(names, min_size=1, max_size=max_size))):
        found = draw(st.lists(words, max_size=5))
        classes = draw(
            st.lists(st.sampled_from(["text", "ignore"]), min_size=len(found), max_size=len(found))
        )
        pages = draw(st.sampled_from([1, 1, 1, 2]))
        table += [
            row(name, found, id=f"{number}:{name}", classes=tuple(classes), page=page,
                page_count=pages, image_path=f"{number}/{name}",
                split=draw(st.sampled_from(["train", "val", "pseudo", "../up"])))
            for page in range(1, pages + 1)
        ]  # fmt: skip
    return table
