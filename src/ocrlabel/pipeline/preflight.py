"""Before anything is paid for: a look whether the images are there at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ocrlabel.errors import ConfigError, ImageError
from ocrlabel.labels import FailureClass, ImageRef
from ocrlabel.wording import counted

SAMPLE_ROWS = 20
_ABSENT = frozenset({FailureClass.NOT_FOUND, FailureClass.NOT_ALLOWED})


class Findable(Protocol):
    """What preflight needs of a dataset."""

    @property
    def rows(self) -> int:
        """How many rows it has."""
        ...

    def refs(self, start: int, stop: int) -> Sequence[ImageRef]:
        """References of a range."""
        ...

    async def read(self, ref: ImageRef) -> bytes:
        """The bytes. Raises ImageError."""
        ...

    def looked(self, ref: ImageRef) -> list[str]:
        """Where an image is looked for."""
        ...


@dataclass(frozen=True, slots=True)
class Absent:
    """A row whose image is not to be had."""

    ref: ImageRef
    message: str
    looked: tuple[str, ...]


def spread(rows: int, sample: int = SAMPLE_ROWS) -> list[int]:
    """Ordinals spread evenly over all rows: the first, the last, and some between."""
    if rows <= sample:
        return list(range(rows))
    return sorted({round(step * (rows - 1) / (sample - 1)) for step in range(sample)})


async def absent_images(dataset: Findable) -> tuple[int, list[Absent]]:
    """How many rows were looked at, and those whose images are not to be had."""
    ordinals = spread(dataset.rows)
    absent = []
    for ordinal in ordinals:
        (ref,) = dataset.refs(ordinal, ordinal + 1)
        try:
            await dataset.read(ref)
        except ImageError as error:
            if error.failure in _ABSENT:
                absent.append(Absent(ref, error.message, tuple(dataset.looked(ref))))
    return len(ordinals), absent


async def refuse_without_images(dataset: Findable) -> None:
    """Raise ConfigError when not one of a sample of images is there."""
    looked_at, absent = await absent_images(dataset)
    if looked_at and len(absent) == looked_at:
        raise ConfigError(no_images(looked_at, absent))


def no_images(looked_at: int, absent: Sequence[Absent]) -> str:
    """What was looked for, where, and what to do about it."""
    first = absent[0]
    places = "".join(f"\n    {place}" for place in first.looked[:8])
    return (
        f"none of {counted(looked_at, 'image')} looked for was found;"
        f" the first is {first.ref.path!r} (row {first.ref.ordinal}, id {first.ref.id})"
        + (f"\n  looked for at:{places}" if places else f"\n  {first.message}")
        + "\n  name the folder that the paths start from with --image-root,"
        " or put table and images together with: ocrlabel push"
    )
