"""SIGTERM, SIGHUP and Ctrl-C: what was sent is saved, nothing new is sent, and the command goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.fake_upstage import running
from tests.support.judge import judge_money, judge_rows, times_billed, written
from tests.support.mixed import mixed
from tests.support.process import Machine, pause, quiet, signalled, until

COMMAND = ("run", "images", "--engine", "upstage", "--max-failures", "50%")


@pytest.fixture
def inputs(tmp_path):
    return mixed(tmp_path / "images", images=40, pdfs=4, tiffs=1, copies=5, broken=2)


@contextmanager
def service(tmp_path, latency_s: float, keys: str = "up_one@20"):
    settings = FakeSettings(keys=parse_keys(keys), latency=Latency(latency_s, 0.1))
    with running(settings) as fake:
        variables = {"UPSTAGE_API_KEYS": keys, "UPSTAGE_BASE_URL": fake.base_url}
        yield fake, Machine(tmp_path, variables)


def judge_resumed(machine, inputs, fake) -> None:
    """Run it again to the end: nothing is asked twice."""
    assert machine.run(*COMMAND).status == 0
    found = written(machine.home)
    judge_rows(inputs, found)
    judge_money(inputs, fake.entries, found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_75_once_what_is_under_way_is_saved(tmp_path, inputs, number):
    with service(tmp_path, latency_s=0.7) as (fake, machine):
        process = machine.start(*COMMAND)
        until(lambda: fake.stats()["requests"] >= 8 and fake.stats()["in_flight"] > 2)
        ran = signalled(process, number)
        assert ran.status == 75
        assert "saved" in ran.err
        sent = len(fake.entries)
        assert sent < len(inputs.pages)
        assert fake.stats()["in_flight"] == 0
        judge_resumed(machine, inputs, fake)
        assert set(times_billed(fake.entries).values()) == {1}
        assert written(tmp_path).at_risk_pages == 0


def test_what_is_not_answered_within_the_grace_is_written_down_as_unknown(tmp_path, inputs):
    with service(tmp_path, latency_s=4.0) as (fake, machine):
        process = machine.start(*COMMAND, OCRLABEL_GRACE_S="0.3")
        until(lambda: fake.stats()["in_flight"] >= 6)
        ran = signalled(process, signal.SIGTERM)
        assert ran.status == 75
        given_up = fake.stats()["in_flight"]
        assert given_up > 0
        assert f"{given_up} requests without an answer, " in ran.err
        fake.control({"latency": "0.1"})
        judge_resumed(machine, inputs, fake)
        account = written(tmp_path).account
        assert account["requests"]["unknown"] >= given_up
        assert account["at_risk_pages"]["unknown"] >= given_up


def test_a_second_ctrl_c_ends_it_at_once_and_what_was_answered_stays_saved(tmp_path, inputs):
    with service(tmp_path, latency_s=0.2) as (fake, machine):
        with quiet(machine, *COMMAND) as process:
            until(lambda: sum(entry.billed for entry in fake.entries) >= 5)
            fake.control({"latency": "20"})
            until(lambda: fake.stats()["in_flight"] > 3)
            pause(1.5)  # what was answered before has arrived by now, and is saved
            answered = [entry.sha256 for entry in fake.entries if entry.billed]
            process.send_signal(signal.SIGINT)
            until(lambda: "Ctrl-C again" in (tmp_path / "err.txt").read_text())
            pause(1.5)  # what was sent has arrived by now, and is counted there
            given_up = fake.stats()["in_flight"]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 75
            said = (tmp_path / "err.txt").read_text()
            assert "stopped at once by Ctrl-C" in said
            cut = f"{given_up} requests without an answer, "
            assert cut in said.rpartition("stopped at once")[2]
            assert cut in machine.run("status", "labels.parquet").out
        fake.control({"latency": "0.1"})
        judge_resumed(machine, inputs, fake)
        billed = times_billed(fake.entries[: len(answered)])
        again = times_billed(fake.entries[len(answered) :])
        assert not [sha256 for sha256 in billed if again[sha256] and sha256 in answered]


def test_a_hang_up_that_comes_twice_as_from_kernel_and_shell_is_one(tmp_path, inputs):
    with service(tmp_path, latency_s=1.5) as (fake, machine):
        process = machine.start(*COMMAND)
        until(lambda: fake.stats()["in_flight"] > 3)
        process.send_signal(signal.SIGHUP)
        assert signalled(process, signal.SIGHUP).status == 75
        judge_resumed(machine, inputs, fake)
        assert set(times_billed(fake.entries).values()) == {1}


def test_a_hang_up_that_was_ignored_at_the_start_stays_ignored(tmp_path, inputs):
    with service(tmp_path, latency_s=0.5) as (fake, machine):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        try:
            process = machine.start(*COMMAND)
        finally:
            signal.signal(signal.SIGHUP, before)
        until(lambda: fake.stats()["in_flight"] > 3)
        assert signalled(process, signal.SIGHUP).status == 0
        judge_rows(inputs, written(tmp_path))


def test_ctrl_c_while_the_command_is_loaded_just_ends_it():
    command = [sys.executable, "-X", "importtime", "-m", "ocrlabel", "run", "images"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" ignores it
    try:
        # a pipe of a page, so that it waits for whoever reads what is imported
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pipesize=4096)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        loading = iter(process.stderr)
        next(line for line in loading if "typer" in line)
        process.send_signal(signal.SIGINT)
        rest = "".join(loading)
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in rest


@pytest.mark.parametrize("log", ["lines", "json", "bar"])
def test_a_reader_of_the_output_that_goes_away_changes_nothing(tmp_path, inputs, log):
    with service(tmp_path, latency_s=0.3) as (fake, machine):
        process = machine.start(*COMMAND, OCRLABEL_LOG=log)
        until(lambda: fake.stats()["in_flight"] > 3)
        process.stdout.close()
        process.stderr.close()
        assert process.wait(120) == 0
        found = written(tmp_path)
        judge_rows(inputs, found)
        judge_money(inputs, fake.entries, found)
