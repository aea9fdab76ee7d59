"""`--grow`: an input that has grown goes on in the same place, and no answer is asked for twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrlabel.dataset.checkpoint_table import decode_checkpoint
from ocrlabel.dataset.labels_table import read_labels, table_info, write_changed
from ocrlabel.engine import Lane
from ocrlabel.errors import BudgetReached, Rejected, RunMismatch, Unavailable, Unreadable
from ocrlabel.labels import FailureClass, ImageRef, Labelled, Page, Word
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.merge.inherited import ids_before
from ocrlabel.pipeline.outcome import image_key
from ocrlabel.pipeline.replacement import find_run
from ocrlabel.pipeline.state.journal import decode_records
from ocrlabel.pipeline.state.rescue import write_rescue
from tests.runs.test_fresh import FallsAsleep
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, Frozen, PowerCut
from tests.support.runs import LAYOUT, BillingEngine, Told, failures, go, labels, runtime, timeless
from tests.support.stores import DictStore

FULL = os.environ.get("OCRLABEL_CAMPAIGN") == "full"  # noqa: TID251 -- the tests' own shell
TENS = Options(batch_size=10)
GROW = replace(TENS, grow=True)
DROP = replace(GROW, drop_gone=True)


@dataclass
class Folder:
    """Files by name, in the order of their names, as a folder is read."""

    files: dict[str, bytes]

    @property
    def names(self):
        return sorted(self.files)

    @property
    def rows(self):
        return len(self.files)

    @property
    def fingerprint(self):
        told = "|".join(f"{name} {len(self.files[name])}" for name in self.names)
        return hashlib.sha256(told.encode()).hexdigest()

    def describe(self):
        return "images/"

    def refs(self, start, stop):
        return [ImageRef(start + n, name, name) for n, name in enumerate(self.names[start:stop])]

    async def read(self, ref):
        if not self.files[ref.id]:
            raise Unreadable("empty", failure=FailureClass.EMPTY)
        return self.files[ref.id]

    def looked(self, ref):
        return [ref.path]


def folder(*numbers, **more):
    return Folder({f"{n:03d}.png": f"image {n}".encode() for n in numbers} | more)


async def correct(store, ids, key=LAYOUT.labels_key):
    """As `ocrlabel import` does: the words of these pages are a person's now."""

    def corrected(row):
        if row.id not in ids:
            return row
        words = (Word(f"{row.image_sha256[:6]} by hand", row.words[0].polygon, None),)
        return replace(row, words=words, source="coco")

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "labels.parquet"
        await store.download(key, path)
        rows = [corrected(row) for row in read_labels(path)]
        write_changed(path, rows, source=path, changed_by="import coco")
        await store.upload(key, path)


async def holding(store):
    return (await find_run(runtime(store), LAYOUT)).plan


def shown(rows):
    return [(row.id, row.image_sha256, row.words, row.source) for row in rows]


def test_a_folder_that_has_grown_goes_on_in_its_place_and_pays_for_what_is_new():
    store, engine = DictStore(), BillingEngine()

    async def story():
        first = await go(store, folder(*range(25)), engine, TENS)
        with pytest.raises(RunMismatch) as refused:
            await go(store, folder(*range(26)), engine, TENS, worker="w2")
        grown = await go(store, folder(*range(26)), engine, GROW, worker="w2")
        again = await go(store, folder(*range(26)), engine, TENS, worker="w3")
        return first, str(refused.value), grown, again

    first, refused, grown, again = run_virtual(story())
    assert "25 rows of that run still there\n  1 new: 025.png\n  0 gone\n" in refused
    assert "add --grow to go on here" in refused
    assert engine.asked == Counter(f"image {n}" for n in range(26))
    assert grown.record.run_id != first.record.run_id
    assert again.already
    assert grown.record.growth == {
        "kept": 25, "new": 1, "changed": 0, "gone": 0, "corrected": 0, "corrections_left": 0,
        "billed_pages_before": 25,
    }  # fmt: skip
    account = grown.record.account
    assert (account.billed_pages, account.stored_pages) == (26, 26)
    assert account.model_versions == {"billing-1": 26}
    other, whole = DictStore(), BillingEngine()
    run_virtual(go(other, folder(*range(26)), whole, TENS))
    assert timeless(run_virtual(labels(store))) == timeless(run_virtual(labels(other)))


