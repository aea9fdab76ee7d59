"""Tables from what is saved, for `merge` and `reparse`: a run's tools without its engine's work."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ocrlabel.cli.labelling import open_source
from ocrlabel.cli.settings import Keys, Settings
from ocrlabel.cli.wiring import Place, make_world
from ocrlabel.engines.base import Engine
from ocrlabel.engines.saved import SavedEngine
from ocrlabel.errors import ConfigError
from ocrlabel.pipeline.agree import existing_plan
from ocrlabel.pipeline.merging.publish import Change
from ocrlabel.pipeline.merging.remake import merge_again
from ocrlabel.pipeline.merging.so_far import write_partial
from ocrlabel.pipeline.run import Result
from ocrlabel.pipeline.stop import Stop
from ocrlabel.pipeline.tools import tools_for
from ocrlabel.wording import counted


async def merge_place(
    source: str,
    place: Place,
    settings: Settings,
    keys: Keys,
    *,
    partial: bool = False,
    change: Change | None = None,
    engine: Engine | None = None,
) -> Result:
    """Write the tables of a place again, whole or partial."""
    world = make_world(place.store, lambda _: None)
    plan = await existing_plan(world, place.layout)
    if plan is None:
        raise ConfigError(f"there is no run at {place.shown(place.layout.plan_key)}")
    dataset = await open_source(source, settings, keys)
    try:
        if dataset.fingerprint != plan.fingerprint:
            raise ConfigError(
                f"{dataset.describe()} is not what this run was begun with: {plan.source},"
                f" {counted(plan.rows, 'row')} then, {counted(dataset.rows, 'row')} here\n"
                "  bring the input back as it was, or name that one"
            )
        price_usd = settings.price_per_page if plan.engine == "upstage" else 0.0
        tools = tools_for(
            world,
            place.layout,
            plan,
            dataset,
            engine or SavedEngine(plan.engine, plan.options, price_usd),
            options=settings.run_options(),
            stop=Stop(world.clock),
        )
        with tempfile.TemporaryDirectory(prefix="ocrlabel-") as scratch:
            if partial:
                return await write_partial(tools, Path(scratch))
            finished = await merge_again(tools, Path(scratch), change)
    finally:
        dataset.close()
    return Result(finished.told, place.layout.labels_key, place.layout.failures_key)
