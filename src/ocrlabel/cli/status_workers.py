"""The workers of a run in `ocrlabel status`: what each did, who was interrupted, at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ocrlabel.cli.tallying import shown_duration
from ocrlabel.wording import counted, usd

if TYPE_CHECKING:
    from ocrlabel.pipeline.money.account import Account
    from ocrlabel.pipeline.status import WorkerStatus

_LISTED = 20
_NAMED = 5
_DAY_S = 86400.0
_ORDER = ("working", "quiet", "lost", "ended")


def worker_lines(workers: Sequence[WorkerStatus], price_usd: float) -> list[tuple[str, str]]:
    """A line each: those at work first, then those that were heard last."""
    order = sorted(workers, key=lambda one: (_ORDER.index(one.presence), one.silent_s))
    rows = [("worker", f"{one.worker}: {_told(one, price_usd)}") for one in order[:_LISTED]]
    if more := len(order) - _LISTED:
        rows += [("worker", f"and {more:,} more: --json lists all")] if more > 0 else []
    return rows


def interruption_lines(
    workers: Sequence[WorkerStatus], account: Account, price_usd: float
) -> list[tuple[str, str]]:
    """Who was lost or stopped early, when, and what was asked then and never answered."""
    lost = [one for one in workers if one.presence == "lost"]
    stopped = [one for one in workers if one.stopped]
    rows = []
    if lost:
        gone = f"{counted(len(lost), 'worker')} lost without a goodbye"
        rows.append(("interrupted", f"{gone}: {_named(lost)}"))
    if stopped:
        early = f"{counted(len(stopped), 'worker')} stopped early"
        rows.append(("interrupted", f"{early}: {_named(stopped)}"))
    return [*rows, ("cost of it", _cost(account, price_usd))] if rows else []


def _told(worker: WorkerStatus, price_usd: float) -> str:
    said = worker.said
    parts = [_state(worker)]
    parts += [f"{said.get('labelled', 0):,} labelled", f"{said.get('failed', 0):,} failed"]
    if worker.presence != "ended" and worker.requests_per_s is not None:
        lately = "" if worker.presence == "working" else " at last"
        allowed = f" of {rate:.2f}" if (rate := said.get("rate_per_s")) else ""
        parts.append(f"{worker.requests_per_s:.2f}{allowed} requests/s{lately}")
    if price_usd:
        parts.append(usd(said.get("spent_pages", 0) * price_usd))
    if worker.perhaps_billed_pages:
        parts.append(f"{counted(worker.perhaps_billed_pages, 'page')} more perhaps billed")
    return ", ".join(parts)


def _state(worker: WorkerStatus) -> str:
    if worker.presence == "working":
        return "working"
    if worker.presence == "ended":
        return f"{_why(worker) or 'ended'} {_ago(worker)}"
    silent = f"no word for {_age(worker.silent_s)}" if worker.silent_s >= 0 else "no word now"
    return f"lost, {silent}" if worker.presence == "lost" else silent


def _why(worker: WorkerStatus) -> str:
    """The reason without what to do about it: "stopped by SIGTERM"."""
    return worker.stopped.partition("\n")[0].partition(";")[0]


def _cost(account: Account, price_usd: float) -> str:
    requests, pages = account.requests.get("unknown", 0), account.at_risk_pages.get("unknown", 0)
    if not requests:
        return "no request is known to be without an answer"
    unanswered = f"{counted(requests, 'request')} without an answer"
    if not price_usd or not pages:
        return f"{unanswered}, nothing to pay for"
    return f"{unanswered}, {counted(pages, 'page')} perhaps billed: {usd(pages * price_usd)}"


def _named(workers: Sequence[WorkerStatus]) -> str:
    latest = sorted(workers, key=lambda one: one.silent_s)
    names = ", ".join(f"{one.worker} {_ago(one)}" for one in latest[:_NAMED])
    more = len(latest) - _NAMED
    return f"{names} and {more:,} more" if more > 0 else names


def _ago(worker: WorkerStatus) -> str:
    return f"{_age(max(0.0, worker.silent_s))} ago"


def _age(seconds: float) -> str:
    days = int(seconds / _DAY_S)
    return f"{days} days" if days >= 2 else shown_duration(seconds)
