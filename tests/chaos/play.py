"""Plays one schedule on real processes, and judges what came of it.

The judge knows the inputs, the service's own log and what was written, nothing of the program.
"""

from __future__ import annotations

import math
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ocrlabel.dataset.labels_table import FailureRow, LabelRow
from ocrlabel.fake.ledger import LoggedRequest
from tests.chaos.schedule import (
    ENDS_WITHIN_S,
    GRACE_S,
    LEASE_S,
    ForeignFile,
    Happening,
    Joined,
    Schedule,
    ServiceTrouble,
    Signalled,
    StoreTrouble,
)
from tests.chaos.sites import Ending, Site, bucket_site, folder_site
from tests.support.fake_upstage import Running
from tests.support.fleet import Worker, now_s
from tests.support.judge import judge_money, judge_rows
from tests.support.mixed import Mixed
from tests.support.process import pause, until

KEYS = "up_one@20/6000"
SLACK_S = 2.0
"""A request counts as on its way for so long, and so does an answer: the machine is busy."""
HELD_S = 45.0
"""So long after its store is back a worker may still hold what the store did not take."""
VARIABLES = {
    "UPSTAGE_API_KEYS": KEYS,
    "OCRLABEL_ENGINE": "upstage",
    "OCRLABEL_GRACE_S": f"{GRACE_S:g}",
    "OCRLABEL_LEASE_S": f"{LEASE_S:g}",
    "OCRLABEL_SEND_WITHIN_S": "2",
    "OCRLABEL_REQUEST_TIMEOUT_S": "4",
    "OCRLABEL_MAX_FAILURES": "50%",
    "OCRLABEL_LOG": "lines",
}
_MOST_STARTS = 6
Tables = tuple[list[LabelRow], list[FailureRow]]


