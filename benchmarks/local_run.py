"""A whole run with rapidocr against the bare engine in a loop: images/s, and the same texts.

    python benchmarks/local_run.py ../shared/data/ocr-dev [images] [images of a group]

Groups of images are done by both in turns, so that other work on the machine slows both alike.
The bare loop gets pixels that are decoded already; the run opens the files, hashes, journals,
checkpoints and merges. Both keep one loaded model in one process with as many threads.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from local_engine import bare_engine, bare_words, images, pixels_of, read

from ocrlabel.cli.progress import display_for
from ocrlabel.cli.settings import from_environment
from ocrlabel.cli.wiring import Chosen, label_dataset, place_of
from ocrlabel.dataset.labels_table import read_labels
from ocrlabel.engines.children import usable_cores
from ocrlabel.engines.local import LocalEngine
from ocrlabel.engines.rapidocr import rapid_ocr
from ocrlabel.labels import Word
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


def text(word: Word) -> str:
    return word.text  # the engine mends where rapidocr misplaces single letters


async def compare(data: Path, most: int, group_size: int) -> None:
    files = list(images(data))[:most]
    bare, engine = bare_engine(usable_cores()), rapid_ocr(parallel=1)
    await engine.start()
    bare(pixels_of(files[0].read_bytes())[0])
    await read(engine, files[0].read_bytes())
    bare_s = run_s = 0.0
    same = of_run = of_bare = 0
    with tempfile.TemporaryDirectory() as home:
        for number, start in enumerate(range(0, len(files), group_size)):
            group = files[start : start + group_size]
            folder = Path(home) / str(number)
            folder.mkdir()
            for file in group:
                shutil.copy(file, folder)
            pixels = [pixels_of(file.read_bytes()) for file in group]
            output = Path(home) / f"{number}.parquet"
            for turn in (number % 2, 1 - number % 2):
                began_s = time.perf_counter()
                if turn:
                    await label_folder(folder, output, engine)
                    run_s += time.perf_counter() - began_s
                else:
                    theirs = [bare_words(bare(page)) for pages in pixels for page in pages]
                    bare_s += time.perf_counter() - began_s
            ours = [row.words for row in read_labels(output)]
            for row, words in zip(ours, theirs, strict=True):
                same += (Counter(map(text, row)) & Counter(map(text, words))).total()
                of_run += len(row)
                of_bare += len(words)
    await engine.close()
    print(
        f"{len(files)} images: run {len(files) / run_s:.3f} images/s, bare loop"
        f" {len(files) / bare_s:.3f}, ratio {bare_s / run_s:.3f}"
    )
    print(f"words: {of_run} of the run, {of_bare} of the bare loop, {same} texts in both")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    group_size = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    asyncio.run(compare(Path(sys.argv[1]), most, group_size))


if __name__ == "__main__":
    main()
