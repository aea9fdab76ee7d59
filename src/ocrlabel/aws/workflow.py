"""A step of the GitHub workflow: what it reads, the job it looks for, and the files it writes.

GitHub passes each field of the form as a variable, never inside a command; whatever was typed
arrives here as text, and leaves as a value or as a sentence that refuses it. A later step finds
the job of an earlier one by its name, and no value can pose as another output of a step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ocrlabel.aws.jobs import MAX_ARRAY, PARTIAL, TABLES, Job, job_name
from ocrlabel.aws.names import QUEUE, checked_dataset
from ocrlabel.aws.session import Aws, if_there, translated
from ocrlabel.errors import ConfigError
from ocrlabel.options import DATASET, Described, Front, Options, described, from_words, options_of

T = TypeVar("T")
_WHOLE = re.compile(r"[0-9]{1,9}\Z")
_MONEY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?\Z")
_DURATION = re.compile(r"(?:([0-9]{1,4})h)?(?:([0-9]{1,4})m)?(?:([0-9]{1,6})s)?\Z")
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,127}\Z")
_NAME = re.compile(r"[a-z][a-z0-9-]*\Z")


@dataclass(frozen=True, slots=True)
class RunInputs:
    """The form's fields, checked.

    given: options of the run, as they were typed. workers: None for as many as help. pick_up: a
    job that an earlier run of the workflow submitted; follow it, and submit none. on_cancel: keep
    or stop the job when someone cancels the workflow.
    """

    dataset: str
    given: Mapping[str, Any] = field(default_factory=dict)
    workers: int | None = None
    on_cancel: str = "keep"
    pick_up: str = ""

    @property
    def options(self) -> Options:
        """What the workers make of them. Raises ConfigError."""
        return Options.of({}, defaults={"resume": False}, **self.given)

    @property
    def engine(self) -> str:
        """The engine of the workers."""
        return str(self.given.get("engine", described()["engine"].option.in_a_job[0]))


def run_inputs(variables: Mapping[str, str]) -> RunInputs:
    """The inputs from their variables. Raises ConfigError with every field that is refused."""
    refused: list[str] = []

    def typed(name: str, parse: Callable[[str, str], T], default: T) -> T:
        text = variables.get(f"INPUT_{name.upper()}", "").strip()
        try:
            return parse(name, text) if text else default
        except ConfigError as error:
            refused.append(str(error))
            return default

    dataset = typed("dataset", lambda _, text: checked_dataset(text), "")
    given: dict[str, Any] = {one.name: typed(one.name, _parser(one), None) for one in own_fields()}
    given |= typed("options", _options, dict[str, Any]())
    found = RunInputs(
        dataset,
        {name: value for name, value in given.items() if value is not None},
        workers=typed("workers", partial(_whole, 1, MAX_ARRAY), None),
        on_cancel=typed("on_cancel", partial(_one_of, ("keep", "stop")), "keep"),
        pick_up=typed("pick_up", lambda _, text: checked_job(text), ""),
    )
    if not found.dataset and not refused:
        refused.append(f"dataset is empty: {DATASET}, say")
    if refused:
        raise ConfigError("the workflow's inputs cannot be used:\n  " + "\n  ".join(refused))
    return found


def own_fields() -> list[Described]:
    """The options that have a field of their own, in the form's order; the dataset is none."""
    ranked = [
        (one.option.form.rank, one)
        for one in options_of(Front.WORKFLOW).values()
        if one.option.form and one.name != "dataset_name"
    ]
    return [one for _, one in sorted(ranked, key=lambda each: each[0])]


def _options(_: str, text: str) -> dict[str, Any]:
    """The field for all options that have none of their own: `--limit 100 --report`."""
    try:
        given = from_words(text, options_of(Front.WORKFLOW))
        Options.of({}, **given)
    except ConfigError as error:
        raise ConfigError(f"options: {error}") from error
    if twice := [one.flag for one in described().values() if one.option.form and one.name in given]:
        raise ConfigError(f"options: {twice[0]} has a field of its own")
    return given


def _parser(one: Described) -> Callable[[str, str], Any]:
    if one.option.in_a_job:
        return partial(_one_of, one.option.in_a_job)
    if one.written is bool:
        return _switch
    if one.written is int:
        return partial(_whole, int(one.option.least or 0), int(one.option.most or 0))
    return partial(_money, one.option.most or 0)


