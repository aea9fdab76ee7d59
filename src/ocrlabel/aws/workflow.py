"""What someone typed into the workflow's form, checked before anything is done with it.

A workflow hands each input over as a variable, never inside a command; whatever is in it, it
arrives here as text, and leaves as a value or as a sentence that refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from botocore.exceptions import ClientError

from ocrlabel.aws.jobs import LABELS, MAX_ARRAY, Job, JobSettings, job_name
from ocrlabel.aws.names import LOG_GROUP, QUEUE, checked_dataset
from ocrlabel.aws.session import Aws, code, translated
from ocrlabel.errors import ConfigError

T = TypeVar("T")
MAX_BATCH_ROWS: Final = 100_000
MAX_CONCURRENCY: Final = 1_000
MAX_COST_USD: Final = 1_000_000
ENGINES: Final = ("upstage", "rapidocr")
_WHOLE = re.compile(r"[0-9]{1,9}\Z")
_MONEY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?\Z")
_DURATION = re.compile(r"(?:([0-9]{1,4})h)?(?:([0-9]{1,4})m)?(?:([0-9]{1,6})s)?\Z")
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,127}\Z")
_NAME = re.compile(r"[a-z][a-z0-9-]*\Z")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@])")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class OnCancel(StrEnum):
    """What becomes of the job when someone cancels the workflow."""

    KEEP = "keep"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class RunInputs:
    """The form's fields. None: left empty, so the command's own default holds."""

    dataset: str
    resume: bool = False
    batch_size: int | None = None
    concurrency: int | None = None
    workers: int | None = None
    engine: str = "upstage"
    max_cost_usd: float | None = None
    on_cancel: OnCancel = OnCancel.KEEP
    pick_up: str = ""
    """A job that an earlier run of the workflow submitted: follow it, and submit none."""


def run_inputs(variables: Mapping[str, str]) -> RunInputs:
    """The inputs from their variables. Raises ConfigError with every field that is refused."""
    refused: list[str] = []

    def field(name: str, parse: Callable[[str, str], T], default: T) -> T:
        text = variables.get(f"INPUT_{name.upper()}", "").strip()
        try:
            return parse(name, text) if text else default
        except ConfigError as error:
            refused.append(str(error))
            return default

    found = RunInputs(
        dataset=field("dataset", lambda _, text: checked_dataset(text), ""),
        resume=field("resume", _boolean, default=False),
        batch_size=field("batch_size", _whole(MAX_BATCH_ROWS), None),
        concurrency=field("concurrency", _whole(MAX_CONCURRENCY), None),
        workers=field("workers", _whole(MAX_ARRAY), None),
        engine=field("engine", _one_of(ENGINES), "upstage"),
        max_cost_usd=field("max_cost", _money, None),
        on_cancel=OnCancel(field("on_cancel", _one_of(tuple(OnCancel)), "keep")),
        pick_up=field("pick_up", lambda _, text: checked_job(text), ""),
    )
    if not found.dataset and not refused:
        refused.append("dataset is empty: baseline_train, say")
    if refused:
        raise ConfigError("the workflow's inputs cannot be used:\n  " + "\n  ".join(refused))
    return found


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


def _boolean(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise ConfigError(f"{name} is {_shown(text)}: true or false")
    return text == "true"


def _whole(most: int) -> Callable[[str, str], int | None]:
    def parse(name: str, text: str) -> int:
        if not _WHOLE.match(text) or not 1 <= int(text) <= most:
            raise ConfigError(f"{name} is {_shown(text)}: a whole number from 1 to {most:,}")
        return int(text)

    return parse


def _money(name: str, text: str) -> float:
    if not _MONEY.match(text) or not 0 < float(text) <= MAX_COST_USD:
        raise ConfigError(f"{name} is {_shown(text)}: US dollars, as 10 or 2.50")
    return float(text)


def _one_of(choices: tuple[str, ...]) -> Callable[[str, str], str]:
    def parse(name: str, text: str) -> str:
        if text not in choices:
            raise ConfigError(f"{name} is {_shown(text)}: {' or '.join(choices)}")
        return text

    return parse


def _shown(text: str) -> str:
    """Quoted and on one line, so that it can be no command to the terminal or to the runner."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def settings(inputs: RunInputs) -> JobSettings:
    """What the workers are told."""
    return JobSettings(
        dataset=inputs.dataset,
        resume=inputs.resume,
        batch_size=inputs.batch_size,
        concurrency=inputs.concurrency,
        engine=None if inputs.engine == "upstage" else inputs.engine,
        max_cost_usd=inputs.max_cost_usd,
    )


def stamp(run_id: str, attempt: str) -> str:
    """The end of the job's name: which run of the workflow made it."""
    return f"g{run_id}-{attempt}"


