"""What the service would make of a file: its format, its pages and their sizes, or a refusal."""

from __future__ import annotations

import io
import math
import warnings
from contextlib import suppress
from typing import Final, TypeAlias

import pypdfium2
from PIL import Image, UnidentifiedImageError

from ocrlabel.errors import Unreadable
from ocrlabel.fake.settings import DocumentLimits
from ocrlabel.images.identify import sniff
from ocrlabel.images.pdf import DPI
from ocrlabel.images.pillow import stated_size

_ENDS: Final = {"jpeg": b"\xff\xd9", "png": b"IEND\xaeB`\x82"}


PageSizes: TypeAlias = tuple[tuple[int, int], ...]
"""Width and height in px."""


class Refused(Exception):
    """The service answers with this status instead. All messages are assumptions."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def judge(data: bytes, limits: DocumentLimits) -> PageSizes:
    """The sizes of the pages that are read, and billed. Raises Refused.

    The bytes decide, not the name or content type (assumption).
    """
    if not data:
        raise Refused(400, "document is empty")
    if len(data) > limits.max_bytes:
        raise Refused(413, f"file is larger than {limits.max_bytes // 1_000_000} MB")
    if data[:1024].lstrip()[:5] == b"%PDF-":
        kind, sizes, count = _pdf(data, limits)
    elif sniff(data) == "heic":
        kind, sizes, count = _heic(data)
    else:
        kind, sizes, count = _image(data)
    if kind not in limits.formats:
        raise Refused(415, f"unsupported file format: {kind}")
    if count > limits.max_pages and not limits.truncates:
        raise Refused(413, f"more than {limits.max_pages} pages")
    if any(width * height > limits.max_pixels for width, height in sizes):
        raise Refused(413, f"a page has more than {limits.max_pixels} pixels")
    return sizes[: limits.max_pages]


def _pdf(data: bytes, limits: DocumentLimits) -> tuple[str, PageSizes, int]:
    try:
        with pypdfium2.PdfDocument(data) as document:
            count = len(document)
            sizes = [document.get_page_size(i) for i in range(min(count, limits.max_pages))]
    except pypdfium2.PdfiumError as error:  # broken, or it wants a password
        raise Refused(422, "the document cannot be opened") from error
    if count == 0:
        raise Refused(422, "the document has no pages")
    scale = DPI / 72
    return "pdf", tuple((math.ceil(w * scale), math.ceil(h * scale)) for w, h in sizes), count


def _heic(data: bytes) -> tuple[str, PageSizes, int]:
    """One page; of the size when upright where pillow-heif is there, else as the file states."""
    try:
        size_px = stated_size(data)
        with suppress(ModuleNotFoundError):
            import pillow_heif  # noqa: PLC0415 -- of an extra that the fake can do without

            size_px = pillow_heif.open_heif(data).size
    except (Unreadable, OSError, ValueError, RuntimeError, EOFError) as error:
        raise Refused(422, "the image is damaged") from error
    return "heic", (size_px,), 1


def _image(data: bytes) -> tuple[str, PageSizes, int]:
    try:
        with warnings.catch_warnings():
            # the limit on pixels is ours to apply, after the header was read
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return _frames(image, data)
    except Image.DecompressionBombError as error:
        raise Refused(413, "a page has too many pixels") from error
    except UnidentifiedImageError as error:
        raise Refused(415, "unsupported file format") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Refused(422, "the image is damaged") from error


def _frames(image: Image.Image, data: bytes) -> tuple[str, PageSizes, int]:
    kind = {"mpo": "jpeg", "heif": "heic"}.get(name := (image.format or "").lower(), name)
    if (end := _ENDS.get(kind)) is not None and end not in data[-64:]:
        raise Refused(422, "the image is cut off")
    if kind != "tiff":
        return kind, (image.size,), 1
    sizes = []
    for frame in range(getattr(image, "n_frames", 1)):
        image.seek(frame)
        sizes.append(image.size)
    return kind, tuple(sizes), len(sizes)
