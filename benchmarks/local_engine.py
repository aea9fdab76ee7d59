"""The local engine against rapidocr called in a bare loop: the same words, and how fast.

    python benchmarks/local_engine.py ../shared/data/ocr-dev              # figures and equality
    python benchmarks/local_engine.py ../shared/data/ocr-dev --speed      # images/s, ratios
    python benchmarks/local_engine.py ../shared/data/ocr-dev --threads    # processes or threads
    python benchmarks/local_engine.py ../shared/data/bad --memory         # MB above the idle engine

The bare loop gets pixels that are decoded already; the engine opens the files by itself. The memory
is above the process that has read two pages: it keeps what it worked in for the next page.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rapidocr import RapidOCR

from ocrlabel.engines.children import usable_cores
from ocrlabel.engines.local import LocalEngine
from ocrlabel.engines.rapidocr import rapid_ocr
from ocrlabel.errors import ImageError
from ocrlabel.images.prepare import upright_pages
from ocrlabel.labels import Page, Word
from ocrlabel.quality.evaluate import Counts, count
from ocrlabel.quality.text import Normalisation
from ocrlabel.quality.truth import Level, TruthPage, read_jsonl

OWN_LINES = "bare, its own lines"


def bare_engine(threads: int) -> Any:
    return RapidOCR(
        params={
            "Global.text_score": 0.0,
            "Global.return_word_box": True,
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def pixels_of(data: bytes) -> list[Any]:
    return [
        np.ascontiguousarray(np.asarray(page.convert("RGB"))[:, :, ::-1])
        for page in upright_pages(data)
    ]


def bare_words(result: Any) -> list[Word]:
    return [
        Word(text, tuple((float(x), float(y)) for x, y in polygon), confidence)
        for line in (result.word_results if result.txts else ())
        for text, confidence, polygon in line
    ]


def bare_lines(result: Any) -> list[Word]:
    found = zip(result.boxes, result.txts, result.scores, strict=True) if result.txts else ()
    return [
        Word(text, tuple((float(x), float(y)) for x, y in box), score) for box, text, score in found
    ]


async def read(engine: LocalEngine, data: bytes) -> tuple[Page, ...]:
    document = await engine.prepare(data)
    return (await engine.recognise(document, "local")).pages


def truth_of(data: Path) -> dict[str, list[TruthPage]]:
    pages: dict[str, list[TruthPage]] = {}
    for page in read_jsonl(data / "labels.jsonl"):
        pages.setdefault(page.name.path, []).append(page)
    return pages


def key(word: Word) -> tuple[str, tuple[tuple[float, float], ...]]:
    return word.text, tuple(sorted(word.polygon))


async def figures(data: Path) -> None:
    """Recall and precision of both, and every word that is not the same in both."""
    bare, engine = bare_engine(usable_cores()), rapid_ocr(parallel=1)
    normalise = Normalisation()
    sums: dict[tuple[str, Level], Counts] = {}
    same, of_ours, of_bare = 0, 0, 0
    for path, truths in truth_of(data).items():
        content = (data / path).read_bytes()
        ours = {page.number: page for page in await read(engine, content)}
        results = [bare(page) for page in pixels_of(content)]
        for truth in truths:
            result = results[truth.name.page - 1]
            words, theirs = ours[truth.name.page].words, bare_words(result)
            both = Counter(map(key, words)) & Counter(map(key, theirs))
            same += both.total()
            of_ours += len(words)
            of_bare += len(theirs)
            read_as = [("ours", words, truth), ("bare", theirs, truth)]
            if truth.level is Level.LINE:  # its own lines must not be joined once more
                read_as.append((OWN_LINES, bare_lines(result), as_words(truth)))
            for name, found, held_against in read_as:
                counts, _ = count(held_against, found, normalise)
                at = name, truth.level
                sums[at] = sums.get(at, Counts()) + counts
    await engine.close()
    print(f"words: {of_ours} ours, {of_bare} bare, {same} with the same text and polygon")
    print(f"{'engine':20} {'level':5} {'pages':>5}  detection R / P   end to end R / P")
    for (name, level), counts in sorted(sums.items()):
        print_figures(name, level.value, counts)
    for name, lines_of in (("ours", "ours"), ("bare", "bare"), ("bare", OWN_LINES)):
        total = sums[name, Level.WORD] + sums[lines_of, Level.LINE]
        print_figures(lines_of, "all", total)


def as_words(truth: TruthPage) -> TruthPage:
    return TruthPage(truth.name, truth.width_px, truth.height_px, Level.WORD, truth.words)


def print_figures(name: str, level: str, counts: Counts) -> None:
    detection, right = counts.detection, counts.end_to_end
    print(
        f"{name:20} {level:5} {counts.pages:5}   {detection.recall:.3f} / {detection.precision:.3f}"
        f"     {right.recall:.3f} / {right.precision:.3f}"
    )


async def speed(data: Path, limit: int) -> None:
    """Image by image in turns, so that other work on the machine slows both alike."""
    contents = [path.read_bytes() for path in images(data)][:limit]
    for threads in sorted({1, usable_cores()}):
        bare, engine = bare_engine(threads), one_process(threads)
        pixels = [pixels_of(content) for content in contents]
        bare(pixels[0][0])
        await read(engine, contents[0])
        bare_s = engine_s = 0.0
        for number, (content, pages) in enumerate(zip(contents, pixels, strict=True)):
            for turn in (number % 2, 1 - number % 2):
                started_s = time.perf_counter()
                if turn:
                    await read(engine, content)
                    engine_s += time.perf_counter() - started_s
                else:
                    for page in pages:
                        bare(page)
                    bare_s += time.perf_counter() - started_s
        await engine.close()
        print(
            f"one process, {threads} threads: bare {len(contents) / bare_s:.3f} images/s, engine "
            f"{len(contents) / engine_s:.3f}, ratio {bare_s / engine_s:.3f}",
            flush=True,
        )
    await all_cores(contents)


async def all_cores(contents: list[bytes]) -> None:
    """Processes with a thread each, against one process with as many threads, twice in turns."""
    cores = usable_cores()
    many, one = rapid_ocr(parallel=cores), one_process(cores)
    for engine in (many, one):
        await asyncio.gather(*(read(engine, contents[0]) for _ in range(engine.parallel)))
    for _ in range(2):
        rates = []
        for engine in (one, many):
            started_s = time.perf_counter()
            await asyncio.gather(*(read(engine, content) for content in contents))
            rates.append(len(contents) / (time.perf_counter() - started_s))
        print(
            f"{cores} cores: 1 process x {cores} threads {rates[0]:.3f} images/s, "
            f"{cores} processes x 1 thread {rates[1]:.3f}, gain {rates[1] / rates[0]:.2f}",
            flush=True,
        )
    await many.close()
    await one.close()


def one_process(threads: int) -> LocalEngine:
    # as rapid_ocr(parallel=1) does, with the number of threads given
    from functools import partial

    from ocrlabel.engines.rapidocr import RapidReader

    options = rapid_ocr(parallel=1).options
    return LocalEngine("rapidocr", partial(RapidReader, threads=threads), options, parallel=1)


async def memory(data: Path) -> None:
    """The most that the process held while it opened and read each file (Linux)."""
    engine = rapid_ocr(parallel=1)
    await engine.start()
    (pid,) = engine.pids
    warm = next(path for path in images(data) if path.name == "UPPER.JPG")
    for _ in range(2):
        await read(engine, warm.read_bytes())
    idle_mb = status_mb(pid, "VmRSS")
    print(f"idle after two pages: {idle_mb} MB")
    for path in images(data):
        forget_highest(pid)
        try:
            pages = await read(engine, path.read_bytes())
            became = f"{len(pages)} page, {sum(len(page.words) for page in pages)} words"
        except ImageError as error:
            became = f"{error.failure}: {error}"
        print(f"{status_mb(pid, 'VmHWM') - idle_mb:5} MB  {path.name:40} {became[:90]}", flush=True)
    await engine.close()


def forget_highest(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def status_mb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) // 1024
    raise KeyError(name)


def images(data: Path) -> Iterator[Path]:
    folder = data / "images" if (data / "images").is_dir() else data
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in {".md", ".jsonl"}:
            yield path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--limit", type=int, default=1000, help="images to measure the speed with")
    chosen = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        if chosen.memory:
            asyncio.run(memory(chosen.data))
        elif chosen.threads:
            contents = [path.read_bytes() for path in images(chosen.data)][: chosen.limit]
            asyncio.run(all_cores(contents))
        elif chosen.speed:
            asyncio.run(speed(chosen.data, chosen.limit))
        else:
            asyncio.run(figures(chosen.data))


if __name__ == "__main__":
    main()
