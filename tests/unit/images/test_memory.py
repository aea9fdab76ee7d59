"""What images take in memory, measured in a process of their own (Linux tells the peak)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.shared_data import shared_data
from tests.unit.dataset.made import saved

LIMIT_MB = 300

MEASURE = """
import sys
from pathlib import Path
from ocrlabel.images.limits import Accepts
from ocrlabel.images.prepare import prepare, upright_pages
from ocrlabel.errors import Unreadable

def peak_mb():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024

accepts = Accepts(frozenset({"jpeg", "png", "bmp", "tiff", "pdf", "heic"}))
idle = peak_mb()
for name in sys.argv[1:]:
    data = Path(name).read_bytes()
    for read in (lambda: [page.size for page in upright_pages(data)], lambda: prepare(data, accepts)):
        try:
            read()
        except Unreadable:
            pass
print(peak_mb() - idle)
"""


def peak_above_idle_mb(*files: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, files)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_no_bad_file_takes_more_than_the_limit():
    files = [file for file in sorted(shared_data("bad").iterdir()) if file.is_file()]
    assert peak_above_idle_mb(*files) < LIMIT_MB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_the_largest_page_a_local_engine_takes_stays_within_it_even_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    page = tmp_path / "page.jpg"
    page.write_bytes(saved(Image.new("RGB", (7_200, 5_000)), "JPEG", exif=exif))
    measured = MEASURE.replace("lambda: prepare(data, accepts)", "")
    done = subprocess.run(
        [sys.executable, "-c", measured, str(page)], check=True, capture_output=True, text=True
    )
    assert 200 < int(done.stdout) < LIMIT_MB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_the_largest_jpeg_that_is_decoded_smaller_takes_no_more(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    page = tmp_path / "page.jpg"
    page.write_bytes(saved(Image.new("L", (14_100, 14_100)), "JPEG", exif=exif))
    measured = MEASURE.replace("lambda: prepare(data, accepts)", "")
    done = subprocess.run(
        [sys.executable, "-c", measured, str(page)], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < LIMIT_MB
