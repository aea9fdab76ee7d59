"""The demo's documents on disk: images/, and truth.jsonl as `ocrlabel evaluate` reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ocrlabel.demo.pages import DemoDocument
from ocrlabel.labels import Page


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where things lie. truth: the pages by (file name, page number)."""

    images: Path
    truth_path: Path
    truth: dict[tuple[str, int], Page]
    kinds: dict[str, str]


def write_folder(documents: Iterable[DemoDocument], folder: Path) -> DemoFolder:
    """Write every document, and one line of truth for each of its pages."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    written = DemoFolder(images, folder / "truth.jsonl", {}, {})
    lines: list[str] = []
    for document in documents:
        (images / document.name).write_bytes(document.data)
        written.kinds[document.name] = document.kind
        for page in document.pages:
            written.truth[document.name, page.number] = page
            lines.append(json.dumps(_line(document, page)))
    written.truth_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


def _line(document: DemoDocument, page: Page) -> dict[str, object]:
    return {
        "image": f"images/{document.name}",
        "width": page.width_px,
        "height": page.height_px,
        "page": page.number,
        "level": "word",
        "kind": document.kind,
        "words": [{"text": word.text, "polygon": word.polygon} for word in page.words],
    }
