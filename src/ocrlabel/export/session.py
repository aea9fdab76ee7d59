"""One export under way: walks the rows, places the images, keeps count, and ends with the card."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.base import (
    ExportPage,
    ImageFile,
    ImageFinder,
    Leaks,
    Names,
    NoImage,
    Options,
    Summary,
    export_words,
    split_of,
    suffix,
)

PAGES_FILE = "ocrlabel_pages.jsonl"
CARD_FILE = "README.md"
_EXAMPLES = 10
WEAKNESSES: Mapping[str, str] = {
    "rapidocr": (
        "rapidocr's standard model reads Latin letters, digits and Chinese. It reads no Hangul:"
        " Korean comes out as Chinese characters that are not there, often with a high confidence."
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
_INTRODUCTION = (
    "Pseudo-labels: an OCR engine wrote them, and people saw only the pages whose source says so."
    " Made by `ocrlabel export`."
)
_ABOUT_CONFIDENCES = (
    "- The confidences are the engine's own and not calibrated; check them with"
    " `ocrlabel evaluate` on pages with known text."
)
_MOST = 50  # lines of one list; a table of annotators or models may be longer
MARKER = ".ocrlabel-export.json"
"""One line a page: the file as the format names it, and the id and page that it stands for."""


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


"""By engine, what is known to go wrong. Measured in docs/quality.md."""


def card(summary: Summary, options: Options) -> str:
    """Return the card as Markdown. Equal exports have equal cards: it holds no time of its own."""
    first, last = summary.labelled
    return "\n".join(
        [
            f"# OCR labels ({summary.format})",
            "",
            _INTRODUCTION,
            "",
            "## What",
            *_list({"pages": summary.pages, "words": summary.words, "images": summary.images}),
            f"- do-not-care among the words: {summary.ignored}{_rule(options)}",
            *(f"- words left out, {why}: {n}" for why, n in summary.left_out.items()),
            *_if(summary.changed, "texts that this format cannot hold as they are, changed"),
            *_if(summary.missing, "pages left out because their image was not found"),
            "",
            "## Splits",
            *_list(summary.splits),
            _made(options),
            *_if(summary.leaks, "documents that stand in more than one of these splits"),
            "",
            "## From where",
            *_list(summary.engines, unit="pages"),
            *(f"- source `{_plain(name)}`: {n} pages" for name, n in _first(summary.sources)),
            f"- labelled from {first or 'unknown'} to {last or 'unknown'}",
            "- polygons are in pixels of the upright page",
            "",
            "## Known weaknesses",
            _ABOUT_CONFIDENCES,
            *(f"- {text}" for text in _known(summary)),
            "",
        ]
    )


def _known(summary: Summary) -> list[str]:
    named = {engine.split(" ", 1)[0] for engine in summary.engines}
    return [text for engine, text in WEAKNESSES.items() if engine in named]


def _rule(options: Options) -> str:
    if options.ignore_below is None:
        return ""
    return f" (confidence below {options.ignore_below:g} counts as do-not-care)"


def _made(options: Options) -> str:
    if not options.splits.shares:
        return "- kept as the table has them"
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


class Target:
    """The output folder. Every path is asked for here, so that the marker knows it."""

    def __init__(self, root: Path, format_name: str, options: Options) -> None:
        self.root = root
        self._format = format_name
        self._options = options
        self._written: list[str] = []
        self._folders: set[tuple[str, ...]] = set()
        _make_room(root, force=options.force)
        self._mark(finished=False)

    def path(self, *parts: str) -> Path:
        """Return the path of a file to write; its folder is there."""
        if parts[0] not in self._written:
            self._written.append(parts[0])
            self._mark(finished=False)
        if parts[:-1] not in self._folders:
            self.root.joinpath(*parts[:-1]).mkdir(parents=True, exist_ok=True)
            self._folders.add(parts[:-1])
        return self.root.joinpath(*parts)

    def finish(self) -> None:
        """Say that everything is written."""
        self._mark(finished=True)

    def _mark(self, *, finished: bool) -> None:
        marker = {
            "format": self._format,
            "finished": finished,
            "written": self._written,
            "ignore_below": self._options.ignore_below,
            "keep_untranscribed": self._options.keep_untranscribed,
        }
        (self.root / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")


def rule_of(root: Path) -> Options:
    """Return by which rule the export in `root` called words do-not-care; the default if none."""
    marker = root / MARKER
    if not marker.is_file():
        return Options()
    said = json.loads(marker.read_text(encoding="utf-8"))
    return Options(ignore_below=said["ignore_below"], keep_untranscribed=said["keep_untranscribed"])


def _make_room(root: Path, *, force: bool) -> None:
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file\n  give --output a folder")
    root.mkdir(parents=True, exist_ok=True)
    marker = root / MARKER
    said = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else None
    ours = {MARKER, *said["written"]} if said else set()
    foreign = sorted(entry.name for entry in root.iterdir() if entry.name not in ours)
    if foreign:
        raise ConfigError(
            f"{root} is not empty: {foreign[0]!r} is not ocrlabel's\n  give --output a new folder"
        )
    if said is None or not (said["finished"] or said["written"]):
        return  # one that failed before its first file left nothing
    if force:
        _remove(root, said["written"])
        marker.unlink()
        return
    finished = said["finished"]
    raise ConfigError(
        f"{root} holds {'an' if finished else 'an unfinished'} export already\n"
        "  give --output a new folder, or replace it with --force"
    )


def _remove(root: Path, names: list[str]) -> None:
    for name in names:
        entry = root / Path(name).name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
