"""What lost workers cost: requests that were under way, whose answers nobody lived to save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ocrlabel.labels import Attempt, AttemptResult
from ocrlabel.pipeline.layout import RunKeys
from ocrlabel.pipeline.merging.beyond import KnownAttempts
from ocrlabel.pipeline.money.account import of_attempts, pages_at_risk
from ocrlabel.pipeline.money.asks import Asks
from ocrlabel.pipeline.outcomes import never_answered
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.saved.checkpoint import Checkpoints
from ocrlabel.pipeline.survey import Survey, survey
from ocrlabel.pipeline.world import World


async def survey_with_lost(
    world: World, plan: Plan, checkpoints: Checkpoints, keys: RunKeys, lost: Collection[str]
) -> tuple[Survey, Mapping[str, int]]:
    """A survey whose account has the unanswered requests of lost workers in it.

    And by worker, lost or not, the pages that were perhaps billed without an answer. Read in the
    order in which things move on: an ask gets an attempt in a journal, a journal becomes a
    checkpoint.
    """
    asks = Asks(world, keys, send_within_s=0.0, request_timeout_s=0.0, margin_s=0.0)
    listed = await asks.listed() if lost else []
    if not listed:  # nobody is lost, or the engine costs nothing
        return await survey(world, plan, checkpoints, keys), {}
    ended = KnownAttempts()
    pages: Counter[str] = Counter()
    unknown: set[tuple[str, int]] = set()

    def saw(key: str, attempts: Sequence[Attempt]) -> None:
        ended.add(key, attempts)
        for one in attempts:
            # of an image that is in two batches, both tell of it
            if one.result is AttemptResult.UNKNOWN and (key, one.number) not in unknown:
                unknown.add((key, one.number))
                pages[one.worker] += pages_at_risk(one)

    found = await survey(world, plan, checkpoints, keys, saw=saw)
    for batch in sorted(set(range(plan.batches)) - set(found.open_batches)):
        for key, attempts in await checkpoints.attempts(batch):
            saw(key, attempts)
    unanswered = [
        never_answered(ask)
        for one in listed
        if (one.key, one.number) not in ended and (ask := await asks.read(one)) is not None
    ]
    of_lost = [one for one in unanswered if one.worker in lost]
    for one in of_lost:
        pages[one.worker] += pages_at_risk(one)
    account = found.account + of_attempts(of_lost, cause="unanswered")
    return replace(found, account=account), pages
