"""What a user may set about a run, apart from the engine; defaults are stated here once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Settings of one invocation. Only batch_rows becomes part of the plan.

    *_s are seconds, *_usd US dollars, *_share parts of one. None means automatic or no limit.
    job: the Batch job, the same for its retries and its array's children. join: go on with an
    unfinished run that another job began. rps and max_cost_usd: None leaves what was said of the
    run before; `lifted` names those of them that shall not hold any more.
    """

    batch_rows: int | None = None
    concurrency: int | None = None
    rps: float | None = None
    max_cost_usd: float | None = None
    lifted: frozenset[str] = frozenset()
    max_failures_share: float = 0.05
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    retry_failed: tuple[str, ...] | None = None
    fresh: bool = False
    attempts: int = 8
    image_deadline_s: float = 1800.0
    give_up_after_s: float = 1800.0
    grace_s: float = 25.0
    deadline_s: float | None = None
    lease_s: float = 60.0
    send_within_s: float = 60.0
    job: str = ""
    join: bool = True
