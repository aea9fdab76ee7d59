from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrlabel.errors import DatasetError
from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.icdar2015 import export
from ocrlabel.quality.truth import Level, read_truth
from tests.support.labelled import row as labelled
from tests.support.labelled import word as label
from tests.support.quality_pages import box, row, word


def lines_of(tmp_path, *pages):
    path = tmp_path / "truth.jsonl"
    path.write_text("\n".join(json.dumps(page) for page in pages), encoding="utf-8")
    return path


def page(image="a.png", **more):
    return {"image": image, "words": [{"text": "Total", "polygon": box(0, 0)}], **more}


def test_json_lines_give_words_regions_and_what_can_be_grouped_by(tmp_path):
    path = lines_of(
        tmp_path,
        page(
            width=10, height=20, ignore=[box(50, 0)], lang="ko", id="x", sha256="f0", level="line"
        ),
    )
    (found,) = read_truth(path)
    assert (found.name.id, found.name.path, found.name.sha256) == ("x", "a.png", "f0")
    assert (found.width_px, found.height_px, found.level) == (10, 20, Level.LINE)
    assert [(w.text, w.ignore) for w in found.words] == [("Total", False), ("", True)]
    assert found.words[0].polygon == box(0, 0)
    assert found.fields == {"lang": "ko"}


def test_the_example_of_the_docs_is_read_as_it_says(tmp_path):
    guide = Path(__file__).parents[3].joinpath("docs", "formats.md").read_text(encoding="utf-8")
    example = guide.split("JSON Lines\n")[1].split("```json\n")[1].split("```")[0]
    (tmp_path / "truth.jsonl").write_text(example, encoding="utf-8")
    first, second = read_truth(tmp_path / "truth.jsonl")
    assert (first.name.path, first.width_px, first.fields) == (
        "receipts/a.jpg",
        762,
        {"lang": "en"},
    )
    assert [(word.text, word.ignore) for word in (*first.words, *second.words)] == [
        ("SUBJECT:", False), ("", True), ("합계", False), ("", True),
    ]  # fmt: skip
    assert (second.name.path, second.name.page) == ("letter.pdf", 1)


def test_pages_counted_from_0_and_from_1_are_the_same_pages(tmp_path):
    path = lines_of(
        tmp_path, *(page("a.pdf", page=n) for n in (0, 1)), *(page("b.pdf", page=n) for n in (1, 2))
    )
    assert [found.name.page for found in read_truth(path)] == [1, 2, 1, 2]


def test_a_level_that_is_asked_for_wins_over_none(tmp_path):
    path = lines_of(tmp_path, page())
    assert next(read_truth(path)).level is Level.WORD
    assert next(read_truth(path, level=Level.LINE)).level is Level.LINE


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"image": "a"}', '{"image": "a", "words": [{"text": "x"}]}',
     '{"image": "a", "words": [], "level": "page"}', '{"image": "a", "words": [], "page": "two"}',
     '"\udcff"', '{"image": "a", "words": [], "page": ' + "9" * 5000 + "}"],
)  # fmt: skip
def test_a_broken_line_is_named(tmp_path, text):
    path = tmp_path / "truth.jsonl"
    whole = json.dumps(page()) + "\n" + text
    path.write_bytes(whole.encode("utf-8", "surrogateescape"))
    with pytest.raises(DatasetError, match=r"truth\.jsonl, line 2"):
        list(read_truth(path))


def test_icdar_files_give_texts_with_commas_and_do_not_care(tmp_path):
    (tmp_path / "gt_img_1.txt").write_text(
        "\ufeff0,0,10,0,10,10,0,10,1,000 won\r\n20,0,30,0,30,10,20,10,###\n5,5,6,5,6,6,5,6\n\n",
        encoding="utf-8",
    )
    (found,) = read_truth(tmp_path)
    assert found.name.id == "img_1"
    assert [(w.text, w.ignore) for w in found.words] == [
        ("1,000 won", False), ("", True), ("", False),
    ]  # fmt: skip
    assert found.words[0].polygon == box(0, 0)


@pytest.mark.parametrize("line", ["1,2,3", "a,0,10,0,10,10,0,10,x"])
def test_a_broken_icdar_line_is_named(tmp_path, line):
    (tmp_path / "gt_a.txt").write_text("0,0,1,0,1,1,0,1,x\n" + line)
    with pytest.raises(DatasetError, match=r"gt_a\.txt, line 2"):
        list(read_truth(tmp_path))


@pytest.mark.parametrize("codec", ["cp949", "utf-16"])
def test_an_icdar_file_of_another_encoding_is_named(tmp_path, codec):
    (tmp_path / "gt_a.txt").write_bytes("0,0,1,0,1,1,0,1,가게\n".encode(codec))
    with pytest.raises(DatasetError, match=r"gt_a\.txt, line 1 is not UTF-8; save"):
        list(read_truth(tmp_path))


