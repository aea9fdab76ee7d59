"""`ocrlabel reparse`: make the labels again from the raw answers, without paying."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer


def reparse(
    source: Annotated[str, typer.Argument(help="The input of the run, as given to `run`.")],
    *,
    output: Annotated[
        str | None, typer.Option(help="The labels table of the run.", show_default=False)
    ] = None,
) -> None:
    """Make the labels again from the raw answers in the checkpoints; nothing is sent or paid.

    For example:

        ocrlabel reparse receipts/ --output labels.parquet
    """
    from ocrlabel.cli.merging import merge_place
    from ocrlabel.cli.settings import Settings, from_environment
    from ocrlabel.cli.wiring import parsing_engine, place_of
    from ocrlabel.pipeline.merging.remake import reparsed

    settings, keys = Settings.of(output=output), from_environment()
    place = place_of(source, settings, keys)
    change, unreadable = reparsed(parsing_engine(settings))
    result = asyncio.run(merge_place(source, place, settings, keys, change=change))
    print(f"labels table    {place.shown(result.labels_key)}")
    print(f"rows            {result.told['labelled']:,} labelled")
    if unreadable := list(dict.fromkeys(unreadable)):
        shown = ", ".join(unreadable[:5])
        print(f"left as it was  {len(unreadable):,} answers that could not be read: {shown}")
