"""YOLO-OBB (Ultralytics): images/SPLIT/, labels/SPLIT/NAME.txt and data.yaml, for detection.

One word a line: `class x1 y1 x2 y2 x3 y3 x4 y4`, corners as shares of width and height with 6
decimals; outside the image the loader would throw the whole image away.

YOLO knows no do-not-care: such words are left out, and what is in their place counts as background;
so are words of one class in one upright box, but for the first: the loader drops all but one of
them.
Source: docs.ultralytics.com/datasets/obb, verify_image_label in ultralytics/data/utils.py.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.export.export_pages import ExportWord, with_size
from ocrlabel.export.session import ExportSession, exporter

# also val2017, test-clean, test_seen
_VALIDATES = re.compile(r"(?:val|valid|validation|dev|eval|evaluation)(?![^\W\d_])", re.IGNORECASE)
_TESTS = re.compile(r"test(?:ing)?(?![^\W\d_])", re.IGNORECASE)
_NO_VALIDATION = (
    "no split for validation: data.yaml validates on the training data;"
    " --splits train=0.9,val=0.1 makes one"
)


@exporter(
    "yolo",
    training="Ultralytics: `yolo obb train data=data.yaml model=yolo11n-obb.pt`.",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write labels/SPLIT/*.txt, data.yaml and, with images, images/SPLIT/*.jpg."""
    classes = {"text": 0}
    splits: dict[str, None] = {}
    sized = with_size(rows, "YOLO's coordinates are shares of it", ", or use --format coco")
    for page, name in session.placed(sized, "images", "{split}"):
        read = [word for word in page.words if not word.ignored]
        # by class and upright box: of the words that the loader takes for one, the first
        first: dict[tuple[str, ...], tuple[ExportWord, str]] = {}
        for word in read:
            xs, ys = _shares(word, page.row)
            corners = " ".join([*chain(*zip(xs, ys, strict=True))])
            # numbers from 0 to 1, all with as many digits: as texts they sort as well
            upright = (min(xs), min(ys), max(xs), max(ys))
            first.setdefault((word.label, *upright), (word, corners))
        kept = [word for word, _ in first.values()]
        ignored = len(page.words) - len(read)
        session.counts.left_out += Counter(
            {"do_not_care": ignored, "same_box": len(read) - len(kept)}
        )
        session.made_rectangles(kept)
        lines = [
            f"{classes.setdefault(word.label, len(classes))} {corners}\n"
            for word, corners in first.values()
        ]
        path = session.folder.path("labels", page.split, f"{page.stem}.txt")
        path.write_text("".join(lines), encoding="utf-8", newline="\n")
        splits[page.split] = None
        session.listed(page, name, kept=kept)
    if not any(map(_VALIDATES.match, splits)):
        session.counts.warnings += (_NO_VALIDATION,)
    yaml = _data_yaml(tuple(splits), tuple(classes))
    session.folder.path("data.yaml").write_text(yaml, encoding="utf-8", newline="\n")


def _shares(word: ExportWord, row: LabelRow) -> tuple[list[str], list[str]]:
    """Each corner's x and y as a share of the page's width and height, as the line has them."""
    width, height = row.width_px, row.height_px
    xs = [f"{x / width:.6f}" for x, _ in word.corners]
    return xs, [f"{y / height:.6f}" for _, y in word.corners]


def _data_yaml(splits: tuple[str, ...], classes: tuple[str, ...]) -> str:
    """Ultralytics wants both train and val; splits of other names count as training data."""
    val = [split for split in splits if _VALIDATES.match(split)]
    test = [split for split in splits if _TESTS.match(split)]
    train = [split for split in splits if split not in {*val, *test}]
    lines = ["# made by ocrlabel export; paths are relative to this file"]
    if not val:
        lines.append(f"# {_NO_VALIDATION}")
    for key, names in (("train", train or splits), ("val", val or train or splits), ("test", test)):
        if names:
            # JSON is YAML: quoting is right for every name
            lines.append(f"{key}: {json.dumps([f'images/{n}' for n in names], ensure_ascii=False)}")
    lines.append("names:")
    lines += [f"  {i}: {json.dumps(name, ensure_ascii=False)}" for i, name in enumerate(classes)]
    return "\n".join(lines) + "\n"
