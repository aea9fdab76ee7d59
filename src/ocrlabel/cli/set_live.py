"""`ocrlabel set`: change rate or budget of a run while its workers are at it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ocrlabel.errors import ConfigError


def set_live(
    labels: Annotated[
        str, typer.Argument(help="The labels table that the run writes, or its s3:// address.")
    ],
    *,
    rps: Annotated[
        str | None, typer.Option(help="Requests/s of the whole fleet, or `auto`.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="The cap in US dollars, of the whole run.")
    ] = None,
) -> None:
    """Change the rate or the budget of a live run; every worker takes it over within seconds.

    For example:

        ocrlabel set labels.parquet --rps 10

        ocrlabel set s3://bucket/labels/train.parquet --rps 10 --max-cost 20
    """
    from ocrlabel.cli.settings import Settings, from_environment
    from ocrlabel.cli.wiring import make_world, place_of_output
    from ocrlabel.pipeline.agree import existing_plan
    from ocrlabel.pipeline.pulse import change_settings

    changes: dict[str, float | None] = {}
    if rps is not None:
        changes["rps"] = Settings.of(rps=rps).rps
    if max_cost is not None:
        changes["max_cost_usd"] = max_cost
    if not changes:
        raise ConfigError("nothing to change: give --rps or --max-cost")
    settings, keys = Settings.of(), from_environment()
    place = place_of_output(labels, settings, keys)
    world = make_world(place.store, lambda _: None)

    async def change() -> None:
        plan = await existing_plan(world, place.layout)
        if plan is None:
            raise ConfigError(f"there is no run at {place.shown(place.layout.plan_key)}")
        await change_settings(world, place.layout.of_run(plan.run_id), changes)

    asyncio.run(change())
    print(f"changed: {', '.join(f'{name} {value}' for name, value in changes.items())}")
