"""`ocrlabel evaluate`: how right labels are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.quality_wiring import (
    Case,
    NoPunctuation,
    Spaces,
    UnicodeForm,
    UnicodeName,
    curve_table,
    need_file,
    need_quality,
    normalisation,
    nothing_paired,
    plain_table,
    span,
    unpaired_lines,
)
from ocrlabel.errors import ConfigError
from ocrlabel.wording import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ocrlabel.quality.counts import Counts
    from ocrlabel.quality.evaluate import LevelResult

_MOST_GROUPS = 40


def evaluate(
    labels: Annotated[Path, typer.Argument(help="The labels table (parquet).")],
    truth: Annotated[
        Path,
        typer.Option(
            help="A labels table, JSON Lines, or a folder of FUNSD .json or ICDAR gt_*.txt."
        ),
    ],
    *,
    by: Annotated[
        str, typer.Option(help="Figures by group too: a column of the table or of the truth.")
    ] = "",
    level: Annotated[
        str, typer.Option(help="What the truth's boxes hold, where it does not say: word or line.")
    ] = "",
    precision: Annotated[
        float, typer.Option(help="The share of right labels that a cut has to reach.", max=1)
    ] = 0.95,
    unicode_form: UnicodeForm = UnicodeName.NFC,
    case: Case = False,
    spaces: Spaces = False,
    no_punctuation: NoPunctuation = False,
    seed: Annotated[int, typer.Option(help="Of the halves and the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="All figures as JSON.")] = False,
) -> None:
    """Measure labels against truth.

    Detection at IoU 0.5 (ICDAR 2015 protocol, do-not-care regions), word accuracy end to end, CER
    and 1-NED of matched words, CLEval, and what confidences are worth: how often they are right,
    and the cut that reaches the wanted precision, chosen on half of the documents and measured on
    the other half. Word-level and line-level truth get tables of their own.

    For example:

        ocrlabel evaluate labels.parquet --truth truth.parquet

        ocrlabel evaluate labels.parquet --truth truth.jsonl --by lang

        ocrlabel evaluate labels.parquet --truth icdar/gt/ --precision 0.98 --json
    """
    need_quality()
    need_file(labels)
    from ocrlabel.dataset.tables.table import read_labels
    from ocrlabel.quality.evaluate import evaluate as evaluate_pairs
    from ocrlabel.quality.figures import level_figures
    from ocrlabel.quality.pages import Level
    from ocrlabel.quality.pairing import Unpaired, pair
    from ocrlabel.quality.store import PageStore
    from ocrlabel.quality.truth import read_truth

    if level not in {"", *Level}:
        raise ConfigError(f"--level {level!r}: give word or line")
    rules = normalisation(unicode_form, case=case, spaces=spaces, punctuation=not no_punctuation)
    unpaired = Unpaired()
    pages = read_truth(truth, level=Level(level) if level else None)
    with PageStore(pages, str(truth)) as store:
        results = evaluate_pairs(
            pair(read_labels(labels), store, unpaired),
            normalise=rules,
            by=by or None,
            wanted=precision,
            seed=seed,
        )
    if not results:
        what = f"no page of {labels} has truth in {truth}"
        raise ConfigError(nothing_paired(what, unpaired, labels, truth))
    if by and not any(any(result.groups) for result in results):
        raise ConfigError(f"--by {by}: neither {labels} nor {truth} has a column of that name")
    if as_json:
        told = {
            "normalisation": rules.describe(),
            "unpaired": unpaired.to_json(),
            "levels": [level_figures(result) for result in results],
        }
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        _show(results, rules.describe(), unpaired_lines(unpaired))


def _show(results: list[LevelResult], rules: str, unpaired: list[str]) -> None:
    from rich.console import Console

    console = Console()
    console.print(f"Texts are compared so: {rules}.")
    for line in unpaired:
        console.print(line, markup=False)
    for result in results:
        _show_level(console, result)


def _show_level(console: Console, result: LevelResult) -> None:
    noun = result.level.value
    counts = result.counts
    console.print()
    console.print(
        f"{noun}s: {counted(counts.pages, 'page')}, {counts.truth:,} in the truth,"
        f" {counts.read:,} read"
    )
    table = plain_table(
        f"Against {noun}-level truth", "", "recall", "precision", "h-mean", "CER", "1-NED"
    )
    for name, row in _rows(counts):
        table.add_row(name, *row)
    console.print(table)
    if result.groups:
        console.print(_groups(result))
    if result.bins:
        _show_confidence(console, result)


def _rows(counts: Counts) -> list[tuple[str, list[str]]]:
    scores = [("detection", counts.detection)]
    if counts.truth_with_text:
        scores.append(("end to end", counts.end_to_end))
        scores.append(("CLEval detection", counts.characters.detection.score))
        scores.append(("CLEval end to end", counts.characters.end_to_end.score))
    return [
        (
            name,
            [
                *(f"{share:.3f}" for share in (score.recall, score.precision, score.hmean)),
                *((_share(counts.cer), _share(counts.ned)) if name == "end to end" else ()),
            ],
        )
        for name, score in scores
    ]


def _groups(result: LevelResult) -> Table:
    table = plain_table(
        "By group", "group", "pages", "truth", "det. h", "e2e recall", "e2e precision", "CER"
    )
    for name, counts in list(result.groups.items())[:_MOST_GROUPS]:
        table.add_row(
            name or "(none)",
            f"{counts.pages:,}",
            f"{counts.truth:,}",
            f"{counts.detection.hmean:.3f}",
            f"{counts.end_to_end.recall:.3f}",
            f"{counts.end_to_end.precision:.3f}",
            _share(counts.cer),
        )
    if len(result.groups) > _MOST_GROUPS:
        table.caption = f"{len(result.groups) - _MOST_GROUPS} more groups: --json has them"
    return table


def _show_confidence(console: Console, result: LevelResult) -> None:
    table = plain_table("How right a confidence is", "confidence", "words", "mean", "right", "95 %")
    for one in result.bins:
        table.add_row(
            f"{one.low:.2f}-{one.high:.2f}",
            f"{one.words:,}",
            f"{one.mean_score:.3f}",
            f"{one.precision:.1%}",
            span(one.interval),
        )
    console.print(table)
    console.print(curve_table("Keep the most confident", result.curve))
    console.print(_cut_sentence(result))


def _cut_sentence(result: LevelResult) -> str:
    from ocrlabel.quality.cut import AT_LEAST

    cut = result.cut
    if not cut.documents_chosen_on:
        return (
            "No cut is chosen: documents go into halves by chance, and the half to choose on has"
            " none. Give more documents, or another --seed."
        )
    chosen_on = counted(cut.documents_chosen_on, "document")
    if cut.chosen is None:
        return (
            f"No confidence reaches {cut.wanted:.0%} right on the half that it is chosen on "
            f"({chosen_on}, and a cut has to keep {AT_LEAST} words)."
        )
    chosen = f"--min-confidence {cut.chosen.cut:.4f} reaches {cut.wanted:.0%} on {chosen_on}"
    if cut.measured is None or not cut.measured.kept:
        return f"{chosen}; the other half has no words to measure it on."
    measured = cut.measured
    return (
        f"{chosen}; on the other {cut.documents_measured_on} it keeps {measured.kept_share:.0%} "
        f"of the words, {measured.precision:.1%} of them right (95 %: {span(measured.interval)})."
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
