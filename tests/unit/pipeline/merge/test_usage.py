"""What a round asked for and no checkpoint tells."""

from __future__ import annotations

import asyncio

from ocrlabel.labels import Attempt, AttemptResult
from ocrlabel.pipeline.budget.attempts import KnownAttempts
from ocrlabel.pipeline.merge.usage import unattributed_usage
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.state.journal import JournalWriter, Tried
from tests.support.clock import clock, run_virtual
from tests.support.runs import run_of, runtime
from tests.support.stores import DictStore

KEY = "ab" * 32


def test_an_attempt_in_the_journals_of_two_batches_with_rows_of_one_image_counts_once():
    async def story():
        round_ = run_of(runtime(DictStore()), price_usd=0.01).round()
        journal = JournalWriter(
            round_, stop=Stop(clock), give_up_after_s=60, wrote=lambda *told: None
        )
        writing = asyncio.ensure_future(journal.run())
        for batch in (0, 1):
            for number, result in ((1, AttemptResult.THROTTLED), (2, AttemptResult.ANSWERED)):
                one = Attempt(number, "key", 1.0, 2.0, result, 200, "", number - 1, "w1")
                await journal.save(batch, Tried(KEY, one))
        journal.close()
        await writing
        return await unattributed_usage(round_, {}, KnownAttempts())

    usage = run_virtual(story())
    assert usage.pages_by_worker == {"w1": 1}
    assert usage.account.requests == {"throttled": 1, "answered": 1}
