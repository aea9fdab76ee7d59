"""What every export is given and gives back. Values only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.export.split import SplitPlan
from ocrlabel.labels import Polygon

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose.

    ignore_below: words below this confidence count as do-not-care; words without a confidence
    never do. keep_untranscribed: boxes without a text are kept as regions (a table for detection
    only), else they count as do-not-care. image_url: what stands before an image's path in a URL
    (Label Studio). charset: the characters that a recognition set may use, None for all.
    max_length: characters of the longest text of a recognition set. min_crop_px: the smallest
    side of a crop. vertical: what becomes of a crop that stands upright: turned, kept or left
    out. force: replace an earlier export.
    """

    ignore_below: float | None = None
    keep_untranscribed: bool = False
    splits: SplitPlan = field(default_factory=SplitPlan)
    image_url: str = ""
    charset: frozenset[str] | None = None
    max_length: int = 25
    min_crop_px: int = 4
    vertical: str = "turn"
    force: bool = False


@dataclass(frozen=True, slots=True)
class ExportWord:
    """One word with an area. ignored: do-not-care."""

    text: str
    polygon: Polygon
    confidence: float | None
    label: str
    ignored: bool


@dataclass(frozen=True, slots=True)
class ExportPage:
    """One page on its way out: its split, and a stem for its files that no other page has."""

    row: LabelRow
    split: str
    stem: str
    words: tuple[ExportWord, ...]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A page's image as a file: its bytes, and the suffix that fits them, such as ".jpg"."""

    data: bytes
    suffix: str


class NoImage(Exception):
    """There is no image for this page, or it is not the one that was labelled."""


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
class Summary:
    """What an export wrote. words counts those written, ignored ones among them.

    left_out: words by the reason why they were not written. changed: words whose text the format
    could not carry as it is. missing: pages without an image, the first few named in examples.
    leaks: documents that the table's own splits put on two sides.
    """

    format: str
    pages: int = 0
    words: int = 0
    ignored: int = 0
    changed: int = 0
    images: int = 0
    missing: int = 0
    leaks: int = 0
    splits: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    engines: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    labelled: tuple[str, str] = ("", "")
    examples: tuple[str, ...] = ()


class Export(Protocol):
    """What a format's module offers as `export`."""

    def __call__(
        self, rows: Iterator[LabelRow], images: ImageFinder | None, output: Path, options: Options
    ) -> Summary:
        """Write every row into the folder `output`. Without images only labels are written.

        Raises ConfigError when the folder is not free, or when the format needs images.
        """
        ...
