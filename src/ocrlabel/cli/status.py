"""`ocrlabel status`: how a run stands, while it runs and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.cli.exit_codes import run_async
from ocrlabel.cli.settings import Json, from_environment, option
from ocrlabel.errors import ConfigError
from ocrlabel.options import Options
from ocrlabel.wording import counted, duration, usd

if TYPE_CHECKING:
    from ocrlabel.pipeline.budget.account import Account
    from ocrlabel.pipeline.status import Status, WorkerStatus

_Run = Annotated[
    str | Path, typer.Argument(help="The labels table that the run writes, or its s3:// address.")
]
_LISTED = 20
_NAMED = 5
_DAY_S = 86400.0
_ORDER = ("working", "quiet", "lost", "ended")


def status(
    labels: _Run = "labels.parquet",
    *,
    watch_s: Annotated[
        float, typer.Option(min=0, help="How long to look for the present rate.")
    ] = 2.0,
) -> Status:
    """Done, failed, left, rate, time left, spent, and what interruptions cost; also per worker.

    Works while it runs and after, from any machine. Who is at work is told by heartbeats: where
    clocks differ, or a worker was lost lately, it takes 10 s to be sure.

    For example:

        ocrlabel status labels.parquet

        ocrlabel status s3://bucket/data/processed/train_pseudo_labels.parquet
    """
    from ocrlabel.cli.wiring import make_runtime, place_of_output, rescue_folders
    from ocrlabel.pipeline.status import read_status

    keys = from_environment()
    options = Options.of(keys.variables)
    place = place_of_output(str(labels), options, keys)
    runtime = make_runtime(place.store, lambda _: None, rescue_folders(place, keys))
    return run_async(read_status(runtime, place.layout, watch_s=watch_s))


def tell_status(found: Status, *, as_json: Json = False) -> None:
    """The status as a short table, or as JSON."""
    price_usd = Options.of(from_environment().variables).price_per_page
    if as_json:
        print(json.dumps(told(found, price_usd), ensure_ascii=False, indent=1))
        return
    for name, value in lines(found, price_usd):
        print(f"{name:<14}{value}")


def lines(found: Status, price_per_page_usd: float) -> list[tuple[str, str]]:
    """The status as a short table."""
    tally, account = found.tally, found.account
    price_usd = _price_usd(found, price_per_page_usd)
    known = [rate for one in _standing(found, "working") if (rate := one.said.rate_per_s)]
    allowed = f" of {sum(known):.2f} allowed" if known else ""
    to_cap = ", until the cap is reached" if found.cap_comes_first else ""
    at_risk = sum(account.at_risk_pages.values())
    perhaps = f", {at_risk:,} more perhaps" if at_risk else ""
    spent = (
        f"{usd(account.spent_pages * price_usd)} ({counted(account.billed_pages, 'page')} billed"
    )
    is_paid = price_usd and account.requests and (account.billed_pages or account.at_risk_pages)
    rate, left_s, cap_usd = found.images_per_s, found.left_s, found.limits.max_cost_usd
    once = {
        "run": f"{found.plan.run_id}, engine {found.plan.engine}, {found.plan.source}",
        "state": _state(found),
        "done": f"{tally.labelled + tally.failed:,} of {tally.rows:,}",
        "failed": f"{tally.failed:,}{_listed(tally.failures)}",
        "left": f"{tally.not_reached:,}",
        "retry": found.retry,
        "rate": "" if rate is None else f"{rate:.2f} images/s{allowed}",
        "time left": "" if left_s is None else f"{duration(left_s)}{to_cap}",
        "time": f"{duration(found.active_s)} of work" if found.active_s else "",
        "spent": f"{spent}{perhaps})" if is_paid else "",
        "requests": _listed(account.requests).strip(" ()"),
        "cap": f"{usd(cap_usd)}, for the whole run" if price_usd and cap_usd is not None else "",
    }
    rows = [(name, value) for name, value in once.items() if value]
    troubled = [one for one in _standing(found, "working") if one.said.trouble]
    rows += [("trouble", f"{one.worker}: {one.said.trouble}") for one in troubled[:_NAMED]]
    rows += worker_lines(found.workers, price_usd)
    rows += interruption_lines(found.workers, account, price_usd)
    rows += [("rescue file", told) for told in found.rescued]
    reason = found.record.reason if found.record is not None else ""
    if reason and not found.complete and not found.a_part_was_asked_for:
        rows.append(("last stopped", reason.splitlines()[0]))
    return rows


def told(found: Status, price_per_page_usd: float) -> dict[str, Any]:
    """The status as plain values."""
    from ocrlabel.pipeline.workers.heartbeat import REPORT

    price_usd = _price_usd(found, price_per_page_usd)
    perhaps_pages = found.account.at_risk_pages.get("unknown", 0)
    return {
        "run_id": found.plan.run_id,
        "engine": found.plan.engine,
        "complete": found.complete,
        **asdict(found.tally),
        "not_reached": found.tally.not_reached,
        "retried": None if found.retried is None else asdict(found.retried),
        "active_s": round(found.active_s, 3),
        "images_per_s": found.images_per_s,
        "left_s": found.left_s,
        "account": asdict(found.account),
        "spent_usd": round(found.account.spent_pages * price_usd, 6),
        "max_cost_usd": found.limits.max_cost_usd,
        "interruptions": {
            "lost": [one.worker for one in _standing(found, "lost")],
            "stopped": {one.worker: one.stopped for one in found.workers if one.stopped},
            "requests": found.account.requests.get("unknown", 0),
            "perhaps_billed_pages": perhaps_pages,
            "perhaps_billed_usd": round(perhaps_pages * price_usd, 6),
        },
        "rescued": list(found.rescued),
        "workers": [
            asdict(worker)
            | {
                "said": json.loads(json.dumps(REPORT.to_json(worker.said), sort_keys=True)),
                "requests_per_s": worker.requests_per_s,
            }
            for worker in found.workers
        ],
    }


def _price_usd(found: Status, price_per_page_usd: float) -> float:
    """As the run was told, or its workers; else nothing for an engine of this machine."""
    if found.record is not None:
        return found.record.price_per_page_usd
    for worker in found.workers:
        if (price_usd := worker.said.price_per_page_usd) is not None:
            return price_usd
    return price_per_page_usd if found.plan.engine == "upstage" else 0.0


def _standing(found: Status, presence: str) -> list[WorkerStatus]:
    return [worker for worker in found.workers if worker.presence == presence]


def _state(found: Status) -> str:
    working, quiet = len(_standing(found, "working")), len(_standing(found, "quiet"))
    if found.complete:
        again = f"; {counted(working, 'worker')} at it again" if working else ""
        return f"done; both tables are written{again}"
    if working:
        return f"running, {counted(working, 'worker')}"
    if quiet:
        return f"perhaps running: {counted(quiet, 'worker')} without a word just now"
    if found.a_part_was_asked_for:
        return "a part is done, as asked; without --limit and --sample the command does the rest"
    if found.stopped_at_cap:
        raised = "the command goes on with a higher --max-cost, or without one after `ocrlabel set`"
        return f"stopped at its cap; {raised}"
    return "stopped; the same command goes on"


def _listed(counts: Any) -> str:
    shown = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f" ({shown})" if shown else ""


def worker_lines(workers: Sequence[WorkerStatus], price_usd: float) -> list[tuple[str, str]]:
    """A line each: those at work first, then those that were heard last."""
    order = sorted(workers, key=lambda one: (_ORDER.index(one.presence), one.silent_s))
    rows = [("worker", f"{one.worker}: {_told(one, price_usd)}") for one in order[:_LISTED]]
    if (more := len(order) - _LISTED) > 0:
        rows.append(("worker", f"and {more:,} more: --json lists all"))
    return rows


def interruption_lines(
    workers: Sequence[WorkerStatus], account: Account, price_usd: float
) -> list[tuple[str, str]]:
    """Who was lost or stopped early, when, and what was asked then and never answered."""
    from ocrlabel.pipeline.budget.account import unanswered

    interrupted = {
        "lost without a goodbye": [one for one in workers if one.presence == "lost"],
        "stopped early": [one for one in workers if one.stopped],
    }
    rows = [
        ("interrupted", f"{counted(len(some), 'worker')} {how}: {_named(some)}")
        for how, some in interrupted.items()
        if some
    ]
    # a connection that was cut, and an answer that is none, may have been billed as well
    pages = sum(account.at_risk_pages.values())
    requests = sum(account.requests.get(result, 0) for result in account.at_risk_pages)
    cost = "no request is known to be without an answer"
    if requests:
        cost = unanswered(requests, pages, price_usd)
    return [*rows, ("cost of it", cost)] if rows else []


def _told(worker: WorkerStatus, price_usd: float) -> str:
    said = worker.said
    parts = [_worker_state(worker), f"{said.labelled:,} labelled", f"{said.failed:,} failed"]
    if worker.presence != "ended" and worker.requests_per_s is not None:
        lately = "" if worker.presence == "working" else " at last"
        allowed = f" of {rate:.2f}" if (rate := said.rate_per_s) else ""
        parts.append(f"{worker.requests_per_s:.2f}{allowed} requests/s{lately}")
    if price_usd:
        parts.append(usd(said.spent_pages * price_usd))
    if worker.perhaps_billed_pages:
        parts.append(f"{counted(worker.perhaps_billed_pages, 'page')} more perhaps billed")
    return ", ".join(parts)


def _worker_state(worker: WorkerStatus) -> str:
    if worker.presence == "working":
        return "working"
    if worker.presence == "ended":
        # the reason without what to do about it: "stopped by SIGTERM"
        why = worker.stopped.partition("\n")[0].partition(";")[0]
        return f"{why or 'ended'} {_ago(worker)}"
    silent = f"no word for {_age(worker.silent_s)}" if worker.silent_s >= 0 else "no word now"
    return f"lost, {silent}" if worker.presence == "lost" else silent


def _named(workers: Sequence[WorkerStatus]) -> str:
    latest = sorted(workers, key=lambda one: one.silent_s)
    names = ", ".join(f"{one.worker} {_ago(one)}" for one in latest[:_NAMED])
    more = len(latest) - _NAMED
    return f"{names} and {more:,} more" if more > 0 else names


def _ago(worker: WorkerStatus) -> str:
    return f"{_age(max(0.0, worker.silent_s))} ago"


def _age(seconds: float) -> str:
    days = int(seconds / _DAY_S)
    return f"{days} days" if days >= 2 else duration(seconds)


def set_live(
    labels: _Run,
    *,
    rps: Annotated[str | None, option("rps")] = None,
    max_cost: Annotated[str | None, option("max_cost")] = None,
) -> None:
    """Change the rate or the budget of a live run; every worker takes it over within seconds.

    Of a run that was stopped it holds for whoever goes on with it.

    For example:

        ocrlabel set labels.parquet --rps 10

        ocrlabel set s3://bucket/labels/train.parquet --rps 10 --max-cost 20
    """
    from ocrlabel.cli.wiring import make_runtime, place_of_output
    from ocrlabel.pipeline.merge.run_record import is_complete
    from ocrlabel.pipeline.replacement import find_run
    from ocrlabel.pipeline.workers.heartbeat import working
    from ocrlabel.pipeline.workers.limits import change_limits

    changes: dict[str, float | None] = {}
    if rps is not None:
        changes["rps"] = Options.of({}, rps=rps).rps
    if max_cost is not None:
        changes["max_cost_usd"] = Options.of({}, max_cost=max_cost).max_cost
    if not changes:
        raise ConfigError("nothing to change: give --rps or --max-cost")
    keys = from_environment()
    options = Options.of(keys.variables)
    place = place_of_output(str(labels), options, keys)
    runtime = make_runtime(place.store, lambda _: None)

    async def change() -> int:
        """How many workers there are to take it over."""
        run = await find_run(runtime, place.layout)
        if run is None:
            raise ConfigError(f"there is no run at {place.shown(place.layout.plan_key)}")
        workers = await working(run)
        if not workers and await is_complete(run):
            raise ConfigError(
                f"nothing is changed: the run behind {place.shown(place.layout.labels_key)}"
                " is finished\n"
                "  `ocrlabel run` with --retry-failed or --fresh takes --rps and --max-cost itself"
            )
        await change_limits(run, changes)
        return workers

    workers = run_async(change())
    given = {"--rps": rps, "--max-cost": max_cost}
    changed = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    taken = "no worker is at it now: it holds for whoever goes on with the run"
    if workers:
        takes = "takes" if workers == 1 else "take"
        taken = f"{counted(workers, 'worker')} at it {takes} it over within seconds"
    print(f"changed: {changed}; {taken}")
