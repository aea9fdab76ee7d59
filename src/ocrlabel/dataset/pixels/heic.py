"""HEIC photos, as telephones make them; their pixels need the extra `heic`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ocrlabel.dataset.pixels.limits import check_pixels
from ocrlabel.dataset.pixels.pictures import decoding
from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

if TYPE_CHECKING:
    from PIL.Image import Image

# The size of one picture of the file, or of a tile of one: version, width, height.
_SIZE_BOX = re.compile(rb"ispe\0\0\0\0(....)(....)", re.DOTALL)


def stated_size(data: bytes) -> tuple[int, int]:
    """The biggest size that the file's own boxes name, before any turning. Needs no extra.

    Raises Unreadable when it names none.
    """
    sizes = [
        (int.from_bytes(width, "big"), int.from_bytes(height, "big"))
        for width, height in _SIZE_BOX.findall(data)
    ]
    if not sizes:
        raise Unreadable("it is broken HEIC: it names no size", failure=FailureClass.CORRUPT)
    return max(sizes, key=lambda size: size[0] * size[1])


def upright_heic(data: bytes, max_pixels: int) -> Image:
    """The main picture; turning is part of the format, and done by the decoder."""
    check_pixels(*stated_size(data), max_pixels)
    library = _library()
    with decoding("heic"):
        image: Image = library.open_heif(data).to_pillow()
    return image


def _library() -> Any:
    try:
        import pillow_heif  # noqa: PLC0415 -- only the extra has it
    except ModuleNotFoundError as error:
        raise Unreadable(
            "reading HEIC needs one more package: pip install 'ocrlabel[heic]'",
            failure=FailureClass.UNSUPPORTED,
        ) from error
    return pillow_heif
