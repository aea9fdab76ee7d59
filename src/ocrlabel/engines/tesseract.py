"""tesseract: a second local engine, the system's own program, which reads Korean."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import partial

from ocrlabel.engines.local import LocalEngine
from ocrlabel.engines.tesseract_reader import PAGE_SEGMENTATION, TesseractReader
from ocrlabel.errors import ConfigError

_INSTALL = "apt-get install tesseract-ocr tesseract-ocr-kor"


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
    path = shutil.which(program)
    if path is None:
        raise ConfigError(f"there is no program {program!r} on PATH: {_INSTALL}")
    installed = _installed(path)
    chosen = tuple(languages) or tuple(name for name in ("kor", "eng") if name in installed)
    missing = [name for name in chosen if name not in installed]
    if missing or not chosen:
        raise ConfigError(
            f"{path} has no data for {', '.join(missing) or 'kor or eng'}; it has "
            f"{', '.join(installed) or 'none'}: apt-get install "
            + " ".join(f"tesseract-ocr-{name.replace('_', '-')}" for name in missing or ("eng",))
        )
    version = _said(path, "--version").splitlines()[0].removeprefix("tesseract").strip()
    return LocalEngine(
        "tesseract",
        partial(TesseractReader, path, chosen, version),
        {"version": version, "languages": "+".join(chosen), "psm": PAGE_SEGMENTATION},
        parallel=parallel,
        page_timeout_s=page_timeout_s,
        notice=_notice(chosen, installed),
    )


def _notice(chosen: Sequence[str], installed: Sequence[str]) -> str:
    text = f"tesseract reads {'+'.join(chosen)}."
    if "kor" in installed:
        return text
    return f"{text} Korean is not installed: apt-get install tesseract-ocr-kor"


def _installed(path: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in _said(path, "--list-langs").splitlines()[1:])


def _said(path: str, question: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 -- the program that the user named
            [path, question], capture_output=True, check=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{path} {question} does not answer: {error}\n  {_INSTALL}") from error
    return done.stdout
