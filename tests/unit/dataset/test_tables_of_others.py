"""Tables as other tools write them: read as they are, or refused with the place and the remedy."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocrlabel.dataset.labels_table import FailuresWriter, LabelsWriter, label_rows
from ocrlabel.dataset.rows import split_named
from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.hf import export as export_hf
from ocrlabel.labels import FailureClass, Labelled, Page
from tests.support.labelled import Pictures, row, word
from tests.unit.dataset.made import corners, saved
from tests.unit.dataset.opened import all_refs, complaint, opened, parquet, read, refusal

ONE, TWO = saved(corners(), "PNG"), saved(corners(64, 32), "PNG")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
LARGE = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
VIEWS = pa.struct([("path", pa.string_view()), ("bytes", pa.binary_view())])
STRUCTS = [{"bytes": ONE, "path": "a.png"}, {"bytes": TWO, "path": None}]
WITH_BYTES = {
    "binary": pa.array([ONE, TWO]),
    "large binary": pa.array([ONE, TWO], pa.large_binary()),
    "binary view": pa.array([ONE, TWO], pa.binary_view()),
    "dictionary": pa.array([ONE, TWO]).dictionary_encode(),
    "struct": pa.array(STRUCTS, IMAGE),
    "struct of large types": pa.array(STRUCTS, LARGE),
    "struct of views": pa.array(STRUCTS, VIEWS),
    "struct of bytes alone": pa.array([{"bytes": ONE}, {"bytes": TWO}]),
    "list of bytes": pa.array([[ONE], [TWO]]),
    "list of structs": pa.array([[one] for one in STRUCTS], pa.list_(IMAGE)),
    "large list of structs": pa.array([[one] for one in STRUCTS], pa.large_list(IMAGE)),
    "list of one": pa.array([[ONE], [TWO]], pa.list_(pa.binary(), 1)),
}
PATHS = ["a.png", "b.png"]
WITH_PATHS = {
    "string": pa.array(PATHS),
    "large string": pa.array(PATHS, pa.large_string()),
    "string view": pa.array(PATHS, pa.string_view()),
    "dictionary": pa.array(PATHS).dictionary_encode(),
    "list": pa.array([[path] for path in PATHS]),
    "struct with nothing in its bytes": pa.array([{"bytes": None, "path": p} for p in PATHS], IMAGE),
    "struct of a path alone": pa.array([{"path": p} for p in PATHS]),
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(ONE)
    (tmp_path / "b.png").write_bytes(TWO)
    return tmp_path


@pytest.mark.parametrize("column", ["image", "images", "picture"])
@pytest.mark.parametrize("kind", WITH_BYTES)
def test_images_inside_are_read_whatever_the_type_that_holds_them(tmp_path, kind, column):
    table = parquet(tmp_path / "t.parquet", {"n": [1, 2], column: WITH_BYTES[kind]})
    with opened(table, tmp_path) as dataset:
        assert [read(dataset, n) for n in range(2)] == [ONE, TWO]
        assert [ref.input_row for ref in all_refs(dataset)] == ['{"n":1}', '{"n":2}']


@pytest.mark.parametrize("column", ["image_path", "images", "picture"])
@pytest.mark.parametrize("kind", WITH_PATHS)
def test_paths_are_read_whatever_the_type_that_holds_them(pictures, kind, column):
    table = parquet(pictures / "t.parquet", {column: WITH_PATHS[kind]})
    with opened(table, pictures, image_column=column) as dataset:
        assert [ref.id for ref in all_refs(dataset)] == PATHS
        assert [read(dataset, n) for n in range(2)] == [ONE, TWO]


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        ({"thumbnail": [TWO, ONE], "image_path": PATHS}, "image_path"),
        ({"phash": [b"1", b"2"], "path": PATHS}, "path"),
        ({"thumbnail": STRUCTS[::-1], "file_name": PATHS}, "file_name"),
        ({"path": ["x", "y"], "content": [ONE, TWO]}, "content"),  # as Spark reads a folder
        ({"image_path": ["x", "y"], "image": STRUCTS}, "image"),
        ({"path": ["x", "y"], "Image_Bytes": [ONE, TWO]}, "Image_Bytes"),
        ({"image": pa.nulls(2), "path": PATHS}, "path"),
        ({"embedding": [b"1", b"2"], "picture": PATHS, "filename": PATHS}, "filename"),
    ],
)
def test_of_several_columns_the_one_that_is_called_an_image_is_taken(pictures, columns, taken):
    with opened(parquet(pictures / "t.parquet", columns), pictures) as dataset:
        assert [read(dataset, n) for n in range(2)] == [ONE, TWO], taken


@pytest.mark.parametrize(
    "values",
    [
        pa.array([STRUCTS[0], None], IMAGE),
        pa.array([STRUCTS[0], {"bytes": None, "path": None}], IMAGE),
        pa.array([[STRUCTS[0]], []], pa.list_(IMAGE)),
        pa.array([[STRUCTS[0]], None], pa.list_(IMAGE)),
        pa.array([[STRUCTS[0]], STRUCTS], pa.list_(IMAGE)),
        pa.array([[ONE], [ONE, TWO]]),
        pa.array([ONE, None]),
        pa.array([ONE, None]).dictionary_encode(),
    ],
)
def test_a_row_with_no_image_or_with_several_fails_by_itself(tmp_path, values):
    with opened(parquet(tmp_path / "t.parquet", {"image": values}), tmp_path) as dataset:
        assert read(dataset, 0) == ONE
        assert refusal(dataset, 1).failure == FailureClass.NOT_FOUND
        assert "no image, or more than one" in str(refusal(dataset, 1))


@pytest.mark.parametrize(
    "values", [pa.array([[1, 2]], pa.list_(pa.uint8())), pa.array([1.5]), pa.array([{"x": 1}])]
)
def test_a_column_of_another_type_is_refused_by_its_name_and_type(tmp_path, values):
    told = complaint(parquet(tmp_path / "t.parquet", {"image": values}), tmp_path)
    assert f"column 'image' holds {values.type}".replace("item", "element") in told
    assert "--image-column" in told


@pytest.mark.parametrize("column", ["split", "Subset", "input_split"])
@pytest.mark.parametrize(
    "values", [pa.array([["train"]]), pa.array([{"name": "train"}]), pa.array([b"train"])]
)
def test_a_split_that_is_no_text_is_refused_and_not_lost(pictures, values, column):
    told = complaint(
        parquet(pictures / "t.parquet", {"image_path": ["a.png"], column: values}), pictures
    )
    assert f"t.parquet: column {column!r} holds {values.type}".replace("item", "element") in told
    assert "call the column otherwise" in told


def test_names_of_columns_may_have_spaces_around_them(pictures):
    (pictures / "t.csv").write_text("id, image ,label, Split\n1, a.png,x, train\n2,b.png,y,\n")
    (pictures / " a.png").write_bytes(ONE)
    with opened("t.csv", pictures) as dataset:
        refs = all_refs(dataset)
        assert [ref.id for ref in refs] == ["1", "2"]
        assert [split_named(ref.input_row, ref.path) for ref in refs] == ["train", ""]


def test_a_dataset_that_was_saved_to_disk_is_refused_with_the_way_on(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "data-00000-of-00001.arrow").write_bytes(b"ARROW1")
    (tmp_path / "in" / "state.json").write_text("{}")
    assert "to_parquet()" in complaint("in", tmp_path)


@pytest.mark.parametrize("cell", ['["train"]', '{"name": "train"}'])
def test_a_split_that_is_no_text_is_refused_by_its_line(pictures, cell):
    lines = '{"image_path": "a.png"}\n{"image_path": "b.png", "split": %s}\n'
    (pictures / "t.jsonl").write_text(lines % cell)
    told = complaint("t.jsonl", pictures)
    assert f"t.jsonl, line 2: column 'split' holds {cell}" in told
    (pictures / "t.jsonl").write_text((lines % cell).replace("split", "tags"))
    with opened("t.jsonl", pictures) as dataset:
        assert dataset.rows == 2


def test_text_that_is_no_path_is_told_by_its_beginning(tmp_path):
    table = parquet(tmp_path / "t.parquet", {"image": ["iVBORw0KGgo" * 1000]})
    with opened(table, tmp_path) as dataset:
        assert "is no path: 11,000 characters" in str(refusal(dataset))
        assert len(str(refusal(dataset))) < 100


# shards


def shards(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        images = [{"bytes": saved(corners(48 + 2 * number, 32), "PNG"), "path": f"{k}.png"}
                  for k in range(number + 1)]  # fmt: skip
        pq.write_table(pa.table({"image": pa.array(images, IMAGE), "n": [number] * (number + 1)}),
                       folder / name)  # fmt: skip


def widths(dataset):
    return [int.from_bytes(read(dataset, n)[16:20]) for n in range(dataset.rows)]


@pytest.mark.parametrize("source", ["data", "data/train-*.parquet", "data/*", "."])
def test_the_shards_of_a_folder_or_a_glob_are_one_table_in_order(tmp_path, source):
    shards(tmp_path / "data", *[f"train-0000{n}-of-00003.parquet" for n in range(3)])
    with opened(source, tmp_path) as dataset:
        assert dataset.rows == 6
        assert widths(dataset) == [48, 50, 50, 52, 52, 52]
        refs = all_refs(dataset)
        assert [ref.ordinal for ref in refs] == [*range(6)]
        assert [ref.id for ref in refs] == [f"row-{n}" for n in range(6)]
        assert [json.loads(ref.input_row)["n"] for ref in refs] == [0, 1, 1, 2, 2, 2]
        assert {json.loads(ref.input_row)["split"] for ref in refs} == {"train"}
        for start in range(7):
            for stop in range(start, 7):
                assert dataset.refs(start, stop) == refs[start:stop]


def test_more_shards_than_are_open_at_once_are_read_in_any_order(tmp_path):
    shards(tmp_path / "data", *[f"{n:05}.parquet" for n in range(9)])
    with opened("data", tmp_path) as dataset:
        wanted = widths(dataset)
        again = [int.from_bytes(read(dataset, n)[16:20]) for n in reversed(range(dataset.rows))]
        assert again == wanted[::-1]


def test_a_shards_name_says_its_split(tmp_path):
    shards(tmp_path / "data", "test-00000-of-00001.parquet", "train-00000-of-00001.parquet",
           "validation.parquet")  # fmt: skip
    shards(tmp_path / "data" / "val", "0.parquet")
    with opened("data", tmp_path) as dataset:
        found = [json.loads(ref.input_row)["split"] for ref in all_refs(dataset)]
    assert found == ["test", "train", "train", "val", *["validation"] * 3]


def test_in_the_layout_of_the_hub_a_split_may_be_called_anything(tmp_path):
    shards(tmp_path / "hub" / "data", "ko-00000-of-00001.parquet", "my_val-00000.parquet",
           "train_sft-00000-of-00001-0a1b2c.parquet")  # fmt: skip
    shards(tmp_path / "hub" / "other", "part-00000-of-00001.parquet")
    with opened("hub", tmp_path) as dataset:
        found = [json.loads(ref.input_row).get("split") for ref in all_refs(dataset)]
    assert found == ["ko", "my_val", "my_val", *["train_sft"] * 3, None]


def test_the_fingerprint_of_shards_is_that_of_their_names_and_bytes(tmp_path):
    shards(tmp_path / "a", "0.parquet", "1.parquet")
    shards(tmp_path / "b", "0.parquet", "1.parquet")
    seen = []
    for folder in ("a", "b"):
        with opened(folder, tmp_path) as dataset:
            seen.append(dataset.fingerprint)
    assert seen[0] == seen[1]
    (tmp_path / "b" / "1.parquet").rename(tmp_path / "b" / "2.parquet")
    with opened("b", tmp_path) as dataset:
        assert dataset.fingerprint != seen[0]


def test_results_and_empty_shards_among_them_are_left_out_and_counted(tmp_path):
    shards(tmp_path / "data", "0.parquet", "1.parquet")
    pq.write_table(pa.table({"image": pa.array([], IMAGE)}), tmp_path / "data" / "empty.parquet")
    with LabelsWriter(tmp_path / "data" / "l.parquet"), FailuresWriter(tmp_path / "data/f.parquet"):
        pass
    with opened("data", tmp_path) as dataset:
        assert dataset.rows == 3
        assert dataset.skipped == {"of a run": 2}


def test_a_folder_of_results_alone_is_no_dataset(tmp_path):
    (tmp_path / "data").mkdir()
    with LabelsWriter(tmp_path / "data" / "l.parquet"):
        pass
    assert "there is no image in it" in complaint("data", tmp_path)


def test_shards_with_paths_are_found_in_the_folder(pictures):
    (pictures / "data").mkdir()
    for number, path in enumerate(PATHS):
        parquet(pictures / "data" / f"{number}.parquet", {"image_path": [path], "id": ["same"]})
        (pictures / path).rename(pictures / "data" / path)
    with opened("data/*.parquet", pictures) as dataset:
        assert [ref.id for ref in all_refs(dataset)] == ["row-0", "row-1"]
        assert "both called 'same'" in dataset.notices[0]
        assert [read(dataset, n) for n in range(2)] == [ONE, TWO]


def test_a_shard_without_an_image_is_named(tmp_path):
    shards(tmp_path / "data", "0.parquet")
    parquet(tmp_path / "data" / "1.parquet", {"a": [1]})
    assert "1.parquet has no column with images" in complaint("data", tmp_path)


def test_our_own_export_for_hugging_face_is_an_input_again(tmp_path):
    table = [
        row(f"{n}.png", [word(f"w{n}")], input_split=s) for n, s in enumerate(["train", "val"])
    ]
    export_hf(iter(table), Pictures(), tmp_path / "hf", ExportOptions())
    with opened("hf", tmp_path) as dataset:
        refs = all_refs(dataset)
        assert [ref.id for ref in refs] == ["0.png", "1.png"]
        answer = Labelled(0, "", "k", "s", (Page(1, 200, 100),), "scripted", "1", 0.0)
        again = [r for ref in refs for r in label_rows(ref, answer)]
        assert [r.input_split for r in again] == ["train", "val"]
        assert [read(dataset, n) for n in range(2)] == [Pictures().file(r).data for r in table]
    (shard,) = (tmp_path / "hf" / "data").glob("val-*.parquet")
    with opened(shard, tmp_path) as dataset:
        assert dataset.rows == 1


# text

LINES = "image_path,memo\r\na.png,한글\r\nb.png,x\r\n"


@pytest.mark.parametrize(
    ("data", "notice"),
    [
        (LINES.encode("cp949"), "CP949"),
        (LINES.replace("\r\n", "\r").encode("cp949"), "CP949"),
        (LINES.replace(",", "\t").encode("utf-16"), "UTF-16"),
        (LINES.encode("utf-16-le"), "UTF-16"),
        (LINES.encode("utf-16-be"), "UTF-16"),
        (LINES.encode("utf-8-sig"), ""),
        (LINES.replace("\r\n", "\n").encode(), ""),
        (LINES.replace("\r\n", "\r").encode(), ""),
        (LINES.replace("\r\n", "\r").encode("utf-8-sig"), ""),
        (LINES.replace(",", ";").encode(), ""),
        (LINES.replace(",", "\t").encode(), ""),
        (LINES.replace(",", "|").encode(), ""),
        (("sep=;\r\n" + LINES.replace(",", ";")).encode("utf-8-sig"), ""),
        (("sep=\t\n" + LINES.replace(",", "\t")).encode(), ""),
        (("SEP=;\r\n" + LINES.replace(",", ";")).encode("cp949"), "CP949"),
        (LINES.replace("\r\n", ",,\r\n").replace("memo,,", "memo").encode(), ""),
    ],
)
def test_a_csv_of_any_spreadsheet_is_read(pictures, data, notice):
    (pictures / "t.csv").write_bytes(data)
    with opened("t.csv", pictures) as dataset:
        refs = all_refs(dataset)
        assert [json.loads(ref.input_row) for ref in refs] == [{"memo": "한글"}, {"memo": "x"}]
        assert [read(dataset, n) for n in range(2)] == [ONE, TWO]
        assert [dataset.refs(n, n + 1)[0] for n in range(2)] == refs
        assert [n for n in dataset.notices if n] == ([f"read as {notice}" + (
            ", Korean Excel's" if notice == "CP949" else "")] if notice else [])  # fmt: skip


def test_a_jsonl_of_another_encoding_is_read(pictures):
    text = '{"image_path":"a.png","memo":"한글"}\r\n'
    for codec in ("utf-8-sig", "utf-16", "cp949"):
        (pictures / "t.jsonl").write_bytes(text.encode(codec))
        with opened("t.jsonl", pictures) as dataset:
            assert json.loads(all_refs(dataset)[0].input_row) == {"memo": "한글"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image_path,memo\na.png,1\nb, copy.png,y\n", "line 3 has 3 cells, the header 2"),
        ('image_path,memo\n"b, copy.png",1\na.png,"x\ny",z\n', "line 3 has 3 cells"),
        ("sep=;\nimage_path;memo\na.png;1;2\n", "line 3 has 3 cells"),
        ("image_path\tmemo\na.png\t1\t2\n", "line 2 has 3 cells"),
    ],
)
def test_a_row_with_more_cells_than_the_header_is_refused_by_its_line(tmp_path, text, told):
    (tmp_path / "t.csv").write_text(text)
    said = complaint("t.csv", tmp_path)
    assert told in said
    assert "put quotes around" in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('image_path,memo\na.png,"un closed\nb.png,b\n', 2),
        ('image_path\tmemo\na.png\tx\nb.png\t"hi\n', 3),
        ('image_path,memo\na.png,"un closed\nb.png,"b"\n', 2),  # the next quote closes it
        ('image_path\n"a.png\nb.png\n', 2),
    ],
)
def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path, text, line):
    (tmp_path / "t.csv").write_text(text)
    said = complaint("t.csv", tmp_path)
    assert f"t.csv, line {line}: " in said
    assert 'inside it a quote is written twice ("")' in said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'image_path,memo\ra.png,"two\nlines"\rb.png,b\r'),  # Excel for Mac
        ("t.csv", '\n\nimage_path,memo\na.png,"two\nlines"\nb.png,b\n'),
        ("t.jsonl", '{"image_path":"a.png","memo":"two\\nlines"}\n{"image_path":"b.png"}\n'),
        ("t.jsonl", '{"memo":"two\\nlines","image_path":"a.png"}\n{"image_path":"b.png"}\n'),
    ],
)
def test_line_ends_in_cells_and_before_the_header_divide_nothing(pictures, name, text):
    (pictures / name).write_bytes(text.encode())
    with opened(name, pictures) as dataset:
        refs = all_refs(dataset)
        assert [ref.path for ref in refs] == PATHS
        assert json.loads(refs[0].input_row) == {"memo": "two\nlines"}


def test_the_first_object_of_a_jsonl_may_lack_what_others_have(pictures):
    (pictures / "t.jsonl").write_text('{"t":"x"}\n{"image_path":"a.png"}\n')
    with opened("t.jsonl", pictures) as dataset:
        assert [ref.path for ref in all_refs(dataset)] == ["", "a.png"]
        assert read(dataset, 1) == ONE


def test_half_of_an_emoji_in_a_jsonl_is_a_question_mark(pictures):
    (pictures / "t.jsonl").write_text('{"image_path":"a.png","note\\ud83d":"x\\ud83d"}\n')
    with opened("t.jsonl", pictures) as dataset:
        (ref,) = all_refs(dataset)
        assert ref.input_row == '{"note?":"x?"}'


def test_in_a_table_of_one_column_a_comma_is_part_of_the_path(tmp_path):
    (tmp_path / "t.csv").write_text('image_path\nb, copy.png\n"c; d.png"\n', "utf-8")
    with opened("t.csv", tmp_path) as dataset:
        assert [ref.path for ref in all_refs(dataset)] == ["b, copy.png", "c; d.png"]


def test_what_divides_a_header_is_not_looked_for_inside_quotes(tmp_path):
    (tmp_path / "t.csv").write_text('"image_path";"a,b,c"\n"x.png";"1"\n')
    with opened("t.csv", tmp_path) as dataset:
        assert all_refs(dataset)[0].input_row == '{"a,b,c":"1"}'


@pytest.mark.parametrize(
    "data",
    [
        "image\né.png\n".encode("latin-1"),
        "image\n한글.png\n영수증.png\n".encode() + b"\xb0\xa1.png\n",  # one line of CP949 in UTF-8
        "image\n한글.png\n".encode() + b"\xff\xff.png\n",
    ],
)
def test_a_line_of_no_encoding_is_refused_by_its_number(tmp_path, data):
    (tmp_path / "t.csv").write_bytes(data)
    number = data.count(b"\n")
    assert f"line {number} is not UTF-8; save the file as UTF-8" in complaint("t.csv", tmp_path)
