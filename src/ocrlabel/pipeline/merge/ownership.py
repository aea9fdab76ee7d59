"""Whose the files are that a run would write: it writes over its own, and over nothing else.

Before a run writes a table it puts that table's sha256 down (`written/`): a table that is there and
is not among them was changed since, or is somebody else's. One that an earlier version wrote does
not say that it was put down: there the run id in the table's metadata decides. run.json tells by
its run id, a report by the one in its head. run.json is also what a run holds its names by: it is
put if absent before anything is paid, beside the tables, where every other run looks.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, TypeAlias

from ocrlabel.dataset.labels_table import is_whole, table_info
from ocrlabel.errors import DatasetError, RunMismatch
from ocrlabel.pipeline.merge.run_record import RUN_RECORD, RunRecord, read_record
from ocrlabel.pipeline.replacement import refuse_if_replaced
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.codec import Damaged
from ocrlabel.pipeline.state.layout import Layout
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted

IMPORTED = "import "
"""How `ocrlabel import` signs a table: it holds what a person corrected, and stays."""
CORRECTED_BY = "corrected_by"
"""A table's word that its run laid corrections on, and how they had been imported."""
PUT_DOWN = "put_down"
"""A table's word that its sha256 was put down before it was written."""
_HEAD_BYTES = 8192
_REPORT = b'<meta name="generator" content="ocrlabel">'
_REPORT_OF = re.compile(rb'<meta name="ocrlabel-run" content="([^"]+)">')
_OTHER_NAMES = ("_failures_partial", "_partial", "_failures")


class Standing(Enum):
    """What there is under the name of a result."""

    ABSENT = auto()
    OURS = auto()
    DESTROYED = auto()
    CORRECTED = auto()
    OTHERS = auto()


Found: TypeAlias = tuple[Standing, str]
"""What there is, and why it is nothing of ours."""


async def own_results(
    run: Run, keys: Collection[str] = (), *, replacing: bool = False
) -> Mapping[str, Standing]:
    """What there is of a run's results, by key. Raises RunMismatch where one is not its own.

    keys: these alone, where nothing is to be written. replacing: also where a person's corrections
    stand in one.
    """
    refused = {Standing.OTHERS, *([Standing.CORRECTED] if replacing else [])}
    for _ in range(2):  # another worker may have put its tables down, and written them, meanwhile
        found = await _find(run, keys)
        lines = [
            f"  {run.runtime.where(key)}: {why}"
            for key, (standing, why) in found.items()
            if standing in refused
        ]
        if not lines:
            return {key: standing for key, (standing, _) in found.items()}
    await refuse_if_replaced(run)  # what is there may be the other's since then
    raise RunMismatch(
        f"{counted(len(lines), 'file')} would be replaced that this run did not write\n"
        + "\n".join(lines)
        + f"\n  write to another --output, or move {'it' if len(lines) == 1 else 'them'} away"
    )


async def refuse_to_begin_afresh(there: Run) -> None:
    """Raise RunMismatch where --fresh would lose what is not its own, or a person's corrections.

    Those that a run has grown with go with it.
    """
    await own_results(replace(there, plan=replace(there.plan, grown=None)), replacing=True)


async def _find(run: Run, keys: Collection[str]) -> dict[str, Found]:
    found = {key: await look(run, key, put_down=True) for key in keys or run.layout.results}
    wrecks = {key: why for key, (one, why) in found.items() if one is Standing.DESTROYED and why}
    if wrecks and not await has_written(run):  # these are somebody else's
        found |= {key: (Standing.OTHERS, why) for key, why in wrecks.items()}
    for key in () if keys else _of_other_runs(run.layout):
        standing, why = await look(run, key)
        if standing is Standing.OTHERS and why.startswith(_OF_RUN):
            found[key] = standing, f"{why}, which writes a table of one of these names"
    return found


async def has_written(run: Run) -> bool:
    """Whether a run has come as far as its tables: a correction in one is then a correction of it.

    Also where it died before its run.json, which says that it is complete.
    """
    return bool([one async for one in run.runtime.store.list(run.keys.merged)])


def _of_other_runs(layout: Layout) -> Iterator[str]:
    """run.json of the runs whose tables would have names of this run's tables."""
    labels = layout.labels_key.removesuffix(".parquet")
    if layout.run_key == f"{labels}_run.json":
        # else it is named after the dataset, and so are those beside it: `train_failures` is one
        for key in (layout.failures_key, layout.partial_labels_key, layout.partial_failures_key):
            yield f"{key.removesuffix('.parquet')}_run.json"
    for ending in _OTHER_NAMES:
        if labels.endswith(ending):
            yield f"{labels.removesuffix(ending).removesuffix('_pseudo_labels')}_run.json"


