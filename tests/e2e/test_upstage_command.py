"""`ocrlabel run --engine upstage` over real HTTP, judged from inputs, tables and the service's log."""

from __future__ import annotations

import json
import re

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency, Refusal, parse_faults
from tests.support.command import ocrlabel
from tests.support.fake_upstage import running
from tests.support.judge import judge_money, judge_rows, times_billed, written
from tests.support.mixed import mixed
from tests.support.process import Machine, ended, until

RUN = ("run", "images", "--engine", "upstage", "--max-failures", "50%", "--log", "lines")
CHAOS = "500:0.08,503:0.05,429:0.10,drop-before:0.02,drop-after:0.02,html:0.03,cut-json:0.03"


@pytest.fixture
def inputs(tmp_path):
    return mixed(tmp_path / "images", images=30, pdfs=4, tiffs=1, copies=5, broken=3)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Start a service and point the command, here and in processes, at it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCRLABEL_REPORT", "false")
    open_services = []

    def serve(settings: FakeSettings, keys: str = "up_one@60"):
        service = running(settings)
        fake = service.__enter__()
        open_services.append(service)
        variables = {"UPSTAGE_API_KEYS": keys, "UPSTAGE_BASE_URL": fake.base_url}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return fake, Machine(tmp_path, variables)

    yield serve
    for service in open_services:
        service.__exit__(None, None, None)


def test_in_chaos_every_image_is_labelled_and_the_bill_lies_where_the_report_says(tmp_path, served):
    inputs = mixed(tmp_path / "images", images=70, pdfs=5, tiffs=2, copies=8, broken=3)
    settings = FakeSettings(faults=parse_faults(CHAOS), latency=Latency(0.1, 0.3), seed=11)
    fake, _ = served(settings)
    ran = ocrlabel(*RUN)
    assert ran.status == 0, ran.err
    found = written(tmp_path)
    judge_rows(inputs, found)
    judge_money(inputs, fake.entries, found)
    assert {"500", "429", "drop-after", "cut-json"} <= {entry.cause for entry in fake.entries}
    assert found.account["billed_pages"] == sum(e.billed for e in fake.entries if not e.cause)


def test_a_cap_is_never_passed_and_a_higher_one_goes_on(tmp_path, served, inputs):
    fake, _ = served(FakeSettings(faults=parse_faults("500:0.1,drop-after:0.03"), seed=5))
    for cap in (7, 19, 30):
        ran = ocrlabel(*RUN, "--max-cost", f"{cap * 0.0015:.4f}")
        assert ran.status == 5
        assert "--max-cost" in ran.err
        assert sum(entry.billed for entry in fake.entries) <= cap
        told = json.loads((tmp_path / "labels_run.json").read_text())
        assert told["not_reached"] > 0
        assert told["complete"] is False
    assert ocrlabel(*RUN, "--max-cost", "none").status == 0
    found = written(tmp_path)
    judge_rows(inputs, found)
    judge_money(inputs, fake.entries, found)


def test_a_dry_run_of_the_rest_tells_the_cap_that_holds_and_what_is_spent(served, inputs):
    served(FakeSettings())
    assert ocrlabel(*RUN, "--max-cost", "0.03", "--rps", "50").status == 5
    told = ocrlabel(*RUN, "--dry-run").out
    assert re.search(r"0\.0300 USD will not be enough after 0\.0\d+ USD that are spent", told)
    assert "at 50 requests/s" in told


def test_two_processes_of_one_output_share_the_work_and_nothing_is_asked_twice(
    tmp_path, served, inputs
):
    fake, machine = served(FakeSettings(latency=Latency(0.2, 0.2)), keys="up_one@20")
    small = ("--batch-size", "10")
    both = [machine.start(*RUN, *small), machine.start(*RUN, *small)]
    for process in both:
        ran = ended(process)
        assert ran.status == 0, ran.err
        assert "labels table" in ran.out
    found = written(tmp_path)
    judge_rows(inputs, found)
    judge_money(inputs, fake.entries, found)
    assert set(times_billed(fake.entries).values()) == {1}
    assert found.at_risk_pages == 0


def test_status_tells_how_it_stands_while_it_runs_and_after(tmp_path, served, inputs):
    fake, machine = served(FakeSettings(latency=Latency(0.5)), keys="up_one@4")
    process = machine.start(*RUN)
    until(lambda: len(fake.entries) > 6)
    during = ocrlabel("status", "labels.parquet", "--watch-s", "1")
    assert "running, 1 worker" in during.out
    done = int(re.search(r"done +(\d+) of 43", during.out)[1])
    assert 0 < done < 43
    assert "pages billed" in during.out
    fake.control({"latency": "0", "rps": None})
    assert ended(process).status == 0
    after = ocrlabel("status", "labels.parquet")
    assert "done; both tables are written" in after.out
    assert "43 of 43" in after.out


