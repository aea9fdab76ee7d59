"""What Python offers is what the command does: the same names, values instead of text, no printing."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ocrlabel
from ocrlabel import errors
from ocrlabel.dataset.labels_table import LabelsWriter
from tests.support.command import ocrlabel as command
from tests.support.quality_pages import row, word
from tests.support.s3 import make_bucket, moto_server

ROOT = Path(__file__).parents[2]
WORK = {
    "evaluate": "evaluate",
    "agree": "agree",
    "filter_labels": "filter",
    "export_labels": "export",
    "import_labels": "import",
    "report_labels": "report",
    "status": "status",
}


def write(path: Path, text: str) -> Path:
    with LabelsWriter(path) as table:
        for n in range(4):
            words = [word(text, conf=0.6), word("due", 40, conf=0.99)]
            table.add(row(words, key=str(n), path=f"p{n}.png"))
    return path


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "labels.parquet", "Totl")
    write(tmp_path / "truth.parquet", "Total")
    (tmp_path / "images").mkdir()
    for n in range(4):
        Image.new("RGB", (100, 100), "white").save(tmp_path / "images" / f"p{n}.png")
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that was done from Python."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "images").mkdir()
    for n in range(3):
        Image.new("RGB", (90, 60), (n, 255, 255)).save(folder / "images" / f"{n}.png")
    return ocrlabel.label(
        folder / "images", engine="scripted", output=folder / "labels.parquet", progress=False
    )


def test_every_name_is_there_and_is_what_it_says():
    for name in ocrlabel.__all__:
        assert getattr(ocrlabel, name) is not None, name
    assert dir(ocrlabel) == sorted(ocrlabel.__all__)
    assert ocrlabel.__version__ == version("ocrlabel")
    with pytest.raises(AttributeError, match="no attribute 'lable'"):
        ocrlabel.lable  # noqa: B018


def test_every_error_that_ends_a_command_can_be_caught_by_name():
    ending = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.OcrLabelError)
    }
    assert ending <= {*ocrlabel.__all__}
    assert all(getattr(ocrlabel, name) is getattr(errors, name) for name in ending)


def test_the_import_is_light_and_so_is_a_name_that_needs_no_table():
    heavy = "{'pyarrow', 'numpy', 'pydantic', 'typer', 'PIL', 'obstore', 'asyncio'}"
    program = (
        "import sys, ocrlabel\nocrlabel.ConfigError, ocrlabel.__version__, ocrlabel.Word\n"
        f"print(sorted({heavy} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize("name", WORK)
def test_a_keyword_is_the_option_of_the_command(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = command(WORK[name], "--help").out
    for taken in signature(getattr(ocrlabel, name)).parameters.values():
        flag = f"--{taken.name.replace('_', '-')}"
        assert flag in shown or taken.name in shown, taken.name


def test_evaluate_gives_the_figures_that_the_command_prints(tables, capsys):
    done = ocrlabel.evaluate("labels.parquet", tables / "truth.parquet")
    assert capsys.readouterr() == ("", "")
    printed = command("evaluate", "labels.parquet", "--truth", "truth.parquet", "--json").out
    assert done.to_json() == json.loads(printed)
    assert done.levels[0].counts.end_to_end.recall == 0.5


def test_agree_gives_the_figures_that_the_command_prints(tables, capsys):
    done = ocrlabel.agree("labels.parquet", "truth.parquet", truth="truth.parquet")
    assert capsys.readouterr() == ("", "")
    line = ("agree", "labels.parquet", "truth.parquet", "--truth", "truth.parquet", "--json")
    assert json.loads(json.dumps(done.to_json())) == json.loads(command(*line).out)


def test_filter_gives_the_counts_that_the_command_prints(tables, capsys):
    done = ocrlabel.filter_labels("labels.parquet", min_confidence=0.9)
    assert capsys.readouterr() == ("", "")
    assert (done.words, done.doubtful) == (8, 4)
    printed = command("filter", "labels.parquet", "--min-confidence", "0.9", "--json").out
    assert done.to_json() == json.loads(printed)
    kept = [one.classes for one in ocrlabel.read_labels(done.output)]
    assert kept == [("ignore", "text")] * 4


NEEDED = {
    "evaluate": ("labels.parquet", "truth.parquet"),
    "export_labels": ("labels.parquet", "out", "coco"),
    "import_labels": ("out", "coco", "labels.parquet", "back.parquet"),
}


@pytest.mark.parametrize(
    ("name", "keyword", "value", "why"),
    [
        ("filter_labels", "min_confidence", 95, "out of bounds: at least 0, at most 1"),
        ("filter_labels", "min_confidence", math.nan, "out of bounds: at least 0, at most 1"),
        ("filter_labels", "precision", math.nan, "out of bounds: at least 0.5, at most 0.999"),
        ("export_labels", "ignore_below", math.nan, "out of bounds: at least 0, at most 1"),
        ("report_labels", "pages", 1001, "out of bounds: at least 0, at most 1000"),
        ("evaluate", "worst", 0, "out of bounds: at least 1"),
        ("filter_labels", "min_confidence", "0.5", "it takes a number or None"),
        ("report_labels", "pages", 5.0, "it takes a whole number"),
        ("report_labels", "seed", True, "it takes a whole number"),
        ("report_labels", "images", 5, "it takes a list of them or a text or a path or None"),
        ("report_labels", "images", ["in", 5], "it takes a list of them"),
        ("filter_labels", "drop", "no", "it takes True or False"),
        ("export_labels", "vertical", "rotate", "it takes one of turn, keep, leave-out"),
        ("evaluate", "level", "page", "it takes one of word, line or None"),
        ("evaluate", "unicode", "nfc", "it takes one of NFC, NFKC"),
        ("evaluate", "labels", None, "it takes a text or a path"),
        ("import_labels", "reviewed_by", None, "it takes a text"),
    ],
)
def test_a_value_that_the_command_refuses_is_refused_here_too(tables, name, keyword, value, why):
    function = getattr(ocrlabel, name)
    needed = signature(function).bind_partial(*NEEDED.get(name, ("labels.parquet",))).arguments
    with pytest.raises(ocrlabel.ConfigError) as refused:
        function(**{**needed, keyword: value})
    assert str(refused.value).startswith(f"{name}: {keyword}={value!r} is ")
    assert why in str(refused.value)
    assert function.__name__ == name
    assert function is getattr(ocrlabel, name)


def test_the_numbers_of_numpy_are_numbers(tables):
    done = ocrlabel.filter_labels("labels.parquet", min_confidence=np.float32(0.75))
    assert done.doubtful == 4
    assert ocrlabel.report_labels("labels.parquet", pages=np.int64(2)).is_file()


@pytest.mark.parametrize("images", ["images", Path("images"), ["images"], (Path("images"),)])
def test_labels_go_out_and_come_back_with_every_count_in_the_value(tables, images, capsys):
    out = ocrlabel.export_labels("labels.parquet", "paddle", format="paddleocr", images=images)
    assert (out.pages, out.words, out.images, out.missing) == (4, 8, 4, 0)
    written = Path("paddle/pseudo/Label.txt")
    written.write_text(written.read_text().replace("Totl", "Total", 1))
    back = ocrlabel.import_labels("paddle", "paddleocr", "labels.parquet", output="mended.parquet")
    assert back.counts == Counter(corrected=1, unchanged=3)
    assert capsys.readouterr() == ("", "")
    texts = [one.words[0].text for one in ocrlabel.read_labels("mended.parquet")]
    assert texts == ["Total", "Totl", "Totl", "Totl"]


def test_an_export_without_an_image_tells_so_in_its_value_and_in_the_exit_status(tables):
    (tables / "images" / "p3.png").unlink()
    out = ocrlabel.export_labels("labels.parquet", "a", format="paddleocr", images="images")
    assert (out.pages, out.missing) == (3, 1)
    line = ("export", "labels.parquet", "--format", "paddleocr", "--images", "images", "-o", "b")
    assert command(*line).status == 6


def test_a_report_is_where_the_value_says(tables, capsys):
    page = ocrlabel.report_labels("labels.parquet", images="images")
    assert capsys.readouterr() == ("", "")
    assert page == Path("labels_report.html")
    assert "Totl" in page.read_text(encoding="utf-8")


def test_what_cannot_be_used_is_the_error_that_ends_the_command(tables):
    with pytest.raises(ocrlabel.ConfigError, match=r"no labels table at gone\.parquet"):
        ocrlabel.evaluate("gone.parquet", "truth.parquet")
    with pytest.raises(ocrlabel.ConfigError, match=r"one of paddleocr, .*, aistages"):
        ocrlabel.export_labels("labels.parquet", "out", format="pdf")
    with pytest.raises(ocrlabel.DatasetError, match="no such file"):
        next(ocrlabel.read_labels("gone.parquet"))


def test_a_run_says_what_it_cost_and_its_paths_are_read_as_they_are(finished):
    assert finished.cost == finished.record["billed_usd"] == 0.0
    assert isinstance(finished.cost, float)
    assert len([*ocrlabel.read_labels(finished.labels_path)]) == 3
    assert [*ocrlabel.read_failures(finished.failures_path)] == []


def test_the_status_is_a_value_also_within_a_running_loop(finished):
    async def in_a_notebook():
        return ocrlabel.status(finished.labels_path, watch_s=0)

    for found in (asyncio.run(in_a_notebook()), ocrlabel.status(finished.labels_path, watch_s=0)):
        assert (found.complete, found.tally.labelled) == (True, 3)


@pytest.mark.parametrize("folder", ["", "out/"])
@pytest.mark.parametrize("stem", ["labels", "train_pseudo_labels"])
def test_a_bucket_is_read_by_the_address_that_the_run_gives(monkeypatch, tmp_path, folder, stem):
    output = f"s3://papers/{folder}{stem}.parquet"
    with moto_server() as server:
        make_bucket(server, "papers")
        for name, value in {
            "AWS_ENDPOINT_URL": server,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "images").mkdir()
        Image.new("RGB", (90, 60), "white").save(tmp_path / "images" / "one.png")
        (tmp_path / "images" / "two.png").write_bytes(b"no image")
        done = ocrlabel.label(
            tmp_path / "images",
            engine="scripted",
            output=output,
            progress=False,
        )
        assert done.labels_path == output
        assert [one.image_filename for one in ocrlabel.read_labels(done.labels_path)] == ["one.png"]
        assert [one.id for one in ocrlabel.read_failures(done.failures_path)] == ["two.png"]
        with pytest.raises(ocrlabel.DatasetError, match="s3://papers/gone: there is no such"):
            next(ocrlabel.read_labels("s3://papers/gone"))


RIGHT, WRONG = "", "error"
TYPED = {
    'done = ocrlabel.evaluate("a.parquet", "t.parquet", level="word")': RIGHT,
    "reveal_type(done.levels[0].counts.pages)": '"int"',
    'ocrlabel.export_labels("a.parquet", "out/", format="coco", images="in/")': RIGHT,
    'ocrlabel.export_labels("a.parquet", "out/", format="pdf")': WRONG,
    'ocrlabel.filter_labels("a.parquet", min_confidense=0.5)': "min_confidense",
    "reveal_type(ocrlabel.__version__)": '"str"',
    'ocrlabel.label("a/", max_cost=5.0, engine="rapidocr", retry_failed="all")': RIGHT,
    'ocrlabel.label("a/", max_costs=5.0)': "max_costs",
    'ocrlabel.label("a/", engine="rapidcor")': WRONG,
    'ocrlabel.label("a/", limit="ten")': WRONG,
}
"""What mypy says of a line: nothing, or something with this in it."""


def test_the_calls_and_the_options_of_a_run_are_typed(tmp_path):
    script = tmp_path / "calls.py"
    script.write_text("import ocrlabel\n" + "\n".join(TYPED), encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", script.name],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for number, (line, what) in enumerate(TYPED.items(), 2):
        told = [one for one in said.splitlines() if one.startswith(f"calls.py:{number}:")]
        assert bool(told) == bool(what), (line, said)
        assert what in "".join(told), (line, said)