def test_only_a_line_feed_ends_a_line_of_icdar(tmp_path):
    (tmp_path / "gt_a.txt").write_text("0,0,1,0,1,1,0,1,a\u2028b\x85c\n")
    assert [w.text for w in next(iter(read_truth(tmp_path))).words] == ["a\u2028b\x85c"]


def test_of_icdars_multi_lingual_sets_the_script_is_no_part_of_the_text(tmp_path):
    corners = "0,0,10,0,10,10,0,10"
    (tmp_path / "gt_a.txt").write_text(f"{corners},Korean,가,게\n{corners},None,###\n")
    (tmp_path / "gt_b.txt").write_text(f"{corners},Korean,가\n{corners},1,000\n")  # is none
    (tmp_path / "gt_c.txt").write_text("\n\n")
    found = [[(w.text, w.ignore) for w in page.words] for page in read_truth(tmp_path)]
    assert found == [[("가,게", False), ("", True)], [("Korean,가", False), ("1,000", False)], []]


def test_an_icdar_export_is_truth_of_the_pages_that_it_was_made_of(tmp_path):
    table = [
        labelled("a/x.png", [label("Korean,one")], width_px=200),
        labelled("b/x.png", [label("Korean,two")]),
        labelled("con.tif", page=2, page_count=2),
    ]
    export(iter(table), None, tmp_path, ExportOptions())
    found = {
        (page.name.id, page.name.page): [w.text for w in page.words]
        for page in read_truth(tmp_path / "pseudo" / "gt")
    }
    assert found == {
        ("a/x.png", 1): ["Korean,one"], ("b/x.png", 1): ["Korean,two"], ("con.tif", 2): [],
    }  # fmt: skip


def test_a_word_without_a_text_has_none_and_is_no_none(tmp_path):
    box = [[0, 0], [9, 0], [9, 9], [0, 9]]
    line = {"image": "a.png", "words": [{"text": None, "polygon": box}]}
    (tmp_path / "t.jsonl").write_text(json.dumps(line))
    (page,) = read_truth(tmp_path / "t.jsonl")
    assert page.words[0].text == ""


def test_half_of_an_emoji_in_the_truth_is_a_question_mark(tmp_path):
    box = [[0, 0], [9, 0], [9, 9], [0, 9]]
    line = {"image": "a\ud83d.png", "words": [{"text": "x\ud83d", "polygon": box}]}
    (tmp_path / "t.jsonl").write_text(json.dumps(line))
    (page,) = read_truth(tmp_path / "t.jsonl")
    assert (page.name.path, page.words[0].text) == ("a?.png", "x?")


FORM = {
    "form": [
        {
            "box": [0, 0, 60, 10],
            "text": "Total due",
            "words": [
                {"box": [0, 0, 10, 10], "text": "Total"},
                {"box": [20, 0, 30, 10], "text": ""},
            ],
        }
    ]
}


def test_funsd_gives_words_and_takes_those_without_text_as_do_not_care(tmp_path):
    (tmp_path / "0012.json").write_text(json.dumps(FORM))
    (found,) = read_truth(tmp_path)
    assert found.name.path == "0012"
    assert [(w.text, w.ignore) for w in found.words] == [("Total", False), ("", True)]
    assert found.words[0].polygon == box(0, 0)


def test_funsd_gives_its_entities_as_lines(tmp_path):
    (tmp_path / "0012.json").write_text(json.dumps(FORM))
    (found,) = read_truth(tmp_path, level=Level.LINE)
    assert [w.text for w in found.words] == ["Total due"]
    assert found.level is Level.LINE


def test_json_that_is_no_funsd_is_named(tmp_path):
    (tmp_path / "x.json").write_text('{"shapes": []}')
    with pytest.raises(DatasetError, match=r"x\.json"):
        list(read_truth(tmp_path))


def test_a_labels_table_is_truth_with_its_do_not_care_words(write_table):
    path = write_table(
        "t.parquet",
        [row([word("a"), word("b", 20)], classes=("text", "ignore"), input_row='{"lang": "ko"}')],
    )
    (found,) = read_truth(path)
    assert [(w.text, w.ignore) for w in found.words] == [("a", False), ("b", True)]
    assert found.fields == {"lang": "ko"}


@pytest.mark.parametrize("name", ["missing.jsonl", "truth.csv", "empty"])
def test_what_is_no_truth_is_refused_with_what_would_be(tmp_path, name):
    (tmp_path / "truth.csv").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=name.split(".", maxsplit=1)[0]):
        read_truth(tmp_path / name)


def test_the_development_set_is_read_whole(ocr_dev):
    pages = list(read_truth(ocr_dev))
    assert len(pages) == 55
    assert {page.name.page for page in pages} == {1, 2, 3}
    assert sum(not w.ignore for page in pages for w in page.words) == 6739
