"""Summaries and the files they go to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.aws.cost import CostLine
from ocrlabel.aws.explain import Explanation
from ocrlabel.aws.jobs import for_service
from ocrlabel.aws.workflow import RunInputs, put_output, summarise
from ocrlabel.aws.workflow_summary import Console, code_span, fenced, plain, summary
from ocrlabel.errors import ConfigError

JOB = {"dataset": "baseline_train", "job_id": "1b6a"}
CONSOLE = Console("ap-northeast-2")
RECORD = {
    "dataset": "baseline_train",
    "rows": 3272,
    "labelled": 3270,
    "failed": 2,
    "not_reached": 0,
    "words": 40_000,
    "pages": 3301,
    "failures": {"rejected": 1, "not_an_image": 1},
    "account": {"billed_pages": 3301},
    "billed_usd": 4.9515,
    "requests_per_s": 2.97,
    "created_at_s": 1000.0,
    "ended_at_s": 9000.0,  # a pause lies between
    "active_s": 1100.0,
}


def test_an_estimate_says_what_will_be_paid_before_it_is():
    bills = {"OCR": [CostLine("OCR", 4.908, "")], "machines": [CostLine("m", 0.02, "", bound=True)]}
    inputs = RunInputs("baseline_train", {"max_cost": 10.0, "limit": "50"})
    text = summary(
        "estimate",
        inputs=inputs,
        options=inputs.options,
        more="--limit 50 --retry-failed all",
        rows=3272,
        sizing=for_service(3272, requests_per_s=3),
        bills=bills,
    )
    assert "| images | 3,272 |" in text
    assert "about 18 min" in text
    assert "| OCR | $4.9080 |" in text
    assert "| machines | at most $0.0200 |" in text
    assert "| cap on OCR | $10.00 |" in text
    assert "| more options | `--limit 50 --retry-failed all` |" in text


def test_results_are_counts_failures_rate_time_and_cost():
    compute = [CostLine("vCPUs", 0.0139, "", bound=True)]
    text = summary("results", record=RECORD, hours=0.31, compute=compute)
    for line in (
        "| labelled | 3,270 |",
        "| failed | 2 |",
        "| requests/s | 2.97 |",
        "| time | 18 min |",
        "| OCR | $4.9515 |",
        "| machines, as on demand | at most $0.0139 for 0.31 hours |",
        "| `not_an_image` | 1 |",
    ):
        assert line in text


def test_a_run_that_is_handed_over_says_how_to_pick_it_up():
    text = summary("handed_over", **JOB, state="RUNNING · done 6 of 18", after_s=19_800)
    assert "Handed over after 5 h 30 min: the job goes on" in text
    assert "`1b6a` in *pick up*" in text
    assert "`ocrlabel aws status baseline_train --job 1b6a --watch`" in text


def test_a_failure_shows_reason_remedy_and_the_log_which_stays_in_its_box():
    log = ("{}", "```", "# not a heading", "\x1b[31mred")
    text = summary(
        "failed", **JOB, console=CONSOLE, explained=Explanation("it failed: no credit", "pay", log)
    )
    assert "it failed: no credit" in text
    assert "**What to do:** pay" in text
    assert "\n````text\n{}\n```\n# not a heading\n" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("job", "stopped", "says"),
    [
        ("", False, "before a job was submitted"),
        ("1b6a", False, "goes on"),
        ("1b6a", True, "is being stopped"),
    ],
)
def test_a_cancelled_run_says_what_became_of_its_job(job, stopped, says):
    assert says in summary("cancelled", dataset="baseline_train", job_id=job, stopped=stopped)


def test_a_deployment_links_commit_image_and_revision():
    definition = {
        "jobDefinitionName": "p",
        "revision": 7,
        "jobDefinitionArn": "arn:aws:batch:r:1:j/p:7",
    }
    text = summary(
        "deployed",
        host="123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        repository="batch-processor",
        digest="sha256:ab",
        definition=definition,
        commit="4f2c1e0d9b8a7f",
        console=Console(),
        here="https://github.com/me/it",
    )
    assert "https://github.com/me/it/commit/4f2c1e0d9b8a7f" in text
    assert "ecr/repositories/private/123456789012/batch-processor)" in text
    assert "[p:7](https://console.aws.amazon.com/batch/home#job-definition/detail/arn:" in text


def test_a_region_that_github_would_mask_is_left_out_of_a_link():
    assert "region" not in Console("").job("1b6a")
    assert "?region=eu-west-1#jobs/detail/1b6a" in Console("eu-west-1").job("1b6a")


@given(st.text())
def test_no_text_can_break_out_of_a_cell_or_become_markup(text):
    for cell in (plain(text), code_span(text)):
        line = f"| {cell} | c |"
        assert "\n" not in line
        assert line.replace("\\|", "").count("|") == 3
    assert "`" not in code_span(text)[1:-1]
    assert "<" not in plain(text).replace("\\<", "")


HOSTILE = "<b>@me [x](y) | `z`\n# no"


def test_a_value_of_a_part_becomes_no_markup_unless_it_is_ours():
    text = summary("handed_over", **JOB, state=HOSTILE, after_s=1)
    assert plain(HOSTILE) in text
    assert HOSTILE not in text
    failed = summary("failed", **JOB, console=CONSOLE, explained=Explanation(HOSTILE, HOSTILE, ()))
    assert failed.count(plain(HOSTILE)) == 2


@given(st.lists(st.text(alphabet="`a \n")))
def test_no_line_of_a_log_closes_its_fence(lines):
    fence, *inner, end = fenced(lines).split("\n")
    assert fence == f"{end}text"
    assert not [line for line in inner if line.strip() == end]


def test_outputs_and_summaries_are_appended(tmp_path):
    files = {"GITHUB_OUTPUT": str(tmp_path / "o"), "GITHUB_STEP_SUMMARY": str(tmp_path / "s")}
    put_output(files, "job-id", "1b6a")
    put_output(files, "outcome", "failed")
    summarise(files, "# one")
    summarise(files, "two\n\n")
    assert (tmp_path / "o").read_text() == "job-id=1b6a\noutcome=failed\n"
    assert (tmp_path / "s").read_text() == "# one\n\ntwo\n\n"


@pytest.mark.parametrize("value", ["1b6a\nfound=true", "a\rb"])
def test_an_output_cannot_pose_as_another_one(tmp_path, value):
    with pytest.raises(ConfigError, match="not one line"):
        put_output({"GITHUB_OUTPUT": str(tmp_path / "o")}, "job-id", value)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("variables", [{}, {"GITHUB_OUTPUT": "", "GITHUB_STEP_SUMMARY": ""}])
def test_outside_of_github_nothing_is_written(variables):
    put_output(variables, "job-id", "1b6a")
    summarise(variables, "x")
