"""What counts as billed, as at risk, as stored and as wasted: sums over attempts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    Labelled,
    Page,
    Tally,
    Word,
)
from ocrlabel.pipeline.budget.account import (
    Account,
    add_tallies,
    of_attempts,
    of_outcomes,
    pages_at_risk,
    pages_charged,
    tally_of,
    unanswered,
)
from ocrlabel.pipeline.state.codec import Codec

ANSWERED, UNKNOWN, UNSENT = AttemptResult.ANSWERED, AttemptResult.UNKNOWN, AttemptResult.UNSENT
THROTTLED, UNAVAILABLE = AttemptResult.THROTTLED, AttemptResult.UNAVAILABLE


def attempt(
    result: AttemptResult,
    *,
    status: int | None = None,
    billed: int | None = None,
    pages: int = 7,
    at_s: float = 10.0,
) -> Attempt:
    return Attempt(1, "key", at_s, 2.0, result, status, "", billed, "w1", pages)


def label(*attempts: Attempt, billed: int = 0, copied: bool = False) -> Labelled:
    word = Word("a", ((0, 0), (1, 0), (1, 1), (0, 1)), 0.5)
    pages = (Page(1, 10, 10, (word, word)), Page(2, 10, 10, (word,)))
    return Labelled(
        0,
        "id",
        "k",
        "s",
        pages,
        "engine",
        "m1",
        5.0,
        attempts,
        billed_pages=billed,
        copied=copied,
    )


def failure(*attempts: Attempt, copied: bool = False) -> Failed:
    return Failed(0, "id", FailureClass.NOT_FOUND, "gone", 5.0, attempts=attempts, copied=copied)


@pytest.mark.parametrize(
    ("result", "status", "at_risk"),
    [
        (UNKNOWN, None, 7),
        (AttemptResult.BAD_ANSWER, 200, 7),
        (UNAVAILABLE, None, 7),
        (UNAVAILABLE, 502, 7),
        (UNAVAILABLE, 504, 7),
        (UNAVAILABLE, 501, 7),
        (UNAVAILABLE, 511, 0),
        (UNAVAILABLE, 520, 7),
        (UNAVAILABLE, 599, 7),
        (UNAVAILABLE, 499, 0),
        (UNAVAILABLE, 408, 0),
        (UNAVAILABLE, 500, 0),
        (UNAVAILABLE, 503, 0),
        (THROTTLED, 429, 0),
        (AttemptResult.REJECTED, 400, 0),
        (AttemptResult.KEY_REFUSED, 401, 0),
        (UNSENT, None, 0),
        (ANSWERED, 200, 0),
    ],
)
def test_pages_that_may_have_been_charged_without_a_word_count_as_spent(result, status, at_risk):
    ended = attempt(result, status=status)
    assert pages_at_risk(ended) == at_risk
    assert pages_charged(ended) == 0
    assert of_attempts([ended], cause="c").spent_pages == at_risk


@pytest.mark.parametrize("result", AttemptResult)
@pytest.mark.parametrize("billed", [0, 3])
def test_what_the_engine_said_it_charged_is_charged_and_nothing_more_is_at_risk(result, billed):
    ended = attempt(result, billed=billed)
    assert (pages_charged(ended), pages_at_risk(ended)) == (billed, 0)


OUTCOMES = [
    label(
        attempt(UNSENT, at_s=1.0),
        attempt(UNKNOWN, pages=5, at_s=3.0),
        attempt(ANSWERED, billed=2, at_s=4.0),
        attempt(ANSWERED, billed=3, at_s=9.0),
        billed=2,
    ),
    label(attempt(ANSWERED, billed=4, at_s=5.0), billed=4),
    label(copied=True, billed=2),
    failure(attempt(UNKNOWN, pages=6, at_s=6.0), attempt(THROTTLED, status=429, at_s=7.0)),
    failure(attempt(AttemptResult.REJECTED, billed=1, at_s=8.0)),
    failure(attempt(AttemptResult.REJECTED, billed=2, at_s=8.5)),
    failure(attempt(AttemptResult.REJECTED, billed=1, at_s=99.0), copied=True),
    failure(),
]
TOGETHER = Account(
    requests={"unsent": 1, "unknown": 2, "answered": 3, "throttled": 1, "rejected": 2},
    billed_pages=12,
    stored_pages=6,
    wasted_pages={"answered_again": 3, "failed": 3},
    at_risk_pages={"unknown": 11},
    first_sent_s=3.0,
    last_sent_s=9.0,
    model_versions={"m1": 3},
)


def test_an_account_shows_what_every_page_became_and_copies_cost_nothing():
    found = of_outcomes(OUTCOMES)
    assert found == TOGETHER
    assert found.billed_pages == found.stored_pages + sum(found.wasted_pages.values())
    assert (found.sent, found.spent_pages) == (8, 23)


def test_an_account_of_nothing_is_empty():
    assert of_outcomes([]) == of_attempts([], cause="c") == Account()
    assert Account() + Account() == Account()
    assert (Account().sent, Account().spent_pages) == (0, 0)


@pytest.mark.parametrize("cut", range(len(OUTCOMES) + 1))
def test_accounts_of_parts_add_up_to_the_account_of_the_whole(cut):
    assert of_outcomes(OUTCOMES[:cut]) + of_outcomes(OUTCOMES[cut:]) == TOGETHER


def test_whatever_attempts_without_an_outcome_billed_is_wasted():
    found = of_attempts(
        [
            attempt(ANSWERED, billed=2, at_s=8.0),
            attempt(ANSWERED, billed=3, at_s=6.0),
            attempt(UNKNOWN, pages=5, at_s=4.0),
            attempt(UNKNOWN, pages=6, at_s=5.0),
            attempt(UNSENT, at_s=1.0),
            attempt(UNSENT, at_s=9.0),
        ],
        cause="late",
    )
    assert found == Account(
        requests={"answered": 2, "unknown": 2, "unsent": 2},
        billed_pages=5,
        wasted_pages={"late": 5},
        at_risk_pages={"unknown": 11},
        first_sent_s=4.0,
        last_sent_s=8.0,
    )
    assert of_attempts([attempt(UNKNOWN)], cause="late").wasted_pages == {}


def test_an_account_is_read_back_as_it_was_written():
    data = Codec(Account).encode(TOGETHER)
    assert Codec(Account).read(data) == TOGETHER
    assert set(json.loads(data)) == set(Account.__dataclass_fields__)


TALLY = Tally(8, 3, 5, 6, 9, {"not_found": 5})


def test_a_tally_counts_every_row_once_as_labelled_or_as_failed():
    assert tally_of(OUTCOMES) == TALLY
    assert TALLY.not_reached == 0
    assert tally_of([]) == Tally()


@pytest.mark.parametrize("cut", range(len(OUTCOMES) + 1))
def test_tallies_of_parts_add_up_to_the_tally_of_the_whole(cut):
    assert add_tallies(tally_of(OUTCOMES[:cut]), tally_of(OUTCOMES[cut:])) == TALLY


def test_failures_are_told_apart_by_their_class():
    other = replace(failure(), failure=FailureClass.QUARANTINED)
    assert tally_of([failure(), other]).failures == {"not_found": 1, "quarantined": 1}


def test_a_tally_is_read_back_as_it_was_written():
    data = Codec(Tally).encode(TALLY)
    assert Codec(Tally).read(data) == TALLY
    assert set(json.loads(data)) == set(Tally.__dataclass_fields__)


@pytest.mark.parametrize(
    ("requests", "pages", "price_usd", "said"),
    [
        (1, 1, 0.0015, "1 request without an answer, 1 page perhaps billed: 0.0015 USD"),
        (2, 20, 0.0015, "2 requests without an answer, 20 pages perhaps billed: 0.0300 USD"),
        (2, 0, 0.0015, "2 requests without an answer, nothing to pay for"),
        (2, 20, 0.0, "2 requests without an answer, nothing to pay for"),
    ],
)
def test_what_requests_without_an_answer_may_have_cost_is_said(requests, pages, price_usd, said):
    assert unanswered(requests, pages, price_usd) == said
