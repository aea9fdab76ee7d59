"""What a file is, by its first bytes.

The name's ending is never asked: a PNG is often called .jpg.
"""

from __future__ import annotations

import re

from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

HEAD_BYTES = 1024
"""As much of a file as `sniff` looks at."""

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
_NOT_READ_HERE = tuple(
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


def sniff(data: bytes) -> str | None:
    """jpeg, png, bmp, tiff, pdf, heic, avif, webp or gif; None for everything else."""
    for format_, magic in _MAGIC:
        if magic.match(data):
            return format_
    if data[4:8] == b"ftyp":
        return _heif_format(data)
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _DIB_HEADER_BYTES:
        return "bmp"
    # A PDF may begin with other bytes: every reader searches the first kilobyte.
    return "pdf" if b"%PDF-" in data[:HEAD_BYTES] else None


def identify(data: bytes) -> str:
    """The format as `sniff` names it, or Unreadable with what the bytes are instead."""
    if not data:
        raise Unreadable("the file is empty", failure=FailureClass.EMPTY)
    format_ = sniff(data)
    if format_ is None:
        raise _unreadable(data)
    return format_


def _heif_format(data: bytes) -> str | None:
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heic" if brands & _HEIC_BRANDS else None


def _unreadable(data: bytes) -> Unreadable:
    head = data[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, what, failure in _NOT_READ_HERE:
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
