"""PaddleOCR's recognition set: SPLIT/rec_gt.txt, SPLIT/crop_img/*.jpg and dict.txt.

One word a line: `crop_img/NAME_0001.jpg`, a tab, the text. Train with `data_dir` and the label file
in the split's folder and `character_dict_path` at dict.txt (`use_space_char: true`).

Carries: texts and crops. Loses: everything else. Left out, and counted: see
`recognition`.
Source: SimpleDataSet of PaddleOCR, PPOCRLabel's "export recognition result".
"""

from __future__ import annotations

from collections.abc import Iterator

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.export.export_pages import ExportPage
from ocrlabel.export.output_folder import OutputFolder
from ocrlabel.export.recognition import export_samples
from ocrlabel.export.session import ExportSession, exporter


@exporter("paddleocr-rec")
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write SPLIT/rec_gt.txt, SPLIT/crop_img/ and dict.txt. Raises ConfigError without images."""
    export_samples(session, rows, _LabelFile)


class _LabelFile:
    """One split's rec_gt.txt, and its crops beside it."""

    def __init__(self, folder: OutputFolder, split: str) -> None:
        self._folder, self._split = folder, split
        path = folder.path(split, "rec_gt.txt")
        self._file = path.open("w", encoding="utf-8", newline="")

    def add(self, page: ExportPage, number: int, image: bytes, text: str) -> None:
        name = f"{page.stem}_{number:04d}.jpg"
        self._folder.path(self._split, "crop_img", name).write_bytes(image)
        self._file.write(f"crop_img/{name}\t{text}\n")

    def close(self) -> None:
        self._file.close()
