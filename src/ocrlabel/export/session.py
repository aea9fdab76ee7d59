"""One export under way: walks the rows, places the images, keeps count, and writes the data card.

The card (README.md) says what the export is, from where, how much, and what is weak in it. An index
(`PAGES_FILE`) says which page each file stands for, so that corrections find their way back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from itertools import chain, islice
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.export_pages import (
    READS_AS_IGNORED,
    Documents,
    ExportPage,
    ExportWord,
    export_words,
    split_of,
)
from ocrlabel.export.formats import Export, ExportOptions, ImageFile, ImageFinder, NoImage, Summary
from ocrlabel.export.output_folder import OutputFolder, PageNames, suffix
from ocrlabel.labels import readable

PAGES_FILE = "ocrlabel_pages.jsonl"
"""One line a page: the file as the format names it, and the id and page that it stands for."""
CARD_FILE = "README.md"
_EXAMPLES = 10
_MOST = 50  # lines of one list; a table of annotators or models may be longer
WEAKNESSES: Mapping[str, str] = {
    "rapidocr": (
        "rapidocr's own models read no Hangul: unless its version names a reader of it, Korean"
        " comes out as Chinese characters that are not there, often with a high confidence."
    ),
    "tesseract": (
        "tesseract is made for scanned print. On photographs, receipts at an angle and curved text"
        " it misses words, and its boxes are never rotated."
    ),
    "upstage": (
        "The service's boxes are in pixels of the image as it was sent; very small and handwritten"
        " words are where it errs most."
    ),
    "scripted": "The labels are a script's, made for tests. They say nothing about the images.",
}
"""By engine, what is known to go wrong. Measured in docs/quality.md."""
_INTRODUCTION = (
    "Pseudo-labels: an OCR engine wrote them, and people saw only the pages whose source says so."
    " Made by `ocrlabel export`."
)
_ABOUT_CONFIDENCES = (
    "- The confidences are the engine's own and not calibrated; check them with"
    " `ocrlabel evaluate` on pages with known text."
)
_DATA_DIR = (
    "The folder of this card is the `data_dir` (or `root`) of every trainer; SPLIT is one of the"
    " splits above."
)


def exporter(format_name: str, *, training: str) -> Callable[[WritePages], Export]:
    """Make a format's `export` of the function that writes its pages; the card is written here.

    training: how to train with it, from the export's folder.
    """

    def decorate(write_pages: WritePages) -> Export:
        @wraps(write_pages)
        def export(
            rows: Iterator[LabelRow],
            images: ImageFinder | None,
            output: Path,
            options: ExportOptions,
        ) -> Summary:
            first = list(islice(rows, 1))  # a table that cannot be read leaves no folder behind
            with ExitStack() as opened:
                session = ExportSession(format_name, images, output, options, opened)
                write_pages(session, chain(first, rows))
                session.counts.leaks = session.documents.leaks()
                empty = session.documents.empty_shares()
            if empty:
                session.folder.remove()
                raise ConfigError(empty)
            there = session.counts.splits
            lost = [name for name, share in options.splits.shares if share and not there[name]]
            if lost and there:
                why = "of its pages no image was found, or no word fits"
                session.counts.warnings += (f"--splits: {', '.join(lost)} came out empty: {why}",)
            text = session.card_head + card(session.counts, options, training)
            session.folder.path(CARD_FILE).write_text(text, encoding="utf-8", newline="\n")
            session.folder.finish()
            return session.counts

        return export

    return decorate


class Closable(Protocol):
    """What an export opens and has to close."""

    def close(self) -> None:
        """Write what is still to be written."""
        ...


FileT = TypeVar("FileT", bound=Closable)
WritePages: TypeAlias = "Callable[[ExportSession, Iterator[LabelRow]], None]"


@dataclass
class ExportSession:
    """The part that all formats share. opened: what is closed when the export ends.

    card_head: what the format wants at the head of the card (Hugging Face reads YAML there).
    """

    format: str
    images: ImageFinder | None
    output: Path
    options: ExportOptions
    opened: ExitStack
    card_head: str = ""

    def __post_init__(self) -> None:
        self.counts = Summary(self.format)
        self._spellings: dict[str, str] = {}
        self._names = self.opened.enter_context(closing(PageNames()))
        self.documents = self.opened.enter_context(closing(Documents(self.options.splits)))

    @cached_property
    def folder(self) -> OutputFolder:
        """The folder to write to, made when it is first asked for. Raises ConfigError."""
        return OutputFolder(self.output, self.format, self.options)

    def by_split(self, open_files: Callable[[str], FileT]) -> Callable[[str], FileT]:
        """Return what gives a split's files: opened when first wanted, closed with the export."""

        @cache
        def files_of(split: str) -> FileT:
            return self.opened.enter_context(closing(open_files(split)))

        return files_of

    def pages(self, rows: Iterator[LabelRow]) -> Iterator[ExportPage]:
        """Return the pages in the table's order, with their splits and the stems of their files."""
        index = self.folder.path(PAGES_FILE)
        self._index = self.opened.enter_context(index.open("w", encoding="utf-8", newline="\n"))
        for row in rows:
            words = export_words(row, self.options, self.counts.left_out)
            split = self._spelt(split_of(row, self.options.splits))
            self.documents.add(row, split)
            yield ExportPage(row, split, self._names.take(row), words)

    def _spelt(self, split: str) -> str:
        """Return the split as it was spelt first: a Mac's files and a ZIP's tell no case apart."""
        first = self._spellings.setdefault(split.casefold(), split)
        note = f"the splits {first} and {split} are one, {first}: only their case differs"
        if first != split and note not in self.counts.warnings:
            self.counts.warnings += (note,)
        return first

    def placed(self, rows: Iterator[LabelRow], *folders: str) -> Iterator[tuple[ExportPage, str]]:
        """Return the pages whose image is there, each with the path to which it was copied.

        folders: of that path; "{split}" stands for the page's. Without images every page is there,
        with its path in the table. A page whose image is not found is counted as missing.
        """
        for page in self.pages(rows):
            if self.images is None:
                yield page, referred(page.row)
            elif found := self.image(page):
                below = [folder.format(split=page.split) for folder in folders]
                path = self.folder.path(*below, page.stem + found.suffix)
                path.write_bytes(found.data)
                self.counts.images += 1
                yield page, "/".join((*below, path.name))

    def image(self, page: ExportPage) -> ImageFile | None:
        """Return the page's image, or None, counted as missing; needs images."""
        try:
            return self.required_images().file(page.row)
        except NoImage as error:
            self.missing(page, str(error))
            return None

    def required_images(self) -> ImageFinder:
        """Return the images. Raises ConfigError where there are none: a format is made of them."""
        if self.images is None:
            raise ConfigError(
                f"--format {self.format} is made of the images\n  name their folder with --images"
            )
        return self.images

    def made_rectangles(self, words: Iterable[ExportWord]) -> None:
        """Count the words whose corners a format of four does not write as they are."""
        self.counts.changed["made_a_rectangle"] += sum(w.corners != w.polygon for w in words)

    def missing(self, page: ExportPage, why: str) -> None:
        """Count a page whose image cannot be had."""
        self.counts.missing += 1
        if len(self.counts.examples) < _EXAMPLES:
            self.counts.examples += (f"{readable(page.row.id)}: {why}",)

    def listed(
        self,
        page: ExportPage,
        file: str,
        *,
        kept: Sequence[ExportWord] | None = None,
        marks: Container[str] = (),
    ) -> None:
        """Count a page that was written, under the name that the format gives its image.

        kept: its words that were written, where the format leaves some out. marks: texts that the
        format takes for do-not-care, also of a word that really reads so.
        """
        row, counts, words = page.row, self.counts, page.words if kept is None else kept
        line = {"file": file, "id": row.id, "page": row.page}
        self._index.write(json.dumps(line, ensure_ascii=False) + "\n")
        counts.pages += 1
        counts.words += len(words)
        for word in words:
            if word.ignored:
                counts.ignored += 1
            elif word.text in marks:
                counts.ignored += 1
                counts.changed[READS_AS_IGNORED] += 1
            if word.changed:
                counts.changed.update(word.changed)
        counts.splits[page.split] += 1
        counts.engines[f"{row.engine} {row.model_version}".strip()] += 1
        counts.sources[row.source] += 1
        if row.labelled_at is not None:
            at = row.labelled_at.isoformat()
            first, last = counts.labelled
            counts.labelled = (min(first or at, at), max(last, at))


