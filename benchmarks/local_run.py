"""A whole run with rapidocr against rapidocr's own loop: images/s on all cores, and the same texts.

    python benchmarks/local_run.py ../shared/data/ocr-dev [images] [images of a group]

Groups of images are done by each in turns, so that other work on the machine slows all alike. The
loop is there twice: in one process with a thread a core, and in a process a core with one thread
each; the better of the two is its best. The loops get pixels that are decoded already; the run
opens the files, hashes, journals, checkpoints and merges. Models are loaded beforehand.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from local_engine import bare_engine, bare_words, images, pixels_of, read

from ocrlabel.cli.progress import display_for
from ocrlabel.cli.settings import from_environment
from ocrlabel.cli.wiring import Chosen, label_dataset, place_of
from ocrlabel.dataset.labels_table import read_labels
from ocrlabel.engines.children import usable_cores
from ocrlabel.engines.local import LocalEngine
from ocrlabel.engines.rapidocr import rapid_ocr
from ocrlabel.options import Options


class StaysOpen:
    """The engine, whose process lives on from one run to the next."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    async def start(self) -> None:
        """It is started already."""

    async def close(self) -> None:
        """Not yet."""


async def label_folder(folder: Path, output: Path, engine: LocalEngine) -> None:
    keys = from_environment()
    settings = Options.of(keys.variables, output=str(output), log="quiet")
    display = display_for("quiet", time.monotonic, time.time, sys.stderr)
    chosen = Chosen(StaysOpen(engine), "rapidocr")  # type: ignore[arg-type] -- it hands all on
    await label_dataset(
        str(folder), place_of(str(folder), settings, keys), settings, keys, display, chosen=chosen
    )


_loop: Any = None
"""rapidocr in a process of the second loop."""


def load_loop() -> None:
    global _loop  # noqa: PLW0603 -- what an initializer of a pool leaves for its tasks
    _loop = bare_engine(1)
    _loop(np.full((64, 320, 3), 255, np.uint8))


def looped(page: Any) -> list[str]:
    return [word.text for word in bare_words(_loop(page))]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began_s = time.perf_counter()
    done = work()
    return done, time.perf_counter() - began_s


def run_of(folder: Path, output: Path, engine: LocalEngine, loop: asyncio.AbstractEventLoop) -> Any:
    loop.run_until_complete(label_folder(folder, output, engine))
    return [word.text for row in read_labels(output) for word in row.words]


def compare(data: Path, most: int, group_size: int) -> None:
    files, cores = list(images(data))[:most], usable_cores()
    threads, engine, loop = bare_engine(cores), rapid_ocr(parallel=cores), asyncio.new_event_loop()
    spent_s: Counter[str] = Counter()
    same = of_run = of_loop = 0
    with (
        tempfile.TemporaryDirectory() as home,
        ProcessPoolExecutor(cores, get_context("spawn"), load_loop) as processes,
    ):
        first = pixels_of(files[0].read_bytes())
        threads(first[0])
        list(processes.map(looped, first * cores))
        loop.run_until_complete(warm(engine, files[0].read_bytes()))
        for number, start in enumerate(range(0, len(files), group_size)):
            group = files[start : start + group_size]
            folder = Path(home) / str(number)
            folder.mkdir()
            for file in group:
                shutil.copy(file, folder)
            pixels = [page for file in group for page in pixels_of(file.read_bytes())]
            output = Path(home) / f"{number}.parquet"
            ways: dict[str, Callable[[], Any]] = {
                "run": lambda folder=folder, output=output: run_of(folder, output, engine, loop),
                "loop, threads": lambda pixels=pixels: [threads(page) for page in pixels],
                "loop, processes": lambda pixels=pixels: list(processes.map(looped, pixels)),
            }
            done = {}
            for name in in_turn(list(ways), number):
                done[name], took_s = timed(ways[name])
                spent_s[name] += took_s
            ours = Counter(done["run"])
            theirs = Counter(text for page in done["loop, processes"] for text in page)
            same += (ours & theirs).total()
            of_run += ours.total()
            of_loop += theirs.total()
        loop.run_until_complete(engine.close())
    for name, took_s in spent_s.items():
        rate, ratio = len(files) / took_s, took_s / spent_s["run"]
        print(f"{name:16} {rate:6.3f} images/s, the run is {ratio:.2f} times as fast")
    print(f"words: {of_run} of the run, {of_loop} of the loop, {same} texts in both")


def in_turn(names: Sequence[str], number: int) -> list[str]:
    start = number % len(names)
    return [*names[start:], *names[:start]]


async def warm(engine: LocalEngine, data: bytes) -> None:
    await engine.start()
    await asyncio.gather(*(read(engine, data) for _ in range(engine.parallel)))


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    group_size = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    compare(Path(sys.argv[1]), most, group_size)


if __name__ == "__main__":
    main()
