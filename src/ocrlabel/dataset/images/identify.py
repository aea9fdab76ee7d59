"""What a file is, by its first bytes. Names and endings lie: a PNG is often called .jpg."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

HEAD_BYTES = 1024
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_DIB_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_MAGIC = tuple(
    (format_, re.compile(magic, re.DOTALL))
    for format_, magic in (
        ("jpeg", rb"\xff\xd8\xff"),
        ("png", rb"\x89PNG\r\n\x1a\n"),
        ("tiff", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
        ("webp", rb"RIFF....WEBP"),
        ("gif", rb"GIF8[79]a"),
    )
)
_OTHERS = tuple(
    (re.compile(magic, re.IGNORECASE), what, failure)
    for magic, what, failure in (
        (rb"<(!doctype html|html|head|body)\b|<!--[^\0]*?<html\b",
         "a web page, perhaps an error page saved as an image", FailureClass.NOT_AN_IMAGE),
        (rb"(<[?!][^\0]*?)?<svg\b", "an SVG drawing", FailureClass.UNSUPPORTED),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image", FailureClass.UNSUPPORTED),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL image", FailureClass.UNSUPPORTED),
        (rb"8BPS", "a Photoshop file", FailureClass.UNSUPPORTED),
        (rb"%!PS", "a PostScript file", FailureClass.UNSUPPORTED),
        (rb"PK\x03\x04", "a ZIP archive or an Office file", FailureClass.UNSUPPORTED),
        (rb"\xd0\xcf\x11\xe0", "an old Office or Hangul file", FailureClass.UNSUPPORTED),
        (rb"PAR1", "a parquet table", FailureClass.NOT_AN_IMAGE),
    )
)  # fmt: skip
_SIGNATURE_BYTES = 8
_AROUND_BYTES = 12  # length, name and checksum of a chunk
"""As much of a file as `sniff` looks at."""


def sniff(data: bytes) -> str | None:
    """jpeg, png, bmp, tiff, pdf, heic, avif, webp or gif; None for everything else."""
    for format_, magic in _MAGIC:
        if magic.match(data):
            return format_
    if data[4:8] == b"ftyp":
        return _brand(data)
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _DIB_HEADER_BYTES:
        return "bmp"
    # A PDF may begin with other bytes: every reader searches the first kilobyte.
    return "pdf" if b"%PDF-" in data[:HEAD_BYTES] else None


def known(data: bytes) -> str:
    """The same, or Unreadable with what the bytes are instead."""
    if not data:
        raise Unreadable("the file is empty", failure=FailureClass.EMPTY)
    format_ = sniff(data)
    if format_ is None:
        raise _otherwise(data)
    return format_


def _brand(data: bytes) -> str | None:
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heic" if brands & _HEIC_BRANDS else None


def _otherwise(data: bytes) -> Unreadable:
    head = data[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, what, failure in _OTHERS:
        if magic.match(head):
            return Unreadable(f"it is {what}, which cannot be read here", failure=failure)
    what = "text" if _is_text(head) else "of no known image format"
    return Unreadable(f"it is no image: the content is {what}")


def _is_text(head: bytes) -> bool:
    try:
        head[:-3].decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk. crc is the checksum that the file states."""

    name: bytes
    body: memoryview
    crc: int


def chunks(data: bytes) -> Iterator[Chunk]:
    """Every chunk up to the end of the data; the body of the last may be cut off."""
    view, at = memoryview(data), _SIGNATURE_BYTES
    while at + _AROUND_BYTES <= len(data):
        end = at + 8 + int.from_bytes(view[at : at + 4], "big")
        crc = int.from_bytes(view[end : end + 4], "big")
        yield Chunk(bytes(view[at + 4 : at + 8]), view[at + 8 : end], crc)
        at = end + 4


def exif(data: bytes) -> bytes:
    """The EXIF block, which may stand before or after the pixels; b"" where there is none."""
    return next((bytes(chunk.body) for chunk in chunks(data) if chunk.name == b"eXIf"), b"")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is read (bytes), decoded (px of one page) and looked at (pages).

    max_pixels_per_jpeg: where JPEGs over max_pixels_per_page are decoded smaller; else 0.
    """

    max_bytes: int = 50_000_000
    max_pixels_per_page: int = 200_000_000
    max_pages: int = 100
    max_pixels_per_jpeg: int = 0

    def max_pixels_of(self, format_: str) -> int:
        """The most pixels that a page may have, as `sniff` names its format."""
        if format_ == "jpeg":
            return max(self.max_pixels_per_page, self.max_pixels_per_jpeg)
        return self.max_pixels_per_page


LOCAL = Limits(max_pixels_per_page=36_000_000, max_pixels_per_jpeg=200_000_000)
"""For engines in our own processes. Pillow holds 4 bytes a pixel, and while a page is turned it is
there twice: 36 megapixels stay within 300 MB above the idle engine (A4 at 600 dpi has 35). A JPEG
with more (telephones make 50) is decoded at half its size or less, and takes less memory so."""


@dataclass(frozen=True, slots=True)
class Accepts:
    """What an engine takes as it is. formats: as `sniff` names them."""

    formats: frozenset[str]
    max_bytes: int = 50_000_000
    max_pixels_per_page: int = 200_000_000
    max_pages: int = 100

    @property
    def limits(self) -> Limits:
        """The numbers alone."""
        return Limits(self.max_bytes, self.max_pixels_per_page, self.max_pages)


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
