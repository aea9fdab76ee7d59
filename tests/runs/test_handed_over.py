"""What is paid for is handed over at every early end: partial tables, or the command for them."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ocrlabel.dataset.labels_table import read_labels
from ocrlabel.engine import Lane
from ocrlabel.errors import (
    BudgetReached,
    ConfigError,
    EngineUnusable,
    Interrupted,
    KeyRefused,
    OcrLabelError,
    Rejected,
    Unavailable,
)
from ocrlabel.options import Options
from ocrlabel.pipeline.merge.partial import HandedOver, write_partial
from ocrlabel.pipeline.replacement import find_run
from ocrlabel.pipeline.retry_rounds import rows_to_retry
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.status import read_status
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, PowerCut
from tests.support.process import Machine, ended, until
from tests.support.runs import LAYOUT, BillingEngine, go, labels, made, runtime
from tests.support.stores import DictStore

TENS = Options(batch_size=10)
SLOW = (Lane("key", 1.0),)
SIX = {f"image {n}" for n in range(7, 13)}


def the_cap(store):
    return go(store, made(50), BillingEngine(), replace(TENS, max_cost=0.018)), BudgetReached


def the_credit(store):
    def trouble(image, attempt):
        return KeyRefused("no credit", status=403) if image > "image 3" else None

    return go(store, made(50), BillingEngine(trouble=trouble, lanes=SLOW), TENS), OcrLabelError


def an_outage(store):
    """The service is away: what is under way hangs until it is given up."""

    class Hangs(BillingEngine):
        async def recognise(self, document, lane):
            if clock() > 1010.0:
                await sleep(self.request_timeout_s)
                raise Unavailable("no answer")
            return await super().recognise(document, lane)

    engine = Hangs(lanes=SLOW)
    return go(store, made(50), engine, replace(TENS, give_up_after=20.0)), OcrLabelError


def a_signal(store):
    stop = Stop(clock)
    asyncio.get_running_loop().call_later(15.0, lambda: stop.drain("stopped", grace_s=25.0))
    return go(store, made(50), BillingEngine(lanes=SLOW), TENS, stop=stop), Interrupted


def after(store, ends):
    """What the error of a run hands over that is ended so, and its run.json."""

    async def story():
        running, error = ends(store)
        with pytest.raises(error) as caught:
            await running
        return caught.value.handed_over

    return run_virtual(story()), json.loads(store.objects[LAYOUT.run_key])


@pytest.mark.parametrize("ends", [the_cap, the_credit, an_outage, a_signal])
def test_partial_tables_hold_all_that_was_answered(ends):
    store = DictStore()
    there, told = after(store, ends)
    assert isinstance(there, HandedOver)
    found = run_virtual(labels(store, LAYOUT.partial_labels_key))
    assert len(found) == told["labelled"] == there.record.labelled > 3
    assert LAYOUT.partial_failures_key in store.objects
    assert LAYOUT.labels_key not in store.objects
    assert told["reason"]
    assert told["reason"] != "a part of the rows"
    assert told["complete"] is False
    run_virtual(go(store, made(50), BillingEngine(), replace(TENS, max_cost=1.0), worker="w2"))
    assert len(run_virtual(labels(store))) == 50
    assert not [key for key in store.objects if "_partial" in key]


def again(store, engine, worker, **more):
    """A run of 20 rows that is to end with 14 of them, and the other six tried again."""
    return go(store, made(20), engine, replace(TENS, **more), worker=worker)


def to_its_cap(store, engine):
    return again(store, engine, "w2", retry_failed=(), max_cost=0.024), BudgetReached


def to_a_kill(store, engine):
    engine.lanes = SLOW
    return again(DiesAfter(store, 18), engine, "w2", retry_failed=()), PowerCut


@pytest.mark.parametrize("ends", [to_its_cap, to_a_kill])
def test_what_a_retry_round_paid_for_before_it_was_ended_is_told_and_handed_over(ends):
    store, told = DictStore(), {}
    engine = BillingEngine(trouble=lambda image, _: Rejected("no") if image in SIX else None)

    async def story():
        await again(store, engine, "w1")
        engine.trouble = lambda *_: None
        running, error = ends(store, engine)
        with pytest.raises(error) as caught:
            await running
        told["handed"] = getattr(caught.value, "handed_over", None)
        told["status"] = await read_status(runtime(store, "w3"), LAYOUT, watch_s=2.0)
        told["plain"] = await again(store, engine, "w4")
        with pytest.raises(ConfigError, match="no such class"):
            await again(store, engine, "w5", retry_failed=("foo",))
        run = await find_run(runtime(store, "w6"), LAYOUT)
        told["left"] = await rows_to_retry(run, ())
        with tempfile.TemporaryDirectory() as scratch:
            told["merged"] = await write_partial(run, made(20), Path(scratch))
        told["partial"] = await labels(store, LAYOUT.partial_labels_key)
        last = await again(store, engine, "w7", retry_failed=(), max_cost=1.0)
        told["last"] = await read_status(runtime(store, "w8"), LAYOUT, watch_s=2.0)
        return last

    last = run_virtual(story())
    paid = len(told["partial"])
    assert 14 < paid < 20
    status, plain = told["status"], told["plain"]
    assert not status.complete
    assert (status.tally.labelled, status.tally.failed) == (14, 6)
    assert status.account.billed_pages == plain.record.account.billed_pages == paid
    assert status.retry == plain.retry
    assert status.retry.startswith(f"{paid - 14} of 6 rows tried again, {paid - 14} labelled: not")
    assert status.left == len(told["left"]) == 20 - paid
    assert told["left"].isdisjoint(int(row.id[2:]) for row in told["partial"])
    assert status.stopped_at_cap is (ends is to_its_cap)
    assert (plain.already, plain.record.labelled) == (True, 14)
    assert told["merged"].labelled == paid
    if ends is to_its_cap:
        assert told["handed"].record.labelled == paid
    assert len(run_virtual(labels(store))) == last.record.labelled == 20
    assert last.record.account.billed_pages == 20
    assert told["last"].complete
    assert not told["last"].retry


class Slow(DictStore):
    """A table takes its time to be uploaded."""

    async def upload(self, key, path):
        await sleep(60.0)
        await super().upload(key, path)


def test_where_the_grace_is_over_the_partial_tables_are_left_to_the_command():
    store = Slow()
    there, _ = after(store, a_signal)
    assert there == HandedOver(None, there.until_s)
    assert LAYOUT.partial_labels_key not in store.objects


def test_on_a_machine_that_goes_away_the_partial_tables_are_left_to_the_command():
    store, stop = DictStore(), Stop(clock)

    def on_spot(store):
        asyncio.get_running_loop().call_later(15.0, lambda: stop.drain("stopped", grace_s=25.0))
        options = replace(TENS, job="a-job")
        return go(store, made(50), BillingEngine(lanes=SLOW), options, stop=stop), Interrupted

    there, _ = after(store, on_spot)
    assert there.record is None
    assert LAYOUT.partial_labels_key not in store.objects


def test_a_job_of_aws_batch_that_reaches_its_cap_hands_over_as_any_run():
    def in_a_job(store):
        options = replace(TENS, max_cost=0.018, job="a-job")
        return go(store, made(50), BillingEngine(), options), BudgetReached

    store = DictStore()
    there, told = after(store, in_a_job)
    assert there.record.labelled == told["labelled"]
    assert len(run_virtual(labels(store, LAYOUT.partial_labels_key))) == told["labelled"] > 3


def test_a_run_that_has_nothing_yet_hands_nothing_over():
    def at_once(store):
        engine = BillingEngine(trouble=lambda *_: KeyRefused("no credit", status=403))
        return go(store, made(5), engine, TENS), EngineUnusable

    there, _ = after(DictStore(), at_once)
    assert there is None


def test_in_a_fleet_only_the_last_worker_writes_partial_tables():
    store, engine = DictStore(), BillingEngine(lanes=SLOW)

    async def stopped(n, at_s):
        stop = Stop(clock)
        asyncio.get_running_loop().call_later(at_s, lambda: stop.drain("stopped", grace_s=25.0))
        with pytest.raises(Interrupted) as caught:
            await go(store, made(90), engine, TENS, worker=f"w{n}", host=f"h{n}", stop=stop)
        return caught.value.handed_over

    async def story():
        return await asyncio.gather(stopped(1, 20.0), stopped(2, 40.0))

    first, last = run_virtual(story())
    assert first is None
    assert last.record.labelled == len(run_virtual(labels(store, LAYOUT.partial_labels_key)))


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(40):
        page = Image.new("RGB", (200, 100), "white")
        ImageDraw.Draw(page).text((10, 10), f"page {number}", fill="black")
        page.save(tmp_path / f"images/{number}.png")
    return Machine(tmp_path)


RUN = ("run", "images/", "--engine", "scripted", "--processes", "2")
SLOWLY = {"OCRLABEL_LATENCY": "0.5"}


@pytest.mark.parametrize("grace", ["25", "0"])
def test_the_last_words_name_the_partial_tables_or_the_command_for_them(machine, grace):
    folder = machine.home
    process = machine.start(*RUN, OCRLABEL_GRACE_S=grace, OCRLABEL_REPORT="true", **SLOWLY)
    until(lambda: len(list(folder.glob("checkpoints/labels/*/journal/*/*"))) > 3 or process.poll())
    process.send_signal(signal.SIGINT)
    ran = ended(process)
    assert ran.status == 75
    if grace == "0":
        (line,) = [line for line in ran.err.splitlines() if "ocrlabel merge" in line]
        command = shlex.split(line)
        assert command[:3] == ["ocrlabel", "merge", "images/"]
        assert machine.run(*command[1:]).status == 0
    else:
        assert "labels_partial.parquet, labels_failures_partial.parquet" in ran.err
        assert "labels_report_partial.html" in ran.err
        assert (folder / "labels_report_partial.html").is_file()
    assert len(list(read_labels(folder / "labels_partial.parquet"))) >= 3
    assert machine.run(*RUN).status == 0
    assert not list(folder.glob("*partial*"))


def test_the_words_of_a_run_name_the_same_run_after_merge(machine):
    partly = ("images/", "--engine", "scripted", "--checkpoint-prefix", "kept", "--limit", "5")
    assert machine.run("run", *partly).status == 0
    (machine.home / "labels_partial.parquet").unlink()
    ran = machine.run("merge", *partly, "--partial")
    assert ran.status == 0, ran.err
    assert len(list(read_labels(machine.home / "labels_partial.parquet"))) == 5
