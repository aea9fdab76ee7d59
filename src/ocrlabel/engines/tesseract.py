"""tesseract: a second local engine, the system's own program, which reads Korean.

Each child process runs the program once for each page, and takes its words from TSV output.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO

from PIL.Image import Image

from ocrlabel.engines.local import LocalEngine
from ocrlabel.errors import ConfigError, Rejected
from ocrlabel.labels import Word

_INSTALL = "apt-get install tesseract-ocr tesseract-ocr-kor"
PAGE_SEGMENTATION = "3"
"""Automatic, as for a page of which nothing is known."""

_WORD_LEVEL = "5"


def tesseract(
    *,
    languages: Sequence[str] = (),
    program: str = "tesseract",
    parallel: int | None = None,
    page_timeout_s: float = 120.0,
) -> LocalEngine:
    """The engine "tesseract". Raises ConfigError when the program or a language is missing.

    languages: tesseract's names, best first; by default Korean, where it is installed, and
    English. program: its name on PATH, or its path. parallel: processes, by default one a core.
    """
    path, version, installed = look_at(program)
    chosen = tuple(languages) or tuple(name for name in ("kor", "eng") if name in installed)
    missing = [name for name in chosen if name not in installed]
    if missing or not chosen:
        raise ConfigError(
            f"{path} has no data for {', '.join(missing) or 'kor or eng'}; it has "
            f"{', '.join(installed) or 'none'}: apt-get install "
            + " ".join(f"tesseract-ocr-{name.replace('_', '-')}" for name in missing or ("eng",))
        )
    notice = f"tesseract reads {'+'.join(chosen)}."
    if "kor" not in installed:
        notice += " Korean is not installed: apt-get install tesseract-ocr-kor"
    return LocalEngine(
        "tesseract",
        partial(TesseractReader, path),
        {"version": version, "languages": "+".join(chosen), "psm": PAGE_SEGMENTATION},
        parallel=parallel,
        page_timeout_s=page_timeout_s,
        notice=notice,
    )


def look_at(program: str = "tesseract") -> tuple[str, str, list[str]]:
    """The program's path, its version and its languages. Raises ConfigError when it is missing."""
    path = shutil.which(program)
    if path is None:
        raise ConfigError(f"there is no program {program!r} on PATH: {_INSTALL}")
    installed = [line.strip() for line in _output_of(path, "--list-langs").splitlines()[1:]]
    version = _output_of(path, "--version").splitlines()[0].removeprefix("tesseract").strip()
    return path, version, installed


def _output_of(path: str, question: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 -- the program that the user named
            [path, question], capture_output=True, check=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{path} {question} does not answer: {error}\n  {_INSTALL}") from error
    return done.stdout


class TesseractReader:
    """One page in, words out. A page that takes too long ends with the whole child process."""

    def __init__(self, program: str, options: Mapping[str, str]) -> None:
        self.about = f"tesseract {options['version']} {options['languages']}"
        self._command = [
            program, "stdin", "stdout", "-l", options["languages"], "--psm", options["psm"], "tsv",
        ]  # fmt: skip

    def __call__(self, page: Image) -> Sequence[Word]:
        """Words in tesseract's reading order, with upright boxes."""
        raster = BytesIO()
        page.save(raster, "PPM")
        page.close()
        return tuple(words_of(tsv_of(self._command, raster.getbuffer())))


def tsv_of(command: Sequence[str], raster: memoryview | None = None) -> str:
    """What tesseract prints, given a picture on its standard input or named. Raises Rejected."""
    done = subprocess.run(  # noqa: S603 -- the program that the engine was made with
        command,
        input=raster,
        capture_output=True,
        check=False,
        # one core a process: the pool uses the others
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # noqa: TID251 -- handed on
    )
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise Rejected(f"tesseract ended with status {done.returncode}: {''.join(last)[:200]}")
    return done.stdout.decode("utf-8", "replace")


def words_of(tsv: str) -> Iterator[Word]:
    """The words of tesseract's TSV output; its other levels (page, block, line) are left out."""
    for found in rows_of(tsv):
        left, top = float(found["left"]), float(found["top"])
        right, bottom = left + float(found["width"]), top + float(found["height"])
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        yield Word(found["text"], corners, round(float(found["conf"]) / 100, 5))


def rows_of(tsv: str) -> Iterator[Mapping[str, str]]:
    """The rows of TSV output that are words with a text, as tesseract names their columns.

    Its confidences are 0 to 100, and -1 for what it did not recognise.
    """
    # not splitlines: a word may hold what Unicode calls a line separator
    names, *rows = (line.split("\t") for line in tsv.split("\n") if line)
    for row in rows:
        found = dict(zip(names, row, strict=False))  # a word is the last column, and may be empty
        text = found.get("text", "").strip()
        if found["level"] == _WORD_LEVEL and text and float(found["conf"]) >= 0:
            yield {**found, "text": text}
