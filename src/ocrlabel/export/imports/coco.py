"""Corrections as COCO (as CVAT gives them back): every JSON with images and annotations.

The text is in `attributes.text`; the class in `attributes.label`, or else the category's name.
COCO is one JSON object, so a file is in memory while it is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrlabel.dataset.tables.rows import IGNORE
from ocrlabel.errors import DatasetError
from ocrlabel.export.imports.base import Correction, number
from ocrlabel.export.imports.files import files, read_json
from ocrlabel.labels import Word


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every JSON. Raises DatasetError that names file and annotation."""
    for path in files(folder, "*.json"):
        said = read_json(path)
        if not isinstance(said, dict) or not {"images", "annotations"} <= said.keys():
            raise DatasetError(f"{path} is no COCO file: it has no images and annotations")
        yield from _of_file(path, said)


def _of_file(path: Path, said: dict[str, Any]) -> Iterator[Correction]:
    names = {item["id"]: item["name"] for item in said.get("categories", [])}
    by_image: defaultdict[object, list[tuple[Word, str]]] = defaultdict(list)
    for annotation in said["annotations"]:
        try:
            by_image[annotation["image_id"]].append(_word(annotation, names))
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{path}, annotation {annotation.get('id')}: {error}\n"
                "  every annotation needs a polygon and attributes.text"
            ) from error
    for image in said["images"]:
        found = by_image[image["id"]]
        yield Correction(
            file=str(image["file_name"]),
            words=tuple(word for word, _ in found),
            classes=tuple(label for _, label in found),
            source="coco",
            id=str(image.get("ocrlabel_id", "")),
            page=int(image.get("page", 1)),
        )


def _word(annotation: dict[str, Any], names: dict[object, str]) -> tuple[Word, str]:
    segmentation = annotation["segmentation"]
    if not isinstance(segmentation, list) or len(segmentation) != 1:
        raise ValueError("the segmentation is not one polygon")
    flat = [number(v) for v in segmentation[0]]
    attributes = annotation["attributes"]
    confidence = attributes.get("confidence")
    word = Word(
        str(attributes["text"]),
        tuple(zip(flat[::2], flat[1::2], strict=True)),
        None if confidence is None else number(confidence),
    )
    label = str(attributes.get("label") or names.get(annotation["category_id"], ""))
    return word, IGNORE if annotation.get("iscrowd") else label
