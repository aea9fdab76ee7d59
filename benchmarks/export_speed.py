"""Pages a second and peak memory of an export, at two sizes: memory must not grow with the pages.

    python benchmarks/export_speed.py                    # paddleocr, 10,000 and 100,000 pages
    python benchmarks/export_speed.py coco 1000 5000     # another format, other sizes

Labels only, without images: what is measured is reading the table and writing the format. The table
is made up: 60 words a page, Korean and Latin. Each export runs in a process of its own, whose peak
memory is the kernel's figure (ru_maxrss).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

WORDS_PER_PAGE = 60


def main() -> None:
    format_name = sys.argv[1] if len(sys.argv) > 1 else "paddleocr"
    sizes = [int(size) for size in sys.argv[2:]] or [10_000, 100_000]
    with tempfile.TemporaryDirectory() as folder:
        for pages in sizes:
            table = Path(folder) / f"{pages}.parquet"
            write_table(table, pages)
            command = [sys.executable, __file__, "--child", format_name, str(table)]
            said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            print(
                f"{format_name}: {said['pages']:>7,} pages in {said['seconds']:6.1f} s"
                f" = {said['pages'] / said['seconds']:7,.0f} pages/s,"
                f" peak {said['peak_mb']:.0f} MB, wrote {said['written_mb']:,.0f} MB"
            )


def write_table(path: Path, pages: int) -> None:
    from ocrlabel.dataset.labels_table import LabelRow, LabelsWriter
    from ocrlabel.labels import Word

    def words(page: int) -> Iterator[Word]:
        for number in range(WORDS_PER_PAGE):
            x, y = 20.5 + number % 6 * 150, 20.25 + number // 6 * 40
            corners = ((x, y), (x + 130, y + 3), (x + 129, y + 30), (x - 1, y + 27))
            yield Word(f"합계{page % 97}-{number}", corners, 0.5 + (page + number) % 50 / 100)

    with LabelsWriter(path) as table:
        for page in range(pages):
            name = f"receipts/{page // 1000:03d}/{page:06d}.jpg"
            table.add(
                LabelRow(
                    id=name,
                    image_path=name,
                    image_filename=name.rsplit("/", 1)[-1],
                    width_px=960,
                    height_px=1280,
                    words=tuple(words(page)),
                    image_sha256=f"{page:064x}",
                    engine="made-up",
                )
            )


def child(format_name: str, table: Path) -> None:
    from ocrlabel.dataset.labels_table import read_labels
    from ocrlabel.export.formats import ExportOptions, export_of

    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        summary = export_of(format_name)(read_labels(table), None, Path(folder), ExportOptions())
        seconds = time.monotonic() - started
        written = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "pages": summary.pages,
                "seconds": seconds,
                "peak_mb": peak_mb,
                "written_mb": written / 1e6,
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
