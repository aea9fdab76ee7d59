"""From finished batches to the tables: every row once, in input order, the newest word for each."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.dataset.labels_table import read_failures, read_labels, table_info
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import Failed, FailureClass, ImageRef, Labelled, Page, Tally, Word
from ocrlabel.pipeline.merge.result_tables import finished_rows, overlaid, write_tables
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.checkpoint import Checkpoints
from tests.support.clock import run_virtual
from tests.support.runs import LAYOUT, runtime
from tests.support.stores import DictStore

PLAN = Plan("run-1", "train", "train.parquet", "ab" * 32, 5, "upstage", batch_rows=2)


def failed(ordinal: int, message: str = "gone") -> Settled:
    ref = ImageRef(ordinal, f"id{ordinal}", f"{ordinal}.png")
    return Settled(ref, Failed(ordinal, ref.id, FailureClass.NOT_FOUND, message, 5.0))


def labelled(ordinal: int) -> Settled:
    word = Word(f"w{ordinal}", ((0, 0), (1, 0), (1, 1), (0, 1)), 0.5)
    ref = failed(ordinal).ref
    pages = (Page(1, 10, 10, (word,)),)
    return Settled(ref, Labelled(ordinal, ref.id, "k", "s", pages, "upstage", "m", 5.0))


async def merged(batches, plan=PLAN):
    """What is read back of checkpoints: rows by (batch, round). Also what was told of each."""
    run = Run(runtime(DictStore()), LAYOUT, plan)
    for (batch, number), rows in batches.items():
        await Checkpoints(run.round(number)).write(batch, rows)
    told = []

    def saw(number, rows):
        told.append((number, [row.ref.ordinal for row in rows]))

    # a listing comes in no order that one may count on
    places = list(reversed(batches))
    return [rows async for rows in finished_rows(run, places, saw)], told


def test_rows_of_a_retry_round_take_the_places_of_those_they_are_about_and_no_others():
    base = [failed(0), labelled(1), failed(2)]
    assert overlaid(base, [labelled(2), labelled(7)]) == [failed(0), labelled(1), labelled(2)]
    assert overlaid(base, []) == base


def test_batches_come_in_input_order_with_every_retry_round_over_them_the_last_one_on_top():
    batches = {
        (0, 0): [failed(0), labelled(1)],
        (1, 0): [failed(2), failed(3)],
        (1, 1): [failed(2, "again"), labelled(3)],
        (1, 2): [failed(2, "and again")],
        (2, 0): [labelled(4)],
    }
    rows, told = run_virtual(merged(batches))
    assert rows == [
        [failed(0), labelled(1)],
        [failed(2, "and again"), labelled(3)],
        [labelled(4)],
    ]
    assert told == [(0, [0, 1]), (0, [2, 3]), (1, [2, 3]), (2, [2]), (0, [4])]


@pytest.mark.parametrize("retried", [True, False])
@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_checkpoint_that_is_gone_is_never_an_empty_batch(missing, retried):
    batches = {(0, 0): [failed(0), failed(1)], (1, 0): [failed(2), failed(3)], (2, 0): [failed(4)]}
    batches = {place: rows for place, rows in batches.items() if place[0] != missing}
    if retried:
        batches[missing, 1] = [labelled(2 * missing)]
    with pytest.raises(RunMismatch, match=f"^the checkpoint of batch {missing} is gone\n"):
        run_virtual(merged(batches))


@pytest.mark.parametrize(
    "rows",
    [
        [failed(0)],
        [failed(1), failed(0)],
        [failed(0), failed(1), failed(2)],
        [failed(0), failed(0)],
        [failed(2), failed(3)],
    ],
)
def test_a_batch_that_does_not_hold_exactly_its_rows_is_refused(rows):
    with pytest.raises(RunMismatch, match=r"^the checkpoint of batch 0 does not hold the rows"):
        run_virtual(merged({(0, 0): rows}, replace(PLAN, rows=2)))


def test_every_row_is_in_exactly_one_of_the_two_tables_and_counted_once(tmp_path):
    async def batches():
        yield [failed(0), labelled(1)]
        yield [labelled(2), failed(3)]

    labels_path, failures_path = tmp_path / "labels.parquet", tmp_path / "failures.parquet"
    writing = write_tables(
        batches(), {"run_id": "r"}, labels_path=labels_path, failures_path=failures_path
    )
    tally = asyncio.run(writing)
    assert [row.id for row in read_labels(labels_path)] == ["id1", "id2"]
    assert [row.ordinal for row in read_failures(failures_path)] == [0, 3]
    assert tally == Tally(4, 2, 2, 2, 2, {"not_found": 2})
    for path in (labels_path, failures_path):
        assert table_info(path)["run_id"] == "r"


def test_tables_that_could_not_be_finished_are_not_there(tmp_path):
    async def batches():
        yield [failed(0), labelled(1)]
        raise RunMismatch("gone")

    labels_path, failures_path = tmp_path / "labels.parquet", tmp_path / "failures.parquet"
    with pytest.raises(RunMismatch):
        asyncio.run(
            write_tables(batches(), {}, labels_path=labels_path, failures_path=failures_path)
        )
    assert list(tmp_path.iterdir()) == []
