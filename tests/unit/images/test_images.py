"""Images are known by their content, handed on as they are, and upright where they are not."""

from __future__ import annotations

import re
import struct
import sys
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from ocrlabel.errors import Unreadable
from ocrlabel.images import pillow
from ocrlabel.images.headers import inspect
from ocrlabel.images.identify import sniff
from ocrlabel.images.limits import Accepts, ImageLimits
from ocrlabel.images.prepare import prepare, upright_pages
from ocrlabel.labels import FailureClass
from tests.support.shared_data import shared_data
from tests.unit.dataset.made import chunk, corners, is_corners, pdf, png_header, saved, turned

UPSTAGE = Accepts(frozenset({"jpeg", "png", "bmp", "tiff", "pdf", "heic"}))
LOSSLESS = [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("BMP", {})]


def failure_of(data: bytes, limits: ImageLimits | None = None) -> FailureClass:
    with pytest.raises(Unreadable) as caught:
        inspect(data, limits or ImageLimits())
    return caught.value.failure


def first_page(data: bytes) -> Image.Image:
    return next(upright_pages(data))


# what the bytes are


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (saved(corners(), "JPEG"), "jpeg"),
        (saved(corners(), "PNG"), "png"),
        (saved(corners(), "BMP"), "bmp"),
        (saved(corners(), "TIFF"), "tiff"),
        (saved(corners(), "WEBP"), "webp"),
        (saved(corners(), "GIF"), "gif"),
        (saved(corners(), "AVIF"), "avif"),
        (b"MM\0*", "tiff"),
        (pdf((10, 10)), "pdf"),
        (b"\r\n" + pdf((10, 10)), "pdf"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", None),
        (b"BMW is a car maker", None),
        (b"<svg/>", None),
        (b"", None),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),  # a PDF holds the time
)
def test_an_image_is_known_by_its_content(data, name):
    assert sniff(data) == name


@pytest.mark.parametrize(
    ("data", "failure", "said"),
    [
        (b"", FailureClass.EMPTY, "empty"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x --><svg></svg>",
            FailureClass.UNSUPPORTED,
            "SVG",
        ),
        (b"  <!DOCTYPE html><html>", FailureClass.NOT_AN_IMAGE, "web page"),
        (b"PK\x03\x04", FailureClass.UNSUPPORTED, "ZIP"),
        ("안녕하세요".encode(), FailureClass.NOT_AN_IMAGE, "text"),
        (b"\0\1\2\3", FailureClass.NOT_AN_IMAGE, "no known image format"),
    ],
)
def test_what_is_no_image_is_called_by_its_name(data, failure, said):
    with pytest.raises(Unreadable, match=said) as caught:
        inspect(data, ImageLimits())
    assert caught.value.failure == failure


# turned pictures


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("format_", "options"), [*LOSSLESS[:3], ("JPEG", {"quality": 95})])
def test_pixels_are_upright_in_all_orientations(orientation, format_, options):
    data = turned(orientation, format_, **options)
    page = first_page(data)
    assert page.mode == "RGB"
    assert is_corners(page, tolerance=4)
    facts = inspect(data, ImageLimits())
    assert (facts.orientation, facts.turned) == (orientation, orientation != 1)
    assert facts.page_sizes_px == ((48, 32),)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_turned_image_is_sent_as_a_png_of_the_same_upright_pixels(orientation, format_):
    data = turned(orientation, format_)
    document = prepare(data, UPSTAGE)
    assert (document.format, document.page_sizes_px) == ("png", ((48, 32),))
    sent = Image.open(BytesIO(document.data))
    assert not sent.getexif()
    assert sent.convert("RGB").tobytes() == first_page(data).tobytes()


def test_the_orientation_behind_the_pixels_of_a_png_counts_too():
    exif = Image.Exif()
    exif[0x0112] = 3
    plain = saved(corners().transpose(Image.Transpose.ROTATE_180), "PNG")
    end = plain.index(b"IEND") - 4
    late = plain[:end] + chunk(b"eXIf", exif.tobytes()[6:]) + plain[end:]
    assert inspect(late, ImageLimits()).orientation == 3
    assert is_corners(first_page(late))