def test_a_table_that_was_corrected_before_its_run_could_say_it_was_done_keeps_the_correction():
    async def killed_at(write):
        store, engine = DictStore(), BillingEngine()
        with contextlib.suppress(PowerCut):
            await go(DiesAfter(store, write, "before"), folder(*range(14)), engine, TENS)
        told = json.loads(store.objects.get(LAYOUT.run_key, b"{}"))
        if LAYOUT.labels_key not in store.objects or told.get("complete"):
            return False
        await correct(store, ["003.png"])
        await sleep(400)
        ended = await go(store, folder(*range(14)), engine, TENS, worker="w2")
        assert ended.record.complete
        assert [row.id for row in await labels(store) if row.source == "coco"] == ["003.png"]
        return True

    assert sum(run_virtual(killed_at(write)) for write in range(30, 80)) > 0


def answered_in(store):
    """What images have an answer, anywhere in the store."""
    found = set()
    for key, data in store.objects.items():
        if "/journal/" in key:
            records = decode_records(data, where=key)
        elif "_batch_" in key or "/carried/answers/" in key:
            records = [row.outcome for row in decode_checkpoint(data, where=key)[0]]
        else:
            continue
        found |= {one.raw.decode() for one in records if isinstance(one, Labelled)}
    return found


class AsksOnce(BillingEngine):
    """Fails the test where an image is asked for whose answer was durable when power last went."""

    def __init__(self, **more):
        super().__init__(**more)
        self.answered = set()

    async def recognise(self, document, lane):
        assert document.data.decode() not in self.answered
        return await super().recognise(document, lane)


def rows(images):
    """Rows that are called by their numbers, of images with one letter each."""
    return {f"row-{number}": image for number, image in enumerate(images)}


def laid_on(corrections, files):
    """The corrections that hold for these files; of one whose bytes are elsewhere now, there."""
    kept = {}
    for name, data in corrections.items():
        names = [other for other in files if files[other] == data]
        if name in names:
            names = [name]
        kept |= dict.fromkeys(
            (one for one in names if one == name or corrections.get(one) != data), data
        )
    return kept


async def expected(files, corrections, trouble):
    store = DictStore()
    await go(store, Folder(files), BillingEngine(trouble=trouble), TENS)
    if corrections:
        await correct(store, corrections)
    return shown(timeless(await labels(store))), await failures(store)


def refuses_7(image, attempt):
    return Rejected("refused") if image == "image 7" else None


class Life:
    """A dataset that grows in one place, with what a user may do to it, and what must come of it."""

    def __init__(self):
        self.store, self.engine = DictStore(), AsksOnce(trouble=refuses_7)
        self.fails = refuses_7
        self.files, self.corrections, self.merged = {}, {}, False
        self.worker = 1

    async def start(self, cut_at=None, when="before", options=DROP):
        """One start, that may be killed; whether it ended well."""
        self.worker += 1
        before = self.table_of()
        store = self.store if cut_at is None else DiesAfter(self.store, cut_at, when)
        try:
            ended = await go(
                store, Folder(dict(self.files)), self.engine, options, worker=f"w{self.worker}"
            )
        except PowerCut:
            # it may have died with its labels table written: what is left out of that is left out
            if self.table_of() != before:
                self.corrections = laid_on(self.corrections, self.files)
            return None
        finally:
            self.engine.answered |= answered_in(self.store)
            if self.merged:
                assert LAYOUT.labels_key in self.store.objects
                assert LAYOUT.failures_key in self.store.objects
        self.merged = True
        self.corrections = laid_on(self.corrections, self.files)
        return ended

    def table_of(self):
        """The run whose labels table there is."""
        table = self.store.objects.get(LAYOUT.labels_key)
        return table and table_info(io.BytesIO(table))["run_id"]

    async def correct(self, names):
        if self.merged:
            table = {row.id: row.image_sha256 for row in await labels(self.store)}
            names = [
                name
                for name in names
                if table.get(name) == hashlib.sha256(self.files.get(name, b"")).hexdigest()
            ]
            await correct(self.store, names)
            self.corrections |= {name: self.files[name] for name in names}

    async def check(self):
        ended = await self.start()
        found = shown(timeless(await labels(self.store))), await failures(self.store)
        assert found == await expected(self.files, self.corrections, self.fails)
        account = ended.record.account
        assert account.billed_pages <= self.engine.billed.total() <= account.spent_pages
        assert ended.record.rows == len(self.files)
        again = await self.start(options=TENS)
        assert again.already


