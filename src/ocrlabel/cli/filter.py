"""`ocrlabel filter`: keep the labels that can be trusted, queue the others for review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ocrlabel.cli.quality_wiring import (
    Case,
    NoPunctuation,
    Spaces,
    UnicodeForm,
    UnicodeName,
    need_file,
    need_quality,
    normalisation,
    unpaired_lines,
)
from ocrlabel.errors import ConfigError


def filter_(
    labels: Annotated[Path, typer.Argument(help="The labels table (parquet).")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The table to write. Default: LABELS_filtered.parquet"),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(help="Doubt words below it, and those without any.", min=0, max=1),
    ] = None,
    agreed_with: Annotated[
        Path | None,
        typer.Option(help="Doubt words that this table does not say at the same place."),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(help='Write pages with doubtful words (class "uncertain"), worst first.'),
    ] = None,
    drop: Annotated[
        bool,
        typer.Option("--drop/--mark", help="Remove doubtful words, or mark them as do-not-care."),
    ] = False,
    unicode_form: UnicodeForm = UnicodeName.NFC,
    case: Case = False,
    spaces: Spaces = False,
    no_punctuation: NoPunctuation = False,
    as_json: Annotated[bool, typer.Option("--json", help="The counts as JSON.")] = False,
) -> None:
    """Write a table in which only words that can be trusted are labels.

    Doubtful words are marked as do-not-care (class "ignore"): the ink is still in the image, and
    a detector trained on words without labels learns that text is background. --drop removes them
    instead, which suits recognition sets. Both conditions together: a word has to meet both.

    For example:

        ocrlabel filter labels.parquet --min-confidence 0.9

        ocrlabel filter upstage.parquet --agreed-with rapidocr.parquet

        ocrlabel filter labels.parquet --min-confidence 0.95 --drop -o sure.parquet
    """
    need_quality()
    need_file(labels)
    if min_confidence is None and agreed_with is None:
        raise ConfigError("nothing to filter by: give --min-confidence, --agreed-with, or both")
    if agreed_with is not None:
        need_file(agreed_with)
    from ocrlabel.quality.filter_table import filter_table
    from ocrlabel.quality.filtering import Rule

    target = output or labels.with_name(f"{labels.stem}_filtered.parquet")
    inputs = {path.resolve() for path in (labels, agreed_with) if path is not None}
    written = [path.resolve() for path in (target, review) if path is not None]
    if inputs & set(written) or len(set(written)) < len(written):
        raise ConfigError("the tables that are read and written must be different files")
    done = filter_table(
        labels,
        target,
        Rule(min_confidence, agreed=agreed_with is not None),
        normalise=normalisation(
            unicode_form, case=case, spaces=spaces, punctuation=not no_punctuation
        ),
        other=agreed_with,
        review=review,
        drop=drop,
    )
    if as_json:
        typer.echo(json.dumps({"output": str(target), **done.to_json()}, indent=2))
        return
    share = done.doubtful / done.words if done.words else 0.0
    what = "removed" if drop else "marked as do-not-care"
    typer.echo(
        f"{target}: {done.pages:,} pages; {done.doubtful:,} of {done.words:,} words "
        f"({share:.1%}) {what}"
    )
    for line in unpaired_lines(done.unpaired):
        typer.echo(f"  {line}: all of its words are doubtful")
    if review is not None:
        typer.echo(f"{review}: {done.pages_to_review:,} pages to look at, the most doubtful first")
