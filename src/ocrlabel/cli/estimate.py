"""`--dry-run`: what a run would do, take and cost. Reads; sends and writes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ocrlabel.cli.input_line import input_line
from ocrlabel.cli.local_pace import Pace, time_line
from ocrlabel.cli.settings import PRICE_SOURCE, Keys, Settings
from ocrlabel.cli.tallying import shown_duration
from ocrlabel.cli.wiring import Chosen, Place, choose_engine, make_world
from ocrlabel.errors import ImageError
from ocrlabel.labels import FailureClass, ImageRef
from ocrlabel.pipeline.agree import existing_plan
from ocrlabel.pipeline.plan import refuse_other
from ocrlabel.pipeline.preflight import absent_images, no_images
from ocrlabel.pipeline.saved.checkpoint import Checkpoints
from ocrlabel.pipeline.saved.journal import BatchView, refresh
from ocrlabel.pipeline.selection import select
from ocrlabel.wording import counted

if TYPE_CHECKING:
    from ocrlabel.dataset.inputs.sources import Dataset

_AT_ONCE = 8


async def tell_estimate(source: str, place: Place, settings: Settings, keys: Keys) -> None:
    """Print the estimate."""
    from ocrlabel.cli.labelling import open_source

    chosen = choose_engine(settings, keys)
    print(chosen.why)
    if notice := getattr(chosen.engine, "notice", ""):
        print(notice)
    dataset = await open_source(source, settings, keys)
    try:
        print(f"input             {input_line(dataset)}")
        before = _Before() if settings.fresh else await _done_before(place, dataset, chosen)
        if done := before.rows:
            again = "it is not done again" if len(done) == 1 else "they are not done again"
            print(f"done before       {counted(len(done), 'row')}; {again}")
        selected = select(
            dataset.rows, limit=settings.limit, sample=settings.sample, seed=settings.seed
        )
        ordinals = [row for row in selected.within(range(dataset.rows)) if row not in done]
        if not ordinals:
            print("left              nothing")
            return
        looked_at, absent = await absent_images(dataset)
        if absent and len(absent) == looked_at:
            print(f"images            {no_images(looked_at, absent)}")
            return
        pages, unreadable = await _look_through(dataset, ordinals)
    finally:
        dataset.close()
    readable = len(ordinals) - unreadable.total()
    print(f"images            {readable:,} readable, {counted(pages, 'page')}")
    if unreadable:
        shown = ", ".join(f"{name} {count:,}" for name, count in unreadable.most_common())
        print(f"unreadable        {unreadable.total():,} ({shown})")
    price_usd = chosen.engine.price_per_page_usd
    print(f"output            {place.shown(place.layout.labels_key)}")
    if price_usd:
        print(f"price             {pages * price_usd:.2f} USD ({PRICE_SOURCE})")
        rate = settings.rps or sum(lane.requests_per_s or 0.0 for lane in chosen.engine.lanes)
        if rate:
            seconds = readable / rate
            print(f"time              {shown_duration(seconds)} at {rate:g} requests/s")
    else:
        print("price             nothing: this engine reads on this machine")
        if pages and (line := time_line(chosen.engine, pages, before.pace)):
            print(f"time              {line}")
    if settings.max_cost is not None and pages * price_usd > settings.max_cost:
        print(f"cap               {settings.max_cost:.2f} USD will not be enough (exit 5)")


@dataclass(frozen=True, slots=True)
class _Before:
    """What an earlier part of this run settled, and how long it took."""

    rows: frozenset[int] = frozenset()
    pace: Pace = field(default_factory=Pace)


async def _done_before(place: Place, dataset: Dataset, chosen: Chosen) -> _Before:
    """What is there of this run. Raises RunMismatch where `run` would."""
    world = make_world(place.store, lambda _: None)
    plan = await existing_plan(world, place.layout)
    if plan is None:
        return _Before()
    here = replace(
        plan,
        source=dataset.describe(),
        fingerprint=dataset.fingerprint,
        rows=dataset.rows,
        engine=chosen.engine.name,
        options=dict(chosen.engine.options),
    )
    refuse_other(plan, here, where=place.shown(place.layout.labels_key))
    keys = place.layout.of_run(plan.run_id)
    checkpoints = Checkpoints(world, place.layout, plan)
    metas = await checkpoints.survey()
    done: set[int] = set()
    pace = Pace()
    for batch in range(plan.batches):
        if (batch, 0) in metas:
            done.update(plan.batch_range(batch))
            if not pace.pages:
                pace = pace.and_of(row.outcome for row in await checkpoints.read(batch))
        else:
            view = BatchView()
            await refresh(world, keys, batch, view)
            done.update(view.outcomes)
            pace = pace.and_of(view.outcomes.values())
    return _Before(frozenset(done), pace)


async def _look_through(dataset: Dataset, ordinals: list[int]) -> tuple[int, Counter[str]]:
    """Pages of all readable images, and the unreadable ones by class."""
    unreadable: Counter[str] = Counter()
    pages = 0
    for start in range(0, len(ordinals), 500):
        some = ordinals[start : start + 500]
        wanted = set(some)
        refs = [ref for ref in dataset.refs(some[0], some[-1] + 1) if ref.ordinal in wanted]
        for at in range(0, len(refs), _AT_ONCE):
            looks = (_look(dataset, ref) for ref in refs[at : at + _AT_ONCE])
            for found in await asyncio.gather(*looks):
                if isinstance(found, FailureClass):
                    unreadable[found.value] += 1
                else:
                    pages += found
    return pages, unreadable


async def _look(dataset: Dataset, ref: ImageRef) -> int | FailureClass:
    from ocrlabel.dataset.pixels.images import inspect
    from ocrlabel.dataset.pixels.limits import Limits

    try:
        data = await dataset.read(ref)
        facts = await asyncio.to_thread(inspect, data, Limits())
    except ImageError as error:
        return error.failure
    return facts.page_count
