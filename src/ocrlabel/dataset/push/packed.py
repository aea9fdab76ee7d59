"""Images packed into the table: written group by group into a file, uploaded in parts."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ocrlabel.dataset.in_parallel import in_parallel
from ocrlabel.dataset.push.objects import same_image
from ocrlabel.dataset.push.rows import PushRows
from ocrlabel.dataset.push.survey import Step
from ocrlabel.dataset.push.table import TableWriter, images_in
from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.labels import ImageRef
from ocrlabel.storage.base import ObjectStore

_BYTES_PER_ROW = 1_000  # of a row without its image, generously


async def write_packed(
    path: Path, rows: PushRows, digest: str, *, at_once: int, tell: Callable[[Step], None]
) -> None:
    """Write the table with its images; one row group of them (32 MB) is in memory at a time.

    Raises ConfigError where the disk has no room for it, DatasetError where an image changed.
    """
    _check_room(path.parent, rows.survey.size_bytes + _BYTES_PER_ROW * rows.count)
    done = size_bytes = 0
    with TableWriter(path, rows, digest) as writer:
        for start, stop in rows.groups():
            images = await _images(rows, start, stop, at_once)
            batch = await asyncio.to_thread(rows.batch, start, stop, images)
            await asyncio.to_thread(writer.write, batch)
            done += stop - start
            size_bytes += sum(rows.survey.sizes[start:stop])
            tell(Step("packing", done, rows.survey.rows, size_bytes))


async def _images(rows: PushRows, start: int, stop: int, at_once: int) -> Sequence[bytes | None]:
    images: list[bytes | None] = [None] * (stop - start)

    async def read(ref: ImageRef) -> None:
        images[ref.ordinal - start] = await same_image(rows.dataset, rows.survey, ref)

    refs = await asyncio.to_thread(rows.dataset.refs, start, stop)
    readable = [ref for ref in refs if rows.survey.readable(ref.ordinal)]
    await in_parallel(readable, read, at_once)
    return images


async def read_back_packed(
    store: ObjectStore,
    key: str,
    rows: PushRows,
    wanted: Sequence[int],
    tell: Callable[[Step], None],
) -> None:
    """Read these input rows' images from the table in the bucket and compare every byte."""
    places = _places(rows, wanted)

    def check() -> None:
        done = 0
        with store.open(key) as table:
            for place, data in images_in(table, list(places)):
                if hashlib.sha256(data or b"").digest() != rows.survey.sha256(places[place]):
                    raise StoreUnavailable(
                        f"{store.url}/{key}: row {place + 1} holds another image than was sent; "
                        "push it again with --replace"
                    )
                done += 1
                tell(Step("checking", done, len(places)))
        if done < len(places):
            raise StoreUnavailable(
                f"{store.url}/{key} lacks {len(places) - done:,} of its images; "
                "push it again with --replace"
            )

    await asyncio.to_thread(check)


def _places(rows: PushRows, wanted: Sequence[int]) -> dict[int, int]:
    """From the row of the table to the row of the input: unreadable ones may be left out."""
    if not rows.skip_unreadable:
        return {row: row for row in wanted}
    chosen, readable = set(wanted), (n for n in range(rows.survey.rows) if rows.survey.readable(n))
    return {place: row for place, row in enumerate(readable) if row in chosen}


def _check_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise ConfigError(
            f"the packed table needs {needed_bytes / 1e9:.1f} GB in {folder}, "
            f"{free_bytes / 1e9:.1f} GB are free; set TMPDIR to a larger disk, or push without "
            "--pack"
        )
