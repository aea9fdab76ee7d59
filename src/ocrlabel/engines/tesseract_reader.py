"""Reads one upright page with the tesseract program. Lives in a child process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from ocrlabel.errors import Rejected
from ocrlabel.labels import Word

if TYPE_CHECKING:
    from PIL.Image import Image

PAGE_SEGMENTATION = "3"
"""Automatic, as for a page of which nothing is known."""

_WORD_LEVEL = "5"


class TesseractReader:
    """One page in, words out. A page that takes too long ends with the whole child process."""

    def __init__(self, program: str, languages: Sequence[str], version: str) -> None:
        self.about = f"tesseract {version} {'+'.join(languages)}"
        self._command = [
            program, "stdin", "stdout", "-l", "+".join(languages), "--psm", PAGE_SEGMENTATION,
            "tsv",
        ]  # fmt: skip

    def __call__(self, page: Image) -> Sequence[Word]:
        """Words in tesseract's reading order, with upright boxes."""
        raster = BytesIO()
        page.save(raster, "PPM")
        page.close()
        done = subprocess.run(  # noqa: S603 -- the program that the user named
            self._command,
            input=raster.getbuffer(),
            capture_output=True,
            check=False,
            # one core a process: the pool uses the others
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # noqa: TID251 -- handed on
        )
        if done.returncode != 0:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise Rejected(f"tesseract ended with status {done.returncode}: {''.join(last)[:200]}")
        return tuple(words_of(done.stdout.decode("utf-8", "replace")))


def words_of(tsv: str) -> Iterator[Word]:
    """The words of tesseract's TSV output; its other levels (page, block, line) are left out.

    Its confidences are 0 to 100, and -1 for what it did not recognise.
    """
    # not splitlines: a word may hold what Unicode calls a line separator
    names, *rows = (line.split("\t") for line in tsv.split("\n") if line)
    for row in rows:
        found = dict(zip(names, row, strict=False))  # a word is the last column, and may be empty
        text = found.get("text", "").strip()
        confidence = float(found["conf"])
        if found["level"] != _WORD_LEVEL or not text or confidence < 0:
            continue
        left, top = float(found["left"]), float(found["top"])
        right, bottom = left + float(found["width"]), top + float(found["height"])
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        yield Word(text, corners, round(confidence / 100, 5))
