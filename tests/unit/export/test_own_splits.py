"""The user's own train, val and test: kept from the input to every export, and no share comes out empty."""

from __future__ import annotations

import json
import re
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from ocrlabel.dataset.labels_table import LABELS, LabelsWriter, label_rows, read_labels
from ocrlabel.dataset.rows import split_named
from ocrlabel.errors import ConfigError
from ocrlabel.export.export_pages import document_of, parse_shares, split_of
from ocrlabel.export.formats import EXPORTS, ExportOptions, SplitPlan, export_of
from ocrlabel.export.images import Folder, LabelledImages
from ocrlabel.export.near_duplicates import near_duplicates
from ocrlabel.export.yolo import export as yolo
from ocrlabel.labels import Labelled, Page
from tests.support.labelled import Pictures, row, word
from tests.unit.dataset.made import corners, saved
from tests.unit.dataset.opened import all_refs, opened

PICTURE = saved(corners(), "PNG")


def labelled(source, cwd) -> list:
    """The labels rows of an input, as a run writes them."""
    with opened(source, cwd) as dataset:
        refs = all_refs(dataset)
    return [
        r
        for ref in refs
        for r in label_rows(
            ref, Labelled(ref.ordinal, ref.id, "k", "s", (Page(1, 48, 32),), "scripted", "1", 0.0)
        )
    ]


def dictionary(names):
    return pa.array(names).dictionary_encode()


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("split", pa.array(["train", "val", "test"]), ["train", "val", "test"]),
        ("split", dictionary(["train", "val", "test"]), ["train", "val", "test"]),
        ("split", pa.array(["train", "validation", "dev"], pa.large_string()), None),
        ("split", pa.array(["train", "valid", "test"], pa.string_view()), None),
        ("Split", pa.array(["train", " val ", None]), ["train", "val", ""]),
        ("subset", pa.array(["Train", "Val", "Test"]), ["Train", "Val", "Test"]),
        ("split", pa.array([0, 1, 2]), ["0", "1", "2"]),
        ("split", pa.array([0.0, 1.0, None]), ["0", "1", ""]),
        ("split", pa.array([0.5, float("nan"), 1.0]), ["0.5", "", "1"]),
        ("fold", pa.array(["train", "val", "test"]), ["", "", ""]),
    ],
)
def test_a_column_of_splits_is_kept_beside_the_tables_own(tmp_path, column, values, told):
    names = pa.array(["a.png", "b.png", "c.png"])
    pq.write_table(pa.table({"image_path": names, column: values}), tmp_path / "in.parquet")
    rows = labelled("in.parquet", tmp_path)
    assert [r.input_split for r in rows] == (values.to_pylist() if told is None else told)
    assert {r.split for r in rows} == {"pseudo"}


def test_a_text_tables_splits_are_kept_too(tmp_path):
    (tmp_path / "in.csv").write_text("image_path,split\na.png,train\nb.png,test\n")
    (tmp_path / "in.jsonl").write_text('{"image_path":"a.png","split":"train"}\n')
    assert [r.input_split for r in labelled("in.csv", tmp_path)] == ["train", "test"]
    assert [r.input_split for r in labelled("in.jsonl", tmp_path)] == ["train"]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train/a.png", "train"),
        ("images/val/a.png", "val"),
        ("Test/a.png", "Test"),
        ("val2017/a.png", "val"),
        ("validation/x/a.png", "validation"),
        ("eval/a.png", "eval"),
        ("x/evaluation/a.png", "evaluation"),
        ("train\\a.png", "train"),
        ("1.Training/원천데이터/a.png", "Training"),
        ("testing_data/images/a.png", "testing"),
        ("val_set/a.png", "val"),
        ("train images/a.png", "train"),
        ("training_day/a.png", ""),
        ("1test2/a.png", ""),
        ("train.png", ""),
        ("/data/test/a.png", ""),
        ("s3://bucket/train/a.png", ""),
    ],
)
def test_a_folder_called_like_a_split_is_one(path, split):
    assert split_named("{}", path) == split
    assert split_named('{"split":"mine"}', path) == "mine"


