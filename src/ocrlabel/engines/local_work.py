"""What a child process of a local engine does: open a document, read its pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from ocrlabel.dataset.pixels.facts import Facts, inspect
from ocrlabel.dataset.pixels.limits import Limits
from ocrlabel.dataset.pixels.upright import sized_pages
from ocrlabel.labels import Page, Word

if TYPE_CHECKING:
    from PIL.Image import Image


class PageReader(Protocol):
    """An OCR engine inside the process. Gives words of one upright RGB page, polygons in its px."""

    @property
    def about(self) -> str:
        """Engine, version and models, as the labels table says it."""
        ...

    def __call__(self, page: Image) -> Sequence[Word]:
        """The page's words in reading order. It may close the page to save memory."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """Ask for the facts of a document's headers."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """Ask for the pages of a document."""

    data: bytes


class LocalWork:
    """Does Look -> Facts and Read -> pages; raises Unreadable."""

    def __init__(self, reader: Callable[[], PageReader], limits: Limits, dpi: int) -> None:
        self._reader = reader()
        self._limits = limits
        self._dpi = dpi
        self.about = self._reader.about

    def __call__(self, task: Look | Read) -> Facts | tuple[Page, ...]:
        """Do one task."""
        if isinstance(task, Look):
            return inspect(task.data, self._limits)
        pages: list[Page] = []
        for page in sized_pages(task.data, self._limits, dpi=self._dpi):
            size_px, seen_px = (page.width_px, page.height_px), page.image.size
            words = _at_full_size(self._reader(page.image), seen_px, size_px)
            pages.append(Page(len(pages) + 1, *size_px, words, _mean(words)))
            del page  # or this page's pixels stay beside the next one's
        return tuple(pages)


def _at_full_size(
    words: Sequence[Word], seen_px: tuple[int, int], size_px: tuple[int, int]
) -> tuple[Word, ...]:
    """The words of a page that was read smaller than it is, in px of the page itself."""
    if seen_px == size_px:
        return tuple(words)
    across, down = size_px[0] / seen_px[0], size_px[1] / seen_px[1]
    return tuple(
        replace(word, polygon=tuple((x * across, y * down) for x, y in word.polygon))
        for word in words
    )


def _mean(words: Sequence[Word]) -> float | None:
    known = [word.confidence for word in words if word.confidence is not None]
    return round(fmean(known), 5) if known else None
