"""COCO: one `annotations/instances_SPLIT.json`, and images/SPLIT/.

The text, confidence and class stand in `attributes`, as CVAT writes them, also of do-not-care
words; these are `iscrowd` 1, which COCO's evaluation ignores.
Comes back: every JSON with images and annotations, as CVAT and other editors write them too. The
class is the category's name, or else `attributes.label`; what an editor has no field for stays as
the table has it (text, confidence, do-not-care where the whole file has none, order). A rectangle
without a segmentation, and a shape of several parts, is its box. Masks, skeletons and shapes
without a place are passed over and counted, unless they have a text, or lie where a do-not-care
word was sent.
Source: cocodataset.org's data format, pycocotools/coco.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrlabel.dataset.labels_table import IGNORE, LabelRow
from ocrlabel.errors import DatasetError
from ocrlabel.export.export_pages import ExportPage, ExportWord
from ocrlabel.export.formats import MASK, Correction
from ocrlabel.export.geometry import area, box, turned, upright
from ocrlabel.export.import_files import files, number, read_json, share, words_and_classes
from ocrlabel.export.output_folder import JsonFile, dumps
from ocrlabel.export.session import ExportSession, exporter
from ocrlabel.labels import Polygon, Word


@exporter(
    "coco",
    training="Annotations: annotations/instances_SPLIT.json; their images: images/SPLIT.",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write annotations/instances_SPLIT.json and, with images, images/SPLIT/*.jpg."""
    categories = {"text": 1}  # ids in the order in which the classes appear
    instances_of = session.by_split(
        lambda split: _Instances(
            session.folder.path("annotations", f"instances_{split}.json"), categories
        )
    )
    for page, name in session.placed(rows, "images", "{split}"):
        in_json = name if session.images is None else name.removeprefix(f"images/{page.split}/")
        instances_of(page.split).add(page, in_json)
        session.listed(page, in_json)