def edited(files, add=(), remove=(), change=(), rename=(), swap=()):
    """Files after a user was at them; one is always left."""
    more = {f"{n:03d}.png": f"image {n}".encode() for n in add}
    found = more | {name: data for name, data in files.items() if int(name[:3]) not in remove}
    found |= {name: data + b"!" for name, data in found.items() if int(name[:3]) in change and data}
    for n in rename:
        if (data := found.pop(f"{n:03d}.png", None)) is not None:
            found[f"{n:03d}.moved.png"] = data
    there = [name for n in swap if (name := f"{n:03d}.png") in found]
    found |= {name: found[other] for name, other in zip(there, there[1:] + there[:1], strict=True)}
    return found or files


NUMBERS = st.lists(st.integers(0, 20), max_size=5)
CUTS = st.none() | st.tuples(st.integers(1, 120), st.sampled_from(["before", "after"]))
EDITED = ("add", "remove", "change", "rename", "swap")
EDITS = st.fixed_dictionaries(dict.fromkeys((*EDITED, "correct"), NUMBERS))


@pytest.mark.timeout(3000 if FULL else 300)
@settings(max_examples=400 if FULL else 20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(EDITS, CUTS), min_size=1, max_size=6))
def test_however_it_grows_it_ends_as_one_run_over_the_last_state_with_the_corrections(steps):
    async def story():
        life = Life()
        life.files = folder(*range(14)).files | {"090.png": b""}
        await life.start()
        for edit, cut in steps:
            await life.correct([f"{n:03d}.png" for n in edit["correct"]])
            life.files = edited(life.files, *(edit[name] for name in EDITED))
            await life.start(*(cut or ()))
            await sleep(400)
        await life.check()

    run_virtual(story())


async def finished(life):
    await life.start()
    await life.correct(["001.png", "002.png", "003.png", "004.png"])


async def stopped(life):
    await life.start(60)
    assert not life.merged


async def in_a_retry(life):
    await life.start()
    life.engine.trouble = lambda image, attempt: None
    await life.start(7, options=replace(TENS, retry_failed=()))
    life.engine.trouble = refuses_7


async def answered_in_a_retry(life):
    await life.start()
    life.engine.trouble = life.fails = lambda image, attempt: None
    await life.start(9, options=replace(TENS, retry_failed=()))
    assert "image 7" in life.engine.answered


async def grown(life):
    await finished(life)
    life.files = edited(life.files, add=[30, 31], remove=[5])
    await life.start()


async def stopped_grown(life):
    await finished(life)
    life.files = edited(life.files, add=range(30, 50))
    await life.start(50)
    assert (await holding(life.store)).grown


BEFORE = [finished, stopped, in_a_retry, answered_in_a_retry, grown, stopped_grown]


@pytest.mark.campaign
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("before", BEFORE, ids=lambda one: one.__name__)
def test_the_power_may_go_at_every_write_of_the_succession_and_after(before, when):
    async def story(cut_at):
        life = Life()
        life.files = folder(*range(24)).files
        await before(life)
        await sleep(400)
        life.files = edited(
            life.files, add=[5, 25, 26], remove=[0, 1], change=[2, 11], rename=[3, 12]
        )
        ended = await life.start(cut_at, when)
        await sleep(400)
        await life.check()
        return ended is not None

    # a sample takes other writes in each case
    cut_at = 1 if FULL else 1 + 2 * BEFORE.index(before) + (when == "after")
    while not run_virtual(story(cut_at)):
        cut_at += 1 if FULL else 17
    assert cut_at > 40


def test_an_image_that_changed_behind_its_name_and_size_is_seen_and_asked_for():
    store, engine = DictStore(), BillingEngine()
    other = folder(
        *range(25), **{"007.png": b"IMAGE 7", "008.png": b"image 9", "009.png": b"image 8"}
    )

    async def story():
        await go(store, folder(*range(25)), engine, TENS)
        await correct(store, ["008.png", "011.png"])
        same = await go(store, folder(*range(25)), engine, GROW, worker="w2")
        grown = await go(store, other, engine, GROW, worker="w3")
        again = await go(store, other, engine, GROW, worker="w4")
        rows = {row.id: (row.words[0].text, row.source) for row in await labels(store)}
        return same, grown, again, rows

    same, grown, again, rows = run_virtual(story())
    assert other.fingerprint == folder(*range(25)).fingerprint
    assert (same.already, again.already) == (True, True)
    assert engine.asked == Counter([*(f"image {n}" for n in range(25)), "IMAGE 7"])
    assert (grown.record.growth["changed"], grown.record.growth["corrected"]) == (3, 2)
    assert rows["007.png"][0] == "IMAGE 7"
    assert {name for name, (_, source) in rows.items() if source == "coco"} == {
        "009.png",
        "011.png",
    }


