"""What was asked, billed, stored, and lost: sums over attempts, for the report and the budget.

What an attempt cost is in what was written down of it: pages is 0 where it is certain that nothing
was billed, and docs/architecture.md says when it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ocrlabel.labels import Attempt, AttemptResult, Failed, Labelled, Outcome, Tally
from ocrlabel.wording import counted, usd

_NOT_BILLED = frozenset({503, 511})
"""The service was busy; or a network in front of it wants a login."""


def pages_charged(attempt: Attempt) -> int:
    """Pages that the engine said it charged for this attempt."""
    return attempt.billed_pages or 0


def pages_at_risk(attempt: Attempt) -> int:
    """Pages that may have been charged without a word: they count as spent against a cap."""
    if attempt.billed_pages is not None:
        return 0
    match attempt.result:
        case AttemptResult.UNKNOWN | AttemptResult.BAD_ANSWER:
            return attempt.pages
        case AttemptResult.UNAVAILABLE:
            # its own 500: it failed before it read a page
            refused = attempt.status is not None and attempt.status <= 500
            return 0 if refused or attempt.status in _NOT_BILLED else attempt.pages
        case _:
            return 0


def pages_spent(attempt: Attempt) -> int:
    """Pages that count as spent for this attempt: charged, or perhaps charged."""
    return pages_charged(attempt) + pages_at_risk(attempt)


def cost_pages(attempts: Iterable[Attempt]) -> int:
    """Pages that count as spent for these attempts."""
    return sum(map(pages_spent, attempts))


@dataclass(frozen=True, slots=True)
class Account:
    """Requests by how they ended, and pages by what became of them.

    billed: the engine said so. stored: billed, and in a label. wasted: billed, and in no label,
    by cause. at_risk: perhaps billed, by cause. rate: over first_sent_s to last_sent_s (Unix s).
    """

    requests: Mapping[str, int] = field(default_factory=dict)
    billed_pages: int = 0
    stored_pages: int = 0
    wasted_pages: Mapping[str, int] = field(default_factory=dict)
    at_risk_pages: Mapping[str, int] = field(default_factory=dict)
    first_sent_s: float | None = None
    last_sent_s: float | None = None
    model_versions: Mapping[str, int] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        """Requests that were sent, or may have been."""
        return sum(self.requests.values()) - self.requests.get(AttemptResult.UNSENT.value, 0)

    @property
    def spent_pages(self) -> int:
        """What counts against a cap: billed, and what may have been."""
        return self.billed_pages + sum(self.at_risk_pages.values())

    def __add__(self, other: Account) -> Account:
        """Both together."""
        return Account(
            requests=_added(self.requests, other.requests),
            billed_pages=self.billed_pages + other.billed_pages,
            stored_pages=self.stored_pages + other.stored_pages,
            wasted_pages=_added(self.wasted_pages, other.wasted_pages),
            at_risk_pages=_added(self.at_risk_pages, other.at_risk_pages),
            first_sent_s=min(_known(self.first_sent_s, other.first_sent_s), default=None),
            last_sent_s=max(_known(self.last_sent_s, other.last_sent_s), default=None),
            model_versions=_added(self.model_versions, other.model_versions),
        )


def unanswered(requests: int, pages: int, price_usd: float) -> str:
    """What requests that nothing came of may have cost, in words."""
    without = f"{counted(requests, 'request')} without an answer"
    if not price_usd or not pages:
        return f"{without}, nothing to pay for"
    return f"{without}, {counted(pages, 'page')} perhaps billed: {usd(pages * price_usd)}"


def of_outcomes(outcomes: Iterable[Outcome]) -> Account:
    """The account of outcomes that carry all their attempts; copies carry none."""
    requests: Counter[str] = Counter()
    wasted: Counter[str] = Counter()
    at_risk: Counter[str] = Counter()
    models: Counter[str] = Counter()
    billed = stored = 0
    sent: list[float] = []
    for outcome in outcomes:
        if isinstance(outcome, Labelled):
            models[outcome.model_version] += 1
        if outcome.copied:
            continue
        kept = outcome.billed_pages if isinstance(outcome, Labelled) else 0
        stored += kept
        for attempt in outcome.attempts:
            requests[attempt.result.value] += 1
            billed += pages_charged(attempt)
            if risk := pages_at_risk(attempt):
                at_risk[attempt.result.value] += risk
            if attempt.result is not AttemptResult.UNSENT:
                sent.append(attempt.sent_at_s)
        if lost := sum(map(pages_charged, outcome.attempts)) - kept:
            wasted["failed" if isinstance(outcome, Failed) else "answered_again"] += lost
    return Account(
        requests=dict(requests),
        billed_pages=billed,
        stored_pages=stored,
        wasted_pages=dict(wasted),
        at_risk_pages=dict(at_risk),
        first_sent_s=min(sent, default=None),
        last_sent_s=max(sent, default=None),
        model_versions=dict(models),
    )


def of_attempts(attempts: Iterable[Attempt], *, cause: str) -> Account:
    """The account of attempts that belong to no outcome: whatever they billed is wasted."""
    listed = list(attempts)
    charged = sum(map(pages_charged, listed))
    at_risk: Counter[str] = Counter()
    for one in listed:
        at_risk[one.result.value] += pages_at_risk(one)
    sent = [one.sent_at_s for one in listed if one.result is not AttemptResult.UNSENT]
    return Account(
        requests=dict(Counter(one.result.value for one in listed)),
        billed_pages=charged,
        wasted_pages={cause: charged} if charged else {},
        at_risk_pages=dict(+at_risk),
        first_sent_s=min(sent, default=None),
        last_sent_s=max(sent, default=None),
    )


def tally_of(outcomes: Iterable[Outcome]) -> Tally:
    """Counts of outcomes; rows counts them all."""
    rows = labelled = pages = words = 0
    failures: Counter[str] = Counter()
    for outcome in outcomes:
        rows += 1
        if isinstance(outcome, Labelled):
            labelled += 1
            pages += len(outcome.pages)
            words += sum(len(page.words) for page in outcome.pages)
        else:
            failures[outcome.failure.value] += 1
    return Tally(
        rows=rows,
        labelled=labelled,
        failed=failures.total(),
        pages=pages,
        words=words,
        failures=dict(failures),
    )


def add_tallies(one: Tally, other: Tally) -> Tally:
    """Both together."""
    return Tally(
        rows=one.rows + other.rows,
        labelled=one.labelled + other.labelled,
        failed=one.failed + other.failed,
        pages=one.pages + other.pages,
        words=one.words + other.words,
        failures=_added(one.failures, other.failures),
    )


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(one) + Counter(other))


def _known(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]
