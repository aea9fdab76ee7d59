"""Hold our CLEval against the authors' package (cleval 0.1.1), page by page.

The package wants torch and OpenCV, so it lives in an environment of its own:

    uv venv cleval-env
    uv pip install --python cleval-env/bin/python cleval==0.1.1 opencv-python-headless
    python benchmarks/quality_published.py pages > pages.json
    cleval-env/bin/python benchmarks/quality_published.py values pages.json > values.json
    python benchmarks/quality_published.py compare pages.json values.json

`pages` writes generated pages (seeded); `pages labels.parquet truth.jsonl` writes real ones. The
first 60 generated pages and their values are tests/unit/quality/cleval_values.json.
"""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

SEED = 7
PAGES = 1_500


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what == "pages":
        pages = real(*map(Path, arguments)) if arguments else generated(SEED, PAGES)
        print(json.dumps(pages))
    elif what == "values":
        print(json.dumps([published(page) for page in json.loads(Path(arguments[0]).read_text())]))
    else:
        pages, values = (json.loads(Path(name).read_text()) for name in arguments)
        equal = sum(ours(page) == value for page, value in zip(pages, values, strict=True))
        print(f"{equal} of {len(pages)} pages equal in all 12 counts")


def generated(seed: int, count: int) -> list[dict[str, Any]]:
    """Pages with words split, merged, shifted, turned, misread, and do-not-care regions.

    Boxes that cross themselves are left out: the package gives them an area of their own kind.
    """
    import shapely

    chance = random.Random(seed)
    pages = [_generated_page(chance) for _ in range(count)]
    return [
        page
        for page in pages
        if all(
            shapely.Polygon([[int(x), int(y)] for x, y in box]).is_valid
            for _, box, *_ in page["truth"] + page["read"]
        )
    ]


def _generated_page(chance: random.Random) -> dict[str, Any]:
    truth, read = [], []
    for _ in range(chance.randint(1, 9)):
        x, y = chance.randint(0, 150), chance.randint(0, 80)
        w, h = chance.randint(1, 90), chance.randint(1, 40)
        turn = chance.choice([0, 0, 0, 0.1, -0.4, 1.2])
        cos, sin = math.cos(turn), math.sin(turn)
        box = [
            [round(x + dx * cos - dy * sin, 2), round(y + dx * sin + dy * cos, 2)]
            for dx, dy in ((0, 0), (w, 0), (w, h), (0, h))
        ]
        text = "".join(chance.choice("abcde") for _ in range(chance.randint(1, 9)))
        ignore = chance.random() < 0.2
        truth.append(["###" if ignore else text, box, ignore])
        for _ in range(chance.choice([0, 1, 1, 1, 2])):
            if chance.random() < 0.5:
                wide = w * chance.choice([1, 0.5, 1.5, 2.2])
                corners = ((x, y), (x + wide, y), (x + wide, y + h), (x, y + h))
                moved = [
                    [px + chance.randint(-4, 4), py + chance.randint(-4, 4)] for px, py in corners
                ]
            else:
                moved = [[px + chance.uniform(-3, 3), py + chance.uniform(-3, 3)] for px, py in box]
            misread = (c if chance.random() < 0.8 else chance.choice("abcde") for c in text)
            read.append(["".join(misread), moved])
    return {"truth": truth, "read": read}


def real(labels: Path, truth: Path) -> list[dict[str, Any]]:
    """Pages of a labels table with their truth, texts normalised as `evaluate` does."""
    from ocrlabel.dataset.labels_table import read_labels
    from ocrlabel.quality.pairing import PageStore, Unpaired, pair
    from ocrlabel.quality.text import Normalisation
    from ocrlabel.quality.truth import read_truth

    same = Normalisation()
    with PageStore(read_truth(truth)) as store:
        return [
            {
                "truth": [
                    ["###" if w.ignore else same(w.text), w.polygon, w.ignore] for w in page.words
                ],
                "read": [[same(word.text), word.polygon] for word in row.words],
            }
            for row, page in pair(read_labels(labels), store, Unpaired())
            if page.words or row.words
        ]


def published(page: dict[str, Any]) -> list[int]:
    """The package's counts for one page."""
    import numpy as np
    from cleval import CLEvalMetric  # type: ignore[import-not-found, unused-ignore]  # see above

    metric = CLEvalMetric()
    metric.update(
        *(
            np.array([np.ravel(box) for _, box, *_ in page[side]], dtype=np.float64).reshape(-1, 8)
            for side in ("read", "truth")
        ),
        [text for text, _ in page["read"]],
        [text for text, _, _ in page["truth"]],
        [ignore for _, _, ignore in page["truth"]],
    )
    counts = [
        getattr(metric, f"{kind}_{name}")
        for kind in ("det", "e2e")
        for name in (
            "num_char_gt",
            "num_char_det",
            "num_char_tp_recall",
            "gran_score_recall",
            "gran_score_precision",
        )
    ]
    return [int(value) for value in (*counts, metric.num_splitted, metric.num_merged)]


def ours(page: dict[str, Any]) -> list[int]:
    """Our counts for one page, in the same order."""
    from dataclasses import astuple

    from ocrlabel.quality.cleval import cleval

    found = cleval(
        [(text, tuple(map(tuple, box)), ignore) for text, box, ignore in page["truth"]],
        [(text, tuple(map(tuple, box))) for text, box in page["read"]],
    )
    return [
        *astuple(found.detection),
        *astuple(found.end_to_end),
        found.splits,
        found.merges,
    ]


if __name__ == "__main__":
    main()
