from __future__ import annotations

from ocrlabel.report.pages import Sample
from tests.support.labelled import row


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


def test_a_large_table_shows_exactly_as_many_pages_as_there_are_places():
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


def test_no_places_keep_nothing():
    assert sampled(TABLE, 0) == []


def test_pages_without_any_confidence_are_drawn_like_others():
    shown = sampled([(name, None) for name, _ in TABLE], 100)
    assert len(shown) == 100
    assert not any(one.unsure for one in shown)
