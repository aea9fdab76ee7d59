"""What is known of the batches that this worker has to do with, read from their journals."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from ocrlabel.pipeline.layout import RunKeys
from ocrlabel.pipeline.saved.journal import BatchView, refresh
from ocrlabel.pipeline.saved.records import Record
from ocrlabel.pipeline.world import World

_MOST_VIEWS = 4


class Views:
    """Keeps the views of the last few batches; others are read again when they are needed."""

    def __init__(self, world: World, keys: RunKeys) -> None:
        self._world = world
        self._keys = keys
        self._views: OrderedDict[int, BatchView] = OrderedDict()
        self._locks: dict[int, asyncio.Lock] = {}

    async def fresh(self, batch: int) -> BatchView:
        """The view of a batch with everything that is in its journal now."""
        lock = self._locks.setdefault(batch, asyncio.Lock())
        async with lock:
            view = self._view(batch)
            await refresh(self._world, self._keys, batch, view)
        return view

    def wrote(self, batch: int, key: str, records: list[Record]) -> None:
        """Take in what this worker has just written itself, without reading it back."""
        view = self._views.get(batch)
        if view is not None:
            view.add(records)
            view.seen.add(key)

    def begin(self, batch: int) -> BatchView:
        """The view of a batch that nobody has written to yet, to be filled by `wrote`."""
        return self._view(batch)

    def drop(self, batch: int) -> None:
        """Forget a batch whose checkpoint is written."""
        self._views.pop(batch, None)
        self._locks.pop(batch, None)

    def _view(self, batch: int) -> BatchView:
        view = self._views.setdefault(batch, BatchView())
        self._views.move_to_end(batch)
        while len(self._views) > _MOST_VIEWS:
            self._views.popitem(last=False)
        return view