def test_reparse_makes_equal_labels_from_the_raw_answers_and_sends_nothing(
    tmp_path, served, inputs
):
    fake, _ = served(FakeSettings())
    assert ocrlabel(*RUN).status == 0
    before, sent = written(tmp_path), len(fake.entries)
    (tmp_path / "labels.parquet").unlink()
    ran = ocrlabel("reparse", "images")
    assert ran.status == 0, ran.err
    assert "could not be read" not in ran.out
    after = written(tmp_path)
    assert after.labels == before.labels
    assert after.failures == before.failures
    assert after.account == before.account
    assert len(fake.entries) == sent
    again = ocrlabel(*RUN)
    assert "was done before" in again.out
    assert len(fake.entries) == sent


def test_a_partial_merge_of_a_stopped_run_holds_what_is_saved_and_spoils_nothing(
    tmp_path, served, inputs
):
    fake, _ = served(FakeSettings(credit_pages=20))
    ran = ocrlabel(*RUN)
    assert ran.status == 4
    assert "credit" in ran.err
    assert ocrlabel("merge", "images").status == 2
    assert ocrlabel("merge", "images", "--partial").status == 0
    partial = written(tmp_path, "labels").told if (tmp_path / "labels.parquet").exists() else None
    assert partial is None
    assert (tmp_path / "labels_partial.parquet").exists()
    fake.control({"credit": None})
    assert ocrlabel(*RUN).status == 0
    found = written(tmp_path)
    judge_rows(inputs, found)
    judge_money(inputs, fake.entries, found)
    before = found.told
    assert ocrlabel("merge", "images", "--partial").status == 0
    assert written(tmp_path).told == before


def test_a_key_that_is_refused_midway_leaves_the_rest_to_the_other(tmp_path, served, inputs):
    keys = parse_keys("up_one@30,up_two@30")
    refusals = (Refusal(keys[0].name, 5, 401),)
    fake, _ = served(FakeSettings(keys=keys, refusals=refusals), keys="up_one@30,up_two@30")
    ran = ocrlabel(*RUN)
    assert ran.status == 0, ran.err
    found = written(tmp_path)
    judge_rows(inputs, found)
    judge_money(inputs, fake.entries, found)
    assert ran.err.count("it is key 1 of 2 in UPSTAGE_API_KEYS; going on with 1 other key") == 1
    for secret in ("up_one", "up_two"):
        assert secret not in ran.out + ran.err


def test_when_no_key_is_left_each_is_named_by_its_place_and_none_is_shown(served, inputs):
    keys = parse_keys("up_one@30,up_two@30")
    served(
        FakeSettings(keys=keys, refusals=tuple(Refusal(key.name, 0, 401) for key in keys)),
        keys="up_one@30,up_two@30",
    )
    ran = ocrlabel(*RUN)
    assert ran.status == 4, ran.err
    for number in (1, 2):
        assert f"it is key {number} of 2 in UPSTAGE_API_KEYS" in ran.err
    for secret in ("up_one", "up_two"):
        assert secret not in ran.out + ran.err


def test_a_wrong_address_ends_it_at_once_with_the_setting_to_look_at(
    tmp_path, served, inputs, monkeypatch
):
    fake, _ = served(FakeSettings())
    monkeypatch.setenv("UPSTAGE_BASE_URL", fake.base_url.replace("/v1", "/v2"))
    ran = ocrlabel(*RUN)
    assert ran.status == 2
    assert "UPSTAGE_BASE_URL" in ran.err
    assert not (tmp_path / "labels_failures.parquet").exists()


def test_a_server_that_hangs_is_left_after_the_time_out_and_asked_again(
    tmp_path, served, inputs, monkeypatch
):
    monkeypatch.setenv("OCRLABEL_REQUEST_TIMEOUT_S", "1")
    fake, _ = served(FakeSettings(faults=parse_faults("hang:0.1"), seed=2))
    ran = ocrlabel(*RUN)
    assert ran.status == 0, ran.err
    found = written(tmp_path)
    judge_rows(inputs, found)
    judge_money(inputs, fake.entries, found)
    hung = sum(entry.pages for entry in fake.entries if entry.cause == "hang")
    assert hung > 0
    assert found.at_risk_pages == hung
