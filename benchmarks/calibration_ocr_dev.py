"""Is a named precision kept? Learn on half of the documents, judge on the other half.

    ocrlabel run IMAGES --engine rapidocr  --output rapidocr.parquet
    ocrlabel run IMAGES --engine tesseract --output tesseract.parquet
    python benchmarks/calibration_ocr_dev.py labels.jsonl rapidocr.parquet tesseract.parquet
    python benchmarks/calibration_ocr_dev.py --made

IMAGES and labels.jsonl are the development set's (docs/quality.md); it is not in this repository.
Prints Markdown: for twenty seeded splits how often `filter --precision` named a cut, how often what
it keeps is that right on the other half, what it keeps, and the expected calibration error there,
of confidence and of p_correct. Then the same without the gaps of FUNSD's truth: words that both
engines read alike at a place where the truth has none are not judged; they are listed by page.

--made: documents that are made, which differ as real ones do, more of them than there is truth for;
the judge is a world of 3,000 others. With the bound as it is, and without the document it adds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ocrlabel.dataset.labels_table import LabelRow, read_labels
from ocrlabel.labels import Word
from ocrlabel.quality import probability
from ocrlabel.quality.agreement import agree_page
from ocrlabel.quality.calibration import AT_LEAST, in_first_half, weights
from ocrlabel.quality.match import match
from ocrlabel.quality.pairing import PageStore, Unpaired, pair, partner
from ocrlabel.quality.probability import (
    Floats,
    Words,
    across,
    calibration_error,
    cuts_of,
    fitted,
    judged,
    laid_on,
)
from ocrlabel.quality.text import Normalisation
from ocrlabel.quality.truth import TruthPage, TruthWord, as_truth, read_truth

SPLITS = 20
PRECISIONS = (0.95, 0.9, 0.85)
SAME = Normalisation()


def main() -> None:
    if sys.argv[1:] == ["--made"]:
        print_made()
        return
    truth, *tables = (Path(name) for name in sys.argv[1:])
    gaps = gaps_of(tables[0], tables[1], truth)
    print(
        "| engine | truth | documents | precision | cut named | reached | clearly missed |", end=""
    )
    print(" words kept | ECE of confidence | 95 % | ECE of p_correct | 95 % |")
    print("|" + " --- |" * 12)
    for table in tables:
        for name, left_out in (("as it is", {}), ("without gaps", gaps)):
            words = read(table, truth, left_out)
            for precision in PRECISIONS:
                print_splits(f"{table.stem} | {name}", words, precision)
    print("\n| page | words of the truth | missing | such as |\n| --- | --- | --- | --- |")
    for page in read_truth(truth):
        if missing := gaps.get(str(page.name)):
            texts = ", ".join(word.text for word in missing[:3]).replace("|", "\\|")
            print(f"| {page.name} | {len(page.words)} | {len(missing)} | {texts} |")


def read(table: Path, truth: Path, left_out: Mapping[str, list[Word]]) -> Words:
    """left_out: words of a page that are not judged."""
    pages = (
        replace(page, words=(*page.words, *do_not_care(left_out.get(str(page.name), []))))
        for page in read_truth(truth)
    )
    with PageStore(pages) as store:
        return judged(pair(read_labels(table), store, Unpaired()), SAME)


def do_not_care(words: Iterable[Word]) -> list[TruthWord]:
    return [TruthWord("", word.polygon, ignore=True) for word in words]


def print_splits(name: str, words: Words, precision: float) -> None:
    named, reached, missed, kept_shares = 0, 0, 0, []
    errors: list[tuple[list[float], list[float]]] = []
    for seed in range(SPLITS):
        first = np.array([in_first_half(one, seed) for one in words.document.tolist()])
        learned, other = words.of(first), words.of(~first)
        scores = laid_on(other, fitted(learned))
        errors.append((spread(other, other.confidence, seed), spread(other, scores, seed)))
        cut = named_cut(learned, precision, seed)
        if cut is None:
            continue
        kept = scores >= cut
        named += 1
        reached += bool(other.right[kept].mean() >= precision) if kept.any() else 1
        # of what is wrong there at least so much, on the other half's own documents
        wrong = cuts_of(replace(other, right=~other.right), np.where(kept, 1.0, np.nan))
        missed += bool(wrong) and wrong[0].at_least > 1 - precision
        kept_shares.append(float(kept.mean()))
    share = f"{np.mean(kept_shares):.3f}" if kept_shares else "-"
    cells: list[object] = [
        name, len(np.unique(words.document)), precision, f"{named} of {SPLITS}",
        f"{reached} of {named}", missed, share,
    ]  # fmt: skip
    for side in (0, 1):
        means = np.array([one[side] for one in errors]).mean(axis=0)
        low, high = np.nanquantile(means[1:], [0.025, 0.975])
        cells += [f"{means[0]:.3f}", f"{low:.3f}-{high:.3f}"]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def named_cut(words: Words, precision: float, seed: int) -> float | None:
    """As `Calibration.cut`, which takes more documents than a half has for some of these."""
    cuts = cuts_of(words, across(words, seed))
    reached = (c.p_correct for c in cuts if c.at_least >= precision and c.kept >= AT_LEAST)
    return next(reached, None)


def spread(words: Words, scores: Floats, seed: int) -> list[float]:
    """The expected calibration error, then in each resample of the documents."""
    names, at = np.unique(words.document, return_inverse=True)
    drawn = np.stack([weights(name, seed) for name in names.tolist()])
    return [
        calibration_error(words.of(times := np.repeat(np.arange(len(at)), one[at])), scores[times])
        if one[at].any()
        else float("nan")
        for one in drawn.T
    ]


def gaps_of(first: Path, second: Path, truth: Path) -> dict[str, list[Word]]:
    """Of FUNSD's pages the words that both read alike at a place where the truth has none."""
    found: dict[str, list[Word]] = {}
    untold = Unpaired()
    with (
        PageStore(as_truth(row) for row in read_labels(second)) as others,
        PageStore(read_truth(truth)) as truths,
    ):
        for row in read_labels(first):
            other, true = partner(row, others, untold), partner(row, truths, untold)
            if other and true and "funsd" in true.fields.get("source", "").lower():
                found[str(true.name)] = without_truth(row, other, true)
    return found


