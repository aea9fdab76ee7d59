"""What can be known of an image from its headers, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass

from ocrlabel.dataset.pixels import heic, pdf
from ocrlabel.dataset.pixels.limits import Limits, check_bytes, check_pixels
from ocrlabel.dataset.pixels.pictures import decoding, open_pages, orientation_of, upright_size
from ocrlabel.dataset.pixels.sniff import known


@dataclass(frozen=True, slots=True)
class Facts:
    """An image before it is decoded.

    page_sizes_px: (width, height) of each page when upright; empty where it depends on who draws
    it (PDF) or is known only after decoding (HEIC). orientation: of the first page, as EXIF
    counts. turned: some page is not stored upright. mode: Pillow's name, "" for PDF and HEIC.
    """

    format: str
    page_count: int
    page_sizes_px: tuple[tuple[int, int], ...] = ()
    orientation: int = 1
    turned: bool = False
    mode: str = ""
    animated: bool = False


def inspect(data: bytes, limits: Limits) -> Facts:
    """Read the headers. Raises Unreadable, with the class that says why."""
    check_bytes(len(data), limits.max_bytes)
    format_ = known(data)
    if format_ == "pdf":
        return Facts("pdf", pdf.count_pages(data, limits))
    if format_ == "heic":
        check_pixels(*heic.stated_size(data), limits.max_pixels_per_page)
        return Facts("heic", 1)
    sizes: list[tuple[int, int]] = []
    turns: list[int] = []
    mode, animated = "", False
    for picture in open_pages(data, format_, limits):
        with decoding(format_):
            if not sizes:
                mode = picture.mode
                animated = format_ != "tiff" and getattr(picture, "is_animated", False)
            sizes.append(upright_size(picture))
            turns.append(orientation_of(picture))
    return Facts(
        format=format_,
        page_count=len(sizes),
        page_sizes_px=tuple(sizes),
        orientation=turns[0],
        turned=any(turn != 1 for turn in turns),
        mode=mode,
        animated=animated,
    )
