"""A dataset into a bucket: images first, the table last, so that its images are always there.

Nothing is kept of an interrupted push but what is in the bucket: images are named by their
content, so the next push sees what is there and goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrlabel.dataset.push import table, upload
from ocrlabel.dataset.push.extra_columns import ExtraColumns
from ocrlabel.dataset.push.target import PushTarget, image_key
from ocrlabel.dataset.sources import ImageDataset
from ocrlabel.errors import ConfigError, DatasetError, StoreUnavailable
from ocrlabel.labels import ImageRef
from ocrlabel.storage.base import NotStored, ObjectStore

_SAMPLE = 20
_KEYS_PER_STEP = 1000
TableState = Literal["written", "replaced", "unchanged"]
_BYTES_PER_ROW = 1_000  # of a row without its image, generously


@dataclass(frozen=True, slots=True)
class PushOptions:
    """embedded: the bytes go into the table. verify: which images are read back, byte for byte."""

    embedded: bool = False
    skip_unreadable: bool = False
    replace: bool = False
    verify: Literal["sample", "all"] = "sample"
    at_once: int = 16


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did. rows: of the table. uploaded: images sent, with their bytes.

    there: rows whose image was in the bucket before; identical: rows that share the image of
    another row that was sent. reasons: input row -> why it is unreadable, of the first few.
    left_out: columns of the input that the table does not have. checked: images read back.
    """

    rows: int
    unreadable: int
    reasons: Mapping[int, str]
    uploaded: int
    uploaded_bytes: int
    there: int
    identical: int
    checked: int
    table: TableState
    left_out: tuple[str, ...]


async def push(
    dataset: ImageDataset,
    extra: ExtraColumns,
    store: ObjectStore,
    target: PushTarget,
    options: PushOptions,
    *,
    scratch: Path,
    on_step: Callable[[upload.Step], None],
) -> Pushed:
    """Push a dataset. store: of the whole bucket. scratch: a folder for the table's file.

    Raises ConfigError when another table is there and may not be replaced, before anything is
    sent; DatasetError when no image can be read or one changes meanwhile; StoreUnavailable.
    """
    async for _ in store.list(target.table_key):
        break  # asked before the images are read: is there such a bucket, and may it be read?
    found = await upload.take_inventory(dataset, at_once=options.at_once, on_step=on_step)
    if found.unreadable == found.rows:
        row, reason = min(found.reasons.items())
        raise DatasetError(
            f"{dataset.describe()}: none of its {found.rows:,} images can be read; "
            f"row {row + 1}: {reason}"
        )
    rows = table.PushRows(
        dataset, extra, found, target.image_prefix, options.embedded, options.skip_unreadable
    )
    digest = await asyncio.to_thread(table.digest_of, rows)
    job = _Push(rows, digest, store, target, options, scratch / "table.parquet", on_step)
    state = await asyncio.to_thread(job.table_state)
    most = None if options.verify == "all" else _SAMPLE
    wanted = upload.rows_to_check(found, most, distinct=not options.embedded)
    send = job.embedded if options.embedded else job.objects
    counts = await send(state, wanted)
    return Pushed(
        rows=rows.count,
        unreadable=found.unreadable,
        reasons=found.reasons,
        uploaded=counts.images,
        uploaded_bytes=counts.size_bytes,
        there=counts.there,
        identical=counts.identical,
        checked=len(wanted),
        table=state,
        left_out=extra.kept.left_out,
    )


