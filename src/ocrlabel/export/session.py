"""One export under way: walks the rows, places the images, keeps count, and ends with the card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.base import (
    ExportPage,
    ImageFile,
    ImageFinder,
    NoImage,
    Options,
    Summary,
)
from ocrlabel.export.card import card
from ocrlabel.export.names import Names, suffix
from ocrlabel.export.split import Leaks, split_of
from ocrlabel.export.target import Target
from ocrlabel.export.words import export_words

PAGES_FILE = "ocrlabel_pages.jsonl"
"""One line a page: the file as the format names it, and the id and page that it stands for."""

CARD_FILE = "README.md"
_EXAMPLES = 10


class Session:
    """The part that all formats share. Used as a context: leaving it well writes the card."""

    def __init__(
        self, format_name: str, images: ImageFinder | None, output: Path, options: Options
    ) -> None:
        self._format = format_name
        self._images = images
        self._options = options
        self.target = Target(output, format_name, options)
        self.left_out: Counter[str] = Counter()
        self.changed = 0
        self.written_images = 0
        self.card_head = ""
        """What the format wants at the head of the card (Hugging Face reads YAML there)."""
        self._pages = self._words = self._ignored = self._missing = 0
        self._splits: Counter[str] = Counter()
        self._engines: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._labelled: tuple[str, str] = ("", "")
        self._examples: list[str] = []
        self._summary: Summary | None = None

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._names = Names()
            opened.callback(self._names.close)
            self._leaks = Leaks()
            opened.callback(self._leaks.close)
            index = self.target.path(PAGES_FILE)
            self._index = opened.enter_context(index.open("w", encoding="utf-8", newline="\n"))
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._summary = self._count()
        self._opened.close()
        if self._summary is not None:
            text = self.card_head + card(self._summary, self._options)
            self.target.path(CARD_FILE).write_text(text, encoding="utf-8", newline="\n")
            self.target.finish()

    def summary(self) -> Summary:
        """What was written; there once the context was left well."""
        if self._summary is None:
            raise AssertionError("the export has not ended")
        return self._summary

    def pages(self, rows: Iterator[LabelRow]) -> Iterator[ExportPage]:
        """Return the pages in the table's order, with their splits and the stems of their files."""
        for row in rows:
            words = export_words(row, self._options, self.left_out)
            split = split_of(row, self._options.splits)
            yield ExportPage(row, split, self._names.take(row), words)

    def place_image(self, page: ExportPage, *folders: str) -> str | None:
        """Copy the page's image into a folder of the export and return its path there.

        Without images: the path in the table. None, and counted as missing, when there is none;
        the format then leaves the page out.
        """
        if self._images is None:
            return referred(page.row)
        found = self.image(page)
        if found is None:
            return None
        name = page.stem + found.suffix
        self.target.path(*folders, name).write_bytes(found.data)
        self.written_images += 1
        return "/".join((*folders, name))

    def image(self, page: ExportPage) -> ImageFile | None:
        """Return the page's image, or None, counted as missing; needs images."""
        if self._images is None:
            raise needs_images(self._format)
        try:
            return self._images.file(page.row)
        except NoImage as error:
            self.missing(page, str(error))
            return None

    def missing(self, page: ExportPage, why: str) -> None:
        """Count a page whose image cannot be had."""
        self._missing += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append(f"{page.row.id}: {why}")

    def listed(self, page: ExportPage, file: str, *, words: int, ignored: int) -> None:
        """Count a page that was written, under the name that the format gives its image."""
        row = page.row
        line = {"file": file, "id": row.id, "page": row.page}
        self._index.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._pages += 1
        self._words += words
        self._ignored += ignored
        self._splits[page.split] += 1
        self._engines[f"{row.engine} {row.model_version}".strip()] += 1
        self._sources[row.source] += 1
        if not self._options.splits.shares:
            self._leaks.add(row, page.split)
        if row.labelled_at is not None:
            at = row.labelled_at.isoformat()
            first, last = self._labelled
            self._labelled = (min(first or at, at), max(last, at))

    def _count(self) -> Summary:
        return Summary(
            format=self._format,
            pages=self._pages,
            words=self._words,
            ignored=self._ignored,
            changed=self.changed,
            images=self.written_images,
            missing=self._missing,
            leaks=self._leaks.count(),
            splits=dict(sorted(self._splits.items())),
            left_out={why: n for why, n in sorted(self.left_out.items()) if n},
            engines=dict(sorted(self._engines.items())),
            sources=dict(sorted(self._sources.items())),
            labelled=self._labelled,
            examples=tuple(self._examples),
        )


def referred(row: LabelRow) -> str:
    """How an export without images names a page: the path, with the number if there are more."""
    path = row.image_path or row.id
    return path if row.page_count <= 1 else f"{path}#page={row.page}"


def labels_name(page: ExportPage) -> str:
    """Return a file name for a page without its image: the stem, and the suffix it had."""
    return page.stem + ((page.row.page_count <= 1 and suffix(page.row)) or ".png")


def needs_images(format_name: str) -> ConfigError:
    """Return what is raised when a format cannot do without the images."""
    return ConfigError(
        f"--format {format_name} is made of the images\n  name their folder with --images"
    )
