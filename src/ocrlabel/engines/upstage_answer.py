"""The service's JSON into pages and words. Pure; the run and `reparse` read with the same code.

Made for what the real service was seen to answer (ocr-2.2.1, recorded) and is documented to
answer (ocr-260930). Judged by one rule: a value of the wrong type means that this is not the
format, and the answer is refused; something that is merely absent costs at most its own word,
because asking again would be paid again and most likely be answered the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from ocrlabel.characters import learnable
from ocrlabel.engine import Answer
from ocrlabel.engines.upstage_protocol import complaint_in, json_of
from ocrlabel.errors import BadAnswer, Throttled
from ocrlabel.labels import Document, FailureClass, Page, Point, Polygon, Word

MAX_PX: Final = 1e9
"""No page has more pixels along a side, nor a corner farther out."""

MAX_BILLED_PAGES: Final = 1_000_000

SAME_SHAPE: Final = 0.02
"""How far two page shapes may differ and still be one page at two sizes (rounding)."""


def read_answer(raw: bytes, document: Document, *, status: int | None = None) -> Answer:
    """Words in the service's order; polygons in px of the upright page *as sent*.

    A polygon is 4 points, clockwise from the text's own top left, so turned text stays turned.
    Words without a text that can be seen are left out (they label nothing; raw keeps them); the
    other texts stay as they are.
    A page without words is an empty Page. Raises BadAnswer, with failure INCOMPLETE when the
    pages are not as many as were counted, and Throttled when the body says so.
    """
    try:
        value = json_of(raw)
    except ValueError as error:
        # HTML is best recognised by eye
        start = ascii(raw[:80].decode("utf-8", "replace")) if raw else "the body is empty"
        raise BadAnswer(f"not JSON ({error}): {start}", status=status) from error
    if (complaint := complaint_in(value)) is not None:
        if complaint.throttled:
            raise Throttled(f"too many requests: {complaint.message}", status=status)
        raise BadAnswer(f"an error instead of pages: {complaint.message}", status=status)
    billed = _billed(value)
    try:
        answer = _mapping(value, "the answer")
        pages = _in_order(_list(answer.get("pages"), "pages"))
        _require_all(pages, document.page_count)
        sent = document.page_sizes_px
        read = tuple(
            _page(page, number, sent[number - 1] if number <= len(sent) else None)
            for number, page in enumerate(pages, start=1)
        )
        version = _text(answer.get("modelVersion") or "", "modelVersion")
    except _Odd as odd:
        raise BadAnswer(str(odd), status=status, failure=odd.failure, billed_pages=billed) from None
    return Answer(
        pages=read,
        model_version=version,
        billed_pages=len(read) if billed is None else billed,
        raw=raw,
        status=status,
    )


class _Odd(Exception):
    """This is not the format; says where."""

    def __init__(self, message: str, failure: FailureClass = FailureClass.BAD_ANSWER) -> None:
        super().__init__(message)
        self.failure = failure


def _require_all(pages: Sequence[object], counted: int | None) -> None:
    if not pages or counted not in {None, len(pages)}:
        of = "some" if counted is None else counted
        raise _Odd(f"{len(pages)} of {of} pages answered", FailureClass.INCOMPLETE)


def _in_order(pages: Sequence[object]) -> list[Mapping[str, object]]:
    """By their ids, which count from 0 without a gap (1 is taken too); without ids as they come."""
    mappings = [_mapping(page, f"page {i}") for i, page in enumerate(pages, start=1)]
    ids = [page.get("id") for page in mappings]
    if all(i is None for i in ids):
        return mappings
    numbers = [_number(i, "a page's id") for i in ids]
    first = min(numbers)
    if first not in {0, 1} or sorted(numbers) != [first + i for i in range(len(numbers))]:
        raise _Odd("the page ids leave a gap or repeat", FailureClass.INCOMPLETE)
    return [mappings[at] for at in sorted(range(len(numbers)), key=numbers.__getitem__)]


def _page(page: Mapping[str, object], number: int, sent: tuple[int, int] | None) -> Page:
    where = f"page {number}"
    seen = _size(page, where) or sent
    if seen is None:
        raise _Odd(f"{where} has no width and height")
    size = sent or seen
    scale = (size[0] / seen[0], size[1] / seen[1])
    if abs(math.log(scale[0] / scale[1])) > SAME_SHAPE and not _rounds_to(seen, size):
        # turned or cropped: polygons stretched onto the image would be wrong labels
        raise _Odd(f"{where} is {seen[0]}x{seen[1]} in the answer, {size[0]}x{size[1]} was sent")
    found = _list(page.get("words", []), f"words of {where}")
    words = (_word(word, f"{where}, word {i}", scale) for i, word in enumerate(found, start=1))
    return Page(
        number=number,
        width_px=size[0],
        height_px=size[1],
        words=tuple(word for word in words if word is not None),
        confidence=_confidence(page.get("confidence"), where),
    )


def _size(page: Mapping[str, object], where: str) -> tuple[int, int] | None:
    if page.get("width") is None or page.get("height") is None:
        return None
    width, height = (
        round(_number(page[side], f"{side} of {where}")) for side in ("width", "height")
    )
    if width < 1 or height < 1:
        raise _Odd(f"{where} is {width}x{height} px")
    return width, height


def _rounds_to(seen: tuple[int, int], size: tuple[int, int]) -> bool:
    """Thin pages: one px of rounding on the short side is more than SAME_SHAPE of it."""
    shrink = max(seen) / max(size)
    return all(abs(a - b * shrink) <= 1 for a, b in zip(seen, size, strict=True))


def _word(value: object, where: str, scale: tuple[float, float]) -> Word | None:
    word = _mapping(value, where)
    text = _text(word.get("text", ""), f"text of {where}")
    polygon = _polygon(word.get("boundingBox"), where, scale)
    confidence = _confidence(word.get("confidence"), where)
    if not learnable(text)[0] or polygon is None:
        return None
    return Word(text, polygon, confidence)


def _polygon(box: object, where: str, scale: tuple[float, float]) -> Polygon | None:
    """The four corners as they are; of another number of corners the upright box around them.

    Four that are one point or on one line are kept too: the text is the engine's, and report and
    exports tell that it has no place. None where there are no corners, or others without a box.
    """
    if box is None:
        return None
    vertices = _mapping(box, f"boundingBox of {where}").get("vertices")
    if vertices is None:
        return None
    points: list[Point] = []
    for vertex in _list(vertices, f"vertices of {where}"):
        corner = _mapping(vertex, f"a vertex of {where}")
        if corner.get("x") is None or corner.get("y") is None:
            continue  # half a point is none: guessing 0 would invent a place
        x, y = _number(corner["x"], f"x in {where}"), _number(corner["y"], f"y in {where}")
        points.append((x * scale[0], y * scale[1]))
    if len(points) == 4:
        return tuple(points)
    if not points:
        return None
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    if left == right or top == bottom:
        return None
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _confidence(value: object, where: str) -> float | None:
    if value is None:
        return None
    confidence = _number(value, f"confidence of {where}")
    if not -1e-6 <= confidence <= 1 + 1e-6:
        raise _Odd(f"confidence of {where} is {confidence:g}, not within 0 to 1")
    return min(1.0, max(0.0, confidence))


def _billed(value: object) -> int | None:
    """What the answer says it cost, None where it says nothing that can be believed."""
    billed = value.get("numBilledPages") if isinstance(value, Mapping) else None
    if isinstance(billed, bool) or not isinstance(billed, int):
        return None
    return billed if 0 <= billed <= MAX_BILLED_PAGES else None


def _number(value: object, where: str) -> float:
    # compared before float(): an integer of a hundred digits does not fit one
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_PX:
        raise _Odd(f"{where} is no number that could be right")
    return float(value)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _Odd(f"{where} is no text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair: no file format could hold it
        raise _Odd(f"{where} is broken Unicode") from None
    return value


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise _Odd(f"{where} is no JSON object")
    return value


def _list(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise _Odd(f"{where} is no JSON list")
    return value