@dataclass(frozen=True, slots=True)
class _Push:
    rows: table.PushRows
    digest: str
    store: ObjectStore
    target: PushTarget
    options: PushOptions
    file: Path
    on_step: Callable[[upload.Step], None]

    def table_state(self) -> TableState:
        """What becomes of the table's key. Raises ConfigError when another table is there."""
        there = table.digest_in_bucket(self.store, self.target.table_key)
        if there is None:
            return "written"
        if there == self.digest:
            return "unchanged"
        if self.options.replace:
            return "replaced"
        differs = table.difference(self.store, self.target.table_key, self.rows)
        if not differs and (there or not self.options.embedded):
            return "unchanged"  # other bytes (another version, another tool) and the same rows
        differs = differs or "no push wrote it, so nothing tells whether its images are these"
        raise ConfigError(
            f"{self.target.url} holds another table: {differs}\n"
            "  a run may depend on it, so it is left as it is; push under another name "
            "(--dataset-name), or say --replace"
        )

    async def objects(self, state: TableState, wanted: list[int]) -> upload.Uploads:
        """Images as objects, then the table."""
        uploads = upload.plan_uploads(self.rows.inventory, await self._listed())
        await self._send(uploads)
        if uploads.images:
            await self._check_all_there()
        await self._read_back(wanted)
        if state != "unchanged":
            await asyncio.to_thread(self._write)
            await self.store.upload(self.target.table_key, self.file)
        return uploads

    async def _listed(self) -> upload.ImagesInBucket:
        """What is there: one request for every 1,000 objects."""
        in_bucket = upload.ImagesInBucket(self.target.image_prefix)
        count = 0
        async for stored in self.store.list(f"{self.target.image_prefix}/"):
            in_bucket.add(stored)
            count += 1
            if count % _KEYS_PER_STEP == 0:
                self.on_step(upload.Step("listing", count, 0))
        return in_bucket

    async def _send(self, uploads: upload.Uploads) -> None:
        """Put every image of the plan: one request each. Raises DatasetError, StoreUnavailable."""
        done = size_bytes = 0

        async def put(ref: ImageRef) -> None:
            nonlocal done, size_bytes
            data = await upload.same_image(self.rows.dataset, self.rows.inventory, ref)
            await self.store.put(self._key(ref.ordinal), data)
            done += 1
            size_bytes += len(data)
            self.on_step(upload.Step("uploading", done, uploads.images, size_bytes))

        for start in range(0, self.rows.inventory.rows, upload.ROWS_AT_ONCE):
            stop = min(start + upload.ROWS_AT_ONCE, self.rows.inventory.rows)
            sent = [row for row in range(start, stop) if uploads.rows[row]]
            if sent:
                refs = await asyncio.to_thread(self.rows.dataset.refs, sent[0], sent[-1] + 1)
                await upload.in_parallel(
                    [refs[row - sent[0]] for row in sent], put, self.options.at_once
                )

    async def _check_all_there(self) -> None:
        """Compare with a new listing. Raises StoreUnavailable where an image is not there."""
        lost = list(upload.missing(self.rows.inventory, await self._listed()))
        if lost:
            raise self._not_back(lost[0], f"and {len(lost) - 1:,} others are not there any more")

    async def _read_back(self, rows: list[int]) -> None:
        """Read these rows' objects and compare every byte, by the hash."""
        done = 0

        async def check(row: int) -> None:
            nonlocal done
            try:
                data = await self.store.get(self._key(row))
            except NotStored:
                raise self._not_back(row, "is not there any more") from None
            if hashlib.sha256(data).digest() != self.rows.inventory.sha256(row):
                raise self._not_back(row, "holds other bytes: delete it")
            done += 1
            self.on_step(upload.Step("checking", done, len(rows)))

        await upload.in_parallel(rows, check, self.options.at_once)

    def _key(self, row: int) -> str:
        return image_key(self.target.image_prefix, self.rows.inventory.name(row))

    def _not_back(self, row: int, what: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.store.url}/{self._key(row)} {what}; no table was written. Whatever deletes or"
            " writes there must stop; then run the same command again"
        )

    async def embedded(self, state: TableState, wanted: list[int]) -> upload.Uploads:
        """The table with the images in it."""
        inventory = self.rows.inventory
        readable = inventory.rows - inventory.unreadable
        sent = upload.Uploads(there=readable)
        if state != "unchanged":
            await self._write_embedded()
            self.on_step(upload.Step("sending the table", 0, 0, self.file.stat().st_size))
            await self.store.upload(self.target.table_key, self.file)
            sent = upload.Uploads(images=readable, size_bytes=inventory.size_bytes)
        await asyncio.to_thread(self._check_embedded, wanted)
        return sent

    def _write(self) -> None:
        with table.table_writer(self.file, self.rows, self.digest) as write:
            for start, stop in self.rows.groups():
                write(self.rows.batch(start, stop))

    async def _write_embedded(self) -> None:
        """One row group of images (32 MB) is in memory at a time.

        Raises ConfigError where the disk has no room for it, DatasetError where an image changed.
        """
        rows = self.rows
        _check_room(self.file.parent, rows.inventory.size_bytes + _BYTES_PER_ROW * rows.count)
        done = size_bytes = 0
        with table.table_writer(self.file, rows, self.digest) as write:
            for start, stop in rows.groups():
                images = await _images(rows, start, stop, self.options.at_once)
                batch = await asyncio.to_thread(rows.batch, start, stop, images)
                await asyncio.to_thread(write, batch)
                done += stop - start
                size_bytes += sum(rows.inventory.sizes[start:stop])
                self.on_step(upload.Step("packing", done, rows.inventory.rows, size_bytes))

    def _check_embedded(self, wanted: Sequence[int]) -> None:
        """Read these input rows' images from the table in the bucket and compare every byte."""
        rows: Iterable[int] = range(self.rows.inventory.rows)
        if self.rows.skip_unreadable:
            rows = filter(self.rows.inventory.readable, rows)
        chosen = set(wanted)
        # from the row of the table to the row of the input
        places = {place: row for place, row in enumerate(rows) if row in chosen}
        key, done = self.target.table_key, 0
        with self.store.open(key) as file:
            for place, data in table.images_in(file, list(places)):
                sha256 = self.rows.inventory.sha256(places[place])
                if hashlib.sha256(data or b"").digest() != sha256:
                    raise StoreUnavailable(
                        f"{self.store.url}/{key}: row {place + 1} holds another image than was "
                        "sent; push it again with --replace"
                    )
                done += 1
                self.on_step(upload.Step("checking", done, len(places)))
        if done < len(places):
            raise StoreUnavailable(
                f"{self.store.url}/{key} lacks {len(places) - done:,} of its images; "
                "push it again with --replace"
            )


async def _images(
    rows: table.PushRows, start: int, stop: int, at_once: int
) -> Sequence[bytes | None]:
    images: list[bytes | None] = [None] * (stop - start)

    async def read(ref: ImageRef) -> None:
        images[ref.ordinal - start] = await upload.same_image(rows.dataset, rows.inventory, ref)

    refs = await asyncio.to_thread(rows.dataset.refs, start, stop)
    readable = [ref for ref in refs if rows.inventory.readable(ref.ordinal)]
    await upload.in_parallel(readable, read, at_once)
    return images


def _check_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise ConfigError(
            f"the packed table needs {needed_bytes / 1e9:.1f} GB in {folder}, "
            f"{free_bytes / 1e9:.1f} GB are free; set TMPDIR to a larger disk, or push without "
            "--pack"
        )
