"""rapidocr: the local engine with its models inside the package; needs no key and no network.

This module is light, and works without the extra. What needs rapidocr and a runtime for its models
is in `rapidocr_words`, which only the child processes import: the reader there looks at one upright
page at a time, padded where it is too thin for rapidocr.
"""

from __future__ import annotations

import contextlib
import platform
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
from ocrlabel.errors import ConfigError
from ocrlabel.labels import Word

KOREAN_NOTICE = (
    "rapidocr reads no Hangul: Korean words come out empty or as wrong Chinese, sometimes with "
    "high confidence. For Korean use --language ko or --engine upstage."
)
HANGUL_BY = ", Hangul by "
"""In the version that the labels table tells, before the reader of lines with Hangul."""
MODELS: Mapping[str, str] = {
    "Det": "PP-OCRv6_det_small",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile",
    "Rec": "PP-OCRv6_rec_small",
}
RUNTIMES: Mapping[tuple[str, str], str] = {
    ("Linux", "x86_64"): "openvino",
    ("Darwin", "arm64"): "openvino",
}
"""What computes the models, by system and processor: OpenVINO where it has a wheel, elsewhere
onnxruntime. pyproject.toml says the same to pip. The plan of a run holds for all that join it."""
LINES = "one by one, in 40 widths to 2048 px"
TEXT_SCORE = 0.0
"""Every line is kept with its confidence, where rapidocr drops those below 0.5."""

_WHITE = 255
_STRIP_PX = 256
_MOST_TIMES_WIDER = 100
_MOST_TIMES_TALLER = 8
_NO_LETTERS_TIMES = 250


def rapid_ocr(
    *, languages: Sequence[str] = (), parallel: int | None = None, page_timeout_s: float = 120.0
) -> LocalEngine:
    """The engine "rapidocr". Raises ConfigError when the extra is not installed.

    languages: of en and zh, which the models know, and ko, for which it needs tesseract's Korean.
    parallel: processes, by default one a core. The cores are shared out among them: with one
    thread each, all cores together read more images than one process with as many threads.
    """
    runtime = RUNTIMES.get((platform.system(), platform.machine()), "onnxruntime")
    processes = parallel_or_cores(parallel)
    return LocalEngine(
        "rapidocr",
        partial(RapidReader, threads=max(1, usable_cores() // processes)),
        {
            **({"hangul": _hangul_reader()} if "ko" in languages else {}),
            "version": installed("rapidocr"),
            "models": ", ".join(MODELS.values()),
            "lines": LINES,
            "runtime": f"{runtime} {installed(runtime)}",
            "text_score": f"{TEXT_SCORE:g}",
        },
        parallel=processes,
        page_timeout_s=page_timeout_s,
        notice="" if "ko" in languages else KOREAN_NOTICE,
    )


def _hangul_reader() -> str:
    """tesseract, its version and its data, as the options say it. Raises ConfigError without it."""
    from ocrlabel.engines.tesseract import look_at  # noqa: PLC0415 -- starts a program

    with contextlib.suppress(ConfigError):
        _, version, data = look_at()
        if {"kor", "eng"} <= set(data):
            return f"tesseract {version} kor+eng"
    raise ConfigError(
        "--language ko needs tesseract with Korean: apt-get install tesseract-ocr"
        " tesseract-ocr-kor\n  or send Korean to the service: --engine upstage"
    )


def installed(package: str, wanted: str = "") -> str:
    """Its version. Raises ConfigError where it is missing, or not the one that a plan names."""
    there = metadata.version(package) if find_spec(package) else ""
    if wanted and there != wanted:
        raise ConfigError(
            f"this run was begun with {package} {wanted}, and here is {there or 'none'}:"
            f" pip install '{package}=={wanted}'\n"
            "  or read it all again, which costs nothing: --fresh, or another --output"
        )
    if not there:
        raise ConfigError(
            f"the engine rapidocr needs {package}: in the clone, pip install '.[local]'"
        )
    return there


class RapidReader:
    """One page in, words out; polygons in px of the page, whatever size rapidocr looked at.

    options: of the engine. threads: of the runtime and of OpenCV, each. Raises ConfigError where
    the runtime that the options name is not there.
    """

    def __init__(self, options: Mapping[str, str], threads: int) -> None:
        runtime, _, version = options["runtime"].partition(" ")
        installed(runtime, version)
        # the extra is imported in the child only
        import cv2  # noqa: PLC0415

        from ocrlabel.engines.korean_lines import KoreanLines  # noqa: PLC0415
        from ocrlabel.engines.rapidocr_words import WordReader  # noqa: PLC0415

        cv2.setNumThreads(threads)
        folder = _model_folder()
        models = {part: folder / f"{name}.onnx" for part, name in MODELS.items()}
        hangul = options.get("hangul", "")
        korean = KoreanLines("tesseract", hangul.split()[-1]) if hangul else None
        self._read = WordReader(models, runtime, threads, korean)
        self.about = f"rapidocr {metadata.version('rapidocr')} {MODELS['Rec'].partition('_')[0]}"
        self.about += f"{HANGUL_BY}{hangul}" if hangul else ""

    def __call__(self, page: Image) -> Sequence[Word]:
        """Words line by line from the top; closes the page once its pixels are copied."""
        width_px, height_px = page.size
        if not has_room_for_letters(width_px, height_px):
            return ()
        return tuple(_words(self._read(_blue_green_red(page)), width_px, height_px))


def _model_folder() -> Path:
    found = find_spec("rapidocr")
    folder = Path(found.origin).parent / "models" if found and found.origin else Path()
    missing = [name for name in MODELS.values() if not (folder / f"{name}.onnx").is_file()]
    if missing:
        raise ConfigError(
            f"rapidocr {metadata.version('rapidocr')} comes without {', '.join(missing)}: "
            "pip install --force-reinstall 'rapidocr>=3.10,<4'"
        )
    return folder


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
