"""rapidocr: the local engine with its models inside the package; needs no key and no network.

This module is light, and works without the extra. What needs rapidocr and a runtime for its models
is in `rapidocr_words`, which only the child processes import: the reader there looks at one upright
page at a time, padded where it is too thin for rapidocr.
"""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from PIL.Image import Image

from ocrlabel.engines.children import usable_cores
from ocrlabel.engines.local import LocalEngine, parallel_or_cores
from ocrlabel.engines.models import KOREAN, NO_CACHE, command_for, in_cache, path_of
from ocrlabel.errors import ConfigError
from ocrlabel.labels import Word

KOREAN_NOTICE = (
    "rapidocr reads no Hangul: Korean words come out empty or as wrong Chinese, sometimes with "
    "high confidence. For Korean use --language ko or --engine upstage."
)
HANGUL_BY = ", Hangul by "
"""In the version that the labels table tells, before the reader of lines with Hangul."""
MODELS: Mapping[str, tuple[str, str, str]] = {
    "small": ("PP-OCRv6_det_small", "ch_ppocr_mobile_v2.0_cls_mobile", "PP-OCRv6_rec_small"),
    "tiny": ("PP-OCRv6_det_tiny", "ch_ppocr_mobile_v2.0_cls_mobile", "PP-OCRv6_rec_tiny"),
}
"""Detector, classifier and recogniser, by what --model calls them; the wheel has the small ones."""
LINES = "one by one, at 0.85 of their width, in 40 widths to 2048 px"
TEXT_SCORE = 0.0
"""Every line is kept with its confidence, where rapidocr drops those below 0.5."""

_WHITE = 255
_STRIP_PX = 256
_MOST_TIMES_WIDER = 100
_MOST_TIMES_TALLER = 8
_NO_LETTERS_TIMES = 250