def _switch(name: str, text: str) -> bool | None:
    if text not in {"true", "false"}:
        raise ConfigError(f"{name} is {_shown(text)}: true or false")
    return True if text == "true" else None


def _whole(least: int, most: int, name: str, text: str) -> int | None:
    if not _WHOLE.match(text) or not least <= int(text) <= most:
        raise ConfigError(f"{name} is {_shown(text)}: a whole number from {least} to {most:,}")
    return int(text)


def _money(most: float, name: str, text: str) -> float:
    if not _MONEY.match(text) or not 0 < float(text) <= most:
        raise ConfigError(f"{name} is {_shown(text)}: US dollars, as 10 or 2.50")
    return float(text)


def _one_of(choices: tuple[str, ...], name: str, text: str) -> str:
    if text not in choices:
        raise ConfigError(f"{name} is {_shown(text)}: {' or '.join(choices)}")
    return text


def duration_s(text: str) -> float:
    """Seconds of 5h30m, 90m or 45s. Raises ConfigError."""
    match = _DURATION.match(text)
    if not text or match is None:
        raise ConfigError(f"{_shown(text)} is no time span: write 5h30m, 90m or 45s")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds


def checked_job(job_id: str) -> str:
    """A job's id as Batch makes them. Raises ConfigError."""
    if not _JOB.match(job_id):
        raise ConfigError(f"{_shown(job_id)} is no id of an AWS Batch job")
    return job_id


def _shown(text: str) -> str:
    """Quoted and on one line, so that it can be no command to the terminal or to the runner."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def run_stamp(variables: Mapping[str, str]) -> str:
    """The end of the job's name: which run of the workflow submitted it."""
    run_id, attempt = (
        variables.get(f"GITHUB_RUN_{name}", "").strip() for name in ("ID", "ATTEMPT")
    )
    return f"g{run_id}-{attempt}"


def find(aws: Aws, dataset: str, stamp: str) -> str:
    """The id of the job that this run of the workflow submitted; "" where it submitted none.

    A step that is cancelled while SubmitJob is under way writes no id, but its job may be there.
    """
    name = job_name(dataset, stamp)
    filters = [{"name": "JOB_NAME", "values": [name]}]
    with translated(f"look for job {name}"):
        found = aws.client("batch").list_jobs(jobQueue=QUEUE, filters=filters)["jobSummaryList"]
    return str(found[0]["jobId"]) if found else ""


def results_of(aws: Aws, bucket: str, dataset: str, job: Job) -> tuple[str, ...]:
    """The endings of the files that this job wrote, or found done; () where it wrote no table.

    A job that failed may have written the tables (too many rows failed), or partial ones (the cap
    was reached); what there is of an earlier run is not its result.
    """
    for endings in (TABLES, PARTIAL):
        if _wrote(aws, bucket, f"data/processed/{dataset}{endings[0]}", job):
            return endings
    return ()


def _wrote(aws: Aws, bucket: str, key: str, job: Job) -> bool:
    def look() -> Any:
        return aws.client("s3").head_object(Bucket=bucket, Key=key)["LastModified"]

    written = if_there(f"look for s3://{bucket}/{key}", look, "404", "403", "NoSuchKey")
    if written is None or job.status == "SUCCEEDED":
        return written is not None
    # S3 gives whole seconds
    return job.created_s is not None and written.timestamp() >= int(job.created_s)


def put_output(variables: Mapping[str, str], name: str, value: str) -> None:
    """An output of this step. Raises ConfigError for a value that could pose as another one."""
    if not _NAME.match(name) or "\n" in value or "\r" in value:
        raise ConfigError(f"the output {name} is not one line: {value[:60]!r}")
    _append(variables.get("GITHUB_OUTPUT"), f"{name}={value}\n")


def summarise(variables: Mapping[str, str], markdown: str) -> None:
    """Add to the summary that the run's page shows."""
    _append(variables.get("GITHUB_STEP_SUMMARY"), markdown.rstrip("\n") + "\n\n")


def _append(path: str | None, text: str) -> None:
    if path:  # outside of GitHub there is none, and nothing is written
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
