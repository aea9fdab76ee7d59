"""A page read as rapidocr reads it, in less time, with word boxes fit for labels. In a child only.

The models, and what is done to pixels before and between them, are rapidocr's (3.10). Its own loop
pads each line to at least 320 px and to the widest of its six; here each is read by itself and
padded to the next of a few widths: the same words in half the time.

Its word boxes have faults (`cal_rec_boxes/main.py`), mended here:

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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from operator import itemgetter
from typing import Any

import cv2
import numpy as np
from rapidocr.cal_rec_boxes.main import CalRecBoxes, Direction
from rapidocr.ch_ppocr_det.main import TextDetector
from rapidocr.ch_ppocr_det.utils import DBPostProcess, DetPreProcess
from rapidocr.ch_ppocr_rec.typings import WordInfo, WordType
from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode
from rapidocr.utils.process_img import (
    apply_vertical_padding,
    get_rotate_crop_image,
    map_boxes_to_original,
    resize_image_within_bounds,
)

from ocrlabel.engines.korean_lines import Piece, is_hangul, read_korean
from ocrlabel.engines.model_sessions import Session

ReadWord = tuple[str, float, list[list[float]]]

_LEAST_SIDE_PX, _MOST_SIDE_PX, _TIMES_WIDER = 30, 2000, 8
"""What rapidocr scales pages to, and when it pads a wide one."""
_LINE_HEIGHT_PX = 48
_STEP_PX = 16
_NARROWED = 0.85
"""Lines are read at this share of their width: on real scans 0.85 finds as many right words as 1.0
in a seventh less time, 0.75 one in a hundred fewer."""
_TURN_WIDTH_PX = 192
_TURNED_ABOVE = 0.9
_MOST = 0.5
_SURE = 0.9
"""A line that is read so surely is not upside down, and needs no look by the turn classifier."""
_HANGUL = 0.5


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text. pixels: level, for its reader; size_px: width and height on the page.

    corners: on the page, clockwise from the top left of the page. turned: its text is upside down
    there, and was turned in pixels.
    """

    corners: Any
    pixels: Any
    size_px: tuple[int, int]
    turned: bool = False


Reading = tuple[Line, Sequence[ReadWord], float]
"""A line, its words, and how sure they are on average."""
HangulReader = Callable[[Sequence[Reading]], list[Sequence[ReadWord]]]
"""Lines as the recogniser without Hangul read them -> each one's words, () where those stand."""


class WordReader:
    """A page's pixels (blue, green, red) -> the words of each of its lines."""

    def __init__(
        self,
        detector: Session,
        classifier: Session,
        recogniser: Session,
        hangul: HangulReader | None = None,
    ) -> None:
        self._hangul = hangul
        self._lines = LineFinder(detector)
        self._classifier = classifier
        self._read = LineRecogniser(recogniser)

    def __call__(self, page: Any) -> Iterator[Sequence[ReadWord]]:
        """Lines from the top, those without text left out."""
        found = [(line, *self._read(line)) for line in self._lines(page)]
        doubtful = [n for n, (_, _, confidence) in enumerate(found) if confidence < _SURE]
        chances = [self._turned(found[n][0].pixels) for n in doubtful]
        if self._hangul is None:
            for number, chance in zip(doubtful, chances, strict=True):
                if chance > _TURNED_ABOVE:
                    # the classifier is wrong in most of the few lines of a page that lies upright
                    turned = self._read_turned(found[number][0])
                    found[number] = max(found[number], turned, key=itemgetter(2))
        else:
            # The classifier knows too little of Hangul: where it has most lines of a page lie
            # upside down, they do if the reader of Hangul sees more of it so.
            answered = self._with_hangul(found, self._hangul)
            if sum(chances) > _MOST * len(found):
                other = list(found)
                for number in doubtful:
                    other[number] = self._read_turned(found[number][0])
                answered = max(answered, self._with_hangul(other, self._hangul), key=_hangul_seen)
            found = answered
        yield from (words for _, words, _ in found if words)

    def _turned(self, pixels: Any) -> float:
        """How likely a line is upside down, from 0 to 1."""
        own_px = min(ceil(_ratio(pixels) * _LINE_HEIGHT_PX), _TURN_WIDTH_PX)
        return float(self._classifier(_padded(pixels, own_px, _TURN_WIDTH_PX))[0][1])

    def _read_turned(self, line: Line) -> Reading:
        line = replace(line, pixels=cv2.rotate(line.pixels, cv2.ROTATE_180), turned=True)
        return (line, *self._read(line))

    @staticmethod
    def _with_hangul(found: Sequence[Reading], hangul: HangulReader) -> list[Reading]:
        """The same, with what the reader of Hangul says where it sees some."""
        answered = list(found)
        # what a recogniser without Hangul makes of Hangul: Chinese, a doubt, or nothing
        asked = [n for n, (_, words, _) in enumerate(found) if not _surely_latin(words)]
        for number, words in zip(asked, hangul([found[n] for n in asked]), strict=True):
            line, _, confidence = found[number]
            if words:
                answered[number] = line, words, confidence
        return answered