@dataclass(slots=True)
class Played:
    """What a schedule came to. lost: (from, to) of spans in which answers may be lost, and why."""

    schedule: Schedule
    faults: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[float, float]] = field(default_factory=list)
    longest_end_s: float = 0.0
    paid_twice: int = 0

    @property
    def line(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        ended = f"gone within {self.longest_end_s:.1f} s of a signal"
        return f"{self.schedule.store}: {faults}; {ended}, {self.paid_twice} pages paid twice"


def site_of(
    schedule: Schedule, home: Path, inputs: Mixed, service: Running, servers: Mapping[str, str]
) -> AbstractContextManager[Site]:
    """The place where a schedule is played."""
    variables = {**VARIABLES, "UPSTAGE_BASE_URL": service.base_url, "XDG_STATE_HOME": str(home)}
    if schedule.store in {"folder", "disk"}:
        return folder_site(home, inputs, variables, disk=schedule.store == "disk")
    return bucket_site(home, servers[schedule.store], inputs, variables)


def play(
    schedule: Schedule, site: Site, inputs: Mixed, service: Running, expected: Tables
) -> Played:
    """Play it to its end. Raises AssertionError where an invariant is broken."""
    player = _Player(site, service, Played(schedule))
    first = len(service.entries)
    player.play()
    entries = service.entries[first:]
    found = site.written()
    judge_rows(inputs, found)
    assert found.timeless == expected, "the table is not that of a run that nobody cut"
    judge_money(inputs, entries, found)
    player.played.paid_twice = _judge_paid_twice(entries, player.played.lost)
    if schedule.table_gone:
        site.spoil_table(schedule.table_gone)
        again = site.start()
        assert again.ended() == 0, again.said
        assert len(service.entries) == first + len(entries), "a lost table was paid for again"
        assert site.written().timeless == expected, "the table that was lost is another one now"
        player.played.faults[f"table {schedule.table_gone}"] += 1
    return player.played


@dataclass
class _Player:
    site: Site
    service: Running
    played: Played
    trouble_began_s: float = -math.inf
    trouble_until_s: float = -math.inf
    relieved_s: float = -math.inf
    held_since_s: float = -math.inf
    endings: list[Ending] = field(default_factory=list)
    killed: list[Worker] = field(default_factory=list)

    def play(self) -> None:
        schedule, site = self.played.schedule, self.site
        for _ in range(schedule.workers):
            site.start()
        try:
            for event in schedule.events:
                self._wait(event.after_requests)
                pause(event.then_s)
                self._relieve(now_s())
                self._happen(event.what)
                if not self._living() and not self._in_trouble:
                    site.start()
        finally:
            self._relieve()
            self.service.control({"fail": "", "outage": ""})
        self._judge_endings()
        self._finish()

    @property
    def _in_trouble(self) -> bool:
        return self.trouble_began_s > self.relieved_s

    def _living(self) -> list[Worker]:
        return [worker for worker in self.site.workers if not worker.over]

    def _wait(self, requests: int) -> None:
        """Until the service has seen some more, everybody is gone, or a trouble is over."""
        seen = self._requests() + requests
        give_up_s = now_s() + 30.0
        until(
            lambda: (
                self._requests() >= seen
                or not self._living()
                or now_s() > (self.trouble_until_s if self._in_trouble else give_up_s)
            )
        )

    def _requests(self) -> int:
        stats = self.service.stats()
        return int(str(stats["requests"]))

    def _relieve(self, at_s: float | None = None) -> None:
        """End a trouble of the store whose time is over; without a time, any."""
        if self._in_trouble and (at_s is None or at_s > self.trouble_until_s):
            self.site.trouble(None)
            self.relieved_s = now_s()

    def _happen(self, what: Happening) -> None:
        faults = self.played.faults
        match what:
            case Signalled(name, number, pause_s):
                living = self._living()
                if living:
                    self._signal(living[number % len(living)], name, pause_s)
                    faults[f"SIG{name}"] += 1
            case StoreTrouble(kind, for_s):
                self.site.trouble(what)
                if not self._in_trouble:
                    self.trouble_began_s = now_s()
                    if self.trouble_began_s > self.relieved_s + HELD_S:
                        self.held_since_s = self.trouble_began_s
                self.trouble_until_s = now_s() + for_s
                faults[
                    "full disk" if self.played.schedule.store == "disk" else f"store {kind}"
                ] += 1
            case ServiceTrouble(control):
                self.service.control(dict(control))
                faults[f"service {control[0][0]}"] += 1
            case ForeignFile(name, place):
                self._foreign(name, place)
                faults[f"foreign {name}"] += 1
            case Joined(few_handles):
                if not self._in_trouble:
                    self.site.start(few_handles)
                    faults["joined" if few_handles is None else "few handles"] += 1

    def _signal(self, worker: Worker, name: str, pause_s: float) -> None:
        began_s = now_s()
        if name == "STOP":
            worker.signal(signal.SIGSTOP)
            pause(pause_s)
            worker.signal(signal.SIGCONT)
            self.played.lost.append((began_s, now_s()))
            return
        if name == "KILL":
            worker.signal(signal.SIGKILL)
            self.killed.append(worker)
            # what waits in memory for its store goes with the process
            waits = self._in_trouble or began_s < self.relieved_s + HELD_S
            self.played.lost.append((self.held_since_s if waits else began_s, began_s))
            return
        first, *second = name.split()
        is_ending = any(ending.worker is worker for ending in self.endings)
        self.endings.append(Ending(worker))
        worker.signal(signal.Signals[f"SIG{first}"])
        if second:
            pause(0.3)
            worker.signal(signal.Signals[f"SIG{second[0]}"])
        if second or is_ending:
            # a second one asks to end at once: what is under way is given up
            self.played.lost.append((began_s, now_s() + SLACK_S))

    def _foreign(self, name: str, place: float) -> None:
        there = sorted(self.site.control_objects())
        if not there:
            return
        beside = there[int(place * len(there))]
        if name != "heartbeat":
            self.site.write(str(PurePosixPath(beside).with_name(name)), b"\0\1 not ours")
            return
        heartbeats = [key for key in there if "/workers/" in key]
        if heartbeats:
            self.site.write(heartbeats[int(place * len(heartbeats))], b"")

    def _judge_endings(self) -> None:
        for ending in self.endings:
            took_s = ending.within(ENDS_WITHIN_S)
            self.played.longest_end_s = max(self.played.longest_end_s, took_s)
            said = ending.worker.said
            assert took_s <= ENDS_WITHIN_S, f"alive {took_s:.0f} s after a signal\n{said}"

    def _finish(self) -> None:
        """Whoever is left ends by itself; then the same command, until it is done."""
        for worker in self.site.workers:
            status = worker.ended()
            assert "Traceback" not in worker.said, worker.said
            early = not worker.said  # before its first line a signal is the system's own
            allowed = {0, 6, 75} | (
                {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP} if early else set()
            )
            limited = self.played.faults["few handles"]
            assert worker in self.killed or status in allowed | ({2} if limited else set()), (
                worker.said
            )
        until(lambda: self.service.stats()["in_flight"] == 0)
        for number in range(_MOST_STARTS):
            # faults of the service use up attempts: what failed so is asked for again
            again = ("--retry-failed", "all") if number else ()
            last = self.site.start(again=again)
            status = last.ended()
            assert status == 0, last.said
            told = self.site.written().told
            if not number or any(row.retryable for row in self.site.written().failures):
                continue
            assert told["complete"] is True
            return
        raise AssertionError("rows that may yet succeed still fail")


def _judge_paid_twice(entries: list[LoggedRequest], lost: list[tuple[float, float]]) -> int:
    """Pages billed again, each with a reason: its first answer could not reach a worker."""
    pages, answered = 0, {}
    for entry in sorted(entries, key=lambda one: one.t_s):
        if not entry.billed:
            continue
        before = answered.get(entry.sha256)
        if before is not None:
            pages += entry.billed
            sent_s, over_s = before.t_s - SLACK_S, before.t_s + before.took_s + SLACK_S
            on_its_way = any(since <= over_s and sent_s <= to for since, to in lost)
            assert before.cause or on_its_way, f"paid twice without a reason: {before}, {entry}"
        answered[entry.sha256] = entry
    return pages