def find(aws: Aws, dataset: str, made_by: str) -> str:
    """The id of the job that this run of the workflow submitted; "" where it submitted none.

    A step that is cancelled while SubmitJob is under way hands no id on, but its job may be there.
    """
    name = job_name(dataset, made_by)
    filters = [{"name": "JOB_NAME", "values": [name]}]
    with translated(f"look for job {name}"):
        found = aws.client("batch").list_jobs(jobQueue=QUEUE, filters=filters)["jobSummaryList"]
    return str(found[0]["jobId"]) if found else ""


def wrote_results(aws: Aws, bucket: str, dataset: str, job: Job) -> bool:
    """Whether there is a labels table that this job wrote, or found done.

    A job that failed may have written one (too many rows failed), or there may be one of an
    earlier run, which is not its result.
    """
    key = f"data/processed/{dataset}{LABELS}"
    with translated(f"look for s3://{bucket}/{key}"):
        try:
            written = aws.client("s3").head_object(Bucket=bucket, Key=key)["LastModified"]
        except ClientError as error:
            if code(error) in {"404", "403", "NoSuchKey"}:
                return False
            raise
    if job.status == "SUCCEEDED":
        return True
    # S3 tells whole seconds
    return job.created_s is not None and written.timestamp() >= int(job.created_s)


@dataclass(frozen=True, slots=True)
class StepFiles:
    """$GITHUB_OUTPUT and $GITHUB_STEP_SUMMARY; None outside of GitHub, where nothing is written."""

    output: Path | None
    summary: Path | None

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> StepFiles:
        """From the step's variables."""

        def path(name: str) -> Path | None:
            return Path(variables[name]) if variables.get(name) else None

        return cls(path("GITHUB_OUTPUT"), path("GITHUB_STEP_SUMMARY"))

    def put(self, name: str, value: str) -> None:
        """An output of this step. Raises ConfigError for a value that could pose as another one."""
        if not _NAME.match(name) or "\n" in value or "\r" in value:
            raise ConfigError(f"the output {name} is not one line: {value[:60]!r}")
        _append(self.output, f"{name}={value}\n")

    def summarise(self, markdown: str) -> None:
        """Add to the summary that the run's page shows."""
        _append(self.summary, markdown.rstrip("\n") + "\n\n")


def _append(path: Path | None, text: str) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


@dataclass(frozen=True, slots=True)
class Console:
    """region "" leaves it to the console's own choice.

    A region that is one of the repository's secrets would be masked in the summary, and the link
    with it would lead nowhere.
    """

    region: str = ""

    def job(self, job_id: str) -> str:
        """A job of AWS Batch."""
        return self._page("batch", f"jobs/detail/{quote(job_id, safe='')}")

    def definition(self, arn: str) -> str:
        """A revision of a job definition."""
        return self._page("batch", f"job-definition/detail/{quote(arn, safe=':/')}")

    def queue(self) -> str:
        """The queues."""
        return self._page("batch", "queues")

    def logs(self) -> str:
        """The jobs' log group; the console wants its slashes quoted twice."""
        group = quote(quote(LOG_GROUP, safe=""), safe="").replace("%", "$")
        return self._page("cloudwatch", f"logsV2:log-groups/log-group/{group}")

    def repository(self, account: str, repository: str) -> str:
        """The images."""
        region = f"?region={self.region}" if self.region else ""
        base = "https://console.aws.amazon.com/ecr/repositories/private"
        return f"{base}/{quote(account)}/{quote(repository)}{region}"

    def _page(self, service: str, fragment: str) -> str:
        region = f"?region={self.region}" if self.region else ""
        return f"https://console.aws.amazon.com/{service}/home{region}#{fragment}"


@dataclass(frozen=True, slots=True)
class Repository:
    """Where this workflow runs, from GITHUB_SERVER_URL and GITHUB_REPOSITORY."""

    server: str
    name: str

    def workflow(self, file: str) -> str:
        """A workflow's page, with its button."""
        return f"{self.server}/{self.name}/actions/workflows/{file}"

    def commit(self, sha: str) -> str:
        """A commit's page."""
        return f"{self.server}/{self.name}/commit/{sha}"


def plain(text: str) -> str:
    """Text as it stands, whatever is in it: no markup, no link, no mention, one line."""
    return _SPECIAL.sub(r"\\\1", _UNSEEN.sub(" ", text))


def code_span(text: str) -> str:
    """On one line in code type; a backtick in it becomes an apostrophe."""
    return f"`{_UNSEEN.sub(' ', text).replace('`', chr(39)).replace('|', '/')}`"


def link(text: str, url: str) -> str:
    """A link; the address is ours."""
    return f"[{plain(text)}]({url})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(lines: Sequence[str]) -> str:
    """Lines of a log, which cannot close their own fence."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *(_UNSEEN.sub(" ", line) for line in lines), fence])
