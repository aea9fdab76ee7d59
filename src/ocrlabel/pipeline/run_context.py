"""A run as one value that is handed on: its plan, where its things are, and what reaches them.

A round is one pass over the rows: the run's own is number 0, the n-th `--retry-failed` number n.
It is a key space of its own (leases, attempts, journal, checkpoints); the rest is per run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ocrlabel.labels import ImageRef
from ocrlabel.options import Options
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.runtime import Runtime
from ocrlabel.pipeline.state.layout import Layout, RunKeys


@dataclass(frozen=True, slots=True)
class Run:
    """options: as they hold for this start. price_per_page_usd: 0 for engines that cost nothing."""

    runtime: Runtime
    layout: Layout
    plan: Plan
    options: Options = field(default_factory=Options)
    price_per_page_usd: float = 0.0

    @property
    def keys(self) -> RunKeys:
        """What all rounds share: heartbeats, budget, limits, and what is known of each round."""
        return self.layout.of_run(self.plan.run_id)

    def round(self, number: int = 0) -> Round:
        """One of its rounds; by default its own."""
        return Round(self, number)


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the rows of a run: 0 its own, n the n-th `--retry-failed`."""

    run: Run
    number: int

    @property
    def runtime(self) -> Runtime:
        """The run's."""
        return self.run.runtime

    @property
    def keys(self) -> RunKeys:
        """The keys of this round."""
        return self.run.layout.of_run(self.run.plan.run_id, self.number)


class RunInput(Protocol):
    """What a run needs of its dataset."""

    @property
    def rows(self) -> int:
        """How many input rows there are."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 of what makes this input this input."""
        ...

    def describe(self) -> str:
        """Where it is, for people."""
        ...

    def refs(self, start: int, stop: int) -> Sequence[ImageRef]:
        """The references of a range of rows."""
        ...

    async def read(self, ref: ImageRef) -> bytes:
        """The bytes of an image. Raises ImageError."""
        ...

    def looked(self, ref: ImageRef) -> list[str]:
        """Where an image is looked for."""
        ...
