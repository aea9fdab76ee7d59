"""`--dry-run`: what a run would do, take and cost. Reads; sends and writes nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

from ocrlabel.cli import wiring
from ocrlabel.cli.settings import Keys
from ocrlabel.dataset.sources import ImageDataset
from ocrlabel.engine import Engine
from ocrlabel.engines.children import ChildPool, usable_cores
from ocrlabel.engines.image_workers import image_inspector
from ocrlabel.errors import ImageError
from ocrlabel.images.limits import LOCAL_LIMITS, ImageLimits
from ocrlabel.labels import FailureClass, ImageRef, Labelled, Outcome
from ocrlabel.options import PRICE_DATE, PRICE_PER_PAGE_USD, PRICE_SOURCE, Options
from ocrlabel.pipeline import growth, join_plan, outcome, preflight, replacement, retry_rounds
from ocrlabel.pipeline.merge.ownership import refuse_to_begin_afresh
from ocrlabel.pipeline.merge.run_record import is_complete
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.progress import read_progress
from ocrlabel.pipeline.requests.image_reader import Reuse
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.selection import Selection, select
from ocrlabel.pipeline.state import carried
from ocrlabel.pipeline.state.checkpoint import Checkpoints, checkpoint_metas
from ocrlabel.pipeline.state.journal import read_journal
from ocrlabel.pipeline.workers.limits import RunLimits, limits_of
from ocrlabel.wording import counted, duration, grown, usd

_AT_ONCE = 8
_AS_OF = f": {PRICE_SOURCE}, {PRICE_DATE}"
_NO_KEY = {"UPSTAGE_API_KEY": "none-is-needed-to-price"}
_S_PER_PAGE = {"rapidocr": 2.0, "tesseract": 1.0}
"""On one core of 2026, over photographed, scanned and printed pages; benchmarks/local_engine.py
measures it anew (0.55 images/s for rapidocr on one thread, 1.0 for tesseract). A page may take a
quarter of it or five times as much: it follows from size and number of words."""
_ENOUGH_PAGES = 5


async def tell_estimate(source: str, place: wiring.Place, options: Options, keys: Keys) -> None:
    """Print the estimate. Raises ConfigError where the run would before its first request."""
    retry_rounds.checked_classes(options.retry_failed or ())
    chosen = _chosen(options, keys)
    print(chosen.why)
    with closing(await wiring.open_source(source, options, keys)) as dataset:
        print(f"input             {wiring.input_line(dataset)}")
        selection = select(
            dataset.rows, limit=options.limit, sample=options.sample, seed=options.seed
        )
        before = await _done_before(place, dataset, chosen, options, selection)
        if chosen.notice and not before.rows:
            print(f"note              {chosen.notice}")
        if done := before.rows:
            again = "it is not done again" if len(done) == 1 else "they are not done again"
            print(f"done before       {counted(len(done), 'row')}; {again}")
        selected = {*selection.within(range(dataset.rows))}
        ordinals = sorted(before.again | selected - done)
        if not ordinals:
            print("left              nothing")
            return
        if not done:
            await preflight.refuse_without_images(dataset)
        reuse = wiring.earlier_labels(options, chosen)
        paid = chosen.engine.price_per_page_usd > 0
        limits = ImageLimits(max_pages=chosen.engine.max_pages) if paid else LOCAL_LIMITS
        inspector = image_inspector(limits, parallel=options.processes or usable_cores())
        try:
            seen = await _look_through(dataset, ordinals, chosen.engine, reuse, before, inspector)
        finally:
            await inspector.close()
    for name, value in _found_rows(seen, options, chosen, before):
        print(f"{name:<18}{value}")
    print(f"output            {place.shown(place.layout.labels_key)}")


def _chosen(options: Options, keys: Keys) -> wiring.Chosen:
    """The engine of the run; what upstage costs is known without a key."""
    named = ("UPSTAGE_API_KEYS", "UPSTAGE_API_KEY", "AWS_SECRET_ARN")
    if options.engine != "upstage" or any(map(keys.get, named)):
        return wiring.choose_engine(options, keys)
    chosen = wiring.choose_engine(options, replace(keys, variables={**keys.variables, **_NO_KEY}))
    return replace(chosen, why=f"{chosen.why}; no key is set: the run will need UPSTAGE_API_KEY")


def _found_rows(
    seen: _Seen, options: Options, chosen: wiring.Chosen, before: _Before
) -> Iterator[tuple[str, str]]:
    yield "images", f"{seen.readable:,} readable, {counted(seen.pages, 'page')}"
    if seen.answered:
        again = "it is" if seen.answered == 1 else "they are"
        yield "answered", f"{counted(seen.answered, 'image')}; {again} not asked for again"
    if seen.reused:
        yield "reused", f"{counted(seen.reused, 'image')}, from {options.reuse_from}"
    if seen.copies:
        yield "copies", f"{counted(seen.copies, 'image')}; the same bytes are read once"
    if seen.unreadable:
        shown = ", ".join(f"{name} {count:,}" for name, count in seen.unreadable.most_common())
        yield "unreadable", f"{seen.unreadable.total():,} ({shown})"
    if change := before.grown:
        yield "grown", grown({**seen.rows, "gone": change.gone_rows})
        if change.gone_rows and not options.drop_gone:
            yield "note", f"rows are gone ({', '.join(change.gone[:3])}): the run needs --drop-gone"
    yield from _cost_rows(seen, options, chosen, before)


def _cost_rows(
    seen: _Seen, options: Options, chosen: wiring.Chosen, before: _Before
) -> Iterator[tuple[str, str]]:
    pages, price_usd = seen.new_pages, chosen.engine.price_per_page_usd
    if not price_usd:
        other = f"{usd(pages * options.price_per_page)} without VAT"
        paid = f"; --engine upstage would take {other}" if options.engine == "auto" else ""
        yield "price", f"nothing: this engine reads on this machine{paid}"
        if pages and (line := time_line(chosen.engine, pages, before.pace)):
            yield "time", line
        return
    as_of = _AS_OF if price_usd == PRICE_PER_PAGE_USD else ""
    yield "price", f"{usd(pages * price_usd)} without VAT ({price_usd:g} USD per page{as_of})"
    holding = before.limits.hold_for(options)
    rate = holding.rps or sum(lane.requests_per_s or 0.0 for lane in chosen.engine.lanes)
    if rate:
        yield "time", f"{duration(seen.to_send / rate)} at {rate:g} requests/s"
    spent, cap_usd = before.spent_pages * price_usd, holding.max_cost
    if cap_usd is not None and spent + pages * price_usd > cap_usd:
        gone = f" after {usd(spent)} that are spent" if spent else ""
        yield "cap", f"{usd(cap_usd)} will not be enough{gone} (exit 5)"


async def _done_before(
    place: wiring.Place,
    dataset: ImageDataset,
    chosen: wiring.Chosen,
    options: Options,
    selection: Selection,
) -> _Before:
    """What is there of this run. Raises RunMismatch where `run` would."""
    runtime = wiring.make_runtime(place.store, lambda _: None)
    run = await replacement.find_run(runtime, place.layout)
    if run is None or options.fresh:
        new = Plan("dry-run", place.layout.dataset, "", "", dataset.rows, chosen.engine.name)
        await refuse_to_begin_afresh(run or Run(runtime, place.layout, new))
        return _Before()
    plan = run.plan
    here = replace(
        plan,
        source=dataset.describe(),
        fingerprint=dataset.fingerprint,
        rows=dataset.rows,
        engine=chosen.engine.name,
        options=dict(chosen.engine.options),
    )
    if await join_plan.binds_nobody(run, replace(run, plan=here, options=options)):
        return _Before()
    # after a part nothing is tried again
    retries = options.retry_failed if selection.everything(dataset.rows) else None
    classes = frozenset[str]() if retries is None else retry_rounds.checked_classes(retries)
    if options.grow and await growth.has_changed(run, here, dataset):
        change, spent = await growth.look_at_input(run, dataset), (await read_progress(run)).account
        return _Before(
            limits=await limits_of(run),
            spent_pages=spent.spent_pages,
            grown=change,
            answered=_but_failed(change.answered, classes),
        )
    await growth.refuse_other_run(run, here, dataset, where=place.shown(place.layout.labels_key))
    complete, metas = await is_complete(run), await checkpoint_metas(run)
    done, again, answered = set[int](), set[int](), dict[str, str]()
    if not complete and plan.grown:
        answered |= await carried.carried_keys(run)
    pace = Pace()
    for batch in range(plan.batches):
        whole = plan.batch_range(batch)
        if (batch, 0) in metas:
            if not pace.pages:
                rows = await Checkpoints(run.round()).read(batch)
                pace = pace.and_of(row.outcome for row in rows)
            if complete:
                done.update(whole)
                continue
            known = await carried.known_at(run, run.layout.checkpoint_key(batch, 0))
            settled = dict(zip(whole, known, strict=True))
        else:
            outcomes = (await read_journal(run.round(), batch)).outcomes
            settled = {ordinal: carried.known_of(one) for ordinal, one in outcomes.items()}
            pace = pace.and_of(outcomes.values())
        done |= settled.keys()
        again |= {ordinal for ordinal, one in settled.items() if one.failure in classes}
        # in the run itself, a failure that may pass is copied as well
        carried.add_answered(
            answered, (replace(one, answered=bool(one.key)) for one in settled.values())
        )
    if complete and options.retry_failed is not None:
        again = await retry_rounds.rows_to_retry(run, options.retry_failed)
    return _Before(
        frozenset(done - again),
        pace,
        await limits_of(run),
        (await read_progress(run)).account.spent_pages,
        again=frozenset(again),
        answered=_but_failed(answered, classes),
    )


def _but_failed(answered: Mapping[str, str], classes: Collection[str]) -> frozenset[str]:
    """The image keys with an answer, but for those whose failure will be tried again."""
    return frozenset(key for key, failure in answered.items() if failure not in classes)


@dataclass(slots=True)
class _Seen:
    """What there is to do. new_pages: of images that nothing earlier and no copy answers for."""

    readable: int = 0
    pages: int = 0
    to_send: int = 0
    new_pages: int = 0
    answered: int = 0
    reused: int = 0
    copies: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)


async def _look_through(
    dataset: ImageDataset,
    ordinals: list[int],
    engine: Engine,
    reuse: Reuse | None,
    before: _Before,
    inspector: ChildPool[bytes, int],
) -> _Seen:
    """What an image is answered by without a request: this run, an earlier table, or a copy."""
    seen, known = _Seen(), set[bytes]()  # of a million images; their hex would take twice as much
    listing = before.grown.listing if before.grown else carried.Listing()
    for start in range(0, len(ordinals), 500):
        some = ordinals[start : start + 500]
        wanted = set(some)
        refs = [ref for ref in dataset.refs(some[0], some[-1] + 1) if ref.ordinal in wanted]
        for at in range(0, len(refs), _AT_ONCE):
            some_refs = refs[at : at + _AT_ONCE]
            looks = (_look(dataset, ref, inspector) for ref in some_refs)
            for ref, (sha256, pages) in zip(some_refs, await asyncio.gather(*looks), strict=True):
                seen.rows[listing.said_of(ref.id, sha256)] += 1
                if isinstance(pages, FailureClass):
                    seen.unreadable[pages.value] += 1
                    continue
                seen.readable += 1
                seen.pages += pages
                if outcome.image_key(sha256, engine.name, engine.options) in before.answered:
                    seen.answered += 1
                elif reuse is not None and reuse(sha256) is not None:
                    seen.reused += 1
                elif (digest := bytes.fromhex(sha256)) in known:
                    seen.copies += 1
                else:
                    known.add(digest)
                    seen.to_send += 1
                    seen.new_pages += pages
    return seen


async def _look(
    dataset: ImageDataset, ref: ImageRef, inspector: ChildPool[bytes, int]
) -> tuple[str, int | FailureClass]:
    """The sha256 of the bytes, "" where there are none; and their pages, or why none is read."""
    sha256 = ""
    try:
        data = await dataset.read(ref)
        sha256 = hashlib.sha256(data).hexdigest()
        return sha256, await inspector.run(data)
    except ImageError as error:
        return sha256, error.failure


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that a page took, over so many pages that were read before."""

    took_s: float = 0.0
    pages: int = 0

    def and_of(self, outcomes: Iterable[Outcome]) -> Pace:
        """With what these outcomes tell; copies were not read."""
        read = [one for one in outcomes if isinstance(one, Labelled) and one.latency_s > 0]
        return Pace(
            self.took_s + sum(one.latency_s for one in read if not one.copied),
            self.pages + sum(len(one.pages) for one in read if not one.copied),
        )


@dataclass(frozen=True, slots=True)
class _Before:
    """What an earlier part of this run settled, took and spent, and what holds for the rest.

    again: rows that failed and will be tried once more. answered: keys of images that will not.
    """

    rows: frozenset[int] = frozenset()
    pace: Pace = field(default_factory=Pace)
    limits: RunLimits = field(default_factory=RunLimits)
    spent_pages: int = 0
    grown: growth.InputChange | None = None
    again: frozenset[int] = frozenset()
    answered: frozenset[str] = frozenset()


def time_line(engine: Engine, pages: int, earlier: Pace) -> str:
    """How long so many pages will take; "" where nothing tells."""
    processes = min(engine.parallel or 1, usable_cores())
    if earlier.pages >= _ENOUGH_PAGES:
        per_page_s = earlier.took_s / earlier.pages
        why = f"as the {earlier.pages:,} pages that are done took"
    elif engine.name in _S_PER_PAGE:
        per_page_s = _S_PER_PAGE[engine.name]
        why = "a rule of thumb: big and dense pages take longer; --sample 20 measures it"
    else:
        return ""
    whole = duration(pages * per_page_s / min(processes, pages))
    return f"about {whole} on {counted(processes, 'core')} ({per_page_s:.1f} s a page, {why})"
