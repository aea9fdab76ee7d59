"""Read the truth, whatever form it has, as a stream of pages.

| form | told by | level |
|---|---|---|
| labels table, ours or the predecessor's | `.parquet` | word, unless said otherwise |
| JSON Lines, one page a line | `.jsonl` | its `level` |
| FUNSD annotations | a folder of `.json` files | word |
| ICDAR 2015 | a folder of `gt_*.txt` files | word |

Other forms (Label Studio, PaddleOCR, COCO, ...) become a labels table with `ocrlabel import`, and
that is the truth then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocrlabel.errors import DatasetError
from ocrlabel.quality.pages import Level, TruthPage, as_truth
from ocrlabel.quality.truth_funsd import read_funsd
from ocrlabel.quality.truth_icdar import read_icdar
from ocrlabel.quality.truth_jsonl import read_jsonl


def read_truth(path: Path, *, level: Level | None = None) -> Iterator[TruthPage]:
    """Pages of the truth. level is for truth that does not say it itself (default: words).

    Raises DatasetError, with file and line, where it cannot be read.
    """
    if path.is_dir():
        return _folder(path, level or Level.WORD)
    if not path.exists():
        raise DatasetError(f"no truth at {path}: there is no such file or folder")
    if path.suffix == ".parquet":
        return _table(path, level or Level.WORD)
    if path.suffix in {".jsonl", ".ndjson"}:
        return read_jsonl(path, level)
    raise DatasetError(
        f"{path} is no truth that can be read: give a labels table (.parquet), JSON Lines "
        "(.jsonl), or a folder with FUNSD .json or ICDAR gt_*.txt files; "
        "`ocrlabel import` makes a table of other formats"
    )


def _table(path: Path, level: Level) -> Iterator[TruthPage]:
    from ocrlabel.dataset.tables.table import read_labels  # noqa: PLC0415 -- only this form needs Arrow

    return (as_truth(row, level) for row in read_labels(path))


def _folder(path: Path, level: Level) -> Iterator[TruthPage]:
    if next(path.glob("gt_*.txt"), None) is not None:
        return read_icdar(path, level)
    if next(path.glob("*.json"), None) is not None:
        return read_funsd(path, level)
    raise DatasetError(f"no truth in {path}: neither gt_*.txt (ICDAR 2015) nor *.json (FUNSD)")
