from __future__ import annotations

import json
from io import BytesIO
from random import Random

import pytest
from PIL import Image, ImageStat

from ocrlabel.demo.demo_pages import (
    DemoDocument,
    Sheet,
    Wear,
    documents,
    worn,
    write_folder,
)


@pytest.fixture(scope="module")
def drawn() -> list[DemoDocument]:
    return list(documents(0))


def test_the_same_seed_draws_the_same_files_and_another_seed_others(drawn):
    again = documents(0)
    other = documents(1)
    assert next(again) == drawn[0]
    assert next(other).data != drawn[0].data


def test_there_are_a_couple_of_dozen_pages_of_several_kinds_sizes_and_formats(drawn):
    pages = [page for document in drawn for page in document.pages]
    assert 20 <= len(pages) <= 30
    assert len({document.kind for document in drawn}) >= 5
    assert len({page.width_px for page in pages}) >= 5
    assert {document.name.rsplit(".")[-1] for document in drawn} == {
        "jpg",
        "png",
        "webp",
        "bmp",
        "tiff",
    }


def test_one_page_is_blank_and_one_document_has_two_pages(drawn):
    assert [d.kind for d in drawn if not any(page.words for page in d.pages)] == ["blank"]
    assert [len(d.pages) for d in drawn if len(d.pages) > 1] == [2]


def test_files_have_the_pages_and_sizes_that_the_truth_says(drawn):
    for document in drawn:
        image = Image.open(BytesIO(document.data))
        assert getattr(image, "n_frames", 1) == len(document.pages)
        assert image.size == (document.pages[0].width_px, document.pages[0].height_px)


def test_every_word_lies_on_its_page(drawn):
    for document in drawn:
        for page in document.pages:
            for word in page.words:
                assert word.text == word.text.strip() != ""
                assert all(
                    0 <= x <= page.width_px and 0 <= y <= page.height_px for x, y in word.polygon
                )


def test_the_truth_lies_where_the_ink_is(drawn):
    letter = next(document for document in drawn if document.name == "17_letter.jpg")
    image = Image.open(BytesIO(letter.data)).convert("L")
    for word in letter.pages[0].words:
        (left, top), _, (right, bottom), _ = word.polygon
        assert ImageStat.Stat(image.crop((left, top, right, bottom))).extrema[0][0] < 120
    empty = image.copy()
    for word in letter.pages[0].words:
        (left, top), _, (right, bottom), _ = word.polygon
        empty.paste(255, (int(left) - 2, int(top) - 2, int(right) + 2, int(bottom) + 2))
    darker = empty.point(lambda value: 255 * (value < 120))
    signature = darker.getbbox()
    assert signature is not None
    assert (signature[2] - signature[0]) * (
        signature[3] - signature[1]
    ) < 0.02 * image.width * image.height


def test_polygons_turn_with_the_page():
    sheet = Sheet(400, 300)
    sheet.write(300, 40, "corner", 30)
    image, (word,) = worn(sheet.image, sheet.words, Wear(tilt_degrees=30), Random(0))
    xs, ys = zip(*word.polygon, strict=True)
    ink = image.crop((int(min(xs)), int(min(ys)), int(max(xs)), int(max(ys))))
    assert ImageStat.Stat(ink).extrema[0][0] < 60


def test_the_folder_holds_every_image_and_a_line_of_truth_for_every_page(drawn, tmp_path):
    written = write_folder(drawn, tmp_path)
    lines = [json.loads(line) for line in written.truth_path.read_text().splitlines()]
    assert len(lines) == len(written.truth) == sum(len(document.pages) for document in drawn)
    for line in lines:
        assert (tmp_path / line["image"]).is_file()
        page = written.truth[line["image"].removeprefix("images/"), line["page"]]
        assert [word["text"] for word in line["words"]] == [word.text for word in page.words]
        assert (line["width"], line["height"]) == (page.width_px, page.height_px)
