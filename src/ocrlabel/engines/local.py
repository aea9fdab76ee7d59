"""An engine that reads images on this machine, in child processes, and costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from ocrlabel.engines.base import Answer, Lane, usable_cores
from ocrlabel.engines.child_main import LocalWork, Look, PageReader, Read
from ocrlabel.engines.children import ChildPool
from ocrlabel.errors import BadAnswer, ConfigError
from ocrlabel.images.headers import HeaderFacts
from ocrlabel.images.limits import LOCAL_LIMITS
from ocrlabel.labels import Document, Page

DPI = 150
"""The raster of PDF pages, the same as the Upstage API's."""


class LocalEngine:
    """Engine over a pool of processes, each with its own copy of the reader.

    reader: makes the reader inside the process. options: what changes its answers. parallel: the
    number of processes, by default one a core. notice: what a user should know before the first
    page, "" for nothing. No memory limit is set on the processes: an address space limit would
    count what onnxruntime reserves and never touches, and the limits on pixels bound the rest.
    """

    price_per_page_usd = 0.0
    max_pages = LOCAL_LIMITS.max_pages
    lanes = (Lane("local"),)

    def __init__(
        self,
        name: str,
        reader: Callable[[], PageReader],
        options: Mapping[str, str],
        *,
        parallel: int | None = None,
        page_timeout_s: float = 120.0,
        notice: str = "",
    ) -> None:
        self.name = name
        self.options: Mapping[str, str] = MappingProxyType({**options, "dpi": str(DPI)})
        self.parallel = parallel_or_cores(parallel)
        self.notice = notice
        self.request_timeout_s = page_timeout_s * self.max_pages
        self._page_timeout_s = page_timeout_s
        self._model_version = name
        self._pool: ChildPool[Look | Read, HeaderFacts | tuple[Page, ...]] = ChildPool(
            partial(LocalWork, reader, LOCAL_LIMITS, DPI),
            self.parallel,
            timeout_s=page_timeout_s,
            what=name,
        )

    @property
    def pids(self) -> frozenset[int]:
        """The processes that are there now."""
        return self._pool.pids

    async def start(self) -> None:
        """Start one process and load its models; the others start as work comes."""
        self._model_version = str(await self._pool.start())

    async def prepare(self, data: bytes) -> Document:
        """Headers only: the pixels are decoded where they are read. Raises Unreadable."""
        facts = await self._pool.run(Look(data))
        if not isinstance(facts, HeaderFacts):
            raise TypeError(type(facts))
        return Document(data, facts.format, facts.page_count, facts.page_sizes_px)

    async def recognise(self, document: Document, lane: str) -> Answer:  # noqa: ARG002 -- one lane
        """Read every page. Raises Unreadable, also for what kills or hangs its process."""
        allowed_s = self._page_timeout_s * (document.page_count or 1)
        pages = await self._pool.run(Read(document.data), timeout_s=allowed_s)
        if isinstance(pages, HeaderFacts):
            raise TypeError(type(pages))
        return Answer(pages, self._model_version)

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
