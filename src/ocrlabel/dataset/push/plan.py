"""What has to be uploaded, what is missing, and which rows are read back: decided from values."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field

from ocrlabel.dataset.push.survey import Survey
from ocrlabel.dataset.push.target import image_key
from ocrlabel.storage.base import Stored


@dataclass(slots=True)
class Stock:
    """The images that are in the bucket under a prefix: some 200 bytes of memory each."""

    prefix: str
    sizes: MutableMapping[str, int] = field(default_factory=dict)

    def add(self, stored: Stored) -> None:
        """Take in one object of a listing."""
        name = stored.key.rpartition("/")[2]
        if stored.key == image_key(self.prefix, name):
            self.sizes[name] = stored.size_bytes

    def has(self, survey: Survey, row: int) -> bool:
        """Whether the row's image is there, whole: a cut-off copy has another size."""
        return self.sizes.get(survey.name(row)) == survey.sizes[row]


@dataclass(frozen=True, slots=True)
class Uploads:
    """rows: one byte a row, 1 where its image is sent. there: rows whose image needs no sending.

    identical: rows whose image is that of an earlier row that is sent.
    """

    rows: bytearray
    images: int
    size_bytes: int
    there: int
    identical: int

    def between(self, start: int, stop: int) -> list[int]:
        """The rows from start to stop - 1 whose images are sent."""
        return [row for row in range(start, min(stop, len(self.rows))) if self.rows[row]]


def plan_uploads(survey: Survey, stock: Stock) -> Uploads:
    """Every readable image that is not there is sent once, with the first row that has it."""
    rows = bytearray(survey.rows)
    sent: set[bytes] = set()
    size_bytes = there = identical = 0
    for row in range(survey.rows):
        if not survey.readable(row):
            continue
        if stock.has(survey, row):
            there += 1
        elif (sha256 := survey.sha256(row)) in sent:
            identical += 1
        else:
            sent.add(sha256)
            rows[row] = 1
            size_bytes += survey.sizes[row]
    return Uploads(rows, len(sent), size_bytes, there, identical)


def missing(survey: Survey, stock: Stock) -> Iterator[int]:
    """The readable rows whose image is not in the bucket."""
    return (
        row for row in range(survey.rows) if survey.readable(row) and not stock.has(survey, row)
    )


def rows_to_check(survey: Survey, most: int | None, *, distinct: bool) -> list[int]:
    """Readable rows, evenly spread from the first to the last; all of them for None.

    distinct: of the rows with one image only the first.
    """
    rows = [row for row in range(survey.rows) if survey.readable(row)]
    if distinct:
        first: dict[bytes, int] = {}
        for row in rows:
            first.setdefault(survey.sha256(row), row)
        rows = list(first.values())
    if most is None or len(rows) <= most:
        return rows
    last = len(rows) - 1
    return [rows[last * number // (most - 1)] for number in range(most)]


def groups(
    sizes: Sequence[int], *, most_rows: int, most_bytes: int | None = None
) -> Iterator[tuple[int, int]]:
    """(start, stop) of row groups: at most so many rows, or bytes of images if more than one."""
    start = held = 0
    for row, size_bytes in enumerate(sizes):
        full = row - start == most_rows or (most_bytes and held + size_bytes > most_bytes)
        if row > start and full:
            yield start, row
            start, held = row, 0
        held += size_bytes
    if start < len(sizes):
        yield start, len(sizes)