def test_an_image_that_cannot_be_read_now_has_not_changed_and_takes_no_label_away():
    class Unmounted(Folder):
        async def read(self, ref):
            raise Unreadable("no such file", failure=FailureClass.NOT_FOUND)

    async def story():
        store = DictStore()
        await go(store, folder(*range(12)), BillingEngine(), TENS)
        away = Unmounted(folder(*range(12)).files)
        ended = await go(store, away, BillingEngine(), GROW, worker="w2")
        return ended.already, len(await labels(store))

    assert run_virtual(story()) == (True, 12)


def test_rows_that_are_gone_need_a_word_of_their_own_and_their_answers_come_back_for_nothing():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, folder(*range(12)), engine, TENS)
        with pytest.raises(RunMismatch) as refused:
            await go(store, folder(*range(2, 13)), engine, GROW, worker="w2")
        assert len(await labels(store)) == 12
        fewer = await go(store, folder(*range(2, 13)), engine, DROP, worker="w3")
        assert len(await labels(store)) == 11
        for worker in ("w4", "w5"):  # whatever is grown in between
            fewer = await go(store, folder(*range(2, 13 + int(worker[1]))), engine, DROP)
        await go(store, folder(*range(20)), engine, GROW, worker="w6")
        return str(refused.value), fewer

    refused, fewer = run_virtual(story())
    assert "2 gone: 000.png, 001.png" in refused
    assert "add --grow --drop-gone to go on here" in refused
    assert set(engine.asked.values()) == {1}
    assert fewer.record.growth["gone"] == 0


def test_of_two_workers_that_saw_different_folders_one_goes_on_and_the_other_is_told_the_names():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, folder(*range(10)), engine, TENS)
        await sleep(400)
        ends = await asyncio.gather(
            go(store, folder(*range(11)), engine, GROW, worker="w2", host="one"),
            go(store, folder(*range(10), 20), engine, GROW, worker="w3", host="two"),
            return_exceptions=True,
        )
        late = go(store, folder(*range(10), 20), engine, GROW, worker="w4", host="two")
        ends += await asyncio.gather(late, return_exceptions=True)
        return ends

    first, second, late = run_virtual(story())
    winner, refused = (first, second) if isinstance(second, RunMismatch) else (second, first)
    new, gone = ("020", "010") if winner is first else ("010", "020")
    assert winner.record.rows == 11
    assert f"1 new: {new}.png\n  1 gone: {gone}.png" in str(refused)
    assert isinstance(late, RunMismatch) == (winner is first)
    assert set(engine.asked.values()) == {1}


@pytest.mark.parametrize("apart_s", [0.0, 0.03, 1.0, 5.0])
def test_workers_that_saw_the_same_folder_grow_it_once_and_work_together(apart_s):
    store, engine = DictStore(), BillingEngine()

    async def late(n):
        await sleep(n * apart_s)
        worker = f"w{n + 2}"
        return await go(store, folder(*range(40)), engine, GROW, worker=worker, host=worker)

    async def story():
        await go(store, folder(*range(10)), engine, TENS)
        await sleep(400)
        return {end.record.run_id for end in await asyncio.gather(*map(late, range(3)))}

    assert len(run_virtual(story())) == 1
    assert set(engine.asked.values()) == {1}


def test_it_is_refused_while_a_worker_of_the_old_run_lives_and_nothing_is_touched():
    store, engine = DictStore(), BillingEngine(lanes=(Lane("key", 0.2, None),))

    async def story():
        at_work = asyncio.ensure_future(
            go(store, folder(*range(60)), engine, TENS, worker="w1", host="there")
        )
        await sleep(60)
        before = await holding(store)
        with pytest.raises(RunMismatch, match="--grow is refused while workers") as refused:
            await go(store, folder(*range(61)), engine, GROW, worker="w2")
        assert " new or not reached before: " in str(refused.value)
        assert await holding(store) == before
        return await at_work

    assert run_virtual(story()).record.rows == 60


