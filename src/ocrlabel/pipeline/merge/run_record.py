"""run.json: what a run did, in numbers. Made from values; what cannot be known says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from ocrlabel.labels import Tally
from ocrlabel.pipeline.budget.account import Account
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.codec import Codec, Damaged
from ocrlabel.pipeline.workers.heartbeat import WorkerSession, active_s
from ocrlabel.storage.base import NotStored


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The fields of run.json, in its order.

    complete: every input row is in exactly one of the two tables. reason: why it is not. retries:
    retry rounds that are part of the tables. *_at is for people, *_at_s Unix s. active_s: seconds
    in which a worker was at it. requests_per_s: from the first request to the last, without pauses.
    growth: of an input that has grown, rows kept, new, changed and gone, pages corrected, and
    billed_pages_before: what of the account is older.
    """

    format: int = 1
    run_id: str
    dataset: str = ""
    source: str = ""
    fingerprint: str = ""
    engine: str = ""
    engine_options: Mapping[str, str] = field(default_factory=dict)
    batch_rows: int = 0
    job: str = ""
    complete: bool
    reason: str = ""
    retries: int = 0
    rows: int
    labelled: int
    failed: int
    pages: int
    words: int
    failures: Mapping[str, int]
    not_reached: int
    account: Account
    requests_per_s: float | None = None
    price_per_page_usd: float = 0.0
    billed_usd: float = 0.0
    at_risk_usd: float = 0.0
    max_cost_usd: float | None = None
    max_failures_share: float = 0.05
    model_version_changed: bool = False
    created_at: str = ""
    ended_at: str = ""
    created_at_s: float = 0.0
    ended_at_s: float = 0.0
    active_s: float | None = None
    growth: Mapping[str, int] = field(default_factory=dict)

    @property
    def tally(self) -> Tally:
        """Rows, pages and words, counted."""
        return Tally(*(getattr(self, one.name) for one in fields(Tally)))

    def has_merged(self, round_number: int) -> bool:
        """Whether a round of it is part of the tables, and all before it."""
        return self.complete and self.retries >= round_number

    def showing(self, tally: Tally) -> RunRecord:
        """The record of partial tables that come to this tally."""
        counts = {one.name: getattr(tally, one.name) for one in fields(Tally)} | {"rows": self.rows}
        not_reached = self.rows - tally.labelled - tally.failed
        return replace(self, complete=False, not_reached=not_reached, **counts)

    def as_json(self) -> dict[str, Any]:
        """As run.json has it."""
        return RUN_RECORD.to_json(self)


RUN_RECORD = Codec(RunRecord, optional=("growth",), indent=1, ensure_ascii=False)


def run_record(
    run: Run,
    tally: Tally,
    account: Account,
    sessions: Sequence[WorkerSession],
    *,
    ended_at_s: float,
    complete: bool,
    retries: int = 0,
) -> RunRecord:
    """The record of a run as it stands, but for its cap."""
    plan, price_usd = run.plan, run.price_per_page_usd
    # the whole time where no worker wrote down when it was at it
    worked_s = active_s(sessions) or max(0.0, ended_at_s - plan.created_at_s)
    return RunRecord(
        run_id=plan.run_id,
        dataset=plan.dataset,
        source=plan.source,
        fingerprint=plan.fingerprint,
        engine=plan.engine,
        engine_options=dict(plan.options),
        batch_rows=plan.batch_rows,
        job=plan.job,
        complete=complete,
        retries=retries,
        **{one.name: getattr(tally, one.name) for one in fields(Tally)},
        not_reached=tally.not_reached,
        account=account,
        requests_per_s=_requests_per_s(plan, account, sessions),
        price_per_page_usd=price_usd,
        billed_usd=round(account.billed_pages * price_usd, 6),
        at_risk_usd=round(sum(account.at_risk_pages.values()) * price_usd, 6),
        max_failures_share=run.options.max_failures,
        model_version_changed=len(account.model_versions) > 1,
        created_at=_iso(plan.created_at_s),
        ended_at=_iso(ended_at_s),
        created_at_s=plan.created_at_s,
        ended_at_s=ended_at_s,
        active_s=round(worked_s, 3),
    )


def _requests_per_s(
    plan: Plan, account: Account, sessions: Sequence[WorkerSession]
) -> float | None:
    first_s, last_s = account.first_sent_s, account.last_sent_s
    if plan.grown and first_s is not None:  # the runs before it are over
        first_s = max(first_s, plan.created_at_s)
    if first_s is None or last_s is None or last_s <= first_s:
        return None
    sending_s = active_s(sessions, first_s, last_s) or last_s - first_s
    return (account.sent - plan.paid_before.sent - 1) / sending_s


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


async def read_record(run: Run) -> RunRecord | None:
    """run.json of this very run, None where there is none."""
    try:
        found = RUN_RECORD.read(await run.runtime.store.get(run.layout.run_key))
    except (NotStored, Damaged):
        return None
    return found if found.run_id == run.plan.run_id else None


async def is_complete(run: Run) -> bool:
    """Whether run.json says that every row of this very run is in one of the two tables."""
    record = await read_record(run)
    return record is not None and record.complete


async def tables_are_there(run: Run) -> bool:
    """Whether both tables are."""
    keys = {run.layout.labels_key, run.layout.failures_key}
    return keys == {one.key for key in keys async for one in run.runtime.store.list(key)} & keys
