"""What `ocrlabel aws submit` says of a dataset before a job is what the job's worker would do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from ocrlabel.cli.aws_join import look
from ocrlabel.cli.wiring import Labelling, Place
from ocrlabel.errors import ConfigError, RunMismatch
from ocrlabel.options import Options
from tests.support.clock import run_virtual
from tests.support.runs import LAYOUT, BillingEngine, go, made
from tests.support.stores import DictStore

BEGUN_BY = Options(batch_size=10, job="job-1")
ROWS = 30


@dataclass
class Bucket:
    """A bucket with a run in it, and what was told."""

    store: DictStore = field(default_factory=DictStore)
    told: list[str] = field(default_factory=list)

    def labels(self, rows=ROWS, options=BEGUN_BY, *, absent=(), engine=None, worker="w1"):
        dataset = made(rows, absent=absent)
        asked = engine or BillingEngine()
        return run_virtual(go(self.store, dataset, asked, options, worker=worker))

    def looks(self, rows: int = ROWS, written_at_s: float = 0.0, engine="billing", **given):
        options = Options(**{"resume": False, **given})
        place = Place(self.store, LAYOUT, "s3://bucket")
        asked = look(place, options, engine, rows, lambda: written_at_s, self.told.append)
        return run_virtual(asked)

    def worker(self, rows: int = ROWS, *, absent=(), engine="billing", **given):
        """What a job's worker does: the result, what it asked for, or its refusal."""
        asked = BillingEngine(name=engine)
        options = Options(**{"resume": False, "job": "job-2", **given})
        try:
            result = self.labels(rows, options, absent=absent, engine=asked, worker="w2")
        except RunMismatch as error:
            return error, 0
        return result, asked.asked.total()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


ASKED = [
    {},
    {"resume": True},
    {"limit": 5},
    {"retry_failed": ("timed_out",)},
    {"retry_failed": ()},
    {"fresh": True},
    {"grow": True},
]
CASES = [
    *(("done", "billing", rows, given) for rows in (ROWS, ROWS + 5, ROWS - 5) for given in ASKED),
    *(("half", "billing", ROWS, given) for given in ASKED),
    *(("half", "billing", ROWS + 5, {"resume": True}), ("done", "another", ROWS, {})),
    *(("half", "another", ROWS, {"resume": True}), ("nothing", "billing", ROWS, {})),
]


@pytest.mark.parametrize(("state", "engine", "rows", "given"), CASES, ids=str)
def test_it_is_done_refused_or_begun_as_the_worker_does(bucket, state, engine, rows, given):
    absent = (3, 4)
    if state == "done":
        bucket.labels(absent=absent)
    if state == "half":
        bucket.labels(options=replace(BEGUN_BY, limit=10), absent=absent)
    try:
        said = bucket.looks(rows, engine=engine, **given)
    except RunMismatch as error:
        said = error
    did, asked = bucket.worker(rows, absent=absent, engine=engine, **given)
    if isinstance(said, Labelling):
        assert asked == 0
        assert said.result.record == did.record
    elif isinstance(said, RunMismatch):
        assert isinstance(did, RunMismatch)
    else:
        # of what a worker compares row by row nothing is said before
        assert given.get("grow") or not isinstance(did, RunMismatch)


def test_a_finished_run_of_another_length_is_refused_with_the_way_on(bucket):
    bucket.labels()
    with pytest.raises(RunMismatch) as refused:
        bucket.looks(ROWS + 5)
    assert "rows: there 30, here 35" in str(refused.value)
    assert "add --grow to go on here" in str(refused.value)


def test_an_unfinished_run_is_refused_without_resume(bucket):
    bucket.labels(options=replace(BEGUN_BY, limit=10))
    with pytest.raises(RunMismatch, match="add --resume to go on with it"):
        bucket.looks()
    assert bucket.looks(resume=True) is None


def test_a_run_in_which_nothing_was_done_binds_nobody(bucket):
    with pytest.raises(Exception, match="down"):
        bucket.labels(engine=BillingEngine(0.0, trouble=lambda *_: Exception("down")))
    assert bucket.looks(ROWS + 5) is None


def test_an_input_that_was_written_again_is_left_to_a_worker(bucket):
    bucket.labels()
    assert bucket.looks(written_at_s=1.0) is not None
    assert bucket.looks(written_at_s=1_900_000_000.0) is None
    assert "a worker looks if it is the same" in bucket.told[0]


def test_a_table_that_is_gone_is_left_to_a_worker_which_writes_it_again(bucket):
    bucket.labels()
    del bucket.store.objects[LAYOUT.failures_key]
    assert bucket.looks() is None


def test_a_retry_that_was_cut_is_told_and_gone_on_with_when_asked(bucket):
    bucket.labels(absent=(3,))
    cut = replace(BEGUN_BY, retry_failed=(), attempts=1)

    with pytest.raises(Exception, match="down"):
        bucket.labels(options=cut, engine=BillingEngine(trouble=lambda *_: Exception("down")))
    done = bucket.looks()
    assert done is not None
    assert done.result.retry
    assert bucket.looks(retry_failed=()) is None


def test_a_class_of_failure_that_is_none_is_said_at_once(bucket):
    with pytest.raises(ConfigError, match="there is no such class"):
        bucket.looks(retry_failed=("typo",))