def test_what_the_run_before_was_billed_counts_under_the_cap_and_its_cap_still_holds():
    store = DictStore()
    lost = BillingEngine(trouble=lambda *_: Unavailable("cut", status=None))
    engine = BillingEngine()
    capped = replace(TENS, max_cost=20 * 0.0015)

    async def story():
        with pytest.raises(PowerCut):  # with some requests that nobody saw the end of
            await go(DiesAfter(store, 30), folder(*range(8)), lost, replace(capped, attempts=1))
        await sleep(400)
        with pytest.raises(BudgetReached) as ended:
            await go(store, folder(*range(30)), engine, GROW, worker="w2")
        return ended.value, json.loads(store.objects[LAYOUT.run_key])

    ended, record = run_virtual(story())
    before = record["account"]["requests"].get("unknown", 0) + lost.asked.total()
    assert "the cap of 20 pages" in str(ended)
    assert 20 - before <= engine.billed.total() <= 20 - lost.asked.total()
    assert record["account"]["billed_pages"] == engine.billed.total()
    assert sum(record["account"]["at_risk_pages"].values()) == 20 - engine.billed.total()


class WhileCarried(DictStore):
    """Has a worker of the old run finish it once, right when its answers have been carried."""

    def __init__(self):
        super().__init__()
        self.meanwhile = None

    async def put_if_absent(self, key, data):
        if key.endswith("/carried/listing.json") and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile
        return await super().put_if_absent(key, data)


def test_what_the_old_run_is_answered_while_it_is_carried_is_carried_too():
    store, engine = WhileCarried(), BillingEngine()

    async def story():
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 40), folder(*range(60)), engine, TENS)
        before = set(engine.asked)
        await sleep(400)
        store.meanwhile = go(store, folder(*range(60)), engine, TENS, worker="w9")
        ended = await go(store, folder(*range(61)), engine, GROW, worker="w2")
        assert store.meanwhile is None
        return before, ended.record

    before, record = run_virtual(story())
    assert record.labelled == 61
    after = {image: times for image, times in engine.asked.items() if image not in before}
    assert len(after) > 10
    assert set(after.values()) == {1}


def test_corrections_are_carried_and_told_where_they_no_longer_fit():
    store, engine, told = DictStore(), BillingEngine(), Told()

    async def story():
        await go(store, folder(*range(12)), engine, TENS)
        await correct(store, ["001.png", "002.png", "003.png"])
        await go(
            store,
            Folder(edited(folder(*range(13)).files, change=[2], rename=[3])),
            engine,
            DROP,
            worker="w2",
            told=told,
        )
        first = {row.id for row in await labels(store) if row.source == "coco"}
        del store.objects[LAYOUT.labels_key]
        again = await go(
            store, Folder(edited(folder(*range(13)).files, change=[2], rename=[3])), engine
        )
        return first, {row.id for row in await labels(store) if row.source == "coco"}, again

    first, remade, again = run_virtual(story())
    assert first == remade == {"001.png", "003.moved.png"}
    texts = [one.message for one in told.events if isinstance(one, Notice)]
    assert any("corrections of 1 page are left out" in text and "002.png" in text for text in texts)
    assert again.record.growth["corrections_left"] == 1


def test_corrections_of_rows_that_are_called_by_their_numbers_go_with_the_images():
    def rows(*images):
        return Folder({f"row-{n}": f"image {image}".encode() for n, image in enumerate(images)})

    async def story():
        store, engine = DictStore(), BillingEngine()
        await go(store, rows("A", "B", "C"), engine, TENS)
        await correct(store, ["row-1"])
        before = {row.id: row.words for row in await labels(store)}
        grown = await go(store, rows("D", "A", "B", "C"), engine, GROW, worker="w2")
        after = {row.id: row.words for row in await labels(store) if row.source == "coco"}
        fewer = await go(store, rows("B", "C"), engine, DROP, worker="w3")
        last = {row.id: row.words for row in await labels(store) if row.source == "coco"}
        return before["row-1"], after, last, grown.record.growth, fewer.record.growth, engine

    words, after, last, grown, fewer, engine = run_virtual(story())
    assert (after, last) == ({"row-2": words}, {"row-0": words})
    assert (grown["corrected"], grown["corrections_left"]) == (1, 0)
    assert (fewer["corrected"], fewer["corrections_left"]) == (1, 0)
    assert set(engine.asked.values()) == {1}


