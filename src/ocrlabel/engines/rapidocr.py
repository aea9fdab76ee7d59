"""rapidocr, with its word boxes made fit for labels. Runs in a child process only.

The pixels, models and lines are rapidocr's own and untouched. Four things about words are not
(rapidocr 3.10, `cal_rec_boxes/main.py`):

- It pairs the n-th word of a line with the confidence of the line's n-th *character*. Here a word
  is as sure as the least sure of its own characters. How well the confidence tells right words
  from wrong ones (area under the curve, 2,562 matched words of real scans): 0.70 as it comes, 0.84
  with the mean of a word's characters, 0.85 with the least.
- One Chinese character or full-width colon in a line cuts all of the line into single characters
  ("Job #：" into J, o, b, #, ：). Here Latin words stay whole; Han and kana stay one box a
  character, because nothing in the line says where their words end.
- In a line that its classifier turned by 180 degrees the words lie mirrored. Here they do not.
- Polygons begin at the corner that is top left on the *page*. Here they begin at the text's own
  top left, so that a crop can be turned upright.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from importlib import metadata
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from omegaconf import flag_override
from rapidocr import RapidOCR
from rapidocr.cal_rec_boxes.main import Direction
from rapidocr.ch_ppocr_rec.typings import WordInfo, WordType

from ocrlabel.engines.base import usable_cores
from ocrlabel.engines.local import LocalEngine, parallel_or_cores
from ocrlabel.errors import ConfigError
from ocrlabel.labels import Word

if TYPE_CHECKING:
    from PIL.Image import Image

ReadWord = tuple[str, float, list[list[float]]]
KOREAN_NOTICE = (
    "rapidocr reads no Hangul: Korean words come out empty or as wrong Chinese, sometimes with "
    "high confidence. For Korean use --engine upstage or --engine tesseract."
)
MODELS: Mapping[str, str] = MappingProxyType(
    {
        "Det": "PP-OCRv6_det_small",
        "Cls": "ch_ppocr_mobile_v2.0_cls_mobile",
        "Rec": "PP-OCRv6_rec_small",
    }
)
TEXT_SCORE = 0.0
_OPTIONS: Mapping[str, object] = MappingProxyType(
    {
        "Global.text_score": TEXT_SCORE,
        "Global.return_word_box": True,
        "Global.log_level": "critical",
    }
)
_WHITE = 255
_STRIP_PX = 256
_FIRST_BYTES = 1 << 20
_REGION_BYTES = 1 << 30
_SPLIT_ABOVE_BYTES = 1 << 16
_NEXT_POWER_OF_TWO = 0
_MOST_TIMES_WIDER = 100
_MOST_TIMES_TALLER = 8
_NO_LETTERS_TIMES = 250


class WordReader(RapidOCR):
    """RapidOCR whose `word_results` hold one tuple of (text, confidence, polygon) a line."""

    text_cls: Any  # the library declares the None that it begins with

    def __init__(self, sessions: Mapping[str, object], options: Mapping[str, object]) -> None:
        """sessions: of onnxruntime, by part (Det, Cls, Rec); no model is looked for or loaded."""
        super().__init__(params=dict(options))
        with flag_override(self.cfg, "allow_objects", values=True):
            for part, session in sessions.items():
                self.cfg[part].session = session

    def cls_and_rotate(self, img: list[Any]) -> tuple[list[Any], Any]:
        """As rapidocr does, and remember which lines were turned."""
        result: Any
        images, result = super().cls_and_rotate(img)
        limit = self.text_cls.cls_thresh
        self._turned = ["180" in label and score > limit for label, score in result.cls_res]
        return images, result

    def recognize_txt(self, img: list[Any]) -> Any:
        """As rapidocr does; lines without text are dropped after this, so they are here too."""
        result: Any = super().recognize_txt(img)
        self._turned = [
            turned for turned, text in zip(self._turned, result.txts, strict=True) if text.strip()
        ]
        return result

    def calc_word_boxes(self, img: list[Any], dt_boxes: Any, rec_res: Any) -> Any:
        """Words of each line, in the line's order; as many entries as lines."""
        lines = zip(img, dt_boxes, rec_res.txts, rec_res.word_results, self._turned, strict=True)
        return tuple(self._line(*line) for line in lines)

    def _line(
        self, crop: Any, box: Any, text: str, info: WordInfo, turned: bool
    ) -> tuple[ReadWord, ...]:
        if crop.size == 0 or not info.words or info.line_txt_len == 0:
            return ()
        height_px, width_px = crop.shape[:2]
        step = width_px / info.line_txt_len
        texts, columns = _pieces(info)
        boxes = self.cal_rec_boxes.calc_en_num_box(
            columns,
            self._character_width(info, step, width_px, len(text)),
            step,
            (0, 0, width_px, height_px),
        )
        boxes = self.cal_rec_boxes.adjust_box_overlap(boxes)
        corners = np.roll(box, 2, axis=0) if turned else box
        shape = self.cal_rec_boxes.get_box_direction(corners)
        placed = self.cal_rec_boxes.reverse_rotate_crop_image(corners.copy(), boxes, shape)
        # a tall line was turned a quarter to be read: its text runs down the right-hand side
        start, end = (1, 2) if shape is Direction.VERTICAL else (0, 1)
        reading = (corners[end] - corners[start]).tolist()
        return tuple(
            (word, confidence, from_own_top_left(polygon, reading))
            for word, confidence, polygon in zip(
                texts, _confidences(texts, text, info.confs), placed, strict=True
            )
        )

    def _character_width(
        self, info: WordInfo, step: float, width_px: float, characters: int
    ) -> float:
        widths = [
            self.cal_rec_boxes.calc_avg_char_width(columns, step)
            for columns in info.word_cols
            if len(columns) > 1
        ]
        width: float = self.cal_rec_boxes.calc_all_char_avg_width(widths, 0, width_px, characters)
        return width