def test_the_folders_of_a_folder_are_its_splits(tmp_path):
    for name in ("train/a.png", "val/b.png", "c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(PICTURE)
    splits = {r.id: r.input_split for r in labelled("in", tmp_path)}
    assert splits == {"train/a.png": "train", "val/b.png": "val", "c.png": ""}


def test_the_split_is_in_the_table_and_is_found_in_tables_of_before_it_was(tmp_path):
    mine = row("a.png", input_row='{"split":"val"}', input_split="val")
    with LabelsWriter(tmp_path / "new.parquet") as table:
        table.add(mine)
    new = pq.read_table(tmp_path / "new.parquet")
    assert new.column("input_split").to_pylist() == ["val"]
    pq.write_table(new.drop_columns(["input_split"]), tmp_path / "old.parquet")
    assert [*read_labels(tmp_path / "old.parquet")] == [mine]
    theirs = new.drop_columns(["input_split"]).set_column(2, LABELS.field("split"), [["test"]])
    pq.write_table(theirs, tmp_path / "theirs.parquet")
    assert [split_of(r, SplitPlan()) for r in read_labels(tmp_path / "theirs.parquet")] == ["test"]


TABLE = [row(f"{n}.png", [word(f"w{n}")], input_split=s)
         for n, s in enumerate(["train"] * 3 + ["val"] * 2 + ["test"])]  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_follows_the_inputs_splits_unless_told_otherwise(tmp_path, name):
    told = export_of(name)(iter(TABLE), Pictures(), tmp_path / "own", ExportOptions())
    assert told.splits == {"train": 3, "val": 2, "test": 1}
    plan = parse_shares("all=1")
    made = export_of(name)(iter(TABLE), Pictures(), tmp_path / "new", ExportOptions(splits=plan))
    assert made.splits == {"all": 6}


def test_no_seed_gives_an_empty_share_and_the_remedy_is_one(tmp_path):
    refused = 0
    for seed in range(1, 30):
        out = tmp_path / str(seed)
        options = ExportOptions(splits=parse_shares("train=0.8,val=0.2", seed=str(seed)))
        if len({split_of(r, options.splits) for r in TABLE}) < 2:
            refused += 1
            told = r"(?s)val would be empty: 6 documents for 2 splits.*--seed \d+"
            with pytest.raises(ConfigError, match=told) as found:
                yolo(iter(TABLE), Pictures(), out, options)
            assert not [*out.iterdir()]
            mend = re.search(r"--seed (\d+)", str(found.value))[1]
            options = ExportOptions(splits=parse_shares("train=0.8,val=0.2", seed=mend))
        yolo(iter(TABLE), Pictures(), out, options)
        data = yaml.safe_load((out / "data.yaml").read_text())
        assert (data["train"], data["val"]) == (["images/train"], ["images/val"])
    assert refused


def test_fewer_documents_than_splits_is_told_as_that(tmp_path):
    options = ExportOptions(splits=parse_shares("train=0.8,val=0.1,test=0.1"))
    with pytest.raises(ConfigError, match="2 documents for 3 splits\n  label more documents"):
        yolo(iter(TABLE[:2]), None, tmp_path, options)


def test_a_share_of_nothing_may_be_empty(tmp_path):
    options = ExportOptions(splits=parse_shares("train=1,val=0"))
    assert yolo(iter(TABLE), None, tmp_path, options).splits == {"train": 6}


@pytest.mark.parametrize(
    "name",
    ["val", "valid", "validation", "dev", "Val", "val2017", "val_unseen", "eval2", "evaluation"],
)
def test_yolo_validates_on_the_split_that_is_for_it(tmp_path, name):
    rows = [row("a.png", [word()], input_split="train"), row("b.png", [word()], input_split=name)]
    told = yolo(iter(rows), None, tmp_path, ExportOptions())
    data = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert (data["train"], data["val"]) == (["images/train"], [f"images/{name}"])
    assert not told.warnings


@pytest.mark.parametrize(
    "name", ["test", "Testing", "test-clean", "test_seen", "test2", "test_x.y"]
)
def test_yolo_never_trains_on_a_split_that_is_called_a_test(tmp_path, name):
    table = [row(f"{split}.jpg", [word()], input_split=split) for split in ("train", "val", name)]
    export_of("yolo")(iter(table), Pictures(), tmp_path, ExportOptions())
    data = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert data["train"] == ["images/train"]
    assert data["test"] == [f"images/{name}"]


def test_a_share_that_loses_its_last_page_on_the_way_is_told(tmp_path):
    table = [row("a.jpg", [word()]), row("b.jpg", [word()], classes=("ignore",))]
    plan = next(
        plan
        for plan in (parse_shares("train=.5,val=.5", seed=str(n)) for n in range(50))
        if [split_of(one, plan) for one in table] == ["train", "val"]
    )
    told = export_of("lmdb")(iter(table), Pictures(), tmp_path / "x", ExportOptions(splits=plan))
    assert told.splits == {"train": 1}
    assert told.warnings[-1].startswith("--splits: val came out empty: of its pages no image")


@pytest.mark.parametrize("name", EXPORTS)
def test_splits_that_differ_in_case_alone_are_one_and_that_is_told(tmp_path, name):
    table = [
        row(f"{n}.jpg", [word()], input_split=s) for n, s in enumerate(["Train", "train", "val"])
    ]
    told = export_of(name)(iter(table), Pictures(), tmp_path, ExportOptions())
    assert told.splits == {"Train": 2, "val": 1}
    assert any("the splits Train and train are one" in warning for warning in told.warnings)
    made = [path.name for path in tmp_path.rglob("*")]
    assert not any("train" in one and one.replace("train", "Train") in made for one in made)


def test_yolo_never_validates_on_its_training_data_without_a_word(tmp_path):
    told = yolo(iter(TABLE[:3]), None, tmp_path, ExportOptions())
    assert "validates on the training data" in told.warnings[0]
    assert told.warnings[0] in (tmp_path / "README.md").read_text()


def page(text: str, px: int = 60) -> Image.Image:
    picture = Image.new("RGB", (600, 400), "white")
    draw = ImageDraw.Draw(picture)
    for line, part in enumerate(text.split("|")):
        draw.text((20, 10 + line * 90), part, fill="black", font=ImageFont.load_default(px))
    return picture


def look_alikes(original: Image.Image) -> dict[str, Image.Image]:
    worse = BytesIO()
    original.save(worse, "JPEG", quality=30)
    return {
        "worse": Image.open(worse),
        "smaller": original.resize((300, 200)),
        "darker": ImageEnhance.Brightness(original).enhance(0.8),
    }


def test_near_duplicates_are_on_one_side_when_asked(tmp_path):
    texts = ["TOTAL|12,500|CARD", "Dear Sir,|we regret|to inform|you", "|MENU||Soup 3.50"]
    alike = [[*look_alikes(page(text)).values(), page(text)] for text in texts]
    rows = []
    for number, pictures in enumerate(alike):
        for copy, picture in enumerate(pictures):
            name = f"{number}-{copy}.png"
            picture.save(tmp_path / name)
            rows.append(row(name, [word()], image_path=name, image_sha256=f"{number}{copy}",
                            width_px=picture.width, height_px=picture.height))  # fmt: skip
    by_name = {r.image_sha256: r for r in rows}

    class Drawn(Pictures):
        def pixels(self, asked):
            return Image.open(tmp_path / asked.image_path).convert("RGB")

    groups = near_duplicates(rows, Drawn())
    assert {d: groups.get(d, d) for d in by_name} == {d: f"{d[0]}0" for d in by_name}
    shares = (("train", 0.5), ("val", 0.5))
    for seed in map(str, range(20)):
        sides = {(r.image_sha256[0], split_of(r, SplitPlan(shares, seed, groups))) for r in rows}
        assert len(sides) == len(texts)
    assert document_of(rows[1]) == rows[1].image_sha256


def test_empty_pages_are_no_duplicates_of_each_other(tmp_path):
    rows = [row(f"{n}.png", image_sha256=str(n)) for n in range(3)]
    assert near_duplicates(rows, Pictures()) == {}
    assert near_duplicates(rows, LabelledImages([Folder(tmp_path)])) == {}


def test_near_duplicates_that_the_inputs_splits_divide_are_counted(tmp_path):
    rows = [row("a.png", [word()], input_split="train"), row("b.png", [word()], input_split="val")]
    plan = SplitPlan(groups=near_duplicates(rows, Pictures()))
    told = export_of("coco")(iter(rows), None, tmp_path, ExportOptions(splits=plan))
    assert told.leaks == 1
    assert json.loads((tmp_path / "annotations" / "instances_val.json").read_text())["images"]
