"""What is written of a plan is read back; what cannot be read names the file and a way on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ocrlabel.errors import RunMismatch
from ocrlabel.pipeline.budget.account import Account
from ocrlabel.pipeline.plan import (
    GROWN_FORMAT,
    Grown,
    Plan,
    decode_plan,
    differences,
    encode_plan,
    has_grown,
    refuse_other,
)

WHERE = "s3://bucket/checkpoints/train/plan.json"
PLAN = Plan("run-1", "train", "train.parquet", "ab" * 32, 5, "upstage", {"model": "ocr"})

THERE = "train.parquet (sha256 abababababab…)"


def test_a_plan_that_was_written_down_is_read_back():
    assert decode_plan(encode_plan(PLAN), where=WHERE) == PLAN


def test_a_field_that_an_earlier_version_did_not_know_has_its_default():
    written = json.loads(encode_plan(PLAN))
    for name in ("replaces", "replaced_jobs", "job", "fresh"):
        del written[name]
    assert decode_plan(json.dumps(written).encode(), where=WHERE) == PLAN


def test_a_field_of_a_later_version_is_passed_over():
    written = json.loads(encode_plan(PLAN)) | {"colour": "blue"}
    assert decode_plan(json.dumps(written).encode(), where=WHERE) == PLAN


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"null", b'{"run_id": "x"}', b"\xff"])
def test_what_is_no_plan_names_its_file_and_a_way_on_that_works(data):
    with pytest.raises(RunMismatch, match=WHERE) as caught:
        decode_plan(data, where=WHERE)
    assert "another --output (or --checkpoint-prefix)" in str(caught.value)
    assert "--fresh" not in str(caught.value), "it would read the same file again"


def test_a_plan_of_another_version_is_not_read_as_one_of_ours():
    written = json.loads(encode_plan(PLAN)) | {"format": GROWN_FORMAT + 1}
    with pytest.raises(RunMismatch, match=rf"{WHERE} was written by another version"):
        decode_plan(json.dumps(written).encode(), where=WHERE)


def test_every_row_is_in_one_slice_of_one_batch_in_input_order():
    plan = replace(PLAN, rows=53, batch_rows=20, slice_rows=8)
    assert plan.batches == 3
    assert [plan.batch_range(batch) for batch in range(3)] == [
        range(20),
        range(20, 40),
        range(40, 53),
    ]
    assert list(plan.slices(1)) == [(0, range(20, 28)), (1, range(28, 36)), (2, range(36, 40))]
    assert list(plan.slices(2)) == [(0, range(40, 48)), (1, range(48, 53))]
    for batch in range(3):
        assert {plan.batch_of(ordinal) for ordinal in plan.batch_range(batch)} == {batch}


@pytest.mark.parametrize(("rows", "batches"), [(0, 0), (1, 1), (500, 1), (501, 2)])
def test_a_run_has_as_many_batches_as_its_rows_fill(rows, batches):
    assert replace(PLAN, rows=rows).batches == batches


def test_every_field_of_a_plan_is_written_down_as_text_that_people_can_read():
    plan = replace(
        PLAN,
        source="이미지",
        replaces=("r1", "r2"),
        replaced_jobs=("j",),
        job="k",
        fresh=True,
        grown=Grown(("r2",), Account({"answered": 3}, billed_pages=3)),
    )
    written = encode_plan(plan)
    assert decode_plan(written, where=WHERE) == plan
    assert '\n "source": "이미지"' in written.decode()
    assert list(json.loads(written)) == sorted(Plan.__dataclass_fields__)


def test_two_plans_of_the_same_input_engine_and_options_are_one_run():
    other = replace(
        PLAN, run_id="other", dataset="d", source="s", batch_rows=7, created_at_s=9.0, job="j"
    )
    assert differences(PLAN, other) == []
    refuse_other(PLAN, other, where=WHERE)


def test_machines_may_differ_in_the_runtime_of_the_embedded_engine_and_in_no_other_option():
    there = replace(PLAN, engine="rapidocr", options={"runtime": "a 1", "lines": "x"})
    here = replace(there, options={"runtime": "b 2", "lines": "y"})
    assert differences(there, here) == ["rapidocr option lines: there x, here y"]
    reads = replace(there, options={**there.options, "hangul": "a reader"})
    assert differences(there, reads) == ["rapidocr option hangul: there unset, here a reader"]
    assert differences(reads, there) == ["rapidocr option hangul: there a reader, here unset"]
    elsewhere = replace(PLAN, options={**PLAN.options, "runtime": "b 2"})
    assert differences(PLAN, elsewhere) == ["upstage option runtime: there unset, here b 2"]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"rows": 6}, ["rows: there 5, here 6"]),
        ({"engine": "rapidocr"}, ["engine: there upstage, here rapidocr"]),
        (
            {"engine": "rapidocr", "options": {"model": "x"}},
            ["engine: there upstage, here rapidocr"],
        ),
        ({"options": {}}, ["upstage option model: there ocr, here unset"]),
        (
            {"options": {"model": "new", "a": "1"}},
            [
                "upstage option a: there unset, here 1",
                "upstage option model: there ocr, here new",
            ],
        ),
        (
            {"fingerprint": "cd" * 32, "source": "other.parquet", "rows": 6},
            [
                f"input: there {THERE}, here other.parquet (sha256 cdcdcdcdcdcd…)",
                "rows: there 5, here 6",
            ],
        ),
    ],
)
def test_whatever_makes_another_run_is_named_and_refused_with_both_ways_on(change, lines):
    other = replace(PLAN, **change)
    assert differences(PLAN, other) == lines
    with pytest.raises(RunMismatch) as caught:
        refuse_other(PLAN, other, where=WHERE)
    first, *told = str(caught.value).splitlines()
    assert first == f"{WHERE} belongs to another run"
    assert told[: len(lines)] == [f"  {line}" for line in lines]
    assert f"add --fresh to do {other.rows} rows again" in told[-1]


@pytest.mark.parametrize(
    ("change", "grown"),
    [
        ({}, False),
        ({"rows": 6}, False),  # of the same input: its rows would be as many
        ({"fingerprint": "cd" * 32}, True),
        ({"fingerprint": "cd" * 32, "rows": 6}, True),
        ({"fingerprint": "cd" * 32, "rows": 4}, True),
        ({"fingerprint": "cd" * 32, "engine": "rapidocr"}, False),
        ({"fingerprint": "cd" * 32, "options": {"model": "ocr-250904"}}, False),
    ],
)
def test_an_input_has_grown_where_nothing_but_it_differs(change, grown):
    here = replace(PLAN, **change)
    assert has_grown(PLAN, here) is grown
    assert has_grown(here, PLAN) is grown


def test_a_plan_says_what_it_grew_out_of_and_what_that_paid():
    assert (PLAN.carries, PLAN.paid_before) == ((), Account())
    paid = Account(billed_pages=7)
    grown = replace(PLAN, grown=Grown(("run-0", "run-1"), paid))
    assert (grown.carries, grown.paid_before) == (("run-0", "run-1"), paid)


def test_how_an_input_differs_stands_between_what_differs_and_the_ways_on():
    here = replace(PLAN, fingerprint="cd" * 32)
    with pytest.raises(RunMismatch) as refused:
        refuse_other(PLAN, here, where="out/", change="  1 new: a.png\n")
    first, *rest = str(refused.value).splitlines()
    assert first == "out/ belongs to another run"
    assert rest[0].startswith("  input: there ")
    assert rest[1] == "  1 new: a.png"
    assert rest[2].startswith("  or write to another --output")
    with pytest.raises(RunMismatch) as refused:
        refuse_other(PLAN, here, where="out/")
    assert str(refused.value).splitlines() == [first, rest[0], *rest[2:]]
