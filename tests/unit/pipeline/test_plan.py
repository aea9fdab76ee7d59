"""What is written of a plan is read back; what cannot be read names the file and a way on."""

from __future__ import annotations

import json

import pytest

from ocrlabel.errors import RunMismatch
from ocrlabel.pipeline.plan import PLAN_FORMAT, Plan, decode_plan, encode_plan

WHERE = "s3://bucket/checkpoints/train/plan.json"
PLAN = Plan("run-1", "train", "train.parquet", "ab" * 32, 5, "upstage", {"model": "ocr"})


def test_a_plan_that_was_written_down_is_read_back():
    assert decode_plan(encode_plan(PLAN), where=WHERE) == PLAN


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
    written = json.loads(encode_plan(PLAN)) | {"format": PLAN_FORMAT + 1}
    with pytest.raises(RunMismatch, match=rf"{WHERE} was written by another version"):
        decode_plan(json.dumps(written).encode(), where=WHERE)
