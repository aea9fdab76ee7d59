from __future__ import annotations

import shlex
from itertools import islice

from typer.testing import CliRunner

from ocrlabel import label
from ocrlabel.cli.demo import next_command
from ocrlabel.cli.main import app
from ocrlabel.demo.demo_pages import documents, write_folder
from ocrlabel.quality.truth import read_jsonl
from tests.support.command import ocrlabel


def test_the_demo_draws_labels_and_says_how_much_was_read_right_and_where_it_lies(tmp_path):
    folder = tmp_path / "the demo"
    result = CliRunner().invoke(app, ["demo", str(folder), "--engine", "scripted"])
    assert result.exit_code == 0, result.output
    assert "22 documents, 23 pages" in result.output
    assert "delivery note" in result.output
    assert "0.0%" in result.output  # the scripted engine makes its words up
    assert "labels.parquet" in result.output
    assert (folder / "labels.parquet").is_file()
    assert len(list(read_jsonl(folder / "truth.jsonl"))) == 23


def test_its_last_lines_name_files_that_are_there_and_a_command_that_works(tmp_path):
    folder = tmp_path / "the demo"
    said = ocrlabel("demo", str(folder), "--engine", "scripted").out
    shown = said[said.index("To look at:") :].splitlines()
    files = [folder / name for name in ("labels_report.html", "labels.parquet", "truth.jsonl")]
    for file, line in zip(files, shown[1:4], strict=True):
        assert line.startswith(f"  {file}  ")
        assert file.is_file()
    (next_line,) = [line for line in shown if line.startswith("Next:  ")]
    program, *words = shlex.split(next_line.removeprefix("Next:  "))
    assert program == "ocrlabel"
    ran = ocrlabel(*words)
    assert ran.status == 0, ran.err
    assert "delivery_note" in ran.out


def test_without_the_extra_for_figures_the_next_command_needs_none(tmp_path):
    folder = tmp_path / "demo"
    label(
        write_folder(islice(documents(0), 2), folder).images,
        engine="scripted",
        output=folder / "labels.parquet",
    )
    table, truth = str(folder / "labels.parquet"), folder / "truth.jsonl"
    said = next_command("ocrlabel", table, truth, measures=False)
    for _ in range(2):
        assert ocrlabel(*shlex.split(said)[1:]).status == 0
    assert (folder / "coco").is_dir()
