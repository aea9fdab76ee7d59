"""What every export is given and gives back. Values only."""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol, TextIO

from ocrlabel.dataset.labels_table import IGNORE, WORD_CLASS, LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.labels import Point, Polygon, Word

if TYPE_CHECKING:
    from PIL import Image

NO_AREA = "no_area"
# Not allowed in a file name on Windows, or a separator in one of the formats.
_UNSAFE = re.compile(r"[\\/:*?\"'<>|]")
_LONGEST_BYTES = 120  # leaves room for a prefix, a page number and a suffix below 255


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


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Names and shares of the splits to make; without any, the table's `split` is kept.

    The share is of documents, and exact only in the long run: a document's split follows from a
    hash of its content and `seed` alone. So it stays the same when the table grows, is cut or is
    put in another order, and copies of an image never stand on two sides.
    """

    shares: tuple[tuple[str, float], ...] = ()
    seed: str = ""


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


def split_of(row: LabelRow, plan: SplitPlan) -> str:
    """Return the split's name, safe as a folder's; "all" where the table names none."""
    if not plan.shares:
        return safe_part(row.split, otherwise="all")
    digest = hashlib.sha256(f"{plan.seed}\0{document_of(row)}".encode()).digest()
    at = int.from_bytes(digest[:8]) / 2**64
    for name, share in plan.shares:
        at -= share
        if at < 0:
            return name
    return plan.shares[-1][0]


def document_of(row: LabelRow) -> str:
    """What all pages and all copies of one document share: its bytes, or else its path."""
    return row.image_sha256 or row.image_path or row.id


def parse_shares(text: str, *, seed: str = "") -> SplitPlan:
    """Read `train=0.8,val=0.1,test=0.1`. Raises ConfigError unless the shares sum to 1."""
    shares: list[tuple[str, float]] = []
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        split = name.strip()
        if not split or safe_part(split, otherwise="") != split or not 0 <= share <= 1:
            raise ConfigError(
                f"--splits: {part.strip()!r} is no share of a split\n"
                "  write train=0.8,val=0.1,test=0.1"
            )
        shares.append((split, share))
    if len({name.casefold() for name, _ in shares}) < len(shares):
        raise ConfigError(f"--splits: {text!r} names a split twice")
    if not math.isclose(sum(share for _, share in shares), 1.0, abs_tol=1e-6):
        raise ConfigError(
            f"--splits: the shares of {text!r} sum to {sum(s for _, s in shares):g}, not 1"
        )
    return SplitPlan(tuple(shares), seed)


class Leaks:
    """Counts the documents that a table's own splits put on two sides."""

    def __init__(self) -> None:
        self._seen = sqlite3.connect("")  # a temporary file: memory does not grow with the pages
        self._seen.execute(
            "CREATE TABLE seen (document TEXT PRIMARY KEY, split TEXT, leaks INT) WITHOUT ROWID"
        )

    def add(self, row: LabelRow, split: str) -> None:
        """Look at one page."""
        self._seen.execute(
            "INSERT INTO seen VALUES (?, ?, 0) ON CONFLICT (document)"
            " DO UPDATE SET leaks = leaks OR split <> excluded.split",
            (document_of(row), split),
        )

    def count(self) -> int:
        """Return how many documents stand in more than one split."""
        (leaks,) = self._seen.execute("SELECT coalesce(sum(leaks), 0) FROM seen").fetchone()
        return int(leaks)

    def close(self) -> None:
        """Give the temporary file back."""
        self._seen.close()


"""Why a word is in no export: its polygon has fewer than three points, or they are on one line."""


def export_words(row: LabelRow, options: Options, left_out: Counter[str]) -> tuple[ExportWord, ...]:
    """Return the page's words in the table's order; those without an area are counted, not kept."""
    words: list[ExportWord] = []
    for number, word in enumerate(row.words):
        label = (row.classes[number] if number < len(row.classes) else "") or WORD_CLASS
        if not is_region(word.polygon):
            left_out[NO_AREA] += 1
            continue
        ignored = is_ignored(word, label, options)
        words.append(ExportWord(word.text, word.polygon, word.confidence, label, ignored))
    return tuple(words)


def is_ignored(word: Word, label: str, options: Options) -> bool:
    """Whether a word is do-not-care: by its class, for want of a text, or by its confidence."""
    if label == IGNORE or (not word.text.strip() and not options.keep_untranscribed):
        return True
    if options.ignore_below is None or word.confidence is None:
        return False
    return word.confidence < options.ignore_below


def quad(polygon: Polygon) -> Polygon:
    """Four corners in px: the polygon itself if it has four, else its smallest rotated rectangle.

    The rectangle goes the way the polygon goes and starts at the corner next to the polygon's
    first point, so a text that stands on its side stays on its side. Needs an area (`is_region`).
    """
    return polygon if len(polygon) == 4 else rectangle(polygon)


def rectangle(polygon: Polygon) -> Polygon:
    """Return the smallest rotated rectangle around the polygon, beginning where it begins."""
    corners = _smallest_rectangle(_hull(polygon))
    if signed_area(polygon) < 0:
        corners = corners[::-1]
    start = min(range(4), key=lambda i: math.dist(corners[i], polygon[0]))
    return tuple(corners[start:] + corners[:start])


def is_region(polygon: Polygon) -> bool:
    """Whether the polygon covers anything: three finite points or more that are not on one line."""
    area = signed_area(polygon)
    if area == 0:  # a crossed polygon's halves may cancel out
        area = signed_area(_hull(polygon))
    # one point that is not finite makes the sum so
    return area != 0 and math.isfinite(area)


