"""An input that has grown: what of it is kept, new, changed and gone, and what is carried over.

`--grow` puts a new run in the place of the one before, as `--fresh` does (`join_plan`); but first
it brings all answers of that run, wherever they lie, under its own id (`state/carried.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ocrlabel.dataset.checkpoint_table import check_whole
from ocrlabel.errors import ImageError
from ocrlabel.labels import ImageRef, Labelled, readable
from ocrlabel.pipeline.budget.account import Account, of_outcomes
from ocrlabel.pipeline.budget.attempts import KnownAttempts
from ocrlabel.pipeline.merge.run_record import is_complete, read_record
from ocrlabel.pipeline.merge.usage import merged_rounds, unattributed_usage
from ocrlabel.pipeline.plan import (
    GROWN_FORMAT,
    Grown,
    Plan,
    differences,
    has_grown,
    refuse_other,
)
from ocrlabel.pipeline.retry_rounds import rounds_begun
from ocrlabel.pipeline.run_context import Round, Run, RunInput
from ocrlabel.pipeline.state.carried import (
    LISTING,
    SHA256_DIGITS,
    Listing,
    add_answered,
    carried_keys,
    carried_objects,
    carry,
    carry_outcomes,
    known_at,
    known_of,
    read_listing,
)
from ocrlabel.pipeline.state.checkpoint import CheckpointMeta, Checkpoints, checkpoint_metas
from ocrlabel.pipeline.state.journal import journal_objects, read_journal
from ocrlabel.pipeline.state.rescue import take_in
from ocrlabel.pipeline.workers.limits import take_over_limits
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted

_NAMED = 5
_READ_ROWS = 500
_READ_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class InputChange:
    """How an input differs from that of the run before, by the ids of its rows.

    before: the first digits of the sha256 of its rows, "" where nobody knows them; answered: its
    image keys with an answer, each with the class of a failure, "" for a label. unnamed: rows that
    are gone, and were never reached.
    """

    before: dict[str, str]
    answered: dict[str, str]
    ids: list[str]
    new: list[str]
    gone: list[str]
    unnamed: int
    or_not_reached: str = ""

    @property
    def gone_rows(self) -> int:
        """How many rows are gone."""
        return len(self.gone) + self.unnamed

    @property
    def listing(self) -> Listing:
        """As the run that grows keeps it."""
        return Listing({id_: self.before.get(id_) for id_ in self.ids}, self.gone_rows)

    @property
    def lines(self) -> str:
        """What differs, for a reader."""
        return (
            f"  {counted(len(self.ids) - len(self.new), 'row')} of that run still there\n"
            f"  {len(self.new):,} new{self.or_not_reached}{_names(self.new)}\n"
            f"  {self.gone_rows:,} gone{_names(self.gone)}\n"
        )

    @property
    def way(self) -> str:
        """How to go on with it, for a reader."""
        return way_on(gone=self.gone_rows > 0)


def way_on(*, gone: bool = False) -> str:
    """How to go on with an input that has grown, for a reader. gone: rows of it are."""
    flags, leaves = "--grow", ""
    if gone:
        flags, leaves = "--grow --drop-gone", "; rows that are gone leave the tables"
    new = "only images that are new or changed are asked for"
    return f"  add {flags} to go on here: what was answered is kept, {new}{leaves}\n"


def _names(ids: Sequence[str]) -> str:
    more = ", ..." if len(ids) > _NAMED else ""
    return f": {', '.join(map(readable, ids[:_NAMED]))}{more}" if ids else ""


async def look_at_input(there: Run, dataset: RunInput) -> InputChange:
    """How the input differs from what a run has of it."""
    before: dict[str, str] = {}
    answered: dict[str, str] = {}
    if there.plan.grown:
        before = {id_: sha256 or "" for id_, sha256 in (await read_listing(there)).rows.items()}
        answered |= await carried_keys(there)
    metas = await checkpoint_metas(there)
    for place in sorted(metas):
        known = await known_at(there, there.layout.checkpoint_key(*place))
        before |= {one.id: one.sha256[:SHA256_DIGITS] for one in known}
        add_answered(answered, known)
    for batch in range(there.plan.batches):
        if (batch, 0) not in metas:
            for one in (await read_journal(there.round(), batch)).outcomes.values():
                before[one.id] = one.sha256[:SHA256_DIGITS]
                add_answered(answered, [known_of(one)])
    ids: list[str] = []
    for at in range(0, dataset.rows, _READ_ROWS):
        ids += [ref.id for ref in await asyncio.to_thread(dataset.refs, at, at + _READ_ROWS)]
    here = set(ids)
    new = [id_ for id_ in ids if id_ not in before]
    gone = [id_ for id_ in before if id_ not in here]
    unread = there.plan.rows - len(before)
    unnamed, words = max(0, unread - len(new)), " or not reached before" if unread > 0 else ""
    return InputChange(before, answered, ids, new, gone, unnamed, words)


async def has_changed(there: Run, wanted: Plan, dataset: RunInput) -> bool:
    """Whether an input is not what a run has of it.

    Where a finished run has the same names and sizes, every image is read until one has other
    bytes: a scanner's are all of one size.
    """
    if has_grown(there.plan, wanted):
        return True
    if differences(there.plan, wanted) or not await is_complete(there):
        return False
    text = "names and sizes are as they were: reading the images to see whether one has changed"
    there.runtime.tell("grow", text)
    before = (await look_at_input(there, dataset)).before
    for at in range(0, dataset.rows, _READ_AT_ONCE):
        refs = await asyncio.to_thread(dataset.refs, at, at + _READ_AT_ONCE)
        if any(await asyncio.gather(*(_is_other(ref, before, dataset) for ref in refs))):
            return True
    return False


async def _is_other(ref: ImageRef, before: Mapping[str, str], dataset: RunInput) -> bool:
    known = before.get(ref.id)
    if not known:
        return False
    try:
        data = await dataset.read(ref)
    except ImageError:
        return False  # of a disk that is not there nothing is known
    return not hashlib.sha256(data).hexdigest().startswith(known)


async def refuse_other_run(there: Run, wanted: Plan, dataset: RunInput, *, where: str) -> None:
    """Raise RunMismatch where the run that is there is another one; of another input, name rows."""
    change = ""
    if has_grown(there.plan, wanted):
        with contextlib.suppress(NotStored):  # it is being replaced
            found = await look_at_input(there, dataset)
            change = found.lines + found.way
    refuse_other(there.plan, wanted, where=where, change=change)


def grown_out_of(there: Run, wanted: Run) -> Run:
    """The run that a start wants, as the one that has grown out of the run there.

    Its id follows from that run and from the input: whoever sees the same comes to the same.
    """
    made_of = f"{there.plan.run_id} {wanted.plan.fingerprint}"
    plan = replace(
        wanted.plan,
        run_id=hashlib.sha256(made_of.encode()).hexdigest()[:12],
        options=there.plan.options,  # where machines may differ too: image keys are made of them
        batch_rows=wanted.options.batch_size or there.plan.batch_rows,
        grown=Grown((*there.plan.carries, there.plan.run_id)),
        replaces=(*there.plan.replaces, there.plan.run_id),
        format=GROWN_FORMAT,
    )
    return replace(wanted, plan=plan)


async def carry_over(there: Run, grown: Run, change: InputChange) -> Run:
    """Bring all that a run has under the id of the one that takes its place, which is returned."""
    record = await read_record(there)
    complete = record is not None and record.complete
    await take_in(there, merged_round=record.retries if record and complete else -1)
    await take_over_limits(grown, there)
    paid = await _carry_answers(there, grown)
    store = grown.runtime.store
    # if absent: whoever is late may find the run before cleared away, and writes over nothing
    await store.put_if_absent(grown.keys.listing, LISTING.encode(change.listing))
    with contextlib.suppress(NotStored):
        data = await store.get(there.keys.corrected)
        await store.put_if_absent(grown.keys.corrected, data)
    # which model read them, the answers tell by themselves
    of = replace(grown.plan.grown or Grown(()), paid=replace(paid, model_versions={}))
    return replace(grown, plan=replace(grown.plan, grown=of))


async def _carry_answers(there: Run, grown: Run) -> Account:
    """Carry every answer; all that the run asked for, and those before it, however it ended."""
    runtime = there.runtime
    metas, merged = await checkpoint_metas(there), await merged_rounds(there)
    account = sum((usage.account for usage in merged.values()), there.plan.paid_before)
    carried: set[str] = set()
    for place, meta in sorted(metas.items()):
        account += meta.account
        key = there.layout.checkpoint_key(*place)
        data = await runtime.store.get(key)
        check_whole(data, where=runtime.where(key))
        await carry(grown, data)
        carried |= {one.key for one in await known_at(there, key) if one.answered}
    for number in {*range(1 + await rounds_begun(there))} - merged.keys():
        account += await _carry_round(there.round(number), grown, metas, carried)
    if there.plan.grown:
        async for key, known in carried_objects(there):
            if any(one.answered and one.key not in carried for one in known):
                await carry(grown, await runtime.store.get(key))
    return account


async def _carry_round(
    round_: Round, grown: Run, metas: Mapping[tuple[int, int], CheckpointMeta], carried: set[str]
) -> Account:
    """Carry what of a round that is not merged is in no checkpoint, and count what it asked for.

    carried: the image keys that were, to which these are added.
    """
    account, ended = Account(), KnownAttempts()
    of_round = {batch: meta for (batch, of), meta in metas.items() if of == round_.number}
    in_checkpoints = {batch: meta.journal_objects for batch, meta in of_round.items()}
    for batch in in_checkpoints:
        for key, attempts in await Checkpoints(round_).attempts(batch):
            ended.add(key, attempts)
    for batch, objects in sorted((await journal_objects(round_)).items()):
        if objects <= in_checkpoints.get(batch, 0):
            continue
        journal = await read_journal(round_, batch)
        found = [*journal.settled().values()]
        if batch not in in_checkpoints:  # else what came late is counted as that
            account += of_outcomes(found)
            for one in found:
                ended.add(one.key, one.attempts)
        answers = [
            one
            for one in found
            if known_of(one).answered
            # of a label that was asked for a failure may be carried: it is from before a retry
            and ((isinstance(one, Labelled) and not one.copied) or one.key not in carried)
        ]
        await carry_outcomes(grown, answers)
        carried |= {one.key for one in answers}
    return account + (await unattributed_usage(round_, in_checkpoints, ended)).account