class LineFinder:
    """A page's pixels -> its lines, cut out and made level."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._fit = DetPreProcess(limit_side_len=736, limit_type="min")
        self._boxes_of = DBPostProcess(
            thresh=0.3, box_thresh=0.5, max_candidates=1000, unclip_ratio=1.6, use_dilation=True
        )

    def __call__(self, page: Any) -> Iterator[Line]:
        """Lines from the top."""
        high_px, wide_px = page.shape[:2]
        seen, down, across = resize_image_within_bounds(page, _LEAST_SIDE_PX, _MOST_SIDE_PX)
        scaled = {"preprocess": {"ratio_h": down, "ratio_w": across}}
        seen, moved = apply_vertical_padding(seen, scaled, _TIMES_WIDER, _LEAST_SIDE_PX)
        fitted = self._fit.resize(seen)
        if fitted is None:
            return
        boxes, _ = self._boxes_of(self._session(_values(fitted)[None]), seen.shape[:2])
        if len(boxes) == 0:
            return
        boxes = TextDetector.sorted_boxes(boxes)
        for box, corners in zip(
            boxes, map_boxes_to_original(boxes.copy(), moved, high_px, wide_px), strict=True
        ):
            pixels = get_rotate_crop_image(seen, box.copy())
            line_high, line_wide = pixels.shape[:2]
            if pixels.size:
                yield Line(corners, pixels, (round(line_wide * across), round(line_high * down)))


class LineRecogniser:
    """A line -> its words with their places on the page."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._decode = CTCLabelDecode(list(session.characters))
        self._boxes = CalRecBoxes()

    def __call__(self, line: Line) -> tuple[Sequence[ReadWord], float]:
        """Its words, and how sure all of it is on average."""
        ratio = _NARROWED * _ratio(line.pixels)
        own_px = ceil(_LINE_HEIGHT_PX * ratio)
        width_px = stepped(own_px)
        ((text, confidence),), (info,) = self._decode(
            self._session(_padded(line.pixels, own_px, width_px)),
            return_word_box=True,
            wh_ratio_list=[ratio],
            max_wh_ratio=width_px / _LINE_HEIGHT_PX,
        )
        return self._placed(line, text, info) if text.strip() else (), confidence

    def _placed(self, line: Line, text: str, info: WordInfo) -> tuple[ReadWord, ...]:
        if not info.words or info.line_txt_len == 0:
            return ()
        width_px, height_px = line.size_px
        step = width_px / info.line_txt_len
        texts, columns = _pieces(info)
        widths = [
            self._boxes.calc_avg_char_width(each, step) for each in info.word_cols if len(each) > 1
        ]
        width = self._boxes.calc_all_char_avg_width(widths, 0, width_px, len(text))
        boxes = self._boxes.calc_en_num_box(columns, width, step, (0, 0, width_px, height_px))
        boxes = self._boxes.adjust_box_overlap(boxes)
        placed = polygons_of(line, boxes)
        return tuple(zip(texts, _confidences(texts, text, info.confs), placed, strict=True))


def by_recogniser(read: LineRecogniser, found: Sequence[Reading]) -> list[Sequence[ReadWord]]:
    """A HangulReader, of read: of two recognisers of a kind the surer is right."""
    answers = [(read(line)[0], confidence) for line, _, confidence in found]
    return [words if 0 < _sure_of_hangul(words) >= other else () for words, other in answers]


