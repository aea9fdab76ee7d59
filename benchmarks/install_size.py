"""How many wheels an install brings, and how large they are, packed and unpacked.

Repeat: .venv/bin/python benchmarks/install_size.py [LOCK ...]   (default: the API-only install)

The wheels are those that pip takes for this Python and this platform from
requirements/LOCK.lock; ocrlabel's own wheel is built and counted too.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MB = 1_000_000


def wheels_of(lock: str, folder: Path) -> list[Path]:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    locked = ["--require-hashes", "--only-binary=:all:", "-r", f"requirements/{lock}.lock"]
    subprocess.run([*pip, *locked, "-d", folder], cwd=ROOT, check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return sorted(folder.glob("*.whl"), key=lambda path: -path.stat().st_size)


def unpacked_bytes(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def main() -> None:
    for lock in sys.argv[1:] or ["api"]:
        with tempfile.TemporaryDirectory() as name:
            wheels = wheels_of(lock, Path(name))
            packed = sum(wheel.stat().st_size for wheel in wheels)
            unpacked = sum(map(unpacked_bytes, wheels))
            largest = ", ".join(
                f"{wheel.name.split('-')[0]} {wheel.stat().st_size / MB:.1f}"
                for wheel in wheels[:5]
            )
        print(
            f"{lock}: {len(wheels)} wheels, {packed / MB:.1f} MB, unpacked {unpacked / MB:.1f} MB "
            f"(largest, MB: {largest}); Python {platform.python_version()}, {platform.machine()}"
        )


if __name__ == "__main__":
    main()