@pytest.mark.parametrize(
    ("before", "now", "corrected", "expected"),
    [
        ({"a": "A"}, {"a": "A", "b": "A"}, "a", {"a": "a"}),
        ({"a": "A", "b": "B"}, {"a": "B", "b": "A"}, "ab", {"a": "b", "b": "a"}),
        ({"a": "A", "b": "A"}, {"b": "A", "c": "A"}, "ab", {"b": "b", "c": "a"}),
        ({"a": "A", "b": "A"}, {"b": "A", "c": "A"}, "a", {"b": "a", "c": "a"}),
        ({"a": "A", "b": "A"}, {"c": "A"}, "b", {"c": "b"}),
        ({"a": "A"}, {"a": "B"}, "a", {}),
        (rows("AAB"), rows("CAAB"), ("row-1",), {"row-1": "row-0", "row-2": "row-1"}),
        (rows("AAB"), rows("AABA"), ("row-1",), {"row-0": "row-0", "row-1": "row-1"}),
        (rows("AA"), rows("CAAA"), ("row-0", "row-1"), {}),
        (rows("AAB"), rows("AB"), ("row-0", "row-2"), {"row-1": "row-2"}),
    ],
)
def test_a_row_is_known_again_by_its_bytes_and_among_equal_ones_by_its_id_or_its_order(
    before, now, corrected, expected
):
    assert ids_before(before, now, corrected) == expected


def test_two_corrected_rows_of_one_image_each_keep_their_own_correction():
    def csv(images):
        return Folder({id_: f"image {image}".encode() for id_, image in rows(images).items()})

    async def story():
        store, engine = DictStore(), BillingEngine()
        await go(store, csv("ABBC"), engine, TENS)
        await correct(store, ["row-2"])
        one = await go(store, csv("DABBC"), engine, GROW, worker="w2")
        moved = {row.id for row in await labels(store) if row.source == "coco"}
        return moved, one.record.growth

    moved, growth = run_virtual(story())
    assert moved == {"row-3"}
    assert (growth["corrected"], growth["corrections_left"]) == (1, 0)


def test_corrections_made_while_the_new_run_is_at_it_are_carried_too():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, folder(*range(12)), engine, TENS)
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 25), folder(*range(40)), engine, GROW, worker="w2")
        assert (await holding(store)).grown
        assert len(await labels(store)) == 12
        await correct(store, ["005.png"])
        await go(store, folder(*range(40)), engine, TENS, worker="w3")
        return {row.id for row in await labels(store) if row.source == "coco"}

    assert run_virtual(story()) == {"005.png"}


def test_a_table_that_was_changed_otherwise_is_named_before_anything_is_put():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, folder(*range(12)), engine, TENS)
        before = await holding(store)
        store.objects[LAYOUT.labels_key] = filtered(store.objects[LAYOUT.labels_key])
        with pytest.raises(RunMismatch, match="ocrlabel filter"):
            await go(store, folder(*range(13)), engine, GROW, worker="w2")
        assert await holding(store) == before

    run_virtual(story())


def filtered(data):
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "labels.parquet"
        path.write_bytes(data)
        write_changed(path, list(read_labels(path))[1:], source=path, changed_by="ocrlabel filter")
        return path.read_bytes()


