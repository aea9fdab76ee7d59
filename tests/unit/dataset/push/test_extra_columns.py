"""The input's other columns, as the pushed table has them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.shared_data import shared_data
from tests.unit.dataset.opened import opened, parquet, read
from tests.unit.dataset.push.pushing import PAGE, picture, stored

SHAPE = [
    "schema_version", "id", "split", "image_path", "image_filename", "width", "height",
    "polygons", "texts", "labels", "metadata",
]  # fmt: skip


def test_the_predecessors_table_keeps_its_columns_and_gets_paths_that_are_found(
    pusher, open_s3, tmp_path
):
    table = pq.read_table(shared_data("predecessor", "sample_10.parquet"))
    pq.write_table(table, tmp_path / "baseline_train.parquet")
    for number, path in enumerate(table["image_path"].to_pylist()):
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_bytes(picture(number))
    done = pusher("baseline_train.parquet", roots=("root",))
    assert (done.rows, done.unreadable, done.left_out) == (10, 0, ())
    key = "data/processed/baseline_train.parquet"
    pushed = pq.read_table(pa.BufferReader(stored(pusher.store, key)))
    assert pushed.column_names == [*SHAPE, "original_path"]
    for name in SHAPE:
        if name != "image_path":
            assert pushed[name].to_pylist() == table[name].to_pylist(), name
    assert pushed["original_path"].to_pylist() == table["image_path"].to_pylist()
    with opened(f"s3://{pusher.bucket}/{key}", tmp_path, store_opener=open_s3) as dataset:
        assert [read(dataset, row) for row in range(10)] == [picture(n) for n in range(10)]


def test_columns_of_csv_and_jsonl_are_kept_with_the_types_of_their_values(plain, tmp_path):
    (tmp_path / "a.png").write_bytes(PAGE)
    (tmp_path / "b.png").write_bytes(picture(2))
    (tmp_path / "t.csv").write_text(
        "file_name,split,width,note,code\na.png,val,48,둘,007\nb.png,val,,x,12\n"
    )
    rows = [
        {"image": "a.png", "n": 1, "x": 1, "ok": True, "texts": ["가"], "mixed": [1], "labels": 7,
         "polygons": [[[0, 0], [1, 0], [1, 1.5]]], "metadata": {"original_source": "scan"}},
        {"image": "b.png", "n": None, "x": 0.5, "late": "z", "mixed": "text"},
    ]  # fmt: skip
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    plain("t.csv", "csv.parquet")
    table = pq.read_table(pa.BufferReader(plain.store.objects["csv.parquet"]))
    assert table.select(["split", "width", "note", "code"]).to_pydict() == {
        "split": ["val", "val"],
        "width": [48, None],
        "note": ["둘", "x"],
        "code": ["007", "12"],
    }
    done = plain("t.jsonl", "jsonl.parquet")
    assert done.left_out == ("labels",)
    table = pq.read_table(pa.BufferReader(plain.store.objects["jsonl.parquet"]))
    kept = ["n", "x", "ok", "late", "mixed", "texts", "polygons", "labels", "metadata", "split"]
    assert table.select(kept).to_pydict() == {
        "n": [1, None],
        "x": [1.0, 0.5],
        "ok": [True, None],
        "late": [None, "z"],
        "mixed": ["[1]", "text"],
        "texts": [["가"], None],
        "polygons": [[[[0.0, 0.0], [1.0, 0.0], [1.0, 1.5]]], None],
        "labels": [[], []],
        "metadata": [{"original_source": "scan"}, {"original_source": ""}],
        "split": ["train", "train"],
    }


def test_columns_of_parquet_keep_their_types_and_other_bytes_are_left_out(plain, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PAGE)
    when = pa.array([1, None], pa.timestamp("ms", tz="Asia/Seoul"))
    columns = {
        "path": ["a.png", "b.png"],
        "id": pa.array([7, 8]),
        "when": when,
        "tags": [["x"], []],
        "width": pa.array([1.5, 2.5]),
        "height": pa.array([3, 4], pa.int16()),
        "thumb": [b"\x89PNG", b""],
    }
    parquet(tmp_path / "t.parquet", columns)
    done = plain("t.parquet", image_column="path")
    assert done.left_out == ("width", "thumb")
    table = pq.read_table(pa.BufferReader(plain.store.objects["data/processed/t.parquet"]))
    assert table.schema.field("when").type == when.type
    assert table.select(["id", "when", "tags", "width", "height"]).to_pydict() == {
        "id": ["7", "8"],
        "when": when.to_pylist(),
        "tags": [["x"], []],
        "width": [0, 0],
        "height": [3, 4],
    }
