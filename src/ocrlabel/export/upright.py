"""A page as the labels saw it: upright, single, at the size that the table says.

The polygons are in pixels of the upright page. So an image that is upright, single and of a kind
that every reader opens is handed on byte for byte; a page of a PDF or TIFF, an image turned by its
EXIF tag, or of a rarer kind, is handed on as the upright picture (PNG).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ocrlabel.dataset.rows import LabelRow
from ocrlabel.export.base import ImageFile, NoImage

if TYPE_CHECKING:
    from PIL import Image

_AS_THEY_ARE = {"JPEG": ".jpg", "PNG": ".png"}
_ORIENTATION = 274  # the EXIF tag


def page_file(document: bytes, row: LabelRow) -> ImageFile:
    """Return the row's page of a document as a file. Raises NoImage."""
    if suffix := _suffix_as_is(document, row):
        return ImageFile(document, suffix)
    out = io.BytesIO()
    page_pixels(document, row).save(out, "PNG")
    return ImageFile(out.getvalue(), ".png")


def page_pixels(document: bytes, row: LabelRow) -> Image.Image:
    """Return the row's page in RGB. Raises NoImage when it is not the page that was labelled."""
    page = _pdf_page(document, row) if document[:5] == b"%PDF-" else _image_page(document, row)
    if row.width_px > 0 and page.size != (row.width_px, row.height_px):
        raise NoImage(
            f"{row.image_path or row.id} is {page.width}x{page.height} px,"
            f" the labels are for {row.width_px}x{row.height_px}"
        )
    return page


def _suffix_as_is(document: bytes, row: LabelRow) -> str:
    """Return the suffix if the document can be handed on as it is, else "". Only reads the head."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only with --images

    if row.page_count > 1:
        return ""
    try:
        with Image.open(io.BytesIO(document)) as image:
            turned = image.getexif().get(_ORIENTATION, 1) not in {0, 1}
            fits = row.width_px <= 0 or image.size == (row.width_px, row.height_px)
            return _AS_THEY_ARE.get(image.format or "", "") if fits and not turned else ""
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return ""


def _image_page(document: bytes, row: LabelRow) -> Image.Image:
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415 - only with --images

    try:
        with Image.open(io.BytesIO(document)) as image:
            image.seek(row.page - 1)
            return _rgb(ImageOps.exif_transpose(image))
    except (UnidentifiedImageError, EOFError, OSError, Image.DecompressionBombError) as error:
        raise NoImage(f"{row.image_path or row.id} cannot be opened: {error}") from error


def _rgb(image: Image.Image) -> Image.Image:
    """Return the picture in RGB; what is transparent is white, 16 bits become 8."""
    from PIL import Image  # noqa: PLC0415 - only with --images

    if image.mode.startswith("I"):
        image = image.point(lambda value: value / 257).convert("L")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _pdf_page(document: bytes, row: LabelRow) -> Image.Image:
    """Return the page drawn at the width that the labels are for."""
    import pypdfium2 as pdfium  # noqa: PLC0415 - only for a PDF

    try:
        pdf = pdfium.PdfDocument(document)
    except pdfium.PdfiumError as error:
        raise NoImage(f"{row.image_path or row.id} cannot be opened: {error}") from error
    try:
        if row.page > len(pdf):
            raise NoImage(f"{row.image_path or row.id} has no page {row.page}")
        page = pdf[row.page - 1]
        scale = row.width_px / page.get_width() if row.width_px > 0 else 2.0
        drawn: Image.Image = page.render(scale=scale).to_pil().convert("RGB")
    finally:
        pdf.close()
    # drawing rounds its own way: a page that is off by a pixel is still the same page
    if row.width_px > 0 and abs(drawn.height - row.height_px) <= 2 + row.height_px // 200:
        drawn = drawn.resize((row.width_px, row.height_px))
    return drawn