def without_truth(row: LabelRow, other: TruthPage, true: TruthPage) -> list[Word]:
    polygons = [word.polygon for word in row.words]
    ignored = [word.ignore for word in true.words]
    found = match([word.polygon for word in true.words], ignored, polygons)
    alone = set(found.cared_read) - {read for _, read, _ in found.pairs}
    agreed = agree_page(row, other, SAME).words
    return [one.word for one in agreed if one.same and one.at in alone]


def print_made() -> None:
    print("| documents differ | precision | reviewed | bound | cut named | broken | words kept |")
    print("|" + " --- |" * 7)
    for differ, outliers in ((0.5, 0.0), (0.8, 0.05), (1.2, 0.1)):
        chance = np.random.default_rng(5)
        world = made(3_000, chance, differ, outliers)
        for reviewed in (20, 50, 150):
            learned = [made(reviewed, chance, differ, outliers) for _ in range(80)]
            for precision in (0.95, 0.9):
                for name, right in (("as it is", 0.5), ("without the added one", 1.0)):
                    probability._ADDED_RIGHT = right  # noqa: SLF001 -- this is what is compared
                    told = f"{differ}, {outliers:.0%} outliers | {precision} | {reviewed} | {name}"
                    print(f"| {told} | {judged_by(world, learned, precision)} |", flush=True)


def judged_by(world: Words, learned: Iterable[Words], precision: float) -> str:
    """How many cuts were named, how many of them keep less right than that, and what they keep."""
    named, broken, kept_shares = 0, 0, []
    for words in learned:
        if (cut := named_cut(words, precision, 0)) is None:
            continue
        kept = laid_on(world, fitted(words)) >= cut
        named += 1
        broken += bool(kept.any() and world.right[kept].mean() < precision)
        kept_shares.append(float(kept.mean()))
    share = f"{np.mean(kept_shares):.3f}" if kept_shares else "-"
    return f"{named} of 80 | {broken} | {share}"


def made(documents: int, chance: np.random.Generator, differ: float, outliers: float) -> Words:
    """20 to 199 words each; on the scale of log odds those of a document are better or worse."""
    found: list[tuple[str, float, bool]] = []
    for number in range(documents):
        effect = chance.normal(0, differ) - 3 * (chance.random() < outliers)
        odds = chance.normal(2.2, 1.6, chance.integers(20, 200))
        sure = (1 / (1 + np.exp(-1.8 * odds))).round(4)
        right = chance.random(len(odds)) < 1 / (1 + np.exp(-(odds + effect + 0.6)))
        found += zip([f"d{number}"] * len(odds), sure.tolist(), right.tolist(), strict=True)
    document, confidence, right_ones = (np.array(one) for one in zip(*found, strict=True))
    read_by = [np.full(len(document), one) for one in ("made", "1", "latin")]
    one_word = np.zeros(len(document), dtype=np.bool_)
    return Words(document, *read_by, confidence, right_ones, one_word)


if __name__ == "__main__":
    main()
