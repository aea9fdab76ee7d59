"""run.json: what a run did, in numbers. Made from values; what cannot be known says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ocrlabel.labels import Tally
from ocrlabel.pipeline.budget.account import Account, account_to_json, tally_to_json
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.layout import Layout
from ocrlabel.pipeline.workers.heartbeat import Session, active_s
from ocrlabel.storage.base import NotStored

RECORD_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What run.json holds. complete: every input row is in exactly one of the two tables.

    retries: retry rounds that are part of the tables. ended_at_s is Unix s. sessions: when workers
    were at it, as far as that is known.
    """

    plan: Plan
    tally: Tally
    account: Account
    complete: bool
    reason: str
    ended_at_s: float
    retries: int = 0
    price_per_page_usd: float = 0.0
    max_cost_usd: float | None = None
    max_failures_share: float = 0.05
    sessions: Sequence[Session] = ()

    @property
    def active_s(self) -> float:
        """Seconds in which a worker was at it; the whole time where nobody wrote it down."""
        return active_s(self.sessions) or max(0.0, self.ended_at_s - self.plan.created_at_s)

    @property
    def requests_per_s(self) -> float | None:
        """Requests sent over the time from the first to the last one, without pauses."""
        first_s, last_s = self.account.first_sent_s, self.account.last_sent_s
        if first_s is None or last_s is None or last_s <= first_s:
            return None
        sending_s = active_s(self.sessions, first_s, last_s) or last_s - first_s
        return (self.account.sent - 1) / sending_s


def encode_record(record: RunRecord) -> bytes:
    """The bytes of run.json."""
    plan, account = record.plan, record.account
    price_usd = record.price_per_page_usd
    at_risk = sum(account.at_risk_pages.values())
    told: dict[str, Any] = {
        "format": RECORD_FORMAT,
        "run_id": plan.run_id,
        "dataset": plan.dataset,
        "source": plan.source,
        "fingerprint": plan.fingerprint,
        "engine": plan.engine,
        "engine_options": dict(plan.options),
        "batch_rows": plan.batch_rows,
        "job": plan.job,
        "complete": record.complete,
        "reason": record.reason,
        "retries": record.retries,
        **tally_to_json(record.tally),
        "not_reached": record.tally.not_reached,
        "account": account_to_json(account),
        "requests_per_s": record.requests_per_s,
        "price_per_page_usd": price_usd,
        "billed_usd": round(account.billed_pages * price_usd, 6),
        "at_risk_usd": round(at_risk * price_usd, 6),
        "max_cost_usd": record.max_cost_usd,
        "max_failures_share": record.max_failures_share,
        "model_version_changed": len(account.model_versions) > 1,
        "created_at": _iso(plan.created_at_s),
        "ended_at": _iso(record.ended_at_s),
        "created_at_s": plan.created_at_s,
        "ended_at_s": record.ended_at_s,
        "active_s": round(record.active_s, 3),
    }
    return json.dumps(told, ensure_ascii=False, indent=1).encode()


@dataclass(frozen=True, slots=True)
class Finished:
    """run.json as it stands in the store."""

    told: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        """Every row is in one of the two tables."""
        return bool(self.told["complete"])


async def read_record(world: World, layout: Layout, plan: Plan) -> Finished | None:
    """run.json of this very run, None where there is none."""
    try:
        told = json.loads(await world.store.get(layout.run_key))
    except (NotStored, ValueError):
        return None
    return Finished(told) if told.get("run_id") == plan.run_id else None


async def labels_are_there(world: World, layout: Layout) -> bool:
    """Whether the labels table is."""
    key = layout.labels_key
    return any([stored.key == key async for stored in world.store.list(key)])


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