def is_convex(corners: Polygon) -> bool:
    """Whether every corner turns the same way, none of them straight on."""
    n = len(corners)
    turns = [_turn(corners[i - 2], corners[i - 1], corners[i]) for i in range(n)]
    return all(turn > 0 for turn in turns) or all(turn < 0 for turn in turns)


def signed_area(polygon: Sequence[Point]) -> float:
    """Area in px², positive where the points go clockwise on the screen (y points down)."""
    twice = 0.0
    # a plain loop: this runs for every word of an export
    x0, y0 = polygon[-1] if polygon else (0.0, 0.0)
    for x, y in polygon:
        twice += x0 * y - x * y0
        x0, y0 = x, y
    return twice / 2


def box(polygon: Polygon) -> tuple[float, float, float, float]:
    """Left, top, width and height in px of the upright box around the polygon."""
    xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def sides(corners: Polygon) -> tuple[float, float]:
    """Width along the text and height across it, in px: the longer of each two opposite sides."""
    a, b, c, d = corners
    return max(math.dist(a, b), math.dist(d, c)), max(math.dist(b, c), math.dist(a, d))


def _hull(points: Sequence[Point]) -> list[Point]:
    """Return the convex hull, clockwise on the screen (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    lower = _chain(ordered)
    upper = _chain(ordered[::-1])
    return lower[:-1] + upper[:-1]


def _chain(ordered: Sequence[Point]) -> list[Point]:
    chain: list[Point] = []
    for point in ordered:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _smallest_rectangle(hull: Sequence[Point]) -> list[Point]:
    """Return the rectangle of least area around a hull; one of its sides lies on the hull's."""
    ends = (*hull[1:], *hull[:1])
    return min((_rectangle_along(a, b, hull) for a, b in zip(hull, ends, strict=True)), key=_size)


def _rectangle_along(a: Point, b: Point, hull: Sequence[Point]) -> list[Point]:
    length = math.dist(a, b)
    ux, uy = (b[0] - a[0]) / length, (b[1] - a[1]) / length
    along = [x * ux + y * uy for x, y in hull]
    across = [y * ux - x * uy for x, y in hull]
    left, right, top, bottom = min(along), max(along), min(across), max(across)
    turned = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [(s * ux - t * uy, s * uy + t * ux) for s, t in turned]


def _size(corners: list[Point]) -> float:
    return math.dist(corners[0], corners[1]) * math.dist(corners[1], corners[2])


def dumps(value: object) -> str:
    """One line of JSON, as short as it gets, in the text's own characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class JsonFile:
    """A file of items between a head and a tail: `[` and `]`, or `{"images":{` and `}}`."""

    def __init__(self, path: Path, *, head: str, tail: str) -> None:
        self._tail = tail
        self._between = ""
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        self._file.write(head)

    def add(self, item: object, *, key: str | None = None) -> None:
        """Write one item; with a key, as a member of an object."""
        name = "" if key is None else dumps(key) + ":"
        self._file.write(f"{self._between}\n{name}{dumps(item)}")
        self._between = ","

    def close(self) -> None:
        """Write the tail and close the file."""
        with self._file:
            self._file.write(f"\n{self._tail}\n")


class Names:
    """Hands out one stem a page; the first page that asks keeps its own file name.

    Two stems are the same if any file system takes them for the same: case and Unicode form
    (NFC, NFD) are not told apart. What was handed out lies in a temporary file of SQLite's,
    so that memory does not grow with the pages.
    """

    def __init__(self) -> None:
        self._taken = sqlite3.connect("")
        self._taken.execute("CREATE TABLE taken (stem TEXT PRIMARY KEY) WITHOUT ROWID")

    def take(self, row: LabelRow) -> str:
        """Return a stem that no other page has. Equal tables give equal stems."""
        wanted = safe_part(PurePosixPath(_last_part(row)).stem, otherwise="page")
        if row.page_count > 1:
            wanted = f"{wanted}-p{row.page}"
        token = hashlib.sha256(f"{row.id}\0{row.page}".encode()).hexdigest()
        for length in (0, 8, 64):
            stem = f"{wanted}-{token[:length]}" if length else wanted
            if self._is_new(stem):
                return stem
        number = 2  # the same id and page again: two tables that were put together
        while not self._is_new(f"{stem}-{number}"):
            number += 1
        return f"{stem}-{number}"

    def close(self) -> None:
        """Give the temporary file back."""
        self._taken.close()

    def _is_new(self, stem: str) -> bool:
        key = unicodedata.normalize("NFC", stem).casefold()
        cursor = self._taken.execute("INSERT OR IGNORE INTO taken VALUES (?)", (key,))
        return cursor.rowcount == 1


def safe_part(text: str, *, otherwise: str) -> str:
    """`text` as one part of a path on any system, in Unicode form NFC; `otherwise` if empty."""
    plain = unicodedata.normalize("NFC", text)
    plain = "".join("_" if unicodedata.category(c)[0] == "C" else c for c in plain)
    plain = _UNSAFE.sub("_", plain).strip(" .")
    while len(plain.encode()) > _LONGEST_BYTES:
        plain = plain[:-1]
    return plain.rstrip(" .") or otherwise


def suffix(row: LabelRow) -> str:
    """The file name's own suffix, such as ".jpg"; "" where it has none that is safe."""
    found = PurePosixPath(_last_part(row)).suffix
    return found if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", found) else ""


def _last_part(row: LabelRow) -> str:
    name = row.image_filename or row.image_path or row.id
    return name.replace("\\", "/").rsplit("/", 1)[-1]
