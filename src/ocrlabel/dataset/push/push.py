"""A dataset into a bucket: images first, the table last, so that its images are always there.

Nothing is kept of an interrupted push but what is in the bucket: images are named by their
content, so the next push sees what is there and goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrlabel.dataset.inputs.sources import Dataset
from ocrlabel.dataset.push.columns import Others
from ocrlabel.dataset.push.objects import Sender
from ocrlabel.dataset.push.packed import read_back_packed, write_packed
from ocrlabel.dataset.push.plan import plan_uploads, rows_to_check
from ocrlabel.dataset.push.rows import PushRows, digest_of
from ocrlabel.dataset.push.survey import Step, Survey, survey
from ocrlabel.dataset.push.table import TableWriter, difference, look
from ocrlabel.dataset.push.target import Target
from ocrlabel.errors import ConfigError, DatasetError
from ocrlabel.storage.base import ObjectStore

_SAMPLE = 20

TableState = Literal["written", "replaced", "unchanged"]


@dataclass(frozen=True, slots=True)
class PushOptions:
    """packed: the bytes go into the table. verify: which images are read back, byte for byte."""

    packed: bool = False
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
    dataset: Dataset,
    others: Others,
    store: ObjectStore,
    target: Target,
    options: PushOptions,
    *,
    scratch: Path,
    tell: Callable[[Step], None],
) -> Pushed:
    """Push a dataset. store: of the whole bucket. scratch: a folder for the table's file.

    Raises ConfigError when another table is there and may not be replaced, before anything is
    sent; DatasetError when no image can be read or one changes meanwhile; StoreUnavailable.
    """
    async for _ in store.list(target.table_key):
        break  # asked before the images are read: is there such a bucket, and may it be read?
    found = await survey(dataset, at_once=options.at_once, tell=tell)
    _demand_an_image(found, dataset)
    rows = PushRows(
        dataset, others, found, target.image_prefix, options.packed, options.skip_unreadable
    )
    digest = await asyncio.to_thread(digest_of, rows)
    state = await asyncio.to_thread(_settled, store, target, rows, digest, options)
    most = None if options.verify == "all" else _SAMPLE
    wanted = rows_to_check(found, most, distinct=not options.packed)
    if options.packed:
        counts = await _push_packed(rows, digest, state, store, target, options, scratch, tell)
        await read_back_packed(store, target.table_key, rows, wanted, tell)
    else:
        sender = Sender(dataset, found, store, target.image_prefix, options.at_once, tell)
        counts = await _push_objects(sender, wanted)
        if state != "unchanged":
            await _push_table(rows, digest, store, target, scratch)
    return Pushed(
        rows=rows.count,
        unreadable=found.unreadable,
        reasons=found.reasons,
        uploaded=counts.uploaded,
        uploaded_bytes=counts.uploaded_bytes,
        there=counts.there,
        identical=counts.identical,
        checked=len(wanted),
        table=state,
        left_out=others.kept.left_out,
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    uploaded: int
    uploaded_bytes: int
    there: int
    identical: int = 0


def _demand_an_image(found: Survey, dataset: Dataset) -> None:
    if found.unreadable == found.rows:
        row, reason = min(found.reasons.items())
        raise DatasetError(
            f"{dataset.describe()}: none of its {found.rows:,} images can be read; "
            f"row {row + 1}: {reason}"
        )


def _settled(
    store: ObjectStore, target: Target, rows: PushRows, digest: str, options: PushOptions
) -> TableState:
    """What becomes of the table's key. Raises ConfigError when another table is there."""
    there = look(store, target.table_key)
    if there is None:
        return "written"
    if there.digest == digest:
        return "unchanged"
    if options.replace:
        return "replaced"
    differs = difference(store, target.table_key, rows)
    if not differs and (there.digest or not options.packed):
        return "unchanged"  # other bytes (another version, another tool) and the same rows
    differs = differs or "no push wrote it, so nothing tells whether its images are these"
    raise ConfigError(
        f"{target.url} holds another table: {differs}\n"
        "  a run may depend on it, so it is left as it is; push under another name "
        "(--dataset-name), or say --replace"
    )


async def _push_objects(sender: Sender, wanted: list[int]) -> _Counts:
    uploads = plan_uploads(sender.survey, await sender.stock())
    await sender.send(uploads)
    if uploads.images:
        await sender.check_all_there()
    await sender.read_back(wanted)
    return _Counts(uploads.images, uploads.size_bytes, uploads.there, uploads.identical)


async def _push_table(
    rows: PushRows, digest: str, store: ObjectStore, target: Target, scratch: Path
) -> None:
    path = scratch / "table.parquet"

    def write() -> None:
        with TableWriter(path, rows, digest) as writer:
            for start, stop in rows.groups():
                writer.write(rows.batch(start, stop))

    await asyncio.to_thread(write)
    await store.upload(target.table_key, path)


async def _push_packed(
    rows: PushRows,
    digest: str,
    state: TableState,
    store: ObjectStore,
    target: Target,
    options: PushOptions,
    scratch: Path,
    tell: Callable[[Step], None],
) -> _Counts:
    readable = rows.survey.rows - rows.survey.unreadable
    if state == "unchanged":
        return _Counts(0, 0, readable)
    path = scratch / "table.parquet"
    await write_packed(path, rows, digest, at_once=options.at_once, tell=tell)
    tell(Step("sending the table", 0, 0, path.stat().st_size))
    await store.upload(target.table_key, path)
    return _Counts(readable, rows.survey.size_bytes, 0)