def rapid_ocr(
    *,
    model: str = "small",
    languages: Sequence[str] = (),
    cache: Path = NO_CACHE,
    parallel: int | None = None,
    page_timeout_s: float = 120.0,
) -> LocalEngine:
    """The engine "rapidocr". Raises ConfigError when the extra or a model is not installed.

    model: of MODELS. languages: of en and zh, which the models know, and ko, for which it needs
    the Korean recogniser or tesseract's Korean. cache: the folder of models that were fetched.
    parallel: processes, by default one a core. The cores are shared out among them: with one
    thread each, all cores together read more images than one process with as many threads.
    """
    runtime = runtime_for(platform.system(), platform.machine(), _processor())
    if model not in MODELS:
        raise ConfigError(f"--model {model}: rapidocr has {' and '.join(MODELS)}")
    processes = parallel_or_cores(parallel)
    return LocalEngine(
        "rapidocr",
        partial(RapidReader, threads=max(1, usable_cores() // processes), cache=cache),
        {
            "version": installed("rapidocr"),
            **({"hangul": _hangul_reader(cache)} if "ko" in languages else {}),
            "models": ", ".join(_with_sha256(name, cache) for name in MODELS[model]),
            "lines": LINES,
            "runtime": f"{runtime} {installed(runtime)}",
            "text_score": f"{TEXT_SCORE:g}",
        },
        parallel=processes,
        page_timeout_s=page_timeout_s,
        notice="" if "ko" in languages else KOREAN_NOTICE,
    )


def runtime_for(system: str, machine: str, processor: str) -> str:
    """What computes the models. The plan of a run holds for all that join it.

    OpenVINO where it has a wheel and is quicker; onnxruntime elsewhere, which on processors with
    AVX2 only is as quick, prepares nothing for each new size, and takes less memory. pyproject.toml
    says to pip which may be needed. processor: its flags, as Linux tells them.
    """
    wide = (system, machine) == ("Linux", "x86_64") and "avx512f" in processor.split()
    return "openvino" if wide or (system, machine) == ("Darwin", "arm64") else "onnxruntime"


def _processor() -> str:
    """The first processor's flags, "" where the system does not tell them."""
    with contextlib.suppress(OSError):
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return found[1] if found else ""
    return ""


def _hangul_reader(cache: Path) -> str:
    """Who reads Hangul, as the options say it. Raises ConfigError where nobody does."""
    if there := in_cache(cache, KOREAN) or _tesseract():
        return there
    raise ConfigError(
        f"--language ko needs a reader of Hangul: {command_for(KOREAN)}\n"
        "  or tesseract: apt-get install tesseract-ocr tesseract-ocr-kor\n"
        "  or send Korean to the service: --engine upstage"
    )


def _tesseract() -> str:
    """Its version and data as the options say them, "" without it or without its Korean."""
    from ocrlabel.engines.tesseract import look_at  # noqa: PLC0415 -- starts a program

    with contextlib.suppress(ConfigError):
        _, version, data = look_at()
        if {"kor", "eng"} <= set(data):
            return f"tesseract {version} kor+eng"
    return ""


def _with_sha256(name: str, cache: Path) -> str:
    """A model as the options say it: with its SHA-256, unless it is in the wheel."""
    if there := name if name in MODELS["small"] else in_cache(cache, name):
        return there
    raise ConfigError(f"--model tiny needs {name}: {command_for(name)}")


def installed(package: str, wanted: str = "") -> str:
    """Its version. Raises ConfigError where it is missing, or not the one that a plan names."""
    there = metadata.version(package) if find_spec(package) else ""
    if wanted:
        here = there and f"{package} {there}"
        _refuse_other(f"{package} {wanted}", here, f"pip install '{package}=={wanted}'")
    if not there:
        raise ConfigError(
            f"the engine rapidocr needs {package}: in the clone, pip install '.[local]'"
        )
    return there


def _refuse_other(planned: str, here: str, remedy: str) -> None:
    """Raises ConfigError where a machine that joins a run has another than its plan says."""
    if here != planned:
        raise ConfigError(
            f"this run was begun with {planned}, and here is {here or 'none'}: {remedy}\n"
            "  or read it all again, which costs nothing: --fresh, or another --output"
        )


class RapidReader:
    """One page in, words out; polygons in px of the page, whatever size rapidocr looked at.

    options: of the engine. threads: of the runtime and of OpenCV, each. cache: as of the engine.
    Raises ConfigError where the runtime or a model that the options name is not there.
    """

    def __init__(self, options: Mapping[str, str], threads: int, cache: Path = NO_CACHE) -> None:
        runtime, _, version = options["runtime"].partition(" ")
        installed(runtime, version)
        # the extra is imported in the child only
        import cv2  # noqa: PLC0415

        from ocrlabel.engines import rapidocr_words as words  # noqa: PLC0415
        from ocrlabel.engines.model_sessions import RUNTIMES, Session  # noqa: PLC0415

        cv2.setNumThreads(threads)

        def session_of(model: str) -> Session:
            return RUNTIMES[runtime](_file_of(model, cache), threads)

        models = options["models"].split(", ")
        detector, classifier, recogniser = map(session_of, models)
        hangul = options.get("hangul", "")
        by: words.HangulReader | None = None
        if hangul.startswith(KOREAN):
            by = partial(words.by_recogniser, words.LineRecogniser(session_of(hangul)))
        elif hangul:
            _refuse_other(hangul, _tesseract(), "install that one")
            by = partial(words.by_tesseract, hangul.split()[-1])
        self._read = words.WordReader(detector, classifier, recogniser, by)
        family = models[-1].split()[0].replace("_rec_", " ").removesuffix(" small")
        self.about = f"rapidocr {metadata.version('rapidocr')} {family}"
        if hangul:
            self.about += HANGUL_BY + re.sub("([0-9a-f]{12})[0-9a-f]{52}", r"\1", hangul)

    def __call__(self, page: Image) -> Sequence[Word]:
        """Words line by line from the top; closes the page once its pixels are copied."""
        width_px, height_px = page.size
        if not has_room_for_letters(width_px, height_px):
            return ()
        return tuple(_words(self._read(_blue_green_red(page)), width_px, height_px))


def _file_of(model: str, cache: Path) -> Path:
    """The file of a model as the options say it. Raises ConfigError where it is not there."""
    name, _, sha256 = model.partition(" ")
    if sha256:
        _refuse_other(model, in_cache(cache, name), command_for(name))
        return path_of(cache, name)
    found = find_spec("rapidocr")
    path = path_of(Path(found.origin).parent / "models" if found and found.origin else cache, name)
    if not path.is_file():
        raise ConfigError(
            f"rapidocr {metadata.version('rapidocr')} comes without {name}: "
            "pip install --force-reinstall 'rapidocr>=3.10,<4'"
        )
    return path


def _blue_green_red(page: Image) -> Any:
    """The pixels as rapidocr wants them; a page that is too thin gets white beside it.

    Copied in strips: Pillow holds 4 bytes a pixel, the array 3, and a copy at one go another 6.
    """
    import numpy as np  # noqa: PLC0415 -- the extra is imported in the child only

    width_px, height_px = page.size
    wide_px, high_px = padded_size(width_px, height_px)
    pixels = np.full((high_px, wide_px, 3), _WHITE, np.uint8)
    for top in range(0, height_px, _STRIP_PX):
        bottom = min(top + _STRIP_PX, height_px)
        strip = np.asarray(page.crop((0, top, width_px, bottom)))
        pixels[top:bottom, :width_px] = strip[:, :, ::-1]
    page.close()
    return pixels


def _words(lines: Iterable[Any], width_px: int, height_px: int) -> Iterator[Word]:
    for line in lines:
        for text, confidence, polygon in line:
            corners = tuple((_within(x, width_px), _within(y, height_px)) for x, y in polygon)
            if text.strip():
                yield Word(text.strip(), corners, round(confidence, 5))


def _within(value_px: float, size_px: int) -> float:
    return min(max(float(value_px), 0.0), float(size_px))


def padded_size(width_px: int, height_px: int) -> tuple[int, int]:
    """The page's size with empty space to the right or below, so that it is not too thin.

    rapidocr scales a page to at most 2,000 px and at least 30 px, in steps of 32: of 20,000 x 2 px
    that makes 2,000 x 0, which it refuses. Its detector then scales the short side up to 736 px:
    of a strip 30 x 2,000 px that makes 36 megapixels, several GB and a minute and a half. Wide
    pages it pads by itself beforehand, tall ones not. Up to 8 times taller than wide, as long
    receipts are, they stay as they are and take no more than a square page.
    """
    return (
        max(width_px, ceil(height_px / _MOST_TIMES_TALLER)),
        max(height_px, ceil(width_px / _MOST_TIMES_WIDER)),
    )


def has_room_for_letters(width_px: int, height_px: int) -> bool:
    """False for a hairline, of which less than 8 px are left when its length is 2,000 px."""
    return max(width_px, height_px) <= _NO_LETTERS_TIMES * min(width_px, height_px)
