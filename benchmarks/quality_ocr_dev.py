"""The figures of docs/quality.md: two local engines on a development set with truth.

    ocrlabel run IMAGES --engine rapidocr  --output rapidocr.parquet
    ocrlabel run IMAGES --engine tesseract --output tesseract.parquet
    python benchmarks/quality_ocr_dev.py TRUTH.jsonl rapidocr.parquet tesseract.parquet

Prints Markdown. TRUTH.jsonl is the development set's labels.jsonl, IMAGES its folder of images;
neither is in this repository (docs/quality.md says what is in it).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ocrlabel.dataset.labels_table import LabelRow, read_labels
from ocrlabel.quality.agreement import PageAgreement, agree
from ocrlabel.quality.calibration import CurvePoint, Interval
from ocrlabel.quality.evaluate import LevelResult, evaluate
from ocrlabel.quality.pairing import PageStore, Unpaired, pair, partner
from ocrlabel.quality.signals import signals
from ocrlabel.quality.text import Normalisation, script
from ocrlabel.quality.truth import TruthPage, as_truth, read_truth

SAME = Normalisation()
INVENTED = {"han", "kana", "other"}


def main() -> None:
    truth, *tables = (Path(name) for name in sys.argv[1:])
    found = {table.stem: measured(table, truth) for table in tables}
    print_levels(found)
    print_groups(found)
    print_confidence(found)
    first, second = tables
    print_agreement(first, second)
    print_signals(first, second, truth)
    print_signals(second, first, truth)
    print_korean(first, second, truth)


def measured(table: Path, truth: Path) -> list[LevelResult]:
    unpaired = Unpaired()
    with PageStore(map(by_repository, read_truth(truth))) as store:
        pairs = pair(read_labels(table), store, unpaired)
        results = evaluate(pairs, normalise=SAME, by="source")
    for reason, count in unpaired.counts.items():
        print(f"{table.stem}: {count} {reason}", file=sys.stderr)
    return results


def by_repository(page: TruthPage) -> TruthPage:
    """The page with its source cut to where the set was taken from: owner/name."""
    source = page.fields.get("source", "").split(" ")[0]
    return replace(page, fields={**page.fields, "source": "/".join(source.split("/")[:2])})


def print_levels(found: dict[str, list[LevelResult]]) -> None:
    print(f"\nTexts are compared so: {SAME.describe()}.\n")
    heading(
        "engine", "truth", "pages", "words there", "read",
        "det. R", "det. P", "det. H", "e2e R", "e2e P", "CER", "1-NED",
        "CLEval det. R / P / H", "CLEval e2e R / P / H",
    )  # fmt: skip
    for name, results in found.items():
        for result in results:
            counts = result.counts
            det, e2e, chars = counts.detection, counts.end_to_end, counts.characters
            line(
                name, f"{result.level.value}s", counts.pages, counts.truth, counts.read,
                *map(share, (det.recall, det.precision, det.hmean, e2e.recall, e2e.precision)),
                *map(share, (counts.cer, counts.ned)),
                *(
                    " / ".join(map(share, (score.recall, score.precision, score.hmean)))
                    for score in (chars.detection.score, chars.end_to_end.score)
                ),
            )  # fmt: skip


def print_groups(found: dict[str, list[LevelResult]]) -> None:
    print("\nBy source:\n")
    heading("engine", "truth", "source", "pages", "det. H", "e2e R", "e2e P", "CER")
    for name, results in found.items():
        for result in results:
            for group, counts in result.groups.items():
                line(
                    name, f"{result.level.value}s", group, counts.pages,
                    share(counts.detection.hmean), share(counts.end_to_end.recall),
                    share(counts.end_to_end.precision), share(counts.cer),
                )  # fmt: skip


def print_confidence(found: dict[str, list[LevelResult]]) -> None:
    print("\nHow often a confidence is right (words):\n")
    heading("engine", "confidence", "words", "mean", "right", "95 %")
    for name, (words, *_) in found.items():
        for one in words.bins:
            line(
                name, f"{one.low:.2f}-{one.high:.2f}", one.words, f"{one.mean_score:.3f}",
                share(one.precision), span(one.interval),
            )  # fmt: skip
    print()
    for name, results in found.items():
        for result in results:
            threshold, error = result.threshold, result.calibration_error
            chosen = "no cut reaches 95 %" if threshold.chosen is None else told(threshold.chosen)
            other = (
                ""
                if threshold.measured is None
                else f"; on the other half: {told(threshold.measured)}"
            )
            print(
                f"- {name}, {result.level.value}s: calibration error {share(error)}; "
                f"cut chosen on {threshold.documents_chosen_on} documents: {chosen}{other} "
                f"({threshold.documents_measured_on} documents)"
            )


def print_agreement(first: Path, second: Path) -> None:
    with PageStore(as_truth(row) for row in read_labels(second)) as others:
        found = agree(pair(read_labels(first), others, Unpaired()), normalise=SAME)
    print(f"\nAgreement of {first.stem} (first) and {second.stem} (second):\n")
    heading("script", "first", "second", "same place", "same text", "agreement")
    for name, counts in {"all": found.total, **found.scripts}.items():
        line(
            name, counts.first, counts.second, counts.matched, counts.same, share(counts.agreement)
        )


def triples(
    first: Path, second: Path, truth: Path
) -> Iterator[tuple[LabelRow, TruthPage, TruthPage]]:
    untold = Unpaired()
    with (
        PageStore(as_truth(row) for row in read_labels(second)) as others,
        PageStore(read_truth(truth)) as truths,
    ):
        for row in read_labels(first):
            other, true = partner(row, others, untold), partner(row, truths, untold)
            if other is not None and true is not None:
                yield row, other, true


def print_signals(first: Path, second: Path, truth: Path) -> None:
    found = signals(triples(first, second, truth), normalise=SAME)
    if found is None:
        return
    print(
        f"\nWhich words of {first.stem} to keep: by its confidence, by agreement with "
        f"{second.stem}, by both ({found.words:,} words, {found.documents} documents):\n"
    )
    heading("keep by", "mean precision", "95 %", "gain over confidence", "95 % of the gain")
    for signal in found.signals:
        gain = found.gains.get(signal.name)
        line(
            signal.name, share(signal.area), span(signal.interval),
            f"{gain[0]:+.3f}" if gain else "", signed(gain[1]) if gain else "",
        )  # fmt: skip
    print()
    heading("keep by", "score from", "share kept", "words", "right", "95 %")
    for signal in found.signals:
        for point in signal.curve:
            line(
                signal.name, f"{point.threshold:.4f}", share(point.kept_share), point.kept,
                share(point.precision), span(point.interval),
            )  # fmt: skip


def print_korean(first: Path, second: Path, truth: Path) -> None:
    """Words in scripts that the Korean pages do not have: how sure, and how many agree."""
    korean = {
        (row.id, row.page)
        for row, _, true in triples(first, second, truth)
        if true.fields.get("lang") == "ko"
    }
    for one, other in ((first, second), (second, first)):
        kinds: dict[str, list[tuple[float, bool]]] = {}

        def note(
            row: LabelRow,
            page: PageAgreement,
            kinds: dict[str, list[tuple[float, bool]]] = kinds,
        ) -> None:
            if (row.id, row.page) not in korean:
                return
            for word in page.words:
                kind = script(word.word.text)
                name = "han, kana, other (invented)" if kind in INVENTED else kind
                kinds.setdefault(name, []).append((word.word.confidence or 0.0, word.same))

        with PageStore(as_truth(row) for row in read_labels(other)) as others:
            agree(pair(read_labels(one), others, Unpaired()), normalise=SAME, each=note)
        print(f"\nKorean pages ({len(korean)}), words of {one.stem}:\n")
        heading("script", "words", "mean confidence", "at 0.90 or more", f"{other.stem} agrees")
        for name, words in sorted(kinds.items()):
            sure = [confidence for confidence, _ in words]
            line(
                name, len(words), f"{sum(sure) / len(sure):.3f}",
                sum(value >= 0.9 for value in sure), sum(same for _, same in words),
            )  # fmt: skip


def heading(*names: str) -> None:
    line(*names)
    line(*("---" for _ in names))


def line(*cells: object) -> None:
    texts = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
    print("| " + " | ".join(texts) + " |")


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def span(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.low:.3f}-{interval.high:.3f}"


def signed(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.low:+.3f} to {interval.high:+.3f}"


def told(point: CurvePoint) -> str:
    return (
        f"from {point.threshold:.4f} keeps {point.kept_share:.1%}, {point.precision:.1%} right "
        f"({span(point.interval)})"
    )


if __name__ == "__main__":
    main()
