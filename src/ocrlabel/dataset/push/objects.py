"""Images as objects: listed once, sent where they are missing, listed again, read back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from ocrlabel.dataset.in_parallel import in_parallel
from ocrlabel.dataset.inputs.sources import Dataset
from ocrlabel.dataset.push.plan import Stock, Uploads, missing
from ocrlabel.dataset.push.survey import ROWS_AT_ONCE, Step, Survey
from ocrlabel.dataset.push.target import image_key
from ocrlabel.errors import DatasetError, StoreUnavailable, Unreadable
from ocrlabel.labels import ImageRef
from ocrlabel.storage.base import NotStored, ObjectStore

_KEYS_PER_STEP = 1000


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the images of one dataset to one bucket, at_once of them at a time."""

    dataset: Dataset
    survey: Survey
    store: ObjectStore
    prefix: str
    at_once: int
    tell: Callable[[Step], None]

    async def stock(self) -> Stock:
        """What is there: one request for every 1,000 objects."""
        stock = Stock(self.prefix)
        count = 0
        async for stored in self.store.list(f"{self.prefix}/"):
            stock.add(stored)
            count += 1
            if count % _KEYS_PER_STEP == 0:
                self.tell(Step("listing", count, 0))
        return stock

    async def send(self, uploads: Uploads) -> None:
        """Put every image of the plan: one request each. Raises DatasetError, StoreUnavailable."""
        done = size_bytes = 0

        async def put(ref: ImageRef) -> None:
            nonlocal done, size_bytes
            data = await same_image(self.dataset, self.survey, ref)
            await self.store.put(image_key(self.prefix, self.survey.name(ref.ordinal)), data)
            done += 1
            size_bytes += len(data)
            self.tell(Step("uploading", done, uploads.images, size_bytes))

        for start in range(0, self.survey.rows, ROWS_AT_ONCE):
            sent = uploads.between(start, start + ROWS_AT_ONCE)
            if sent:
                refs = await asyncio.to_thread(self.dataset.refs, sent[0], sent[-1] + 1)
                await in_parallel([refs[row - sent[0]] for row in sent], put, self.at_once)

    async def check_all_there(self) -> None:
        """Compare with a new listing. Raises StoreUnavailable where an image is not there."""
        lost = list(missing(self.survey, await self.stock()))
        if lost:
            raise self._not_back(lost[0], f"and {len(lost) - 1:,} others are not there any more")

    async def read_back(self, rows: list[int]) -> None:
        """Read these rows' objects and compare every byte, by the hash."""
        done = 0

        async def check(row: int) -> None:
            nonlocal done
            try:
                data = await self.store.get(image_key(self.prefix, self.survey.name(row)))
            except NotStored:
                raise self._not_back(row, "is not there any more") from None
            if hashlib.sha256(data).digest() != self.survey.sha256(row):
                raise self._not_back(row, "holds other bytes: delete it")
            done += 1
            self.tell(Step("checking", done, len(rows)))

        await in_parallel(rows, check, self.at_once)

    def _not_back(self, row: int, what: str) -> StoreUnavailable:
        key = image_key(self.prefix, self.survey.name(row))
        return StoreUnavailable(
            f"{self.store.url}/{key} {what}; no table was written. Whatever deletes or writes "
            "there must stop; then run the same command again"
        )


async def same_image(dataset: Dataset, survey: Survey, ref: ImageRef) -> bytes:
    """The image's bytes, as they were in the survey. Raises DatasetError when they are not."""
    try:
        data = await dataset.read(ref)
    except Unreadable as error:
        raise _changed(ref, error.message) from error
    if hashlib.sha256(data).digest() != survey.sha256(ref.ordinal):
        raise _changed(ref, "its bytes are others")
    return data


def _changed(ref: ImageRef, why: str) -> DatasetError:
    return DatasetError(
        f"{ref.path or ref.id} was changed while it was pushed ({why}); no table was written; "
        "run the same command again"
    )
