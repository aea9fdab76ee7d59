"""A real process, killed with SIGKILL at random moments, again and again until it is done."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.fake_upstage import Running, running
from tests.support.judge import judge_money, judge_rows, times_billed, written
from tests.support.mixed import mixed
from tests.support.process import Machine, pause, quiet, until

FULL = os.environ.get("OCRLABEL_CAMPAIGN") == "full"  # noqa: TID251 -- the tests' own shell
KILLS = 50 if FULL else 5
SLACK_S = 2.0
"""A request or an answer counts as on its way for so long: the machine is busy, fsync takes time."""


@dataclass
class Killer:
    """Runs one command until it is done, killing it on the way. kills: when (monotonic s)."""

    machine: Machine
    args: tuple[str, ...]
    rng: random.Random
    kills: list[float] = field(default_factory=list)

    def until_done(self, most_kills: int, fake: Running | None = None) -> None:
        while True:
            with quiet(self.machine, *self.args) as process:
                if len(self.kills) < most_kills:
                    self._wait(process, fake)
                    if process.poll() is None:
                        process.kill()
                        self.kills.append(time.monotonic())
                        process.wait()
                        continue
                assert process.wait(120) == 0, (self.machine.home / "err.txt").read_text()
                return

    def _wait(self, process, fake: Running | None) -> None:
        """Mostly until requests are under way, for then there is something to lose."""
        if fake is None or self.rng.random() < 0.2:
            pause(self.rng.uniform(0.3, 3.0))
            return
        seen = fake.stats()["requests"]
        until(lambda: fake.stats()["requests"] > seen or process.poll() is not None)
        pause(self.rng.uniform(0.0, 0.8))


@pytest.mark.campaign
def test_a_paying_run_killed_again_and_again_pays_twice_only_for_what_was_under_way(tmp_path):
    inputs = mixed(tmp_path / "images", images=85, pdfs=8, tiffs=3, copies=18, broken=6)
    rng = random.Random(7)
    keys = parse_keys("up_one@40")
    settings = FakeSettings(keys=keys, requests_per_s=45.0, latency=Latency(0.3, 0.2))
    with running(settings) as fake:
        machine = Machine(
            tmp_path, {"UPSTAGE_API_KEYS": "up_one@40", "UPSTAGE_BASE_URL": fake.base_url}
        )
        uncut = machine.run("run", "images", "--output", "uncut.parquet", "--max-failures", "50%")
        assert uncut.status == 0, uncut.err
        expected = written(tmp_path, "uncut")
        judge_rows(inputs, expected)
        judge_money(inputs, fake.entries, expected)
        assert expected.at_risk_pages == 0
        assert set(times_billed(fake.entries).values()) == {1}
        left, number = KILLS, 0
        while left > 0:
            number += 1
            start = len(fake.entries)
            output = ("--output", f"cut{number}.parquet", "--batch-size", "50")
            killer = Killer(machine, ("run", "images", "--max-failures", "50%", *output), rng)
            killer.until_done(min(left, 15), fake)
            left -= max(1, len(killer.kills))
            until(lambda: fake.stats()["in_flight"] == 0)
            entries = fake.entries[start:]
            found = written(tmp_path, f"cut{number}")
            judge_rows(inputs, found)
            assert found.timeless == expected.timeless
            judge_money(inputs, entries, found)
            _judge_re_billed(entries, killer.kills)
            print(
                f"{len(killer.kills)} kills: {sum(e.billed for e in entries)} pages billed of"
                f" {inputs.distinct_pages}, {found.at_risk_pages} said to be at risk"
            )


def _judge_re_billed(entries, kills) -> None:
    """Whatever was billed again had been under way when the process was killed."""
    last: dict[str, float] = {entry.sha256: 0.0 for entry in entries if entry.billed}
    for entry in entries:
        if entry.billed:
            last[entry.sha256] = max(last[entry.sha256], entry.t_s)
    for entry in entries:
        if entry.billed and entry.t_s < last[entry.sha256]:
            sent_s = entry.t_s - SLACK_S
            ended_s = entry.t_s + entry.took_s + SLACK_S
            assert any(sent_s <= kill <= ended_s for kill in kills), entry


@pytest.mark.campaign
def test_a_free_run_killed_again_and_again_gives_the_same_table(tmp_path):
    inputs = mixed(tmp_path / "images", images=85, pdfs=8, tiffs=3, copies=18, broken=6)
    machine = Machine(tmp_path, {"OCRLABEL_LATENCY": "0.15", "OCRLABEL_ENGINE": "scripted"})
    common = ("run", "images", "--max-failures", "50%", "--output")
    assert machine.run(*common, "uncut.parquet").status == 0
    expected = written(tmp_path, "uncut")
    judge_rows(inputs, expected)
    left, number = KILLS, 0
    while left > 0:
        number += 1
        killer = Killer(machine, (*common, f"cut{number}.parquet"), random.Random(number))
        killer.until_done(min(left, 15))
        left -= max(1, len(killer.kills))
        found = written(tmp_path, f"cut{number}")
        judge_rows(inputs, found)
        assert found.timeless == expected.timeless
