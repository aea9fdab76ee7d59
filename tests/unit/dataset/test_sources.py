"""Every kind of input becomes rows with unique, stable ids, in a stable order."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrlabel.dataset import sources
from ocrlabel.dataset.labels_table import FailuresWriter, LabelsWriter
from ocrlabel.dataset.sources import first_duplicate
from ocrlabel.labels import FailureClass
from tests.support.shared_data import shared_data
from tests.unit.dataset.made import corners, saved
from tests.unit.dataset.opened import all_refs, complaint, opened, parquet, read, refusal

PNG = saved(corners(), "PNG")


def ids(dataset):
    return [ref.id for ref in all_refs(dataset)]


# folders, globs, files


def put(folder, *names, data=PNG):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_a_folder_gives_every_image_below_it_sorted_by_path(tmp_path):
    put(tmp_path, "b.jpg", "a/z.PNG", "a/b/c.tif", "a.pdf")
    with opened(tmp_path, tmp_path) as dataset:
        assert ids(dataset) == ["a.pdf", "a/b/c.tif", "a/z.PNG", "b.jpg"]
        assert [ref.path for ref in all_refs(dataset)] == ids(dataset)
        assert read(dataset, 2) == PNG


def test_hidden_files_folders_and_companions_are_no_rows(tmp_path):
    put(tmp_path, "a.png", ".hidden.png", ".git/b.png", "list.csv", "notes.txt", "c.json")
    (tmp_path / "folder.jpg").mkdir()
    with opened(tmp_path, tmp_path) as dataset:
        assert ids(dataset) == ["a.png"]
        assert dataset.skipped == {"hidden": 2, ".csv": 1, ".txt": 1, ".json": 1}


def test_what_a_glob_matches_and_is_no_image_is_counted_too(tmp_path):
    put(tmp_path, "a.png", "b.TXT", "sub/c.png")
    put(tmp_path, "README", data=b"no image")
    with opened("*", tmp_path) as dataset:
        assert ids(dataset) == ["a.png"]
        assert dataset.skipped == {".txt": 1, "without an ending": 1}


def test_without_a_telling_ending_the_content_decides(tmp_path):
    put(tmp_path, "scan", "photo.xyz")
    put(tmp_path, "readme", "data.bin", data=b"no image")
    with opened(tmp_path, tmp_path) as dataset:
        assert ids(dataset) == ["photo.xyz", "scan"]


def test_a_broken_file_with_an_images_ending_is_a_row(tmp_path):
    put(tmp_path, "broken.jpg", data=b"<html>")
    put(tmp_path, "empty.png", data=b"")
    (tmp_path / "link.jpg").symlink_to("nowhere")
    with opened(tmp_path, tmp_path) as dataset:
        assert ids(dataset) == ["broken.jpg", "empty.png", "link.jpg"]
        assert refusal(dataset, 1).failure == FailureClass.EMPTY
        assert refusal(dataset, 2).failure == FailureClass.NOT_FOUND


def test_a_pipe_is_neither_a_row_nor_opened(tmp_path):
    put(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    with opened(tmp_path, tmp_path) as dataset:
        assert ids(dataset) == ["a.png"]


def test_composed_and_decomposed_names_are_two_files_with_two_ids(tmp_path):
    composed = "영수증.png"
    put(tmp_path, composed, unicodedata.normalize("NFD", composed))
    with opened(tmp_path, tmp_path) as dataset:
        assert len(set(ids(dataset))) == 2
        assert [read(dataset, row) for row in range(2)] == [PNG, PNG]


def test_a_name_that_is_no_utf8_can_be_read_and_written_down(tmp_path):
    put(tmp_path, os.fsdecode("영수증".encode("cp949") + b".png"))
    with opened(tmp_path, tmp_path) as dataset:
        assert ids(dataset) == ["\\xbf\\xb5\\xbc\\xf6\\xc1\\xf5.png"]
        assert read(dataset) == PNG


def test_the_fingerprint_of_a_folder_is_its_paths_and_sizes(tmp_path):
    def fingerprint():
        with opened(tmp_path, tmp_path) as dataset:
            return dataset.fingerprint

    put(tmp_path, "a.png", "b.png")
    first = fingerprint()
    os.utime(tmp_path / "a.png", (1, 1))
    assert fingerprint() == first
    put(tmp_path, "a.png", data=PNG + b"x")
    second = fingerprint()
    put(tmp_path, "c.png")
    assert len({first, second, fingerprint()}) == 3


def test_a_glob_matches_below_its_fixed_part(tmp_path):
    put(tmp_path, "scans/1/a.png", "scans/2/b.png", "scans/2/c.jpg", "other/d.png", "scans/.e.png")
    with opened("scans/**/*.png", tmp_path) as dataset:
        assert ids(dataset) == ["1/a.png", "2/b.png"]
        assert read(dataset, 1) == PNG
    with opened(f"{tmp_path}/scans/?/[bc].*", tmp_path) as dataset:
        assert ids(dataset) == ["2/b.png", "2/c.jpg"]


def test_one_image_is_a_dataset_even_if_its_name_looks_like_a_pattern(tmp_path):
    put(tmp_path, "scan[1].png", "scan1.png")
    with opened("scan[1].png", tmp_path) as dataset:
        assert ids(dataset) == ["scan[1].png"]
        assert read(dataset) == PNG


def test_the_bad_files_are_rows_where_they_call_themselves_images(tmp_path):
    with opened(shared_data("bad"), tmp_path) as dataset:
        found = set(ids(dataset))
    listed = {
        json.loads(line)["file"]
        for line in shared_data("bad", "manifest.jsonl").read_text().splitlines()
    }
    assert listed - found == {".hidden.jpg", "directory.jpg", "broken_symlink.jpg"}


def test_an_input_that_is_no_dataset_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    put(tmp_path, "tables/a.csv", "shards/a.parquet", "notes.txt", data=b"no")
    os.mkfifo(tmp_path / "pipe.csv")
    assert "there is no such file or folder" in complaint("nothing.png", tmp_path)
    assert "there is no image in this folder" in complaint("empty", tmp_path)
    assert "give the table itself: a.csv" in complaint("tables", tmp_path)
    assert "a.parquet is not a parquet file" in complaint("shards", tmp_path)
    assert "neither an image nor a folder nor a table" in complaint("notes.txt", tmp_path)
    assert "neither an image" in complaint("pipe.csv", tmp_path)
    assert "there is no image" in complaint("*.png", tmp_path)


# text tables


def csv(tmp_path, text, name="pages.csv", encoding="utf-8"):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


def test_a_csv_gives_its_paths_and_keeps_the_other_columns(tmp_path):
    put(tmp_path, "img/a.png")
    with opened(
        csv(tmp_path, "id,image_path,lang\n7,img/a.png,ko\n8,img/b.png,\n"), tmp_path
    ) as dataset:
        first, second = all_refs(dataset)
        assert (first.id, first.path, first.ordinal) == ("7", "img/a.png", 0)
        assert json.loads(first.input_row) == {"lang": "ko"}
        assert read(dataset, 0) == PNG
        assert refusal(dataset, 1).failure == FailureClass.NOT_FOUND
        assert (
            dataset.fingerprint == hashlib.sha256((tmp_path / "pages.csv").read_bytes()).hexdigest()
        )
        assert second.id == "8"


@pytest.mark.parametrize(
    "column", ["image_path", "image", "path", "file_name", "filename", "Image"]
)
def test_the_path_column_is_found_by_its_usual_names(tmp_path, column):
    with opened(csv(tmp_path, f"x,{column}\n1,a.png\n"), tmp_path) as dataset:
        assert ids(dataset) == ["a.png"]


def test_another_path_and_id_column_can_be_named(tmp_path):
    table = csv(tmp_path, "image_path,scan,key\nx,a.png,k1\nx,b.png,k2\n")
    with opened(table, tmp_path, image_column="scan", id_column="key") as dataset:
        assert [(ref.id, ref.path) for ref in all_refs(dataset)] == [
            ("k1", "a.png"),
            ("k2", "b.png"),
        ]
    assert "has no column 'nope'; it has image_path, scan, key" in complaint(
        table, tmp_path, image_column="nope"
    )


def test_naming_the_column_that_is_taken_anyway_makes_no_other_input(tmp_path):
    table = csv(tmp_path, "id,path,key\n1,a.png,k1\n")
    with opened(table, tmp_path) as one, opened(table, tmp_path, id_column="id") as same:
        assert one.fingerprint == same.fingerprint
    with opened(table, tmp_path, id_column="key") as other:
        assert other.fingerprint != one.fingerprint


def test_ids_of_a_type_that_is_not_read_are_refused_where_they_were_asked_for(tmp_path):
    table = tmp_path / "pages.parquet"
    pq.write_table(pa.table({"id": [b"a", b"b"], "image_path": ["a.png", "b.png"]}), table)
    said = complaint(table, tmp_path, id_column="id")
    assert "column 'id' holds binary, and ids are texts or numbers" in said
    assert "name another column with --id-column" in said
    with opened(table, tmp_path) as dataset:
        assert ids(dataset) == ["a.png", "b.png"]


def test_a_cell_of_many_characters_is_read(tmp_path):
    with opened(csv(tmp_path, f'image_path,note\na.png,"{"x" * 200_000}"\n'), tmp_path) as dataset:
        assert ids(dataset) == ["a.png"]


def test_a_linked_folder_is_not_followed_and_called_so(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"x")
    (tmp_path / "in" / "more").symlink_to(tmp_path, target_is_directory=True)
    with opened(tmp_path / "in", tmp_path) as dataset:
        assert ids(dataset) == ["a.png"]
        assert dataset.skipped == {"linked folder (not followed)": 1}


def test_a_folder_has_no_column_of_ids(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"x")
    assert "--id-column key" in complaint(tmp_path / "images", tmp_path, id_column="key")


def test_csv_as_spreadsheets_write_it(tmp_path):
    text = '\ufeff"id";"path"\r\n"a";"x, y.png"\r\n\r\n"b";"line\nbreak ""q"".png"\r\n'
    with opened(csv(tmp_path, text), tmp_path) as dataset:
        assert [(r.id, r.path) for r in all_refs(dataset)] == [
            ("a", "x, y.png"),
            ("b", 'line\nbreak "q".png'),
        ]
        assert dataset.refs(1, 2) == all_refs(dataset)[1:]
    with opened(csv(tmp_path, "id\tpath\n1\ta.png\n", "t.tsv"), tmp_path) as dataset:
        assert ids(dataset) == ["1"]


cells = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n",;'),
    min_size=1,
    max_size=6,
)


@settings(suppress_health_check=list(HealthCheck), max_examples=60)
@given(st.lists(cells, min_size=1, max_size=30, unique=True), st.data())
def test_any_range_of_a_csv_equals_that_part_of_the_whole(tmp_path, names, data):
    import csv as csv_module

    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv_module.writer(file).writerows([["id", "path"], *([name, "p"] for name in names)])
    with opened(tmp_path / "t.csv", tmp_path) as dataset:
        whole = all_refs(dataset)
        assert [ref.id for ref in whole] == names
        start = data.draw(st.integers(0, len(names)))
        stop = data.draw(st.integers(start, len(names) + 3))
        assert dataset.refs(start, stop) == whole[start:stop]


def test_a_jsonl_gives_paths_also_as_hugging_face_writes_them(tmp_path):
    rows = [{"image": {"path": "a.png"}, "n": 1, "deep": {"x": 1}}, {"image": "b.png", "n": None}]
    text = "\n\n".join(json.dumps(row) for row in rows)
    with opened(csv(tmp_path, text, "t.jsonl"), tmp_path) as dataset:
        assert [ref.path for ref in all_refs(dataset)] == ["a.png", "b.png"]
        assert [ref.input_row for ref in all_refs(dataset)] == ['{"n":1}', '{"n":null}']
        assert dataset.refs(1, 2) == all_refs(dataset)[1:]


def test_text_tables_that_cannot_be_used_are_refused_in_one_sentence(tmp_path):
    def said(text, name="t.csv", **options):
        return complaint(csv(tmp_path, text, name, **options), tmp_path)

    assert "no column with images: none of image_path" in said("a,b\n1,2\n")
    assert "has no rows" in said("image\n")
    assert "is empty" in said("")
    assert "line 2 is not UTF-8" in said("image\né.png\n", encoding="latin-1")
    good = '{"image":"a"}\n'
    assert "t.jsonl, line 4, column 11 is not JSON" in said(
        f'{good}\n{good}{{"image": x', "t.jsonl"
    )
    assert "t.jsonl, line 2 is not a JSON object" in said(f"{good}[1]", "t.jsonl")
    assert "t.jsonl, line 2 cannot be read" in said(f'{good}{{"image": {"9" * 5000}}}', "t.jsonl")
    assert "has no rows" in said("\n", "t.jsonl")
    twice = complaint(csv(tmp_path, "image,key\na.png,1\nb.png,1\n"), tmp_path, id_column="key")
    assert "rows 1 and 2 are both called '1'; ids must differ (leave out --id-column" in twice
    assert "more than one line" not in twice


def test_a_row_without_a_path_fails_by_itself(tmp_path):
    with opened(csv(tmp_path, "id,image\n1,\n"), tmp_path) as dataset:
        assert refusal(dataset).failure == FailureClass.NOT_FOUND
        assert dataset.looked(all_refs(dataset)[0]) == []


# parquet


def test_the_predecessors_table_is_read_as_it_is(tmp_path):
    source = shared_data("predecessor", "sample_10.parquet")
    with opened(source, tmp_path) as dataset:
        ref = all_refs(dataset)[0]
        assert dataset.rows == 10
        assert ref.id == "baseline_train_drp.en_ko.in_house.selectstar_000003.jpg"
        assert ref.original_source == "data/datasets/jsons/train.json"
        assert json.loads(ref.input_row)["split"] == "train"
        assert refusal(dataset).failure == FailureClass.NOT_FOUND
        assert dataset.looked(ref) == [
            str(source.parent.resolve() / ref.path),
            str(tmp_path.resolve() / ref.path),
        ]
        for found in all_refs(dataset):
            put(tmp_path, f"root/{found.path}")
    with opened(source, tmp_path, image_roots=["root"]) as dataset:
        assert [read(dataset, row) for row in range(10)] == [PNG] * 10
        assert dataset.looked(ref)[0] == str(tmp_path.resolve() / "root" / ref.path)


def images(rows):
    return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def test_hugging_face_images_are_read_from_the_table(tmp_path):
    rows = [
        {"bytes": b"one", "path": "a.png"},
        {"bytes": None, "path": "b.png"},
        {"bytes": b"", "path": None},
    ]
    put(tmp_path, "b.png")
    table = parquet(tmp_path / "t.parquet", {"image": images(rows), "label": [1, 2, 3]})
    with opened(table, tmp_path) as dataset:
        assert ids(dataset) == ["a.png", "b.png", "row-2"]
        assert [ref.input_row for ref in all_refs(dataset)] == [
            f'{{"label":{n}}}' for n in (1, 2, 3)
        ]
        assert [read(dataset, 0), read(dataset, 1)] == [b"one", PNG]
        assert refusal(dataset, 2).failure == FailureClass.EMPTY
        assert dataset.looked(all_refs(dataset)[2]) == []


def test_as_datasets_itself_writes_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    features = datasets.Features({"photo": datasets.Image(), "n": datasets.Value("int64")})
    made = datasets.Dataset.from_dict(
        {"photo": [corners(), corners()], "n": [1, 2]}, features=features
    )
    made.to_parquet(tmp_path / "hf.parquet")
    with opened(tmp_path / "hf.parquet", tmp_path) as dataset:
        assert read(dataset, 1)[:4] == b"\x89PNG"
        assert ids(dataset) == ["row-0", "row-1"]


def test_images_inside_whose_paths_are_there_twice_are_called_by_their_number(tmp_path):
    rows = [{"bytes": b"one", "path": "0.png"}, {"bytes": b"two", "path": "0.png"}]
    with opened(parquet(tmp_path / "t.parquet", {"image": images(rows)}), tmp_path) as dataset:
        assert ids(dataset) == ["row-0", "row-1"]
        assert [ref.path for ref in all_refs(dataset)] == ["0.png", "0.png"]
    table = parquet(tmp_path / "t.parquet", {"image": images(rows), "id": ["x", "x"]})
    with opened(table, tmp_path) as dataset:
        assert ids(dataset) == ["row-0", "row-1"]
        assert [ref.input_row for ref in all_refs(dataset)] == ['{"id":"x"}'] * 2


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        ("image,question\na.png,1\nb.png,2\na.png,3\n", "rows 1 and 3 are both called 'a.png'"),
        ("id,image,split\n1,a.png,train\n2,b.png,train\n1,a.png,val\n", "both called '1'"),
    ],
)
def test_rows_that_share_an_image_or_an_id_are_called_by_their_number_and_this_is_told(
    tmp_path, text, notice
):
    put(tmp_path, "a.png", "b.png")
    with opened(csv(tmp_path, text), tmp_path) as dataset:
        assert ids(dataset) == ["row-0", "row-1", "row-2"]
        assert [ref.path for ref in all_refs(dataset)] == ["a.png", "b.png", "a.png"]
        assert [read(dataset, row) for row in range(3)] == [PNG] * 3
        assert notice in dataset.notices[0]
        assert '"1"' in all_refs(dataset)[0].input_row  # the question or the id is not lost


def test_a_hole_in_a_table_is_one_row_that_is_called_by_its_number(tmp_path):
    for text, name, wanted in [
        ('image\na.png\n""\nb.png\n', "t.csv", ["a.png", "row-1", "b.png"]),
        ("id,image\n1,a.png\n,b.png\n", "t.csv", ["1", "row-1"]),
        ('{"image":"a"}\n{"x":1}', "t.jsonl", ["a", "row-1"]),
    ]:
        with opened(csv(tmp_path, text, name), tmp_path) as dataset:
            assert ids(dataset) == wanted
            assert not dataset.notices
    null = parquet(tmp_path / "n.parquet", {"image_path": ["x", None]})
    with opened(null, tmp_path) as dataset:
        assert ids(dataset) == ["x", "row-1"]
        assert refusal(dataset, 1).failure == FailureClass.NOT_FOUND


def test_a_plain_column_of_bytes_will_do(tmp_path):
    table = parquet(tmp_path / "t.parquet", {"content": [b"one", b"two"], "id": [5, 6]})
    with opened(table, tmp_path) as dataset:
        assert ids(dataset) == ["5", "6"]
        assert read(dataset, 1) == b"two"


def test_a_table_of_nothing_but_bytes_is_a_dataset(tmp_path):
    with opened(parquet(tmp_path / "t.parquet", {"image": [b"one", b"two"]}), tmp_path) as dataset:
        assert ids(dataset) == ["row-0", "row-1"]
        assert read(dataset, 1) == b"two"


def test_images_over_the_limit_are_refused_wherever_they_are(tmp_path):
    put(tmp_path, "big.png", data=b"x" * 11)
    table = parquet(tmp_path / "t.parquet", {"image": images([{"bytes": b"x" * 11, "path": "x"}])})
    for source in (table, tmp_path / "big.png"):
        with opened(source, tmp_path, max_bytes=10) as dataset:
            assert refusal(dataset).failure == FailureClass.TOO_LARGE
        with opened(source, tmp_path, max_bytes=11) as dataset:
            assert read(dataset) == b"x" * 11


@pytest.mark.parametrize("group_rows", [1, 7, 64, 10_000])
def test_any_row_of_any_row_group_is_read_in_any_order(tmp_path, group_rows):
    count = 3_000
    table = parquet(
        tmp_path / "t.parquet",
        {
            "id": [f"i{n}" for n in range(count)],
            "image": images([{"bytes": b"%d" % n, "path": None} for n in range(count)]),
        },
        row_group_size=group_rows,
    )
    with opened(table, tmp_path) as dataset:
        for start in (0, 999, 25, 2_990, 500, 501, 0):
            assert [ref.id for ref in dataset.refs(start, start + 25)] == [
                f"i{n}" for n in range(start, min(start + 25, count))
            ]
        for row in (0, 26, 25, 2_999, 1, 1_500):
            assert read(dataset, row) == b"%d" % row
        assert dataset.refs(count, count + 5) == []


def test_a_table_with_empty_row_groups_is_read(tmp_path):
    schema = pa.schema([("path", pa.string())])
    with pq.ParquetWriter(tmp_path / "t.parquet", schema) as writer:
        for rows in ([], ["a"], [], [], ["b", "c"], []):
            writer.write_table(pa.table({"path": pa.array(rows, pa.string())}))
    with opened(tmp_path / "t.parquet", tmp_path) as dataset:
        assert ids(dataset) == ["a", "b", "c"]
        assert [ref.id for ref in dataset.refs(1, 2)] == ["b"]


def test_rows_can_be_read_at_once_by_many_tasks(tmp_path):
    rows = [{"bytes": b"%d" % n, "path": None} for n in range(200)]
    table = parquet(tmp_path / "t.parquet", {"image": images(rows)}, row_group_size=50)

    async def read_all(dataset):
        refs = await asyncio.gather(
            *(asyncio.to_thread(dataset.refs, n, n + 1) for n in range(200))
        )
        return await asyncio.gather(*(dataset.read(ref[0]) for ref in refs))

    with opened(table, tmp_path) as dataset:
        assert asyncio.run(read_all(dataset)) == [b"%d" % n for n in range(200)]


def test_odd_values_of_other_columns_do_not_break_the_row(tmp_path):
    import datetime as dt

    columns = {
        "path": ["a"], "nan": [float("nan")], "when": [dt.date(2026, 1, 2)], "long": ["x" * 2000],
        "raw": [b"\xff"], "list": [[1]], "yes": [True],
    }  # fmt: skip
    with opened(parquet(tmp_path / "t.parquet", columns), tmp_path, image_column="path") as dataset:
        (ref,) = all_refs(dataset)
        assert json.loads(ref.input_row) == {"nan": None, "when": "2026-01-02", "yes": True}


def test_metadata_of_another_shape_and_names_with_dots_do_no_harm(tmp_path):
    columns = {"path": ["a"], "metadata": [{"page": 1}], "a.b": [3], "c": [{"d": 1}]}
    with opened(parquet(tmp_path / "t.parquet", columns), tmp_path) as dataset:
        (ref,) = all_refs(dataset)
        assert (ref.original_source, json.loads(ref.input_row)) == ("", {"a.b": 3})


def test_columns_of_one_name_are_refused(tmp_path):
    two = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["path", "path"])
    pq.write_table(two, tmp_path / "t.parquet")
    assert "has two columns 'path'" in complaint("t.parquet", tmp_path)
    assert "has two columns 'path'" in complaint(csv(tmp_path, "path,path\na,b\n"), tmp_path)


def test_parquet_that_cannot_be_used_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no PAR1")
    assert "not a parquet file" in complaint("x.parquet", tmp_path)
    assert "has no column with images" in complaint(
        parquet(tmp_path / "y.parquet", {"a": [1]}), tmp_path
    )
    empty = parquet(tmp_path / "z.parquet", {"image": pa.array([], pa.string())})
    assert "has no rows" in complaint(empty, tmp_path)


def test_results_of_a_run_are_no_dataset(tmp_path):
    with LabelsWriter(tmp_path / "l.parquet"), FailuresWriter(tmp_path / "f.parquet"):
        pass
    for name in ("l", "f"):
        assert "is the result of a run" in complaint(f"{name}.parquet", tmp_path)
        table = pq.read_table(tmp_path / f"{name}.parquet").replace_schema_metadata(None)
        pq.write_table(table, tmp_path / "copy.parquet")
        assert "table of a run (it has a column" in complaint("copy.parquet", tmp_path)


# ids that are there twice


@given(st.lists(st.sampled_from("abcdefghij"), max_size=12))
def test_the_first_row_whose_id_was_there_before_is_found(ids_):
    expected = next(
        ((ids_.index(id_), row, id_) for row, id_ in enumerate(ids_) if id_ in ids_[:row]), None
    )
    assert first_duplicate(lambda: ids_) == expected


def test_equal_hashes_of_different_ids_are_no_duplicates(monkeypatch):
    monkeypatch.setattr(sources, "hash", lambda _: 1, raising=False)
    assert first_duplicate(lambda: ["a", "b", "c"]) is None
    assert first_duplicate(lambda: ["a", "b", "a"]) == (0, 2, "a")
