"""rapidocr: the local engine with its models inside the package; needs no key and no network."""

from __future__ import annotations

from functools import partial
from importlib import metadata
from importlib.util import find_spec

from ocrlabel.engines.cores import usable_cores
from ocrlabel.engines.local import LocalEngine, parallel_or_cores
from ocrlabel.engines.rapid_reader import MODELS, TEXT_SCORE, RapidReader
from ocrlabel.errors import ConfigError

KOREAN_NOTICE = (
    "rapidocr reads no Hangul: Korean words come out empty or as wrong Chinese, sometimes with "
    "high confidence. For Korean use --engine upstage or --engine tesseract."
)


def rapid_ocr(*, parallel: int | None = None, page_timeout_s: float = 120.0) -> LocalEngine:
    """The engine "rapidocr". Raises ConfigError when the extra is not installed.

    parallel: processes, by default one a core. The cores are shared out among them: with one
    thread each, all cores together read more images than one process with as many threads.
    """
    missing = [name for name in ("rapidocr", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the engine rapidocr needs {' and '.join(missing)}: pip install 'ocrlabel[local]'"
        )
    processes = parallel_or_cores(parallel)
    return LocalEngine(
        "rapidocr",
        partial(RapidReader, threads=max(1, usable_cores() // processes)),
        {
            "version": metadata.version("rapidocr"),
            "models": ", ".join(MODELS.values()),
            "text_score": f"{TEXT_SCORE:g}",
        },
        parallel=processes,
        page_timeout_s=page_timeout_s,
        notice=KOREAN_NOTICE,
    )
