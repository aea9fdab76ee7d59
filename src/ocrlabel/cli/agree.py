"""`ocrlabel agree`: where two labels tables say the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
    from rich.table import Table

    from ocrlabel.dataset.tables.rows import LabelRow
    from ocrlabel.quality.agreement import Agreement, PageAgreement, Tally
    from ocrlabel.quality.pages import TruthPage
    from ocrlabel.quality.signals import Signals
    from ocrlabel.quality.store import PageStore


def agree(
    labels: Annotated[Path, typer.Argument(help="The labels table whose words are judged.")],
    other: Annotated[Path, typer.Argument(help="A table of another engine on the same images.")],
    *,
    by: Annotated[str, typer.Option(help="By group too: a column of the table.")] = "",
    truth: Annotated[
        Path | None,
        typer.Option(help="Word-level truth: shows which sign is worth more, and how much."),
    ] = None,
    pages: Annotated[
        Path | None,
        typer.Option(help="Write each page's agreement and each word's partner (JSON Lines)."),
    ] = None,
    unicode_form: UnicodeForm = UnicodeName.NFC,
    case: Case = False,
    spaces: Spaces = False,
    no_punctuation: NoPunctuation = False,
    seed: Annotated[int, typer.Option(help="Of the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="All figures as JSON.")] = False,
) -> None:
    """Compare two tables of the same images, word by word.

    Two engines rarely invent the same word: what both say is right more often than what one is
    sure of. Agreement is told by script and by group; with --truth, precision against the share
    kept is shown for confidence, for agreement and for both together.

    For example:

        ocrlabel agree upstage.parquet rapidocr.parquet

        ocrlabel agree upstage.parquet rapidocr.parquet --truth truth.jsonl

        ocrlabel agree upstage.parquet rapidocr.parquet --pages agreement.jsonl
    """
    need_quality()
    need_file(labels)
    need_file(other)
    from ocrlabel.dataset.tables.table import read_labels
    from ocrlabel.quality.agreement import agree as agree_pairs
    from ocrlabel.quality.figures import agreement_figures, signal_figures
    from ocrlabel.quality.pages import as_truth
    from ocrlabel.quality.pairing import Unpaired, pair
    from ocrlabel.quality.signals import signals
    from ocrlabel.quality.store import PageStore
    from ocrlabel.quality.truth import read_truth

    rules = normalisation(unicode_form, case=case, spaces=spaces, punctuation=not no_punctuation)
    unpaired = Unpaired()
    found: Signals | None = None
    with ExitStack() as stores:
        second = (as_truth(row) for row in read_labels(other))
        others = stores.enter_context(PageStore(second, str(other)))
        agreement = agree_pairs(
            pair(read_labels(labels), others, unpaired),
            normalise=rules,
            by=by or None,
            each=stores.enter_context(_writing(pages)) if pages is not None else None,
        )
        if truth is not None:
            others.give_back()
            truths = stores.enter_context(PageStore(read_truth(truth), str(truth)))
            found = signals(_triples(labels, others, truths), normalise=rules, seed=seed)
    if not agreement.total.pages:
        raise ConfigError(
            nothing_paired(f"{labels} and {other} have no page in common", unpaired, labels, other)
        )
    if truth is not None and found is None:
        raise ConfigError(
            f"no word of {labels} can be judged by {truth}: it takes pages that both tables and the"
            " truth have, and truth of words with their texts, not of lines\n"
            f"  see what pairs: ocrlabel evaluate {labels} --truth {truth}"
        )
    if as_json:
        told = {
            "normalisation": rules.describe(),
            "unpaired": unpaired.to_json(),
            **agreement_figures(agreement),
            "against_truth": found and signal_figures(found),
        }
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        _show(agreement, found, rules.describe(), unpaired_lines(unpaired))


def _triples(
    labels: Path, others: PageStore, truths: PageStore
) -> Iterator[tuple[LabelRow, TruthPage, TruthPage]]:
    """Rows that both the other table and the truth have; those without were told already."""
    from ocrlabel.dataset.tables.table import read_labels
    from ocrlabel.quality.pairing import Unpaired, partner

    untold = Unpaired()
    for row in read_labels(labels):
        second, true = partner(row, others, untold), partner(row, truths, untold)
        if second is not None and true is not None:
            yield row, second, true


@contextmanager
def _writing(path: Path) -> Iterator[Callable[[LabelRow, PageAgreement], None]]:
    """A function that writes pages as JSON Lines; the file appears when all went well."""
    from ocrlabel.dataset.tables.atomic import whole_file
    from ocrlabel.quality.agreement import page_line

    with whole_file(path) as file:

        def write(row: LabelRow, page: PageAgreement) -> None:
            line = json.dumps(page_line(row, page), ensure_ascii=False)
            file.write(line.encode("utf-8", "replace") + b"\n")

        yield write


def _show(agreement: Agreement, found: Signals | None, rules: str, unpaired: list[str]) -> None:
    from rich.console import Console

    console = Console()
    console.print(f"Texts are compared so: {rules}.")
    for line in unpaired:
        console.print(line, markup=False)
    console.print()
    console.print(_tallies("By script", {"all": agreement.total, **agreement.scripts}))
    if agreement.groups:
        console.print(_tallies("By group", agreement.groups))
    if found is None:
        return
    console.print(
        f"\nAgainst truth: {counted(found.words, 'word')} of the first table,"
        f" {counted(found.documents, 'document')}."
    )
    for signal in found.signals:
        title = f"Keep by {signal.name}: mean precision {signal.area:.3f} ({span(signal.interval)})"
        console.print(curve_table(title, signal.curve))
    for name, (gain, spread) in found.gains.items():
        told = (
            f"{counted(found.documents, 'document')} cannot tell how far that is chance"
            if spread is None
            else f"95 %: {spread.low:+.3f} to {spread.high:+.3f}"
        )
        console.print(f"{name} against confidence: {gain:+.3f} mean precision ({told})")


def _tallies(title: str, tallies: dict[str, Tally]) -> Table:
    table = plain_table(
        title, "", "pages", "first", "second", "same place", "same text", "agreement"
    )
    for name, tally in tallies.items():
        table.add_row(
            name or "(none)",
            f"{tally.pages:,}",
            f"{tally.first:,}",
            f"{tally.second:,}",
            f"{tally.matched:,}",
            f"{tally.same:,}",
            f"{tally.agreement:.3f}",
        )
    return table
