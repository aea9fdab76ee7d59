"""What the summary of a workflow's run says, as Markdown, with links into AWS's console. Pure.

Text that is not ours (a log, a reason, what was typed) cannot become markup, a link or a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ocrlabel.aws.cost import CostLine, total
from ocrlabel.aws.explain import Explanation
from ocrlabel.aws.jobs import Sizing
from ocrlabel.aws.names import LOG_GROUP
from ocrlabel.aws.workflow import RunInputs, own_fields
from ocrlabel.options import argv
from ocrlabel.wording import duration

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@])")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Console:
    """Links to AWS's console. region "" leaves it to the console's own choice.

    A region that is one of the repository's secrets would be masked in the summary, and the link
    with it would lead nowhere.
    """

    region: str = ""

    def job(self, job_id: str) -> str:
        """A job of AWS Batch."""
        return self._page("batch/home", f"jobs/detail/{quote(job_id, safe='')}")

    def definition(self, arn: str) -> str:
        """A revision of a job definition."""
        return self._page("batch/home", f"job-definition/detail/{quote(arn, safe=':/')}")

    def queue(self) -> str:
        """The queues."""
        return self._page("batch/home", "queues")

    def logs(self) -> str:
        """The jobs' log group; the console wants its slashes quoted twice."""
        group = quote(quote(LOG_GROUP, safe=""), safe="").replace("%", "$")
        return self._page("cloudwatch/home", f"logsV2:log-groups/log-group/{group}")

    def repository(self, account: str, repository: str) -> str:
        """The images."""
        return self._page(f"ecr/repositories/private/{quote(account)}/{quote(repository)}")

    def _page(self, path: str, fragment: str = "") -> str:
        region = f"?region={self.region}" if self.region else ""
        return f"https://console.aws.amazon.com/{path}{region}{fragment and '#'}{fragment}"


@dataclass(frozen=True, slots=True)
class Followed:
    """The job and where to look at it."""

    dataset: str
    job_id: str
    console: Console


def estimate(
    inputs: RunInputs, rows: int, sizing: Sizing, bills: Mapping[str, Sequence[CostLine]]
) -> str:
    """What is about to be submitted, and what it will cost. bills: OCR, machines, the rest."""
    options = inputs.options
    asked = [
        ("images", f"{rows:,}"),
        ("workers", f"{sizing.workers} ({plain(sizing.why)})"),
        ("time", f"about {duration(sizing.seconds)}"),
        ("engine", plain(inputs.engine)),
        ("rows of a checkpoint", _or_default(options.batch_size)),
        ("requests at once", _or_default(options.concurrency, "automatic")),
        ("goes on with an earlier run", "yes" if options.resume else "no"),
        ("cap on OCR", f"${options.max_cost:,.2f}" if options.max_cost else "none"),
        (
            "when the workflow is cancelled, the job is",
            {"keep": "kept", "stop": "stopped"}[inputs.on_cancel],
        ),
    ]
    own = {one.name for one in own_fields()}
    more = argv({name: value for name, value in inputs.given.items() if name not in own})
    asked += [("more options", code_span(" ".join(more)))] if more else []
    costs = [(plain(name), str(total(lines))) for name, lines in bills.items()]
    return "\n\n".join(
        [
            f"## Labelling {code_span(inputs.dataset)}",
            table(("before it starts", ""), asked),
            table(("estimate", "USD"), costs),
        ]
    )


def submitted(job: Followed, *, picked_up: bool) -> str:
    """The job's id and its links."""
    what = "Picked up" if picked_up else "Submitted"
    where = link("in the console", job.console.job(job.job_id))
    return f"{what} job {code_span(job.job_id)} ({where}, {link('logs', job.console.logs())})."


def handed_over(job: Followed, state: str, after_s: float) -> str:
    """The workflow's time is up; the job's is not."""
    watch = f"ocrlabel aws status {job.dataset} --job {job.job_id} --watch"
    fetch = f"ocrlabel aws download {job.dataset}"
    return f"""## Handed over after {duration(after_s)}: the job goes on

{code_span(job.dataset)} is not done yet; the job's last state: {plain(state)}

Nothing is lost. To pick it up:

* here: start this workflow again with the same dataset, and {code_span(job.job_id)} in *pick up*:
  it follows this job and submits none, or
* on a machine: {code_span(watch)}, then {code_span(fetch)}
"""


