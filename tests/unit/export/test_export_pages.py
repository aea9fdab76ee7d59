"""Splits: by document, the same however the table is cut, ordered or grown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.errors import ConfigError
from ocrlabel.export.coco import export
from ocrlabel.export.export_pages import parse_shares, split_of
from ocrlabel.export.formats import ExportOptions, SplitPlan
from tests.support.labelled import row, word

PLAN = parse_shares("train=0.8,val=0.1,test=0.1")


@given(sha256=st.text("0123456789abcdef", min_size=8, max_size=8), pages=st.integers(1, 9))
def test_pages_and_copies_of_a_document_are_on_one_side(sha256, pages):
    found = {
        split_of(row(f"copy-{copy}.pdf", page=page, page_count=pages, image_sha256=sha256), PLAN)
        for page in range(1, pages + 1)
        for copy in range(3)
    }
    assert len(found) == 1


def test_without_a_sha256_the_path_is_the_document():
    one = row("a.pdf", id="x", image_path="a.pdf", image_sha256="", page=1)
    two = row("a.pdf", id="y", image_path="a.pdf", image_sha256="", page=2)
    assert split_of(one, PLAN) == split_of(two, PLAN)


def test_shares_are_met_in_the_long_run():
    names = [split_of(row(f"{n}.jpg"), PLAN) for n in range(5000)]
    assert names.count("train") == pytest.approx(4000, abs=120)
    assert names.count("val") == pytest.approx(500, abs=80)


def test_another_seed_gives_other_splits():
    other = SplitPlan(PLAN.shares, "2")
    table = [row(f"{n}.jpg") for n in range(100)]
    assert [split_of(r, PLAN) for r in table] != [split_of(r, other) for r in table]


def test_without_shares_the_tables_own_split_is_kept_as_a_safe_name():
    assert split_of(row(split="train"), SplitPlan()) == "train"
    assert split_of(row(split="../../x"), SplitPlan()) == "_.._x"
    assert split_of(row(split=""), SplitPlan()) == "all"


def test_documents_on_two_sides_of_the_tables_own_splits_are_counted(tmp_path):
    table = [
        row("a.jpg", [word()], split="train", image_sha256="1"),
        row("b.jpg", [word()], split="val", image_sha256="1"),
        row("c.jpg", [word()], split="val", image_sha256="2"),
    ]
    assert export(iter(table), None, tmp_path / "kept", ExportOptions()).leaks == 1
    assert "more than one of these splits: 1" in (tmp_path / "kept" / "README.md").read_text()
    table += [row(f"{n}.jpg", [word()]) for n in range(60)]
    made = export(iter(table), None, tmp_path / "made", ExportOptions(splits=PLAN))
    assert made.leaks == 0


@pytest.mark.parametrize(
    "text",
    ["train", "train=x", "train=0.5", "train=2,val=-1", "a/b=1", "=1", "a=0.5,A=0.5", "a=nan"],
)
def test_shares_that_make_no_sense_are_refused(text):
    with pytest.raises(ConfigError, match="--splits"):
        parse_shares(text)