class _Instances:
    """One split's file. Annotations wait in a file of their own until the images are complete."""

    def __init__(self, path: Path, categories: dict[str, int]) -> None:
        self._path = path
        self._waiting = path.with_suffix(".annotations")
        self._categories = categories
        self._images = JsonFile(path, head='{"images":[', tail='],"annotations":[')
        self._annotations = JsonFile(self._waiting, head="", tail="")
        self._image_id = self._annotation_id = 0

    def add(self, page: ExportPage, name: str) -> None:
        row = page.row
        self._image_id += 1
        self._images.add(
            {
                "id": self._image_id,
                "file_name": name,
                "width": row.width_px,
                "height": row.height_px,
                "ocrlabel_id": row.id,
                "page": row.page,
            }
        )
        for word in page.words:
            self._annotation_id += 1
            self._annotations.add(self._annotation(word))

    def _annotation(self, word: ExportWord) -> dict[str, object]:
        return {
            "id": self._annotation_id,
            "image_id": self._image_id,
            "category_id": self._categories.setdefault(word.label, len(self._categories) + 1),
            "segmentation": [[v for point in word.polygon for v in point]],
            "bbox": box(word.polygon),
            "area": area(word.polygon),
            "iscrowd": int(word.ignored),
            "attributes": {"text": word.text, "confidence": word.confidence, "label": word.label},
        }

    def close(self) -> None:
        self._images.close()
        self._annotations.close()
        categories = [
            {"id": number, "name": name, "supercategory": ""}
            for name, number in self._categories.items()
        ]
        with self._path.open("ab") as out, self._waiting.open("rb") as waiting:
            shutil.copyfileobj(waiting, out)
            out.write(f'],"categories":{dumps(categories)}}}\n'.encode())
        self._waiting.unlink()


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every JSON. Raises DatasetError that names file and annotation."""
    for path in files(folder, "*.json"):
        content = read_json(path)
        if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
            raise DatasetError(f"{path} is no COCO file: it has no images and annotations")
        yield from _of_file(path, content)


def _of_file(path: Path, content: dict[str, Any]) -> Iterator[Correction]:
    pages: dict[object, _Page] = {}
    names: dict[object, str] = {}
    for kind in ("images", "categories"):
        for entry in content.get(kind) or []:
            try:
                if kind == "categories":
                    names[entry["id"]] = str(entry["name"])
                else:
                    pages[entry["id"]] = _Page(entry)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DatasetError(
                    f"{path}, {kind}: {error!r} in {json.dumps(entry)[:200]}\n"
                    "  an image needs an id of its own and a file_name, a category an id and a name"
                ) from error
    if len(pages) < len(content["images"] or []):
        raise DatasetError(f"{path}, images: several have one id\n  give each an id of its own")
    annotations = content["annotations"] or []
    for annotation in annotations:
        try:
            pages[annotation["image_id"]].add(annotation, names)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            number = annotation.get("id") if isinstance(annotation, dict) else annotation
            raise DatasetError(
                f"{path}, annotation {number}: {error!r}\n"
                "  it needs an image of this file, a category, and a place in numbers"
            ) from error
    tells_ignored = any(each.get("iscrowd") and not _is_mask(each) for each in annotations)
    for page in pages.values():
        yield page.correction(tells_ignored=tells_ignored)


class _Page:
    """One image of a file, and what its annotations say of it."""

    def __init__(self, image: dict[str, Any]) -> None:
        self._file, self._id = str(image["file_name"]), str(image.get("ocrlabel_id") or "")
        self._page = int(image.get("page") or 1)
        self._size_px = number(image.get("width") or 0), number(image.get("height") or 0)
        self._words: list[tuple[Word, str]] = []
        self._passed_over: list[str] = []
        self._without_text: set[int] = set()
        self._masks: set[int] = set()

    def add(self, annotation: dict[str, Any], names: dict[object, str]) -> None:
        attributes = annotation.get("attributes") or {}
        found = _word(annotation, attributes, names)
        if isinstance(found, str):
            self._passed_over.append(found)
            return
        if attributes.get("text") is None:
            self._without_text.add(len(self._words))
            if _is_mask(annotation):
                self._masks.add(len(self._words))
        self._words.append(found)

    def correction(self, *, tells_ignored: bool) -> Correction:
        return Correction(
            self._file,
            *words_and_classes(self._words),
            source="coco",
            id=self._id,
            page=self._page,
            size_px=self._size_px,
            passed_over=tuple(self._passed_over),
            without_text=frozenset(self._without_text),
            masks=frozenset(self._masks),
            tells_ignored=tells_ignored,
            ordered=False,
        )


def _is_mask(annotation: dict[str, Any]) -> bool:
    return isinstance(annotation.get("segmentation"), dict)


def _word(
    annotation: dict[str, Any], attributes: dict[str, Any], names: dict[object, str]
) -> tuple[Word, str] | str:
    """Return the word and its class, or what it is instead."""
    text, confidence = attributes.get("text"), attributes.get("confidence")
    segmentation, bbox = annotation.get("segmentation") or [], annotation.get("bbox")
    label = names.get(annotation["category_id"]) or attributes.get("label") or ""
    is_ignored = bool(annotation.get("iscrowd"))
    if text is None and not is_ignored and annotation.get("keypoints"):
        return "skeleton"
    if text is None and not is_ignored and isinstance(segmentation, dict):
        return MASK
    if isinstance(segmentation, list) and len(segmentation) == 1:
        flat = [number(v) for v in segmentation[0]]
        polygon: Polygon = tuple(zip(flat[::2], flat[1::2], strict=True))
    elif bbox:
        left, top, width, height = map(number, bbox)
        polygon = upright(left, top, width, height)
        if angle := attributes.get("rotation"):  # CVAT's, of a rectangle about its middle
            polygon = turned(polygon, number(angle), (left + width / 2, top + height / 2))
    else:
        return "shape without a place"
    # nothing is known of a confidence that an editor made a text of
    known = share(confidence) if isinstance(confidence, int | float) else None
    return Word("" if text is None else str(text), polygon, known), (
        IGNORE if is_ignored else str(label)
    )
