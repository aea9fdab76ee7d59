"""How big an image may be, checked before anything is decoded, and what an engine takes."""

from __future__ import annotations

from dataclasses import dataclass

from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The most that is read (bytes), decoded (px of one page) and looked at (pages).

    max_pixels_per_jpeg: where JPEGs over max_pixels_per_page are decoded smaller; else 0.
    """

    max_bytes: int = 50_000_000
    max_pixels_per_page: int = 200_000_000
    max_pages: int = 100
    max_pixels_per_jpeg: int = 0


LOCAL_LIMITS = ImageLimits(max_pixels_per_page=36_000_000, max_pixels_per_jpeg=200_000_000)


@dataclass(frozen=True, slots=True)
class Accepts:
    """What an engine takes as it is. formats: as `sniff` names them."""

    formats: frozenset[str]
    limits: ImageLimits = ImageLimits()


def check_bytes(size_bytes: int, max_bytes: int) -> None:
    """Raises Unreadable for an empty image and for one over the limit."""
    if size_bytes == 0:
        raise Unreadable("the file is empty", failure=FailureClass.EMPTY)
    if size_bytes > max_bytes:
        raise Unreadable(
            f"it has {size_bytes / 1e6:.1f} MB, the limit is {max_bytes / 1e6:.1f} MB",
            failure=FailureClass.TOO_LARGE,
        )


def check_pixels(width_px: int, height_px: int, max_pixels: int, *, page: int = 1) -> None:
    """Raises Unreadable for a page without pixels and for one with more than may be decoded."""
    if width_px < 1 or height_px < 1:
        raise Unreadable(
            f"page {page} is {width_px} x {height_px} pixels", failure=FailureClass.CORRUPT
        )
    if width_px * height_px > max_pixels:
        raise Unreadable(
            f"page {page} has {width_px} x {height_px} = {width_px * height_px / 1e6:.0f} "
            f"megapixels, the limit is {max_pixels / 1e6:.0f}",
            failure=FailureClass.TOO_MANY_PIXELS,
        )


def check_pages(pages: int, max_pages: int) -> None:
    """Raises Unreadable for a document without pages and for one with too many."""
    if pages < 1:
        raise Unreadable("it has no pages", failure=FailureClass.CORRUPT)
    if pages > max_pages:
        raise Unreadable(
            f"it has more than {max_pages} pages, which is the limit",
            failure=FailureClass.TOO_MANY_PAGES,
        )
