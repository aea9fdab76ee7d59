"""JPEGs with more pixels than may be decoded, decoded smaller.

A JPEG can be decoded at a half, a quarter or an eighth of its width and height without its full
pixels ever being there. That takes a few rows of memory beside the result, unless the file comes
in several scans: then the decoder must hold the whole picture's coefficients first.
"""

from __future__ import annotations

from PIL import JpegImagePlugin
from PIL.Image import Image

from ocrlabel.dataset.pixels.pictures import decoding
from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

_FACTORS = (1, 2, 4, 8)
_MAX_HELD_BYTES = 200_000_000
_COEFFICIENT_BYTES = 2
_START_OF_SCAN = 0xDA


def shrink(picture: Image, data: bytes, max_pixels: int) -> None:
    """Let a JPEG that is not decoded yet come out with at most max_pixels; others stay.

    Raises Unreadable for one in several scans that is too big even so.
    """
    width_px, height_px = picture.size
    factor = next(
        (factor for factor in _FACTORS if width_px * height_px <= max_pixels * factor**2),
        _FACTORS[-1],
    )
    if factor == 1 or not isinstance(picture, JpegImagePlugin.JpegImageFile):
        return
    with decoding("jpeg"):
        held_bytes = _held_bytes(picture, data)
        picture.draft(None, (width_px // factor or 1, height_px // factor or 1))
    if held_bytes > _MAX_HELD_BYTES:
        raise Unreadable(
            f"it has {width_px * height_px / 1e6:.0f} megapixels, which is too many for a "
            "progressive JPEG; store it as a baseline JPEG",
            failure=FailureClass.TOO_MANY_PIXELS,
        )


def _held_bytes(picture: JpegImagePlugin.JpegImageFile, data: bytes) -> int:
    layers = picture.layer  # of each: name, samples across and down, table
    if not picture.info.get("progressive") and _in_first_scan(data) == len(layers):
        return 0
    most_across = max(layer[1] for layer in layers)
    most_down = max(layer[2] for layer in layers)
    samples = sum(layer[1] * layer[2] for layer in layers)
    whole = picture.width * picture.height * _COEFFICIENT_BYTES
    return whole * samples // (most_across * most_down)


def _in_first_scan(data: bytes) -> int:
    """How many colour components the first scan has; 0 where there is no scan."""
    at = 2
    while data[at : at + 1] == b"\xff" and at + 4 < len(data):
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            return data[at + 4]
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0
