"""Answers that the store did not take: kept in a file, and taken in by the next start."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import Interrupted, StoreUnavailable
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.status import read_status
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import EveryCall
from tests.support.runs import LAYOUT, BillingEngine, Told, go, labels, made, runtime
from tests.support.stores import DictStore

ROWS = 40
DATASET = made(ROWS)
OPTIONS = Options(batch_size=10, lease_s=6.0, grace_s=4.0, give_up_after=20.0)


class Story:
    """A run whose store goes down 3 s after its start, told step by step."""

    def __init__(self, *folders):
        self.store, self.folders = DictStore(), folders
        self.engine = BillingEngine(latency_s=1.0, lanes=(Lane("key", 6.0),))

    def runtime(self, store=None, worker="w1", told=None, host="here"):
        made = runtime(store or self.store, worker, told, host)
        return replace(made, rescue_folders=tuple(self.folders))

    async def loses_its_store(self, options=OPTIONS, *, signal=True, told=None, host="here"):
        """The last words of a run whose store goes down."""
        stop, began_s = Stop(clock), clock()

        async def meets(number):
            if clock() > began_s + 3.0:
                raise StoreUnavailable("503 SlowDown")

        if signal:
            drain = lambda: stop.drain("stopped by SIGTERM", grace_s=options.grace_s)  # noqa: E731
            asyncio.get_running_loop().call_later(6.0, drain)
        down = EveryCall(self.store, meets)
        with pytest.raises(Interrupted) as ended:
            await go(
                down,
                DATASET,
                self.engine,
                options,
                stop=stop,
                in_runtime=self.runtime(down, told=told, host=host),
            )
        return str(ended.value)

    async def goes_on(self, options=OPTIONS, worker="w2", host="here", store=None):
        told = Told()
        result = await go(
            store or self.store,
            DATASET,
            self.engine,
            options,
            in_runtime=self.runtime(store, worker, told, host),
        )
        notices = [one.message for one in told.events if isinstance(one, Notice)]
        return result.record, [text for text in notices if "rescue" in text]

    @property
    def files(self):
        return sorted(path for folder in self.folders for path in folder.glob("*.rescue"))


def test_the_last_words_name_the_file_and_count_the_answers_and_the_next_start_takes_it_in(
    tmp_path,
):
    async def story():
        run = Story(tmp_path)
        words = await run.loses_its_store()
        (path,) = run.files
        count = path.read_text().count('"t": "labelled"')
        assert count > 1
        assert words.startswith("stopped by SIGTERM\n")
        assert f"{count} answers are not in the store, but in {path}" in words
        assert "all that was answered is saved" not in words
        assert path.stat().st_mode & 0o777 == 0o600
        found = await read_status(run.runtime(worker="w9"), LAYOUT, watch_s=1.0)
        assert [f"{count} answers are in {path}" in one for one in found.rescued] == [True]
        assert run.files == [path]
        record, said = await run.goes_on()
        assert said == [f"{count} answers are taken in from {path}, where another start left them"]
        assert not run.files
        assert len(await labels(run.store)) == ROWS
        return run.engine, record

    engine, record = run_virtual(story())
    assert set(engine.billed.values()) == {1}
    assert record.account.billed_pages == record.account.stored_pages == ROWS
    assert not record.account.at_risk_pages


def test_without_a_signal_it_waits_for_as_long_as_an_outage_may_last_and_sends_nothing(tmp_path):
    async def story():
        run, told = Story(tmp_path), Told()
        began_s = clock()
        words = await run.loses_its_store(signal=False, told=told)
        took_s = clock() - began_s
        sent = run.engine.asked.total()
        assert OPTIONS.give_up_after < took_s < OPTIONS.give_up_after + 25.0
        assert 12 < sent < 30  # 6 a second, for 3 s and until the first put has failed
        assert "the store took no more answers: 503 SlowDown" in words
        assert any(
            "nothing is sent" in one.message for one in told.events if isinstance(one, Notice)
        )
        await run.goes_on()
        return run.engine

    assert set(run_virtual(story()).billed.values()) == {1}


def test_the_first_folder_that_can_be_written_is_taken(tmp_path):
    (tmp_path / "a file").write_text("")
    run = Story(tmp_path / "a file" / "below", tmp_path / "new" / "folder", tmp_path)
    words = run_virtual(run.loses_its_store())
    (path,) = run.files
    assert path.parent == tmp_path / "new" / "folder"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert str(path) in words


def test_where_no_folder_can_be_written_it_says_what_is_paid_twice(tmp_path):
    (tmp_path / "file").write_text("")

    async def story():
        run = Story(tmp_path / "file" / "below")
        words = await run.loses_its_store()
        assert "answers are lost" in words
        assert "Not a directory" in words
        record, _ = await run.goes_on()
        return run.engine, record

    engine, record = run_virtual(story())
    twice = engine.billed.total() - ROWS
    assert twice > 0
    # what was claimed and not sent could not be written down either
    assert twice <= record.account.at_risk_pages["unknown"] < ROWS


def test_in_a_job_it_says_that_the_disk_goes_away(tmp_path):
    words = run_virtual(Story(tmp_path).loses_its_store(replace(OPTIONS, job="job-1")))
    assert "the disk of this machine goes away with the job" in words


def test_a_file_is_deleted_only_once_the_store_has_it(tmp_path):
    class RefusesJournals(DictStore):
        refuses = True

        async def put(self, key, data):
            if "/journal/" in key and self.refuses:
                raise StoreUnavailable("503 SlowDown")
            await super().put(key, data)

    async def story():
        run = Story(tmp_path)
        await run.loses_its_store()
        refusing = RefusesJournals()
        refusing.objects = run.store.objects
        with pytest.raises(StoreUnavailable):
            await run.goes_on(store=refusing)
        assert len(run.files) == 1
        await run.goes_on(worker="w3")
        assert not run.files
        return run.engine

    assert set(run_virtual(story()).billed.values()) == {1}


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def emptied(path):
    path.write_bytes(b"")


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def a_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [flipped, cut, emptied, a_pipe, a_link, a_folder])
def test_a_damaged_or_foreign_file_is_named_and_passed_over(tmp_path, damage):
    async def story():
        run = Story(tmp_path)
        await run.loses_its_store()
        (path,) = run.files
        damage(path)
        _, said = await run.goes_on()
        assert len(said) == 1
        assert said[0].startswith(f"{path} cannot be used, and is passed over: ")
        assert run.files == [path]
        return await labels(run.store)

    assert len(run_virtual(story())) == ROWS


def test_it_is_never_taken_into_another_run_and_after_fresh_it_is_named(tmp_path):
    async def story():
        run = Story(tmp_path)
        await run.loses_its_store()
        (path,) = run.files
        _, said = await run.goes_on(replace(OPTIONS, fresh=True))
        assert [text.startswith(f"{path} is of run ") for text in said] == [True]
        assert run.files == [path]
        other = Story(tmp_path)
        _, said = await other.goes_on()
        assert said == []
        assert run.files == [path]
        return run.engine

    assert max(run_virtual(story()).billed.values()) == 2


@pytest.mark.parametrize("finished", [False, True])
def test_where_another_worker_asked_meanwhile_a_row_is_labelled_once_and_both_are_counted(
    tmp_path, finished
):
    options = replace(OPTIONS, batch_size=ROWS)

    async def story():
        run = Story(tmp_path)
        words = await run.loses_its_store(options, host="a")
        count = int(words.partition(" answers are")[0].rpartition(" ")[2])
        # another machine sees neither the file nor that the worker is dead: it waits, then asks
        run.folders = ()
        await sleep(100.0)
        await run.goes_on(options if finished else replace(options, limit=20), host="b")
        run.folders = (tmp_path,)
        record, said = await run.goes_on(options, worker="w3", host="a")
        return count, record, said, run, await labels(run.store)

    count, record, said, run, rows = run_virtual(story())
    assert len(rows) == len({row.id for row in rows}) == ROWS
    account, billed = record.account, run.engine.billed.total()
    wasted, at_risk = (sum(one.values()) for one in (account.wasted_pages, account.at_risk_pages))
    assert billed == ROWS + count
    assert account.stored_pages == ROWS
    if finished:
        assert ["too late" in text and f"{count} answers are in" in text for text in said] == [True]
        assert len(run.files) == 1
        assert wasted == 0
        assert at_risk >= count
    else:
        assert not run.files
        assert (wasted, at_risk) == (count, 0)
        assert account.billed_pages == billed


def test_a_living_worker_takes_it_in_before_it_asks_again_what_the_other_one_asked(tmp_path):
    living = {"w1": True}

    def on_one_machine(made):
        return replace(made, alive=lambda _pid, _started: living["w1"])

    async def story():
        run = Story(tmp_path)
        plain = run.runtime
        run.runtime = lambda *given, **named: on_one_machine(plain(*given, **named))

        async def first():
            words = await run.loses_its_store()
            living["w1"] = False
            return words

        async def second():
            await sleep(1.0)
            return await run.goes_on()

        return run, *await asyncio.gather(first(), second())

    run, words, (record, said) = run_virtual(story())
    count = int(words.partition(" answers are")[0].rpartition(" ")[2])
    assert count > 1
    assert [f"{count} answers are taken in from" in text for text in said] == [True]
    assert not run.files
    assert set(run.engine.billed.values()) == {1}
    assert record.account.billed_pages == record.account.stored_pages == ROWS
    assert not record.account.at_risk_pages
