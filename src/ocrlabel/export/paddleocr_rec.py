"""PaddleOCR's recognition set: rec_gt_SPLIT.txt, SPLIT/crop_img/*.jpg and dict.txt.

One word a line: `SPLIT/crop_img/NAME_0001.jpg`, a tab, the text. Train with `data_dir` at the
export, as for detection, and `character_dict_path` at dict.txt (`use_space_char: true`).
SPLIT/rec_gt.txt names the same crops from the split's folder, as PPOCRLabel does.
Source: SimpleDataSet of PaddleOCR, PPOCRLabel's "export recognition result".
"""

from __future__ import annotations

from collections.abc import Iterator

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.export.export_pages import ExportPage
from ocrlabel.export.output_folder import OutputFolder
from ocrlabel.export.recognition import export_samples
from ocrlabel.export.session import ExportSession, exporter


@exporter(
    "paddleocr-rec",
    training="PaddleOCR, recognition: `Train.dataset.data_dir=. "
    "Train.dataset.label_file_list=[rec_gt_SPLIT.txt] Global.character_dict_path=dict.txt "
    "Global.use_space_char=true`. SPLIT/rec_gt.txt says the same from its own folder.",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write both label files, SPLIT/crop_img/ and dict.txt. Raises ConfigError without images."""
    export_samples(session, rows, _LabelFile)


class _LabelFile:
    """One split's label files, and its crops."""

    def __init__(self, folder: OutputFolder, split: str) -> None:
        self._folder, self._split = folder, split
        here, above = folder.path(split, "rec_gt.txt"), folder.path(f"rec_gt_{split}.txt")
        self._here = here.open("w", encoding="utf-8", newline="")
        self._above = above.open("w", encoding="utf-8", newline="")

    def add(self, page: ExportPage, number: int, image: bytes, text: str) -> None:
        name = f"{page.stem}_{number:04d}.jpg"
        self._folder.path(self._split, "crop_img", name).write_bytes(image)
        self._here.write(f"crop_img/{name}\t{text}\n")
        self._above.write(f"{self._split}/crop_img/{name}\t{text}\n")

    def close(self) -> None:
        self._here.close()
        self._above.close()
