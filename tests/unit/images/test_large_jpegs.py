"""JPEGs over the limit on decoded pixels are decoded smaller, and bombs are not decoded."""

from __future__ import annotations

import pytest
from PIL import Image

from ocrlabel.errors import Unreadable
from ocrlabel.images.headers import inspect
from ocrlabel.images.limits import LOCAL_LIMITS, ImageLimits
from ocrlabel.images.prepare import sized_pages
from ocrlabel.labels import FailureClass
from tests.unit.dataset.made import corners, is_corners, png_header, saved, turned

SMALL = ImageLimits(max_pixels_per_page=500, max_pixels_per_jpeg=2_000)
BASELINE, PROGRESSIVE = b"\xff\xc0", b"\xff\xc2"


def claiming(data: bytes, frame: bytes, width_px: int, height_px: int) -> bytes:
    """The JPEG with another size in its header."""
    at = data.index(frame) + 5
    size = height_px.to_bytes(2, "big") + width_px.to_bytes(2, "big")
    return data[:at] + size + data[at + 4 :]


def refusal(data: bytes, limits: ImageLimits = LOCAL_LIMITS) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        next(sized_pages(data, limits))
    return caught.value


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_jpeg_with_too_many_pixels_is_seen_smaller_and_keeps_its_size(orientation):
    ((image, size_px),) = sized_pages(turned(orientation, "JPEG", quality=95), SMALL)
    assert size_px == (48, 32)
    assert image.size == (24, 16)
    assert is_corners(image.resize((48, 32), Image.Resampling.NEAREST), tolerance=8)


def test_a_jpeg_within_the_limit_is_seen_in_full():
    limits = ImageLimits(max_pixels_per_page=48 * 32)
    ((image, size_px),) = sized_pages(saved(corners(), "JPEG"), limits)
    assert image.size == size_px == (48, 32)


def test_other_formats_with_as_many_pixels_are_refused():
    assert refusal(saved(corners(), "PNG"), SMALL).failure == FailureClass.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    "bomb",
    [
        claiming(saved(corners(), "JPEG"), BASELINE, 15_000, 15_000),
        claiming(saved(corners(), "JPEG"), BASELINE, 65_000, 65_000),
        png_header(60_000, 60_000),
        png_header(12_000, 12_000),
    ],
)
def test_a_bomb_is_refused_by_what_its_header_says(bomb):
    with pytest.raises(Unreadable, match=r"the limit is (200|36)$") as caught:
        inspect(bomb, LOCAL_LIMITS)
    assert caught.value.failure == FailureClass.TOO_MANY_PIXELS
    assert "the limit is" in refusal(bomb).message


def test_a_big_jpeg_in_several_scans_is_refused_as_it_would_have_to_be_held_in_full():
    progressive = saved(corners(), "JPEG", progressive=True, subsampling=0)
    one_scan = saved(corners(), "JPEG", subsampling=0)
    at = one_scan.index(b"\xff\xda") + 4
    several = one_scan[:at] + b"\1" + one_scan[at + 1 :]
    for data, frame in ((progressive, PROGRESSIVE), (several, BASELINE)):
        error = refusal(claiming(data, frame, 10_000, 10_000))
        assert "store it as a baseline JPEG" in error.message
        assert error.failure == FailureClass.TOO_MANY_PIXELS