def test_answers_in_a_rescue_file_of_the_run_before_are_taken_in(tmp_path):
    store, engine = DictStore(), AsksOnce()
    one, two = tmp_path / "one", tmp_path / "two"

    def on(folder, worker, at=store):
        return replace(runtime(at, worker), rescue_folders=(folder,))

    async def story():
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 60), folder(*range(30)), engine, TENS)
        run = replace(await find_run(runtime(store), LAYOUT), options=TENS)
        left = sorted({f"image {n}" for n in range(30)} - answered_in(store))
        here, there = left[:2], left[2:4]
        for at, images in ((one, here), (two, there)):
            in_runtime = replace(run, runtime=on(at, "w1"))
            await write_rescue(
                in_runtime.round(), [(int(image[6:]) // 10, answer_of(image)) for image in images]
            )
        engine.answered = {*answered_in(store), *here, *there}
        await sleep(400)
        grown, dies = folder(*range(33)), DiesAfter(store, 9, "after")
        with pytest.raises(PowerCut):  # taken over on one machine, gone on with on the other
            await go(store, grown, engine, GROW, in_runtime=on(one, "w2", dies))
        assert (await holding(store)).grown
        return await go(store, grown, engine, TENS, in_runtime=on(two, "w3"))

    assert run_virtual(story()).record.labelled == 33
    assert not [*one.iterdir(), *two.iterdir()]


def answer_of(image):
    sha256 = hashlib.sha256(image.encode()).hexdigest()
    page = Page(1, 100, 50, (Word(image, ((0, 0), (10, 0), (10, 5), (0, 5)), 0.9),), 0.9)
    return Labelled(
        ordinal=int(image[6:]),
        id=f"{int(image[6:]):03d}.png",
        key=image_key(sha256, "billing", {}),
        sha256=sha256,
        pages=(page,),
        engine="billing",
        model_version="billing-1",
        at_s=1.0,
        billed_pages=1,
        raw=image.encode(),
    )


def test_a_run_that_grew_and_did_nothing_yet_is_replaced_by_nobody_without_a_word():
    class Free(BillingEngine):
        def parse(self, raw, document):
            return replace(super().parse(raw, document), billed_pages=0)

    store, engine = DictStore(), Free(price_per_page_usd=0.0)

    async def story():
        await go(store, folder(*range(10)), engine, TENS)
        for cut_at in range(1, 30):
            with contextlib.suppress(PowerCut):
                await go(DiesAfter(store, cut_at), folder(*range(11)), engine, GROW, worker="w2")
            if (await holding(store)).grown:
                break
        with pytest.raises(RunMismatch, match=r"1 gone: 010\.png"):
            await go(store, folder(*range(10)), engine, TENS, worker="w3")
        await go(store, folder(*range(11)), engine, TENS, worker="w4")

    run_virtual(story())
    assert set(engine.asked.values()) == {1}


def test_fresh_after_growth_pays_for_everything_again_and_leaves_nothing_of_it():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, folder(*range(10)), engine, TENS)
        await go(store, folder(*range(11)), engine, GROW, worker="w2")
        await sleep(4000)
        await go(store, folder(*range(11)), engine, replace(TENS, fresh=True), worker="w3")

    run_virtual(story())
    assert engine.asked["image 0"] == 2
    assert not [key for key in store.objects if "/carried/" in key]


@pytest.mark.parametrize("limit", [None, 3], ids=["finished", "begun"])
def test_fresh_is_refused_where_it_would_lose_corrections_that_were_carried(limit):
    store, engine = DictStore(), BillingEngine()
    fresh = replace(TENS, fresh=True)

    async def story():
        await go(store, folder(*range(10)), engine, TENS)
        await correct(store, ["003.png"])
        await go(store, folder(*range(11)), engine, replace(GROW, limit=limit), worker="w2")
        await sleep(4000)
        before, there = store.objects[LAYOUT.labels_key], await holding(store)
        with pytest.raises(RunMismatch, match="changed by import coco"):
            await go(store, folder(*range(11)), engine, fresh, worker="w3")
        assert await holding(store) == there
        assert store.objects.pop(LAYOUT.labels_key) == before  # moved away
        await go(store, folder(*range(11)), engine, fresh, worker="w4")

    run_virtual(story())
    assert engine.asked["image 0"] == 2


class Listing(DictStore):
    """Counts its lists."""

    lists = 0

    async def list(self, prefix):
        self.lists += 1
        async for stored in super().list(prefix):
            yield stored


def test_what_the_runs_before_left_is_listed_once_and_no_more():
    store, lists = Listing(), []

    async def story():
        for n in range(10, 16):
            before = store.lists
            await go(store, folder(*range(n)), BillingEngine(), GROW, worker=f"w{n}")
            lists.append(store.lists - before)

    run_virtual(story())
    more = [later - earlier for earlier, later in pairwise(lists[2:])]
    assert more == [1, 1, 1]


def test_failures_for_good_are_carried_and_tried_again_when_that_is_asked_for():
    store, engine = DictStore(), BillingEngine(trouble=refuses_7)

    async def story():
        await go(store, folder(*range(10)), engine, TENS)
        await correct(store, ["001.png"])
        grown = await go(store, folder(*range(11)), engine, GROW, worker="w2")
        assert (engine.asked["image 7"], grown.record.failed) == (1, 1)
        engine.trouble = lambda image, attempt: None
        again = replace(TENS, retry_failed=())
        retried = await go(store, folder(*range(11)), engine, again, worker="w3")
        rows = {row.id: row.source for row in await labels(store)}
        return retried, rows

    retried, rows = run_virtual(story())
    assert (retried.record.failed, engine.asked["image 7"]) == (0, 2)
    assert [name for name, source in rows.items() if source == "coco"] == ["001.png"]
    assert retried.record.growth["kept"] == 10


def test_the_rate_of_a_run_that_grew_is_that_of_its_own_requests():
    store, engine = DictStore(), BillingEngine(lanes=(Lane("key", 1.0, None),))

    async def story():
        await go(store, folder(*range(20)), engine, TENS)
        await sleep(10_000)
        return await go(store, folder(*range(40)), engine, GROW, worker="w2")

    assert run_virtual(story()).record.requests_per_s == pytest.approx(1.0, abs=0.4)


def test_where_machines_may_differ_it_works_as_the_run_before_did():
    class OfARuntime(BillingEngine):
        def join(self, options):
            self.options = options

    store = DictStore()
    one = OfARuntime(name="rapidocr", options={"runtime": "1.0"})
    two = OfARuntime(name="rapidocr", options={"runtime": "2.0"})

    async def story():
        await go(store, folder(*range(10)), one, TENS)
        await go(store, folder(*range(11)), two, GROW, worker="w2")

    run_virtual(story())
    assert two.asked == {"image 10": 1}


def test_another_engine_or_option_is_no_growth():
    store = DictStore()

    async def story():
        await go(store, folder(*range(10)), BillingEngine(), TENS)
        other = BillingEngine(options={"model": "other"})
        with pytest.raises(RunMismatch, match="option model") as refused:
            await go(store, folder(*range(11)), other, GROW, worker="w2")
        assert "--grow" not in str(refused.value)

    run_virtual(story())


def test_an_earlier_version_refuses_a_plan_that_has_grown():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, folder(*range(10)), engine, TENS)
        plain = await holding(store)
        await go(store, folder(*range(11)), engine, GROW, worker="w2")
        return plain, await holding(store)

    plain, grown = run_virtual(story())
    assert (plain.format, grown.format) == (1, 2)
    assert grown.carries == (plain.run_id,)


