"""Tables made again from what is saved: after a loss, before the end, or by a better parser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ocrlabel.dataset.tables.checkpoint_table import Settled
from ocrlabel.engines.base import Document, Engine
from ocrlabel.errors import BadAnswer, ConfigError
from ocrlabel.labels import Labelled
from ocrlabel.pipeline.merging.publish import Change, publish
from ocrlabel.pipeline.merging.record import Finished
from ocrlabel.pipeline.tools import Tools
from ocrlabel.wording import counted


async def merge_again(tools: Tools, scratch: Path, change: Change | None = None) -> Finished:
    """Write both tables from the checkpoints. Raises ConfigError while batches are missing."""
    metas = await tools.checkpoints.survey()
    missing = [batch for batch in range(tools.plan.batches) if (batch, 0) not in metas]
    if missing:
        raise ConfigError(
            f"{len(missing):,} of {counted(tools.plan.batches, 'batch', 'batches')}"
            f" {'is' if len(missing) == 1 else 'are'} not finished yet\n"
            "  run the same `ocrlabel run` again to finish them,"
            " or add --partial for what there is so far"
        )
    return await publish(tools, scratch, change=change)


def reparsed(engine: Engine) -> tuple[Change, list[str]]:
    """A change that reads every raw answer again, and the ids of those that it could not read."""
    unreadable: list[str] = []

    def change(rows: Sequence[Settled]) -> list[Settled]:
        return [_again(engine, row, unreadable) for row in rows]

    return change, unreadable


def _again(engine: Engine, row: Settled, unreadable: list[str]) -> Settled:
    outcome = row.outcome
    if not isinstance(outcome, Labelled) or not outcome.raw:
        return row
    sizes = tuple((page.width_px, page.height_px) for page in outcome.pages)
    document = Document(b"", "", len(outcome.pages), sizes)
    try:
        answer = engine.parse(outcome.raw, document)
    except BadAnswer:
        unreadable.append(outcome.id)
        return row
    again = replace(outcome, pages=answer.pages, model_version=answer.model_version)
    return Settled(row.ref, again)
