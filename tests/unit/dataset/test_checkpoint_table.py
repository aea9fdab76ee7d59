"""A checkpoint gives back what went in, and says so where it cannot."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrlabel.dataset.checkpoint_table import (
    Settled,
    decode_checkpoint,
    encode_checkpoint,
    read_attempts,
    read_meta,
)
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    ImageRef,
    Labelled,
    Outcome,
    Page,
    Word,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
counts = st.integers(0, 2**31 - 1)
reals = st.floats(0, 1e6, allow_nan=False)
moments = st.integers(0, 2**31 * 8).map(lambda eighths: eighths / 8)
points = st.tuples(reals, reals)
attempts = st.builds(
    Attempt,
    number=counts,
    lane=texts,
    sent_at_s=moments,
    latency_s=reals,
    result=st.sampled_from(AttemptResult),
    status=st.none() | counts,
    message=texts,
    billed_pages=st.none() | counts,
    worker=texts,
    pages=counts,
)
words = st.builds(Word, texts, st.lists(points, max_size=5).map(tuple), st.none() | st.floats(0, 1))
pages = st.builds(
    Page, counts, counts, counts, st.lists(words, max_size=3).map(tuple), st.none() | reals
)
shared = {
    "key": texts,
    "sha256": texts,
    "engine": texts,
    "at_s": moments,
    "attempts": st.lists(attempts, max_size=2).map(tuple),
    "copied": st.booleans(),
}


@st.composite
def settled(draw) -> Settled:
    ref = draw(
        st.builds(ImageRef, st.integers(0, 2**63 - 1), texts, texts, st.booleans(), texts, texts)
    )
    common = {"ordinal": st.just(ref.ordinal), "id": st.just(ref.id), **shared}
    labelled = st.builds(
        Labelled,
        **common,
        pages=st.lists(pages, max_size=2).map(tuple),
        model_version=texts,
        latency_s=reals,
        billed_pages=counts,
        raw=st.binary(max_size=8),
    )
    failed = st.builds(
        Failed,
        **common,
        failure=st.sampled_from(FailureClass),
        message=texts,
        retryable=st.booleans(),
    )
    outcome: Outcome = draw(labelled | failed)
    return Settled(ref, outcome)


@settings(max_examples=60)
@given(st.lists(settled(), max_size=3))
def test_every_outcome_comes_back_as_it_was(rows):
    found, meta = decode_checkpoint(encode_checkpoint(rows, {"run_id": "r"}), where="x")
    assert found == rows
    assert meta["run_id"] == "r"


def test_half_of_an_emoji_anywhere_in_a_row_is_a_question_mark():
    half = "x\ud83d"
    attempt = Attempt(1, "key", 0.0, 1.0, AttemptResult.ANSWERED, message=half)
    page = Page(1, 10, 10, (Word(half, ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0)), 0.5),), 0.5)
    outcome = Labelled(0, half, "k", "s", (page,), "e", half, 0.0, (attempt,))
    row = Settled(ImageRef(0, half, half, input_row=half), outcome)
    data = encode_checkpoint([row], {"model_versions": [half]})
    (found,), meta = decode_checkpoint(data, where="x")
    assert (found.ref.id, found.ref.path, found.ref.input_row) == ("x?",) * 3
    assert found.outcome.pages[0].words[0] == replace(page.words[0], text="x?")
    assert (found.outcome.model_version, found.outcome.attempts[0].message) == ("x?", "x?")
    assert meta["model_versions"] == ["x?"]


def test_progress_is_told_from_the_footer_alone():
    data = encode_checkpoint([], {"batch": 3, "tally": {"rows": 500}})
    footer = data[-int.from_bytes(data[-8:-4], "little") - 8 :]
    hollow = io.BytesIO(bytes(len(data) - len(footer)) + footer)
    meta = read_meta(hollow, where="x")
    assert (meta["batch"], meta["tally"]) == (3, {"rows": 500})


def test_a_damaged_checkpoint_is_never_taken_for_an_empty_one():
    data = encode_checkpoint([], {})
    with pytest.raises(RunMismatch, match=r"batch_0007\.parquet cannot be read .*\n.*paid for"):
        decode_checkpoint(data[:-20], where="batch_0007.parquet")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "was not written by this version"),
        ({b"ocrlabel": b'{"schema_version": "v1.0"}'}, "has schema v1.0, this is v2.0"),
    ],
)
def test_a_table_of_something_else_is_refused_by_name(metadata, said):
    held = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"]}).replace_schema_metadata(metadata), held)
    with pytest.raises(RunMismatch, match=f"x.parquet {said}"):
        read_meta(io.BytesIO(held.getvalue()), where="x.parquet")


def small_checkpoint() -> tuple[list[Settled], bytes]:
    ref = ImageRef(0, "a", "a.png")
    word = Word("w", ((0, 0), (9, 0), (9, 5), (0, 5)), 0.5)
    attempt = Attempt(1, "key", 5.0, 0.5, AttemptResult.ANSWERED, 200, "", 1, "w1", 1)
    label = Labelled(
        0, "a", "ab" * 32, "s", (Page(1, 9, 5, (word,), 0.5),), "upstage", "ocr-1", 6.0, (attempt,)
    )
    rows = [Settled(ref, label)]
    return rows, encode_checkpoint(rows, {"run_id": "r"})


def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed():
    rows, data = small_checkpoint()
    assert decode_checkpoint(data, where="x")[0] == rows
    silent = []
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            decode_checkpoint(bytes(flipped), where="x")
        except RunMismatch:
            continue
        silent.append(bit)
    assert not silent
    with pytest.raises(RunMismatch, match="its digest differs"):
        read_attempts(bytes([*data[:50], data[50] ^ 1, *data[51:]]), where="x")


def test_a_checkpoint_of_an_earlier_version_has_no_digest_and_is_read():
    rows, data = small_checkpoint()
    table = pq.read_table(io.BytesIO(data))
    metadata = json.loads(table.schema.metadata[b"ocrlabel"])
    assert metadata.pop("digest") == "sha256"
    earlier = table.replace_schema_metadata({b"ocrlabel": json.dumps(metadata).encode()})
    held = io.BytesIO()
    pq.write_table(earlier, held, compression="zstd")
    found, meta = decode_checkpoint(held.getvalue(), where="x")
    assert found == rows
    assert "digest" not in meta


def test_a_checkpoint_that_lost_its_digest_is_refused():
    _, data = small_checkpoint()
    held = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(data)), held)
    with pytest.raises(RunMismatch, match="its digest is gone"):
        decode_checkpoint(held.getvalue(), where="x")
