"""Images found where the user said, as the upright page that was labelled, or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pypdfium2
import pytest
from PIL import Image, ImageDraw

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.formats import ExportOptions, NoImage
from ocrlabel.export.images import LabelledImages, image_sources
from ocrlabel.export.paddleocr import export
from ocrlabel.labels import Word
from tests.support.labelled import row, word

DATA = Path(__file__).parents[4] / "shared" / "data" / "ocr-dev"


def encoded(kind: str = "PNG", size: tuple[int, int] = (200, 100), **options) -> bytes:
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((0, 0, 50, 20), fill="red")  # the top left
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def labelled(name: str, data: bytes, **changes) -> LabelRow:
    return row(name, [word()], image_sha256=hashlib.sha256(data).hexdigest(), **changes)


def finder(*paths: Path) -> LabelledImages:
    return LabelledImages(image_sources(paths))


def put(path: Path, data: bytes) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


@pytest.mark.parametrize("root", ["receipts", "."])
def test_a_path_is_found_under_its_folder_and_under_the_folder_above(tmp_path, root):
    data = put(tmp_path / "receipts" / "a.jpg", encoded("JPEG"))
    found = finder(tmp_path / root).file(labelled("a.jpg", data))
    assert (found.data, found.suffix) == (data, ".jpg")


def test_a_file_of_the_same_name_with_other_bytes_is_not_taken_for_it(tmp_path):
    put(tmp_path / "receipts" / "a.jpg", encoded("JPEG"))
    wanted = encoded("JPEG", (200, 100), quality=30)
    with pytest.raises(NoImage, match="changed since"):
        finder(tmp_path).file(labelled("a.jpg", wanted))
    put(tmp_path / "b" / "a.jpg", wanted)
    assert finder(tmp_path, tmp_path / "b").file(labelled("a.jpg", wanted)).data == wanted


def test_an_image_of_another_size_is_not_the_one_that_was_labelled(tmp_path):
    put(tmp_path / "a.png", encoded(size=(20, 10)))
    with pytest.raises(NoImage, match="20x10 px, the labels are for 200x100"):
        finder(tmp_path).file(row("a.png", image_sha256=""))


def test_nothing_outside_the_named_folder_is_read(tmp_path):
    secret = put(tmp_path / "secret.png", encoded())
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    for path in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        with pytest.raises(NoImage, match="not found"):
            finder(inside).file(labelled("x", secret, image_path=path))


def test_the_suffix_of_an_exported_image_follows_from_its_bytes(tmp_path):
    data = put(tmp_path / "really_png.jpg", encoded("PNG"))
    assert finder(tmp_path).file(labelled("really_png.jpg", data)).suffix == ".png"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_turned_by_its_exif_tag_is_exported_upright(tmp_path, kind):
    exif = Image.Exif()
    exif[274] = 6  # turn a quarter clockwise to see it upright
    data = put(tmp_path / "a.jpg", encoded(kind, exif=exif))
    found = finder(tmp_path).file(labelled("a.jpg", data, width_px=100, height_px=200))
    assert found.suffix == ".png"
    with Image.open(io.BytesIO(found.data)) as upright:
        assert upright.size == (100, 200)
        assert upright.getexif().get(274) is None
        red, green, _ = upright.getpixel((90, 10))
    assert (red > 200, green < 60) == (True, True)


def test_each_page_of_a_tiff_is_an_image_of_its_own(tmp_path):
    pages = [Image.new("RGB", (200, 100), colour) for colour in ("red", "lime", "blue")]
    out = io.BytesIO()
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    data = put(tmp_path / "a.tiff", out.getvalue())
    images = finder(tmp_path)
    wanted = {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}
    for number in (1, 2, 3, 2):  # in order, and back again
        one = labelled("a.tiff", data, page=number, page_count=3)
        assert images.pixels(one).getpixel((5, 5)) == wanted[number]
        assert images.file(one).suffix == ".png"
    with pytest.raises(NoImage, match="no page 4"):
        images.pixels(labelled("a.tiff", data, page=4, page_count=4))


def pdf(pages: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(300, 150).close()
    out = io.BytesIO()
    document.save(out)
    document.close()
    return out.getvalue()


@pytest.mark.parametrize("width", [625, 626, 1000])
def test_a_pdf_is_drawn_at_the_raster_of_its_labels(tmp_path, width):
    data = put(tmp_path / "a.pdf", pdf(2))
    images = finder(tmp_path)
    for page in (1, 2):
        one = labelled("a.pdf", data, page=page, page_count=2, width_px=width,
                       height_px=round(width / 2))  # fmt: skip
        assert images.pixels(one).size == (width, round(width / 2))
    with pytest.raises(NoImage, match="the labels are for"):
        images.pixels(labelled("a.pdf", data, page_count=2, width_px=500, height_px=500))


def test_bytes_that_are_no_image_are_no_image(tmp_path):
    data = put(tmp_path / "a.jpg", b"<html>")
    with pytest.raises(NoImage, match="web page"):
        finder(tmp_path).file(labelled("a.jpg", data))


@pytest.mark.parametrize(
    "column", [pa.struct([("bytes", pa.binary()), ("path", pa.string())]), pa.binary()]
)
def test_images_that_lie_in_the_input_table_are_found_by_their_bytes(tmp_path, column):
    images = [encoded(size=(200, 100 + n)) for n in range(7)]
    struct = pa.types.is_struct(column)
    values = [{"bytes": data, "path": None} if struct else data for data in images]
    table = pa.table({"label": list(range(7)), "image": pa.array(values, column)})
    pq.write_table(table, tmp_path / "input.parquet", row_group_size=3)
    found = finder(tmp_path / "input.parquet")
    for n in (0, 1, 1, 5, 2, 6, 0):
        one = labelled(f"{n}", images[n], image_path="", height_px=100 + n)
        assert found.file(one).data == images[n]
    with pytest.raises(NoImage):
        found.file(labelled("x", b"other"))


def test_a_table_without_images_and_a_missing_folder_are_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    for path in (tmp_path / "t.parquet", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="--images"):
            image_sources([path])


@pytest.mark.skipif(not DATA.exists(), reason="the test images are not beside the project")
def test_every_kind_of_real_image_is_exported_as_a_page_of_the_labels_size(tmp_path):
    table = []
    for line in (DATA / "labels.jsonl").read_text().splitlines():
        content = json.loads(line)
        if content["width"] * content["height"] > 3_000_000:
            continue  # enough of them are small
        words = [
            Word(w["text"], tuple(map(tuple, w["polygon"])), None) for w in content.get("words", [])
        ]
        table.append(
            row(content["image"], words, image_path=content["image"], image_sha256="",
                width_px=content["width"], height_px=content["height"],
                page=content.get("page", 0) + 1)
        )  # fmt: skip
    summary = export(iter(table), finder(DATA), tmp_path, ExportOptions())
    assert summary.examples == ()
    assert summary.images == summary.pages == len(table) > 30
    for path in (tmp_path / "pseudo").glob("*.[jp]*g"):
        with Image.open(path) as image:
            assert image.getexif().get(274, 1) == 1


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_a_scan_of_more_than_eight_bits_is_exported_as_a_picture_that_every_reader_sees(
    tmp_path, bits, format_
):
    scan = Image.new("I;16", (40, 20), 2**bits - 1)
    scan.paste(0, (5, 5, 35, 15))
    scan.save(tmp_path / "scan", format_)
    data = (tmp_path / "scan").read_bytes()
    labelled = row("scan", width_px=40, height_px=20, image_path="scan",
                   image_sha256=hashlib.sha256(data).hexdigest())  # fmt: skip
    found = LabelledImages(image_sources([tmp_path])).file(labelled)
    picture = Image.open(io.BytesIO(found.data))
    assert (picture.mode, picture.size, found.suffix) == ("RGB", (40, 20), ".png")
    assert picture.convert("L").getextrema() == (0, 255)


def exported(tmp_path, data, size=(40, 20)):
    (tmp_path / "page").write_bytes(data)
    labelled = row("page", width_px=size[0], height_px=size[1], image_path="page",
                   image_sha256=hashlib.sha256(data).hexdigest())  # fmt: skip
    return LabelledImages(image_sources([tmp_path])).file(labelled)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
def test_what_is_transparent_is_exported_on_white_as_it_was_read(tmp_path, mode):
    """OpenCV, and so PaddleOCR and Ultralytics, drops the alpha: black on black."""
    if mode in {"P", "L"}:
        page, more = Image.new(mode, (40, 20), 0), {"transparency": 0}
        page.paste(1, (5, 5, 35, 15))
    else:
        page, more = Image.new(mode, (40, 20), (0,) * len(mode)), {}
        page.paste((0,) * (len(mode) - 1) + (255,), (5, 5, 35, 15))
    page.save(tmp_path / "t.png", **more)
    found = exported(tmp_path, (tmp_path / "t.png").read_bytes())
    pixels = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_COLOR)
    assert (pixels.max(), found.suffix) == (255, ".png")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[10, 20].max() < 2


def test_of_an_animation_the_frame_that_was_read_is_exported(tmp_path):
    frames = [Image.new("RGB", (40, 20), colour) for colour in ("white", "black")]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    found = exported(tmp_path, (tmp_path / "a.png").read_bytes())
    assert not getattr(Image.open(io.BytesIO(found.data)), "is_animated", False)


def test_colours_of_twelve_bits_are_exported_as_a_picture_that_every_reader_sees(tmp_path):
    pixels = np.full((20, 40, 3), 4095, np.uint16)
    found = exported(tmp_path, cv2.imencode(".png", pixels)[1].tobytes())
    assert cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_UNCHANGED).min() == 255
