from __future__ import annotations

from ocrlabel.labels import Attempt, AttemptResult
from ocrlabel.report.single import RAW_LENGTH, DocumentDetails, near_ids, report_on
from tests.support.labelled import row, word


def test_near_ids_are_those_that_hold_it_and_then_those_that_look_like_it():
    ids = ["b/0002.jpg", "receipts/0001.jpg", "receipts/0001.jpg", "x.png", "receipts/0010.jpg"]
    assert near_ids("0001.jpg", ids)[0] == "receipts/0001.jpg"
    assert near_ids("receipts/0011.jpg", ids)[:2] == ["receipts/0001.jpg", "receipts/0010.jpg"]


def test_an_id_like_no_other_has_no_near_ones():
    assert near_ids("???", ["receipts/0001.jpg", ""]) == []


def test_every_attempt_is_a_line_with_its_status_and_its_message():
    lost = Attempt(1, "key-1", 0.0, 2.5, AttemptResult.UNAVAILABLE, 503, "try\u202elater")
    found = report_on(DocumentDetails("a", [(0, row())], attempts=[lost]))
    (line,) = found.tables[0].rows
    assert line[:5] == ("1", "1970-01-01 00:00:00", "2.50 s", "unavailable", "503")
    assert line[-1] == "try⟨U+202E⟩later"


def test_a_raw_answer_of_json_is_indented_and_any_other_stays_as_it_is():
    assert report_on(DocumentDetails("a", raw=b'{"a":[1]}')).raw == '{\n  "a": [\n    1\n  ]\n}'
    assert report_on(DocumentDetails("a", raw=b"<html>\xff")).raw == "<html>\ufffd"


def test_a_raw_answer_nested_without_end_is_shown_cut():
    found = report_on(DocumentDetails("a", raw=b"[" * 1_000_000))
    assert found.raw.startswith("[[[[")
    assert len(found.raw) == RAW_LENGTH
    assert "1,000,000 bytes" in found.raw_note


def test_all_pages_of_a_document_are_shown():
    pages = [(n, row("a.pdf", [word()], page=n, page_count=3)) for n in (1, 2, 3)]
    found = report_on(DocumentDetails("a.pdf", pages))
    assert [view["page"] for view in found.pages] == [1, 2, 3]
    assert found.sample == "3 pages"
