"""What the fake did: the truth against which a run's own account is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request.

    t_s is when it came, took_s how long until it was over. cause names the fault, the limit or
    the refusal; "" for an ordinary answer. The key is a name, never the secret.
    """

    t_s: float
    took_s: float
    key: str
    sha256: str
    pages: int
    status: int | None
    billed: int
    cause: str


class Ledger:
    """Counts, and hands every entry on to `log`."""

    def __init__(self, log: Callable[[LoggedRequest], None]) -> None:
        self._log = log
        self._statuses: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._billed_by_key: Counter[str] = Counter()
        self._billed_by_document: Counter[str] = Counter()
        self._times_billed: Counter[str] = Counter()
        self._rates: dict[str, RateUse] = {}
        self.in_flight = 0
        self.most_in_flight = 0

    @property
    def billed_pages(self) -> int:
        """In all."""
        return self._billed_by_key.total()

    def began(self) -> None:
        """A request came in."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def rate_use(self, key: str) -> RateUse:
        """The account of one key against its rate."""
        return self._rates.setdefault(key, RateUse())

    def ended(self, entry: LoggedRequest) -> None:
        """A request is answered, cut or left."""
        self.in_flight -= 1
        self._statuses[str(entry.status or "none")] += 1
        self._causes[entry.cause or "answered"] += 1
        if entry.billed:
            self._billed_by_key[entry.key] += entry.billed
            self._billed_by_document[entry.sha256] += entry.billed
            self._times_billed[entry.sha256] += 1
        self._log(entry)

    def stats(self) -> dict[str, object]:
        """As GET /stats answers it."""
        return {
            "requests": self._statuses.total(),
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "statuses": dict(self._statuses),
            "causes": dict(self._causes),
            "billed_pages": self.billed_pages,
            "billed_pages_by_key": dict(self._billed_by_key),
            "billed_pages_by_document": dict(self._billed_by_document),
            "times_billed_by_document": dict(self._times_billed),
            "rates": {key: use.stats() for key, use in self._rates.items()},
        }


class RateUse:
    """How much of its allowed requests/s one key used, while the rate may change."""

    def __init__(self) -> None:
        self._changes: list[tuple[float, float | None]] = []
        self._first_s: float | None = None
        self._last_s = 0.0
        self._passed = 0
        self._throttled = 0

    def allowed_from(self, now_s: float, requests_per_s: float | None) -> None:
        """From now on this is the rate; None means no limit."""
        self._changes.append((now_s, requests_per_s))

    def passed(self, now_s: float) -> None:
        """A request within the rate."""
        self._first_s = now_s if self._first_s is None else self._first_s
        self._last_s = now_s
        self._passed += 1

    def throttled(self) -> None:
        """A request over the rate."""
        self._throttled += 1

    def stats(self) -> dict[str, float | None]:
        """`used` is requests after the first, over what was allowed between first and last."""
        allowed = self._allowed()
        return {
            "passed": self._passed,
            "throttled": self._throttled,
            "first_s": self._first_s,
            "last_s": self._last_s if self._passed else None,
            "allowed": allowed,
            "used": (self._passed - 1) / allowed if allowed else None,
        }

    def _allowed(self) -> float | None:
        if self._first_s is None:
            return None
        total = 0.0
        for (start_s, rate), (end_s, _) in pairwise([*self._changes, (self._last_s, None)]):
            seconds = min(end_s, self._last_s) - max(start_s, self._first_s)
            if seconds > 0:
                if rate is None:
                    return None
                total += rate * seconds
        return total
