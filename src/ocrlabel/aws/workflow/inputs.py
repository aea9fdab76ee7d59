"""What someone typed into the workflow's form, checked before anything is done with it.

A workflow hands each input over as a variable, never inside a command; whatever is in it, it
arrives here as text, and leaves as a value or as a sentence that refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from ocrlabel.aws.names import checked_dataset
from ocrlabel.aws.sizing import MAX_ARRAY
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