def from_own_top_left(
    clockwise: Sequence[Sequence[float]], reading: Sequence[float]
) -> list[list[float]]:
    """The same corners, begun at the one from which the text reads in the direction given."""
    count = len(clockwise)

    def along(start: int) -> float:
        (x0, y0), (x1, y1) = clockwise[start], clockwise[(start + 1) % count]
        length = float(np.hypot(x1 - x0, y1 - y0)) or 1.0
        return ((x1 - x0) * reading[0] + (y1 - y0) * reading[1]) / length

    first = max(range(count), key=along)
    return [list(clockwise[(first + offset) % count]) for offset in range(count)]


def _pieces(info: WordInfo) -> tuple[list[str], list[list[int]]]:
    """The line's words and the columns of their characters: Latin whole, Han one by one."""
    texts: list[str] = []
    columns: list[list[int]] = []
    for word, word_columns, kind in zip(info.words, info.word_cols, info.word_types, strict=True):
        if kind is WordType.EN_NUM:
            texts.append("".join(word))
            columns.append(word_columns)
        else:
            texts.extend(word)
            columns.extend([column] for column in word_columns)
    return texts, columns


def _confidences(words: Sequence[str], line: str, of_characters: Sequence[float]) -> list[float]:
    """Of each word the least of its characters' confidences; the line has spaces in between."""
    read = [
        confidence
        for character, confidence in zip(line, of_characters, strict=True)
        if not character.isspace()
    ]
    least: list[float] = []
    start = 0
    for word in words:
        least.append(min(read[start : start + len(word)]))
        start += len(word)
    return least


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


"""rapidocr drops lines below 0.5 without a word; here every word is kept with its confidence."""


class RapidReader:
    """One page in, words out; polygons in px of the page, whatever size rapidocr looked at.

    threads: of onnxruntime and OpenCV, each.
    """

    def __init__(self, threads: int) -> None:
        import cv2  # noqa: PLC0415 -- the extra is imported in the child only

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


"""Address space, not memory: what is never written to is never taken. The detector needs about 110
bytes a pixel of the at most 2,000 x 2,000 that it looks at, so one region is enough, and freed
neighbours in it become one again."""


def sessions(models: Mapping[str, Path], threads: int) -> dict[str, object]:
    """A session for each part (Det, Cls, Rec). threads: of each."""
    _share_an_arena()
    return {
        part: (RowByRow if part == "Rec" else onnxruntime.InferenceSession)(
            str(path), sess_options=_options(threads), providers=["CPUExecutionProvider"]
        )
        for part, path in models.items()
    }


class RowByRow(onnxruntime.InferenceSession):  # type: ignore[misc]  # the library has no types
    """Runs a batch one row after the other: the same values, a sixth of the memory, no slower.

    The recogniser gives 18,710 numbers for every 8 px of a line, and holds them twice: for six long
    lines at once that is more than all else on a page.
    """

    def run(self, names: Any, inputs: Mapping[str, Any], options: Any = None) -> list[Any]:
        """The first output of the batch."""
        ((name, batch),) = inputs.items()
        whole: Any = None
        for number in range(len(batch)):
            (row,) = super().run(names, {name: batch[number : number + 1]}, options)
            if whole is None:
                whole = np.empty((len(batch), *row.shape[1:]), row.dtype)
            whole[number] = row[0]
        return [whole]


@cache
def _share_an_arena() -> None:
    """Once a process: onnxruntime keeps what it shares among sessions for good."""
    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo(
            "Cpu",
            onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
            0,
            onnxruntime.OrtMemType.DEFAULT,
        ),
        onnxruntime.OrtArenaCfg(
            {
                "arena_extend_strategy": _NEXT_POWER_OF_TWO,
                "initial_chunk_size_bytes": _FIRST_BYTES,
                "initial_growth_chunk_size_bytes": _REGION_BYTES,
                "max_dead_bytes_per_chunk": _SPLIT_ABOVE_BYTES,
            }
        ),
    )


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A pattern is one block for a whole run, remembered for every size of page: pages differ in
    # size, and the block has half as much again as the run needs at any moment.
    options.enable_mem_pattern = False
    return options


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
