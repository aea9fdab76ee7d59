from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from ocrlabel.report.pages import Pictures, Sample
from tests.support.labelled import row


def noise(side_px: int = 700) -> Image.Image:
    return Image.effect_noise((side_px, side_px), 80).convert("RGB")


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))


@pytest.mark.parametrize("budget_bytes", [60_000, 400_000, 3_000_000])
def test_all_pictures_together_stay_within_their_bytes(budget_bytes):
    pictures = Pictures(12, budget_bytes)
    made = [pictures.data_uri(noise()) for _ in range(12)]
    assert sum(len(uri or "") for uri in made) <= budget_bytes


def test_a_page_is_shrunk_and_keeps_its_shape():
    shown = decoded(Pictures(1).data_uri(Image.new("RGB", (4000, 2000), "white")))
    assert shown.size == (1800, 900)


def test_a_small_page_is_not_enlarged():
    assert decoded(Pictures(1).data_uri(Image.new("RGB", (90, 40), "white"))).size == (90, 40)


def test_a_page_of_one_pixels_height_is_still_a_picture():
    assert decoded(Pictures(1).data_uri(Image.new("RGB", (9000, 1), "white"))).size == (1800, 1)


def test_pages_of_little_detail_leave_room_for_the_others():
    pictures = Pictures(10, 400_000)
    first = decoded(pictures.data_uri(noise()))
    for _ in range(8):
        pictures.data_uri(Image.new("RGB", (50, 50), "white"))
    assert decoded(pictures.data_uri(noise())).width > first.width


def test_a_page_without_an_image_leaves_its_share():
    pictures = Pictures(2, 100_000)
    pictures.without()
    alone = Pictures(1, 100_000)
    page = noise()
    assert pictures.data_uri(page) == alone.data_uri(page)


def test_where_not_even_the_smallest_fits_there_is_none():
    assert Pictures(1, 100).data_uri(noise()) is None


def sampled(pages, places, seed=0):
    sample = Sample(places, seed)
    for name, confidence in pages:
        sample.add(row(name), confidence)
    return sample.rows()


TABLE = [(f"{n}.jpg", 0.5 + (n * 37 % 1000) / 2500) for n in range(1000)]


def test_a_table_that_fits_is_shown_whole_and_in_its_order():
    shown = sampled(TABLE[:50], 50)
    assert [one.row.id for one in shown] == [name for name, _ in TABLE[:50]]
    assert [one.number for one in shown] == list(range(50))
    assert not any(one.unsure for one in shown)


def test_a_large_table_shows_exactly_as_many_pages_as_asked_for():
    assert len(sampled(TABLE, 100)) == 100
    assert len({one.number for one in sampled(TABLE, 100)}) == 100


def test_the_least_certain_fifth_is_always_among_them():
    least = {name for name, _ in sorted(TABLE, key=lambda page: page[1])[:20]}
    assert {one.row.id for one in sampled(TABLE, 100) if one.unsure} == least


def test_the_same_seed_draws_the_same_pages_in_whatever_order_they_come():
    forwards = {one.row.id for one in sampled(TABLE, 100)}
    assert forwards == {one.row.id for one in sampled(reversed(TABLE), 100)}


def test_another_seed_draws_other_pages():
    def drawn(seed):
        return {one.row.id for one in sampled(TABLE, 100, seed) if not one.unsure}

    assert drawn(0) != drawn(1)


def test_a_sample_of_no_pages_is_empty():
    assert sampled(TABLE, 0) == []


def test_pages_without_any_confidence_are_drawn_like_others():
    shown = sampled([(name, None) for name, _ in TABLE], 100)
    assert len(shown) == 100
    assert not any(one.unsure for one in shown)
