"""`ocrlabel merge`: make tables from what is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.cli.exit_codes import run_async
from ocrlabel.cli.settings import from_environment, option, taking
from ocrlabel.options import WHAT, Front, Options

if TYPE_CHECKING:
    from ocrlabel.pipeline.merge.merge import Change

_Source = Annotated[str, typer.Argument(help="The input of the run, as given to `run`.")]


@taking(Front.RUN)
def merge(
    source: _Source,
    *,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Write what there is so far, marked incomplete.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    **given: Any,
) -> None:
    """Make the tables again from the checkpoints, without asking an engine for anything.

    It takes the options of `run`, so that the same words after `merge` name the same run.

    For example:

        ocrlabel merge images/ --output labels.parquet

        ocrlabel merge images/ --output labels.parquet --partial
    """
    from ocrlabel.cli.wiring import merge_place, place_of

    keys = from_environment()
    options = Options.of(keys.variables, **given)
    place = place_of(source, options, keys)
    result = run_async(merge_place(source, place, options, keys, partial=partial))
    print(f"labels table    {place.shown(result.labels_key)}")
    print(f"failures table  {place.shown(result.failures_key)}")
    record = result.record
    left = f", {record.not_reached:,} not reached" if record.not_reached else ""
    print(f"rows            {record.labelled:,} labelled, {record.failed:,} failed{left}")


def reparse(
    source: _Source,
    *,
    output: Annotated[str | None, option("output")] = None,
    image_column: Annotated[str | None, option("image_column")] = None,
    id_column: Annotated[str | None, option("id_column")] = None,
    engine_option: Annotated[list[str] | None, option("engine_option")] = None,
) -> None:
    """Make the labels again from the raw answers in the checkpoints; nothing is sent or paid.

    For example:

        ocrlabel reparse receipts/ --output labels.parquet
    """
    from ocrlabel.cli.wiring import merge_place, place_of
    from ocrlabel.engines.plugins import parser_of
    from ocrlabel.pipeline.merge.merge import reparsed

    keys = from_environment()
    options = Options.of(
        keys.variables,
        output=output,
        image_column=image_column,
        id_column=id_column,
        engine_option=engine_option or None,
    )
    place = place_of(source, options, keys)
    unreadable: list[str] = []

    def change(engine: str) -> Change:
        return reparsed(parser_of(engine, options.engine_options), unreadable)

    result = run_async(merge_place(source, place, options, keys, change=change))
    print(f"labels table    {place.shown(result.labels_key)}")
    print(f"rows            {result.record.labelled:,} labelled")
    if left := list(dict.fromkeys(unreadable)):
        shown = ", ".join(left[:5])
        print(f"left as it was  {len(left):,} answers that could not be read: {shown}")
