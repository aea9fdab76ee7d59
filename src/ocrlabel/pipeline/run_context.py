"""What a worker works with: its world, its plan, and the parts that all of its rounds share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ocrlabel.engines.base import Engine
from ocrlabel.labels import ImageRef
from ocrlabel.options import Options
from ocrlabel.pipeline.budget.attempts import Asks
from ocrlabel.pipeline.budget.budget import Purse, cap_pages
from ocrlabel.pipeline.counters import Counters
from ocrlabel.pipeline.leases.leases import Leases
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.preflight import Findable
from ocrlabel.pipeline.rate.breaker import Breaker
from ocrlabel.pipeline.rate.limiter import RatePool
from ocrlabel.pipeline.requests.image_reader import Images, Reuse
from ocrlabel.pipeline.runtime import Stop, World
from ocrlabel.pipeline.state.checkpoint import Checkpoints
from ocrlabel.pipeline.state.layout import Layout, RunKeys


def tools_for(
    world: World,
    layout: Layout,
    plan: Plan,
    dataset: Dataset,
    engine: Engine,
    *,
    options: Options,
    stop: Stop,
    counters: Counters | None = None,
    reuse: Reuse | None = None,
) -> Tools:
    """What a worker works with, put together."""
    price_usd = engine.price_per_page_usd
    return Tools(
        world=world,
        layout=layout,
        plan=plan,
        checkpoints=Checkpoints(world, layout, plan),
        engine=engine,
        dataset=dataset,
        options=options,
        stop=stop,
        pool=RatePool(
            lanes=engine.lanes,
            clock=world.clock,
            sleep=world.sleep,
            rps=options.rps,
            concurrency=options.concurrency or engine.parallel,
            wall=world.wall,
        ),
        breaker=Breaker(
            give_up_after_s=options.give_up_after,
            probe_timeout_s=engine.request_timeout_s + 30.0,
        ),
        purse=Purse(
            world,
            layout.of_run(plan.run_id),
            cap=None if options.max_cost is None else cap_pages(options.max_cost, price_usd),
            price_per_page_usd=price_usd,
            duration_s=options.lease_s,
        )
        if price_usd > 0
        else None,
        counters=counters or Counters(world.emit),
        began_at_s=world.wall(),
        reuse=reuse,
    )


class Input(Images, Protocol):
    """The dataset that a run works on."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What all rounds of one worker share.

    began_at_s: when it set to work (Unix s). known_limits: the entry of the log of limits, up to
    which the options hold.
    """

    world: World
    layout: Layout
    plan: Plan
    checkpoints: Checkpoints
    engine: Engine
    dataset: Input
    options: Options
    stop: Stop
    pool: RatePool
    breaker: Breaker
    purse: Purse | None
    counters: Counters
    began_at_s: float
    known_limits: int = 0
    reuse: Reuse | None = None

    def keys(self, retry: int) -> RunKeys:
        """The keys of one round."""
        return self.layout.of_run(self.plan.run_id, retry)

    def asks(self, retry: int) -> Asks | None:
        """The asks of one round; None for engines that cost nothing."""
        if self.engine.price_per_page_usd <= 0:
            return None
        return Asks(
            self.world,
            self.keys(retry),
            send_within_s=self.options.send_within_s,
            request_timeout_s=self.engine.request_timeout_s,
            margin_s=self.options.lease_s / 4,
        )

    def leases(self, retry: int) -> Leases:
        """The leases of one round."""
        return Leases(self.world, self.keys(retry), duration_s=self.options.lease_s)


class Dataset(Input, Findable, Protocol):
    """What a run needs of its input."""
