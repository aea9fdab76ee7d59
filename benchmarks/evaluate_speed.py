"""Evaluate, compare and filter generated tables: speed and peak memory, small against large.

    python benchmarks/evaluate_speed.py            10,000 and 100,000 pages
    python benchmarks/evaluate_speed.py 1000       another number of pages (and ten times as many)

A page has 40 words, one in ten of them misread, moved or missing; the truth is a labels table.
Each command runs in a process of its own; memory is that process's peak resident size. CPU seconds
hardly depend on what else the machine is doing; the clock does.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrlabel.dataset.labels_table import LabelRow

WORDS = 40
WHAT = ("evaluate", "agree", "filter")


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2], Path(sys.argv[3]))
        return
    small = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"{'command':<10}{'pages':>9}{'CPU s':>9}{'pages/CPU s':>13}{'clock s':>9}{'peak MB':>9}")
    with TemporaryDirectory() as folder:
        for pages in (small, 10 * small):
            place = Path(folder) / str(pages)
            run([sys.executable, __file__, "work", "make", str(place / str(pages))], check=True)
            for what in WHAT:
                done = run(
                    [sys.executable, __file__, "work", what, str(place)],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                told = json.loads(done.stdout)
                print(
                    f"{what:<10}{pages:>9,}{told['cpu_s']:>9.1f}{pages / told['cpu_s']:>13.0f}"
                    f"{told['s']:>9.1f}{told['peak_mb']:>9.0f}",
                    flush=True,
                )


def work(what: str, place: Path) -> None:
    start = time.perf_counter()
    if what == "make":
        make(place.parent, int(place.name))
        return
    {"evaluate": evaluate, "agree": agree, "filter": filter_}[what](place)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"s": time.perf_counter() - start, "cpu_s": time.process_time(), "peak_mb": peak_mb}
    print(json.dumps(told))


def make(place: Path, pages: int) -> None:
    from ocrlabel.dataset.labels_table import LabelsWriter

    chance = random.Random(1)
    place.mkdir(parents=True)
    with LabelsWriter(place / "truth.parquet") as truth, LabelsWriter(place / "l.parquet") as read:
        for number in range(pages):
            truth.add(page_row(number, None))
            read.add(page_row(number, chance))


def page_row(number: int, chance: random.Random | None) -> LabelRow:
    from ocrlabel.dataset.labels_table import LabelRow
    from ocrlabel.labels import Word

    words = []
    for at in range(WORDS):
        x, y = 20.0 + at % 5 * 150, 20.0 + at // 5 * 30
        text, moved, sure = f"word{at * number % 997}", 0.0, 1.0
        if chance is not None:
            sure = round(chance.random(), 4)
            fault = chance.randrange(30)
            if fault == 0:
                continue
            text = text[:-1] + "x" if fault == 1 else text
            moved = 70.0 if fault == 2 else chance.uniform(-2, 2)
        # one word in four is slanted, so that not all polygons are upright rectangles
        slant = 3.0 if at % 4 == 0 else 0.0
        left, right = x + moved, x + moved + 100
        polygon = ((left, y), (right, y + slant), (right, y + 20 + slant), (left, y + 20))
        words.append(Word(text, polygon, sure))
    return LabelRow(
        id=f"page-{number}",
        image_path=f"images/{number}.png",
        image_filename=f"{number}.png",
        width_px=800,
        height_px=300,
        words=tuple(words),
        classes=("text",) * len(words),
        image_sha256=f"{number:064x}",
    )


def evaluate(place: Path) -> None:
    from ocrlabel.dataset.labels_table import read_labels
    from ocrlabel.quality.evaluate import evaluate
    from ocrlabel.quality.pairing import PageStore, Unpaired, pair
    from ocrlabel.quality.text import Normalisation
    from ocrlabel.quality.truth import read_truth

    with PageStore(read_truth(place / "truth.parquet")) as truth:
        pairs = pair(read_labels(place / "l.parquet"), truth, Unpaired())
        (result,) = evaluate(pairs, normalise=Normalisation())
    if result.counts.pages != int(place.name):
        raise SystemExit(f"{result.counts.pages} pages were evaluated, not {place.name}")


def agree(place: Path) -> None:
    from ocrlabel.dataset.labels_table import read_labels
    from ocrlabel.quality.agreement import agree
    from ocrlabel.quality.pairing import PageStore, Unpaired, pair
    from ocrlabel.quality.text import Normalisation
    from ocrlabel.quality.truth import read_truth

    with PageStore(read_truth(place / "truth.parquet")) as other:
        agree(pair(read_labels(place / "l.parquet"), other, Unpaired()), normalise=Normalisation())


def filter_(place: Path) -> None:
    from ocrlabel.quality.filter import Rule, filter_table
    from ocrlabel.quality.text import Normalisation

    filter_table(
        place / "l.parquet",
        place / "filtered.parquet",
        Rule(min_confidence=0.5),
        normalise=Normalisation(),
        review=place / "queue.parquet",
    )


if __name__ == "__main__":
    main()
