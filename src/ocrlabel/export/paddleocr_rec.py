"""PaddleOCR's recognition set: SPLIT/rec_gt.txt, SPLIT/crop_img/*.jpg and dict.txt.

One word a line: `crop_img/NAME_0001.jpg`, a tab, the text. Train with `data_dir` and the label file
in the split's folder and `character_dict_path` at dict.txt (`use_space_char: true`).

Carries: texts and crops. Loses: everything else. Left out, and counted: do-not-care words, words
without a text, texts with tabs or line breaks, too long or outside the charset, crops too small.
Source: SimpleDataSet of PaddleOCR, PPOCRLabel's "export recognition result".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.export.base import ImageFinder, Options, Summary
from ocrlabel.export.recognition import check_vertical, recognition_crops, write_charset
from ocrlabel.export.session import Session, needs_images


def export(
    rows: Iterator[LabelRow], images: ImageFinder | None, output: Path, options: Options
) -> Summary:
    """Write SPLIT/rec_gt.txt, SPLIT/crop_img/ and dict.txt. Raises ConfigError without images."""
    if images is None:
        raise needs_images("paddleocr-rec")
    check_vertical(options.vertical)
    seen: set[str] = set(options.charset or ())
    with Session("paddleocr-rec", images, output, options) as session, ExitStack() as opened:
        files: dict[str, TextIO] = {}
        for page in session.pages(rows):
            number = 0
            for word, data in recognition_crops(session, page, images, options):
                number += 1
                name = f"{page.stem}_{number:04d}.jpg"
                session.target.path(page.split, "crop_img", name).write_bytes(data)
                if page.split not in files:
                    path = session.target.path(page.split, "rec_gt.txt")
                    files[page.split] = opened.enter_context(
                        path.open("w", encoding="utf-8", newline="")
                    )
                files[page.split].write(f"crop_img/{name}\t{word.text}\n")
                seen.update(word.text)
            session.written_images += number
            if number:
                session.listed(page, f"{page.split}/{page.stem}", words=number, ignored=0)
        write_charset(session.target.path("dict.txt"), seen)
    return session.summary()
