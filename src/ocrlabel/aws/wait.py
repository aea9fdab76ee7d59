"""Waiting for AWS: ask, and ask less often the longer it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from ocrlabel.aws.session import Aws, AwsRefused

T = TypeVar("T")

FIRST_S = 1.0
LONGEST_S = 15.0


def pauses_s(first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> Iterator[float]:
    """How long to wait before each next question: half as long again each time."""
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = min(longest_s, pause_s * 1.5)


def until(aws: Aws, ask: Callable[[], T | None], *, what: str, timeout_s: float) -> T:
    """The first answer that is not None. Raises AwsRefused when time is up."""
    end_s = aws.now_s() + timeout_s
    for pause_s in pauses_s():
        if (answer := ask()) is not None:
            return answer
        if aws.now_s() >= end_s:
            break
        aws.sleep(pause_s)
    raise AwsRefused(
        f"{what} is not done after {timeout_s:.0f} s; it may still be going on: run it again to "
        "follow it"
    )
