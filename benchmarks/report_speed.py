"""What a report of a large table takes: seconds, seconds of CPU, the file's size, peak memory.

    python benchmarks/report_speed.py                 # 1,000, 10,000 and 100,000 pages
    python benchmarks/report_speed.py 5000            # another size

The table is made up: 60 words a page, Korean and Latin, every hundredth row failed. "numbers" is
the report without images, as it goes into a bucket; "pages" has 100 pages of 1600 x 2200 noisy
pixels, the worst that JPEG meets. Each report is made in a process of its own, whose peak memory
is the kernel's figure (ru_maxrss).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from ocrlabel.dataset.labels_table import LabelRow

WORDS_PER_PAGE = 60
SIZE = (1600, 2200)
STARTED = datetime(2026, 11, 1, tzinfo=UTC)


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [1_000, 10_000, 100_000]
    with tempfile.TemporaryDirectory() as folder:
        for pages in sizes:
            table, failures = Path(folder) / f"{pages}.parquet", Path(folder) / f"{pages}_f.parquet"
            write_tables(table, failures, pages)
            for kind in ("numbers", "pages"):
                command = [sys.executable, __file__, "--child", kind, str(table), str(failures)]
                said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                print(
                    f"{pages:>7,} pages, {kind:<7}: {said['seconds']:5.1f} s,"
                    f" {said['cpu_s']:4.1f} s of CPU,"
                    f" {said['size_mb']:5.2f} MB, peak {said['peak_mb']:.0f} MB"
                )


def write_tables(labels: Path, failures: Path, pages: int) -> None:
    from ocrlabel.dataset.labels_table import FailureRow, FailuresWriter, LabelRow, LabelsWriter
    from ocrlabel.labels import Word

    def words(page: int) -> list[Word]:
        made = []
        for number in range(WORDS_PER_PAGE):
            x, y = 40.5 + number % 6 * 250, 40.25 + number // 6 * 60
            corners = ((x, y), (x + 200, y + 3), (x + 199, y + 40), (x - 1, y + 37))
            made.append(
                Word(f"합계{page % 97}-{number}", corners, 0.5 + (page + number) % 50 / 100)
            )
        return made

    with LabelsWriter(labels) as table:
        for page in range(pages):
            name = f"receipts/{page:06d}.jpg"
            table.add(
                LabelRow(
                    id=name,
                    image_path=name,
                    image_filename=name.rsplit("/", 1)[-1],
                    width_px=SIZE[0],
                    height_px=SIZE[1],
                    words=tuple(words(page)),
                    image_sha256=f"{page:064x}",
                    engine="made-up",
                    billed_pages=1,
                    labelled_at=STARTED + timedelta(seconds=page / 3),
                )
            )
    with FailuresWriter(failures) as table:
        for n in range(pages // 100):
            name = f"receipts/x{n}.jpg"
            table.add(
                FailureRow(
                    ordinal=n,
                    id=name,
                    image_path=name,
                    failure_class="not_found",
                    message="it is not there",
                    attempts=0,
                    retryable=False,
                    engine="",
                    image_sha256="",
                    failed_at=STARTED,
                )
            )


class Noise:
    """An image for every page, always the same one."""

    def pixels(self, row: LabelRow) -> Image:
        """The upright page, as a report asks for it."""
        return noise(row.width_px, row.height_px)


@cache
def noise(width_px: int, height_px: int) -> Image:
    from PIL import Image

    return Image.effect_noise((width_px, height_px), 60).convert("RGB")


def child(kind: str, labels: Path, failures: Path) -> None:
    from ocrlabel.report.write import write_report

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        record = {"price_per_page_usd": 0.0015}
        started = time.monotonic()
        write_report(labels, failures, record, page, images=Noise() if kind == "pages" else None)
        seconds = time.monotonic() - started
        cpu_s = time.process_time()
        size_mb = page.stat().st_size / 1e6
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"seconds": seconds, "cpu_s": cpu_s, "size_mb": size_mb, "peak_mb": peak_mb}
    print(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
