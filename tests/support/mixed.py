"""A folder of everything: images of several formats, copies, documents of pages, broken files."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import pypdfium2
from PIL import Image, ImageDraw


@dataclass(frozen=True)
class Mixed:
    """What a run must make of it. pages: by the sha256 of a readable file, how many it has."""

    folder: Path
    readable: frozenset[str]
    unreadable: frozenset[str]
    pages: dict[str, int]
    sha256: dict[str, str]

    @property
    def files(self) -> int:
        return len(self.readable) + len(self.unreadable)

    @property
    def distinct_pages(self) -> int:
        """What an account is billed at the least."""
        return sum(self.pages.values())

    @property
    def rows(self) -> list[tuple[str, int]]:
        """(id, page) of every label, in the table's order."""
        return [
            (name, page)
            for name in sorted(self.readable)
            for page in range(1, self.pages[self.sha256[name]] + 1)
        ]


def mixed(
    folder: Path,
    *,
    images: int = 40,
    pdfs: int = 5,
    tiffs: int = 2,
    copies: int = 6,
    broken: int = 4,
) -> Mixed:
    """Write such a folder. Names are shuffled, so that copies lie far from what they copy."""
    folder.mkdir(parents=True)
    rng = random.Random(images)
    made: list[tuple[str, bytes, int]] = []
    for number in range(images):
        suffix = ("png", "jpg", "bmp")[number % 3]
        made.append((suffix, _image(folder, number, suffix), 1))
    for number in range(pdfs):
        count = 2 + number % 4
        made.append(("pdf", _pdf(folder, count, 300 + number), count))
    made += [("tiff", _tiff(folder, 2, number), 2) for number in range(tiffs)]
    made += rng.choices(made, k=copies)
    names = [f"{number:04d}" for number in range(len(made) + broken)]
    rng.shuffle(names)
    readable, pages, digests = set(), {}, {}
    for (suffix, data, count), stem in zip(made, names, strict=False):
        name = f"{stem}.{suffix}"
        (folder / name).write_bytes(data)
        readable.add(name)
        digests[name] = hashlib.sha256(data).hexdigest()
        pages[digests[name]] = count
    unreadable = set()
    for number, stem in enumerate(names[len(made) :]):
        name = f"{stem}.jpg"
        (folder / name).write_bytes([b"", b"no image", b"\xff\xd8\xff\xe0 cut"][number % 3])
        unreadable.add(name)
    return Mixed(folder, frozenset(readable), frozenset(unreadable), pages, digests)


def _image(folder: Path, number: int, suffix: str) -> bytes:
    image = Image.new("RGB", (160 + number % 7, 90 + number % 5), "white")
    ImageDraw.Draw(image).text((8, 8), f"page {number}", fill="black")
    return _saved(folder / f"made.{suffix}", image)


def _tiff(folder: Path, pages: int, number: int) -> bytes:
    frames = [Image.new("L", (120 + page, 80 + number), 255) for page in range(pages)]
    path = folder / "made.tiff"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return _taken(path)


def _pdf(folder: Path, pages: int, width: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for page in range(pages):
        document.new_page(width, 400 + page)
    path = folder / "made.pdf"
    document.save(path)
    document.close()
    return _taken(path)


def _saved(path: Path, image: Image.Image) -> bytes:
    image.save(path)
    return _taken(path)


def _taken(path: Path) -> bytes:
    data = path.read_bytes()
    path.unlink()
    return data
