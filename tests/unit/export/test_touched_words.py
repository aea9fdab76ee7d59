"""Export, touch some words in a tool, import: what was touched is counted, nothing else changes."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrlabel.export.corrections import ADDED, REMOVED, TEXT, Merge, exported_pages
from ocrlabel.export.formats import ExportOptions, export_of, import_of
from ocrlabel.export.output_folder import rule_of
from ocrlabel.labels import Word
from tests.support.labelled import Pictures, confidences, row, submitted, texts

Touch = Callable[[str, list[Any]], list[Any]]
"""Page and words of a file -> the words as a person leaves them."""
NEW = ((400, 300), (460, 300), (460, 320), (400, 320))


@st.composite
def pages(draw) -> list:
    """Words far enough from each other that a person means one; some over the page's edge."""
    table = []
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)):
        words, classes = [], []
        for slot in range(draw(st.integers(0, 4))):
            x, y = draw(st.integers(-1500, 4000)) / 100, slot * 60 + draw(st.integers(0, 999)) / 100
            quad = ((x, y), (x + 60.25, y + 3.3), (x + 58.5, y + 25.75), (x - 1.75, y + 22.5))
            corners = draw(st.sampled_from([quad, (*quad, (x - 10.5, y + 11)), quad[:3]]))
            text = draw(texts | st.just(f"word {slot}"))
            words.append(Word(text, corners, draw(confidences)))
            classes.append(draw(st.sampled_from(["text", "total", "ignore"])))
        table.append(row(f"{name}/1.jpg", words, classes=tuple(classes), width_px=500,
                         height_px=400, split=draw(st.sampled_from(["train", "val"]))))  # fmt: skip
    return table


def in_icdar2015(folder: Path, touch: Touch) -> None:
    for path in folder.rglob("gt_*.txt"):
        words = [line.split(",", 8) for line in path.read_text().split("\n") if line]
        lines = [",".join(map(str, word)) for word in touch(path.name, words)]
        path.write_text("".join(f"{line}\n" for line in lines))


def in_ppocrlabel(folder: Path, touch: Touch) -> None:
    """It saves whole pixels, cut off."""
    for path in folder.rglob("Label.txt"):
        lines = []
        for line in path.read_text().split("\n")[:-1]:
            name, _, words = line.partition("\t")
            found = touch(name, json.loads(words))
            for word in found:
                word["points"] = [[int(x), int(y)] for x, y in word["points"]]
            lines.append(f"{name}\t{json.dumps(found, ensure_ascii=False)}\n")
        path.write_text("".join(lines))


def in_cvat(folder: Path, touch: Touch) -> None:
    """It keeps none of our fields, and gives every annotation another id."""
    for path in folder.rglob("instances_*.json"):
        content = json.loads(path.read_text())
        annotations = []
        for image in content["images"]:
            own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
            del image["ocrlabel_id"], image["page"]
            annotations += touch(image["file_name"], own)[::-1]
        for number, annotation in enumerate(annotations):
            attributes = {"text": annotation["attributes"]["text"], "occluded": False}
            annotation.update(id=number, attributes=attributes)
        path.write_text(json.dumps({**content, "annotations": annotations}))


def in_aistages(folder: Path, touch: Touch) -> None:
    for path in (folder / "jsons").iterdir():
        content = json.loads(path.read_text())
        for name, image in content["images"].items():
            words = touch(name, list(image["words"].values()))
            image["words"] = {str(number): word for number, word in enumerate(words)}
        path.write_text(json.dumps(content))


def in_hf(folder: Path, touch: Touch) -> None:
    for path in folder.rglob("*.parquet"):
        table = pq.read_table(path)
        records = table.to_pylist()
        columns = ("texts", "polygons", "labels", "confidences")
        for record in records:
            words = list(zip(*(record[name] for name in columns), strict=True))
            found = touch(record["id"], [dict(zip(columns, word, strict=True)) for word in words])
            record.update({name: [word[name] for word in found] for name in columns})
        pq.write_table(pa.Table.from_pylist(records, schema=table.schema), path)


