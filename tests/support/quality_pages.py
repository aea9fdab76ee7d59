"""Pages, words and boxes for the tests of quality, as short as they can be said."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.labels import Polygon, Word
from ocrlabel.quality.truth import Level, PageName, TruthPage, TruthWord


def box(x: float, y: float, w: float = 10, h: float = 10) -> Polygon:
    return ((x, y), (x + w, y), (x + w, y + h), (x, y + h))


def word(text: str, x: float = 0, y: float = 0, w: float = 10, conf: float | None = 0.9) -> Word:
    return Word(text, box(x, y, w), conf)


def row(
    words: Sequence[Word] = (),
    *,
    key: str = "a",
    path: str = "",
    page: int = 1,
    sha256: str = "",
    size: tuple[int, int] = (0, 0),
    classes: tuple[str, ...] | None = None,
    input_row: str = "{}",
) -> LabelRow:
    return LabelRow(
        id=key,
        image_path=path,
        image_filename=path.rsplit("/", 1)[-1],
        width_px=size[0],
        height_px=size[1],
        words=tuple(words),
        classes=("text",) * len(words) if classes is None else classes,
        page=page,
        image_sha256=sha256,
        input_row=input_row,
    )


def truth(
    words: Sequence[TruthWord] = (),
    *,
    key: str = "a",
    path: str = "",
    page: int = 1,
    sha256: str = "",
    size: tuple[int, int] = (0, 0),
    level: Level = Level.WORD,
) -> TruthPage:
    return TruthPage(PageName(key, path, sha256, page), *size, level, tuple(words))


def true(
    text: str, x: float = 0, y: float = 0, w: float = 10, *, ignore: bool = False
) -> TruthWord:
    return TruthWord(text, box(x, y, w), ignore)


def as_truth_words(words: Sequence[Word]) -> list[TruthWord]:
    return [TruthWord(w.text, w.polygon) for w in words]


# no deadline: a busy machine is no fault of the code
some = settings(max_examples=60)
a_few = settings(max_examples=25)

texts = st.text("abcDE가나12.", min_size=1, max_size=8)


@st.composite
def apart(draw: st.DrawFn, least: int = 1) -> list[Word]:
    """Words that do not touch each other, some of them slanted."""
    places = draw(
        st.lists(
            st.tuples(st.integers(0, 9), st.integers(0, 9)),
            min_size=least,
            max_size=12,
            unique=True,
        )
    )
    found = []
    for column, line in places:
        x, y = column * 100, line * 40
        slant = draw(st.sampled_from((0, 0, 3)))
        w = draw(st.integers(10, 80))
        corners = ((x, y), (x + w, y + slant), (x + w, y + 20 + slant), (x, y + 20))
        found.append(Word(draw(texts), corners, draw(st.floats(0, 1))))
    return found


coordinates = st.integers(0, 60).map(float)
polygons = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=6).map(tuple)
