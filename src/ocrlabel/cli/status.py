"""`ocrlabel status`: how a run stands, while it runs and after."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.cli.status_workers import interruption_lines, worker_lines
from ocrlabel.cli.tallying import shown_duration
from ocrlabel.wording import counted, usd

if TYPE_CHECKING:
    from ocrlabel.pipeline.status import Status, WorkerStatus


def status(
    labels: Annotated[
        str, typer.Argument(help="The labels table that the run writes, or its s3:// address.")
    ] = "labels.parquet",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    watch_s: Annotated[
        float, typer.Option(min=0, help="How long to look for the present rate.")
    ] = 2.0,
) -> None:
    """Done, failed, left, rate, time left, spent, and what interruptions cost; also per worker.

    Works while it runs and after, from any machine. Who is at work is told by heartbeats: where
    clocks differ, or a worker was lost lately, it takes 10 s to be sure.

    For example:

        ocrlabel status labels.parquet

        ocrlabel status s3://bucket/data/processed/train_pseudo_labels.parquet
    """
    from ocrlabel.cli.settings import Settings, from_environment
    from ocrlabel.cli.wiring import make_world, place_of_output
    from ocrlabel.pipeline.status import read_status

    settings, keys = Settings.of(), from_environment()
    place = place_of_output(labels, settings, keys)
    world = make_world(place.store, lambda _: None)
    found = asyncio.run(read_status(world, place.layout, watch_s=watch_s))
    if as_json:
        print(json.dumps(told(found, settings.price_per_page), ensure_ascii=False, indent=1))
        return
    for name, value in lines(found, settings.price_per_page):
        print(f"{name:<14}{value}")


def lines(found: Status, price_per_page_usd: float) -> list[tuple[str, str]]:
    """The status as a short table."""
    tally, account = found.tally, found.account
    price_usd = _price_usd(found, price_per_page_usd)
    rows = [
        ("run", f"{found.plan.run_id}, engine {found.plan.engine}, {found.plan.source}"),
        ("state", _state(found)),
        ("done", f"{tally.labelled + tally.failed:,} of {tally.rows:,}"),
        ("failed", f"{tally.failed:,}{_listed(tally.failures)}"),
        ("left", f"{tally.not_reached:,}"),
    ]
    if found.images_per_s is not None:
        allowed = _allowed(_standing(found, "working"))
        rows.append(("rate", f"{found.images_per_s:.2f} images/s{allowed}"))
    if found.left_s is not None:
        rows.append(("time left", shown_duration(found.left_s)))
    if found.active_s:
        rows.append(("time", f"{shown_duration(found.active_s)} of work"))
    if account.requests:
        if price_usd and (account.billed_pages or account.at_risk_pages):
            at_risk = sum(account.at_risk_pages.values())
            perhaps = f", {at_risk:,} more perhaps" if at_risk else ""
            spent_usd = account.spent_pages * price_usd
            pages = f"{counted(account.billed_pages, 'page')} billed{perhaps}"
            rows.append(("spent", f"{usd(spent_usd)} ({pages})"))
        rows.append(("requests", _listed(account.requests).strip(" ()")))
    rows += worker_lines(found.workers, price_usd)
    rows += interruption_lines(found.workers, account, price_usd)
    reason = str((found.told or {}).get("reason") or "")
    if reason and not found.complete and not found.a_part_was_asked_for:
        rows.append(("last stopped", reason.splitlines()[0]))
    return rows


def told(found: Status, price_per_page_usd: float) -> dict[str, Any]:
    """The status as plain values."""
    price_usd = _price_usd(found, price_per_page_usd)
    perhaps_pages = found.account.at_risk_pages.get("unknown", 0)
    return {
        "run_id": found.plan.run_id,
        "engine": found.plan.engine,
        "complete": found.complete,
        **asdict(found.tally),
        "not_reached": found.tally.not_reached,
        "active_s": round(found.active_s, 3),
        "images_per_s": found.images_per_s,
        "left_s": found.left_s,
        "account": asdict(found.account),
        "spent_usd": round(found.account.spent_pages * price_usd, 6),
        "interruptions": {
            "lost": [one.worker for one in _standing(found, "lost")],
            "stopped": {one.worker: one.stopped for one in found.workers if one.stopped},
            "requests": found.account.requests.get("unknown", 0),
            "perhaps_billed_pages": perhaps_pages,
            "perhaps_billed_usd": round(perhaps_pages * price_usd, 6),
        },
        "workers": [
            asdict(worker) | {"requests_per_s": worker.requests_per_s} for worker in found.workers
        ],
    }


def _price_usd(found: Status, price_per_page_usd: float) -> float:
    """As the run was told, or its workers; else nothing for an engine of this machine."""
    said = [found.told or {}, *(worker.said for worker in found.workers)]
    known = [one["price_per_page_usd"] for one in said if "price_per_page_usd" in one]
    if known:
        return float(known[0])
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
    return "stopped; the same command goes on"


def _listed(counts: Any) -> str:
    shown = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f" ({shown})" if shown else ""


def _allowed(working: list[WorkerStatus]) -> str:
    rates = [worker.said.get("rate_per_s") for worker in working]
    known = [rate for rate in rates if rate]
    return f" of {sum(known):.2f} allowed" if known else ""
