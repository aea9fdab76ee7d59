from __future__ import annotations

from typer.testing import CliRunner

from ocrlabel.cli.main import app
from ocrlabel.quality.truth_jsonl import read_jsonl


def test_the_demo_draws_labels_and_says_how_much_was_read_right_and_where_it_lies(tmp_path):
    folder = tmp_path / "demo"
    result = CliRunner().invoke(app, ["demo", str(folder), "--engine", "scripted"])
    assert result.exit_code == 0, result.output
    assert "22 documents, 23 pages" in result.output
    assert "delivery note" in result.output
    assert "0.0%" in result.output  # the scripted engine makes its words up
    assert "labels.parquet" in result.output
    assert (folder / "labels.parquet").is_file()
    assert len(list(read_jsonl(folder / "truth.jsonl"))) == 23