def failed(job: Followed, explained: Explanation) -> str:
    """Why, what to do, and the end of the log."""
    lines = [
        f"## {code_span(job.dataset)} failed",
        "",
        f"{plain(explained.what)} ({link('the job', job.console.job(job.job_id))})",
    ]
    if explained.remedy:
        lines += ["", f"**What to do:** {plain(explained.remedy)}"]
    if explained.log:
        lines += ["", "The end of the log:", "", fenced(explained.log)]
    return "\n".join(lines)


def cancelled(dataset: str, job_id: str, *, stopped: bool) -> str:
    """What became of the job."""
    if not job_id:
        return "## Cancelled before a job was submitted\n\nNothing runs, and nothing was paid."
    if stopped:
        return (
            f"## Cancelled: job {code_span(job_id)} is being stopped\n\nWhat it has done is saved; "
            f"start the workflow again for {code_span(dataset)} with *resume* to go on."
        )
    return (
        f"## Cancelled: job {code_span(job_id)} goes on\n\nIt was to be kept. To follow it again, "
        "start the workflow with its id in *pick up*; to stop it: "
        f"{code_span(f'ocrlabel aws cancel {job_id}')}"
    )


def results(record: Mapping[str, Any], machines: tuple[float, Sequence[CostLine]]) -> str:
    """Counts, failures by class, rate, time and cost, from run.json and the job's attempts."""
    account = record.get("account", {})
    rate = record.get("requests_per_s")
    hours, compute = machines
    took_s = float(record.get("active_s", 0))
    rows = [
        ("input rows", f"{record.get('rows', 0):,}"),
        ("labelled", f"{record.get('labelled', 0):,}"),
        ("failed", f"{record.get('failed', 0):,}"),
        ("not reached", f"{record.get('not_reached', 0):,}"),
        ("words, pages", f"{record.get('words', 0):,}, {record.get('pages', 0):,}"),
        ("requests/s", f"{rate:.2f}" if rate else "none were sent"),
        ("time", duration(took_s)),
        ("billed pages", f"{account.get('billed_pages', 0):,}"),
        ("OCR", f"${record.get('billed_usd', 0):,.4f}"),
        ("machines, as on demand", f"{total(compute)} for {hours:.2f} hours"),
    ]
    parts = [
        f"## {code_span(str(record.get('dataset', '')))}: "
        + ("results" if record.get("complete", True) else "partial results"),
        table(("", "in numbers"), rows),
    ]
    failures: Mapping[str, int] = record.get("failures", {})
    if failures:
        listed = sorted(failures.items(), key=lambda one: (-one[1], one[0]))
        parts.append(
            table(("failed because", "rows"), [(code_span(name), f"{n:,}") for name, n in listed])
        )
    return "\n\n".join(parts)


def no_tables(bucket: str, dataset: str) -> str:
    """After a job that wrote none: its answers are saved, and what makes a table of them."""
    table_at = f"s3://{bucket}/data/processed/{dataset}"
    line = f"ocrlabel merge {table_at}.parquet --output {table_at}_pseudo_labels.parquet --partial"
    return (
        "this job wrote no tables; what it has done is in the checkpoints, and "
        f"{code_span(line)} makes tables of it"
    )


def deployed(
    image: str, definition: Mapping[str, Any], commit: str, console: Console, here: str
) -> str:
    """The image, the revision that uses it, and where to go from here: the repository's page."""
    uri, _, digest = image.partition("@")
    host, _, name = uri.partition("/")
    revision = f"{definition['jobDefinitionName']}:{definition['revision']}"
    account = host.split(".", 1)[0]
    rows = [
        ("commit", link(commit[:12], f"{here}/commit/{commit}")),
        ("image", f"{code_span(digest)} in {link(name, console.repository(account, name))}"),
        ("job definition", link(revision, console.definition(definition["jobDefinitionArn"]))),
        ("queue", link("its jobs", console.queue())),
    ]
    start = link("Run Batch Processing Job", f"{here}/actions/workflows/run-batch-job.yml")
    return "\n\n".join(
        ["## The batch processor is deployed", table(("", ""), rows), f"Start a run: {start}"]
    )


def _or_default(value: int | None, default: str = "the default") -> str:
    return default if value is None else f"{value:,}"


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