async def look(run: Run, key: str, *, put_down: bool = False) -> Found:
    """What there is under one of these names.

    put_down: a table has to be one whose sha256 its run put down; else its own word is believed.
    """
    store = run.runtime.store
    sizes = [one.size_bytes async for one in store.list(key) if one.key == key]
    if not sizes:
        return Standing.ABSENT, ""
    if not sizes[0]:
        return Standing.DESTROYED, ""  # there is nothing in it to lose
    is_table = key.endswith(".parquet")

    def run_id(file: BinaryIO) -> str:
        with suppress(DatasetError):
            return table_info(file).get("run_id", "")
        return ""

    def read(file: BinaryIO) -> Found:
        if is_table:
            carried = key == run.layout.labels_key
            return _table(run, file, written, keeps_corrections=carried)
        return _report(run, file) if key.endswith(".html") else _record(run, file)

    try:
        written: Collection[str] | None = None
        # only of the run that it is of: a dataset that has grown a hundred times has as many
        if put_down and is_table and (of := await run.runtime.read_file(key, run_id)) in _own(run):
            tables = store.list(run.layout.of_run(of).tables)
            written = {one.key.rpartition("/")[2] async for one in tables}
        return await run.runtime.read_file(key, read)
    except NotStored:
        return Standing.ABSENT, ""


_OF_RUN = "it is of run "


def _own(run: Run) -> Collection[str]:
    """Its id, and those of the runs that it replaced."""
    return run.plan.run_id, *run.plan.replaces


def _owner(run: Run, run_id: str, otherwise: str) -> Found:
    if run_id in _own(run):
        return Standing.OURS, ""
    return Standing.OTHERS, f"{_OF_RUN}{run_id}" if run_id else otherwise


def _table(
    run: Run, file: BinaryIO, written: Collection[str] | None, *, keeps_corrections: bool
) -> Found:
    try:
        info = table_info(file)
    except DatasetError:
        return Standing.DESTROYED, "it cannot be read as a table"
    run_id = info.get("run_id", "")
    owner = _owner(run, run_id, "it is no table that ocrlabel run wrote")
    if owner[0] is not Standing.OURS:
        return owner
    changed_by = info.get("changed_by", "")
    if keeps_corrections and not run.plan.carries:  # else it has them, and lays them on again
        changed_by = changed_by or info.get(CORRECTED_BY, "")
    by_hand = changed_by.startswith(IMPORTED)
    carried_over = by_hand and keeps_corrections and run_id in run.plan.carries
    if changed_by and not carried_over:
        standing = Standing.CORRECTED if by_hand else Standing.OTHERS
        return standing, f"it was changed by {changed_by}"
    if carried_over or written is None or sha256_of(file) in written:
        return owner
    if not is_whole(file):
        return Standing.DESTROYED, ""
    # of an earlier version, or of a replaced run that is being cleared away: nothing to hold it to
    unproven = PUT_DOWN not in info or (run_id != run.plan.run_id and not written)
    return owner if unproven else (Standing.OTHERS, "it was changed since this run wrote it")


def sha256_of(file: BinaryIO) -> str:
    """The sha256 of a whole file."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # has readinto


def _report(run: Run, file: BinaryIO) -> Found:
    head = file.read(_HEAD_BYTES)
    if _REPORT not in head:
        return Standing.OTHERS, "it is no report of ocrlabel"
    of_run = _REPORT_OF.search(head)
    return _owner(run, of_run[1].decode(), "") if of_run else (Standing.OURS, "")


def _record(run: Run, file: BinaryIO) -> Found:
    try:
        record = RUN_RECORD.read(file.read())
    except Damaged:
        return Standing.DESTROYED, "it is no run.json of ocrlabel"
    if _has_ended_with_nothing(record):
        return Standing.OURS, ""
    return _owner(run, record.run_id, "")


def _has_ended_with_nothing(record: RunRecord) -> bool:
    """Whether it is the last word of a start that stored nothing: that binds nobody."""
    nothing = not record.labelled and not record.account.spent_pages
    return bool(record.reason) and not record.complete and nothing


async def hold_results(run: Run, record: RunRecord) -> None:
    """Hold the names of a run's results for it: run.json, put if absent. Raises RunMismatch.

    Of two runs that come to one name at once, the second is refused.
    """
    key, data = run.layout.run_key, RUN_RECORD.encode(record)
    if not await run.runtime.store.put_if_absent(key, data):
        standing, _ = await look(run, key)
        own = await read_record(run)
        holds = own is not None and not _has_ended_with_nothing(own)
        if not holds and standing is not Standing.OTHERS:
            await run.runtime.store.put(key, data)
    await own_results(run, replacing=not await has_written(run))


async def put_down(run: Run, table: Path) -> None:
    """Put down that the run is about to write this table."""

    def sha256() -> str:
        with table.open("rb") as file:
            return sha256_of(file)

    digest = await asyncio.to_thread(sha256)
    await run.runtime.store.put_if_absent(f"{run.keys.tables}{digest}", b"{}")


async def delete_results_of_replaced(run: Run) -> None:
    """Delete tables, report and run.json where they are those of a run that this one replaced."""
    *earlier, last = run.plan.replaces
    of_last = replace(run, plan=replace(run.plan, run_id=last, replaces=tuple(earlier)))
    every = run.layout.results
    if ours := [key for key in every if (await look(of_last, key))[0] is Standing.OURS]:
        await run.runtime.store.delete(ours)
