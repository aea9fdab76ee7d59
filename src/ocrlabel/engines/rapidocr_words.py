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

The models run in sessions of our own, which share the memory that they work in; their options, and
so their answers, stay as rapidocr has them. rapidocr asks the system for each value between two
steps of a model and gives it back: slow, because every page of memory is fetched anew, and it
leaves holes that add up. Here all three models use one region in turn, which grows to what the
largest page needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from omegaconf import flag_override
from rapidocr import RapidOCR
from rapidocr.cal_rec_boxes.main import Direction
from rapidocr.ch_ppocr_rec.typings import WordInfo, WordType

ReadWord = tuple[str, float, list[list[float]]]

_FIRST_BYTES = 1 << 20
_REGION_BYTES = 1 << 30
"""Address space, not memory: what is never written to is never taken. The detector needs about 110
bytes a pixel of the at most 2,000 x 2,000 that it looks at, so one region is enough, and freed
neighbours in it become one again."""
_SPLIT_ABOVE_BYTES = 1 << 16
_NEXT_POWER_OF_TWO = 0


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
