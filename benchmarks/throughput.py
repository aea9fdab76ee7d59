"""How much of a key's rate `ocrlabel run` uses: real processes, judged from the service's own log.

    python benchmarks/throughput.py                 all cases at 3 requests/s, 2 s latency (~9 min)
    python benchmarks/throughput.py --scale 10      ten times the rates, a tenth of the latency
    python benchmarks/throughput.py --only bucket,two-keys

Each case runs `ocrlabel fake-upstage` and `ocrlabel run` with default settings on generated
images. Prints the requests/s that were let in between the first and the last send, as a share of
what the service allows, and the share of answers that were 429.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

OCRLABEL = (sys.executable, "-m", "ocrlabel")


@dataclass(frozen=True)
class Case:
    """allowed_rps: by the service. keys: as in UPSTAGE_API_KEYS. skip_s: not judged at first."""

    name: str
    allowed_rps: float
    limiter: str = "bucket"
    keys: str = "up_one@3"
    images: int = 300
    skip_s: float = 0.0

    def scaled(self, scale: float) -> Case:
        """Every rate so many times as high."""
        keys = re.sub(r"@([\d.]+)", lambda rate: f"@{float(rate[1]) * scale:g}", self.keys)
        return Case(
            self.name,
            self.allowed_rps * scale,
            self.limiter,
            keys,
            self.images,
            self.skip_s,
        )


CASES = (
    Case("bucket", 3.0),
    Case("fixed", 3.0, "fixed"),
    Case("sliding", 3.0, "sliding"),
    Case("two-keys", 4.0, keys="up_one@3,up_two@1"),
    Case("auto-from-unknown", 10.0, images=1300, skip_s=60.0),
)


@dataclass(frozen=True)
class Figures:
    """used: of the allowed rate. refused: of all answers."""

    used: float
    refused: float
    requests: int
    seconds: float


def measured(case: Case, *, latency_s: float, home: Path) -> Figures:
    """Run one case in a folder."""
    make_images(home / "images", case.images)
    log = home / "fake.jsonl"
    with fake(case, latency_s, log) as address:
        variables = {"UPSTAGE_BASE_URL": address, "UPSTAGE_API_KEYS": case.keys}
        subprocess.run(
            [*OCRLABEL, "run", "images", "--log", "quiet"],
            cwd=home,
            env={**os.environ, **variables, "OCRLABEL_REPORT": "false"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return judged([json.loads(line) for line in log.read_text().splitlines()], case)


def judged(entries: list[dict[str, float]], case: Case) -> Figures:
    """From the service's log alone."""
    began_s = min(entry["t_s"] for entry in entries) + case.skip_s
    counted = [entry for entry in entries if entry["t_s"] >= began_s]
    sent = sorted(entry["t_s"] for entry in counted if entry["status"] != 429)
    refused = sum(entry["status"] == 429 for entry in counted)
    took_s = sent[-1] - sent[0]
    used = (len(sent) - 1) / took_s / case.allowed_rps
    return Figures(used, refused / len(counted), len(counted), took_s)


@contextmanager
def fake(case: Case, latency_s: float, log: Path) -> Iterator[str]:
    """The service, in a process of its own; gives its address."""
    limits = ["--rps", f"{case.allowed_rps:g}"]
    if "," in case.keys:
        limits = ["--keys", case.keys]
    command = [*OCRLABEL, "fake-upstage", "--port", "0", "--request-log", str(log), *limits]
    command += ["--limiter", case.limiter, "--latency", f"{latency_s:g},0.3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = ""
            while "UPSTAGE_BASE_URL" not in said:
                line = process.stdout.readline() if process.stdout else ""
                if not line:
                    raise RuntimeError("the fake did not start")
                said += line
            yield re.search(r"UPSTAGE_BASE_URL=(\S+)", said)[1]  # type: ignore[index]
        finally:
            process.terminate()


def make_images(folder: Path, count: int) -> None:
    """Distinct small pages."""
    folder.mkdir()
    for number in range(count):
        page = Image.new("L", (80 + number % 40, 60 + number // 40), 255)
        page.save(folder / f"{number:05d}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    names = set(given.only.split(",")) - {""}
    for case in CASES:
        if names and case.name not in names:
            continue
        scaled = case.scaled(given.scale)
        with tempfile.TemporaryDirectory() as home:
            found = measured(scaled, latency_s=2.0 / given.scale, home=Path(home))
        print(
            f"{case.name:<18} {scaled.allowed_rps:>5g}/s allowed: {found.used:7.2%} used,"
            f" {found.refused:6.2%} refused ({found.requests} requests, {found.seconds:.1f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
