"""Every broken or awkward file ends as its manifest says, and garbage only as Unreadable."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrlabel.errors import Unreadable
from ocrlabel.images.headers import inspect
from ocrlabel.images.identify import sniff
from ocrlabel.images.limits import LOCAL_LIMITS, Accepts, ImageLimits
from ocrlabel.images.prepare import prepare, upright_pages
from ocrlabel.labels import FailureClass
from tests.support.shared_data import shared_data
from tests.unit.dataset.made import corners, pdf, saved, turned

UPSTAGE = Accepts(frozenset({"jpeg", "png", "bmp", "tiff", "pdf", "heic"}))

READ = "read"
WANTED_LOCALLY = {
    "truncated.jpg": FailureClass.CORRUPT,
    "truncated_header.jpg": FailureClass.CORRUPT,
    "zero_bytes.jpg": FailureClass.EMPTY,
    "text.png": FailureClass.NOT_AN_IMAGE,
    "html_error_page.jpg": FailureClass.NOT_AN_IMAGE,
    "bomb_60000x60000.png": FailureClass.TOO_MANY_PIXELS,
    "bomb_real_12000x12000_1bit.png": FailureClass.TOO_MANY_PIXELS,
    "bad_crc.png": FailureClass.CORRUPT,
    "svg.svg": FailureClass.UNSUPPORTED,
    "password.pdf": FailureClass.ENCRYPTED,
}
# 144 megapixels in one bit: the service takes 200, and nothing is decoded here.
WANTED_REMOTELY = {**WANTED_LOCALLY, "bomb_real_12000x12000_1bit.png": READ}


def ending(read: Callable[[bytes], object], data: bytes) -> str:
    try:
        read(data)
    except Unreadable as error:
        return error.failure if error.message else "no message"
    return READ


def all_pages(data: bytes) -> list[Image.Image]:
    return list(upright_pages(data, LOCAL_LIMITS))


def sent(data: bytes) -> object:
    return prepare(data, UPSTAGE)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_bad_file_ends_as_its_manifest_expects():
    bad = shared_data("bad")
    files = [bad / row["file"] for row in lines(bad / "manifest.jsonl")]
    read = {file.name: file.read_bytes() for file in files if file.is_file()}
    assert len(read) >= 24
    locally = {name: ending(all_pages, data) for name, data in read.items()}
    remotely = {name: ending(sent, data) for name, data in read.items()}
    assert locally == {name: WANTED_LOCALLY.get(name, READ) for name in read}
    assert remotely == {name: WANTED_REMOTELY.get(name, READ) for name in read}


def test_pages_have_the_sizes_that_the_ground_truth_has():
    wanted: dict[str, list[tuple[int, int]]] = {}
    for row in lines(shared_data("ocr-dev", "labels.jsonl")):
        wanted.setdefault(row["image"], []).append((row["width"], row["height"]))
    for name, sizes in wanted.items():
        data = shared_data("ocr-dev", name).read_bytes()
        facts = inspect(data, ImageLimits())
        assert facts.page_count == len(sizes)
        if facts.format != "pdf":
            assert list(facts.page_sizes_px) == sizes, name


SMALL = (
    saved(corners(), "JPEG"),
    turned(6, "JPEG"),
    saved(corners(), "JPEG", progressive=True),
    saved(corners(), "PNG"),
    turned(5, "PNG"),
    saved(corners().quantize(8), "PNG", transparency=1),
    saved(corners(), "BMP"),
    saved(corners(), "TIFF", save_all=True, append_images=[corners().convert("1")]),
    saved(corners(), "TIFF", compression="tiff_lzw"),
    turned(8, "TIFF", compression="tiff_adobe_deflate"),
    saved(corners(), "GIF", save_all=True, append_images=[Image.new("RGB", (48, 32))]),
    saved(corners(), "WEBP"),
    saved(corners(), "AVIF"),
    pdf((72, 72), (20, 20)),
)

TIGHT = ImageLimits(max_bytes=100_000, max_pixels_per_page=1_000_000, max_pages=20)
TIGHT_ACCEPTS = Accepts(UPSTAGE.formats, ImageLimits(100_000, 1_000_000, 20))
EVERYTHING = Accepts(UPSTAGE.formats | {"gif", "webp", "avif"}, TIGHT_ACCEPTS.limits)


def ends_well(data: bytes) -> None:
    sniff(data)
    for read in (
        partial(inspect, limits=TIGHT),
        partial(prepare, accepts=TIGHT_ACCEPTS),
        partial(prepare, accepts=EVERYTHING),
        lambda image: list(upright_pages(image, TIGHT, dpi=72)),
    ):
        ending(read, data)


quick = settings(max_examples=150, suppress_health_check=list(HealthCheck))


@quick
@given(st.binary(max_size=200))
def test_arbitrary_bytes_end_as_unreadable_and_nothing_else(data):
    ends_well(data)


@quick
@given(st.sampled_from([data[:32] for data in SMALL]), st.binary(max_size=400))
def test_a_right_beginning_with_garbage_behind_it_ends_well(head, data):
    ends_well(head + data)


@quick
@given(st.sampled_from(SMALL), st.floats(0, 1))
def test_an_image_cut_anywhere_ends_well(image, share):
    ends_well(image[: int(len(image) * share)])


@quick
@given(
    st.sampled_from(SMALL),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_an_image_with_wrong_bytes_anywhere_ends_well(image, wrong):
    broken = bytearray(image)
    for share, value in wrong:
        broken[int(share * len(broken))] = value
    ends_well(bytes(broken))


@pytest.mark.parametrize("image", SMALL, ids=range(len(SMALL)))  # a PDF holds the time
def test_the_small_images_themselves_are_read(image):
    assert list(upright_pages(image, TIGHT))