@pytest.mark.parametrize("asleep_from_s", [1000.5, 1002.0, 1002.001, 1002.1])
def test_whoever_merges_the_old_run_late_leaves_the_tables_as_they_are(asleep_from_s):
    store, engine = DictStore(), BillingEngine()

    async def story():
        asleep = Frozen(store, from_s=asleep_from_s, to_s=asleep_from_s + 3000)
        zombie = asyncio.ensure_future(
            go(asleep, folder(*range(10)), engine, TENS, worker="w1", host="there")
        )
        await sleep(1000)
        await go(store, folder(*range(11)), engine, GROW, worker="w2")
        table = store.objects[LAYOUT.labels_key]
        with contextlib.suppress(RunMismatch):  # it had merged before it fell asleep
            await zombie
        assert store.objects[LAYOUT.labels_key] == table

    run_virtual(story())


@pytest.mark.parametrize("same", [True, False], ids=["the same folder", "another folder"])
def test_who_sleeps_through_two_growths_takes_nothing_back_and_asks_for_nothing(same):
    async def story(n):
        life = Life()
        life.files = folder(*range(12)).files
        await finished(life)
        await sleep(400)
        asleep = FallsAsleep(life.store, n, until_s=clock() + 5000.0)
        seen = folder(*range(14)) if same else folder(*range(13), 20)
        sleeper = asyncio.ensure_future(
            go(asleep, seen, life.engine, DROP, worker="w90", host="asleep")
        )
        await sleep(1000)
        for rows in (14, 16):
            life.files = folder(*range(rows)).files
            await life.start()
            await sleep(1000)
        table = life.store.objects[LAYOUT.labels_key]
        with contextlib.suppress(RunMismatch):
            await sleeper
        if life.store.objects[LAYOUT.labels_key] == table:
            await life.check()
        else:  # it saw two files less, and came last: all that it was told to drop is gone
            assert not same or (await holding(life.store)).rows == seen.rows
        return asleep.calls

    for n in (*range(1, 60, 1 if FULL else 6), 80):
        run_virtual(story(n))
