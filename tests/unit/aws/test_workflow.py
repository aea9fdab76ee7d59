"""What is typed into the form becomes a value, or a sentence that refuses it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ocrlabel.aws.workflow import RunInputs, checked_job, duration_s, run_inputs
from ocrlabel.errors import ConfigError

FIELDS = (
    *("dataset", "resume", "batch_size", "concurrency", "workers", "engine", "max_cost"),
    *("on_cancel", "pick_up", "options"),
)
HOSTILE = (
    '"; rm -rf /; "',
    "'; rm -rf /; '",
    "$(rm -rf /)",
    "`rm -rf /`",
    "x\nrm -rf /",
    "x\r::set-env name=PATH::/tmp",
    "${{ secrets.AWS_SECRET_ACCESS_KEY }}",
    "../../etc/passwd",
    "--fresh",
    "٣",  # a digit, but not one of ours
    "-1",
    "a\x00b",
    "x" * 5000,
)
NO_NUMBERS = ("nan", "inf", "1e9", "0x10", "1_000", "0", "+1", "1,5", "99999999999")


def typed(**values: str) -> RunInputs:
    form = {"dataset": "baseline_train", **values}
    return run_inputs({f"INPUT_{name.upper()}": value for name, value in form.items()})


def test_empty_fields_leave_the_commands_own_defaults():
    assert typed(**dict.fromkeys(FIELDS[1:], "")) == RunInputs("baseline_train")


def test_every_field_arrives():
    found = typed(
        resume="true",
        batch_size="500",
        concurrency="4",
        workers="2",
        engine="rapidocr",
        max_cost="2.50",
        on_cancel="stop",
        pick_up="1b6a-2c",
        options="--retry-failed 'timed_out,not found' --image-root=a --image-root b --no-report",
    )
    given = {"resume": True, "batch_size": 500, "concurrency": 4, "engine": "rapidocr"}
    given |= {"max_cost": 2.5, "retry_failed": "timed_out,not found", "image_root": ("a", "b")}
    given |= {"report": False}
    assert found == RunInputs("baseline_train", given, 2, "stop", "1b6a-2c")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--limits 5", "no option '--limits': did you mean --limit?"),
        ("--limit", "--limit needs a value"),
        ("--limit --fresh", "--limit needs a value"),
        ("--limit five", "--limit .*valid integer"),
        ("--limit 0", "--limit .*greater than or equal to 1"),
        ("--fresh=yes", "--fresh takes no value"),
        ("--no-limit", "no option '--no-limit'"),
        ("--resume", "--resume has a field of its own"),
        ("--dataset-name other", "--dataset-name has a field of its own"),
        ("--deadline 6h", "no option '--deadline'"),
        ("--limit '5", "cannot be taken apart: No closing quotation"),
        ("5", "no option '5'"),
        ("--limit 5\n--fresh", "is not one line"),
    ],
)
def test_more_options_are_checked_before_anything_is_submitted(text, said):
    with pytest.raises(ConfigError, match=f"options: .*{said}"):
        typed(options=text)


def test_what_a_shell_would_run_is_a_value_like_any_other():
    assert typed(options="--model '$(id); `id` | x'").given == {"model": "$(id); `id` | x"}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_in_every_field(field, text):
    if (field, text) == ("options", "--fresh"):
        text = "--fresh x"  # which is what that field is for
    with pytest.raises(ConfigError) as refused:
        typed(**{field: text})
    said = str(refused.value)
    assert len(said) < 6000
    assert "\r" not in said
    assert "\x00" not in said


@pytest.mark.parametrize("field", ["batch_size", "concurrency", "workers", "max_cost"])
@pytest.mark.parametrize("text", NO_NUMBERS)
def test_only_plain_numbers_are_numbers(field, text):
    with pytest.raises(ConfigError, match=field):
        typed(**{field: text})


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ConfigError) as refused:
        typed(batch_size="0", workers="10001", max_cost="free")
    said = str(refused.value)
    assert "batch_size is '0': a whole number from 1 to 1,000,000" in said
    assert "workers is '10001': a whole number from 1 to 10,000" in said
    assert "max_cost is 'free': US dollars" in said


def test_a_missing_dataset_is_said():
    with pytest.raises(ConfigError, match="dataset is empty"):
        run_inputs({})


@given(st.text())
def test_what_a_field_lets_through_can_stand_in_a_key_and_in_an_argument(text):
    try:
        found = typed(dataset=text)
    except ConfigError:
        return
    assert found.dataset.isascii()
    assert not set(found.dataset) & set(" \t\n\"'`$\\;&|<>(){}[]*?!#~/")
    assert not found.dataset.startswith("-")


@given(st.text())
@example("1\x1f")  # a blank to str.strip, as to nobody else
def test_a_number_is_a_plain_one(text):
    try:
        found = typed(workers=text)
    except ConfigError:
        return
    plain = text.strip()
    assert found.workers is None or (found.workers == int(plain) and plain.isascii())


@pytest.mark.parametrize(
    ("text", "seconds"), [("5h30m", 19800), ("90m", 5400), ("45s", 45), ("1h1s", 3601)]
)
def test_time_spans(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 h", "m", "-1h", "1h\n", "1.5h", "30m5h"])
def test_what_is_no_time_span_is_refused(text):
    with pytest.raises(ConfigError, match="5h30m"):
        duration_s(text)


@pytest.mark.parametrize("text", ["", "a b", "a\n", "$(x)", "../x"])
def test_what_is_no_job_is_refused(text):
    with pytest.raises(ConfigError, match="no id"):
        checked_job(text)