def by_tesseract(languages: str, found: Sequence[Reading]) -> list[Sequence[ReadWord]]:
    """A HangulReader, whose confidence is of another kind than the recogniser's."""
    return [
        _on_the_page(line, pieces) if _surely_korean(pieces, confidence) else ()
        for (line, _, confidence), pieces in zip(
            found, read_korean(languages, [line.pixels for line, _, _ in found]), strict=True
        )
    ]


def polygons_of(line: Line, boxes: list[list[list[float]]]) -> list[list[list[float]]]:
    """Boxes in px of the line, level and at the size that it has on the page -> on the page."""
    corners = np.roll(line.corners, 2, axis=0) if line.turned else line.corners
    shape = CalRecBoxes.get_box_direction(corners)
    placed = CalRecBoxes().reverse_rotate_crop_image(corners.copy(), boxes, shape)
    # a tall line was turned a quarter to be read: its text runs down the right-hand side
    start, end = (1, 2) if shape is Direction.VERTICAL else (0, 1)
    reading = (corners[end] - corners[start]).tolist()
    return [from_own_top_left(polygon, reading) for polygon in placed]


def _on_the_page(line: Line, pieces: Sequence[Piece]) -> Sequence[ReadWord]:
    high_px, wide_px = line.pixels.shape[:2]
    across, down = line.size_px[0] / wide_px, line.size_px[1] / high_px
    boxes = [
        [[x * across, y * down] for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        for _, _, (x0, y0, x1, y1) in pieces
    ]
    texts, confidences = [piece[0] for piece in pieces], [piece[1] for piece in pieces]
    return tuple(zip(texts, confidences, polygons_of(line, boxes), strict=True))


def _hangul_seen(found: Sequence[Reading]) -> float:
    """Characters of words with Hangul, each as much as it is sure."""
    words = [word for _, words, _ in found for word in words if any(map(is_hangul, word[0]))]
    return sum(len(text) * sure for text, sure, _ in words)


def _surely_latin(words: Sequence[ReadWord]) -> bool:
    """Mostly Latin letters, and each word sure: no Hangul was taken for anything here."""
    text = "".join(word for word, _, _ in words)
    latin = sum(character.isascii() and character.isalpha() for character in text)
    return latin * 2 > len(text) and min(sure for _, sure, _ in words) >= _SURE


def _surely_korean(pieces: Sequence[Piece], confidence: float) -> bool:
    sure = _sure_of_hangul(pieces)
    return sure > 0 and (sure >= _HANGUL or confidence < _SURE)


def _sure_of_hangul(words: Sequence[tuple[str, float, Any]]) -> float:
    """The mean confidence of the words with Hangul, 0 without any."""
    sure = [sure for text, sure, _ in words if any(map(is_hangul, text))]
    return sum(sure) / len(sure) if sure else 0.0


def stepped(width_px: int) -> int:
    """The width that a line is padded to: the next of 16 px; of a long line, of an eighth at most.

    Few, since OpenVINO prepares itself for each that it meets, as long as it takes to read a line.
    """
    step_px = max(_STEP_PX, 1 << (width_px - 1).bit_length() - 4 if width_px > _STEP_PX else 0)
    return -(-width_px // step_px) * step_px


def _ratio(pixels: Any) -> float:
    """Width over height."""
    high_px, wide_px = pixels.shape[:2]
    return float(wide_px / high_px)


def _padded(pixels: Any, own_px: int, width_px: int) -> Any:
    """A line at the models' height and at the width own_px, then grey up to width_px."""
    how = cv2.INTER_AREA if pixels.shape[1] > own_px else cv2.INTER_LINEAR
    padded = np.zeros((1, 3, _LINE_HEIGHT_PX, width_px), np.float32)
    fitted = cv2.resize(pixels, (own_px, _LINE_HEIGHT_PX), interpolation=how)
    padded[0, :, :, :own_px] = _values(fitted)
    return padded


def _values(pixels: Any) -> Any:
    """Colours first, from -1 to 1."""
    values = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
    values *= 1 / 127.5
    values -= 1
    return values


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