def referred(row: LabelRow) -> str:
    """How an export without images names a page: the path, with the number if there are more."""
    path = row.image_path or row.id
    return path if row.page_count <= 1 else f"{path}#page={row.page}"


def labels_name(page: ExportPage) -> str:
    """Return a file name for a page without its image: the stem, and the suffix it had."""
    return page.stem + ((page.row.page_count <= 1 and suffix(page.row)) or ".png")


def card(summary: Summary, options: ExportOptions, training: str) -> str:
    """Return the card as Markdown. Equal exports have equal cards: it holds no time of its own."""
    first, last = summary.labelled
    below = options.ignore_below
    rule = "" if below is None else f" (confidence below {below:g} counts as do-not-care)"
    named = {engine.split(" ", 1)[0] for engine in summary.engines}
    return "\n".join(
        [
            f"# OCR labels ({summary.format})",
            "",
            _INTRODUCTION,
            "",
            "## What",
            *_list({"pages": summary.pages, "words": summary.words, "images": summary.images}),
            f"- do-not-care among the words: {summary.ignored}{rule}",
            *(f"- words left out, {why}: {n}" for why, n in sorted((+summary.left_out).items())),
            *(f"- words changed, {what}: {n}" for what, n in sorted((+summary.changed).items())),
            *_if(summary.missing, "pages left out because their image was not found"),
            "",
            "## Splits",
            *_list(summary.splits),
            _made(options),
            *_if(summary.leaks, "documents that stand in more than one of these splits"),
            *(f"- {warning}" for warning in summary.warnings),
            "",
            "## How to train",
            _DATA_DIR,
            training,
            "",
            "## From where",
            *_list(summary.engines, unit="pages"),
            *(f"- source `{_plain(name)}`: {n} pages" for name, n in _first(summary.sources)),
            f"- labelled from {first or 'unknown'} to {last or 'unknown'}",
            "- polygons are in pixels of the upright page",
            "",
            "## Known weaknesses",
            _ABOUT_CONFIDENCES,
            *(f"- {text}" for engine, text in WEAKNESSES.items() if engine in named),
            "",
        ]
    )


def _made(options: ExportOptions) -> str:
    if not options.splits.shares:
        return "- kept as the input, or else the table, has them"
    shares = ", ".join(f"{name} {share:g}" for name, share in options.splits.shares)
    return f"- made by document ({shares}): all pages and copies of a document are on one side"


def _if(number: int, what: str) -> list[str]:
    return [f"- {what}: {number}"] if number else []


def _list(numbers: Mapping[str, int], *, unit: str = "") -> list[str]:
    return [f"- {_plain(name)}: {n} {unit}".rstrip() for name, n in _first(numbers)]


def _first(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda item: (-item[1], item[0]))[:_MOST]


def _plain(name: str) -> str:
    """One line, whatever the table says."""
    return " ".join(name.replace("`", "'").split()) or "unknown"
