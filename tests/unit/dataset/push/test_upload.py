"""The decisions of a push, from values alone."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.dataset.push.table import row_groups
from ocrlabel.dataset.push.target import PushTarget, image_key, name_of, target_of
from ocrlabel.dataset.push.upload import (
    ImageInventory,
    ImagesInBucket,
    in_parallel,
    missing,
    plan_uploads,
    rows_to_check,
)
from ocrlabel.errors import ConfigError
from ocrlabel.storage.base import Stored


def surveyed(contents: list[int | None]) -> ImageInventory:
    """A inventory of images with these contents; None cannot be read."""
    inventory = ImageInventory(len(contents))
    for row, content in enumerate(contents):
        if content is None:
            inventory.failed(row, "broken")
        else:
            inventory.found(row, bytes([content] * 32), 10 + content, "png")
    return inventory


def stock_of(contents: list[int]) -> ImagesInBucket:
    in_bucket = ImagesInBucket("data/images")
    for content in contents:
        name = f"{bytes([content] * 32).hex()}.png"
        in_bucket.add(Stored(image_key("data/images", name), 10 + content))
    return in_bucket


CONTENTS = st.lists(st.none() | st.integers(0, 5), min_size=1, max_size=30)


@given(CONTENTS, st.lists(st.integers(0, 5)))
def test_every_image_is_sent_once_or_is_there(contents, there):
    inventory = surveyed(contents)
    uploads = plan_uploads(inventory, stock_of(there))
    sent = [contents[row] for row, is_sent in enumerate(uploads.rows) if is_sent]
    assert len(sent) == len(set(sent)) == uploads.images
    assert set(sent) == {content for content in contents if content is not None} - set(there)
    assert uploads.size_bytes == sum(10 + content for content in sent)
    readable = sum(content is not None for content in contents)
    assert uploads.images + uploads.there + uploads.identical == readable
    assert inventory.unreadable == len(contents) - readable
    assert list(missing(inventory, stock_of([*there, *sent]))) == []


def test_objects_elsewhere_or_cut_off_are_not_the_images():
    inventory = surveyed([1])
    in_bucket = ImagesInBucket("data/images")
    in_bucket.add(Stored(f"data/images/zz/{inventory.name(0)}", 11))
    assert list(missing(inventory, in_bucket)) == [0]
    in_bucket.add(Stored(image_key("data/images", inventory.name(0)), 10))
    assert list(missing(inventory, in_bucket)) == [0]
    in_bucket.add(Stored(image_key("data/images", inventory.name(0)), 11))
    assert list(missing(inventory, in_bucket)) == []


@given(CONTENTS, st.integers(2, 9), st.booleans())
def test_a_sample_has_the_first_and_the_last_readable_row(contents, most, distinct):
    inventory = surveyed(contents)
    readable = [
        row
        for row, content in enumerate(contents)
        if content is not None and not (distinct and content in contents[:row])
    ]
    sample = rows_to_check(inventory, most, distinct=distinct)
    assert sample == sorted(set(sample))
    assert len(sample) == min(most, len(readable))
    assert set(sample) <= set(readable)
    if readable:
        assert {sample[0], sample[-1]} == {readable[0], readable[-1]}
    assert rows_to_check(inventory, None, distinct=distinct) == readable


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_groups_cover_every_row_once_within_their_limits(sizes):
    cut = list(row_groups(sizes, most_rows=7, most_bytes=60))
    assert [row for start, stop in cut for row in range(start, stop)] == list(range(len(sizes)))
    assert all(0 < stop - start <= 7 for start, stop in cut)
    assert all(stop - start == 1 or sum(sizes[start:stop]) <= 60 for start, stop in cut)


def test_an_image_larger_than_a_group_is_a_group():
    assert list(row_groups([5, 99, 5], most_rows=10, most_bytes=60)) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize(
    ("address", "source", "key"),
    [
        ("s3://b", "images/", "data/processed/images.parquet"),
        ("s3://b/", "data/train.csv", "data/processed/train.parquet"),
        ("s3://b/data/processed/", "/mnt/scans.2024", "data/processed/scans.2024.parquet"),
        ("s3://b/sets", "scans/**/*.jpg", "sets/scans.parquet"),
        ("s3://b/data/processed/t.parquet", "x/", "data/processed/t.parquet"),
        ("s3://b", "영수증 사진/", "data/processed/영수증_사진.parquet"),
        ("s3://b", "s3://other/raw/pages/", "data/processed/pages.parquet"),
        ("s3://b", "one page.JPG", "data/processed/one_page.parquet"),
    ],
)
def test_the_tables_place_follows_from_what_was_named(address, source, key):
    assert target_of(address, source) == PushTarget("b", key)


def test_a_name_can_be_given_where_the_source_has_none():
    for source in (".", "/", "*.jpg"):
        with pytest.raises(ConfigError, match="add --dataset-name NAME"):
            name_of(source)
    target = target_of("s3://b", ".", dataset_name="train", image_prefix="/img/")
    assert target == PushTarget("b", "data/processed/train.parquet", "img")
    assert target.url == "s3://b/data/processed/train.parquet"


@pytest.mark.parametrize("address", ["bucket/x", "s3://", "s3:///x.parquet", "./out"])
def test_what_is_no_bucket_is_refused(address):
    with pytest.raises(ConfigError, match="give a bucket"):
        target_of(address, "images/")


def test_two_names_for_one_table_are_refused():
    with pytest.raises(ConfigError, match="names the table already"):
        target_of("s3://b/t.parquet", "images/", dataset_name="other")


def test_the_first_error_stops_the_others_and_is_raised_as_it_is():
    begun, ended = [], []

    async def work(number: int) -> None:
        begun.append(number)
        if number == 2:
            raise ConfigError("two")
        await asyncio.sleep(0 if number < 2 else 60)
        ended.append(number)

    with pytest.raises(ConfigError, match="two"):
        asyncio.run(in_parallel(range(9), work, 2))
    assert ended == [0, 1]
    assert set(begun) <= {0, 1, 2, 3}
