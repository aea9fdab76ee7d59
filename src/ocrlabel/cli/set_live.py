"""`ocrlabel set`: change rate or budget of a run while its workers are at it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ocrlabel.errors import ConfigError
from ocrlabel.wording import counted


def set_live(
    labels: Annotated[
        str, typer.Argument(help="The labels table that the run writes, or its s3:// address.")
    ],
    *,
    rps: Annotated[
        str | None, typer.Option(help="Requests/s of the whole fleet, or `auto`.")
    ] = None,
    max_cost: Annotated[
        str | None, typer.Option(help="The cap in US dollars, of the whole run, or `none`.")
    ] = None,
) -> None:
    """Change the rate or the budget of a live run; every worker takes it over within seconds.

    Of a run that was stopped it holds for whoever goes on with it.

    For example:

        ocrlabel set labels.parquet --rps 10

        ocrlabel set s3://bucket/labels/train.parquet --rps 10 --max-cost 20
    """
    from ocrlabel.cli.settings import Settings, from_environment
    from ocrlabel.cli.wiring import make_world, place_of_output
    from ocrlabel.pipeline.agree import existing_plan
    from ocrlabel.pipeline.merging.record import read_record
    from ocrlabel.pipeline.workers.attendance import working
    from ocrlabel.pipeline.workers.limits import change_limits

    changes: dict[str, float | None] = {}
    if rps is not None:
        changes["rps"] = Settings.of(rps=rps).rps
    if max_cost is not None:
        changes["max_cost_usd"] = Settings.of(max_cost=max_cost).max_cost
    if not changes:
        raise ConfigError("nothing to change: give --rps or --max-cost")
    settings, keys = Settings.of(), from_environment()
    place = place_of_output(labels, settings, keys)
    world = make_world(place.store, lambda _: None)

    async def change() -> int:
        """How many workers there are to take it over."""
        plan = await existing_plan(world, place.layout)
        if plan is None:
            raise ConfigError(f"there is no run at {place.shown(place.layout.plan_key)}")
        run = place.layout.of_run(plan.run_id)
        workers = await working(world, run)
        record = await read_record(world, place.layout, plan)
        if record is not None and record.complete and not workers:
            raise ConfigError(
                f"nothing is changed: the run behind {place.shown(place.layout.labels_key)}"
                " is finished\n"
                "  `ocrlabel run` with --retry-failed or --fresh takes --rps and --max-cost itself"
            )
        await change_limits(world, run, changes)
        return workers

    workers = asyncio.run(change())
    given = {"--rps": rps, "--max-cost": max_cost}
    changed = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    print(f"changed: {changed}; {_who_takes_it_over(workers)}")


def _who_takes_it_over(workers: int) -> str:
    if workers:
        seen = f"{counted(workers, 'worker')} at it"
        return f"{seen} {'takes' if workers == 1 else 'take'} it over within seconds"
    return "no worker is at it now: it holds for whoever goes on with the run"
