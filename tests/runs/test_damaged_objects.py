"""What lies in the run's folders and is not its own, and what was its own and is damaged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from ocrlabel.errors import OcrLabelError, Rejected, RunMismatch
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.status import read_status
from tests.support.clock import run_virtual
from tests.support.faults import DiesAfter, PowerCut
from tests.support.runs import LAYOUT, BillingEngine, Told, go, labels, made, runtime, timeless
from tests.support.stores import DictStore

OPTIONS = Options(batch_size=10, rps=20.0, max_cost=1.0, concurrency=4)
ROWS = made(30, same={7: 3, 25: 4})
KINDS = (
    "plan", "settings", "workers", "leases", "asks", "budget", "journal", "checkpoint",
)  # fmt: skip
HEALED = {"workers", "leases", "asks"}
DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "junk": lambda data: b"\x00\xffjunk",
    "null": lambda data: b"null",
    "a list": lambda data: b"[]",
    "zeros": lambda data: re.sub(rb"[0-9.]+", b"0", data),
    "below zero": lambda data: re.sub(rb"[0-9.]+", b"-1", data),
    "endless": lambda data: re.sub(rb"[0-9.]+", b"1e400", data),
    "no number": lambda data: re.sub(rb"[0-9.]+", b"NaN", data),
}


async def half_done(store):
    """The store of a run whose only worker lost its power in the middle of its second batch."""
    engine = BillingEngine()
    died = DiesAfter(store, 75)
    with pytest.raises(PowerCut):
        await go(died, ROWS, engine, OPTIONS, host="far")
    return engine


def kind_of(key):
    if key == LAYOUT.run_key:
        return "run.json"
    if key == LAYOUT.plan_key:
        return "plan"
    return "checkpoint" if key.endswith(".parquet") else key.split("/")[3]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_object_is_named_and_healed_where_that_is_safe(kind, damage):
    async def story():
        store, told = DictStore(), Told()
        engine = await half_done(store)
        for key in [one for one in store.objects if kind_of(one) == kind]:
            store.objects[key] = DAMAGES[damage](store.objects[key])
        await read_status_or_sentence(store, kind)
        options = Options(batch_size=10) if kind == "settings" else OPTIONS
        try:
            await go(store, ROWS, engine, options, worker="w2", host="near", told=told)
        except OcrLabelError as error:
            return str(error), engine, None
        said = [event.message for event in told.events if isinstance(event, Notice)]
        return "\n".join(said), engine, await labels(store)

    said, engine, rows = run_virtual(story())
    if kind in HEALED:
        assert rows is not None, said
        assert len(rows) == 30
    else:
        assert rows is None
        assert "--fresh" not in said
    assert kind in {kind_of(one) for one in named(said)}
    # of what was in flight when the power went, each may be asked for once more
    assert sum(engine.billed.values()) <= 28 + OPTIONS.concurrency
    assert max(engine.billed.values()) <= 2


def named(said):
    return re.findall(r"dict:/+(\S+) (?:cannot be read|is not a plan)", said)


async def read_status_or_sentence(store, kind):
    """`ocrlabel status` tells how the run stands, or names what it cannot read."""
    said = ""
    try:
        await read_status(runtime(store, "w3", host="near"), LAYOUT, watch_s=1.0)
    except OcrLabelError as error:
        said = str(error)
    assert {kind_of(one) for one in named(said)} <= {kind}


FOREIGN = (".DS_Store", "Thumbs.db", "desktop.ini", "{name}~", ".{name}.swp", "#{name}#", "+1.json",
           "{stem} (conflicted copy).json", "{stem}.sync-conflict-20261128.json", "{stem} 2.json",
           "1_0.json", "{name}.bak", "Icon\r")  # fmt: skip


def test_a_replacement_that_names_its_own_run_is_told_and_nobody_looks_for_ever():
    async def story():
        store = DictStore()
        await go(store, ROWS, BillingEngine(), OPTIONS)
        plan = store.objects[LAYOUT.plan_key]
        await store.put(LAYOUT.successor_key(json.loads(plan)["run_id"]), plan)
        for looks in (
            go(store, ROWS, BillingEngine(), OPTIONS, worker="w2"),
            read_status(runtime(store, "w3"), LAYOUT, watch_s=1.0),
        ):
            with pytest.raises(RunMismatch, match=r"(?s)replaced/.*names run .* move it away"):
                await asyncio.wait_for(looks, 60.0)

    run_virtual(story())


@pytest.mark.parametrize("log", ["settings", "budget"])
def test_a_log_that_lacks_an_entry_is_named(log):
    async def story():
        store = DictStore()
        await half_done(store)
        (first,) = [key for key in store.objects if key.endswith(f"/{log}/000001.json")]
        await store.put(first.replace("000001", "9" * 9), b"{}")
        with pytest.raises(OcrLabelError, match=f"/{log}/"):
            await go(store, ROWS, BillingEngine(), OPTIONS, worker="w2")

    run_virtual(story())


def test_names_that_are_not_ours_are_passed_over_and_told_once():
    async def story():
        store, told, clean = DictStore(), Told(), DictStore()
        engine = await half_done(store)
        foreign = set()
        for key in [one for one in store.objects if kind_of(one) != "run.json"]:
            folder, _, name = key.rpartition("/")
            for form in FOREIGN:
                beside = form.format(name=name, stem=name.removesuffix(".json"))
                foreign.add(f"{folder}/{beside}")
                foreign.add(f"{folder.rpartition('/')[0]}/.DS_Store")
        for key in foreign:
            store.objects[key] = b"not ours"
        await read_status(runtime(store, "w3", host="near"), LAYOUT, watch_s=1.0)
        await go(store, ROWS, engine, OPTIONS, worker="w2", host="near", told=told)
        await go(clean, ROWS, BillingEngine(), OPTIONS)
        assert timeless(await labels(store)) == timeless(await labels(clean))
        assert foreign <= store.objects.keys()
        rest = {
            one for one in store.objects.keys() - foreign if kind_of(one) in {"asks", "journal"}
        }
        assert not rest
        said = [one.message for one in told.events if isinstance(one, Notice)]
        return Counter(one for one in said if "is passed over" in one), foreign

    said, foreign = run_virtual(story())
    assert set(said.values()) == {1}
    assert sum(".DS_Store" in one for one in said) == 1
    assert all(any(key in one for key in foreign) for one in said)


@pytest.mark.parametrize("again", [{"fresh": True}, {"grow": True, "drop_gone": True}])
def test_nothing_that_a_run_wrote_is_called_foreign_and_all_of_it_goes_with_the_run(again):
    async def story():
        store, told = DictStore(), Told()
        first = await go(store, ROWS, BillingEngine(), OPTIONS)
        fewer = made(29) if "grow" in again else ROWS
        options = replace(OPTIONS, **again)
        await go(store, fewer, BillingEngine(), options, worker="w2", told=told)
        said = [one.message for one in told.events if isinstance(one, Notice)]
        left = [key for key in store.objects if f"/{first.record.run_id}/" in key]
        return [one for one in said if "passed over" in one], left

    assert run_virtual(story()) == ([], [])


def test_a_limit_that_cannot_be_read_is_said_again_and_the_run_goes_on():
    async def story():
        store = DictStore()
        engine = await half_done(store)
        key = max(one for one in store.objects if kind_of(one) == "settings")
        store.objects[key] = b""
        with pytest.raises(OcrLabelError, match="which rate and which cap hold is not known"):
            await go(store, ROWS, engine, Options(batch_size=10), worker="w2", host="near")
        await go(store, ROWS, engine, OPTIONS, worker="w3", host="near")
        return len(await labels(store))

    assert run_virtual(story()) == 30


@pytest.mark.parametrize("kind", ["retries", "merged", "leases", "run.json", "workers"])
@pytest.mark.parametrize("after", range(1, 40, 3))
def test_a_retry_round_is_ended_though_its_objects_are_damaged(kind, after):
    failing = True

    def trouble(image, attempt):
        return Rejected("no") if failing and image in {"image 2", "image 14"} else None

    async def story():
        nonlocal failing
        store = DictStore()
        engine = BillingEngine(trouble=trouble)
        await go(store, ROWS, engine, OPTIONS)
        failing = False
        again = replace(OPTIONS, retry_failed=())
        with contextlib.suppress(PowerCut):
            await go(DiesAfter(store, after), ROWS, engine, again, worker="w2", host="far")
        for key in [one for one in store.objects if kind in {kind_of(one), *one.split("/")}]:
            store.objects[key] = b""
        await go(store, ROWS, engine, again, worker="w3", host="near")
        return len(await labels(store)), engine

    rows, engine = run_virtual(story())
    assert rows == 30
    # what was in flight when the power went may be asked for once more, and nothing else
    assert sum(engine.billed.values()) <= 28 + 2