def test_a_broken_exif_block_counts_as_upright():
    data = saved(corners(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert inspect(data, ImageLimits()).orientation == 1
    assert prepare(data, UPSTAGE).data == data


def test_pages_of_a_tiff_are_turned_each_by_its_own_tag():
    out = BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(out) as writer:
        corners().save(writer, "TIFF")
        writer.newFrame()
        stored = corners().transpose(Image.Transpose.ROTATE_90)
        stored.save(writer, "TIFF", tiffinfo={0x0112: 6})
        writer.newFrame()
    data = out.getvalue()
    assert [is_corners(page) for page in upright_pages(data)] == [True, True]
    document = prepare(data, UPSTAGE)
    assert (document.format, document.page_count) == ("tiff", 2)
    assert document.data != data
    assert [is_corners(page) for page in upright_pages(document.data)] == [True, True]
    assert not inspect(document.data, ImageLimits()).turned


# what needs no change is not changed


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_a_png_of_any_colour_mode_is_sent_byte_for_byte(mode):
    data = saved(Image.new(mode, (5, 4)), "PNG")
    assert prepare(data, UPSTAGE).data == data


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_any_colour_mode_is_sent_byte_for_byte(mode):
    data = saved(Image.new(mode, (5, 4)), "JPEG")
    assert prepare(data, UPSTAGE).data == data


def test_a_bmp_a_tiff_of_pages_and_a_pdf_are_sent_byte_for_byte():
    pages = saved(corners(), "TIFF", save_all=True, append_images=[corners()] * 2)
    for data, count in ((saved(corners(), "BMP"), 1), (pages, 3), (pdf((72, 72), (72, 72)), 2)):
        document = prepare(data, UPSTAGE)
        assert document.data == data
        assert document.page_count == count


def test_the_engine_decides_how_big_the_pages_of_a_pdf_are():
    assert prepare(pdf((72, 72)), UPSTAGE).page_sizes_px == ()


def test_a_format_that_is_not_taken_becomes_a_png_of_the_same_pixels():
    document = prepare(saved(corners(), "WEBP", lossless=True), UPSTAGE)
    assert document.format == "png"
    assert is_corners(Image.open(BytesIO(document.data)))
    assert prepare(saved(corners(), "PNG"), Accepts(frozenset({"jpeg"}))).format == "jpeg"


def test_of_an_animation_the_first_frame_is_sent():
    for format_ in ("GIF", "WEBP"):
        frames = saved(
            corners(), format_, save_all=True, append_images=[Image.new("RGB", (48, 32))]
        )
        document = prepare(frames, Accepts(frozenset({"png", "gif", "webp"})))
        assert (document.format, document.page_count) == ("png", 1)
        assert is_corners(Image.open(BytesIO(document.data)), tolerance=40)


def test_an_image_with_too_many_bytes_is_made_smaller_without_loss_if_that_is_enough():
    data = saved(corners(480, 320), "BMP")
    document = prepare(data, Accepts(UPSTAGE.formats, ImageLimits(max_bytes=50_000)))
    assert document.format == "png"
    assert Image.open(BytesIO(document.data)).tobytes() == corners(480, 320).tobytes()


def test_it_becomes_a_jpeg_if_png_is_not_enough_and_is_refused_if_nothing_is():
    noise = Image.merge("RGB", [Image.effect_noise((200, 200), 30)] * 3)
    data = saved(noise, "BMP")
    document = prepare(data, Accepts(UPSTAGE.formats, ImageLimits(max_bytes=40_000)))
    assert document.format == "jpeg"
    assert document.page_sizes_px == ((200, 200),)
    with pytest.raises(Unreadable, match="MB") as caught:
        prepare(data, Accepts(UPSTAGE.formats, ImageLimits(max_bytes=1_000)))
    assert caught.value.failure == FailureClass.TOO_LARGE


def test_documents_of_many_pages_are_never_cut_to_their_first():
    pages = saved(corners(), "TIFF", save_all=True, append_images=[corners()])
    for data in (pages, pdf((72, 72))):
        with pytest.raises(Unreadable, match="single images") as caught:
            prepare(data, Accepts(frozenset({"png"})))
        assert caught.value.failure == FailureClass.UNSUPPORTED


def test_what_is_too_big_to_be_turned_in_memory_is_refused():
    turned_tag = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    plain = png_header(10_000, 10_000)
    data = plain[:33] + chunk(b"eXIf", turned_tag) + plain[33:]
    assert inspect(data, ImageLimits()).orientation == 6
    with pytest.raises(Unreadable, match="would have to be turned") as caught:
        prepare(data, UPSTAGE)
    assert caught.value.failure == FailureClass.TOO_MANY_PIXELS


def test_what_looks_cut_off_and_is_too_big_to_be_sure_is_not_sent():
    with pytest.raises(Unreadable, match="does not end as it should") as caught:
        prepare(png_header(14_000, 14_000)[:-5], UPSTAGE)
    assert caught.value.failure == FailureClass.CORRUPT


# cut off


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_an_image_that_is_cut_off_is_not_sent(format_):
    data = saved(Image.effect_noise((64, 64), 50), format_)
    everything = Accepts(frozenset({"jpeg", "png", "bmp", "tiff", "gif", "webp"}))
    assert prepare(data, everything).data == data
    with pytest.raises(Unreadable) as caught:
        prepare(data[: len(data) // 2], everything)
    assert caught.value.failure == FailureClass.CORRUPT


def test_a_thumbnail_does_not_make_a_cut_jpeg_look_whole():
    thumbnail = saved(corners(), "JPEG")
    data = saved(
        Image.effect_noise((64, 64), 50), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0" + thumbnail
    )
    assert b"\xff\xd9" in data[: len(data) // 2 + 200]
    with pytest.raises(Unreadable):
        prepare(data[: len(data) // 2 + 200], UPSTAGE)


def test_a_jpeg_without_its_end_counts_as_cut_off_for_every_engine():
    data = saved(corners(), "JPEG")[:-2]
    with pytest.raises(Unreadable, match="ends early"):
        prepare(data, UPSTAGE)
    with pytest.raises(Unreadable, match="ends early"):
        first_page(data)


def test_a_png_with_a_wrong_checksum_is_not_sent():
    data = bytearray(saved(corners(), "PNG"))
    data[data.index(b"IDAT") + 8] ^= 1
    with pytest.raises(Unreadable):
        prepare(bytes(data), UPSTAGE)


def broken_header(format_):
    data = bytearray(saved(corners(), format_))
    data[data.index(b"IHDR") + 8 if format_ == "PNG" else 3] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    "data", [broken_header("PNG"), saved(corners(), "JPEG")[:4], b"%PDF-1.4 junk"]
)
def test_what_is_broken_is_said_in_plain_words_and_not_in_those_of_a_library(data):
    with pytest.raises(Unreadable) as caught:
        first_page(data)
    assert caught.value.failure == FailureClass.CORRUPT
    assert not re.search(r"b'|driver|PDFium|Error|IHDR", caught.value.message)
    assert re.search(r": (it|its) ", caught.value.message)


# limits


def test_limits_are_checked_before_decoding():
    assert failure_of(png_header(60_000, 60_000)) == FailureClass.TOO_MANY_PIXELS
    assert failure_of(b"x" * 11, ImageLimits(max_bytes=10)) == FailureClass.TOO_LARGE
    tiff = saved(corners(), "TIFF", save_all=True, append_images=[corners()] * 2)
    assert failure_of(tiff, ImageLimits(max_pages=2)) == FailureClass.TOO_MANY_PAGES
    assert (
        failure_of(pdf((72, 72), (72, 72)), ImageLimits(max_pages=1)) == FailureClass.TOO_MANY_PAGES
    )
    assert failure_of(pdf((14_400, 14_400))) == FailureClass.TOO_MANY_PIXELS


def test_an_image_right_at_the_limits_is_taken():
    assert inspect(png_header(100, 20), ImageLimits(max_pixels_per_page=2000)).page_count == 1
    assert inspect(pdf((72, 72)), ImageLimits(max_pages=1)).page_count == 1


def test_more_pixels_than_pillows_own_limit_are_ours_to_judge():
    facts = inspect(png_header(14_000, 14_000), ImageLimits(max_pixels_per_page=200_000_000))
    assert facts.page_sizes_px == ((14_000, 14_000),)


# colours


def white_share(image: Image.Image) -> float:
    return image.convert("L").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) / 255


def test_alpha_lies_on_white():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert first_page(saved(clear, "PNG")).getpixel((0, 0)) == (255, 255, 255)
    grey = Image.new("LA", (4, 4), (0, 0))
    assert first_page(saved(grey, "PNG")).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 0)
    assert first_page(saved(palette, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_and_not_cut_off():
    image = Image.new("I;16", (1, 3))
    for y, value in enumerate((0, 32_896, 65_535)):
        image.putpixel((0, y), value)
    for format_ in ("PNG", "TIFF"):
        page = first_page(saved(image, format_))
        assert [page.getpixel((0, y))[0] for y in range(3)] == [0, 128, 255]


@pytest.mark.parametrize(
    ("mode", "values", "wanted"),
    [
        ("F", (0.0, 0.5, 1.0), (0, 127, 255)),
        ("F", (0.0, 128.0, 255.0), (0, 128, 255)),
        ("F", (-1.0, 0.0, 3.0), (0, 63, 255)),
        ("F", (float("nan"), 0.0, 1.0), None),
        ("F", (float("inf"), 0.0, 1.0), None),
        ("F", (2e38, -2e38, 0.0), None),
        ("F", (500.0, 500.0, 500.0), None),
        ("I", (0, 1, 65_535), (0, 0, 255)),
        ("I", (-10, 0, 10), (0, 127, 255)),
    ],
)
def test_float_and_integer_pages_are_scaled_to_what_they_hold(mode, values, wanted):
    image = Image.new(mode, (1, 3))
    for y, value in enumerate(values):
        image.putpixel((0, y), value)
    page = first_page(saved(image, "TIFF"))
    if wanted:
        assert tuple(page.getpixel((0, y))[0] for y in range(3)) == wanted


def test_one_bit_palette_and_cmyk_pages_become_rgb():
    assert first_page(saved(Image.new("1", (4, 4), 1), "PNG")).getpixel((0, 0)) == (255, 255, 255)
    assert is_corners(first_page(saved(corners().quantize(8), "PNG")), tolerance=8)
    for format_ in ("JPEG", "TIFF"):
        assert is_corners(first_page(saved(corners().convert("CMYK"), format_)), tolerance=8)


def test_a_float_page_is_sent_as_grey_values():
    document = prepare(saved(Image.new("F", (4, 4), 0.5), "TIFF"), UPSTAGE)
    assert document.format == "png"
    assert Image.open(BytesIO(document.data)).getpixel((0, 0)) == (127, 127, 127)


# documents


def test_pages_come_one_after_the_other():
    tiff = saved(corners(), "TIFF", save_all=True, append_images=[Image.new("L", (7, 5))])
    assert [page.size for page in upright_pages(tiff)] == [(48, 32), (7, 5)]
    assert [page.size for page in upright_pages(pdf((72, 144), (36, 36)), dpi=100)] == [
        (100, 200), (50, 50),
    ]  # fmt: skip
    assert {page.mode for page in upright_pages(tiff)} == {"RGB"}


def test_a_document_that_is_put_down_after_its_first_page_is_closed():
    pages = upright_pages(pdf((72, 72), (72, 72)))
    next(pages)
    pages.close()


# HEIC


def test_heic_is_read_with_the_extra():
    pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    data = shared_data("bad", "photo.heic").read_bytes()
    assert first_page(data).size == (595, 842)
    assert prepare(data, Accepts(frozenset({"png"}))).page_sizes_px == ((595, 842),)


def test_heic_is_sent_as_it_is_and_without_the_extra_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = shared_data("bad", "photo.heic").read_bytes()
    assert prepare(data, UPSTAGE).data == data
    with pytest.raises(Unreadable, match=r"pip install '\.\[heic\]'") as caught:
        first_page(data)
    assert caught.value.failure == FailureClass.UNSUPPORTED


def test_heic_over_the_limit_is_refused_by_what_it_says_of_itself():
    data = shared_data("bad", "photo.heic").read_bytes()
    width, height = pillow.stated_size(data)
    assert failure_of(data, ImageLimits(max_pixels_per_page=width * height - 1)) == (
        FailureClass.TOO_MANY_PIXELS
    )
    assert failure_of(b"\0\0\0\x10ftypheic\0\0\0\0") == FailureClass.CORRUPT


# pictures of more than 8 bits and fewer than 16


def ramp(*values: int) -> Image.Image:
    image = Image.new("I;16", (1, len(values)))
    for y, value in enumerate(values):
        image.putpixel((0, y), value)
    return image


def greys(page: Image.Image) -> list[int]:
    return [page.getpixel((0, y))[0] for y in range(page.height)]


def with_sbit(png: bytes, bits: int) -> bytes:
    body = b"sBIT" + bytes([bits])
    chunk = struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body))
    at = png.index(b"IDAT") - 4
    return png[:at] + chunk + png[at:]


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_scan_is_scaled_by_the_bits_that_it_uses(bits, format_):
    white = 2**bits - 1
    data = saved(ramp(0, white // 2, white - white // 64, white), format_)
    assert greys(first_page(data)) == [0, pytest.approx(127, abs=1), pytest.approx(251, abs=1), 255]


def test_a_float_scan_of_twelve_bits_is_scaled_by_them():
    assert greys(first_page(saved(ramp(0, 4095).convert("I").convert("F"), "TIFF"))) == [0, 255]


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "F"])
def test_a_scan_that_writes_white_as_zero_is_not_a_negative(mode):
    data = saved(ramp(0, 4095).convert("I").convert(mode), "TIFF")
    told = struct.pack("<HHIHH", 262, 3, 1, 1, 0)  # PhotometricInterpretation: black is zero
    assert data.count(told) == 1
    turned = data.replace(told, struct.pack("<HHIHH", 262, 3, 1, 0, 0))
    assert greys(first_page(turned)) == [255, 0]


def test_what_the_file_says_of_its_white_counts_where_no_value_is_above_it():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 4095
    assert greys(first_page(saved(ramp(0, 1000), "TIFF", tiffinfo=tags))) == [0, 62]
    assert greys(first_page(saved(ramp(0, 65_535), "TIFF", tiffinfo=tags))) == [0, 255]
    png = saved(ramp(0, 1000), "PNG")
    assert greys(first_page(with_sbit(png, 12))) == [0, 62]
    assert greys(first_page(with_sbit(saved(ramp(0, 65_535), "PNG"), 12))) == [0, 255]
    assert greys(first_page(with_sbit(saved(ramp(0, 4095), "PNG"), 200))) == [0, 255]
    tags[281] = 65_535
    assert greys(first_page(saved(ramp(0, 4095), "TIFF", tiffinfo=tags))) == [0, 255]


def test_big_endian_pages_are_scaled_too():
    big = Image.frombytes("I;16B", (1, 2), struct.pack(">2H", 0, 1023))
    assert greys(pillow.to_rgb(big)) == [0, 255]


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_a_scan_of_twelve_bits_is_sent_so_that_anybody_sees_it(format_):
    document = prepare(saved(ramp(0, 4095), format_), UPSTAGE)
    assert greys(Image.open(BytesIO(document.data)).convert("RGB")) == [0, 255]
    whole = saved(ramp(0, 65_535), format_)
    assert prepare(whole, UPSTAGE).data == whole


def deep_colours(bits: int, format_: str, mode: str) -> bytes:
    """Black above white, with 16 bits a colour of which the lowest are used."""
    values = np.array([[0], [2**bits - 1]], np.uint16)
    bands = {"LA": 2, "RGB": 3, "RGBA": 4}[mode]
    pixels = np.repeat(values[..., None], bands, axis=2)
    if mode != "RGB":
        pixels[..., -1] = 2**bits - 1  # all there, by the same bits
    if mode != "LA":
        return cv2.imencode(f".{format_.lower()}", pixels)[1].tobytes()
    raw = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 2, 16, 4, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


DEEP = [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "LA"), ("TIFF", "RGB"), ("TIFF", "RGBA")]


@pytest.mark.parametrize(("format_", "mode"), DEEP)
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_colours_are_scaled_by_the_bits_that_they_use(bits, format_, mode):
    data = deep_colours(bits, format_, mode)
    assert greys(first_page(data)) == [0, 255]
    sent = prepare(data, UPSTAGE)
    assert (sent.data == data) == (bits == 16)
    assert greys(pillow.to_rgb(Image.open(BytesIO(sent.data)))) == [0, 255]


@pytest.mark.parametrize(("format_", "mode"), DEEP)
def test_colours_of_which_nothing_can_be_read_are_refused_with_the_remedy(format_, mode):
    with pytest.raises(Unreadable, match="save it with 8 bits a colour"):
        first_page(deep_colours(8, format_, mode))


def test_every_page_of_twelve_bits_is_sent_so():
    tiff = saved(ramp(0, 65_535), "TIFF", save_all=True, append_images=[ramp(0, 4095)])
    sent = prepare(tiff, UPSTAGE)
    assert sent.page_count == 2
    assert [greys(page) for page in upright_pages(sent.data)] == [[0, 255], [0, 255]]
