"""Every option of a run, through every front that has it: the same name, and the same value."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer
import yaml
from typer.main import get_command

import ocrlabel
from ocrlabel.aws.job_definition import COMMAND
from ocrlabel.aws.jobs import command
from ocrlabel.aws.workflow import run_inputs
from ocrlabel.cli.run import bucket_run
from ocrlabel.errors import ConfigError
from ocrlabel.keywords import Keywords
from ocrlabel.options import Front, Options, argv, described, options_of
from scripts import render
from tests.support.command import commands

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / render.WORKFLOW).read_text(encoding="utf-8"))
FORM = WORKFLOW[True]["workflow_dispatch"]["inputs"]

# What is written, and what it comes to. None of them is the default.
WRITTEN = {
    "s3_bucket": ("other", "other"),
    "dataset_name": ("baseline_val", "baseline_val"),
    "input_s3_key": ("in/x.parquet", "in/x.parquet"),
    "output_s3_key": ("out/x.parquet", "out/x.parquet"),
    "output": ("x.parquet", "x.parquet"),
    "engine": ("rapidocr", "rapidocr"),
    "engine_option": ("url=http://a/?b=c,d", ("url=http://a/?b=c,d",)),
    "language": ("ko", ("ko",)),
    "image_root": ("s3://other/pages", ("s3://other/pages",)),
    "image_column": ("scan of", "scan of"),
    "id_column": ("key; $(id)", "key; $(id)"),
    "resume": ("true", True),
    "sample": ("20", 20),
    "seed": ("7", 7),
    "limit": ("100", 100),
    "retry_failed": ("timed_out,not_found", ("timed_out", "not_found")),
    "reuse_from": ("old.parquet", "old.parquet"),
    "fresh": ("true", True),
    "grow": ("true", True),
    "drop_gone": ("true", True),
    "rps": ("2.5", 2.5),
    "concurrency": ("12", 12),
    "processes": ("3", 3),
    "max_cost": ("4.50", 4.5),
    "price_per_page": ("0.002", 0.002),
    "max_failures": ("7%", 0.07),
    "attempts": ("3", 3),
    "give_up_after": ("15m", 900.0),
    "deadline": ("2026-11-24T18:00Z", datetime(2026, 11, 24, 18, tzinfo=UTC)),
    "batch_size": ("40", 40),
    "checkpoint_prefix": ("kept", "kept"),
    "model": ("ocr-250904", "ocr-250904"),
    "report": ("false", False),
    "log": ("lines", "lines"),
    "image_deadline_s": ("10", 10.0),
    "grace_s": ("1.5", 1.5),
    "lease_s": ("6", 6.0),
    "send_within_s": ("11", 11.0),
    "request_timeout_s": ("12", 12.0),
    "page_timeout_s": ("13", 13.0),
    "latency": ("0.25", 0.25),
}

IN_A_BUCKET = {"s3_bucket", "input_s3_key", "output_s3_key"}
TUNING = {"image_deadline_s", "grace_s", "lease_s", "send_within_s", "request_timeout_s"} | {
    *("page_timeout_s", "latency")
}
NOT_IN_A_JOB = {"output", "reuse_from", "deadline", "engine_option"} | TUNING
EXCEPTIONS = {
    Front.RUN: IN_A_BUCKET | TUNING | {"dataset_name", "resume"},
    Front.RUNNER: NOT_IN_A_JOB,
    Front.SUBMIT: NOT_IN_A_JOB | IN_A_BUCKET | {"dataset_name", "checkpoint_prefix"},
    Front.WORKFLOW: NOT_IN_A_JOB | IN_A_BUCKET | {"checkpoint_prefix"},
    Front.PYTHON: IN_A_BUCKET | {"resume", "log"},
}

COMMANDS = commands()
RUN, SUBMIT = COMMANDS["run",], COMMANDS["aws", "submit"]
_alone = typer.Typer(add_completion=False)
_alone.command()(bucket_run)
RUNNER = get_command(_alone)


def flags(name: str) -> list[str]:
    text, value = WRITTEN[name]
    flag = described()[name].flag
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-")]
    return [flag, text]


def given(to, *words: str, own: tuple[str, ...] = ()) -> dict:
    """What a command hands on as its options, of what was typed."""
    typed = to.make_context("it", list(words)).params
    return {name: value for name, value in typed.items() if name in described() and name not in own}


def read_by_the_runner(words: list[str], name: str):
    assert words[: len(COMMAND)] == list(COMMAND)
    typed = given(RUNNER, *words[len(COMMAND) :])
    return getattr(Options.of({}, front=Front.RUNNER, defaults={"resume": False}, **typed), name)


def of(front: Front):
    return pytest.mark.parametrize("name", options_of(front))


def test_every_option_has_something_to_be_tried_with_that_is_not_its_default():
    assert WRITTEN.keys() == described().keys()
    # the one that by default is as here, and not in the runner
    same = [name for name, one in described().items() if one.default == WRITTEN[name][1]]
    assert same == ["resume"]


@pytest.mark.parametrize("front", Front)
def test_what_a_front_lacks_is_known_and_has_a_reason(front):
    lacking = {name: one.option.lacks.get(front) for name, one in described().items()}
    assert {name for name, why in lacking.items() if why is not None} == EXCEPTIONS[front]
    assert "" not in lacking.values()


@pytest.mark.parametrize("name", WRITTEN)
def test_every_option_is_a_variable(name):
    (text, value), front = WRITTEN[name], Front.RUNNER if name == "resume" else Front.RUN
    assert getattr(Options.of({f"OCRLABEL_{name.upper()}": text}, front=front), name) == value


@pytest.mark.parametrize("front", [Front.RUN, Front.PYTHON])
def test_who_always_goes_on_cannot_be_told_not_to_by_a_variable(front):
    assert Options.of({"OCRLABEL_RESUME": "false"}, front=front).resume is True


def test_text_that_ends_like_a_number_reaches_a_job_as_it_was_written():
    assert argv({"model": "ocr-2.0", "rps": 2.0}) == ["--model", "ocr-2.0", "--rps", "2"]


def test_a_flag_of_the_guide_that_holds_nothing_leaves_it_to_the_variable():
    options = Options.of({"S3_BUCKET": "b"}, front=Front.RUNNER, s3_bucket="")
    assert options.s3_bucket == "b"


def test_what_the_python_call_lacks_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match="s3_bucket is no keyword"):
        ocrlabel.label("images/", s3_bucket="b")


@of(Front.RUN)
def test_every_option_is_taken_by_run(name):
    typed = given(RUN, "images/", *flags(name))
    assert getattr(Options.of({}, **typed), name) == WRITTEN[name][1]


@of(Front.RUNNER)
def test_every_option_is_taken_by_the_runner(name):
    typed = given(RUNNER, *flags(name))
    assert getattr(Options.of({}, front=Front.RUNNER, **typed), name) == WRITTEN[name][1]


@pytest.mark.parametrize(
    "name", [name for name, one in described().items() if one.option.guide], ids=str
)
def test_the_guides_variables_are_the_runners_alone_and_win_over_ours(name):
    one, (text, value) = described()[name], WRITTEN[name]
    variables = {one.option.guide: f" {text}\n", one.variable: "1"}
    assert one.option.guide == name.upper()
    assert getattr(Options.of(variables, front=Front.RUNNER), name) == value
    assert getattr(Options.of({one.option.guide: text}), name) == one.default
    blank = {one.option.guide: " ", one.variable: text}
    assert getattr(Options.of(blank, front=Front.RUNNER), name) == value


@of(Front.SUBMIT)
def test_what_is_submitted_is_what_the_runner_reads(name):
    typed = given(SUBMIT, "train", *flags(name))
    assert read_by_the_runner(command("train", typed), name) == WRITTEN[name][1]


def test_submit_has_all_that_the_runner_has_but_where_its_data_is():
    lacking = options_of(Front.RUNNER).keys() - options_of(Front.SUBMIT).keys()
    # the dataset is an argument; the worker's role writes nowhere else than below checkpoints/
    assert lacking == IN_A_BUCKET | {"dataset_name", "checkpoint_prefix"}


@of(Front.WORKFLOW)
def test_what_is_typed_into_the_form_is_what_the_runner_reads(name):
    text, value = WRITTEN[name]
    form = {"INPUT_DATASET": "train"}
    if name == "dataset_name":
        form["INPUT_DATASET"] = text
    elif name in FORM:
        form[f"INPUT_{name.upper()}"] = text
    else:
        form["INPUT_OPTIONS"] = " ".join(f"'{word}'" for word in flags(name))
    inputs = run_inputs(form)
    assert read_by_the_runner(command(inputs.dataset, inputs.given), name) == value


def test_a_form_hands_every_field_on_and_has_no_more_than_github_allows():
    own = {one.name for one in options_of(Front.WORKFLOW).values() if one.option.form}
    beside = {"workers", "options", "on_cancel", "pick_up"}
    assert set(FORM) == own - {"dataset_name"} | {"dataset"} | beside
    assert list(FORM)[:4] == ["dataset", "resume", "batch_size", "concurrency"], "as in the guide"
    assert len(FORM) <= render.MOST_INPUTS
    handed_on = WORKFLOW["jobs"]["label"]["env"]
    for name in FORM:
        assert handed_on[f"INPUT_{name.upper()}"] == f"${{{{ inputs.{name} }}}}"


@of(Front.PYTHON)
def test_every_option_is_a_keyword(name):
    text, value = WRITTEN[name]
    assert name in Keywords.__annotations__ or name in {"engine", "output"}
    assert getattr(Options.of({}, **{name: value}), name) == value
    if str in get_args(get_type_hints(Keywords).get(name)):
        assert getattr(Options.of({}, **{name: text}), name) == value


@pytest.mark.parametrize(
    ("front", "knows"), [(Front.RUN, RUN), (Front.RUNNER, RUNNER), (Front.SUBMIT, SUBMIT)]
)
def test_a_command_has_its_options_and_a_few_of_its_own(front, knows):
    names = {one.name for one in knows.params}
    beside = {
        Front.RUN: {"source", "dry_run", "yes", "quiet", "verbose"},
        Front.RUNNER: set(),
        Front.SUBMIT: {"dataset", "workers", "ec2", "watch", "quiet", "verbose"},
    }
    assert names == options_of(front).keys() | beside[front]


def test_a_command_line_wins_over_a_variable_and_a_variable_over_the_fronts_own_default():
    variables = {"OCRLABEL_LOG": "json", "OCRLABEL_LIMIT": "7"}
    found = Options.of(variables, defaults={"log": "quiet", "seed": 3}, log="bar", limit=None)
    assert (found.log, found.limit, found.seed, found.attempts) == ("bar", 7, 3, 8)


def test_options_are_words_of_a_command_and_not_of_a_shell():
    said = {
        "model": "$(id)",
        "image_root": ["a b", "c"],
        "rps": 3.0,
        "report": False,
        "limit": None,
    }
    assert argv(said) == [
        *("--model", "$(id)", "--image-root", "a b", "--image-root", "c"),
        *("--rps", "3", "--no-report"),
    ]


@pytest.mark.parametrize(("bad", "least"), [("limit", 1), ("max_cost", 0), ("attempts", 1)])
def test_a_value_out_of_its_bounds_is_named_as_flag_and_variable(bad, least):
    flag, variable = described()[bad].flag, described()[bad].variable
    with pytest.raises(
        ConfigError, match=rf"{flag} \(or {variable}\): .* {least}; got {least - 1}"
    ):
        Options.of({}, **{bad: least - 1})


@pytest.mark.parametrize("text", ["nan", "inf", "-1"])
@pytest.mark.parametrize("name", ["max_cost", "price_per_page", "lease_s"])
def test_what_is_no_number_is_refused(name, text):
    with pytest.raises(ConfigError, match=described()[name].flag):
        Options.of({}, **{name: text})


def test_a_typo_of_a_keyword_is_refused_with_what_was_meant():
    with pytest.raises(ConfigError, match="no option 'max_costs': did you mean max_cost"):
        Options.of({}, max_costs=5)


@pytest.mark.parametrize("front", [Front.RUN, Front.RUNNER, Front.PYTHON])
@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("OCRLABEL_MAX_COTS", "did you mean OCRLABEL_MAX_COST?"),
        ("OCRLABEL_RSP", "did you mean OCRLABEL_RPS?"),
        ("OCRLABEL_max_cost", "did you mean OCRLABEL_MAX_COST?"),
        ("OCRLABEL_BUDGET", "here"),
        ("OCRLABEL_JOB", "here"),  # a field that is no option
    ],
)
def test_a_typo_of_a_variable_is_refused_as_a_cap_that_is_not_kept_is_money(front, variable, hint):
    with pytest.raises(ConfigError, match=rf"no option '{variable}':? {re.escape(hint)}"):
        Options.of({variable: "5", "OCRLABEL_LIMIT": "7"}, front=front)


def test_variables_of_others_are_theirs():
    variables = {"MAX_COST": "5", "_OCRLABEL_COMPLETE": "source_bash", "OCRLABELS": "x"}
    assert Options.of(variables) == Options.of({})


@pytest.mark.parametrize("name", render.files())
def test_what_is_written_from_the_options_is_as_they_are(name):
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == render.files()[name], "python scripts/render.py writes it again"


def test_help_does_not_wait_for_pydantic():
    program = (
        "import sys\nfrom ocrlabel.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'pydantic' not in sys.modules, 'imported'\nassert 'ocrlabel.options' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize("number", ["0.0015", "SLICE_ROWS: Final", "BATCH_ROWS: Final"])
def test_a_number_of_all_runs_stands_in_one_place(number):
    sources = sorted((ROOT / "src").rglob("*.py"))
    holders = [path.name for path in sources if number in path.read_text(encoding="utf-8")]
    assert holders == ["options.py"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", {}),
        ("language=ko", {"language": "ko"}),
        ("languages=ko,ja,url=http://a/?b=c", {"languages": "ko,ja", "url": "http://a/?b=c"}),
        ("empty=", {"empty": ""}),
    ],
)
def test_options_of_an_engine_are_keys_and_values(text, read):
    assert Options.of({"OCRLABEL_ENGINE_OPTION": text}).engine_options == read


@pytest.mark.parametrize("text", ["language", "=ko", "a=b,"])
def test_an_option_of_an_engine_without_a_key_is_refused(text):
    given = (text,) if text != "a=b," else ("a=b", "")
    with pytest.raises(ConfigError, match="write key=value"):
        Options.of({}, engine_option=given)