def in_labelstudio(folder: Path, touch: Touch) -> None:
    submitted(folder)
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        (annotation,) = task["annotations"]
        regions: dict[str, list] = {}
        for result in annotation["result"]:
            regions.setdefault(result["id"], []).append(result)
        left = touch(task["data"]["ocrlabel_id"], list(regions.values()))
        annotation["result"] = [result for region in left for result in region]
    (folder / "tasks.json").write_text(json.dumps(tasks))


TOOLS = {"icdar2015": in_icdar2015, "paddleocr": in_ppocrlabel, "coco": in_cvat,
         "aistages": in_aistages, "hf": in_hf, "labelstudio": in_labelstudio}  # fmt: skip


def text_of(name: str, word: Any) -> str:
    if name == "icdar2015":
        return word[8]
    if name == "labelstudio":
        return word[1]["value"]["text"][0] if len(word) > 1 else ""
    if name == "coco":
        return word["attributes"]["text"]
    return word["texts" if name == "hf" else "transcription"] or ""


def written(name: str, word: Any, text: str) -> Any:
    """The word with another text, as it lies in the file."""
    if name == "icdar2015":
        return [*word[:8], text]
    if name == "labelstudio":
        word[1]["value"]["text"] = [text]
    elif name == "coco":
        word["attributes"]["text"] = text
    else:
        word["texts" if name == "hf" else "transcription"] = text
    return word


def drawn(name: str) -> Any:
    """A word that a person adds."""
    value = {"points": [[80, 75], [92, 75], [92, 80], [80, 80]]}
    size = {"id": "new", "original_width": 500, "original_height": 400}
    return {
        "icdar2015": [v for point in NEW for v in point] + ["new"],
        "paddleocr": {"transcription": "new", "points": NEW, "difficult": False},
        "aistages": {"transcription": "new", "points": NEW, "illegibility": False},
        "hf": {"texts": "new", "polygons": NEW, "labels": "text", "confidences": None},
        "labelstudio": [
            {**size, "type": "polygonlabels", "value": {**value, "polygonlabels": ["text"]}},
            {**size, "type": "textarea", "value": {**value, "text": ["new"]}},
        ],
    }.get(name)  # fmt: skip


def drawn_in_cvat(image_id: int) -> dict:
    return {"image_id": image_id, "category_id": 1, "iscrowd": 0, "segmentation": [],
            "bbox": [400, 300, 60, 20], "attributes": {"text": "new"}}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
@given(table=pages(), chance=st.randoms(use_true_random=False), cut=st.sampled_from([None, 0.5]))
@settings(max_examples=40)
def test_what_was_touched_is_counted_and_the_rest_is_as_it_was(name, table, chance, cut):
    touched: Counter[str] = Counter()
    gone: list[str] = []

    def touch(page: str, words: list[Any]) -> list[Any]:
        left = []
        for word in words:
            text = text_of(name, word)
            what = chance.choice(["", "", TEXT, REMOVED]) if text.startswith("word ") else ""
            touched.update([what] if what else [])
            if what:
                gone.append(text)
            if what != REMOVED:
                left.append(written(name, word, f"{text} was 한") if what else word)
        if words and chance.random() < 0.3:
            touched.update([ADDED])
            left.append(drawn_in_cvat(words[0]["image_id"]) if name == "coco" else drawn(name))
        return left

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        export_of(name)(iter(table), Pictures(), folder, ExportOptions(ignore_below=cut))
        TOOLS[name](folder, touch)
        merge = Merge(
            lambda: iter(table), import_of(name)(folder), exported_pages(folder), rule_of(folder)
        )
        assert merge.unmatched == []
        back = list(merge.rows())
    assert merge.words == touched
    for before, after in zip(table, back, strict=True):
        then, now = (list(zip(each.words, each.classes, strict=True)) for each in (before, after))
        assert Counter(word.text for word, _ in then if (word, _) not in now) <= Counter(gone)
        new = [word for word, label in now if (word, label) not in then]
        assert all(word.text == "new" or word.text.endswith(" was 한") for word in new)
        assert all(word.confidence is None for word in new)
