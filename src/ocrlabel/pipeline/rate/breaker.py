"""The circuit breaker: tells an outage of the service from the bad luck of single images.

closed --many failures in a row, or a few and no success for long--> open
open   --wait, one probe, a longer wait, one probe, ...--> closed at the first success

How long that may last is the task pool's business, which also sees what is never answered.

It has no clock: every call is told the time (seconds on a clock that never goes back).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

BASE_S = 1.0
CAP_S = 60.0


@dataclass(frozen=True, slots=True)
class Go:
    """Send."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Send this one request; nobody else sends until it is answered."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do not send; ask again at `until`."""

    until: float


Gate: TypeAlias = Go | Probe | Wait


@dataclass(slots=True, kw_only=True)
class Breaker:
    """Counts failures that are nobody's fault: 429, 5xx, connections. See the module's drawing."""

    failures_in_a_row: int = 10
    few_failures: int = 3
    silence_s: float = 30.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    probe_timeout_s: float = 330.0
    """A probe that was never answered (its worker died) is replaced after this long."""

    _failures: int = 0
    _refused: set[str] = field(default_factory=set)
    _no_success_since: float | None = None
    _kinds: dict[str, int] | None = None
    _last: str = ""
    _opened_at: float | None = None
    _wait_s: float = 0.0
    _probe_at: float = 0.0
    _probing_since: float | None = None

    @property
    def is_open(self) -> bool:
        """Nothing but probes is sent."""
        return self._opened_at is not None

    def on_success(self) -> None:
        """A request was answered, well or badly: the service is there."""
        self._opened_at = self._probing_since = self._no_success_since = self._kinds = None
        self._last = ""
        self._failures = 0
        self._refused.clear()

    def on_failure(
        self,
        now: float,
        kind: str,
        *,
        sent_at: float | None = None,
        retry_after_s: float | None = None,
        message: str = "",
        refused: str = "",
    ) -> None:
        """A request failed in a way that may pass. kind is a word to count by, "429" say.

        sent_at: when it was sent, or the last success, if that was later.
        message: what happened, and where, in a sentence; the last one is told when giving up.
        refused: the image, where something answered; one that is always refused is no outage.
        """
        self._failures += not refused or refused not in self._refused
        self._refused |= {refused} if refused else set()
        self._last = message or self._last
        if self._no_success_since is None:
            self._no_success_since = now if sent_at is None else sent_at
        kinds = self._kinds = self._kinds or {}
        kinds[kind] = kinds.get(kind, 0) + 1
        if self._opened_at is None:
            if self._is_outage(now) or (retry_after_s or 0.0) > self.longest_wait_s:
                self._opened_at = now
                self._wait_s = self.first_wait_s
                self._probe_at = now + max(self._wait_s, retry_after_s or 0.0)
        elif self._probing_since is not None:
            self._probing_since = None
            self._wait_s = min(2 * self._wait_s, self.longest_wait_s)
            self._probe_at = now + max(self._wait_s, retry_after_s or 0.0)

    def pause(self, now: float, until: float) -> None:
        """Nothing may be sent before `until`: as long as that lasts it is an outage."""
        if self._opened_at is None:
            self._opened_at, self._wait_s = now, self.first_wait_s
            if self._no_success_since is None:
                self._no_success_since = now
        self._last = self._last or "it asked to wait longer than that"
        self._probe_at = max(self._probe_at, until)

    @property
    def failing(self) -> tuple[float, int, str] | None:
        """Since when nothing was answered, how often, and the last; None while all is well."""
        since = self._no_success_since
        return None if since is None else (since, sum((self._kinds or {}).values()), self._last)

    @property
    def silent_since(self) -> float | None:
        """Since when nothing was answered; None while it may be the bad luck of single images."""
        return self._no_success_since if self.is_open or self._some_failed else None

    def gate(self, now: float) -> Gate:
        """What the next worker that wants to send has to do."""
        if self._opened_at is None:
            return Go()
        if self._probing_since is not None:
            lost_at = self._probing_since + self.probe_timeout_s
            if now < lost_at:
                # a closed breaker is noticed within a second
                return Wait(min(now + 1.0, lost_at))
            self._probing_since = None
        if now < self._probe_at:
            return Wait(min(now + 1.0, self._probe_at))
        self._probing_since = now
        return Probe()

    def _is_outage(self, now: float) -> bool:
        if self._failures >= self.failures_in_a_row:
            return True
        silent_s = now - (now if self._no_success_since is None else self._no_success_since)
        return self._some_failed and silent_s >= self.silence_s

    @property
    def _some_failed(self) -> bool:
        return self._failures - len(self._refused) >= self.few_failures

    def sentence(self, silent_s: float, under_way: str) -> str:
        """Why the run gives up. under_way: requests that wait for an answer still, in words."""
        kinds = sorted((self._kinds or {}).items(), key=lambda kind: (-kind[1], kind[0]))
        counts = (f"{count} x {kind}" for kind, count in kinds)
        seen = ", ".join(filter(None, (*counts, under_way)))
        return (
            f"the service has answered no request for {_shown(silent_s)}"
            + (f" ({seen})\n" if seen else "\n")
            + (f"  the last: {self._last}\n" if self._last else "")
            + "  everything is saved: run the same command again when the service is back, "
            "or wait longer with --give-up-after"
        )


def _shown(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def wait_s(
    attempt: int, retry_after_s: float | None, uniform: Callable[[float, float], float]
) -> float:
    """Seconds to wait after the n-th failure, n from 1.

    Full jitter: images that failed together do not come back together. Never less than the
    service asked for, also where that is more than CAP_S.
    """
    # the exponent is bounded because 2.0 ** 1024 is an error, not infinity
    most_s = min(CAP_S, BASE_S * 2.0 ** min(max(attempt, 1) - 1, 60))
    return max(retry_after_s or 0.0, uniform(0.0, most_s))
