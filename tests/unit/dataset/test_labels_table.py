"""The labels and failures tables keep what they are given, and refuse what is no such table."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.dataset.labels_table import (
    FAILURES,
    LABELS,
    FailuresWriter,
    LabelColumns,
    LabelRow,
    LabelsWriter,
    failure_row,
    label_rows,
    read_failures,
    read_labels,
    table_info,
    write_changed,
)
from ocrlabel.errors import DatasetError
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    ImageRef,
    Labelled,
    Page,
    Word,
)
from tests.support.shared_data import shared_data

GOLDEN = Path(__file__).parents[2] / "golden" / "tables.txt"

BOX = ((0.0, 0.0), (9.5, 0.0), (9.5, 4.0), (0.0, 4.0))
REF = ImageRef(3, "row-3", "images/b.png", original_source="train.json", input_row='{"lang":"ko"}')
PAGE_1 = Page(1, 640, 480, (Word("안녕", BOX, 0.9), Word("", BOX, None)), 0.8)
PAGE_2 = Page(2, 640, 481)
ANSWERED = Attempt(1, "key1", 5.0, 0.25, AttemptResult.ANSWERED, 200)
LABELLED = Labelled(
    3, "row-3", "k" * 64, "a" * 64, (PAGE_2, PAGE_1), "scripted", "m1", 1700000000.5,
    attempts=(ANSWERED,), latency_s=0.25, billed_pages=2,
)  # fmt: skip


def written(path: Path, *rows: LabelRow, **info: str) -> Path:
    with LabelsWriter(path, info) as labels:
        for row in rows:
            labels.add(row)
    return path


def listing(schema: pa.Schema) -> str:
    """One line a column, name and type."""
    width = max(len(name) for name in schema.names)
    return "\n".join(
        f"{column.name:<{width}}  {str(column.type).replace('item: ', '')}" for column in schema
    )


def test_the_schemas_are_those_of_the_golden_file():
    shown = f"labels\n\n{listing(LABELS)}\n\nfailures\n\n{listing(FAILURES)}\n"
    assert shown == GOLDEN.read_text()


def test_a_document_becomes_a_row_a_page_in_page_order():
    first, second = label_rows(REF, LABELLED)
    assert (first.page, first.page_count, first.as_page) == (1, 2, PAGE_1)
    assert (second.page, second.words, second.classes) == (2, (), ())
    assert first.classes == ("text", "text")
    assert first.image_filename == "b.png"
    assert first.attempts == 1
    assert first.labelled_at == datetime(2023, 11, 14, 22, 13, 20, 500000, tzinfo=UTC)


def test_what_was_written_is_read_back(tmp_path):
    rows = label_rows(REF, LABELLED)
    assert list(read_labels(written(tmp_path / "labels.parquet", *rows))) == rows


def test_the_file_has_the_written_down_schema_and_the_runs_own_words(tmp_path):
    path = written(tmp_path / "labels.parquet", *label_rows(REF, LABELLED), engine="scripted")
    assert pq.read_schema(path).equals(LABELS)
    assert table_info(path) == {
        "table": "labels", "schema_version": "v2.0", "engine": "scripted",
    }  # fmt: skip
    assert pq.read_table(path).column("schema_version").to_pylist() == ["v2.0", "v2.0"]


corners = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
words = st.builds(
    Word,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.lists(corners, max_size=6).map(tuple),
    st.none() | st.floats(0, 1),
)
rows = st.lists(st.lists(words, max_size=4).map(tuple), max_size=9)


@given(rows)
def test_any_words_survive_the_table(pages):
    out = BytesIO()
    given_rows = [
        LabelRow(f"i{n}", "p", "p", 1, 2, page, ("text",) * len(page))
        for n, page in enumerate(pages)
    ]
    columns = LabelColumns()
    for row in given_rows:
        columns.add(row)
    pq.write_table(pa.Table.from_batches([columns.batch()]), out)
    assert list(read_labels(BytesIO(out.getvalue()))) == given_rows


def test_rows_come_back_in_order_over_many_row_groups(tmp_path):
    rows = [LabelRow(str(n), "p", "p", 1, 1, (Word(str(n), BOX, None),)) for n in range(11_001)]
    path = written(tmp_path / "labels.parquet", *rows)
    assert pq.ParquetFile(path).num_row_groups == 3
    assert [row.words[0].text for row in read_labels(path)] == [str(n) for n in range(11_001)]


def test_many_words_end_a_row_group_as_many_rows_do(tmp_path):
    long = LabelRow("a", "p", "p", 1, 1, (Word("w", BOX, None),) * 50_000)
    path = written(tmp_path / "labels.parquet", long, long, long)
    assert pq.ParquetFile(path).num_row_groups == 2


def test_words_that_wait_for_their_row_group_wait_as_columns():
    columns, rows, words = LabelColumns(), 200, 50

    def add() -> None:
        for n in range(rows):
            page = tuple(
                Word(f"{n}-{at}", tuple((n + 0.5, at + x) for x in (0.1, 0.2, 0.3, 0.4)), 0.5)
                for at in range(words)
            )
            columns.add(LabelRow(str(n), "p", "p", 1, 1, page))

    add()  # what is imported by the first is not counted
    tracemalloc.start()
    try:
        add()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 200 * rows * words, "as objects they are 600 bytes each"


def test_half_a_surrogate_pair_does_not_stop_the_table(tmp_path):
    row = LabelRow("a", "p", "p", 1, 1, (Word("x\ud83d", BOX, None),))
    (read,) = read_labels(written(tmp_path / "labels.parquet", row))
    assert read.words[0].text == "x?"


def test_a_table_whose_writing_was_cut_off_is_not_there(tmp_path):
    path = tmp_path / "labels.parquet"
    written(path, *label_rows(REF, LABELLED))
    before = path.read_bytes()

    def cut_off() -> None:
        with LabelsWriter(path) as labels:
            labels.add(label_rows(REF, LABELLED)[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_classes_that_are_not_one_a_word_are_a_mistake_of_the_caller():
    row = LabelRow("a", "p", "p", 1, 1, (Word("w", BOX, None),), classes=("text", "text"))
    with pytest.raises(ValueError, match="2 classes for 1 words"):
        LabelColumns().add(row)


def test_a_failure_is_read_back_as_it_was_written(tmp_path):
    failed = Failed(
        3, "row-3", FailureClass.CORRUPT, "cut off", 7.0, engine="scripted", retryable=True
    )
    row = failure_row(REF, failed)
    with FailuresWriter(tmp_path / "f.parquet") as failures:
        failures.add_outcome(REF, failed)
    assert list(read_failures(tmp_path / "f.parquet")) == [row]
    assert (row.failure_class, row.image_path) == ("corrupt", "images/b.png")
    assert pq.read_schema(tmp_path / "f.parquet").equals(FAILURES)


def test_an_empty_failures_table_is_a_table(tmp_path):
    with FailuresWriter(tmp_path / "f.parquet"):
        pass
    assert list(read_failures(tmp_path / "f.parquet")) == []


def test_the_predecessors_table_is_read_as_it_is():
    rows = list(read_labels(shared_data("predecessor", "sample_10.parquet")))
    assert len(rows) == 10
    assert rows[0].split == "train"
    assert rows[0].original_source == "data/datasets/jsons/train.json"
    assert (rows[0].engine, rows[0].labelled_at, rows[0].page) == ("", None, 1)
    assert {len(word.polygon) for row in rows for word in row.words} >= {4, 6, 12}
    assert rows[0].words[0].polygon[0] == (235.83, 91.13)


def test_a_predecessors_table_written_back_is_one_of_ours(tmp_path):
    source = shared_data("predecessor", "sample_10.parquet")
    new = tmp_path / "new.parquet"
    write_changed(new, read_labels(source), source=source, changed_by="test")
    assert len(list(read_labels(new))) == 10
    assert list(read_labels(new)) == list(read_labels(source))


def test_a_table_written_changed_in_its_own_place_says_so(tmp_path):
    rows = label_rows(REF, LABELLED)
    path = written(tmp_path / "labels.parquet", *rows, engine="scripted")
    first_pages = (row for row in read_labels(path) if row.page == 1)
    write_changed(path, first_pages, source=path, changed_by="filter")
    assert list(read_labels(path)) == rows[:1]
    assert table_info(path)["changed_by"] == "filter"
    assert table_info(path)["engine"] == "scripted"


@pytest.mark.parametrize("missing", ["id", "image_path", "polygons", "texts", "width"])
def test_another_table_is_refused_by_the_name_of_the_missing_column(tmp_path, missing):
    path = written(tmp_path / "labels.parquet", *label_rows(REF, LABELLED))
    pq.write_table(pq.read_table(path).drop_columns([missing]), path)
    with pytest.raises(DatasetError, match=f"not a labels table: it has no column '{missing}'"):
        list(read_labels(path))


def test_a_failures_table_is_no_labels_table(tmp_path):
    with FailuresWriter(tmp_path / "f.parquet"):
        pass
    with pytest.raises(DatasetError, match="no column"):
        list(read_labels(tmp_path / "f.parquet"))


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(DatasetError, match="not a parquet file"):
        list(read_labels(tmp_path / "x.parquet"))
    with pytest.raises(DatasetError, match="no such file"):
        list(read_labels(tmp_path / "y.parquet"))


def one_row(**changed: object) -> BytesIO:
    columns: dict[str, object] = {
        "id": ["a"], "image_path": ["p"], "width": [1], "height": [1],
        "polygons": [[[[0.0, 0.0], [1.0, 1.0]]]], "texts": [["w"]],
    }  # fmt: skip
    out = BytesIO()
    pq.write_table(pa.table({**columns, **changed}), out)
    return BytesIO(out.getvalue())


def test_lists_of_unequal_length_are_named_with_their_row():
    with pytest.raises(DatasetError, match="row 0 has 1 polygons, 2 texts"):
        list(read_labels(one_row(texts=[["a", "b"]])))


def test_a_point_of_three_numbers_is_refused():
    with pytest.raises(DatasetError, match="not two numbers"):
        list(read_labels(one_row(polygons=[[[[0.0, 0.0, 1.0]]]])))


def test_a_point_without_a_number_is_refused():
    with pytest.raises(DatasetError, match="not two numbers"):
        list(read_labels(one_row(polygons=[[[[0.0, None], [1.0, 1.0]]]])))


def test_a_column_of_another_type_is_named():
    with pytest.raises(DatasetError, match="column 'texts' holds"):
        list(read_labels(one_row(texts=["w"])))


def test_wider_types_of_other_writers_are_read():
    large = pa.large_list(pa.large_list(pa.list_(pa.float32(), 2)))
    polygons = pa.array([[[[0.0, 0.0], [1.0, 1.0]]]], large)
    (row,) = read_labels(
        one_row(polygons=polygons, texts=pa.array([["w"]], pa.large_list(pa.large_string())))
    )
    assert row.words == (Word("w", ((0.0, 0.0), (1.0, 1.0)), None),)


def test_null_lists_are_a_page_without_text():
    nothing = {
        "polygons": pa.array([None], LABELS.field("polygons").type),
        "texts": pa.array([None], LABELS.field("texts").type),
    }
    (row,) = read_labels(one_row(**nothing))
    assert row.words == ()
