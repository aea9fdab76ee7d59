"""Crops: whatever way a word stood on the page, it lies level in its crop."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from PIL import Image, ImageChops, ImageDraw

from ocrlabel.export.export_pages import ExportPage, export_words
from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.paddleocr_rec import export
from ocrlabel.export.recognition import crop, stands_upright
from ocrlabel.labels import Word
from tests.support.labelled import NoPictures, Pictures, row, word


def pattern() -> Image.Image:
    """A mark with a left and a right, a top and a bottom, none of them alike."""
    mark = Image.new("RGB", (80, 40), "white")
    draw = ImageDraw.Draw(mark)
    draw.rectangle((0, 0, 39, 19), fill="red")
    draw.rectangle((40, 0, 79, 19), fill="lime")
    draw.rectangle((0, 20, 39, 39), fill="blue")
    return mark


def on_a_page(degrees: float) -> tuple[Image.Image, tuple[tuple[float, float], ...]]:
    """The mark turned clockwise about the middle of a page, and its four corners there."""
    page = Image.new("RGB", (200, 200), "gray")
    page.paste(pattern(), (60, 80))
    turn = math.radians(degrees)
    corners = []
    for x, y in ((60, 80), (140, 80), (140, 120), (60, 120)):
        dx, dy = x - 100, y - 100
        corners.append(
            (
                100 + dx * math.cos(turn) - dy * math.sin(turn),
                100 + dx * math.sin(turn) + dy * math.cos(turn),
            )
        )
    return page.rotate(-degrees, Image.Resampling.BICUBIC), tuple(corners)


@pytest.mark.parametrize("degrees", [0, 7, 30, 90, 135, 180, 270, 300])
def test_a_turned_word_lies_level_in_its_crop(degrees):
    page, corners = on_a_page(degrees)
    found = crop(page, corners)
    assert found.size == (80, 40)
    for x, y in ((10, 5), (70, 5), (10, 35), (70, 35)):
        want, got = pattern().getpixel((x, y)), found.getpixel((x, y))
        assert max(abs(a - b) for a, b in zip(want, got, strict=True)) < 40


def test_a_level_word_is_cut_out_pixel_by_pixel():
    page, corners = on_a_page(0)
    assert ImageChops.difference(crop(page, corners), pattern()).getbbox() is None


def test_a_word_seen_from_the_side_is_made_a_rectangle():
    page = Image.new("RGB", (100, 100), "white")
    corners = ((10.0, 30.0), (90.0, 10.0), (90.0, 90.0), (10.0, 70.0))
    ImageDraw.Draw(page).polygon(corners, fill="black")
    found = crop(page, corners).convert("L")
    width, height = found.size
    assert all(found.getpixel((x, y)) < 60 for x in (2, width - 3) for y in (2, height - 3))


def test_a_crossed_polygon_is_cut_out_by_its_rectangle():
    page, _ = on_a_page(0)
    crossed = ((60.0, 80.0), (140.0, 120.0), (140.0, 80.0), (60.0, 120.0))
    assert sorted(crop(page, crossed).size) == [40, 80]


def columns(tmp_path, policy: str):
    standing = word("세로글", (20, 10), size=(20, 80))
    options = ExportOptions(vertical=policy)
    return export(iter([row("a.jpg", [standing])]), Pictures(), tmp_path, options)


@pytest.mark.parametrize(("policy", "size"), [("turn", (80, 20)), ("keep", (20, 80))])
def test_a_column_of_characters_is_turned_or_kept(tmp_path, policy, size):
    columns(tmp_path, policy)
    (path,) = (tmp_path / "pseudo" / "crop_img").iterdir()
    with Image.open(path) as image:
        assert image.size == size


def test_a_column_of_characters_may_be_left_out(tmp_path):
    assert dict(columns(tmp_path, "leave-out").left_out) == {"vertical": 1}


def standing(*words: Word) -> list[str]:
    """The texts that are exported as columns, of words on one page 600 px wide and high."""
    found = export_words(
        row("a.jpg", words, width_px=600, height_px=600), ExportOptions(), Counter()
    )
    page = ExportPage(row("a.jpg", words), "train", "a", found)
    return [each.text for each in found if stands_upright(each, page)]


LINE = [word(f"line{n}", (100, 30 * n), size=(60, 16)) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("of", (10, 16)), ("it", (7, 16)), ("Il", (6, 17)), ("1.", (6, 16)), ("l", (2, 16)),
        ("i", (3, 60)), ("it", (22, 60)), ("Il", (22, 60)), ("ill", (30, 60)), ("가", (9, 60)),
        ("total", (10, 18)), ("12,500", (9, 17)), ("\u200b가", (9, 60)), ("e\u0301", (3, 60)),
    ],
)  # fmt: skip
def test_a_level_word_is_no_column_however_narrow_its_box_came_out(text, size):
    assert standing(*LINE, word(text, (20, 30), size=size)) == []


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("세로", (16, 32)), ("세로글", (20, 80)), ("세로", (6, 12)), ("縦書き", (15, 45)),
        ("2층", (14, 40)), ("4층", (14, 30)), ("24", (9, 36)), ("00851772", (18, 85)),
        ("Printed in Korea", (9, 90)),
    ],
)  # fmt: skip
def test_a_column_is_told_by_script_number_of_characters_and_the_pages_line_height(text, size):
    assert standing(*LINE, word(text, (20, 30), size=size)) == [text]


def test_columns_are_told_on_a_page_of_columns_too():
    words = [word("세로글자", (30 * n, 20), size=(20, 90)) for n in range(1, 9)]
    assert len(standing(*words)) == 8


def test_a_polygon_larger_than_its_page_makes_no_crop(tmp_path):
    huge = word("x", (-1e8, -1e8), size=(2e8 + 200, 2e8 + 100))
    summary = export(iter([row("a.jpg", [huge])]), Pictures(), tmp_path, ExportOptions())
    assert dict(summary.left_out) == {"outside_the_page": 1}


def test_a_page_without_its_image_is_counted_and_has_no_crops(tmp_path):
    summary = export(iter([row("a.jpg", [word()])]), NoPictures(), tmp_path, ExportOptions())
    assert (summary.pages, summary.missing) == (0, 1)
    assert summary.examples == ("a.jpg: not found",)
