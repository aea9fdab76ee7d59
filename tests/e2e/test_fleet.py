"""Four workers on one bucket, killed, stopped and drained at random: the table is always the same.

The judge knows the inputs, the service's own log and what was written; nothing else.
"""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass, field

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.aws import moto_process
from tests.support.fake_upstage import running
from tests.support.fleet import Fleet, Worker, elsewhere, fleet, now_s
from tests.support.judge import judge_money, judge_rows, times_billed
from tests.support.mixed import mixed
from tests.support.process import pause, until
from tests.support.s3 import Fault, flaky_proxy

pytestmark = pytest.mark.xdist_group("fleet")  # what they need is made once, not in each process

FULL = os.environ.get("OCRLABEL_CAMPAIGN") == "full"  # noqa: TID251 -- the tests' own shell
SCHEDULES = 50 if FULL else 1
"""On each of the two S3 servers."""
LEASE_S = 2.0
SLACK_S = 2.0
"""A request counts as on its way for so long, and so does an answer: the machine is busy."""


@pytest.fixture(scope="module")
def s3_url():
    with moto_process() as url:
        yield url


@pytest.fixture(params=["s3_url", "seaweed_url"])
def either_s3_url(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Copies lie in other batches than what they copy; documents have up to five pages."""
    home = tmp_path_factory.mktemp("inputs") / "images"
    return mixed(home, images=85, pdfs=8, tiffs=3, copies=18, broken=6)


@pytest.fixture(scope="module")
def service():
    """As slow and as limited as it takes for several to be under way at any time."""
    settings = FakeSettings(
        keys=parse_keys("up_one@20/6000"), requests_per_s=25.0, latency=Latency(0.4, 0.3)
    )
    with running(settings) as fake:
        yield fake


VARIABLES = {
    "UPSTAGE_API_KEYS": "up_one@20/6000",
    "OCRLABEL_LEASE_S": f"{LEASE_S:g}",
    "OCRLABEL_SEND_WITHIN_S": "2",
    "OCRLABEL_REQUEST_TIMEOUT_S": "4",
    "OCRLABEL_MAX_FAILURES": "50%",
    "OCRLABEL_LOG": "lines",
}
ARGS = ("--dataset-name", "train", "--batch-size", "40", "--resume")


@pytest.fixture(scope="module")
def expected(tmp_path_factory, s3_url, service, inputs):
    """The tables of a run that nobody cut."""
    home = tmp_path_factory.mktemp("uncut")
    with fleet(home, s3_url, "uncut", UPSTAGE_BASE_URL=service.base_url, **VARIABLES) as alone:
        alone.put_packed("train", inputs.folder)
        start = len(service.entries)
        status, said = alone.run(*ARGS)
        assert status == 0, said
        found = alone.written("train")
        judge_rows(inputs, found)
        judge_money(inputs, service.entries[start:], found)
        assert found.at_risk_pages == 0
        assert set(times_billed(service.entries[start:]).values()) == {1}
        return found.timeless


@dataclass
class Harm:
    """Does harm to a fleet. gone: (from, to) when somebody was away, by the fake's clock."""

    fleet: Fleet
    rng: random.Random
    gone: list[tuple[float, float]] = field(default_factory=list)
    drained: list[Worker] = field(default_factory=list)
    killed: list[Worker] = field(default_factory=list)

    def join(self) -> Worker:
        """One more worker, on this host or on another."""
        return self.fleet.start(*ARGS, away=self.rng.random() < 0.5)

    def at_random(self, worker: Worker) -> None:
        """Kill it, drain it, or stop it for longer than a lease."""
        kind = self.rng.choice(("kill", "kill", "drain", "pause"))
        began_s = now_s()
        if kind == "kill":
            self.killed.append(worker)
            worker.signal(signal.SIGKILL)
            self.gone.append((began_s, began_s))
        elif kind == "drain":
            self.drained.append(worker)
            worker.signal(signal.SIGTERM)
        else:
            worker.signal(signal.SIGSTOP)
            pause(LEASE_S * 1.25 + self.rng.uniform(0.2, 2.0))
            worker.signal(signal.SIGCONT)
            self.gone.append((began_s, now_s()))


@pytest.mark.campaign
@pytest.mark.timeout(100 * SCHEDULES)
def test_whoever_is_killed_stopped_or_drained_the_table_is_that_of_an_uncut_run(
    tmp_path, either_s3_url, service, inputs, expected
):
    for seed in range(SCHEDULES):
        home = tmp_path / str(seed)
        home.mkdir()
        _one_schedule(home, either_s3_url, service, inputs, expected, seed)


def _statuses(worker: Worker, harm: Harm) -> set[int]:
    """What a worker may end with that was not killed."""
    if worker not in harm.drained:
        return {0}
    # what had not come as far as its first line cannot say that it was told to stop
    return {0, 75} if worker.said else {0, 75, -signal.SIGTERM}


def _one_schedule(home, s3_url, service, inputs, expected, seed) -> None:
    rng = random.Random(seed)
    start = len(service.entries)
    variables = {"UPSTAGE_BASE_URL": service.base_url, **VARIABLES}
    with fleet(home, s3_url, f"cut-{seed}", **variables) as workers:
        workers.put_packed("train", inputs.folder)
        harm = Harm(workers, rng)
        for _ in range(4):
            harm.join()
            pause(rng.uniform(0.0, 0.5))
        for _ in range(rng.randint(3, 5)):
            _wait_for_something_to_lose(service, workers, rng)
            living = [worker for worker in workers.workers if not worker.over]
            if not living:
                break
            harm.at_random(rng.choice(living))
            if len([worker for worker in workers.workers if not worker.over]) < 4:
                harm.join()
        last = workers.start(*ARGS)
        assert last.ended() == 0, last.said
        for worker in workers.workers:
            status = worker.ended()
            if worker not in harm.killed:
                assert status in _statuses(worker, harm), worker.said
        until(lambda: service.stats()["in_flight"] == 0)
        entries = service.entries[start:]
        found = workers.written("train")
        judge_rows(inputs, found)
        assert found.timeless == expected
        judge_money(inputs, entries, found)
        timed_out = found.account["at_risk_pages"].get("unavailable", 0)
        _judge_re_billed(entries, harm.gone, timed_out)
        assert not [key for key in workers.keys("checkpoints/train/") if "/asks/" in key]
        print(
            f"schedule {seed}: {len(harm.killed)} killed, {len(harm.drained)} drained,"
            f" {len(harm.gone) - len(harm.killed)} stopped; {sum(e.billed for e in entries)} pages"
            f" billed of {inputs.distinct_pages}, {found.at_risk_pages} said to be at risk",
            flush=True,
        )


def _wait_for_something_to_lose(service, workers, rng) -> None:
    """Mostly until requests are under way; sometimes any moment."""
    if rng.random() < 0.2:
        pause(rng.uniform(0.2, 2.0))
        return
    seen = service.stats()["requests"]
    until(
        lambda: service.stats()["requests"] > seen or all(worker.over for worker in workers.workers)
    )
    pause(rng.uniform(0.0, 0.7))


def _judge_re_billed(entries, gone, timed_out_pages: int = 0) -> None:
    """Whatever was billed again had been under way when somebody was killed or stopped.

    Or else a worker waited for it in vain, on a machine that is busy, and the account says so.
    """
    last: dict[str, float] = {}
    for entry in entries:
        if entry.billed:
            last[entry.sha256] = max(last.get(entry.sha256, 0.0), entry.t_s)
    unexplained = []
    for entry in entries:
        if entry.billed and entry.t_s < last[entry.sha256]:
            sent_s = entry.t_s - SLACK_S
            ended_s = entry.t_s + entry.took_s + SLACK_S
            if not any(sent_s <= to and since <= ended_s for since, to in gone):
                unexplained.append(entry)
    assert sum(entry.billed for entry in unexplained) <= timed_out_pages, unexplained


@pytest.mark.skipif(not elsewhere(), reason="needs unshare, for workers on another host")
def test_a_worker_stopped_between_ask_and_request_sends_nothing_when_it_wakes_up(
    tmp_path, s3_url, service, inputs, expected
):
    start = len(service.entries)
    variables = {"UPSTAGE_BASE_URL": service.base_url, **VARIABLES}
    with (
        flaky_proxy(s3_url) as proxy,
        flaky_proxy(s3_url) as others_proxy,
        fleet(tmp_path, s3_url, "asleep", **variables) as workers,
    ):
        workers.put_packed("train", inputs.folder)
        asked: list[str] = []
        others_asked_s: list[float] = []

        def stop_at_the_third_ask(method: str, path: str) -> None:
            if method == "PUT" and "/asks/" in path:
                asked.append(path)
                if len(asked) == 3:
                    sleeper.signal(signal.SIGSTOP)

        def note_the_first_ask(method: str, path: str) -> None:
            if method == "PUT" and "/asks/" in path:
                others_asked_s.append(now_s())

        proxy.took_place = stop_at_the_third_ask
        others_proxy.took_place = note_the_first_ask
        sleeper = workers.start(*ARGS, away=True, AWS_ENDPOINT_URL=proxy.url)
        until(lambda: len(asked) >= 3)
        began_s = now_s()
        other = workers.start(*ARGS, AWS_ENDPOINT_URL=others_proxy.url)
        assert other.ended() == 0, other.said
        woken_s = now_s()
        sleeper.signal(signal.SIGCONT)
        assert sleeper.ended() == 0, sleeper.said
        entries = service.entries[start:]
        assert not [entry for entry in entries if entry.t_s > woken_s], "it woke up and sent"
        found = workers.written("train")
        judge_rows(inputs, found)
        assert found.timeless == expected
        judge_money(inputs, entries, found)
        _judge_re_billed(entries, [(began_s, woken_s)])
        again = {sha256 for sha256, times in times_billed(entries).items() if times > 1}
        # what had left the sleeper arrived while the other one started
        of_the_sleeper = {entry.sha256 for entry in entries if entry.t_s < others_asked_s[0]}
        assert again <= of_the_sleeper


def test_a_bucket_that_answers_errors_or_nothing_for_a_while_changes_nothing(
    tmp_path, s3_url, service, inputs, expected
):
    start = len(service.entries)
    variables = {"UPSTAGE_BASE_URL": service.base_url, **VARIABLES, "OCRLABEL_LEASE_S": "6"}
    with flaky_proxy(s3_url) as proxy, fleet(tmp_path, s3_url, "outage", **variables) as workers:
        workers.put_packed("train", inputs.folder)
        both = [workers.start(*ARGS, AWS_ENDPOINT_URL=proxy.url) for _ in range(2)]
        until(lambda: len(service.entries) >= start + 20)
        kinds = [(500, "InternalError"), (503, "ServiceUnavailable"), (503, "SlowDown"), (0, "")]
        proxy.faults += [
            # whether it took place before the error, or not, or after a while
            Fault(method, *kinds[n % 4], forward=n % 3 == 0, delay_s=0.5 * (n % 5 == 0))
            for n in range(60)
            for method in ("GET", "PUT")
        ]
        for worker in both:
            assert worker.ended() == 0, worker.said
        assert len(proxy.faults) < 20, "most of the faults were met"
        found = workers.written("train")
        judge_rows(inputs, found)
        assert found.timeless == expected
        judge_money(inputs, service.entries[start:], found)
        assert set(times_billed(service.entries[start:]).values()) == {1}


def test_workers_that_join_and_die_share_one_rate_of_which_none_is_refused(
    tmp_path, s3_url, inputs
):
    keys = "up_one@8/6000"
    settings = FakeSettings(keys=parse_keys(keys), latency=Latency(0.4, 0.3))
    variables = {**VARIABLES, "UPSTAGE_API_KEYS": keys}
    with running(settings) as fake:
        variables["UPSTAGE_BASE_URL"] = fake.base_url
        with fleet(tmp_path, s3_url, "shared", **variables) as workers:
            workers.put_packed("train", inputs.folder)
            args = (*ARGS, "--rps", "8")
            doomed = workers.start(*args)
            until(lambda: len(fake.entries) >= 8)
            others = [workers.start(*args, away=True) for _ in range(2)]
            until(lambda: len(fake.entries) >= 40)
            killed_s = now_s()
            doomed.signal(signal.SIGKILL)
            assert [worker.ended() for worker in others] == [0, 0], others[0].said
            entries = fake.entries
            judge_rows(inputs, workers.written("train"))
    refused = sum(entry.status == 429 for entry in entries)
    assert refused <= 0.02 * len(entries)
    _judge_re_billed(entries, [(killed_s, killed_s)])
    times = sorted(entry.t_s for entry in entries)
    for window_s in (2.0, 5.0, 10.0):
        # a busy machine may hand over late what was sent in time: a second's worth of it
        most = max(sum(at <= one < at + window_s for one in times) for at in times)
        assert most <= 8 * (window_s + 1)
