"""Small images with known text, for engines that really read."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageDraw, ImageFont


def drawn(*lines: str, width: int = 640, height: int = 200, size: int = 40) -> Image.Image:
    """Black text on white, one line below the other."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((30, 20 + row * size * 1.6), line, "black", ImageFont.load_default(size))
    return image


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    """The image as a file of that format."""
    file = BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()
