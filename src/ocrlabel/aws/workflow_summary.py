"""What the summary of a workflow's run says, as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocrlabel.aws.cost import CostLine, total
from ocrlabel.aws.explain import Explanation
from ocrlabel.aws.jobs import Sizing
from ocrlabel.aws.workflow import (
    Console,
    Repository,
    RunInputs,
    code_span,
    fenced,
    link,
    own_fields,
    plain,
    table,
)
from ocrlabel.options import argv
from ocrlabel.wording import duration


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
        ("when the workflow is cancelled, the job is", _on_cancel(inputs)),
    ]
    own = {one.name for one in own_fields()}
    more = argv({name: value for name, value in inputs.given.items() if name not in own})
    asked += [("more options", code_span(" ".join(more)))] if more else []
    costs = [(plain(name), usd(lines)) for name, lines in bills.items()]
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
        ("machines", f"{usd(compute)} for {hours:.2f} hours"),
    ]
    parts = [
        f"## {code_span(str(record.get('dataset', '')))}: results",
        table(("", "in numbers"), rows),
    ]
    failures: Mapping[str, int] = record.get("failures", {})
    if failures:
        listed = sorted(failures.items(), key=lambda one: (-one[1], one[0]))
        parts.append(
            table(("failed because", "rows"), [(code_span(name), f"{n:,}") for name, n in listed])
        )
    return "\n\n".join(parts)


def deployed(
    image: str, definition: Mapping[str, Any], commit: str, console: Console, here: Repository
) -> str:
    """The image, the revision that uses it, and where to go from here."""
    uri, _, digest = image.partition("@")
    host, _, name = uri.partition("/")
    revision = f"{definition['jobDefinitionName']}:{definition['revision']}"
    account = host.split(".", 1)[0]
    rows = [
        ("commit", link(commit[:12], here.commit(commit))),
        ("image", f"{code_span(digest)} in {link(name, console.repository(account, name))}"),
        ("job definition", link(revision, console.definition(definition["jobDefinitionArn"]))),
        ("queue", link("its jobs", console.queue())),
    ]
    start = link("Run Batch Processing Job", here.workflow("run-batch-job.yml"))
    return "\n\n".join(
        ["## The batch processor is deployed", table(("", ""), rows), f"Start a run: {start}"]
    )


def usd(lines: Sequence[CostLine]) -> str:
    """A sum, marked where it is an upper bound."""
    amount, bound = total(lines)
    return f"{'at most ' if bound else ''}${amount:,.4f}"


def _or_default(value: int | None, default: str = "the default") -> str:
    return default if value is None else f"{value:,}"


def _on_cancel(inputs: RunInputs) -> str:
    return {"keep": "kept", "stop": "stopped"}[inputs.on_cancel]
