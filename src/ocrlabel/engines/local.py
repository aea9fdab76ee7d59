"""An engine that reads images on this machine, in child processes, and costs nothing.

`LocalEngine` is what rapidocr and tesseract share: they bring a `PageReader`, which reads one
upright page. Inside each child process `LocalWork` opens the document, page by page, and gives the
reader's words in px of the page as it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from types import MappingProxyType
from typing import Protocol, cast

from PIL.Image import Image

from ocrlabel.engine import Answer, Lane
from ocrlabel.engines.children import ChildPool, usable_cores
from ocrlabel.errors import BadAnswer, ConfigError
from ocrlabel.images.headers import HeaderFacts, inspect
from ocrlabel.images.limits import LOCAL_LIMITS
from ocrlabel.images.pdf import DPI
from ocrlabel.images.prepare import sized_pages
from ocrlabel.labels import Document, Page, Word


class PageReader(Protocol):
    """An OCR engine inside the process. Gives words of one upright RGB page, polygons in its px."""

    @property
    def about(self) -> str:
        """Engine, version and models, as the labels table says it."""
        ...

    def __call__(self, page: Image) -> Sequence[Word]:
        """The page's words in reading order. It may close the page to save memory."""
        ...


class LocalEngine:
    """Engine over a pool of processes, each with its own copy of the reader.

    reader: makes the reader inside the process, of the options: what changes its answers. parallel:
    the number of processes, by default one a core. notice: what a user should know before the first
    page, "" for nothing. No memory limit is set on the processes: an address space limit would
    count what onnxruntime reserves and never touches, and the limits on pixels bound the rest.
    """

    price_per_page_usd = 0.0
    max_pages = LOCAL_LIMITS.max_pages
    lanes = (Lane("local"),)

    def __init__(
        self,
        name: str,
        reader: Callable[[Mapping[str, str]], PageReader],
        options: Mapping[str, str],
        *,
        parallel: int | None = None,
        page_timeout_s: float = 120.0,
        notice: str = "",
    ) -> None:
        self.name = name
        self._reader = reader
        self.parallel = parallel_or_cores(parallel)
        self.notice = notice
        self.request_timeout_s = page_timeout_s * self.max_pages
        self._page_timeout_s = page_timeout_s
        self._model_version = name
        self.join({**options, "dpi": str(DPI)})

    def join(self, planned: Mapping[str, str]) -> None:
        """Its processes, none of which is there yet, will work with these options."""
        options = dict(planned)
        self.options: Mapping[str, str] = MappingProxyType(options)
        self._pool: ChildPool[bytes | Document, HeaderFacts | tuple[Page, ...]] = ChildPool(
            partial(LocalWork, partial(self._reader, options)),
            self.parallel,
            result=HeaderFacts | tuple[Page, ...],
            timeout_s=self._page_timeout_s,
            what=self.name,
        )

    async def start(self) -> None:
        """Start one process and load its models; the others start as work comes."""
        self._model_version = str(await self._pool.start())

    async def prepare(self, data: bytes) -> Document:
        """Headers only: the pixels are decoded where they are read. Raises Unreadable."""
        facts = cast("HeaderFacts", await self._pool.run(data))
        return Document(data, facts.format, facts.page_count, facts.page_sizes_px)

    async def recognise(self, document: Document, lane: str) -> Answer:  # noqa: ARG002 -- one lane
        """Read every page. Raises Unreadable, also for what kills or hangs its process."""
        allowed_s = self._page_timeout_s * (document.page_count or 1)
        pages = await self._pool.run(document, timeout_s=allowed_s)
        return Answer(cast("tuple[Page, ...]", pages), self._model_version)

    def parse(self, raw: bytes, document: Document) -> Answer:
        """There is no raw answer to make one from again."""
        raise BadAnswer(f"{self.name} keeps no raw answer ({len(raw)} bytes, {document.format})")

    async def close(self) -> None:
        """End the processes."""
        await self._pool.close()


def parallel_or_cores(parallel: int | None) -> int:
    """The number given, or of the cores there are. Raises ConfigError below 1."""
    if parallel is None:
        return usable_cores()
    if parallel < 1:
        raise ConfigError(f"the number of processes is {parallel}; it must be 1 or more")
    return parallel


class LocalWork:
    """Inside a child process: bytes -> HeaderFacts, a document -> pages. Raises Unreadable."""

    def __init__(self, reader: Callable[[], PageReader]) -> None:
        self._reader = reader()
        self.about = self._reader.about

    def __call__(self, task: bytes | Document) -> HeaderFacts | tuple[Page, ...]:
        """Do one task."""
        if isinstance(task, bytes):
            return inspect(task, LOCAL_LIMITS)
        pages: list[Page] = []
        for image, size_px in sized_pages(task.data):
            seen_px = image.size
            words = _at_full_size(self._reader(image), seen_px, size_px)
            pages.append(Page(len(pages) + 1, *size_px, words, _mean(words)))
            del image  # or this page's pixels stay beside the next one's
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
