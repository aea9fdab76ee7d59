from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ocrlabel.cli.main import app
from ocrlabel.dataset.labels_table import LabelsWriter, read_labels
from ocrlabel.errors import ConfigError, OcrLabelError
from tests.support.quality_pages import row, word


@pytest.fixture
def tables(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    kinds = {"labels": "Totl", "truth": "Total", "other": "Total"}
    for name, text in kinds.items():
        with LabelsWriter(Path(f"{name}.parquet")) as table:
            for n in range(4):
                table.add(
                    row(
                        [word(text, conf=0.6), word("due", 20, conf=0.99)],
                        key=str(n),
                        path=f"p{n}.png",
                        input_row='{"lang": "en"}',
                    )
                )
    return tmp_path


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    if isinstance(done.exception, OcrLabelError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_evaluate_prints_what_was_compared_and_how(tables):
    told = said("evaluate", "labels.parquet", "--truth", "truth.parquet", "--by", "lang")
    assert "NFC, case ignored, spaces ignored, punctuation counts" in told
    assert "words: 4 pages, 8 in the truth, 8 read" in told
    assert "end to end" in told
    assert "en" in told


def test_evaluate_by_a_column_that_nobody_has_is_an_error(tables):
    with pytest.raises(ConfigError, match="--by nosuch: neither"):
        said("evaluate", "labels.parquet", "--truth", "truth.parquet", "--by", "nosuch")


def test_evaluate_gives_all_figures_as_json(tables):
    told = json.loads(said("evaluate", "labels.parquet", "--truth", "truth.parquet", "--json"))
    (level,) = told["levels"]
    assert level["end_to_end"] == {"recall": 0.5, "precision": 0.5, "hmean": 0.5}
    assert level["cer"] == round(4 / 32, 4)
    assert level["confidence"]["bins"][0]["precision"] == 0


def test_evaluate_lists_the_worst_pages_the_wrong_words_and_what_is_read_for_what(tables):
    told = said("evaluate", "labels.parquet", "--truth", "truth.parquet")
    lines = [line.split() for line in told.splitlines()]
    assert ["0", "page", "1", "1", "0", "0", "1"] in lines
    assert ["misread", "4", "Total", "Totl"] in lines
    assert ["a", "(nothing)", "4"] in lines
    (level,) = json.loads(said("evaluate", "labels.parquet", "--truth", "truth.parquet", "--json"))[
        "levels"
    ]
    assert (level["missed"], level["invented"], level["misread"]) == (0, 0, 4)
    assert level["pages_with_wrong_words"] == 4
    assert [page["id"] for page in level["worst_pages"]] == ["0", "1", "2", "3"]
    corners = [[0, 0], [10, 0], [10, 10], [0, 10]]
    assert level["worst_pages"][0] == {
        "id": "0", "path": "p0.png", "page": 1, "missed": [], "invented": [],
        "misread": [{"truth": "Total", "read": "Totl", "confidence": 0.6, "polygon": corners}],
    }  # fmt: skip
    assert level["confusions"] == [{"truth": "a", "read": "", "count": 4}]


def test_of_many_wrong_pages_some_are_kept_and_the_others_are_counted(tables):
    told = said("evaluate", "labels.parquet", "--truth", "truth.parquet", "--worst", "2", "--json")
    (level,) = json.loads(told)["levels"]
    assert (len(level["worst_pages"]), level["pages_with_wrong_words"]) == (2, 4)


def test_what_somebody_wrote_on_a_page_is_shown_as_text_only(tables):
    with LabelsWriter(Path("bad.parquet")) as table:
        table.add(row([word("[red]x[/red]\x1b[2J\u202e"), word("due", 20)], key="0", path="p0.png"))
    told = said("evaluate", "bad.parquet", "--truth", "truth.parquet")
    assert "[red]x[/red][2J" in told  # compared, and listed, without what nobody sees
    assert not {"\x1b", "\u202e"} & set(told)


def test_evaluate_says_when_nothing_has_truth(tables):
    with LabelsWriter(Path("far.parquet")) as table:
        table.add(row([word("a")], key="other", path="other.png"))
    with pytest.raises(ConfigError, match="no page of far") as caught:
        said("evaluate", "far.parquet", "--truth", "truth.parquet")
    truth, table, next_step = str(caught.value).splitlines()[1:]
    assert table == "  far.parquet: 1 rows without truth, such as other page 1"
    assert truth.startswith("  truth.parquet: 4 pages of the other file without a row, such as 0")
    assert "same id or file name" in next_step
    with pytest.raises(ConfigError, match="have no page in common\n  truth"):
        said("agree", "far.parquet", "truth.parquet")


def test_where_a_half_has_no_documents_evaluate_names_that_as_the_reason_for_no_cut(tables):
    for name, text in (("one", "Totl"), ("one_truth", "Total")):
        with LabelsWriter(Path(f"{name}.parquet")) as table:
            table.add(row([word(text, conf=0.6), word("due", 20, conf=0.9)], key="a", path="a.png"))
    told = [
        said("evaluate", "one.parquet", "--truth", "one_truth.parquet", "--seed", str(seed))
        for seed in range(8)
    ]
    assert any("the half to choose on has none" in one.replace("\n", " ") for one in told)
    assert not any("0 documents" in one for one in told)


def test_agree_with_truth_that_can_judge_nothing_is_an_error(tables):
    with LabelsWriter(Path("far.parquet")) as table:
        table.add(row([word("a")], key="other", path="other.png"))
    with pytest.raises(ConfigError, match=r"no word of labels\.parquet can be judged by far"):
        said("agree", "labels.parquet", "other.parquet", "--truth", "far.parquet")


def test_evaluate_refuses_a_level_it_does_not_know(tables):
    line = ("evaluate", "labels.parquet", "--truth", "truth.parquet", "--level", "page")
    done = CliRunner().invoke(app, line, env={"COLUMNS": "120"})
    assert done.exit_code == 2
    assert "'page' is not one of 'word', 'line'" in done.output


def test_agree_prints_scripts_and_what_each_sign_is_worth(tables):
    told = said("agree", "labels.parquet", "other.parquet", "--truth", "truth.parquet")
    assert "latin" in told
    assert "0.500" in told
    assert "agreement against confidence" in told
    assert "4 documents cannot tell how far that is chance" in told


def test_agree_writes_each_page(tables):
    said("agree", "labels.parquet", "other.parquet", "--details", "pages.jsonl", "--json")
    lines = [json.loads(line) for line in Path("pages.jsonl").read_text().splitlines()]
    assert [line["agreement"] for line in lines] == [0.5] * 4


def test_filter_marks_by_default_beside_the_table(tables):
    told = said("filter", "labels.parquet", "--min-confidence", "0.9", "--review", "queue.parquet")
    assert "4 of 8 words (50.0%) marked as do-not-care" in told
    rows = list(read_labels(Path("labels_filtered.parquet")))
    assert [r.classes for r in rows] == [("ignore", "text")] * 4
    assert len(list(read_labels(Path("queue.parquet")))) == 4


def test_filter_drops_what_another_table_does_not_say(tables):
    told = json.loads(
        said(
            "filter",
            "labels.parquet",
            "--agreed-with",
            "other.parquet",
            "--drop",
            "--json",
            "-o",
            "k.parquet",
        )
    )
    assert told["doubtful"] == 4
    assert [w.text for r in read_labels(Path("k.parquet")) for w in r.words] == ["due"] * 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("labels.parquet",), "nothing to filter by"),
        (("absent.parquet", "--min-confidence", "0.5"), "no labels table at absent"),
        (("labels.parquet", "--agreed-with", "absent.parquet"), "no labels table at absent"),
        (("labels.parquet", "--min-confidence", "0.5", "-o", "labels.parquet"), "different files"),
        (("labels.parquet", "--min-confidence", "0.5", "-o", "x.parquet", "--review", "x.parquet"),
         "different files"),
    ],
)  # fmt: skip
def test_filter_refuses_with_a_sentence(tables, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        said("filter", *arguments)


@pytest.fixture
def reviewed(tmp_path, monkeypatch) -> Path:
    """Forty documents of fifty words, of which a person saw thirty; below 0.8 a third is wrong."""
    monkeypatch.chdir(tmp_path)
    at = datetime(2026, 11, 1, tzinfo=UTC)
    with LabelsWriter(Path("labels.parquet")) as labels, LabelsWriter(Path("home.parquet")) as home:
        for n in range(40):
            read = [word("good", 20.0 * k, conf=0.9 if k % 2 else 0.6) for k in range(50)]
            page = replace(row(read, key=str(n), path=f"p{n}.png"), engine="e")
            labels.add(page)
            true_words = tuple(
                replace(one, text="bad") if k % 6 == 0 else one for k, one in enumerate(read)
            )
            home.add(replace(page, words=true_words, reviewed_at=at if n < 30 else None))
    return tmp_path


def test_calibrate_says_which_engine_gives_lines(reviewed):
    for name in ("labels", "home"):
        with LabelsWriter(Path(f"{name}_of_lines.parquet")) as table:
            for page in read_labels(Path(f"{name}.parquet")):
                of_lines = [replace(one, text=f"{one.text} day") for one in page.words]
                table.add(replace(page, words=tuple(of_lines)))
    told = said("calibrate", "labels_of_lines.parquet", "--truth", "home_of_lines.parquet")
    assert "e gives lines, not words: what is learned, kept and cut is lines" in told
    told = said("calibrate", "labels.parquet", "--truth", "home.parquet")
    assert "gives lines" not in told


def test_calibrate_then_filter_keeps_what_is_right_and_reports_go_by_it(reviewed):
    told = said("calibrate", "labels.parquet", "--truth", "home.parquet", "-o", "cal.json")
    assert "cal.json: 1,500 words of 30 documents" in told
    assert "p_correct is off by 0.0" in told
    assert "--precision 0.95: from 1.000 on keeps 50.0% of the words, 100.0% of them right" in told
    assert "--precision 0.99: about" in told
    told = said("filter", "labels.parquet", "--calibration", "cal.json", "--precision", "0.95")
    assert "1,000 of 2,000 words (50.0%) marked as do-not-care\n  below 1, by p_correct" in told
    assert "95.1% or more of the others are right" in told
    assert "no page is of a reviewed document" not in told
    told = said("evaluate", "labels_filtered.parquet", "--truth", "home.parquet")
    assert "How sure a word is: its p_correct." in told
    told = said("agree", "labels_filtered.parquet", "labels.parquet", "--json")
    assert json.loads(told)["score"] == "p_correct"
    said("report", "labels_filtered.parquet", "-o", "page.html")
    assert "p_correct of words" in Path("page.html").read_text(encoding="utf-8")
    assert said("calibrate", "labels.parquet", "--truth", "home.parquet", "-o", "cal.json")


def test_reviews_of_two_runs_are_learned_from_where_their_tables_are_joined(reviewed):
    for name in ("labels", "home"):
        first = pq.read_table(f"{name}.parquet")
        with LabelsWriter(Path(f"{name}_2.parquet")) as table:
            for page in read_labels(Path(f"{name}.parquet")):
                table.add(replace(page, id=f"b{page.id}", image_path=f"b/{page.image_path}"))
        joined = pa.concat_tables([first, pq.read_table(f"{name}_2.parquet")])
        pq.write_table(joined, f"{name}_both.parquet")
    told = said("calibrate", "labels_both.parquet", "--truth", "home_both.parquet", "-o", "c.json")
    assert "c.json: 3,000 words of 60 documents" in told


def test_pages_that_another_model_read_than_was_reviewed_are_told(reviewed):
    said("calibrate", "labels.parquet", "--truth", "home.parquet", "-o", "cal.json")
    filtering = ("filter", "later.parquet", "--calibration", "cal.json", "--precision", "0.95")
    with LabelsWriter(Path("later.parquet")) as table:
        for number, page in enumerate(read_labels(Path("labels.parquet"))):
            table.add(replace(page, model_version="e-2") if number < 3 else page)
    assert "3 pages read by e-2, and the calibration is of other models" in said(*filtering)
    before = json.loads(Path("cal.json").read_text())
    Path("cal.json").write_text(json.dumps({**before, "models": []}))  # of an earlier version
    assert "other models" not in said(*filtering)


def test_pages_like_none_that_was_reviewed_are_told_and_those_of_another_engine_refused(reviewed):
    said("calibrate", "labels.parquet", "--truth", "home.parquet", "-o", "cal.json")
    pages = list(read_labels(Path("labels.parquet")))
    for name, changed in (
        ("other", {"id": "o", "image_path": "o.png"}),
        ("theirs", {"engine": "f"}),
    ):
        with LabelsWriter(Path(f"{name}.parquet")) as table:
            table.add(replace(pages[0], **changed))
    by = ("--calibration", "cal.json", "--min-confidence", "0.5")
    assert "careful: no page is of a reviewed document" in said("filter", "other.parquet", *by)
    with pytest.raises(ConfigError, match=r"theirs\.parquet is of f, and .* was learned of e"):
        said("filter", "theirs.parquet", *by)
    assert not Path("theirs_filtered.parquet").exists()


def test_a_calibration_alone_is_laid_on_and_nothing_is_doubted(reviewed):
    said("calibrate", "labels.parquet", "--truth", "home.parquet", "-o", "cal.json")
    assert "0 of 2,000 words" in said("filter", "labels.parquet", "--calibration", "cal.json")
    page = next(read_labels(Path("labels_filtered.parquet")))
    assert page.p_correct[:2] == (0.64, 1.0)


def test_a_precision_that_nobody_can_be_sure_of_says_what_is_missing_and_writes_what_teaches(
    reviewed,
):
    filtering = ("filter", "labels.parquet", "--precision", "0.99")
    with pytest.raises(ConfigError, match=r"by 0 reviewed documents; about 1.. reviewed documents"):
        said(*filtering)
    assert len(list(read_labels(Path("labels_review.parquet")))) == 40
    said("calibrate", "labels.parquet", "--truth", "home.parquet", "-o", "cal.json")
    with pytest.raises(ConfigError, match="by 30 reviewed documents; about"):
        said(*filtering, "--calibration", "cal.json", "--review", "queue.parquet")
    queue = list(read_labels(Path("queue.parquet")))
    assert {page.id for page in queue} == {str(n) for n in range(30, 40)}
    assert not Path("labels_filtered.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("calibrate", "labels.parquet", "--truth", "labels.parquet"), "both the labels and"),
        (("filter", "labels.parquet", "--precision", "0.9", "--min-confidence", "0.5"), "leave"),
        (("filter", "labels.parquet", "--calibration", "home.parquet"), "is no calibration"),
    ],
)
def test_what_cannot_be_learned_from_or_asked_together_is_refused(reviewed, arguments, wrong):
    with pytest.raises(ConfigError, match=wrong):
        said(*arguments)
