"""The formats that labels go out to and corrections come back from, and what each module offers.

A format is one module of this package, imported only when it is asked for. It offers `export` (see
`Export`) and, where texts and places come back, `corrections` (see `Import`). Its docstring tells
the format and where it is defined; docs/formats.md what each keeps and loses. A new format is such
a module and its name in `EXPORTS`, and in `IMPORTS` where it can come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.labels import Word

if TYPE_CHECKING:
    from PIL import Image

EXPORTS: Mapping[str, str] = {
    "paddleocr": "paddleocr",
    "paddleocr-rec": "paddleocr_rec",
    "icdar2015": "icdar2015",
    "coco": "coco",
    "yolo": "yolo",
    "lmdb": "lmdb_set",
    "labelstudio": "labelstudio",
    "hf": "hf",
    "aistages": "aistages",
}
"""Format -> its module in this package, which is imported only when it is asked for."""
IMPORTS = ("labelstudio", "paddleocr", "icdar2015", "coco", "hf", "aistages")
"""Formats whose corrections come back; YOLO carries no text, and crops no place on a page."""


def export_of(name: str) -> Export:
    """Return the format's `export`."""
    return cast("Export", import_module(f"ocrlabel.export.{EXPORTS[name]}").export)


def import_of(name: str) -> Import:
    """Return the format's `corrections`."""
    return cast("Import", import_module(f"ocrlabel.export.{name}").corrections)


Export: TypeAlias = (
    "Callable[[Iterator[LabelRow], ImageFinder | None, Path, ExportOptions], Summary]"
)
"""A format's `export`: writes every row into a folder. Without images only labels are written.

Raises ConfigError when the folder is not free, or when the format needs images."""
Import: TypeAlias = "Callable[[Path], Iterator[Correction]]"
"""A format's `corrections`: reads every page of a folder, in the files' order.

Raises DatasetError that names file and line."""


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Names and shares of the splits to make; without any, the input's own or the table's is kept.

    The share is of documents, and exact only in the long run: a document's split follows from a
    hash of its content and `seed` alone. So it stays the same when the table grows, is cut or is
    put in another order, and copies of an image never stand on two sides. groups: documents that
    look like an earlier one, which take its place in this.
    """

    shares: tuple[tuple[str, float], ...] = ()
    seed: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the user chose.

    ignore_below: words below this confidence count as do-not-care; words without a confidence
    never do. keep_untranscribed: boxes without a text are kept as regions (a table for detection
    only), else they count as do-not-care. image_url: what stands before an image's path in a URL
    (Label Studio). charset: the characters that a recognition set may use, None for all.
    max_length: characters of the longest text of a recognition set. min_crop_px: the smallest
    side of a crop. vertical: what becomes of a crop that stands upright: turned, kept or left
    out. keep_uncertain: words that wait for a review keep that class, else they are "text".
    force: replace an earlier export.
    """

    ignore_below: float | None = None
    keep_untranscribed: bool = False
    splits: SplitPlan = field(default_factory=SplitPlan)
    image_url: str = ""
    charset: frozenset[str] | None = None
    max_length: int = 25
    min_crop_px: int = 4
    vertical: str = "turn"
    keep_uncertain: bool = False
    force: bool = False


@dataclass(slots=True)
class Summary:
    """What an export wrote. words counts those written, ignored ones among them.

    left_out: words by the reason why they were not written. changed: words that were written
    otherwise than the table has them, by what was done. missing: pages without an image, the first
    few named in examples. leaks: documents that the input's own splits put on two sides. warnings:
    more to be read.
    """

    format: str
    pages: int = 0
    words: int = 0
    ignored: int = 0
    images: int = 0
    missing: int = 0
    leaks: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    engines: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    labelled: tuple[str, str] = ("", "")
    examples: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


MASK = "mask"
"""A shape of pixels, which is no word."""


@dataclass(frozen=True, slots=True)
class Correction:
    """The words of one page as corrected.

    file: the page as the format names it. id and page: what it stands for, where the format says
    so itself. size_px: width and height of the picture whose pixels the places are in, (0, 0) where
    nothing says it. classes: one a word, IGNORE for do-not-care, "" where the format does not say.
    source: what the labels table will say of it, such as "labelstudio:kim@example.com".
    reviewed_at: when a person was done with the page, even if nothing was changed; None where
    nothing says that one was. passed_over: shapes that are no word, by their kinds.

    What the file may not say at all is no correction: without_text, the words (by their place)
    that have none; tells_ignored, whether do-not-care came back; ordered, whether the order means
    anything. masks: words that are do-not-care pixels, as an export's own may have become, or else
    foreign. rule: how the export called words do-not-care, where the file says so itself.
    not_taken: what else people made of the page, by kind. is_done: False leaves the page alone.
    """

    file: str
    words: tuple[Word, ...]
    classes: tuple[str, ...]
    source: str
    id: str = ""
    page: int = 1
    size_px: tuple[float, float] = (0, 0)
    reviewed_at: datetime | None = None
    passed_over: tuple[str, ...] = ()
    without_text: frozenset[int] = frozenset()
    masks: frozenset[int] = frozenset()
    tells_ignored: bool = True
    ordered: bool = True
    rule: ExportOptions | None = None
    not_taken: tuple[str, ...] = ()
    is_done: bool = True


class ImageFinder(Protocol):
    """Finds the image of a page."""

    def file(self, row: LabelRow) -> ImageFile:
        """Return the upright page as a file; the original bytes where they are that already.

        Raises NoImage.
        """
        ...

    def pixels(self, row: LabelRow) -> Image.Image:
        """Return the upright page in RGB, at the size that the table says. Raises NoImage."""
        ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A page's image as a file: its bytes, and the suffix that fits them, such as ".jpg"."""

    data: bytes
    suffix: str


class NoImage(Exception):
    """There is no image for this page, or it is not the one that was labelled."""
