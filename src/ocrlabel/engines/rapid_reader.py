"""Reads one upright page with rapidocr. Lives in a child process, one to a process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ocrlabel.engines.page_fit import has_room_for_letters, padded_size
from ocrlabel.errors import ConfigError
from ocrlabel.labels import Word

if TYPE_CHECKING:
    from PIL.Image import Image

MODELS: Mapping[str, str] = MappingProxyType(
    {
        "Det": "PP-OCRv6_det_small",
        "Cls": "ch_ppocr_mobile_v2.0_cls_mobile",
        "Rec": "PP-OCRv6_rec_small",
    }
)

TEXT_SCORE = 0.0
"""rapidocr drops lines below 0.5 without a word; here every word is kept with its confidence."""

_OPTIONS: Mapping[str, object] = MappingProxyType(
    {
        "Global.text_score": TEXT_SCORE,
        "Global.return_word_box": True,
        "Global.log_level": "critical",
    }
)

_WHITE = 255
_STRIP_PX = 256


class RapidReader:
    """One page in, words out; polygons in px of the page, whatever size rapidocr looked at.

    threads: of onnxruntime and OpenCV, each.
    """

    def __init__(self, threads: int) -> None:
        import cv2  # noqa: PLC0415 -- the extra is imported in the child only

        from ocrlabel.engines.rapid_sessions import sessions  # noqa: PLC0415 -- the same
        from ocrlabel.engines.rapid_words import WordReader  # noqa: PLC0415 -- the same

        cv2.setNumThreads(threads)
        folder = _model_folder()
        models = {part: folder / f"{name}.onnx" for part, name in MODELS.items()}
        self._read: Any = WordReader(sessions(models, threads), _OPTIONS)
        self.about = f"rapidocr {metadata.version('rapidocr')} {MODELS['Rec'].partition('_')[0]}"

    def __call__(self, page: Image) -> Sequence[Word]:
        """Words line by line from the top; closes the page once its pixels are copied."""
        width_px, height_px = page.size
        if not has_room_for_letters(width_px, height_px):
            return ()
        lines = self._read(_blue_green_red(page)).word_results or ()
        return tuple(_words(lines, width_px, height_px))


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


def _words(lines: Sequence[Any], width_px: int, height_px: int) -> Iterator[Word]:
    for line in lines:
        # a page without text comes as one line ("", 1.0, None), not as no lines
        for text, confidence, polygon in line if isinstance(line[0], tuple) else ():
            corners = tuple((_within(x, width_px), _within(y, height_px)) for x, y in polygon)
            if text.strip():
                yield Word(text.strip(), corners, round(confidence, 5))


def _within(value_px: float, size_px: int) -> float:
    return min(max(float(value_px), 0.0), float(size_px))
