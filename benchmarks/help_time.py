"""How long `ocrlabel --help` takes, and what a bare interpreter takes of that.

Repeat: .venv/bin/python benchmarks/help_time.py [RUNS]   (default 15, after 2 that warm the caches)
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "ocrlabel --help": [str(BIN / "ocrlabel"), "--help"],
    "ocrlabel run --help": [str(BIN / "ocrlabel"), "run", "--help"],
}
WARM_UPS = 2


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    for name, command in COMMANDS.items():
        times_s = [seconds(command) for _ in range(WARM_UPS + runs)][WARM_UPS:]
        print(
            f"{name}: median {statistics.median(times_s) * 1000:.0f} ms, "
            f"fastest {min(times_s) * 1000:.0f} ms, of {runs} warm runs"
        )
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}")


if __name__ == "__main__":
    main()
